#include "nodes/commands/arguments.h"

#include <string.h>

static enum status unknown_flag(const struct option *table, const char *name, size_t length, struct error *error)
{
    const char *best = NULL;
    size_t distance = length / 2 + 1;
    for (const struct option *option = table; option->name != NULL; option++)
        options_nearest(name, length, option->name, &best, &distance);
    return error_set(error, STATUS_USAGE, "unknown flag --%.*s%s%s%s", (int)length, name,
                     best != NULL ? "; did you mean --" : "", best != NULL ? best : "", best != NULL ? "?" : "");
}

/* Reads the flag at *index, and its value behind it. */
static enum status read_flag(const struct option *table, void *config, int count, char **arguments, int *index,
                             struct error *error)
{
    const char *name = arguments[*index] + 2;
    size_t length = strcspn(name, "=");
    const struct option *option = options_find(table, name, length);
    if (option == NULL)
        return unknown_flag(table, name, length, error);
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    if (option->kind == OPTION_FLAG && value != NULL)
        return error_set(error, STATUS_USAGE, "--%s takes no value", option->name);
    if (option->kind != OPTION_FLAG && value == NULL) {
        if (*index + 1 >= count || strncmp(arguments[*index + 1], "--", 2) == 0)
            return error_set(error, STATUS_USAGE, "--%s needs a value: %s", option->name, option->value_name);
        value = arguments[++*index];
    }
    ++*index;
    return options_set(option, config, value, false, error);
}

enum status command_arguments_parse(const struct option *table, void *config, int count, char **arguments, int *used,
                                    struct error *error)
{
    options_set_defaults(table, config);
    *used = 0;
    while (*used < count && strncmp(arguments[*used], "--", 2) == 0) {
        enum status status = read_flag(table, config, count, arguments, used, error);
        if (status != STATUS_OK)
            return status;
    }
    return options_check_required(table, config, error);
}

/* How many of the arguments from `arguments` on, of which there are `count`, are one flag. */
static int flag_argument_count(const struct option *table, int count, char **arguments)
{
    if (strncmp(arguments[0], "--", 2) != 0)
        return 0;
    const char *name = arguments[0] + 2;
    size_t length = strcspn(name, "=");
    const struct option *option = options_find(table, name, length);
    return option != NULL && option->kind != OPTION_FLAG && name[length] != '=' && count > 1 ? 2 : 1;
}

void command_arguments_sort(const struct option *table, int count, char **arguments)
{
    int front = 0;
    for (int at = 0; at < count;) {
        int flag_count = flag_argument_count(table, count - at, arguments + at);
        for (int i = 0; i < flag_count; i++) {
            char *argument = arguments[at + i];
            memmove(arguments + front + 1, arguments + front, (size_t)(at + i - front) * sizeof *arguments);
            arguments[front++] = argument;
        }
        at += flag_count > 0 ? flag_count : 1;
    }
}
