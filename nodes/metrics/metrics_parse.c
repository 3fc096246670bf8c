#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "nodes/metrics/metrics.h"
#include "nodes/text/decimal.h"

/* Doubles hold whole numbers exactly up to 2^53, and nanoseconds since the epoch fit an int64_t until here. */
static const double count_max = 9007199254740992.0;
static const double time_max_s = 9.2e9;

enum { SECOND_DIGITS_MAX = 10, BIN_KEY_BYTES_MAX = 40 };

static const cJSON *member(const cJSON *json, const char *name, struct error *error)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, name);
    if (value == NULL)
        (void)error_set(error, STATUS_INPUT, "%s is missing", name);
    return value;
}

static enum status read_time(const cJSON *json, const char *name, double *seconds, struct error *error)
{
    const cJSON *value = member(json, name, error);
    if (value == NULL)
        return STATUS_INPUT;
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble <= time_max_s))
        return error_set(error, STATUS_INPUT, "%s is no time", name);
    *seconds = value->valuedouble;
    return STATUS_OK;
}

static enum status read_name(const cJSON *json, const char *name, const char **string, struct error *error)
{
    const cJSON *value = member(json, name, error);
    if (value == NULL)
        return STATUS_INPUT;
    if (!cJSON_IsString(value))
        return error_set(error, STATUS_INPUT, "%s is no string", name);
    *string = value->valuestring;
    return STATUS_OK;
}

/* Sets *object to NULL for a null. */
static enum status read_object(const cJSON *json, const char *name, const cJSON **object, struct error *error)
{
    const cJSON *value = member(json, name, error);
    if (value == NULL)
        return STATUS_INPUT;
    if (!cJSON_IsObject(value) && !cJSON_IsNull(value))
        return error_set(error, STATUS_INPUT, "%s is neither an object nor null", name);
    *object = cJSON_IsObject(value) ? value : NULL;
    return STATUS_OK;
}

static bool read_count(const cJSON *value, uint64_t *count)
{
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble <= count_max) ||
        floor(value->valuedouble) < value->valuedouble)
        return false;
    *count = (uint64_t)value->valuedouble;
    return true;
}

/* ---- throughputs ---- */

static bool read_second(const char *key, int64_t *second)
{
    size_t length = strspn(key, "0123456789");
    if (length == 0 || length > SECOND_DIGITS_MAX || key[length] != '\0')
        return false;
    *second = 0;
    for (size_t i = 0; i < length; i++)
        *second = *second * 10 + (key[i] - '0');
    return true;
}

static int compare_seconds(const void *one, const void *other)
{
    const struct metrics_second *a = one;
    const struct metrics_second *b = other;
    return (a->second > b->second) - (a->second < b->second);
}

static enum status read_seconds(const cJSON *json, const char *name, struct metrics_second **seconds, size_t *count,
                                struct error *error)
{
    const cJSON *object;
    if (read_object(json, name, &object, error) != STATUS_OK)
        return STATUS_INPUT;
    *count = 0;
    if (object == NULL || object->child == NULL)
        return STATUS_OK;
    struct metrics_second *items = calloc((size_t)cJSON_GetArraySize(object), sizeof *items);
    CHECK(items != NULL);
    *seconds = items;
    const cJSON *value;
    cJSON_ArrayForEach(value, object)
    {
        struct metrics_second *item = &items[(*count)++];
        if (!read_second(value->string, &item->second) || !read_count(value, &item->count))
            return error_set(error, STATUS_INPUT, "%s has an entry that is no count of a second", name);
    }
    qsort(items, *count, sizeof *items, compare_seconds);
    for (size_t i = 1; i < *count; i++)
        if (items[i].second == items[i - 1].second)
            return error_set(error, STATUS_INPUT, "%s has a second twice", name);
    return STATUS_OK;
}

/* ---- latencies ---- */

