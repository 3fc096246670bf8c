#include "engine/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"

const struct option *options_find(const struct option *table, const char *name, size_t name_length)
{
    for (const struct option *option = table; option != NULL && option->name != NULL; option++)
        if (strlen(option->name) == name_length && memcmp(option->name, name, name_length) == 0)
            return option;
    return NULL;
}

static void *member(const struct option *option, void *config)
{
    return (char *)config + option->offset;
}

static const void *constant_member(const struct option *option, const void *config)
{
    return (const char *)config + option->offset;
}

/* ---- values ---- */

static enum status not_in_range(const struct option *option, const char *value, const char *what, struct error *error)
{
    return error_set(error, STATUS_USAGE, "--%s: '%s' is not %s from %.15g to %.15g", option->name, value, what,
                     option->min, option->max);
}

static enum status set_count(const struct option *option, uint64_t *target, const char *value, struct error *error)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || (double)number < option->min ||
        (double)number > option->max)
        return not_in_range(option, value, "a whole number", error);
    *target = number;
    return STATUS_OK;
}

static enum status set_bytes(const struct option *option, uint64_t *target, const char *value, struct error *error)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    bool valid = isdigit((unsigned char)value[0]) && errno == 0;
    unsigned shift = 0;
    if (*end != '\0') {
        const char *unit = strchr("KMG", toupper((unsigned char)*end));
        valid = valid && unit != NULL && end[1] == '\0';
        shift = unit == NULL ? 0 : (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 30);
    }
    valid = valid && number <= UINT64_MAX >> shift;
    number <<= shift;
    if (!valid || (double)number < option->min || (double)number > option->max)
        return not_in_range(option, value, "a number of bytes (K, M, G may follow)", error);
    *target = number;
    return STATUS_OK;
}

static enum status set_seconds(const struct option *option, int64_t *target, const char *value, struct error *error)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || isspace((unsigned char)value[0]) || !isfinite(seconds) ||
        seconds < option->min || seconds > option->max)
        return not_in_range(option, value, "a number of seconds", error);
    *target = (int64_t)llround(seconds * (double)NS_PER_S);
    return STATUS_OK;
}

static enum status set_choice(const struct option *option, unsigned *target, const char *value, struct error *error)
{
    char list[256] = "";
    size_t length = 0;
    for (unsigned i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *target = i;
            return STATUS_OK;
        }
        if (length < sizeof list) /* else the list is cut */
            length +=
                (size_t)snprintf(list + length, sizeof list - length, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    }
    return error_set(error, STATUS_USAGE, "--%s: '%s' is none of %s", option->name, value, list);
}

static void *grown(void *items, size_t count, size_t item_bytes)
{
    void *more = realloc(items, (count + 1) * item_bytes);
    CHECK(more != NULL);
    return more;
}

static enum status add_address(const struct option *option, struct address_list *list, const char *value,
                               struct error *error)
{
    struct address address;
    enum status status = address_parse(value, &address, error);
    if (status != STATUS_OK) {
        error_prefix(error, "--%s", option->name);
        return status;
    }
    list->items = grown(list->items, list->count, sizeof *list->items);
    list->items[list->count++] = address;
    return STATUS_OK;
}

static void clear_list(const struct option *option, void *config)
{
    if (option->kind == OPTION_TEXTS) {
        struct text_list *list = member(option, config);
        free((void *)list->items);
        *list = (struct text_list){0};
    } else if (option->kind == OPTION_ADDRESSES) {
        struct address_list *list = member(option, config);
        free(list->items);
        *list = (struct address_list){0};
    }
}

enum status options_set(const struct option *option, void *config, const char *value, bool fresh, struct error *error)
{
    void *target = member(option, config);
    if (fresh)
        clear_list(option, config);
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)target = true;
        return STATUS_OK;
    case OPTION_COUNT:
        return set_count(option, target, value, error);
    case OPTION_BYTES:
        return set_bytes(option, target, value, error);
    case OPTION_SECONDS:
        return set_seconds(option, target, value, error);
    case OPTION_CHOICE:
        return set_choice(option, target, value, error);
    case OPTION_TEXT:
        *(const char **)target = value;
        return STATUS_OK;
    case OPTION_TEXTS: {
        struct text_list *list = target;
        list->items = grown((void *)list->items, list->count, sizeof *list->items);
        list->items[list->count++] = value;
        return STATUS_OK;
    }
    case OPTION_ADDRESSES:
        return add_address(option, target, value, error);
    }
    CHECK(option->kind <= OPTION_ADDRESSES);
    return STATUS_USAGE;
}

