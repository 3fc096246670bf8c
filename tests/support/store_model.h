/*
 * store_model.h: what a store must hold, for tests that take the power away: one queue's messages and ids, one state.
 *
 * Of each batch of a test all follows from its number and a seed, and each puts its number into the state under the key
 * 0; so what the store must hold is known from the number that is found in it. Asserts with cmocka; for its test's
 * thread.
 */
#ifndef TESTS_SUPPORT_STORE_MODEL_H
#define TESTS_SUPPORT_STORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/store/store.h"

enum { STORE_MODEL_SEQUENCE_MAX = 16000, STORE_MODEL_KEY_COUNT = 64 };

struct store_model {
    uint64_t batch;
    uint64_t next;           /* sequence */
    size_t text_bytes_limit; /* lengths go up to this */
    uint64_t id_count;       /* ids are the numbers from 0 on, 8 bytes */
    size_t pad_bytes;        /* the value's length of a key "pad" */
    bool settled[STORE_MODEL_SEQUENCE_MAX];
    uint8_t deliveries[STORE_MODEL_SEQUENCE_MAX];
    uint64_t values[STORE_MODEL_KEY_COUNT]; /* by the key, a number; 0: no such key */
};

/* The message's text is so long, and each byte of it the sequence's lowest. */
size_t store_model_text_bytes(const struct store_model *model, uint64_t sequence);
/* *batch: whose number is in the state; 0: none. Not STATUS_OK: the state cannot be read. */
enum status store_model_find_batch(struct store *store, uint32_t state, uint64_t *batch, struct error *error) MUST_USE;
/* All that the store has is what the model says, and a check finds no fault. */
void store_model_compare(const struct store_model *model, struct store *store, uint32_t queue, uint32_t state);

#endif
