/*
 * measure.h: how a benchmark compares millrace with a limit and with peers.
 *
 * A contest is one workload and those who run it: millrace (through its public interface or its program), the limit (the
 * bare machine, hand-written) and peers. They run in turn, round after round, so that what the machine does meanwhile
 * meets all of them. Ratios are made within a round, and their median is reported: a round is only compared with
 * itself. Beside each round the way of a cache line between two processors is measured, because everything that crosses
 * processors follows it.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

enum { MEASURE_METRIC_MAX = 8, MEASURE_CONTESTANT_MAX = 8 };

/* A figure that each run of a contest yields. */
struct measure_metric {
    const char *name; /* "rate", "p99" */
    const char *unit; /* "messages/s", "ns", "%" */
    bool lower_is_better;
    /* What is asked of millrace; 0: nothing. `ratio`: of the limit, at least so much of it (or at most, where lower is
     * better). `bound`: in the metric's unit, in the same sense. */
    double ratio;
    double bound;
};

enum measure_role { MEASURE_OURS, MEASURE_LIMIT, MEASURE_PEER };

struct measure_contestant {
    const char *name; /* "millrace", "two bare rings", "ZeroMQ inproc" */
    enum measure_role role;
    /* Runs the workload for about `seconds` and writes a figure for each metric. False: it cannot (a peer that is not
     * installed); it is then left out. Ends the program, with a text, on a failure that is not a peer's absence. */
    bool (*run)(void *context, double seconds, double *figures);
    void *context;
};

struct measure_contest {
    const char *workload; /* "1 producer, 1 consumer, 128 bytes" */
    const struct measure_metric *metrics;
    size_t metric_count;
    const struct measure_contestant *contestants; /* exactly one is MEASURE_OURS; at most one is MEASURE_LIMIT */
    size_t contestant_count;
};

/* Reads the flags that all benchmarks know (--seconds N for each run, --rounds N); the last component of
 * `arguments[0]` is the benchmark's name. Ends the program, with a text, for others. */
void measure_open(int count, char **arguments);

/* Runs the contest and writes one line of JSON for each metric to stdout; what goes on to stderr. */
void measure_contest(const struct measure_contest *contest);

/* 0, or 1 if a contest missed what was asked. */
int measure_close(void);

/* Percentiles of `count` latencies; sorts them. `fraction` 0.99 is p99. */
double measure_percentile(double *sorted_or_not, size_t count, double fraction);

#endif
