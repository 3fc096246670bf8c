/*
 * router_tree: the README's tree: a queue, two fixrouter workers that split the market by symbol, two queues, two
 * marketspread workers, one sink. The limit is that of market_spread.
 */
#include "bench/market.h"

static bool run_tree(void *context, double seconds, double *figures)
{
    const struct market *market = context;
    struct bench_flags flags = {0};
    bench_flags_add(&flags, "--feeder --address in --path %s --path %s", market->nbbo_path, market->trades_path);
    bench_flags_add(&flags, "--mq --address in");
    bench_flags_add(&flags, "--worker --count 2 --input-address in --output-address q0 --output-address q1 "
                            "--function fixrouter");
    bench_flags_add(&flags, "--mq --address q0 --mq --address q1");
    bench_flags_add(&flags, "--worker --input-address q0 --output-address results --function marketspread");
    bench_flags_add(&flags, "--worker --input-address q1 --output-address results --function marketspread");
    bench_flags_add(&flags, "--sink --address results");
    figures[0] = market_launch_rate(market, &flags, seconds);
    bench_flags_free(&flags);
    return true;
}

int main(int count, char **arguments)
{
    return market_benchmark(count, arguments, "market spread behind two routers", MARKET_QUOTE_COUNT,
                            (struct measure_metric){0},
                            (struct measure_contestant){.name = "millrace", .run = run_tree},
                            (struct measure_contestant){.name = "one thread, no engine", .run = market_limit_run});
}
