/*
 * arguments.h: the flags of a command, by its option table. Main thread.
 */
#ifndef NODES_COMMANDS_ARGUMENTS_H
#define NODES_COMMANDS_ARGUMENTS_H

#include "engine/options.h"
#include "engine/status.h"

/*
 * Sets the defaults in the zeroed `config`, then reads flags up to the first argument that is none; *used says how many
 * arguments that were. The strings must outlive the config, which options_free frees, also after a failure.
 * STATUS_USAGE: an unknown flag, a bad value, a required flag that is missing.
 */
enum status command_arguments_parse(const struct option *table, void *config, int count, char **arguments, int *used,
                                    struct error *error) MUST_USE;

/* Moves the flags, with their values, in front of the other arguments, for a command that takes them anywhere. The
 * order stays otherwise. */
void command_arguments_sort(const struct option *table, int count, char **arguments);

#endif
