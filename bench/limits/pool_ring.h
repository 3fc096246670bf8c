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

/* How the messages go. The small one stays in the processors' own caches; the large one, whose consumer starts when
 * half of it is full, lets lines reach the shared cache before the other side wants them, which is faster where there
 * is such a cache. Which is the machine's best, only a try tells. */
struct pool_ring_shape {
    uint32_t batch; /* messages a publication; at most POOL_RING_BATCH_MAX */
    uint32_t count; /* messages in the pool, a power of two and a multiple of `batch` */
};

/* A contestant's run (bench/measure.h); `context` is the size of a message in bytes (size_t; a multiple of 8). One
 * thread, bound to the first processor, copies each message into an empty one; another, bound to the second, adds up
 * each word of it. Tries 32 a publication from a pool of 1,024 messages and 128 from one of 16,384, `seconds` in all.
 * The figure is messages a second of the better one. */
bool pool_ring_run(void *context, double seconds, double *figures);

#endif
