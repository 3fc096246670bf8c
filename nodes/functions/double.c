/*
 * Doubles a decimal integer of any length, in one pass from its last digit to its first, so that the time grows with
 * the length only. Reads what Python's int() reads, writes what its str() writes.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/log.h"
#include "nodes/functions/function_types.h"
#include "nodes/text/json_text.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digits(const char *at, const char *end)
{
    if (at == end)
        return false;
    for (; at < end; at++)
        if (!is_digit(*at))
            return false;
    return true;
}

/* Writes twice the number whose digits stand from `at` to `end` so that it ends at `place`; returns where it starts. */
static char *write_doubled(const char *at, const char *end, char *place)
{
    unsigned carry = 0;
    while (end > at) {
        unsigned twice = 2 * (unsigned)(*--end - '0') + carry;
        carry = twice / 10;
        *--place = (char)('0' + twice % 10);
    }
    if (carry > 0)
        *--place = '1';
    return place;
}

static void emit_doubled(struct text *text, const struct millrace_host *host, struct millrace_call *call,
                         const char *at, const char *end, bool negative)
{
    size_t room = (size_t)(end - at) + 2; /* a sign and a carry */
    text_reset(text);
    char *place = text_reserve(text, room);
    if (place == NULL) {
        host->fail(call, "no memory to double an integer of %zu bytes", room - 2);
        return;
    }
    char *number_end = place + room;
    char *number = write_doubled(at, end, number_end);
    while (number + 1 < number_end && *number == '0')
        number++;
    if (negative && *number != '0')
        *--number = '-';
    host->emit(call, 0, number, (size_t)(number_end - number));
}

static void double_apply(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                         size_t length)
{
    const char *at = data;
    const char *end = at + length;
    while (at < end && is_blank(*at))
        at++;
    while (at < end && is_blank(end[-1]))
        end--;
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (is_digits(at, end)) {
        emit_doubled(state, host, call, at, end, negative);
    } else {
        char shown[FUNCTION_SHOWN_BYTES];
        host->fail(call, "not an integer: '%s'", log_quote(data, length, shown, sizeof shown));
    }
}

static int double_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                       struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)host;
    (void)call;
    (void)values;
    struct text *text = calloc(1, sizeof *text);
    if (text == NULL) {
        snprintf(why, why_bytes, "no memory");
        return -1;
    }
    *state = text;
    return 0;
}

static void double_close(void *state)
{
    text_free(state);
    free(state);
}

const struct millrace_function function_double = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "double",
    .title = "Double",
    .summary = "doubles a decimal integer of any length",
    .open = double_open,
    .apply = double_apply,
    .close = double_close,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
