#include "nodes/functions/function_types.h"

#include <stdbool.h>
#include <stdio.h>

#include "engine/check.h"

const struct millrace_function *const function_types[] = {
    &function_pong,          &function_passthrough, &function_double,
    &function_input_doubler, &function_fix_router,  &function_market_spread,
};

const size_t function_type_count = sizeof function_types / sizeof function_types[0];

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Not strcasecmp, which follows the process's locale. */
static int same_name(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

const struct millrace_function *function_find(const char *name)
{
    for (size_t i = 0; i < function_type_count; i++) {
        if (same_name(function_types[i]->name, name))
            return function_types[i];
    }
    return NULL;
}

const char *function_names_text(char *text, size_t text_bytes)
{
    CHECK(text_bytes > 0);
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < function_type_count && length < text_bytes; i++) {
        int more = snprintf(text + length, text_bytes - length, "%s%s", i > 0 ? ", " : "", function_types[i]->name);
        length += (size_t)more;
    }
    return text;
}
