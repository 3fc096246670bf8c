/*
 * guarantees: what a promise costs on the way of market spread: feeder, queue, worker, queue, worker, sink in one
 * launch, beside the same launch at most once in memory.
 */
#include "bench/market.h"
#include "bench/scratch.h"

/* Of one run: some 0.2 s in memory. */
enum { QUOTE_COUNT = 200000 };

struct level {
    const char *name;
    const char *queue_flags; /* "": in memory */
    const char *worker_flags;
    bool keeps;
    const struct market *market;
};

static bool run(void *context, double seconds, double *figures)
{
    const struct level *level = context;
    const struct market *market = level->market;
    char directory[SCRATCH_PATH_BYTES];
    int64_t spent_ns = 0;
    uint64_t message_count = 0;
    while ((double)spent_ns < seconds * 1e9) {
        struct bench_flags flags = {0};
        if (level->keeps) {
            scratch_open(directory);
            bench_flags_add(&flags, "--store %s", directory);
        }
        bench_flags_add(&flags, "--feeder --address orders --path %s --path %s", market->nbbo_path,
                        market->trades_path);
        bench_flags_add(&flags, "--mq --address orders %s", level->queue_flags);
        bench_flags_add(&flags, "--worker --input-address orders --output-address answers --function marketspread %s",
                        level->worker_flags);
        bench_flags_add(&flags, "--mq --address answers %s", level->queue_flags);
        bench_flags_add(&flags, "--worker --input-address answers --output-address results --function passthrough");
        bench_flags_add(&flags, "--sink --address results");
        spent_ns += market_launch_ns(market, &flags);
        message_count += market->line_count;
        bench_flags_free(&flags);
        if (level->keeps)
            scratch_close(directory);
    }
    figures[0] = (double)message_count / ((double)spent_ns / 1e9);
    return true;
}

static void contest(const struct market *market, struct level level, struct measure_metric rate)
{
    struct level plain = {.name = "at most once, in memory", .queue_flags = "", .worker_flags = "", .market = market};
    level.market = market;
    rate.name = "rate";
    rate.unit = "messages/s";
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run, .context = &level},
        {.name = plain.name, .role = MEASURE_LIMIT, .run = run, .context = &plain},
    };
    measure_contest(&(struct measure_contest){.workload = level.name,
                                              .metrics = &rate,
                                              .metric_count = 1,
                                              .contestants = contestants,
                                              .contestant_count = 2});
}

int main(int count, char **arguments)
{
    struct market market;
    measure_open(count, arguments);
    market_open(&market, QUOTE_COUNT);
    contest(&market,
            (struct level){.name = "market spread through two queues, at least once, in memory",
                           .queue_flags = "",
                           .worker_flags = "--guarantee at-least-once"},
            (struct measure_metric){.ratio = 1 / 1.5});
    contest(&market,
            (struct level){.name = "market spread through two queues, exactly once, async",
                           .queue_flags = "--durability async",
                           .worker_flags = "--guarantee exactly-once",
                           .keeps = true},
            (struct measure_metric){.bound = 2e5});
    contest(&market,
            (struct level){.name = "market spread through two queues, exactly once, sync",
                           .queue_flags = "--durability sync",
                           .worker_flags = "--guarantee exactly-once",
                           .keeps = true},
            (struct measure_metric){.bound = 2e5});
    market_close(&market);
    return measure_close();
}
