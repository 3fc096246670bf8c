/*
 * pool_ring.h: what two threads can hand over: a pool of messages, a ring of pointers to full ones there, a ring of
 * empty ones back, so many a publication.
 */
#ifndef BENCH_LIMITS_POOL_RING_H
#define BENCH_LIMITS_POOL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_RING_BATCH_MAX = 256 };

struct pool_ring_settings {
    size_t bytes;   /* of a message; a multiple of 8 */
    uint32_t batch; /* messages a publication; at most POOL_RING_BATCH_MAX */
    uint32_t count; /* messages in the pool, a power of two and a multiple of `batch` */
};

/* A contestant's run (bench/measure.h); `context` is struct pool_ring_settings. One thread, bound to the first
 * processor, copies each message into an empty one; another, bound to the second, adds up each word of it. The figure
 * is messages a second. */
bool pool_ring_run(void *context, double seconds, double *figures);

#endif
