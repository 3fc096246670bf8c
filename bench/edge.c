/*
 * edge: from the embedding program to a sink over one edge, 128-byte messages, with everything on that a sink does
 * (counts, times, the look for a feed time). The limit is a pool and a return ring by hand.
 */
#include "bench/limits/pool_ring.h"
#include "bench/measure.h"
#include "bench/support.h"

enum { TEXT_BYTES = 128 };

static uint64_t sink_count(void *context)
{
    return bench_counts(context, "sink").in_count;
}

static bool run_edge(void *context, double seconds, double *figures)
{
    static const char *const flags[] = {"--sink", "--address", "out"};
    struct millrace_error error = {""};
    millrace_producer *producer;
    struct bench_feeder feeder;
    (void)context;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "out", &producer, &error), error.text);
    bench_start(launch);
    bench_feeder_start(&feeder, producer, TEXT_BYTES);
    figures[0] = bench_rate(sink_count, launch, seconds);
    bench_feeder_stop(&feeder);
    millrace_launch_close(&launch);
    return true;
}

int main(int count, char **arguments)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "messages/s", .ratio = 0.7};
    static struct pool_ring_settings pool = {.bytes = TEXT_BYTES, .batch = 32, .count = 1024};
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_edge},
        {.name = "pool and return ring", .role = MEASURE_LIMIT, .run = pool_ring_run, .context = &pool},
    };
    const struct measure_contest contest = {
        .workload = "source to sink over one edge, 128 bytes",
        .metrics = &rate,
        .metric_count = 1,
        .contestants = contestants,
        .contestant_count = sizeof contestants / sizeof contestants[0],
    };
    measure_open(count, arguments);
    measure_contest(&contest);
    return measure_close();
}
