/*
 * chain: queues and passthrough workers in turn, and a sink at the end, fed by the embedding program: 128-byte messages
 * through 3, 5, 11 and 21 nodes (such a chain has an odd number). The limit and the peers have a step or stage for each
 * node and one for the program. Beside each, the same chain with a thread a node (--threads per-node).
 */
#include "bench/limits/executor.h"
#include "bench/measure.h"
#include "bench/peers/peers.h"
#include "bench/support.h"

#include <stdio.h>

enum { TEXT_BYTES = 128 };

static uint64_t sink_count(void *context)
{
    return bench_counts(context, "sink").in_count;
}

static void add_nodes(struct bench_flags *flags, unsigned node_count)
{
    unsigned last = node_count / 2;
    for (unsigned i = 0; i < last; i++) {
        bench_flags_add(flags, "--mq --address q%u", i);
        if (i + 1 < last)
            bench_flags_add(flags, "--worker --input-address q%u --output-address q%u --function passthrough", i,
                            i + 1);
        else
            bench_flags_add(flags, "--worker --input-address q%u --output-address out --function passthrough", i);
    }
    bench_flags_add(flags, "--sink --address out");
}

struct chain {
    unsigned node_count;
    const char *threads; /* what --threads says */
};

static bool run_chain(void *context, double seconds, double *figures)
{
    struct bench_flags flags = {0};
    struct millrace_error error = {""};
    millrace_producer *producer;
    struct bench_feeder feeder;
    const struct chain *chain = context;
    bench_flags_add(&flags, "--threads %s", chain->threads);
    add_nodes(&flags, chain->node_count);
    millrace_launch *launch = bench_open(flags.count, flags.words);
    bench_must(millrace_producer_open(launch, "q0", &producer, &error), error.text);
    bench_start(launch);
    bench_feeder_start(&feeder, producer, TEXT_BYTES);
    figures[0] = bench_rate(sink_count, launch, seconds);
    bench_feeder_stop(&feeder);
    millrace_launch_close(&launch);
    bench_flags_free(&flags);
    return true;
}

static void measure_chain(unsigned node_count)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "messages/s", .ratio = 0.5};
    struct chain ours = {.node_count = node_count, .threads = "auto"};
    struct executor_chain steps = {.step_count = node_count + 1, .bytes = TEXT_BYTES};
    struct peer_chain stages = {.stage_count = steps.step_count, .bytes = TEXT_BYTES};
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_chain, .context = &ours},
        {.name = "bare executor", .role = MEASURE_LIMIT, .run = executor_run, .context = &steps},
        {.name = "ZeroMQ inproc", .role = MEASURE_PEER, .run = zeromq_chain_run, .context = &stages},
        {.name = "oneTBB pipeline", .role = MEASURE_PEER, .run = tbb_chain_run, .context = &stages},
    };
    char workload[64];
    snprintf(workload, sizeof workload, "%u nodes in a row, 128 bytes", node_count);
    measure_contest(&(struct measure_contest){
        .workload = workload,
        .metrics = &rate,
        .metric_count = 1,
        .contestants = contestants,
        .contestant_count = sizeof contestants / sizeof contestants[0],
    });
}

/* What the default placement is beside: without a limit, and nothing is asked of it. */
static void measure_threads(unsigned node_count)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "messages/s"};
    struct chain chain = {.node_count = node_count, .threads = "per-node"};
    char workload[64];
    snprintf(workload, sizeof workload, "%u nodes in a row, 128 bytes, a thread a node", node_count);
    measure_contest(&(struct measure_contest){
        .workload = workload,
        .metrics = &rate,
        .metric_count = 1,
        .contestants = &(const struct measure_contestant){.name = "millrace", .run = run_chain, .context = &chain},
        .contestant_count = 1,
    });
}

int main(int count, char **arguments)
{
    static const unsigned node_counts[] = {3, 5, 11, 21};
    measure_open(count, arguments);
    for (size_t i = 0; i < sizeof node_counts / sizeof node_counts[0]; i++) {
        measure_chain(node_counts[i]);
        measure_threads(node_counts[i]);
    }
    return measure_close();
}