void options_set_defaults(const struct option *table, void *config)
{
    for (const struct option *option = table; option != NULL && option->name != NULL; option++) {
        if (option->default_text == NULL)
            continue;
        struct error error = {0};
        enum status status = options_set(option, config, option->default_text, true, &error);
        CHECK(status == STATUS_OK);
    }
}

static bool is_given(const struct option *option, const void *config)
{
    const void *value = constant_member(option, config);
    switch (option->kind) {
    case OPTION_TEXT:
        return *(const char *const *)value != NULL;
    case OPTION_TEXTS:
        return ((const struct text_list *)value)->count > 0;
    case OPTION_ADDRESSES:
        return ((const struct address_list *)value)->count > 0;
    default:
        return true;
    }
}

enum status options_check_required(const struct option *table, const void *config, struct error *error)
{
    for (const struct option *option = table; option != NULL && option->name != NULL; option++)
        if (option->required && !is_given(option, config))
            return error_set(error, STATUS_USAGE, "needs --%s %s: %s", option->name, option->value_name, option->help);
    return STATUS_OK;
}

void options_free(const struct option *table, void *config)
{
    for (const struct option *option = table; option != NULL && option->name != NULL; option++)
        clear_list(option, config);
}

/* ---- help ---- */

static void print_limits(FILE *out, const struct option *option)
{
    const char *separator = " [";
    if (option->default_text != NULL && option->kind != OPTION_FLAG) {
        fprintf(out, "%sdefault %s", separator, option->default_text);
        separator = "; ";
    }
    if (option->kind == OPTION_CHOICE) {
        for (unsigned i = 0; option->choices[i] != NULL; i++)
            fprintf(out, "%s%s", i == 0 ? separator : "|", option->choices[i]);
        separator = "; ";
    } else if (option->max > option->min) {
        fprintf(out, "%s%.15g to %.15g", separator, option->min, option->max);
        separator = "; ";
    }
    if (option->kind == OPTION_TEXTS || option->kind == OPTION_ADDRESSES) {
        fprintf(out, "%smay be repeated", separator);
        separator = "; ";
    }
    if (option->required) {
        fprintf(out, "%srequired", separator);
        separator = "; ";
    }
    fputs(separator[0] == ';' ? "]\n" : "\n", out);
}

void options_print_help(FILE *out, const struct option *table)
{
    for (const struct option *option = table; option != NULL && option->name != NULL; option++) {
        if (option->role == ROLE_SETTING)
            continue;
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->kind == OPTION_FLAG ? "" : " ",
                 option->kind == OPTION_FLAG ? "" : option->value_name);
        fprintf(out, "  %-32s %s", left, option->help);
        print_limits(out, option);
    }
}

/* ---- nearest name ---- */

enum { NEAREST_LENGTH_MAX = 40 };

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* The optimal string alignment distance: insertions, deletions, substitutions, and swaps of neighbours (Damerau). */
static size_t edit_distance(const char *one, size_t one_length, const char *other, size_t other_length)
{
    size_t rows[3][NEAREST_LENGTH_MAX + 1];
    for (size_t j = 0; j <= other_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= one_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= other_length; j++) {
            row[j] = least(above[j - 1] + (one[i - 1] != other[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[one_length % 3][other_length];
}

void options_nearest(const char *name, size_t name_length, const char *candidate, const char **best,
                     size_t *best_distance)
{
    size_t candidate_length = strlen(candidate);
    if (name_length > NEAREST_LENGTH_MAX || candidate_length > NEAREST_LENGTH_MAX)
        return;
    size_t distance = edit_distance(name, name_length, candidate, candidate_length);
    if (distance < *best_distance) {
        *best = candidate;
        *best_distance = distance;
    }
}
