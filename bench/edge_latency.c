/*
 * edge_latency: how long one message of 128 bytes takes to another thread and back: from the embedding program over an
 * edge to a queue, and over another edge back to the program. That is the shortest way there is in and out of a launch.
 *
 * Spinning: the next message leaves when the last is back, so neither thread gets to sleep; beside two bare rings.
 * Sparse: a thousand messages a second, each due at its time, and both threads asleep when it comes; beside two threads
 * that wake each other by futex.
 */
#include "bench/latency.h"
#include "bench/limits/bounce.h"
#include "bench/measure.h"
#include "bench/support.h"

enum { TEXT_BYTES = 128, SPARSE_PERIOD_NS = 1000000, SPARSE_PERCENTILES = 4 };

struct way {
    millrace_launch *launch;
    millrace_producer *producer;
    millrace_consumer *consumer;
    char text[TEXT_BYTES];
};

static void open_way(struct way *way)
{
    static const char *const flags[] = {"--mq", "--address", "wall"};
    struct millrace_error error = {""};
    *way = (struct way){.launch = bench_open(sizeof flags / sizeof flags[0], flags)};
    bench_must(millrace_producer_open(way->launch, "wall", &way->producer, &error), error.text);
    bench_must(millrace_consumer_open(way->launch, "wall", &way->consumer, &error), error.text);
    bench_start(way->launch);
}

static void send(struct way *way)
{
    way->text[0]++;
    bench_must(millrace_put(way->producer, way->text, sizeof way->text), "the ring is full");
    bench_must(millrace_flush(way->producer), "the ring is full");
}

static void exchange_spinning(void *context)
{
    struct way *way = context;
    struct millrace_message message;
    send(way);
    while (millrace_take(way->consumer, &message) != MILLRACE_OK)
        continue;
}

static void exchange_sleeping(void *context)
{
    struct way *way = context;
    struct millrace_message message;
    send(way);
    bench_must(millrace_take_wait(way->consumer, &message, INT64_C(10000000000)), "no answer in ten seconds");
}

static void run_spinning(struct latency_run *run)
{
    struct way way;
    open_way(&way);
    latency_exchange(run, exchange_spinning, &way);
    millrace_launch_close(&way.launch);
}

static void run_sparse(struct latency_run *run)
{
    struct way way;
    open_way(&way);
    latency_exchange(run, exchange_sleeping, &way);
    millrace_launch_close(&way.launch);
}

static bool spin_ours(void *context, double seconds, double *figures)
{
    (void)context;
    latency_figures(run_spinning, 0, seconds, figures, LATENCY_PERCENTILE_COUNT);
    return true;
}

static bool spin_limit(void *context, double seconds, double *figures)
{
    (void)context;
    latency_figures(bounce_rings_run, 0, seconds, figures, LATENCY_PERCENTILE_COUNT);
    return true;
}

static bool sparse_ours(void *context, double seconds, double *figures)
{
    (void)context;
    latency_figures(run_sparse, SPARSE_PERIOD_NS, seconds, figures, SPARSE_PERCENTILES);
    return true;
}

static bool sparse_limit(void *context, double seconds, double *figures)
{
    (void)context;
    latency_figures(bounce_futex_run, SPARSE_PERIOD_NS, seconds, figures, SPARSE_PERCENTILES);
    return true;
}

int main(int count, char **arguments)
{
    static const struct measure_metric percentiles[LATENCY_PERCENTILE_COUNT] = {
        {.name = "p50", .unit = "ns", .lower_is_better = true, .ratio = 2},
        {.name = "p90", .unit = "ns", .lower_is_better = true},
        {.name = "p99", .unit = "ns", .lower_is_better = true, .ratio = 3},
        {.name = "p99.9", .unit = "ns", .lower_is_better = true},
        {.name = "p99.99", .unit = "ns", .lower_is_better = true},
    };
    static const struct measure_contestant spinning[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = spin_ours},
        {.name = "two bare rings", .role = MEASURE_LIMIT, .run = spin_limit},
    };
    static const struct measure_contestant sparse[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = sparse_ours},
        {.name = "futex round trip", .role = MEASURE_LIMIT, .run = sparse_limit},
    };
    measure_open(count, arguments);
    measure_contest(&(struct measure_contest){.workload = "there and back, spinning",
                                              .metrics = percentiles,
                                              .metric_count = LATENCY_PERCENTILE_COUNT,
                                              .contestants = spinning,
                                              .contestant_count = 2});
    measure_contest(&(struct measure_contest){.workload = "there and back, asleep, 1,000 a second",
                                              .metrics = percentiles,
                                              .metric_count = SPARSE_PERCENTILES,
                                              .contestants = sparse,
                                              .contestant_count = 2});
    return measure_close();
}
