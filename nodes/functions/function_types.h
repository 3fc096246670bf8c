/*
 * function_types.h: the functions that come with the program.
 *
 * A function is one const struct in one file; a new one takes that file, a line here and a row in function_types.c.
 */
#ifndef NODES_FUNCTIONS_FUNCTION_TYPES_H
#define NODES_FUNCTIONS_FUNCTION_TYPES_H

#include <millrace/function.h>

#include <stddef.h>

/* How much of a message a function shows when it fails: what log_quote writes, with its NUL. */
enum { FUNCTION_SHOWN_BYTES = 160 };

extern const struct millrace_function function_pong;
extern const struct millrace_function function_passthrough;
extern const struct millrace_function function_double;
extern const struct millrace_function function_input_doubler;
extern const struct millrace_function function_fix_router;
extern const struct millrace_function function_market_spread;

/* In the order in which --help lists them. */
extern const struct millrace_function *const function_types[];
extern const size_t function_type_count;

/* The function of that name, without regard to the case of ASCII letters, or NULL. */
const struct millrace_function *function_find(const char *name);

/* Writes "pong, passthrough, ..." into `text` (NUL-ended, cut to fit); returns `text`. */
const char *function_names_text(char *text, size_t text_bytes);

#endif
