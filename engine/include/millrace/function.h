/*
 * millrace/function.h: what the author of a worker function includes.
 *
 * A function turns one message into any number of messages. Our own functions (pong, marketspread, ...) and those of
 * an embedding program or a plugin are the same struct; there is no second, private interface.
 *
 * Threads: a worker opens one state of its function for itself and calls it from its own thread only, one message at
 * a time. Two replicas of a worker have two states. A function needs no locks.
 *
 * Blocking: a call of `apply` holds up its worker and nobody else (unless its flags say that it never blocks); it may
 * take its time, but a stop of the topology waits for it.
 */
#ifndef MILLRACE_FUNCTION_H
#define MILLRACE_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. A struct made for another version is refused, by name, before anything starts. */
#define MILLRACE_FUNCTION_ABI 2u

/* How many counters a function may name. */
#define MILLRACE_FUNCTION_COUNTER_MAX 16

/* How many settings a function may have. */
#define MILLRACE_FUNCTION_SETTING_MAX 16

/* One call of `apply`. Valid during that call only; belongs to the worker. */
struct millrace_call;

/*
 * What the worker offers to `apply`. Reached through the call, so that a plugin needs no symbol of ours.
 *
 * emit   sends `length` bytes (copied) to the output `choice` modulo the number of outputs, as Python's modulo does it:
 *        -1 is the last one. Never blocks and never fails: the worker does not take another message until all outputs
 *        have room again.
 * fail   says that the message could not be handled and why (printf form; the text is copied, at most 255 bytes). The
 *        worker logs, counts, and goes on. What was emitted before stays emitted.
 * count  adds `n` to the function's counter `index` (an index of `counter_names`).
 */
struct millrace_host {
    uint32_t abi_version;
    uint32_t struct_bytes;
    void (*emit)(struct millrace_call *call, int64_t choice, const void *data, size_t length);
    void (*fail)(struct millrace_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
    void (*count)(struct millrace_call *call, unsigned index, uint64_t n);
};

/* A message that is coming. */
struct millrace_input {
    const void *data;
    size_t length;
};

#define MILLRACE_LOOK_AHEAD_MAX 16

/* What a worker may rely on: `flags` of struct millrace_function. */
/* apply returns within microseconds, whatever the message: its worker may share a thread with other nodes. */
#define MILLRACE_FUNCTION_NEVER_BLOCKS 1u
/* apply does nothing but emit each message once, as it is, with choice 0: its worker may hand on many at once,
 * uncopied, instead of calling it. */
#define MILLRACE_FUNCTION_PASSES_ON 2u

enum millrace_setting_kind {
    MILLRACE_SETTING_TEXT = 0,
    MILLRACE_SETTING_COUNT = 1,  /* a whole number from `min` to `max` */
    MILLRACE_SETTING_CHOICE = 2, /* one of `choices` */
};

/* Something that a user may set for a function: with --set NAME=VALUE, and, of our own functions, with --NAME VALUE. */
struct millrace_setting {
    const char *name; /* as a flag is written, without dashes: "orders-limit" */
    enum millrace_setting_kind kind;
    const char *default_text;   /* as the user would write it; of a text, NULL is possible */
    uint64_t min, max;          /* of a count; at most 2^53 */
    const char *const *choices; /* of a choice: ended by NULL */
    const char *value_name;     /* in the help: "COUNT" */
    const char *help;           /* one line */
};

/* What it is set to, by the user or by default. */
struct millrace_value {
    const char *text; /* stays as long as the launch */
    uint64_t number;  /* of a count: the number; of a choice: its index; else 0 */
};

struct millrace_function {
    uint32_t abi_version;  /* MILLRACE_FUNCTION_ABI */
    uint32_t struct_bytes; /* sizeof(struct millrace_function) */

    const char *name;    /* as users write it; compared without regard to case */
    const char *title;   /* as metrics and logs write it: "Pong" */
    const char *summary; /* one line for --help */

    /* Names of what the function counts, ended by NULL; may be NULL. At most MILLRACE_FUNCTION_COUNTER_MAX. */
    const char *const *counter_names;

    /* What may be set, ended by a row without a name; may be NULL. At most MILLRACE_FUNCTION_SETTING_MAX. */
    const struct millrace_setting *settings;

    /*
     * Makes a state. May be NULL (then the state is NULL). Called before the topology starts, on the thread that starts
     * it; may block. values[i] is what settings[i] is set to, checked against its row; the array is valid during the
     * call. Returns 0, or -1 with a reason in `why` (at most `why_bytes`, NUL included).
     */
    int (*open)(void **state, const struct millrace_value *values, char *why, size_t why_bytes);

    /* Handles one message of `length` bytes. `data` is valid and constant during the call; it is not NUL-ended. */
    void (*apply)(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                  size_t length);

    /* Frees a state. May be NULL. Called once, after the last `apply`. */
    void (*close)(void *state);

    /*
     * What is to come: `apply` will be called with these messages (at most MILLRACE_LOOK_AHEAD_MAX), in this order and
     * at these places, if nothing stops it; others, of which nothing is said, may come in between. What was said before
     * is no longer so. For a function with more state than the caches hold: it can start to fetch what it will need.
     * May be NULL.
     */
    void (*look_ahead)(void *state, const struct millrace_input *inputs, size_t count);

    uint32_t flags; /* MILLRACE_FUNCTION_..., or'ed; 0 promises nothing */
};

#ifdef __cplusplus
}
#endif

#endif
