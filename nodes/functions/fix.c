#include "nodes/functions/fix.h"

#include <string.h>

enum { SOH = 0x01, WANTED_TAG_DIGITS_MAX = 3 };

/* Where the field that starts at `at` ends. All scanning is here: a vectorised scan would replace this function. */
static const char *field_end(const char *at, const char *end)
{
    const char *separator = memchr(at, SOH, (size_t)(end - at));
    return separator != NULL ? separator : end;
}

/*
 * Reads the tag's number and moves *at behind the '='. Returns 0, which is no tag, for what cannot be a wanted one: too
 * long, not digits, a leading zero, or no '=' at all.
 */
static unsigned read_tag(const char **at, const char *end)
{
    const char *p = *at;
    unsigned tag = 0;
    if (p < end && *p == '0')
        return 0;
    for (int digits = 0; p < end && digits <= WANTED_TAG_DIGITS_MAX; p++, digits++) {
        if (*p == '=') {
            *at = p + 1;
            return tag;
        }
        if (*p < '0' || *p > '9')
            return 0;
        tag = tag * 10 + (unsigned)(*p - '0');
    }
    return 0;
}

static struct fix_view *wanted_view(struct fix_message *message, unsigned tag)
{
    switch (tag) {
    case 1:
        return &message->account;
    case 11:
    case 37:
        return &message->order_id;
    case 35:
        return &message->type;
    case 38:
        return &message->order_quantity;
    case 55:
        return &message->symbol;
    case 60:
        return &message->transact_time;
    case 132:
        return &message->bid;
    case 133:
        return &message->offer;
    case 999:
        return &message->feed_epoch;
    default:
        return NULL;
    }
}

void fix_read(const char *text, size_t length, struct fix_message *message)
{
    *message = (struct fix_message){0};
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
        length--;
    const char *at = text;
    const char *end = text + length;
    while (at < end) {
        const char *stop = field_end(at, end);
        struct fix_view *view = wanted_view(message, read_tag(&at, stop));
        if (view != NULL)
            *view = (struct fix_view){.data = at, .length = (size_t)(stop - at)};
        if (stop == end)
            break;
        at = stop + 1;
    }
}
