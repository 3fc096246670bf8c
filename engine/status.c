#include "engine/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_set_text(struct error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
}

enum status error_set_errno(struct error *error, int errno_value, const char *format, ...)
{
    char place[ERROR_TEXT_BYTES - 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(place, sizeof place, format, arguments);
    va_end(arguments);
    return error_set(error, STATUS_SYSTEM, "%s: %s", place, strerror(errno_value));
}

void error_prefix(struct error *error, const char *format, ...)
{
    char front[ERROR_TEXT_BYTES];
    char rest[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(front, sizeof front, format, arguments);
    va_end(arguments);
    memcpy(rest, error->text, sizeof rest);
    /* Both are cut to fit: the front in full, then as much of the rest as there is room for. */
    int front_length = snprintf(error->text, sizeof error->text, "%s: ", front);
    if (front_length >= 0 && (size_t)front_length < sizeof error->text)
        snprintf(error->text + front_length, sizeof error->text - (size_t)front_length, "%.*s",
                 (int)(sizeof error->text - (size_t)front_length - 1), rest);
}
