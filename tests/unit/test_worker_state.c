/* keyed_state.c: against a model, with and without a keeper; limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/worker/keyed_state.h"
#include "tests/support/pair_model.h"

enum { KEY_BYTES_MAX = 4, VALUE_BYTES_MAX = 24 };

static struct worker_state *open_state(const struct worker_state_keeper *keeper, bool loads, uint64_t bytes_max)
{
    const struct worker_state_settings settings = {.keeper = keeper, .loads = loads, .memory_bytes_max = bytes_max};
    struct worker_state *state = NULL;
    struct error error = {0};
    assert_int_equal(worker_state_open(&state, &settings, &error), STATUS_OK);
    return state;
}

static void put(struct worker_state *state, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct error error = {0};
    assert_int_equal(worker_state_put(state, key, key_length, value, value_length, &error), STATUS_OK);
}

/* ---- a walk: each pair shown is the model's next one, whatever changes meanwhile ---- */

struct walk {
    struct worker_state *state;
    struct pair_model *model;
    struct random_state *random; /* NULL: nothing changes */
    unsigned char prefix[KEY_BYTES_MAX];
    size_t prefix_length;
    unsigned char last[KEY_BYTES_MAX];
    size_t last_length;
    size_t left; /* shows that it wants */
};

static size_t random_key(struct random_state *random, unsigned char *key)
{
    static const unsigned char letters[] = {0, 1, 'a', 0xff};
    const size_t length = 1 + (size_t)random_below(random, KEY_BYTES_MAX);
    for (size_t i = 0; i < length; i++)
        key[i] = letters[random_below(random, sizeof letters)];
    return length;
}

static void change(struct worker_state *state, struct pair_model *model, struct random_state *random)
{
    unsigned char key[KEY_BYTES_MAX];
    unsigned char value[VALUE_BYTES_MAX];
    const size_t key_length = random_key(random, key);
    const size_t value_length = (size_t)random_below(random, VALUE_BYTES_MAX + 1);
    for (size_t i = 0; i < value_length; i++)
        value[i] = (unsigned char)random_below(random, 256);
    if (random_below(random, 2) == 0) {
        put(state, key, key_length, value, value_length);
        pair_model_put(model, key, key_length, value, value_length);
    } else {
        worker_state_remove(state, key, key_length);
        pair_model_remove(model, key, key_length);
    }
}

static int walk_on(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct walk *walk = context;
    const struct model_pair *next =
        pair_model_next(walk->model, walk->last, walk->last_length, walk->prefix, walk->prefix_length);
    assert_non_null(next);
    assert_int_equal(next->key_length, key_length);
    assert_memory_equal(next->key, key, key_length);
    assert_int_equal(next->value_length, value_length);
    assert_memory_equal(next->value, value, value_length);
    memcpy(walk->last, key, key_length);
    walk->last_length = key_length;
    for (unsigned i = 0; walk->random != NULL && i < random_below(walk->random, 4); i++)
        change(walk->state, walk->model, walk->random);
    return --walk->left == 0;
}

static void walk_all(struct walk *walk)
{
    struct error error = {0};
    walk->last_length = 0;
    walk->left = SIZE_MAX;
    assert_int_equal(worker_state_each(walk->state, walk->prefix, walk->prefix_length, walk_on, walk, &error),
                     STATUS_OK);
    assert_null(pair_model_next(walk->model, walk->last, walk->last_length, walk->prefix, walk->prefix_length));
}

static void assert_same_pair(struct worker_state *state, const struct pair_model *model, const unsigned char *key,
                             size_t key_length)
{
    const struct model_pair *pair = pair_model_get(model, key, key_length);
    const void *value;
    size_t value_length;
    assert_true(worker_state_get(state, key, key_length, &value, &value_length) == (pair != NULL));
    if (pair == NULL)
        return;
    assert_int_equal(value_length, pair->value_length);
    assert_memory_equal(value, pair->value, value_length);
}

static void assert_same_models(const struct pair_model *a, const struct pair_model *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct model_pair *pair = pair_model_get(b, a->pairs[i].key, a->pairs[i].key_length);
        assert_non_null(pair);
        assert_int_equal(pair->value_length, a->pairs[i].value_length);
        assert_memory_equal(pair->value, a->pairs[i].value, pair->value_length);
    }
}

static void test_against_a_model(void **unused)
{
    (void)unused;
    struct random_state random;
    random_seed(&random, 7);
    struct pair_model model = {0};
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    struct worker_state *state = open_state(&keeper, false, 1 << 20);
    assert_true(worker_state_is_kept(state));
    for (unsigned round = 0; round < 30000; round++) {
        change(state, &model, &random);
        unsigned char key[KEY_BYTES_MAX];
        const size_t key_length = random_key(&random, key);
        assert_same_pair(state, &model, key, key_length);
        assert_true(worker_state_count(state) == model.count);
        if (round % 100 == 0) {
            struct walk walk = {.state = state, .model = &model, .random = round % 200 == 0 ? &random : NULL};
            walk.prefix_length = random_key(&random, walk.prefix) - 1; /* 0: all */
            walk_all(&walk);
        }
        if (round % 1000 == 0) {
            assert_same_models(&model, &kept);
            worker_state_close(&state);
            state = open_state(&keeper, false, 1 << 20);
        }
    }
    worker_state_close(&state);
    pair_model_free(&model);
    pair_model_free(&kept);
}

