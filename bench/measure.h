/*
 * measure.h: how a benchmark compares millrace with a limit and with peers.
 *
 * A contest is one workload and those who run it: millrace (through its public interface or its program), the limit
 * (the bare machine, hand-written) and peers. They run in turn, round after round, so that what the machine does
 * meanwhile meets all of them; every second round in the opposite order, so that none always follows the same one.
 * Ratios are made within a round, and their median is reported: a round is only compared with itself. Beside each round
 * the way of a cache line between two processors is measured (bench/round_trip.h), because everything that crosses
 * processors follows it; a round at whose end that has doubled or halved is run again, up to half as many times as
 * there are rounds.
 *
 * stdout gets one line of JSON for each metric, which bench/report.py reads:
 *
 *   {"benchmark": "edge", "workload": "1 producer, ...", "metric": "rate", "unit": "messages/s",
 *    "lower_is_better": false, "asked_ratio": 0.7, "asked_bound": 0, "seconds": 1, "round_trip_ns": [98.2, ...],
 *    "contestants": [{"name": "millrace", "role": "ours", "figures": [...], "median": ..., "min": ..., "max": ...},
 *                    {"name": "pool and return ring", "role": "limit", "figures": ..., "ratios": [...], ...}, ...]}
 *
 * `figures` and `round_trip_ns` have a value for each round; so have `ratios`: ours by theirs. asked_ratio and
 * asked_bound are 0 where nothing is asked. All from one thread.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

enum { MEASURE_METRIC_MAX = 8, MEASURE_CONTESTANT_MAX = 8, MEASURE_ROUND_MAX = 100 };

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
    /* Runs the workload for about `seconds` and writes a figure for each metric: above 0, or 0 in a contest of one.
     * False: it cannot (a peer that is not installed); it is then left out. Ends the program, with a text, on a failure
     * that is not a peer's absence.
     */
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

/* Reads the flags that all benchmarks know (--seconds N for each run, 1 if not given, and --rounds N, 5 if not given);
 * the last component of `arguments[0]` is the benchmark's name. Ends the program, with a text, for others. `arguments`
 * must stay. */
void measure_open(int count, char **arguments);

/* Runs the contest and writes one line of JSON for each metric to stdout; what goes on to stderr. */
void measure_contest(const struct measure_contest *contest);

/* What main returns: 0, or 1 if a line was not written. A contest that misses what was asked is no failure of the
 * benchmark: the report says so. */
int measure_close(void);

/* Percentiles of `count` latencies; sorts them. `fraction` 0.99 is p99: the smallest that at least so many are not
 * above. */
double measure_percentile(double *sorted_or_not, size_t count, double fraction);

#endif
