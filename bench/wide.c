/*
 * wide: what grows must not grow dearer. Launches of 1 to 1,001 nodes (a hop's cost), queues of 1 and 10 million
 * messages (the cost of putting and taking, the memory of a message), messages of 1 byte to 1 MiB (bytes a second).
 *
 * The smallest of each stands in the place of the limit: "flat" is asked for as at most twice its cost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/support.h"

/* ---- many nodes ---- */

enum { HOP_TEXT_BYTES = 128, NODE_NAME_BYTES = 24 };

/* A chain of queues and workers in turn, which begins and ends with a queue, and whose end the program takes. */
struct row {
    unsigned node_count; /* odd */
    millrace_launch *launch;
    millrace_consumer *consumer;
    pthread_t taker;
    _Atomic uint64_t taken_count; /* writer: the taker; relaxed */
};

static void add_row(struct bench_flags *flags, unsigned node_count)
{
    for (unsigned i = 0; i <= node_count / 2; i++) {
        bench_flags_add(flags, "--mq --address q%u", i);
        if (i < node_count / 2)
            bench_flags_add(flags, "--worker --input-address q%u --output-address q%u --function passthrough", i,
                            i + 1);
    }
}

static void *take_all(void *argument)
{
    struct row *row = argument;
    struct millrace_message message;
    uint64_t count = 0;
    while (millrace_take_wait(row->consumer, &message, -1) == MILLRACE_OK)
        atomic_store_explicit(&row->taken_count, ++count, memory_order_relaxed);
    return NULL;
}

/* Over each edge: into each node, and to the taker. */
static uint64_t hop_count(void *context)
{
    struct row *row = context;
    uint64_t count = atomic_load_explicit(&row->taken_count, memory_order_relaxed);
    if (row->node_count == 1)
        return count + bench_counts(row->launch, "mq").in_count;
    for (unsigned i = 0; i < row->node_count; i++) {
        char name[NODE_NAME_BYTES];
        bool one_worker = row->node_count == 3 && i % 2 == 1;
        snprintf(name, sizeof name, one_worker ? "worker" : i % 2 == 0 ? "mq %u" : "worker %u", i / 2 + 1);
        count += bench_counts(row->launch, name).in_count;
    }
    return count;
}

static bool run_row(void *context, double seconds, double *figures)
{
    struct row row = {.node_count = *(unsigned *)context};
    struct bench_flags flags = {0};
    struct millrace_error error = {""};
    millrace_producer *producer;
    struct bench_feeder feeder;
    char last[NODE_NAME_BYTES];
    add_row(&flags, row.node_count);
    snprintf(last, sizeof last, "q%u", row.node_count / 2);
    row.launch = bench_open(flags.count, flags.words);
    bench_must(millrace_producer_open(row.launch, "q0", &producer, &error), error.text);
    bench_must(millrace_consumer_open(row.launch, last, &row.consumer, &error), error.text);
    bench_start(row.launch);
    row.taker = bench_thread(take_all, &row);
    bench_feeder_start(&feeder, producer, HOP_TEXT_BYTES);
    figures[0] = 1e9 / bench_rate(hop_count, &row, seconds);
    bench_feeder_stop(&feeder);
    millrace_launch_stop(row.launch);
    pthread_join(row.taker, NULL);
    millrace_launch_close(&row.launch);
    bench_flags_free(&flags);
    return true;
}

static void measure_rows(void)
{
    static const struct measure_metric hop = {.name = "hop", .unit = "ns", .lower_is_better = true, .ratio = 2};
    static unsigned node_counts[] = {1, 11, 101, 1001};
    for (size_t i = 1; i < sizeof node_counts / sizeof node_counts[0]; i++) {
        const struct measure_contestant contestants[] = {
            {.name = "millrace", .role = MEASURE_OURS, .run = run_row, .context = &node_counts[i]},
            {.name = "one node", .role = MEASURE_LIMIT, .run = run_row, .context = &node_counts[0]},
        };
        char workload[64];
        snprintf(workload, sizeof workload, "%u nodes in a row, a message's hop", node_counts[i]);
        measure_contest(&(struct measure_contest){.workload = workload,
                                                  .metrics = &hop,
                                                  .metric_count = 1,
                                                  .contestants = contestants,
                                                  .contestant_count = 2});
    }
}

/* ---- many messages ---- */

enum { DEPTH_METRIC_COUNT = 3, DEPTH_TEXT_MAX = 128 };

struct depth {
    unsigned count; /* messages */
    size_t bytes;   /* of each */
};

static double resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1)
        bench_fail("/proc/self/statm cannot be read");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void put_all(millrace_launch *launch, millrace_producer *producer, const struct depth *depth)
{
    char text[DEPTH_TEXT_MAX] = "m";
    for (unsigned i = 0; i < depth->count; i++) {
        enum millrace_result result;
        while ((result = millrace_put(producer, text, depth->bytes)) == MILLRACE_AGAIN)
            bench_must(millrace_put_wait(producer, -1), "the queue takes no more");
        bench_must(result, "a message could not be put");
    }
    bench_must(millrace_put_wait(producer, -1), "not all messages could be put");
    while (bench_counts(launch, "mq").in_count < depth->count)
        bench_wait_ns(100000);
}

