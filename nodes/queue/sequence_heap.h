/*
 * sequence_heap.h: messages in order of a key (a time, a number); of those with the same key the lowest number is
 * first. A binary heap that tells each of its members where it is, so that it can be taken out from the middle. One
 * thread.
 */
#ifndef NODES_QUEUE_SEQUENCE_HEAP_H
#define NODES_QUEUE_SEQUENCE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Part of whatever is kept in order. The caller sets the number; the rest is the heap's. */
struct heap_member {
    uint64_t sequence;
    size_t place;
};

struct heap_slot {
    int64_t key;
    struct heap_member *member;
};

/* Starts as {0}. */
struct sequence_heap {
    struct heap_slot *slots;
    size_t capacity;
    size_t count;
};

/* Frees the heap's memory, not its members. */
void sequence_heap_free(struct sequence_heap *heap);

/* Makes room for `count` members in all. False: no memory. */
bool sequence_heap_reserve(struct sequence_heap *heap, size_t count);

/* There must be room. O(log n). */
void sequence_heap_add(struct sequence_heap *heap, int64_t key, struct heap_member *member);

/* The first, and its key; NULL where there is none. O(1). */
struct heap_member *sequence_heap_first(const struct sequence_heap *heap, int64_t *key);

/* Takes out a member that is in it. O(log n). */
void sequence_heap_remove(struct sequence_heap *heap, struct heap_member *member);

#endif
