/*
 * sequence_map.h: from message numbers to a word each. One thread.
 *
 * For numbers that the program itself gives out, so the hash has no key: who sends numbers can look for them and cannot
 * put any in. 32 to 64 bytes a number while it grows; never smaller before sequence_map_free.
 */
#ifndef NODES_QUEUE_SEQUENCE_MAP_H
#define NODES_QUEUE_SEQUENCE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

union sequence_word {
    uint64_t number;
    void *pointer;
};

struct sequence_slot {
    uint64_t sequence; /* 0: free */
    union sequence_word value;
};

/* Starts as {0}. */
struct sequence_map {
    struct sequence_slot *slots;
    size_t capacity; /* a power of two, or 0; at most half of it is used */
    size_t count;
};

void sequence_map_free(struct sequence_map *map);

/* Makes room for one more number. False: no memory. To be called before sequence_map_add. */
bool sequence_map_reserve(struct sequence_map *map);

/* Adds a number that is neither 0 nor there. */
void sequence_map_add(struct sequence_map *map, uint64_t sequence, union sequence_word value);

/* Whether it is there, and its word. */
bool sequence_map_find(const struct sequence_map *map, uint64_t sequence, union sequence_word *value);

/* Takes out a number that is there. */
void sequence_map_remove(struct sequence_map *map, uint64_t sequence);

#endif
