/*
 * spsc.h: a bare ring of pointers from one thread to one other, for the limits.
 *
 * Lamport's ring, with each side's last look at the other's index kept on its own cache line (as in FastForward's and
 * Rigtorp's descriptions), and many pointers a publication. What it holds is a power of two.
 */
#ifndef BENCH_LIMITS_SPSC_H
#define BENCH_LIMITS_SPSC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "bench/support.h"

enum { SPSC_LINE_BYTES = 64 };

struct spsc {
    /* The producer's line. `tail`: writer the producer, release; readers acquire in spsc_take. */
    _Alignas(SPSC_LINE_BYTES) _Atomic uint32_t tail;
    uint32_t head_seen;
    /* The consumer's line. `head`: writer the consumer, release; readers acquire in spsc_put. */
    _Alignas(SPSC_LINE_BYTES) _Atomic uint32_t head;
    uint32_t tail_seen;
    /* Constant. */
    _Alignas(SPSC_LINE_BYTES) uint32_t mask;
    void **slots;
};

/* `count` is a power of two. */
static inline void spsc_open(struct spsc *ring, uint32_t count)
{
    *ring = (struct spsc){.mask = count - 1, .slots = calloc(count, sizeof *ring->slots)};
    if (ring->slots == NULL)
        bench_fail("no memory");
}

static inline void spsc_close(struct spsc *ring)
{
    free((void *)ring->slots);
    ring->slots = NULL;
}

/* The producer: puts at most `count`; returns how many. */
static inline uint32_t spsc_put(struct spsc *ring, void *const *pointers, uint32_t count)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t room = ring->mask + 1 - (tail - ring->head_seen);
    if (room < count) {
        /* Pairs with the release in spsc_take: the slots have been read. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        room = ring->mask + 1 - (tail - ring->head_seen);
        count = room < count ? room : count;
    }
    for (uint32_t i = 0; i < count; i++)
        ring->slots[(tail + i) & ring->mask] = pointers[i];
    if (count > 0) /* pairs with the acquire in spsc_take: the slots, and what they lead to, are written */
        atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
    return count;
}

/* The consumer: takes at most `count`; returns how many. */
static inline uint32_t spsc_take(struct spsc *ring, void **pointers, uint32_t count)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen - head < count) /* pairs with the release in spsc_put */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (ring->tail_seen - head < count)
        count = ring->tail_seen - head;
    for (uint32_t i = 0; i < count; i++)
        pointers[i] = ring->slots[(head + i) & ring->mask];
    if (count > 0) /* pairs with the acquire in spsc_put */
        atomic_store_explicit(&ring->head, head + count, memory_order_release);
    return count;
}

#endif
