/*
 * options.h: option tables, written once: the one source for flags, defaults, limits, --help and error messages.
 *
 * An option's value is parsed straight into the config struct of its owner, at `offset`. Strings point into the
 * arguments they came from, which must outlive the config; lists are freed by options_free. Pure; main thread.
 */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/address.h"
#include "engine/status.h"

enum option_kind {                   /* the member at `offset` */
                   OPTION_FLAG,      /* bool: takes no value */
                   OPTION_COUNT,     /* uint64_t */
                   OPTION_BYTES,     /* uint64_t; the user may write K, M, G (1024s) behind it */
                   OPTION_SECONDS,   /* int64_t, nanoseconds; the user writes seconds, with a fraction if need be */
                   OPTION_CHOICE,    /* unsigned: the index of one of `choices` */
                   OPTION_TEXT,      /* const char * */
                   OPTION_TEXTS,     /* struct text_list; may be given several times */
                   OPTION_ADDRESSES, /* struct address_list; may be given several times */
};

/* What an address (or other) option means to the wiring. */
enum option_role {
    ROLE_NONE,
    ROLE_LISTEN,   /* the node listens here */
    ROLE_INPUT,    /* the node takes messages from here */
    ROLE_OUTPUT,   /* the node sends messages there */
    ROLE_REPLICAS, /* uint64_t: how many nodes of this kind are meant */
    ROLE_SETTING,  /* a text: for what the node holds, such as a worker's function, whose row has the rest; not in the
                      help of the table */
};

struct text_list {
    size_t count;
    const char **items;
};

struct address_list {
    size_t count;
    struct address *items;
};

struct option {
    const char *name; /* without the dashes */
    enum option_kind kind;
    size_t offset;
    const char *default_text;   /* parsed as the user's would be; NULL: zero, empty */
    double min, max;            /* COUNT, BYTES, SECONDS (in seconds): the permitted range */
    const char *const *choices; /* CHOICE: ended by NULL */
    const char *value_name;     /* in the help: "HOST:PORT" */
    const char *help;
    enum option_role role;
    bool required;
};

/* One "--name value" of the command line. */
struct argument {
    const char *name; /* without dashes; may be followed by '=' in the original, hence the length */
    size_t name_length;
    const char *value; /* NULL for a flag */
};

/* The row named so, or NULL. A table ends with a row whose name is NULL; `table` may be NULL. */
const struct option *options_find(const struct option *table, const char *name, size_t name_length);

/* Parses the defaults of a whole table into a zeroed config. A default that does not parse is a bug. */
void options_set_defaults(const struct option *table, void *config);

/* Parses one value. The first value of a list replaces what `fresh` says came from defaults; the next ones add. */
enum status options_set(const struct option *option, void *config, const char *value, bool fresh,
                        struct error *error) MUST_USE;

/* STATUS_USAGE naming the first required option without a value. */
enum status options_check_required(const struct option *table, const void *config, struct error *error) MUST_USE;

void options_free(const struct option *table, void *config);

/* Rows of help: "  --name VALUE   text [default; range]". Those of ROLE_SETTING are left out. */
void options_print_help(FILE *out, const struct option *table);

/* The nearest of `candidate` so far to `name` by edit distance: keeps *best and *best_distance. Start with NULL and a
 * large number. */
void options_nearest(const char *name, size_t name_length, const char *candidate, const char **best,
                     size_t *best_distance);

#endif
