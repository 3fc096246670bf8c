#include "bench/limits/pool_ring.h"

#include <math.h>
#include <string.h>

#include "bench/limits/spsc.h"
#include "bench/support.h"

struct pool_ring {
    struct pool_ring_shape shape;
    size_t bytes;
    struct spsc full;
    struct spsc empty;
    struct bench_tally tally; /* the consumer's count */
    uint64_t *pool;
    uint64_t *text; /* the producer's: what it copies */
    uint64_t sum;   /* the consumer's: so that it must read */
};

static bool goes_on(struct pool_ring *pair)
{
    return !atomic_load_explicit(&pair->tally.stop, memory_order_relaxed);
}

/* A whole batch, however long that takes; false: it is over. */
static bool take_batch(struct pool_ring *pair, struct spsc *ring, void **messages)
{
    for (uint32_t count = 0; count < pair->shape.batch;) {
        count += spsc_take(ring, messages + count, pair->shape.batch - count);
        if (!goes_on(pair))
            return false;
    }
    return true;
}

static void *produce(void *argument)
{
    struct pool_ring *pair = argument;
    const size_t bytes = pair->bytes;
    void *messages[POOL_RING_BATCH_MAX];
    uint64_t number = 0;
    bench_bind(0);
    while (take_batch(pair, &pair->empty, messages)) {
        for (uint32_t i = 0; i < pair->shape.batch; i++) {
            pair->text[0] = number++;
            memcpy(messages[i], pair->text, bytes);
        }
        spsc_put(&pair->full, messages, pair->shape.batch); /* has room for all there are */
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct pool_ring *pair = argument;
    const size_t word_count = pair->bytes / sizeof(uint64_t);
    void *messages[POOL_RING_BATCH_MAX];
    uint64_t sum = 0;
    uint64_t taken = 0;
    bench_bind(1);
    /* Relaxed: a head start, and nothing else. */
    while (atomic_load_explicit(&pair->full.tail, memory_order_relaxed) < pair->shape.count / 2 && goes_on(pair))
        continue;
    while (take_batch(pair, &pair->full, messages)) {
        for (uint32_t i = 0; i < pair->shape.batch; i++) {
            const uint64_t *words = messages[i];
            for (size_t j = 0; j < word_count; j++)
                sum += words[j];
        }
        spsc_put(&pair->empty, messages, pair->shape.batch);
        taken += pair->shape.batch;
        atomic_store_explicit(&pair->tally.count, taken, memory_order_relaxed);
    }
    pair->sum = sum;
    return NULL;
}

static void fill_pool(struct pool_ring *pair)
{
    const size_t count = pair->shape.count;
    pair->pool = aligned_alloc(SPSC_LINE_BYTES, (pair->bytes * count + 63) / 64 * 64);
    pair->text = calloc(1, pair->bytes);
    if (pair->pool == NULL || pair->text == NULL)
        bench_fail("no memory");
    memset(pair->pool, 0, pair->bytes * count);
    for (uint32_t i = 0; i < count; i++) {
        void *message = (char *)pair->pool + i * pair->bytes;
        spsc_put(&pair->empty, &message, 1);
    }
}

static double run_shape(size_t bytes, struct pool_ring_shape shape, double seconds)
{
    struct pool_ring *pair = aligned_alloc(SPSC_LINE_BYTES, sizeof *pair);
    if (pair == NULL)
        bench_fail("no memory");
    *pair = (struct pool_ring){.bytes = bytes, .shape = shape};
    spsc_open(&pair->full, shape.count);
    spsc_open(&pair->empty, shape.count);
    fill_pool(pair);
    pthread_t producer = bench_thread(produce, pair);
    pthread_t consumer = bench_thread(consume, pair);
    double rate = bench_tally_rate(&pair->tally, seconds);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    spsc_close(&pair->full);
    spsc_close(&pair->empty);
    free(pair->text);
    free(pair->pool);
    free(pair);
    return rate;
}

bool pool_ring_run(void *context, double seconds, double *figures)
{
    static const struct pool_ring_shape shapes[] = {{.batch = 32, .count = 1024}, {.batch = 128, .count = 16384}};
    enum { SHAPE_COUNT = sizeof shapes / sizeof shapes[0] };
    figures[0] = 0;
    for (size_t i = 0; i < SHAPE_COUNT; i++)
        figures[0] = fmax(figures[0], run_shape(*(size_t *)context, shapes[i], seconds / SHAPE_COUNT));
    return true;
}
