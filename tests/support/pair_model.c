#include "tests/support/pair_model.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"

static int order_of(const struct model_pair *pair, const void *key, size_t key_length)
{
    const size_t shorter = pair->key_length < key_length ? pair->key_length : key_length;
    const int order = shorter > 0 ? memcmp(pair->key, key, shorter) : 0;
    return order != 0 ? order : (pair->key_length > key_length) - (pair->key_length < key_length);
}

/* Of the first pair that is not before the key. */
static size_t place_of(const struct pair_model *model, const void *key, size_t key_length)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (order_of(&model->pairs[middle], key, key_length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static unsigned char *copy_of(const void *data, size_t length)
{
    unsigned char *copy = malloc(length + 1);
    CHECK(copy != NULL);
    if (length > 0)
        memcpy(copy, data, length);
    return copy;
}

const struct model_pair *pair_model_get(const struct pair_model *model, const void *key, size_t key_length)
{
    const size_t place = place_of(model, key, key_length);
    return place < model->count && order_of(&model->pairs[place], key, key_length) == 0 ? &model->pairs[place] : NULL;
}

void pair_model_remove(struct pair_model *model, const void *key, size_t key_length)
{
    const size_t place = place_of(model, key, key_length);
    model->change_count++;
    if (place == model->count || order_of(&model->pairs[place], key, key_length) != 0)
        return;
    free(model->pairs[place].key);
    free(model->pairs[place].value);
    model->count--;
    memmove(&model->pairs[place], &model->pairs[place + 1], (model->count - place) * sizeof *model->pairs);
}

void pair_model_put(struct pair_model *model, const void *key, size_t key_length, const void *value,
                    size_t value_length)
{
    const struct model_pair pair = {.key = copy_of(key, key_length),
                                    .value = copy_of(value, value_length),
                                    .key_length = key_length,
                                    .value_length = value_length};
    pair_model_remove(model, pair.key, key_length);
    const size_t place = place_of(model, pair.key, key_length);
    model->pairs = realloc(model->pairs, (model->count + 1) * sizeof *model->pairs);
    CHECK(model->pairs != NULL);
    memmove(&model->pairs[place + 1], &model->pairs[place], (model->count - place) * sizeof *model->pairs);
    model->pairs[place] = pair;
    model->count++;
}

const struct model_pair *pair_model_next(const struct pair_model *model, const void *key, size_t key_length,
                                         const void *prefix, size_t prefix_length)
{
    for (size_t i = 0; i < model->count; i++) {
        const struct model_pair *pair = &model->pairs[i];
        const bool begins =
            pair->key_length >= prefix_length && (prefix_length == 0 || memcmp(pair->key, prefix, prefix_length) == 0);
        if (begins && order_of(pair, key, key_length) > 0)
            return pair;
    }
    return NULL;
}

void pair_model_free(struct pair_model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        free(model->pairs[i].key);
        free(model->pairs[i].value);
    }
    free(model->pairs);
    *model = (struct pair_model){0};
}

/* Shows copies of now, so that whoever is shown them may change what is kept. */
static enum status keeper_read(void *context, millrace_pair_visit *visit, void *visit_context, struct error *error)
{
    const struct pair_model *model = context;
    struct pair_model copy = {0};
    (void)error;
    for (size_t i = 0; i < model->count; i++)
        pair_model_put(&copy, model->pairs[i].key, model->pairs[i].key_length, model->pairs[i].value,
                       model->pairs[i].value_length);
    for (size_t i = 0; i < copy.count; i++)
        if (visit(visit_context, copy.pairs[i].key, copy.pairs[i].key_length, copy.pairs[i].value,
                  copy.pairs[i].value_length) != 0)
            break;
    pair_model_free(&copy);
    return STATUS_OK;
}

static void keeper_put(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    pair_model_put(context, key, key_length, value, value_length);
}

static void keeper_remove(void *context, const void *key, size_t key_length)
{
    pair_model_remove(context, key, key_length);
}

struct worker_state_keeper pair_model_keeper(struct pair_model *model)
{
    return (struct worker_state_keeper){
        .read = keeper_read, .put = keeper_put, .remove = keeper_remove, .context = model};
}
