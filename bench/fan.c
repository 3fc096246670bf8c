/*
 * fan: one to four to one: 128-byte messages from one queue or worker to four workers and from these to one sink, in
 * three ways. What is counted is moves: each message that a node takes from an edge. The limit is `edge` in the same
 * run: the program to a sink, where a message moves once.
 */
#include "bench/measure.h"
#include "bench/support.h"

#include <string.h>

enum { TEXT_BYTES = 128, MANY = 4 };

/* A workload: its flags, where the program feeds, and the nodes, ended by NULL. */
struct fan {
    const char *flags;
    const char *entry;
    const char *nodes[12];
};

/* Chooses the output by the eight bytes at 8: the message's number, as the feeder writes it. */
static void by_key_apply(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                         size_t length)
{
    uint64_t key = 0;
    (void)state;
    if (length >= 16)
        memcpy(&key, (const char *)data + 8, sizeof key);
    /* Knuth's multiplicative hash: neighbours do not follow each other round. */
    host->emit(call, (int64_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 60), data, length);
}

static const struct millrace_function by_key = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "bykey",
    .title = "By key",
    .summary = "chooses the output by the message's number",
    .apply = by_key_apply,
};

struct view {
    millrace_launch *launch;
    const struct fan *fan;
};

static uint64_t moved_count(void *context)
{
    const struct view *view = context;
    return bench_moved_count(view->launch, view->fan->nodes);
}

static bool run_fan(void *context, double seconds, double *figures)
{
    const struct fan *fan = context;
    struct bench_flags flags = {0};
    struct millrace_error error = {""};
    millrace_producer *producer;
    struct bench_feeder feeder;
    bench_flags_add(&flags, "%s", fan->flags);
    struct view view = {.launch = bench_open(flags.count, flags.words), .fan = fan};
    bench_must(millrace_launch_add_function(view.launch, &by_key, &error), error.text);
    bench_must(millrace_producer_open(view.launch, fan->entry, &producer, &error), error.text);
    bench_start(view.launch);
    bench_feeder_start(&feeder, producer, TEXT_BYTES);
    figures[0] = bench_rate(moved_count, &view, seconds);
    bench_feeder_stop(&feeder);
    millrace_launch_close(&view.launch);
    bench_flags_free(&flags);
    return true;
}

#define FOUR_QUEUES "--mq --address q0 --mq --address q1 --mq --address q2 --mq --address q3 "
#define FOUR_WORKERS                                                                                                   \
    "--worker --input-address q0 --output-address out --function passthrough "                                         \
    "--worker --input-address q1 --output-address out --function passthrough "                                         \
    "--worker --input-address q2 --output-address out --function passthrough "                                         \
    "--worker --input-address q3 --output-address out --function passthrough "
#define TO_FOUR "--output-address q0 --output-address q1 --output-address q2 --output-address q3 "

static struct fan edge = {.flags = "--sink --address out", .entry = "out", .nodes = {"sink"}};

static const struct {
    const char *workload;
    struct fan fan;
} fans[] = {
    {
        "1 to 4 to 1, in turn",
        {.flags = "--mq --address in --worker --count 4 --input-address in --output-address out --function passthrough "
                  "--sink --address out",
         .entry = "in",
         .nodes = {"mq", "worker 1", "worker 2", "worker 3", "worker 4", "sink"}},
    },
    {
        "1 to 4 to 1, by key",
        {.flags = "--mq --address in --worker --input-address in --function bykey " TO_FOUR FOUR_QUEUES FOUR_WORKERS
                  "--sink --address out",
         .entry = "in",
         .nodes = {"mq 1", "worker 1", "mq 2", "mq 3", "mq 4", "mq 5", "worker 2", "worker 3", "worker 4", "worker 5",
                   "sink"}},
    },
    {
        "1 to 4 to 1, to all",
        {.flags = "--mq --address in --worker --input-address in --function passthrough --route broadcast " TO_FOUR
             FOUR_QUEUES FOUR_WORKERS "--sink --address out",
         .entry = "in",
         .nodes = {"mq 1", "worker 1", "mq 2", "mq 3", "mq 4", "mq 5", "worker 2", "worker 3", "worker 4", "worker 5",
                   "sink"}},
    },
};

int main(int count, char **arguments)
{
    static const struct measure_metric rate = {.name = "moves", .unit = "messages/s", .ratio = 0.5};
    measure_open(count, arguments);
    for (size_t i = 0; i < sizeof fans / sizeof fans[0]; i++) {
        struct fan fan = fans[i].fan;
        const struct measure_contestant contestants[] = {
            {.name = "millrace", .role = MEASURE_OURS, .run = run_fan, .context = &fan},
            {.name = "edge", .role = MEASURE_LIMIT, .run = run_fan, .context = &edge},
        };
        measure_contest(&(struct measure_contest){.workload = fans[i].workload,
                                                  .metrics = &rate,
                                                  .metric_count = 1,
                                                  .contestants = contestants,
                                                  .contestant_count = 2});
    }
    return measure_close();
}
