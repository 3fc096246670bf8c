/*
 * keyed_state.h: a function's keyed state (millrace/function.h): pairs of bytes, by key, that its worker holds.
 *
 * All pairs are in memory, so nothing on the way of a message reads a file; where there is a keeper, each change goes
 * to it as well, and what it kept is read when the state is opened. For one thread. In front of the tree stand the 1024
 * keys that were asked for last, found by a hash without walking it.
 *
 * Memory: some 64 bytes a pair beside key and value (what malloc adds included), and 8 KiB.
 */
#ifndef NODES_WORKER_KEYED_STATE_H
#define NODES_WORKER_KEYED_STATE_H

#include <millrace/function.h>

#include <stdbool.h>

#include "engine/status.h"

struct worker_state;

/* Who keeps the pairs beyond the process: the journal, or a test. */
struct worker_state_keeper {
    /* Shows all pairs that are kept, by key. */
    enum status (*read)(void *context, millrace_pair_visit *visit, void *visit_context, struct error *error);
    void (*put)(void *context, const void *key, size_t key_length, const void *value, size_t value_length);
    void (*remove)(void *context, const void *key, size_t key_length);
    void *context;
};

struct worker_state_settings {
    const struct worker_state_keeper *keeper; /* must stay; NULL: nobody keeps it */
    /* The function reads in its open only (MILLRACE_FUNCTION_LOADS_STATE): no pair is held in memory. */
    bool loads;
    uint64_t memory_bytes_max;
};

/* Reads what is kept. STATUS_SYSTEM: no memory, or more is kept than memory_bytes_max allows; and what the keeper
 * says. */
enum status worker_state_open(struct worker_state **state, const struct worker_state_settings *settings,
                              struct error *error) MUST_USE;
/* Frees all and sets *state to NULL; nothing for NULL. What is kept stays kept. */
void worker_state_close(struct worker_state **state);

bool worker_state_is_kept(const struct worker_state *state);

/* False: there is no such pair. *value is valid until the state is changed. Not for one that loads. */
bool worker_state_get(struct worker_state *state, const void *key, size_t key_length, const void **value,
                      size_t *value_length);

/* STATUS_INPUT where the key or the value is out of bounds, STATUS_SYSTEM at the limit of memory: nothing changed. */
enum status worker_state_put(struct worker_state *state, const void *key, size_t key_length, const void *value,
                             size_t value_length, struct error *error) MUST_USE;

/* False: there was no such pair, and nothing changed. Of one that loads: true, whatever the keeper has. */
bool worker_state_remove(struct worker_state *state, const void *key, size_t key_length);

/* As state_each of the host. Of one that loads: what the keeper has; fails as that does. */
enum status worker_state_each(struct worker_state *state, const void *prefix, size_t prefix_length,
                              millrace_pair_visit *visit, void *context, struct error *error) MUST_USE;

uint64_t worker_state_count(const struct worker_state *state);

#endif
