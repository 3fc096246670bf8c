/*
 * latency.h: one message at a time, to and fro: how long each takes, and percentiles of that.
 *
 * Closed loop: the next message leaves when the last one is back; the time counts from its own departure. Open loop: a
 * message is due each `period_ns`, whatever became of those before it, and its time counts from when it was due, so one
 * slow answer is charged to all that had to wait for it (no coordinated omission).
 */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stddef.h>
#include <stdint.h>

/* p50, p90, p99, p99.9, p99.99: the figures, in nanoseconds, in this order. */
enum { LATENCY_PERCENTILE_COUNT = 5 };

struct latency_run {
    int64_t period_ns; /* 0: closed loop */
    double seconds;
    double *samples_ns; /* kept at most LATENCY_SAMPLE_MAX */
    size_t sample_count;
};

enum { LATENCY_SAMPLE_MAX = 2 << 20 };

/* Sends messages by `exchange(context)`, which returns when the answer is there, for `run->seconds`, after a tenth of
 * that to warm up. On the calling thread. */
void latency_exchange(struct latency_run *run, void (*exchange)(void *context), void *context);

/* Runs `contestant` and writes the percentiles of its samples. `percentile_count`: the first so many. */
void latency_figures(void (*contestant)(struct latency_run *run), int64_t period_ns, double seconds, double *figures,
                     size_t percentile_count);

#endif
