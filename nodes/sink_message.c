#include "nodes/sink_message.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/text/decimal.h"

static const char head[] = "{\"msg\": \"";
static const char middle[] = "\", \"feed_time\": ";

/*
 * The very text that a marketspread worker writes, without escapes: nearly all of what comes. The msg ends at the first
 * quote; whatever does not look exactly so goes the long way.
 */
static bool parse_plain(const char *data, size_t length, struct sink_message *message)
{
    const size_t head_length = sizeof head - 1;
    const size_t middle_length = sizeof middle - 1;
    if (length < head_length + middle_length + 2 || memcmp(data, head, head_length) != 0 || data[length - 1] != '}')
        return false;
    const char *msg = data + head_length;
    const char *end = data + length - 1;
    const char *quote = memchr(msg, '"', (size_t)(end - msg));
    if (quote == NULL || (size_t)(end - quote) <= middle_length || memcmp(quote, middle, middle_length) != 0 ||
        memchr(msg, '\\', (size_t)(quote - msg)) != NULL)
        return false;
    const char *number = quote + middle_length;
    size_t number_length = (size_t)(end - number);
    *message = (struct sink_message){.msg = msg, .msg_length = (size_t)(quote - msg)};
    if (number_length == 4 && memcmp(number, "null", 4) == 0)
        return true;
    message->has_feed_time = decimal_parse(number, number_length, &message->feed_time) == STATUS_OK;
    return message->has_feed_time;
}

/* Whether nothing but JSON's white space is left. */
static bool is_blank(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n'))
        text++;
    return text == end;
}

static bool parse_json(const char *data, size_t length, struct sink_message *message)
{
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(data, length, &end, 0);
    const cJSON *msg = cJSON_GetObjectItemCaseSensitive(json, "msg");
    const cJSON *feed_time = cJSON_GetObjectItemCaseSensitive(json, "feed_time");
    bool valid =
        cJSON_IsString(msg) && (cJSON_IsNumber(feed_time) || cJSON_IsNull(feed_time)) && is_blank(end, data + length);
    if (valid) {
        *message = (struct sink_message){.has_feed_time = cJSON_IsNumber(feed_time)};
        message->buffer = strdup(msg->valuestring);
        message->msg = message->buffer;
        message->msg_length = message->buffer != NULL ? strlen(message->buffer) : 0;
        message->feed_time = message->has_feed_time ? feed_time->valuedouble : 0;
        valid = message->buffer != NULL;
    }
    cJSON_Delete(json);
    return valid;
}

bool sink_message_parse(const void *data, size_t length, struct sink_message *message)
{
    *message = (struct sink_message){0};
    if (length == 0 || *(const char *)data != '{')
        return false;
    return parse_plain(data, length, message) || parse_json(data, length, message);
}

void sink_message_free(struct sink_message *message)
{
    free(message->buffer);
    *message = (struct sink_message){0};
}
