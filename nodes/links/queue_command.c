#include "nodes/links/queue_command.h"

#include <string.h>

#include "engine/check.h"

static const char error_unknown[] = "ERR unknown command";
static const char error_full[] = "ERR queue full";
static const char error_message_of[] = "ERR message of ";
static const char needs_tcp_end[] = " bytes needs TCP";
static const char too_long_middle[] = " bytes is above the limit of ";

static bool verb_is(const char *text, size_t verb_length, const char *verb)
{
    return verb_length == strlen(verb) && memcmp(text, verb, verb_length) == 0;
}

struct queue_command queue_command_parse(const void *text, size_t length)
{
    const char *bytes = text;
    /* Nearly all commands are one of these two. */
    if (length >= 4 && memcmp(bytes, "PUT:", 4) == 0)
        return (struct queue_command){.verb = QUEUE_PUT, .message = bytes + 4, .message_length = length - 4};
    if (length == 3 && memcmp(bytes, "GET", 3) == 0)
        return (struct queue_command){.verb = QUEUE_GET};
    const char *colon = length > 0 ? memchr(bytes, ':', length) : NULL;
    size_t verb_length = colon != NULL ? (size_t)(colon - bytes) : length;
    if (verb_is(bytes, verb_length, "PUT"))
        return (struct queue_command){.verb = QUEUE_PUT, .message = ""};
    if (verb_is(bytes, verb_length, "GET"))
        return (struct queue_command){.verb = QUEUE_GET};
    if (verb_is(bytes, verb_length, "SIZE"))
        return (struct queue_command){.verb = QUEUE_SIZE};
    return (struct queue_command){.verb = QUEUE_UNKNOWN};
}

/* Without printf: each PUT is answered, and the formatting would cost as much as all the rest of it. */
static size_t append(char *text, size_t length, const char *part)
{
    size_t part_length = strlen(part);
    CHECK(part_length <= QUEUE_ANSWER_BYTES - length);
    memcpy(text + length, part, part_length);
    return length + part_length;
}

static size_t append_number(char *text, size_t length, uint64_t number)
{
    size_t digit_count = 1;
    for (uint64_t rest = number / 10; rest > 0; rest /= 10)
        digit_count++;
    CHECK(digit_count <= QUEUE_ANSWER_BYTES - length);
    for (size_t i = digit_count; i > 0; i--) {
        text[length + i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    return length + digit_count;
}

size_t queue_answer_put(char *text, size_t message_length)
{
    return append(text, append_number(text, append(text, 0, "PUT "), message_length), " bytes");
}

size_t queue_answer_size(char *text, uint64_t message_count)
{
    return append_number(text, 0, message_count);
}

size_t queue_answer_unknown(char *text)
{
    return append(text, 0, error_unknown);
}

size_t queue_answer_full(char *text)
{
    return append(text, 0, error_full);
}

size_t queue_answer_too_long(char *text, size_t message_length, uint64_t limit)
{
    size_t length = append_number(text, append(text, 0, error_message_of), message_length);
    return append_number(text, append(text, length, too_long_middle), limit);
}

size_t queue_answer_needs_tcp(char *text, size_t message_length)
{
    return append(text, append_number(text, append(text, 0, error_message_of), message_length), needs_tcp_end);
}

/* "ERR message of <digits>" and then exactly `end`. */
static bool is_message_error(const char *text, size_t length, const char *end)
{
    size_t start = strlen(error_message_of);
    if (length <= start || memcmp(text, error_message_of, start) != 0)
        return false;
    size_t digits = 0;
    while (start + digits < length && text[start + digits] >= '0' && text[start + digits] <= '9')
        digits++;
    size_t rest = length - start - digits;
    return digits > 0 && rest == strlen(end) && memcmp(text + start + digits, end, rest) == 0;
}

bool queue_answer_is_needs_tcp(const void *text, size_t length)
{
    return is_message_error(text, length, needs_tcp_end);
}

bool queue_answer_is_full(const void *text, size_t length)
{
    return length >= strlen(error_full) && memcmp(text, error_full, strlen(error_full)) == 0;
}

bool queue_answer_is_error(const void *text, size_t length)
{
    return verb_is(text, length, error_unknown) || verb_is(text, length, error_full) ||
           queue_answer_is_needs_tcp(text, length);
}
