#include "bench/limits/executor.h"

#include <math.h>
#include <sched.h>
#include <string.h>

#include "bench/limits/spsc.h"
#include "bench/support.h"

enum { HALF_BATCH = 256, STEP_BATCH = 64, RING_COUNT = 16384, POOL_COUNT = RING_COUNT, SPIN_COUNT = 100 };

/* A step, called through a pointer for each message, as a node's function is. */
typedef void *(*step_function)(void *message);

static void *pass(void *message)
{
    return message;
}

struct executor {
    step_function steps[EXECUTOR_STEP_MAX];
    unsigned step_count;
    struct spsc rings[EXECUTOR_STEP_MAX]; /* from thread i to thread i + 1 */
    struct spsc home;                     /* from the last thread to the first */
    size_t word_count;                    /* of a message */
    uint64_t *pool;
    uint64_t sum;             /* the last thread's: so that it must read */
    struct bench_tally tally; /* of the last thread */
};

/* A thread: it runs the steps from `first` to before `end`. */
struct worker {
    struct executor *executor;
    unsigned first, end;
    struct spsc *in;  /* NULL: it makes the messages */
    struct spsc *out; /* NULL: it ends them */
    unsigned processor;
    uint32_t batch;
};

static bool goes_on(struct executor *executor)
{
    return !atomic_load_explicit(&executor->tally.stop, memory_order_relaxed);
}

static void run_steps(const struct worker *worker, void **messages, uint32_t count)
{
    for (unsigned i = worker->first; i < worker->end; i++) {
        step_function step = worker->executor->steps[i];
        for (uint32_t j = 0; j < count; j++)
            messages[j] = step(messages[j]);
    }
}

static void write_messages(const struct executor *executor, void **messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t *words = messages[i];
        for (size_t j = 0; j < executor->word_count; j++)
            words[j] = i + j;
    }
}

static void read_messages(struct executor *executor, void **messages, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t *words = messages[i];
        for (size_t j = 0; j < executor->word_count; j++)
            sum += words[j];
    }
    executor->sum += sum;
}

static void rest(unsigned *spin_count)
{
    if (++*spin_count > SPIN_COUNT)
        sched_yield();
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct executor *executor = worker->executor;
    void *messages[HALF_BATCH];
    uint64_t done = 0;
    unsigned spin_count = 0;
    bench_bind(worker->processor);
    while (goes_on(executor)) {
        uint32_t count = spsc_take(worker->in != NULL ? worker->in : &executor->home, messages, worker->batch);
        if (count == 0) {
            rest(&spin_count);
            continue;
        }
        if (worker->in == NULL)
            write_messages(executor, messages, count);
        run_steps(worker, messages, count);
        for (uint32_t put = 0; worker->out != NULL && put < count && goes_on(executor);) {
            uint32_t now = spsc_put(worker->out, messages + put, count - put);
            put += now;
            if (now == 0)
                rest(&spin_count);
            else
                spin_count = 0;
        }
        done += count;
        if (worker->out != NULL)
            continue;
        read_messages(executor, messages, count);
        spsc_put(&executor->home, messages, count); /* has room for all there are */
        atomic_store_explicit(&executor->tally.count, done, memory_order_relaxed);
    }
    return NULL;
}

static void fill_pool(struct executor *executor, size_t bytes)
{
    executor->word_count = bytes / sizeof(uint64_t);
    executor->pool = aligned_alloc(SPSC_LINE_BYTES, bytes * POOL_COUNT);
    if (executor->pool == NULL)
        bench_fail("no memory");
    memset(executor->pool, 0, bytes * POOL_COUNT);
    spsc_open(&executor->home, RING_COUNT);
    for (size_t i = 0; i < POOL_COUNT; i++) {
        void *message = (char *)executor->pool + i * bytes;
        spsc_put(&executor->home, &message, 1);
    }
}

/* The steps over so many threads, evenly. */
static double run_threads(const struct executor_chain *chain, unsigned thread_count, uint32_t batch, double seconds)
{
    unsigned step_count = chain->step_count;
    struct executor *executor = aligned_alloc(SPSC_LINE_BYTES, sizeof *executor);
    struct worker workers[EXECUTOR_STEP_MAX];
    pthread_t threads[EXECUTOR_STEP_MAX];
    if (executor == NULL)
        bench_fail("no memory");
    memset(executor, 0, sizeof *executor);
    executor->step_count = step_count;
    fill_pool(executor, chain->bytes);
    for (unsigned i = 0; i < step_count; i++)
        executor->steps[i] = pass;
    for (unsigned i = 0; i + 1 < thread_count; i++)
        spsc_open(&executor->rings[i], RING_COUNT);
    for (unsigned i = 0; i < thread_count; i++) {
        workers[i] = (struct worker){
            .executor = executor,
            .first = step_count * i / thread_count,
            .end = step_count * (i + 1) / thread_count,
            .in = i > 0 ? &executor->rings[i - 1] : NULL,
            .out = i + 1 < thread_count ? &executor->rings[i] : NULL,
            .processor = i * bench_processor_count() / thread_count, /* neighbours together */
            .batch = batch,
        };
        threads[i] = bench_thread(work, &workers[i]);
    }
    double rate = bench_tally_rate(&executor->tally, seconds);
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i + 1 < thread_count; i++)
        spsc_close(&executor->rings[i]);
    spsc_close(&executor->home);
    free(executor->pool);
    free(executor);
    return rate;
}

bool executor_run(void *context, double seconds, double *figures)
{
    const struct executor_chain *chain = context;
    figures[0] = fmax(run_threads(chain, 2, HALF_BATCH, seconds / 2),
                      run_threads(chain, chain->step_count, STEP_BATCH, seconds / 2));
    return true;
}
