#include "tests/support/store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct compared {
    const struct store_model *model;
    uint64_t position;
    uint64_t id_count;
    uint64_t pair_count;
};

static void expect_ok(enum status status, const char *what, const struct error *error)
{
    if (status != STATUS_OK)
        fail_msg("%s: %d %s", what, (int)status, error->text);
}

size_t store_model_text_bytes(const struct store_model *model, uint64_t sequence)
{
    return 4 + sequence * 7 % model->text_bytes_limit;
}

static bool compare_message(void *context, const struct store_message *message)
{
    struct compared *compared = context;
    const struct store_model *model = compared->model;
    while (compared->position < model->next && model->settled[compared->position])
        compared->position++;
    assert_true(message->sequence == compared->position++);
    assert_true(message->length == store_model_text_bytes(model, message->sequence));
    assert_true(message->deliveries == model->deliveries[message->sequence]);
    for (uint32_t i = 0; i < message->length; i++)
        assert_true(((const unsigned char *)message->text)[i] == (message->sequence & 255));
    return true;
}

static bool compare_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    (void)message_bytes, (void)wall_ns;
    struct compared *compared = context;
    assert_true(id_length == 8 && memcmp(id, &compared->id_count, 8) == 0);
    compared->id_count++;
    return true;
}

static bool compare_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct compared *compared = context;
    uint64_t number;
    if (key_length == 3) {
        assert_true(value_length == compared->model->pad_bytes);
        return true;
    }
    assert_true(key_length == 8 && value_length == 8);
    memcpy(&number, key, 8);
    assert_true(number < STORE_MODEL_KEY_COUNT && memcmp(value, &compared->model->values[number], 8) == 0);
    compared->pair_count++;
    return true;
}

static bool find_batch(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    uint64_t number = 1;
    memcpy(&number, key, key_length);
    if (number == 0)
        memcpy(context, value, value_length);
    return true;
}

enum status store_model_find_batch(struct store *store, uint32_t state, uint64_t *batch, struct error *error)
{
    *batch = 0;
    return store_read_state(store, state, find_batch, batch, error);
}

void store_model_compare(const struct store_model *model, struct store *store, uint32_t queue, uint32_t state)
{
    struct compared compared = {.model = model, .position = 1};
    struct error error = {0};
    expect_ok(store_read_messages(store, queue, 0, UINT64_MAX, compare_message, &compared, &error), "messages", &error);
    for (; compared.position < model->next; compared.position++)
        assert_true(model->settled[compared.position]);
    expect_ok(store_read_ids(store, queue, compare_id, &compared, &error), "ids", &error);
    expect_ok(store_read_state(store, state, compare_pair, &compared, &error), "the state", &error);
    uint64_t pair_count = 0;
    for (size_t i = 0; i < STORE_MODEL_KEY_COUNT; i++)
        pair_count += model->values[i] != 0;
    assert_true(compared.pair_count == pair_count && compared.id_count == model->id_count);
    uint64_t fault_count;
    expect_ok(store_check(store, stderr, &fault_count, &error), "the check", &error);
    assert_true(fault_count == 0);
}