/* "0.000100000 s" */
static bool read_bound(const char *key, double *bound_s)
{
    size_t length = strlen(key);
    return length >= 3 && length <= BIN_KEY_BYTES_MAX && strcmp(key + length - 2, " s") == 0 &&
           decimal_parse(key, length - 2, bound_s) == STATUS_OK && *bound_s >= 0;
}

static enum status read_bin(const cJSON *count, const cJSON *times, struct metrics_bin *bin)
{
    if (!read_bound(count->string, &bin->bound_s) || !read_count(count, &bin->count))
        return STATUS_INPUT;
    const cJSON *time = times != NULL ? cJSON_GetObjectItemCaseSensitive(times, count->string) : NULL;
    if (time == NULL)
        return STATUS_OK;
    if (!cJSON_IsNumber(time) || !isfinite(time->valuedouble))
        return STATUS_INPUT;
    bin->sum_s = time->valuedouble;
    return STATUS_OK;
}

static enum status read_bins(const cJSON *json, struct metrics_period *period, struct error *error)
{
    const cJSON *times;
    const cJSON *counts;
    if (read_object(json, "latency_time", &times, error) != STATUS_OK ||
        read_object(json, "latency_count", &counts, error) != STATUS_OK)
        return STATUS_INPUT;
    const cJSON *count;
    cJSON_ArrayForEach(count, counts)
    {
        if (period->bin_count == METRICS_BIN_COUNT_MAX)
            return error_set(error, STATUS_INPUT, "latency_count has more than %d bins", METRICS_BIN_COUNT_MAX);
        struct metrics_bin *bin = &period->bins[period->bin_count];
        if (read_bin(count, times, bin) != STATUS_OK)
            return error_set(error, STATUS_INPUT, "latency_count or latency_time has an entry that is no latency bin");
        for (size_t i = 0; i < period->bin_count; i++)
            if (!(period->bins[i].bound_s < bin->bound_s) && !(bin->bound_s < period->bins[i].bound_s))
                return error_set(error, STATUS_INPUT, "latency_count has a bin twice");
        period->bin_count++;
    }
    return STATUS_OK;
}

/* ---- the whole ---- */

static enum status read_period(struct metrics_parsed *parsed, struct error *error)
{
    const cJSON *json = parsed->json;
    struct metrics_period *period = &parsed->period;
    if (!cJSON_IsObject(json))
        return error_set(error, STATUS_INPUT, "it is no JSON object");
    enum status status = read_time(json, "t0", &period->t0_s, error);
    if (status == STATUS_OK)
        status = read_time(json, "t1", &period->t1_s, error);
    if (status == STATUS_OK)
        status = read_name(json, "func", &period->func, error);
    if (status == STATUS_OK)
        status = read_name(json, "VUID", &period->vuid, error);
    if (status == STATUS_OK)
        status = read_bins(json, period, error);
    if (status == STATUS_OK)
        status = read_seconds(json, "throughput_in", &parsed->in, &period->in_count, error);
    if (status == STATUS_OK)
        status = read_seconds(json, "throughput_out", &parsed->out, &period->out_count, error);
    period->in = parsed->in;
    period->out = parsed->out;
    return status;
}

enum status metrics_parse(struct metrics_parsed *parsed, const void *data, size_t length, struct error *error)
{
    *parsed = (struct metrics_parsed){0};
    const char *text = data;
    const char *end = NULL;
    if (length == 0)
        return error_set(error, STATUS_INPUT, "it is empty");
    parsed->json = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (parsed->json == NULL)
        return error_set(error, STATUS_INPUT, "it is no JSON");
    while (end < text + length && strchr(" \t\r\n", *end) != NULL && *end != '\0')
        end++;
    enum status status;
    if (end == text + length)
        status = read_period(parsed, error);
    else
        status = error_set(error, STATUS_INPUT, "it is no JSON: text behind it");
    if (status != STATUS_OK)
        metrics_parsed_free(parsed);
    return status;
}

void metrics_parsed_free(struct metrics_parsed *parsed)
{
    cJSON_Delete(parsed->json);
    free(parsed->in);
    free(parsed->out);
    *parsed = (struct metrics_parsed){0};
}
