/*
 * idle: ten nodes in a row with nothing to do, one of them with a socket: what they cost, and how long the first
 * message after a rest takes through nine of them.
 */
#include <sys/resource.h>

#include "bench/measure.h"
#include "bench/support.h"

enum { FIRST_COUNT = 100, REST_NS = 10000000, AWAKE_NS = 1000000, SETTLE_NS = 200000000 };

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

/* Each counts from when it was due (see latency.h). */
static void time_firsts(millrace_producer *producer, millrace_consumer *consumer, double *first_us)
{
    for (unsigned i = 0; i < FIRST_COUNT; i++) {
        struct millrace_message message;
        int64_t due_ns = bench_now_ns() + REST_NS;
        bench_wait_until_ns(due_ns, AWAKE_NS);
        bench_must(millrace_put(producer, "x", 1), "the ring is full");
        bench_must(millrace_flush(producer), "the ring is full");
        bench_must(millrace_take_wait(consumer, &message, 1000000000), "no answer");
        first_us[i] = (double)(bench_now_ns() - due_ns) / 1e3;
    }
}

static bool run_idle(void *context, double seconds, double *figures)
{
    struct millrace_error error = {""};
    millrace_producer *producer;
    millrace_consumer *consumer;
    double first_us[FIRST_COUNT];
    (void)context;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "a", &producer, &error), error.text);
    bench_must(millrace_consumer_open(launch, "e", &consumer, &error), error.text);
    bench_start(launch);
    bench_wait_ns(SETTLE_NS);
    double start = processor_seconds();
    bench_wait_ns((int64_t)(seconds * 1e9));
    figures[0] = (processor_seconds() - start) / seconds * 100;
    time_firsts(producer, consumer, first_us);
    figures[1] = measure_percentile(first_us, FIRST_COUNT, 0.5);
    figures[2] = measure_percentile(first_us, FIRST_COUNT, 0.99);
    millrace_launch_close(&launch);
    return true;
}

int main(int count, char **arguments)
{
    static const struct measure_metric metrics[] = {
        {.name = "processor", .unit = "%", .lower_is_better = true, .bound = 0.2},
        {.name = "first p50", .unit = "us", .lower_is_better = true},
        {.name = "first p99", .unit = "us", .lower_is_better = true, .bound = 200},
    };
    static const struct measure_contestant ours = {.name = "millrace", .role = MEASURE_OURS, .run = run_idle};
    measure_open(count, arguments);
    measure_contest(&(struct measure_contest){.workload = "ten nodes, nothing to do",
                                              .metrics = metrics,
                                              .metric_count = sizeof metrics / sizeof metrics[0],
                                              .contestants = &ours,
                                              .contestant_count = 1});
    return measure_close();
}
