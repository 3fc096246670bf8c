#include "nodes/functions/function_settings.h"

#include <string.h>

#include "engine/options.h"

/* A setting as an option of this. */
struct setting_config {
    uint64_t count;
    unsigned choice;
    const char *text;
};

static struct option as_option(const struct millrace_setting *setting)
{
    struct option option = {
        .name = setting->name,
        .kind = OPTION_TEXT,
        .offset = offsetof(struct setting_config, text),
        .default_text = setting->default_text,
        .value_name = setting->value_name,
        .help = setting->help,
    };
    if (setting->kind == MILLRACE_SETTING_COUNT) {
        option.kind = OPTION_COUNT;
        option.offset = offsetof(struct setting_config, count);
        option.min = (double)setting->min;
        option.max = (double)setting->max;
    } else if (setting->kind == MILLRACE_SETTING_CHOICE) {
        option.kind = OPTION_CHOICE;
        option.offset = offsetof(struct setting_config, choice);
        option.choices = setting->choices;
    }
    return option;
}

static enum status set_value(const struct millrace_setting *setting, struct millrace_value *value, const char *text,
                             struct error *error)
{
    struct setting_config config = {0};
    const struct option option = as_option(setting);
    enum status status = options_set(&option, &config, text, true, error);
    if (status == STATUS_OK)
        *value = (struct millrace_value){
            .text = text,
            .number = setting->kind == MILLRACE_SETTING_CHOICE ? config.choice : config.count,
        };
    return status;
}

static size_t setting_count(const struct millrace_function *function)
{
    size_t count = 0;
    while (function->settings != NULL && function->settings[count].name != NULL)
        count++;
    return count;
}

static bool is_complete(const struct millrace_setting *setting)
{
    bool has_default = setting->default_text != NULL || setting->kind == MILLRACE_SETTING_TEXT;
    bool has_choices = setting->choices != NULL || setting->kind != MILLRACE_SETTING_CHOICE;
    return has_default && has_choices && setting->kind <= MILLRACE_SETTING_CHOICE && setting->value_name != NULL &&
           setting->help != NULL;
}

enum status function_settings_default(const struct millrace_function *function,
                                      struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX], struct error *error)
{
    if (setting_count(function) > MILLRACE_FUNCTION_SETTING_MAX)
        return error_set(error, STATUS_USAGE, "function %s has more than %d settings", function->name,
                         MILLRACE_FUNCTION_SETTING_MAX);
    for (size_t i = 0; i < setting_count(function); i++) {
        const struct millrace_setting *setting = &function->settings[i];
        if (!is_complete(setting))
            return error_set(error, STATUS_USAGE, "function %s: its setting %s is not complete", function->name,
                             setting->name);
        values[i] = (struct millrace_value){0};
        if (setting->default_text == NULL)
            continue;
        enum status status = set_value(setting, &values[i], setting->default_text, error);
        if (status != STATUS_OK) {
            error_prefix(error, "function %s: the default of a setting", function->name);
            return status;
        }
    }
    return STATUS_OK;
}

static enum status no_setting(const struct millrace_function *function, const char *name, size_t name_length,
                              struct error *error)
{
    char names[256] = "";
    size_t length = 0;
    for (size_t i = 0; i < setting_count(function) && length < sizeof names; i++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s--%s", i > 0 ? ", " : "; it has ",
                                   function->settings[i].name);
    return error_set(error, STATUS_USAGE, "--%.*s: function %s has no such setting%s", (int)name_length, name,
                     function->name, names);
}

enum status function_settings_set(const struct millrace_function *function,
                                  struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX], const char *name,
                                  size_t name_length, const char *text, struct error *error)
{
    for (size_t i = 0; i < setting_count(function); i++) {
        const struct millrace_setting *setting = &function->settings[i];
        if (strlen(setting->name) == name_length && memcmp(setting->name, name, name_length) == 0)
            return set_value(setting, &values[i], text, error);
    }
    return no_setting(function, name, name_length, error);
}

void function_settings_print_help(FILE *out, const struct millrace_function *function)
{
    if (setting_count(function) == 0)
        return;
    fprintf(out, "\nOf workers with --function %s:\n", function->name);
    for (size_t i = 0; i < setting_count(function); i++) {
        const struct option options[] = {as_option(&function->settings[i]), {0}};
        options_print_help(out, options);
    }
}
