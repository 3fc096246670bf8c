#include "nodes/metrics/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/clock.h"
#include "engine/log.h"

void metrics_set_latency(struct metrics_period *period, const struct histogram_copy *latency)
{
    period->bin_count = 0;
    for (unsigned decade = HISTOGRAM_DECADE_COUNT; decade-- > 0;) {
        uint64_t count = histogram_decade_count(latency, decade);
        if (count == 0)
            continue;
        period->bins[period->bin_count++] = (struct metrics_bin){
            .bound_s = (double)histogram_decade_bound_ns(decade) / (double)NS_PER_S,
            .count = count,
            .sum_s = (double)latency->sum_ns[decade] / (double)NS_PER_S,
        };
    }
}

/* ---- the datagram ---- */

static void append_string(struct text *text, const char *string)
{
    text_append_json_string(text, string, strlen(string));
}

static void append_separator(struct text *text, size_t index)
{
    if (index > 0)
        text_append_string(text, ", ");
}

static void append_bins(struct text *text, const struct metrics_period *period, bool seconds)
{
    if (period->bin_count == 0) {
        text_append_string(text, "null");
        return;
    }
    text_append_string(text, "{");
    for (size_t i = 0; i < period->bin_count; i++) {
        const struct metrics_bin *bin = &period->bins[i];
        append_separator(text, i);
        text_append_format(text, "\"%.09f s\": ", bin->bound_s);
        if (seconds)
            text_append_double(text, bin->sum_s);
        else
            text_append_uint64(text, bin->count);
    }
    text_append_string(text, "}");
}

static void append_second(struct text *text, size_t index, int64_t second, uint64_t count)
{
    append_separator(text, index);
    text_append_format(text, "\"%" PRId64 "\": ", second);
    text_append_uint64(text, count);
}

/* As the prototype does it: a second in which nothing flowed is not listed. */
static void append_seconds(struct text *text, const struct metrics_second *seconds, size_t count)
{
    size_t written = 0;
    for (size_t i = 0; i < count; i++) {
        if (seconds[i].count == 0)
            continue;
        if (written == 0)
            text_append_string(text, "{");
        append_second(text, written++, seconds[i].second, seconds[i].count);
    }
    text_append_string(text, written == 0 ? "null" : "}");
}

void metrics_write_datagram(struct text *text, const struct metrics_period *period)
{
    text_append_string(text, "{\"t0\": ");
    text_append_double(text, period->t0_s);
    text_append_string(text, ", \"t1\": ");
    text_append_double(text, period->t1_s);
    text_append_string(text, ", \"func\": ");
    append_string(text, period->func);
    text_append_string(text, ", \"VUID\": ");
    append_string(text, period->vuid);
    text_append_string(text, ", \"latency_time\": ");
    append_bins(text, period, true);
    text_append_string(text, ", \"latency_count\": ");
    append_bins(text, period, false);
    text_append_string(text, ", \"throughput_in\": ");
    append_seconds(text, period->in, period->in_count);
    text_append_string(text, ", \"throughput_out\": ");
    append_seconds(text, period->out, period->out_count);
    text_append_string(text, "}");
}

/* ---- the post ---- */

/*
 * *first, and those behind it up to but without *end: the seconds that begin in the period; where nothing was counted,
 * so that nothing of a neighbour can be overwritten, the one too in which it began.
 */
static void seconds_of(const struct metrics_period *period, int64_t *first, int64_t *end)
{
    *first = (int64_t)(period->out_count == 0 ? floor(period->t0_s) : ceil(period->t0_s));
    *end = (int64_t)ceil(period->t1_s);
    if (*end < *first)
        *end = *first;
    if (*end - *first > METRICS_FILL_SECONDS_MAX)
        *first = *end - METRICS_FILL_SECONDS_MAX;
}

/* What was counted, and zeros between. */
static void append_filled_seconds(struct text *text, const struct metrics_period *period)
{
    int64_t next;
    int64_t end;
    size_t written = 0;
    size_t item = 0;
    seconds_of(period, &next, &end);
    while (item < period->out_count || next < end) {
        const struct metrics_second *counted = item < period->out_count ? &period->out[item] : NULL;
        if (counted != NULL && (next >= end || counted->second <= next)) {
            append_second(text, written++, counted->second, counted->count);
            next += counted->second == next;
            item++;
        } else {
            append_second(text, written++, next++, 0);
        }
    }
}

void metrics_write_post(struct text *text, const struct metrics_period *period)
{
    text_append_string(text, "{\"pipeline_key\": ");
    append_string(text, period->vuid);
    text_append_string(text, ", \"t1\": ");
    text_append_double(text, period->t1_s);
    text_append_string(text, ", \"t0\": ");
    text_append_double(text, period->t0_s);
    text_append_string(text, ", \"topics\": {\"latency_bins\": {");
    for (size_t i = 0; i < period->bin_count; i++) {
        append_separator(text, i);
        text_append_string(text, "\"");
        text_append_double(text, period->bins[i].bound_s);
        text_append_string(text, "\": ");
        text_append_uint64(text, period->bins[i].count);
    }
    text_append_string(text, "}, \"throughput_out\": {");
    append_filled_seconds(text, period);
    text_append_string(text, "}}}");
}

/* ---- the table ---- */

enum { TABLE_NAME_BYTES = 80 };

static void append_time(struct text *text, double seconds)
{
    char utc[CLOCK_TEXT_BYTES];
    clock_format_utc(llround(seconds * (double)NS_PER_S), utc);
    text_append_string(text, utc);
}

static void append_flow(struct text *text, const char *name, const struct metrics_second *seconds, size_t count,
                        double length_s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += seconds[i].count;
    text_append_format(text, "  %-12s %12" PRIu64 " messages", name, sum);
    if (length_s > 0)
        text_append_format(text, " %14.1f/s", (double)sum / length_s);
    text_append_string(text, "\n");
}

void metrics_write_table(struct text *text, const struct metrics_period *period)
{
    char vuid[TABLE_NAME_BYTES];
    char func[TABLE_NAME_BYTES];
    log_quote(period->vuid, strlen(period->vuid), vuid, sizeof vuid);
    log_quote(period->func, strlen(period->func), func, sizeof func);
    double length_s = period->t1_s - period->t0_s;
    text_append_format(text, "%s (%s) ", vuid, func);
    append_time(text, period->t0_s);
    text_append_string(text, " to ");
    append_time(text, period->t1_s);
    text_append_format(text, " (%.3f s)\n", length_s);
    append_flow(text, "in", period->in, period->in_count, length_s);
    append_flow(text, "out", period->out, period->out_count, length_s);
    for (size_t i = 0; i < period->bin_count; i++) {
        const struct metrics_bin *bin = &period->bins[i];
        text_append_string(text, "  latency <= ");
        text_append_double(text, bin->bound_s);
        text_append_format(text, " s: %" PRIu64, bin->count);
        if (bin->count > 0)
            text_append_format(text, ", mean %.9f s", bin->sum_s / (double)bin->count);
        text_append_string(text, "\n");
    }
}
