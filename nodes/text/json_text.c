#include "nodes/text/json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "nodes/text/decimal.h"
#include "nodes/text/word.h"

enum {
    FIRST_CAPACITY_BYTES = 256,
    UINT64_DIGITS_MAX = 20,
    REPLACEMENT_CHARACTER = 0xfffd,
    ESCAPE_BYTES_MAX = 12, /* \uXXXX\uXXXX */
};

void text_reset(struct text *text)
{
    text->length = 0;
    text->failed = false;
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

bool text_failed(const struct text *text)
{
    return text->failed;
}

static bool grow(struct text *text, size_t bytes)
{
    if (bytes > TEXT_BYTES_MAX - text->length)
        return false;
    size_t capacity = text->capacity > 0 ? text->capacity : FIRST_CAPACITY_BYTES;
    while (capacity < text->length + bytes)
        capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (data == NULL)
        return false;
    text->data = data;
    text->capacity = capacity;
    return true;
}

char *text_reserve(struct text *text, size_t bytes)
{
    if (text->failed)
        return NULL;
    if ((text->data == NULL || bytes > text->capacity - text->length) && !grow(text, bytes)) {
        text->failed = true;
        return NULL;
    }
    return text->data + text->length;
}

void text_append(struct text *text, const void *data, size_t length)
{
    char *place = text_reserve(text, length);
    if (place == NULL || length == 0)
        return;
    memcpy(place, data, length);
    text->length += length;
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_append_format(struct text *text, const char *format, ...)
{
    char *place = text_reserve(text, 1);
    if (place == NULL)
        return;
    size_t room = text->capacity - text->length;
    locale_t previous = uselocale(decimal_c_locale());
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(place, room, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    if ((size_t)length >= room) {
        place = text_reserve(text, (size_t)length + 1);
        if (place != NULL) {
            va_start(arguments, format);
            length = vsnprintf(place, (size_t)length + 1, format, arguments);
            va_end(arguments);
        }
    }
    uselocale(previous);
    if (place != NULL)
        text->length += (size_t)length;
}

void text_append_uint64(struct text *text, uint64_t value)
{
    char digits[UINT64_DIGITS_MAX];
    size_t start = sizeof digits;
    do {
        digits[--start] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    text_append(text, digits + start, sizeof digits - start);
}

void text_append_double(struct text *text, double value)
{
    if (!__builtin_isfinite(value)) {
        text_append(text, "null", 4);
        return;
    }
    char *place = text_reserve(text, DECIMAL_TEXT_BYTES);
    if (place != NULL)
        text->length += decimal_format(value, place);
}

/*
 * Reads one character of UTF-8 at `at` (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) and returns
 * its length in bytes; for a byte that is no part of one, 1 and the replacement character.
 */
static size_t read_utf8(const unsigned char *at, size_t bytes, uint32_t *character)
{
    uint32_t c = at[0];
    size_t length = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    *character = REPLACEMENT_CHARACTER;
    if (length == 0 || length > bytes)
        return 1;
    uint32_t value = length == 1 ? c : c & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 1;
        value = (value << 6) | (at[i] & 0x3fu);
    }
    bool surrogate = value >= 0xd800 && value < 0xe000;
    if (surrogate || (length == 3 && value < 0x800) || (length == 4 && (value < 0x10000 || value > 0x10ffff)))
        return 1;
    *character = value;
    return length;
}

/* Writes \uXXXX for 16 bits. */
static char *write_unit(char *place, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    *place++ = '\\';
    *place++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *place++ = hex[(unit >> shift) & 15];
    return place;
}

static char short_escape(uint32_t character)
{
    switch (character) {
    case '"':
    case '\\':
        return (char)character;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return '\0';
    }
}

/* Writes the escape for a character that is not plain; returns its end. */
static char *write_escape(char *end, uint32_t character)
{
    char letter = short_escape(character);
    if (letter != '\0') {
        *end++ = '\\';
        *end++ = letter;
    } else if (character < 0x10000) {
        end = write_unit(end, character);
    } else {
        uint32_t rest = character - 0x10000;
        end = write_unit(end, 0xd800 + (rest >> 10));
        end = write_unit(end, 0xdc00 + (rest & 0x3ff));
    }
    return end;
}

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* is_plain of eight bytes. The first term marks bytes below ' ', the second those above '~'. */
static bool word_is_plain(uint64_t word)
{
    return ((((word - WORD_OF(' ')) | (word + WORD_OF(0x80 - '~' - 1)) | word) & WORD_OF(0x80)) | word_find(word, '"') |
            word_find(word, '\\')) == 0;
}

static bool all_plain(const char *text, size_t length)
{
    if (length < WORD_BYTES)
        return length == 0 || word_is_plain(word_load_short(text, length) | WORD_OF(' ') << (8 * length));
    for (size_t at = 0; at + WORD_BYTES < length; at += WORD_BYTES)
        if (!word_is_plain(word_load(text + at)))
            return false;
    return word_is_plain(word_load(text + length - WORD_BYTES));
}

size_t json_escaped_length(const void *data, size_t length)
{
    if (all_plain(data, length))
        return length;
    const unsigned char *bytes = data;
    size_t escaped_length = 0;
    for (size_t at = 0; at < length;) {
        if (is_plain(bytes[at])) {
            at++;
            escaped_length++;
            continue;
        }
        uint32_t character;
        char escape[ESCAPE_BYTES_MAX];
        at += read_utf8(bytes + at, length - at, &character);
        escaped_length += (size_t)(write_escape(escape, character) - escape);
    }
    return escaped_length;
}

char *json_escape(char *at, const void *data, size_t length, size_t escaped_length)
{
    if (escaped_length == length) {
        word_copy(at, data, length);
        return at + length;
    }
    const unsigned char *bytes = data;
    const unsigned char *end = bytes + length;
    while (bytes < end) {
        if (is_plain(*bytes)) {
            *at++ = (char)*bytes++;
            continue;
        }
        uint32_t character;
        bytes += read_utf8(bytes, (size_t)(end - bytes), &character);
        at = write_escape(at, character);
    }
    return at;
}

void text_append_json_escaped(struct text *text, const void *data, size_t length)
{
    const size_t escaped_length = json_escaped_length(data, length);
    char *place = text_reserve(text, escaped_length);
    if (place == NULL)
        return;
    (void)json_escape(place, data, length, escaped_length);
    text->length += escaped_length;
}

void text_append_json_string(struct text *text, const void *data, size_t length)
{
    text_append(text, "\"", 1);
    text_append_json_escaped(text, data, length);
    text_append(text, "\"", 1);
}
