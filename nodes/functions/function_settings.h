/*
 * function_settings.h: from what the user wrote to the values of a function's settings.
 *
 * A function's rows are public (millrace/function.h); they are read, refused and shown as the engine's options are.
 * Pure; main thread.
 */
#ifndef NODES_FUNCTIONS_FUNCTION_SETTINGS_H
#define NODES_FUNCTIONS_FUNCTION_SETTINGS_H

#include <millrace/function.h>

#include <stdio.h>

#include "engine/status.h"

/* Sets values[i] to the default of settings[i]. STATUS_USAGE where the rows of `function` are wrong: too many, without
 * what their kind needs, or with a default that does not fit. */
enum status function_settings_default(const struct millrace_function *function,
                                      struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX],
                                      struct error *error) MUST_USE;

/* Sets the one that is called `name` (of `name_length` bytes). STATUS_USAGE where there is none, or `text` does not fit
 * it; the error names it as a flag. `text` must stay. */
enum status function_settings_set(const struct millrace_function *function,
                                  struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX], const char *name,
                                  size_t name_length, const char *text, struct error *error) MUST_USE;

/* The rows of help of a function that has settings; else nothing. */
void function_settings_print_help(FILE *out, const struct millrace_function *function);

#endif
