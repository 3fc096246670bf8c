/*
 * sequence_ranges.h: a FIFO of message numbers, kept as ranges: what was handed over in order and is let go in order.
 *
 * One thread. 16 bytes for each range that does not go on where the one before it ended; never given back before
 * sequence_ranges_free.
 */
#ifndef NODES_QUEUE_SEQUENCE_RANGES_H
#define NODES_QUEUE_SEQUENCE_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

struct sequence_range {
    uint64_t first;
    uint64_t count; /* not 0 */
};

/* Starts as {0}. */
struct sequence_ranges {
    struct sequence_range *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t head;     /* counts up; its place in the ring is its lower bits */
    size_t range_count;
    uint64_t count; /* of all numbers in all ranges */
};

void sequence_ranges_free(struct sequence_ranges *ranges);

/* Puts `count` numbers from `first` on behind the others; one range with the last where they go on from it. Nothing for
 * a count of 0. STATUS_SYSTEM where there is no memory: nothing was put. O(1), but for a copy when the ring doubles. */
enum status sequence_ranges_append(struct sequence_ranges *ranges, uint64_t first, uint64_t count,
                                   struct error *error) MUST_USE;

/*
 * Takes up to `count_max` numbers from the front, all of one range: returns how many, from *first on; 0 where the FIFO
 * is empty or count_max is 0. So a caller that wants n asks until it has them. O(1).
 */
uint64_t sequence_ranges_take(struct sequence_ranges *ranges, uint64_t count_max, uint64_t *first);

#endif
