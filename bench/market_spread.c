/*
 * market_spread: generated files through feeder, queue, marketspread worker and sink in one process: every message
 * read, stamped, parsed in full, and every order answered and measured at the sink. The limit is one thread that parses
 * and looks up, without an engine: half of it a processor is all of it on two.
 */
#include "bench/market.h"

int main(int count, char **arguments)
{
    return market_benchmark(count, arguments, "market spread, one process", MARKET_QUOTE_COUNT,
                            (struct measure_metric){.ratio = 1, .bound = 8e6},
                            (struct measure_contestant){.name = "millrace", .run = market_spread_run},
                            (struct measure_contestant){.name = "one thread, no engine", .run = market_limit_run});
}
