/*
 * market_state.h: what the market spread function has its worker keep, as pairs of its keyed state:
 *
 *   's' SYMBOL           one byte: 1 if its last quote stopped new orders, else 0. Of a quote nothing else is ever
 * asked. 'o' GENERATION ID    empty: an accepted order's id, and which generation of the id_set it is in, 6 bytes, the
 * most significant first, so that they are read in the order in which they were begun.
 *
 * The function's own tables answer all questions; a pair is written when something that it says changes, and all are
 * read when the function is opened. What is forgotten is removed a few pairs at a time, while new ids come; for that
 * the keys of the kept ids are also held in their order, in 9 bytes each beside the id, where ids may be forgotten.
 * Where nobody keeps the state, nothing is done and nothing held.
 */
#ifndef NODES_FUNCTIONS_MARKET_STATE_H
#define NODES_FUNCTIONS_MARKET_STATE_H

#include <millrace/function.h>

#include <stdbool.h>

#include "nodes/functions/id_set.h"
#include "nodes/functions/key_log.h"
#include "nodes/functions/symbol_table.h"

enum {
    MARKET_GENERATION_BYTES = 6,
    /* What fits into a key. */
    MARKET_SYMBOL_BYTES_MAX = MILLRACE_STATE_KEY_BYTES_MAX - 1,
    MARKET_ORDER_ID_BYTES_MAX = MILLRACE_STATE_KEY_BYTES_MAX - 1 - MARKET_GENERATION_BYTES,
};

/* Starts as {0}. */
struct market_state {
    bool keeps;
    bool forgets;              /* the set of ids does */
    struct key_log order_keys; /* kept ones, oldest first, those that wait to be removed in front */
};

/* In the function's open: asks whether the state is kept, and if so fills the two tables, which are empty. */
enum status market_state_load(struct market_state *state, const struct millrace_host *host, struct millrace_call *call,
                              struct symbol_table *symbols, struct id_set *order_ids, bool forgets,
                              struct error *error) MUST_USE;
void market_state_free(struct market_state *state);

/* ---- while state->keeps ---- */

/* A symbol is new, or its flag has changed. At most MARKET_SYMBOL_BYTES_MAX. */
void market_state_keep_symbol(const struct millrace_host *host, struct millrace_call *call, struct fix_view symbol,
                              bool stopped);

/* An id was added to the set just now. At most MARKET_ORDER_ID_BYTES_MAX. STATUS_SYSTEM: no memory. */
enum status market_state_keep_order(struct market_state *state, const struct millrace_host *host,
                                    struct millrace_call *call, const struct id_set *order_ids, const void *id,
                                    size_t id_length, struct error *error) MUST_USE;

#endif
