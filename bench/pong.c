/*
 * pong: the README's game, one queue and one worker in one process, with 1 and with 1,000 balls in play. A rally is one
 * message through both.
 */
#include <stdio.h>
#include <string.h>

#include "bench/round_trip.h"
#include "bench/support.h"

static const int64_t run_ns = 1000000000;
enum { RUN_COUNT = 5 };

static double play(unsigned balls)
{
    static const char *const flags[] = {"--mq",  "--address",        "table", "--worker",   "--input-address",
                                        "table", "--output-address", "table", "--function", "pong"};
    struct millrace_error error = {""};
    millrace_producer *producer;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "table", &producer, &error), error.text);
    bench_start(launch);
    for (unsigned i = 0; i < balls; i++)
        bench_must(millrace_put(producer, "ping", 4), "the ring is full");
    bench_must(millrace_flush(producer), "the ring is full");
    bench_wait_ns(run_ns / 5);
    int64_t start_ns = bench_now_ns();
    uint64_t start = bench_counts(launch, "worker").out_count;
    bench_wait_ns(run_ns);
    uint64_t rallies = bench_counts(launch, "worker").out_count - start;
    double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    millrace_launch_close(&launch);
    return (double)rallies / seconds;
}

int main(void)
{
    static const unsigned ball_counts[] = {1, 1000};
    for (size_t i = 0; i < sizeof ball_counts / sizeof ball_counts[0]; i++) {
        double rates[RUN_COUNT];
        double round_trip_ns = bench_round_trip_ns();
        for (unsigned j = 0; j < RUN_COUNT; j++)
            rates[j] = play(ball_counts[i]);
        double median = bench_median(rates, RUN_COUNT);
        printf("pong, %u ball%s: %.2f million rallies a second (%.2f to %.2f); a cache line to and fro: %.0f ns\n",
               ball_counts[i], ball_counts[i] == 1 ? "" : "s", median / 1e6, rates[0] / 1e6, rates[RUN_COUNT - 1] / 1e6,
               round_trip_ns);
    }
    return 0;
}
