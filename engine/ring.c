#include "engine/ring.h"

#include <ck_ring.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "engine/check.h"

/*
 * ThreadSanitizer does not see that ck's fences order plain stores. The hooks tell it what ring.h promises (fence A,
 * fence B) and hide ck's own words from it, so that a real race on what a pointer leads to is still found.
 */
#if defined(__SANITIZE_THREAD__)
#define RING_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RING_TSAN 1
#endif
#endif

#ifdef RING_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define RING_HIDE_BEGIN() (AnnotateIgnoreReadsBegin(__FILE__, __LINE__), AnnotateIgnoreWritesBegin(__FILE__, __LINE__))
#define RING_HIDE_END()   (AnnotateIgnoreWritesEnd(__FILE__, __LINE__), AnnotateIgnoreReadsEnd(__FILE__, __LINE__))
#define RING_RELEASE(p)   __tsan_release(p)
#define RING_ACQUIRE(p)   __tsan_acquire(p)
#else
#define RING_HIDE_BEGIN() ((void)0)
#define RING_HIDE_END()   ((void)0)
#define RING_RELEASE(p)   ((void)0)
#define RING_ACQUIRE(p)   ((void)0)
#endif

struct ring {
    ck_ring_t ring; /* ck keeps the consumer's and the producer's index on cache lines of their own */
    ck_ring_buffer_t *buffer;
};

_Static_assert(offsetof(ck_ring_t, p_tail) / CK_MD_CACHELINE != offsetof(ck_ring_t, c_head) / CK_MD_CACHELINE,
               "the two ends' indexes share no cache line");

struct ring *ring_new(size_t capacity)
{
    unsigned int slots = 4;
    while (slots - 1 < capacity)
        slots *= 2;
    struct ring *ring =
        aligned_alloc(CK_MD_CACHELINE, (sizeof *ring + CK_MD_CACHELINE - 1) / CK_MD_CACHELINE * CK_MD_CACHELINE);
    ck_ring_buffer_t *buffer = calloc(slots, sizeof *buffer);
    CHECK(ring != NULL && buffer != NULL);
    ring->buffer = buffer;
    ck_ring_init(&ring->ring, slots);
    return ring;
}

void ring_free(struct ring **ring_pointer)
{
    struct ring *ring = *ring_pointer;
    if (ring == NULL)
        return;
    free(ring->buffer);
    free(ring);
    *ring_pointer = NULL;
}

void ring_put(struct ring *ring, void *pointer)
{
    unsigned int tail = ring->ring.p_tail;
    RING_RELEASE(pointer);
    RING_HIDE_BEGIN();
    ck_pr_store_ptr(&ring->buffer[tail & ring->ring.mask].value, pointer);
    atomic_thread_fence(memory_order_release); /* fence A; pairs with B, in ck_ring_dequeue_spsc of ring_take */
    ck_pr_store_uint(&ring->ring.p_tail, tail + 1);
    RING_HIDE_END();
}

void *ring_take(struct ring *ring)
{
    void *pointer = NULL;
    RING_HIDE_BEGIN();
    bool taken = ck_ring_dequeue_spsc(&ring->ring, ring->buffer, &pointer);
    RING_HIDE_END();
    if (!taken)
        return NULL;
    RING_ACQUIRE(pointer);
    return pointer;
}

/* No fence: who gets the pointer reads nothing through it. */
const void *ring_peek(const struct ring *ring)
{
    const void *pointer = NULL;
    RING_HIDE_BEGIN();
    unsigned int head = ring->ring.c_head;
    if (ck_pr_load_uint(&ring->ring.p_tail) != head)
        pointer = ck_pr_load_ptr(&ring->buffer[head & ring->ring.mask].value);
    RING_HIDE_END();
    return pointer;
}

bool ring_is_empty(const struct ring *ring)
{
    return ck_ring_size(&ring->ring) == 0;
}

size_t ring_count(const struct ring *ring)
{
    return ck_ring_size(&ring->ring);
}
