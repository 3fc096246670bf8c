#include "nodes/queue/dead_letter.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"

/* What a head begins with; the rest need not be looked at where this is not there. */
static const char start[] = "{\"reason\":";

/* Whole numbers below this are exact in a double, which is what JSON's numbers become. */
static const double number_limit = 9007199254740992.0;

void dead_letter_set_text(char *text, size_t room, const void *data, size_t length)
{
    CHECK(room > 0);
    length = length < room ? length : room - 1;
    const char *from = data;
    for (size_t i = 0; i < length; i++)
        text[i] = from[i] == '\0' ? ' ' : from[i];
    text[length] = '\0';
}

static void append_time(struct text *text, int64_t wall_ns)
{
    int64_t us = wall_ns > 0 ? wall_ns / NS_PER_US : 0;
    text_append_format(text, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
}

void dead_letter_append_head(struct text *text, const struct dead_letter *letter)
{
    text_append_string(text, "{\"reason\": ");
    text_append_json_string(text, letter->reason, strlen(letter->reason));
    text_append_string(text, ", \"source\": ");
    text_append_json_string(text, letter->source, strlen(letter->source));
    text_append_string(text, ", \"deliveries\": ");
    text_append_uint64(text, letter->deliveries);
    text_append_string(text, ", \"first_time\": ");
    append_time(text, letter->first_wall_ns);
    text_append_string(text, ", \"last_time\": ");
    append_time(text, letter->last_wall_ns);
    text_append_string(text, ", \"bytes\": ");
    text_append_uint64(text, letter->message_bytes);
    text_append_string(text, "}\n");
}

bool dead_letter_write(struct text *text, const struct dead_letter *letter, const void *message)
{
    text_reset(text);
    dead_letter_append_head(text, letter);
    text_append(text, message, letter->message_bytes);
    return !text_failed(text);
}

/* ---- reading ---- */

static bool read_text(const cJSON *head, const char *name, char *text, size_t room)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(head, name);
    if (!cJSON_IsString(item))
        return false;
    (void)snprintf(text, room, "%s", item->valuestring);
    return true;
}

static bool read_count(const cJSON *head, const char *name, uint64_t *count)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(head, name);
    if (!cJSON_IsNumber(item))
        return false;
    double value = item->valuedouble;
    if (!(value >= 0 && value < number_limit) || floor(value) < value)
        return false;
    *count = (uint64_t)value;
    return true;
}

static bool read_time(const cJSON *head, const char *name, int64_t *wall_ns)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(head, name);
    if (!cJSON_IsNumber(item))
        return false;
    double us = round(item->valuedouble * 1e6);
    if (!(us >= 0 && us < (double)INT64_MAX / (double)NS_PER_US))
        return false;
    *wall_ns = (int64_t)us * NS_PER_US;
    return true;
}

bool dead_letter_read(const void *data, size_t length, struct dead_letter *letter, const void **message)
{
    const char *text = data;
    if (length < sizeof start || memcmp(text, start, sizeof start - 1) != 0)
        return false;
    size_t window = length < DEAD_LETTER_HEAD_BYTES_MAX ? length : DEAD_LETTER_HEAD_BYTES_MAX;
    const char *newline = memchr(text, '\n', window);
    if (newline == NULL)
        return false;
    const char *end = NULL;
    size_t head_length = (size_t)(newline - text);
    cJSON *head = cJSON_ParseWithLengthOpts(text, head_length, &end, 0);
    bool is_letter =
        head != NULL && end == newline && cJSON_IsObject(head) &&
        read_text(head, "reason", letter->reason, sizeof letter->reason) &&
        read_text(head, "source", letter->source, sizeof letter->source) &&
        read_count(head, "deliveries", &letter->deliveries) && read_time(head, "first_time", &letter->first_wall_ns) &&
        read_time(head, "last_time", &letter->last_wall_ns) && read_count(head, "bytes", &letter->message_bytes) &&
        letter->message_bytes == length - head_length - 1;
    cJSON_Delete(head);
    if (is_letter)
        *message = newline + 1;
    return is_letter;
}