/* On a process of its own, whose memory nothing else has grown. */
static void measure_depth(const struct depth *depth, double *figures)
{
    static const char *const flags[] = {"--mq", "--address", "deep", "--capacity-bytes", "8G"};
    struct millrace_error error = {""};
    millrace_producer *producer;
    millrace_consumer *consumer;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "deep", &producer, &error), error.text);
    bench_must(millrace_consumer_open(launch, "deep", &consumer, &error), error.text);
    bench_start(launch);
    double before_bytes = resident_bytes();
    int64_t start_ns = bench_now_ns();
    put_all(launch, producer, depth);
    int64_t full_ns = bench_now_ns();
    figures[2] = (resident_bytes() - before_bytes) / depth->count - (double)depth->bytes;
    int64_t take_ns = bench_now_ns();
    for (unsigned i = 0; i < depth->count; i++) {
        struct millrace_message message;
        bench_must(millrace_take_wait(consumer, &message, INT64_C(10000000000)), "a message did not come");
    }
    figures[0] = (double)(full_ns - start_ns) / depth->count;
    figures[1] = (double)(bench_now_ns() - take_ns) / depth->count;
    millrace_launch_close(&launch);
}

/* As many messages as `context` says, however long that takes. */
static bool run_depth(void *context, double seconds, double *figures)
{
    int ends[2];
    int status;
    const size_t bytes = DEPTH_METRIC_COUNT * sizeof *figures;
    (void)seconds;
    fflush(NULL);
    if (pipe(ends) != 0)
        bench_fail("no pipe");
    pid_t child = fork();
    if (child < 0)
        bench_fail("no process could be made");
    if (child == 0) {
        measure_depth(context, figures);
        _exit(write(ends[1], figures, bytes) == (ssize_t)bytes ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], figures, bytes);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || status != 0 || length != (ssize_t)bytes)
        bench_fail("the queue's process failed");
    return true;
}

static void measure_depths(void)
{
    static const struct measure_metric metrics[DEPTH_METRIC_COUNT] = {
        {.name = "put", .unit = "ns", .lower_is_better = true, .ratio = 2},
        {.name = "take", .unit = "ns", .lower_is_better = true, .ratio = 2},
        {.name = "memory beside the text", .unit = "bytes", .lower_is_better = true, .bound = 48},
    };
    static const size_t sizes[] = {16, 128};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct depth deep = {.count = 10000000, .bytes = sizes[i]};
        struct depth shallow = {.count = 1000000, .bytes = sizes[i]};
        const struct measure_contestant contestants[] = {
            {.name = "millrace", .role = MEASURE_OURS, .run = run_depth, .context = &deep},
            {.name = "1 million queued", .role = MEASURE_LIMIT, .run = run_depth, .context = &shallow},
        };
        char workload[64];
        snprintf(workload, sizeof workload, "10 million queued, %zu bytes", sizes[i]);
        measure_contest(&(struct measure_contest){.workload = workload,
                                                  .metrics = metrics,
                                                  .metric_count = DEPTH_METRIC_COUNT,
                                                  .contestants = contestants,
                                                  .contestant_count = 2});
    }
}

/* ---- long messages ---- */

static uint64_t sink_count(void *context)
{
    return bench_counts(context, "sink").in_count;
}

static bool run_size(void *context, double seconds, double *figures)
{
    static const char *const flags[] = {"--sink", "--address", "out"};
    const size_t bytes = *(size_t *)context;
    struct millrace_error error = {""};
    millrace_producer *producer;
    struct bench_feeder feeder;
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    bench_must(millrace_producer_open(launch, "out", &producer, &error), error.text);
    bench_start(launch);
    bench_feeder_start(&feeder, producer, bytes);
    figures[0] = bench_rate(sink_count, launch, seconds) * (double)bytes;
    bench_feeder_stop(&feeder);
    millrace_launch_close(&launch);
    return true;
}

static void measure_sizes(void)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "bytes/s"};
    static size_t sizes[] = {1, 128, 8192, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct measure_contestant ours = {
            .name = "millrace", .role = MEASURE_OURS, .run = run_size, .context = &sizes[i]};
        char workload[64];
        snprintf(workload, sizeof workload, "over one edge, %zu byte%s a message", sizes[i], sizes[i] == 1 ? "" : "s");
        measure_contest(&(struct measure_contest){
            .workload = workload, .metrics = &rate, .metric_count = 1, .contestants = &ours, .contestant_count = 1});
    }
}

int main(int count, char **arguments)
{
    measure_open(count, arguments);
    measure_rows();
    measure_depths();
    measure_sizes();
    return measure_close();
}
