/*
 * pong: the README's game, one queue and one worker in one process, with 1 and with 1,000 balls in play. A rally is one
 * message through both. The limit is two threads without an engine.
 */
#include <stdio.h>

#include "bench/limits/rally.h"
#include "bench/measure.h"
#include "bench/support.h"

static uint64_t rally_count(void *context)
{
    return bench_counts(context, "worker").out_count;
}

static bool run_pong(void *context, double seconds, double *figures)
{
    static const char *const flags[] = {"--mq",  "--address",        "table", "--worker",   "--input-address",
                                        "table", "--output-address", "table", "--function", "pong"};
    struct millrace_error error = {""};
    millrace_producer *producer;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "table", &producer, &error), error.text);
    bench_start(launch);
    for (unsigned i = 0; i < *(unsigned *)context; i++)
        bench_must(millrace_put(producer, "ping", 4), "the ring is full");
    bench_must(millrace_flush(producer), "the ring is full");
    figures[0] = bench_rate(rally_count, launch, seconds);
    millrace_launch_close(&launch);
    return true;
}

int main(int count, char **arguments)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "rallies/s"};
    static unsigned ball_counts[] = {1, 1000};
    measure_open(count, arguments);
    for (size_t i = 0; i < sizeof ball_counts / sizeof ball_counts[0]; i++) {
        const struct measure_contestant contestants[] = {
            {.name = "millrace", .role = MEASURE_OURS, .run = run_pong, .context = &ball_counts[i]},
            {.name = "a loop of two threads", .role = MEASURE_LIMIT, .run = rally_run, .context = &ball_counts[i]},
        };
        char workload[32];
        snprintf(workload, sizeof workload, "%u ball%s", ball_counts[i], ball_counts[i] == 1 ? "" : "s");
        measure_contest(&(struct measure_contest){.workload = workload,
                                                  .metrics = &rate,
                                                  .metric_count = 1,
                                                  .contestants = contestants,
                                                  .contestant_count = 2});
    }
    return measure_close();
}
