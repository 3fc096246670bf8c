/*
 * ring.h: a lock-free ring of pointers from one thread to another. The only file that knows ck_ring.
 *
 *   call            who may call it
 *   ring_put        the producer, one thread at a time
 *   ring_take       the consumer, one thread at a time
 *   ring_count      either; exact for the consumer as a lower bound, for the producer as an upper bound
 *
 * What either side wrote to, and read from, what a pointer leads to before ring_put is done before the other side's
 * ring_take returns that pointer. Two fences do it:
 *   A  release, in ring_put, before the index is published. Ours: ck's own there orders stores only, and a block that
 * is given back has been read, not written. B  acquire, in ring_take, between the index and the slot: ck_pr_fence_load
 * in ck_ring_dequeue_spsc.
 *
 * One gap of ck 0.7.1 off x86 is closed by how we use rings: its consumer may publish its index before its load of the
 * slot is done, so a producer could overwrite the slot too early. Every ring here has more slots than there are
 * pointers in circulation on its edge, so the producer cannot come round to that slot before a pointer for the one in
 * it (itself, or the one it was exchanged for) has come back through the other ring; and the consumer's put of that one
 * comes after the load, by fence A, which orders loads before it as well.
 */
#ifndef ENGINE_RING_H
#define ENGINE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring;

/* Holds at least `capacity` pointers (ck wants a power of two of slots and keeps one free). Never NULL. */
struct ring *ring_new(size_t capacity);
void ring_free(struct ring **ring);

/* `pointer` is not NULL. There must be room: whoever makes a ring gives it a slot for each pointer that can be in it.
 * So this is ck_ring_enqueue_spsc without its look at the consumer's index, which would cost a cache line's way between
 * processors for each put. */
void ring_put(struct ring *ring, void *pointer);
/* NULL: empty. */
void *ring_take(struct ring *ring);
/* What ring_take would return, for its address only: what it leads to must not be read yet. The consumer. */
const void *ring_peek(const struct ring *ring);
size_t ring_count(const struct ring *ring);
/* The consumer's: false only if ring_take will find something. */
bool ring_is_empty(const struct ring *ring);

#endif
