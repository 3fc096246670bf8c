/*
 * market_spread: generated files through feeder, queue, marketspread worker and sink in one process: every message
 * read, stamped, parsed in full, and every order answered and measured at the sink. The limit is one thread that parses
 * and looks up, without an engine: half of it a processor is all of it on two.
 */
#include "bench/market.h"
#include "bench/measure.h"

enum { QUOTE_COUNT = 500000 };

static bool run_market(void *context, double seconds, double *figures)
{
    const struct market *market = context;
    struct bench_flags flags = {0};
    bench_flags_add(&flags, "--feeder --address orders --path %s --path %s", market->nbbo_path, market->trades_path);
    bench_flags_add(&flags, "--mq --address orders");
    bench_flags_add(&flags, "--worker --input-address orders --output-address results --function marketspread");
    bench_flags_add(&flags, "--sink --address results");
    figures[0] = market_launch_rate(market, &flags, seconds);
    bench_flags_free(&flags);
    return true;
}

int main(int count, char **arguments)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "messages/s", .ratio = 1, .bound = 8e6};
    struct market market;
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_market, .context = &market},
        {.name = "one thread, no engine", .role = MEASURE_LIMIT, .run = market_limit_run, .context = &market},
    };
    measure_open(count, arguments);
    market_open(&market, QUOTE_COUNT);
    measure_contest(&(struct measure_contest){.workload = "market spread, one process",
                                              .metrics = &rate,
                                              .metric_count = 1,
                                              .contestants = contestants,
                                              .contestant_count = 2});
    market_close(&market);
    return measure_close();
}
