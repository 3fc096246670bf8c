/*
 * stats.h: what a node counts, while it runs, for anybody to read.
 *
 * Each number has one writer, the node's thread, which adds with a relaxed load and store (no locked instruction); any
 * thread may read at any time and sees each number whole. Numbers only grow, but for the gauge.
 */
#ifndef ENGINE_STATS_H
#define ENGINE_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block.h"

/* ---- latencies ---- */

/*
 * A histogram with decimal bins: each decade from 1 ns to 10,000 s has 90 bins of two leading digits (10 to 99), so
 * that the decades that metrics report are exact and percentiles are exact to two digits.
 */
enum { HISTOGRAM_DECADE_COUNT = 13, HISTOGRAM_DECADE_BINS = 90 };

struct histogram {
    _Atomic uint64_t bins[HISTOGRAM_DECADE_COUNT][HISTOGRAM_DECADE_BINS];
    _Atomic uint64_t sum_ns[HISTOGRAM_DECADE_COUNT];
};

/* A copy that is no longer shared; the difference of two is the histogram of the time between. */
struct histogram_copy {
    uint64_t bins[HISTOGRAM_DECADE_COUNT][HISTOGRAM_DECADE_BINS];
    uint64_t sum_ns[HISTOGRAM_DECADE_COUNT];
};

/* Counts `count` latencies of `latency_ns` each (negative: a clock was set back; taken as 0). The node's thread. */
void histogram_record(struct histogram *histogram, int64_t latency_ns, uint64_t count);

void histogram_read(const struct histogram *histogram, struct histogram_copy *copy);
void histogram_subtract(struct histogram_copy *copy, const struct histogram_copy *earlier);
uint64_t histogram_count(const struct histogram_copy *copy);
uint64_t histogram_decade_count(const struct histogram_copy *copy, unsigned decade);
/* Decade d holds latencies below 10^d ns and not below 10^(d-1): its upper bound in ns. d is 1 to 13 for index 0 to 12.
 */
int64_t histogram_decade_bound_ns(unsigned decade);
/* The bin's middle at which `quantile` (0 to 1) of the latencies lie below or in it; 0 if there are none. */
int64_t histogram_quantile_ns(const struct histogram_copy *copy, double quantile);

/* ---- counters ---- */

/* A counter's definition: a row of a node type's table. */
struct counter {
    const char *name; /* field_standard_name, as shown in the final line and the table */
    const char *help;
    bool is_drop; /* a message ended here: part of "dropped" */
};

enum { STATS_COUNTER_MAX = 64 };

struct node_stats {
    /* Messages that came in and went out. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t in_count;
    _Atomic uint64_t out_count;
    /* A gauge: messages that rest in the node. */
    _Atomic uint64_t queued_count;
    /* Turns of the thread's loop that found work. */
    _Atomic uint64_t step_count;
    _Atomic uint64_t counters[STATS_COUNTER_MAX];
    struct histogram latency;
    /* Constant once the node is open. `extra` names the counters of a worker's function. */
    const struct counter *definitions;
    size_t definition_count;
    const char *const *extra_names;
    size_t extra_count;
};

_Static_assert(sizeof(struct node_stats) % CACHE_LINE_BYTES == 0, "two nodes' counts share no cache line");

static inline void stats_add(_Atomic uint64_t *number, uint64_t n)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void stats_set(_Atomic uint64_t *number, uint64_t n)
{
    atomic_store_explicit(number, n, memory_order_relaxed);
}

static inline uint64_t stats_get(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static inline void stats_count(struct node_stats *stats, unsigned counter)
{
    stats_add(&stats->counters[counter], 1);
}

/* The sum of the counters that are drops. */
uint64_t stats_dropped_count(const struct node_stats *stats);

#endif
