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
#define MILLRACE_FUNCTION_ABI 3u

/* How many counters a function may name. */
#define MILLRACE_FUNCTION_COUNTER_MAX 16

/* How many settings a function may have. */
#define MILLRACE_FUNCTION_SETTING_MAX 16

/* What a pair of the keyed state may have. Keys are at least one byte long and ordered as memcmp does it, a key before
 * those that it begins. */
#define MILLRACE_STATE_KEY_BYTES_MAX   1024
#define MILLRACE_STATE_VALUE_BYTES_MAX (1 << 20)

/* One call of `apply`, or of `open`. Valid during that call only; belongs to the worker. */
struct millrace_call;

/* Shown a pair, valid until the state is changed. Returns 0 to go on; anything else ends the showing. */
typedef int millrace_pair_visit(void *context, const void *key, size_t key_length, const void *value,
                                size_t value_length);

/*
 * What the worker offers to `apply`, and, from keeps_state on, to `open`. Reached through the call, so that a plugin
 * needs no symbol of ours.
 *
 * emit   sends `length` bytes (copied) to the output `choice` modulo the number of outputs, as Python's modulo does it:
 *        -1 is the last one. Never blocks and never fails: the worker does not take another message until all outputs
 *        have room again.
 * fail   says that the message could not be handled and why (printf form; the text is copied, at most 255 bytes). The
 *        worker logs, counts, and goes on. What was emitted before stays emitted. A worker that promises more than
 *        at-most-once applies the message again, some times, if the call neither emitted anything nor changed the keyed
 *        state: a function with tables of its own should fail before it changes them.
 * count  adds `n` to the function's counter `index` (an index of `counter_names`).
 *
 * keeps_state   whether what is put into the keyed state is there again after a restart (1), or nobody keeps it (0).
 *               The same in all calls. A function that has tables of its own need not put what nobody keeps.
 * state_get     finds a pair. Returns 1 and sets *value and *value_length, valid until the state is changed; or 0.
 * state_put     adds the pair, or gives its key another value; both are copied. Returns 0; or -1 where the key or the
 *               value is out of bounds or the state is at its limit (--max-state): then nothing changed, and the call
 *               has failed, with that reason, as `fail` does it.
 * state_remove  takes the pair of this key away, if there is one.
 * state_each    shows the pairs whose keys begin with the `prefix_length` bytes at `prefix` (0: all), by key. `visit`
 *               may change the state: a pair further on that it removes is not shown, one that it puts there is.
 *
 * A state takes some 64 bytes of memory a pair beside key and value. Finding a key that was used lately costs some 20
 * ns; any other, and adding and removing, a walk down a tree: 1 us among a million.
 */
struct millrace_host {
    uint32_t abi_version;
    uint32_t struct_bytes;
    void (*emit)(struct millrace_call *call, int64_t choice, const void *data, size_t length);
    void (*fail)(struct millrace_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
    void (*count)(struct millrace_call *call, unsigned index, uint64_t n);
    int (*keeps_state)(struct millrace_call *call);
    int (*state_get)(struct millrace_call *call, const void *key, size_t key_length, const void **value,
                     size_t *value_length);
    int (*state_put)(struct millrace_call *call, const void *key, size_t key_length, const void *value,
                     size_t value_length);
    void (*state_remove)(struct millrace_call *call, const void *key, size_t key_length);
    void (*state_each)(struct millrace_call *call, const void *prefix, size_t prefix_length, millrace_pair_visit *visit,
                       void *context);
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
/* It reads its keyed state in `open` only, into tables of its own. So the worker holds no pairs in memory and only
 * writes them, if it keeps them: state_each in `open` shows what was kept, and what it changes in there it is not
 * shown; state_get always, and state_each after `open`, fail the call. */
#define MILLRACE_FUNCTION_LOADS_STATE 4u

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
     * call. The keyed state is there: what was kept is read now, or whenever it is needed. `host` is the one that
     * `apply` gets; emit, fail and count are not for `open`. Returns 0, or -1 with a reason in `why` (at most
     * `why_bytes`, NUL included), having freed all.
     */
    int (*open)(void **state, const struct millrace_value *values, const struct millrace_host *host,
                struct millrace_call *call, char *why, size_t why_bytes);

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
