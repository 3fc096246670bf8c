/*
 * metrics.h: what a node says of itself once a period, and the three forms of it: the datagram that goes to metrics
 * receivers, the post that goes to the monitoring hub, the table for people. Pure; any thread.
 *
 * Which second belongs to which period: the one in which it begins. So contiguous periods cover each second once, and
 * none is missing. A second that goes on in the next period may be counted in both, a part in each. A period in which
 * nothing flowed is posted with a zero for each second that it touches.
 */
#ifndef NODES_METRICS_METRICS_H
#define NODES_METRICS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/stats.h"
#include "engine/status.h"
#include "nodes/text/json_text.h"

/* Other programs may have other bins than our HISTOGRAM_DECADE_COUNT decades. */
enum { METRICS_BIN_COUNT_MAX = 64 };

/* For how many seconds at most a post is filled up with zeros: a datagram of a few bytes that speaks of a year must not
 * become megabytes. Of a longer period it is the last seconds. */
enum { METRICS_FILL_SECONDS_MAX = 3600 };

/* Messages within one second of the epoch. */
struct metrics_second {
    int64_t second;
    uint64_t count;
};

/* Latencies not above `bound_s` and above the next smaller bound. */
struct metrics_bin {
    double bound_s;
    uint64_t count;
    double sum_s;
};

struct metrics_period {
    double t0_s, t1_s; /* seconds since the epoch, as the wire has them */
    const char *func;
    const char *vuid;
    struct metrics_bin bins[METRICS_BIN_COUNT_MAX];
    size_t bin_count;
    /* In ascending order. */
    const struct metrics_second *in, *out;
    size_t in_count, out_count;
};

/* The bins of a period from the histogram of that period: the decades that are not empty, the largest first. */
void metrics_set_latency(struct metrics_period *period, const struct histogram_copy *latency);

/* {"t0": ..., "t1": ..., "func": ..., "VUID": ..., "latency_time": ..., ...}; a member without data is null. */
void metrics_write_datagram(struct text *text, const struct metrics_period *period);

/* {"pipeline_key": ..., "t1": ..., "t0": ..., "topics": {...}}; seconds that begin in the period and were not counted
 * are 0. */
void metrics_write_post(struct text *text, const struct metrics_period *period);

/* A few lines. What came from outside is made fit to print. */
void metrics_write_table(struct text *text, const struct metrics_period *period);

struct cJSON;

struct metrics_parsed {
    struct metrics_period period; /* points into the rest */
    struct cJSON *json;
    struct metrics_second *in, *out;
};

/*
 * Reads a datagram. STATUS_INPUT with the reason: it is no JSON, a member is missing or of another type, a number is
 * out of range. Memory is in proportion to `length`. On success metrics_parsed_free must follow.
 */
enum status metrics_parse(struct metrics_parsed *parsed, const void *data, size_t length, struct error *error) MUST_USE;
void metrics_parsed_free(struct metrics_parsed *parsed);

#endif
