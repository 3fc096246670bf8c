/*
 * idle: ten nodes in a row with nothing to do: what they cost, and how long the first message after a rest takes
 * through all ten.
 */
#include <stdio.h>
#include <sys/resource.h>

#include "bench/support.h"

enum { FIRST_COUNT = 101 };

static const char *const flags[] = {
    "--mq", "--address",        "a",           "--worker",   "--input-address",
    "a",    "--output-address", "b",           "--function", "passthrough",
    "--mq", "--address",        "b",           "--worker",   "--input-address",
    "b",    "--output-address", "c",           "--function", "passthrough",
    "--mq", "--address",        "c",           "--worker",   "--input-address",
    "c",    "--output-address", "d",           "--function", "passthrough",
    "--mq", "--address",        "d",           "--worker",   "--input-address",
    "d",    "--output-address", "e",           "--function", "passthrough",
    "--mq", "--address",        "127.0.0.1:0", "--mq",       "--address",
    "e",
};

static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(void)
{
    struct millrace_error error = {""};
    millrace_producer *producer;
    millrace_consumer *consumer;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "a", &producer, &error), error.text);
    bench_must(millrace_consumer_open(launch, "e", &consumer, &error), error.text);
    bench_start(launch);
    bench_wait_ns(200000000);

    double start = processor_seconds();
    bench_wait_ns(3000000000);
    double share = (processor_seconds() - start) / 3;

    double first_us[FIRST_COUNT];
    for (unsigned i = 0; i < FIRST_COUNT; i++) {
        struct millrace_message message;
        bench_wait_ns(10000000);
        int64_t start_ns = bench_now_ns();
        bench_must(millrace_put(producer, "x", 1), "the ring is full");
        bench_must(millrace_flush(producer), "the ring is full");
        bench_must(millrace_take_wait(consumer, &message, 1000000000), "no answer");
        first_us[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    double median = bench_median(first_us, FIRST_COUNT);
    millrace_launch_close(&launch);
    printf(
        "idle, ten nodes: %.3f %% of a processor; the first message through nine of them: p50 %.0f us, p99 %.0f us\n",
        share * 100, median, first_us[FIRST_COUNT - 2]);
    return 0;
}
