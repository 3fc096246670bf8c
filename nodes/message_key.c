#include "nodes/message_key.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "nodes/text/json_field.h"

enum { TAG_DIGITS_MAX = 9, SOH = 1 };

enum status message_key_open(struct message_key *key, const char *text, struct error *error)
{
    *key = (struct message_key){.kind = MESSAGE_KEY_SYMBOL};
    if (strcmp(text, "symbol") == 0)
        return STATUS_OK;
    if (strncmp(text, "json:", 5) == 0 && text[5] != '\0') {
        key->kind = MESSAGE_KEY_JSON;
        key->name = text + 5;
        return STATUS_OK;
    }
    const char *tag = text + 4;
    if (strncmp(text, "fix:", 4) == 0 && tag[0] >= '1' && tag[0] <= '9' && strlen(tag) <= TAG_DIGITS_MAX &&
        strspn(tag, "0123456789") == strlen(tag)) {
        key->kind = MESSAGE_KEY_FIX;
        key->name = tag;
        return STATUS_OK;
    }
    return error_set(error, STATUS_USAGE, "--order-key: '%s' is not symbol, fix:TAG or json:FIELD", text);
}

/* The tag's value, by the rules of fix.h: the last one counts, and quotes around the message are not in it. */
static struct fix_view find_tag(const char *text, size_t length, const char *tag)
{
    const size_t tag_length = strlen(tag);
    struct fix_view found = {0};
    if (length > 1 && text[0] == '"' && text[length - 1] == '"')
        length--;
    const char *end = text + length;
    for (const char *field = text; field < end;) {
        const char *stop = memchr(field, SOH, (size_t)(end - field));
        if (stop == NULL)
            stop = end;
        if ((size_t)(stop - field) > tag_length && memcmp(field, tag, tag_length) == 0 && field[tag_length] == '=') {
            const char *value = field + tag_length + 1;
            found = (struct fix_view){.data = value, .length = (size_t)(stop - value)};
        }
        field = stop + 1;
    }
    return found;
}

/* A key that is no view of a FIX message. */
static int64_t choice_of(struct message_key *key, struct fix_view view)
{
    const struct fix_message alone = {.end = view.data != NULL ? view.data + view.length : NULL};
    return symbol_choice(&key->choices, &alone, view);
}

static int64_t choice(struct message_key *key, const void *text, size_t length)
{
    switch (key->kind) {
    case MESSAGE_KEY_FIX:
        return choice_of(key, find_tag(text, length, key->name));
    case MESSAGE_KEY_JSON: {
        char *value = json_field(text, length, key->name);
        const char *bytes = value != NULL ? value : "";
        int64_t chosen = choice_of(key, (struct fix_view){.data = bytes, .length = strlen(bytes)});
        free(value);
        return chosen;
    }
    case MESSAGE_KEY_SYMBOL:
        break;
    }
    struct fix_message message;
    fix_read(text, length, &message);
    return symbol_choice(&key->choices, &message, message.fields[FIX_SYMBOL]);
}

size_t message_key_choose(struct message_key *key, const void *text, size_t length, size_t count)
{
    CHECK(count > 0);
    return (size_t)(choice(key, text, length) % (int64_t)count);
}
