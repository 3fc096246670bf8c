#include "nodes/control/control_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/check.h"

static const char *const verb_texts[] = {[CONTROL_REPLAY] = "REPLAY:", [CONTROL_DROP] = "DROP:"};

size_t control_request_write(char *text, enum control_verb verb, const struct control_letter *letters, size_t count)
{
    CHECK(count > 0 && count <= CONTROL_LETTER_COUNT_MAX);
    size_t length = (size_t)snprintf(text, CONTROL_REQUEST_BYTES_MAX, "%s", verb_texts[verb]);
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, CONTROL_LETTER_BYTES_MAX + 1, "%s%" PRIu32 ".%" PRIu64,
                                   i > 0 ? "," : "", letters[i].queue, letters[i].sequence);
    return length;
}

struct rest {
    const char *text;
    size_t length;
};

static bool skip(struct rest *rest, const char *what)
{
    size_t length = strlen(what);
    if (rest->length < length || memcmp(rest->text, what, length) != 0)
        return false;
    rest->text += length;
    rest->length -= length;
    return true;
}

/* A number from 1 to `max`. */
static bool read_number(struct rest *rest, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    for (; rest->length > 0 && *rest->text >= '0' && *rest->text <= '9'; rest->text++, rest->length--) {
        uint64_t digit = (uint64_t)(*rest->text - '0');
        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return value > 0;
}

static bool is_behind(const struct control_letter *letter, const struct control_letter *other)
{
    return letter->queue > other->queue || (letter->queue == other->queue && letter->sequence > other->sequence);
}

bool control_request_read(const void *text, size_t length, enum control_verb *verb, struct control_letter *letters,
                          size_t *count)
{
    struct rest rest = {.text = text, .length = length};
    *verb = skip(&rest, verb_texts[CONTROL_REPLAY]) ? CONTROL_REPLAY : CONTROL_DROP;
    if (*verb == CONTROL_DROP && !skip(&rest, verb_texts[CONTROL_DROP]))
        return false;
    *count = 0;
    do {
        uint64_t queue;
        if (*count == CONTROL_LETTER_COUNT_MAX)
            return false;
        struct control_letter *letter = &letters[*count];
        if (!read_number(&rest, UINT32_MAX, &queue) || !skip(&rest, ".") ||
            !read_number(&rest, UINT64_MAX, &letter->sequence))
            return false;
        letter->queue = (uint32_t)queue;
        if (*count > 0 && !is_behind(letter, letter - 1))
            return false;
        (*count)++;
    } while (skip(&rest, ","));
    return rest.length == 0;
}
