/*
 * json_text.h: builds text, above all JSON, in a buffer that is used again and again.
 *
 * A text starts as {0}, grows as needed and keeps its memory between uses, so that the steady state allocates nothing.
 * It belongs to one thread at a time.
 *
 * Errors: an append that would make the text longer than TEXT_BYTES_MAX, or finds no memory, appends nothing, and so do
 * all later ones until text_reset. Whoever builds a text asks once, at its end, with text_failed.
 */
#ifndef NODES_TEXT_JSON_TEXT_H
#define NODES_TEXT_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_BYTES_MAX ((size_t)64 << 20)

struct text {
    char *data; /* `length` bytes, not NUL-ended; NULL until something was appended */
    size_t length;
    size_t capacity;
    bool failed;
};

/* Makes the text empty and sound; keeps the memory. */
void text_reset(struct text *text);

/* Frees the memory; the text is {0} again. */
void text_free(struct text *text);

bool text_failed(const struct text *text);

/*
 * Makes room for `bytes` more and returns where they go, or NULL where text_failed. The caller writes there and then
 * adds what it wrote to `length`.
 */
char *text_reserve(struct text *text, size_t bytes);

void text_append(struct text *text, const void *data, size_t length);

/* As text_append, up to the NUL. */
void text_append_string(struct text *text, const char *string);

/* printf in the "C" locale, whatever the process's is. */
void text_append_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

void text_append_uint64(struct text *text, uint64_t value);

/* The double as Python's repr and json.dumps write it (see decimal_format); `null` where it is not finite. */
void text_append_double(struct text *text, double value);

/*
 * The bytes as a JSON string in double quotes, exactly as Python's json.dumps writes them: ASCII only, other characters
 * as \uXXXX (two of them above U+FFFF). A byte that is no part of well-formed UTF-8 is written as \ufffd.
 */
void text_append_json_string(struct text *text, const void *data, size_t length);

/* The inner part of text_append_json_string, without the quotes, for a string that is put together from pieces. */
void text_append_json_escaped(struct text *text, const void *data, size_t length);

/* The length of what text_append_json_escaped appends: `length` where nothing is to be escaped, and only there. */
size_t json_escaped_length(const void *data, size_t length);

/* Writes that to `at`, given its length by json_escaped_length, and returns where it ends. For a caller that has
 * reserved room for several pieces. */
char *json_escape(char *at, const void *data, size_t length, size_t escaped_length);

#endif
