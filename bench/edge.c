/*
 * edge: from the embedding program to a sink over one edge, 128-byte messages, with everything on that a sink does
 * (counts, times, the look for a feed time). The limit is a pool and a return ring by hand.
 */
#include "bench/limits/pool_ring.h"
#include "bench/measure.h"
#include "bench/peers/peers.h"
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
    size_t bytes = TEXT_BYTES;
    struct peer_chain stages = {.stage_count = 2, .bytes = TEXT_BYTES};
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_edge},
        {.name = "pool and return ring", .role = MEASURE_LIMIT, .run = pool_ring_run, .context = &bytes},
        {.name = "ZeroMQ inproc", .role = MEASURE_PEER, .run = zeromq_chain_run, .context = &stages},
        {.name = "oneTBB pipeline", .role = MEASURE_PEER, .run = tbb_chain_run, .context = &stages},
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
