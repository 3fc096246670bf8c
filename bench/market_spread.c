/*
 * market_spread: generated files through feeder, queue, marketspread worker and sink in one process: every message
 * read, stamped, parsed in full, and every order answered and measured at the sink.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/round_trip.h"
#include "bench/support.h"
#include "nodes/fixgen.h"

enum { RUN_COUNT = 5, LINE_COUNT = 500000 };

static double run(const char *nbbo, const char *trades)
{
    const char *const flags[] = {"--feeder",     "--address",        "orders",    "--path",
                                 nbbo,           "--path",           trades,      "--mq",
                                 "--address",    "orders",           "--worker",  "--input-address",
                                 "orders",       "--output-address", "results",   "--function",
                                 "marketspread", "--sink",           "--address", "results"};
    millrace_launch *launch = bench_open(sizeof flags / sizeof flags[0], flags);
    int64_t start_ns = bench_now_ns();
    bench_start(launch);
    while (bench_counts(launch, "worker").in_count < 2 * LINE_COUNT)
        bench_wait_ns(1000000);
    uint64_t results = bench_counts(launch, "worker").out_count;
    while (bench_counts(launch, "sink").in_count < results)
        bench_wait_ns(100000);
    double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    millrace_launch_close(&launch);
    return 2 * LINE_COUNT / seconds;
}

int main(void)
{
    char directory[] = "/tmp/millrace-bench-XXXXXX";
    char nbbo[64];
    char trades[64];
    struct error error = {0};
    if (mkdtemp(directory) == NULL)
        return 1;
    struct fixgen_settings settings = {
        .symbol_count = 500, .order_count = LINE_COUNT, .quote_count = LINE_COUNT, .seed = 1, .out_dir = directory};
    snprintf(nbbo, sizeof nbbo, "%s/nbbo.msg", directory);
    snprintf(trades, sizeof trades, "%s/trades.msg", directory);
    int result = 1;
    if (fixgen_write(&settings, &error) == STATUS_OK) {
        double rates[RUN_COUNT];
        double round_trip_ns = bench_round_trip_ns();
        for (unsigned i = 0; i < RUN_COUNT; i++)
            rates[i] = run(nbbo, trades);
        double median = bench_median(rates, RUN_COUNT);
        printf("market spread, one process: %.2f million messages a second (%.2f to %.2f); a cache line to and fro: "
               "%.0f ns\n",
               median / 1e6, rates[0] / 1e6, rates[RUN_COUNT - 1] / 1e6, round_trip_ns);
        result = 0;
    } else {
        fprintf(stderr, "bench: %s\n", error.text);
    }
    unlink(nbbo);
    unlink(trades);
    rmdir(directory);
    return result;
}
