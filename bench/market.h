/*
 * market.h: what the market spread benchmarks share: a trading day in files, the same day in memory, the limit over it,
 * and a launch that runs through it.
 */
#ifndef BENCH_MARKET_H
#define BENCH_MARKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/measure.h"
#include "bench/support.h"

struct market_line {
    uint32_t offset, length;
};

struct market {
    char directory[32];
    char nbbo_path[48];   /* quotes */
    char trades_path[48]; /* orders */
    /* The lines as a feeder sends them: one of each file in turn, the time of feeding put in. */
    char *text;
    struct market_line *lines;
    size_t line_count;
};

/* Of those that run in one process: some 0.2 s a launch. */
enum { MARKET_QUOTE_COUNT = 500000 };

/* Generates so many quotes, and as many orders, of 500 symbols into a directory under /tmp, and reads them. */
void market_open(struct market *market, unsigned quote_count);
/* Takes the files away again. */
void market_close(struct market *market);

/* A contestant's run (bench/measure.h); `context` is struct market. One thread, no engine: each stamped line in memory
 * through the marketspread function, whose output is dropped. The figure is messages a second. */
bool market_limit_run(void *context, double seconds, double *figures);

/* Runs the launch of `flags` once; returns how long it took from its start to the last result at the sink. */
int64_t market_launch_ns(const struct market *market, const struct bench_flags *flags);

/* Runs the launch of `flags`, which feeds the market's files to the sink named "sink", from its start to the last
 * result at the sink, again and again until `seconds` are over; returns messages a second. */
double market_launch_rate(const struct market *market, const struct bench_flags *flags, double seconds);

/* A contestant's run; `context` is struct market. Market spread in one launch; the figure is messages a second. */
bool market_spread_run(void *context, double seconds, double *figures);

/* A whole benchmark of one contest over a market (see market_open): the program's main. Of `rate` what is asked counts,
 * of the contestants name and run; they get the market as their context. */
int market_benchmark(int count, char **arguments, const char *workload, unsigned quote_count,
                     struct measure_metric rate, struct measure_contestant ours, struct measure_contestant limit);

#endif
