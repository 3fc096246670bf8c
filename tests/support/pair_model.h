/*
 * pair_model.h: pairs by key in the plainest way, to compare a keyed state with and to keep one.
 */
#ifndef TESTS_SUPPORT_PAIR_MODEL_H
#define TESTS_SUPPORT_PAIR_MODEL_H

#include "nodes/worker/keyed_state.h"

struct model_pair {
    unsigned char *key, *value;
    size_t key_length, value_length;
};

/* Starts as {0}. */
struct pair_model {
    struct model_pair *pairs; /* by key */
    size_t count;
    uint64_t change_count; /* puts and removes, also those that changed nothing */
};

void pair_model_free(struct pair_model *model);
/* The pair, or NULL. */
const struct model_pair *pair_model_get(const struct pair_model *model, const void *key, size_t key_length);
void pair_model_put(struct pair_model *model, const void *key, size_t key_length, const void *value,
                    size_t value_length);
void pair_model_remove(struct pair_model *model, const void *key, size_t key_length);
/* The first pair behind `key` (length 0: the first of all) that begins with the prefix, or NULL. */
const struct model_pair *pair_model_next(const struct pair_model *model, const void *key, size_t key_length,
                                         const void *prefix, size_t prefix_length);

/* The model as a keeper; it must stay. */
struct worker_state_keeper pair_model_keeper(struct pair_model *model);

#endif