static void test_a_walk_ends_when_told(void **unused)
{
    (void)unused;
    struct pair_model model = {0};
    struct worker_state *state = open_state(NULL, false, 1 << 20);
    assert_false(worker_state_is_kept(state));
    for (unsigned char i = 0; i < 10; i++) {
        put(state, &i, 1, "v", 1);
        pair_model_put(&model, &i, 1, "v", 1);
    }
    struct walk walk = {.state = state, .model = &model, .left = 3};
    struct error error = {0};
    assert_int_equal(worker_state_each(state, NULL, 0, walk_on, &walk, &error), STATUS_OK);
    assert_int_equal(walk.left, 0);
    assert_int_equal(walk.last[0], 2);
    worker_state_close(&state);
    worker_state_close(&state);
    pair_model_free(&model);
}

static void test_its_own_bytes(void **unused)
{
    (void)unused;
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    struct worker_state *state = open_state(&keeper, false, 1 << 20);
    const void *value;
    size_t length;
    put(state, "b", 1, "0123456789", 10);
    assert_true(worker_state_get(state, "b", 1, &value, &length));
    put(state, "b", 1, (const char *)value + 3, 4); /* moved within the value */
    assert_true(worker_state_get(state, "b", 1, &value, &length));
    assert_int_equal(length, 4);
    assert_memory_equal(value, "3456", 4);
    assert_memory_equal(pair_model_get(&kept, "b", 1)->value, "3456", 4);
    put(state, "a", 1, value, length);
    put(state, "b", 1, "longer than before", 18);
    assert_true(worker_state_get(state, "a", 1, &value, &length));
    assert_memory_equal(value, "3456", 4);
    worker_state_close(&state);
    pair_model_free(&kept);
}

static void test_bounds(void **unused)
{
    (void)unused;
    struct worker_state *state = open_state(NULL, false, 2000);
    static const char zeros[MILLRACE_STATE_VALUE_BYTES_MAX + 1];
    struct error error = {0};
    const void *value;
    size_t length;
    assert_int_equal(worker_state_put(state, zeros, 0, "v", 1, &error), STATUS_INPUT);
    assert_string_equal(error.text, "a key of the state has 0 bytes; it must have 1 to 1024");
    assert_int_equal(worker_state_put(state, zeros, 1025, "v", 1, &error), STATUS_INPUT);
    assert_int_equal(worker_state_put(state, "k", 1, zeros, sizeof zeros, &error), STATUS_INPUT);
    assert_string_equal(error.text, "a value of the state has 1048577 bytes, more than 1048576");
    assert_false(worker_state_get(state, zeros, 0, &value, &length));
    assert_false(worker_state_get(state, zeros, 1025, &value, &length));
    worker_state_remove(state, zeros, 0);
    worker_state_remove(state, zeros, 1025);
    assert_true(worker_state_count(state) == 0);
    put(state, zeros, 1024, "v", 1);
    assert_int_equal(worker_state_put(state, "k", 1, zeros, 1000, &error), STATUS_SYSTEM);
    assert_string_equal(error.text, "the state is at its limit of 2000 bytes (--max-state)");
    assert_int_equal(worker_state_put(state, zeros, 1024, zeros, 1000, &error), STATUS_SYSTEM);
    assert_true(worker_state_get(state, zeros, 1024, &value, &length));
    assert_int_equal(length, 1);
    put(state, zeros, 1024, zeros, 800); /* the old one's room counts */
    worker_state_remove(state, zeros, 1024);
    put(state, "k", 1, zeros, 1800);
    worker_state_close(&state);
}

/* More is kept than the limit allows. */
static void test_open_at_the_limit(void **unused)
{
    (void)unused;
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    static const char zeros[5000];
    pair_model_put(&kept, "k", 1, zeros, sizeof zeros);
    const struct worker_state_settings settings = {.keeper = &keeper, .memory_bytes_max = 4096};
    struct worker_state *state;
    struct error error = {0};
    assert_int_equal(worker_state_open(&state, &settings, &error), STATUS_SYSTEM);
    assert_null(state);
    pair_model_free(&kept);
}

static void test_one_that_loads(void **unused)
{
    (void)unused;
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    pair_model_put(&kept, "a1", 2, "x", 1);
    pair_model_put(&kept, "b1", 2, "y", 1);
    pair_model_put(&kept, "b2", 2, "z", 1);
    struct worker_state *state = open_state(&keeper, true, 0);
    struct walk walk = {.state = state, .model = &kept, .prefix = "b", .prefix_length = 1};
    walk_all(&walk);
    assert_int_equal(walk.last[1], '2');
    put(state, "b3", 2, "w", 1);
    worker_state_remove(state, "a1", 2);
    assert_true(kept.count == 3 && pair_model_get(&kept, "a1", 2) == NULL);
    assert_memory_equal(pair_model_get(&kept, "b3", 2)->value, "w", 1);
    assert_true(worker_state_count(state) == 0); /* none is held */
    worker_state_close(&state);
    state = open_state(NULL, true, 0);
    put(state, "b3", 2, "w", 1);
    worker_state_remove(state, "b3", 2);
    worker_state_close(&state);
    pair_model_free(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),   cmocka_unit_test(test_a_walk_ends_when_told),
        cmocka_unit_test(test_its_own_bytes),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_open_at_the_limit), cmocka_unit_test(test_one_that_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
