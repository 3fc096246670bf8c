/*
 * market_state.c and key_log.c: a market spread that was stopped and opened again from what was kept gives the verdicts
 * of one that never stopped; and what it forgot is kept no more.
 */
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
#include "nodes/functions/function_settings.h"
#include "nodes/functions/function_types.h"
#include "nodes/functions/key_log.h"
#include "tests/support/pair_model.h"

#define S "\001"

enum { ANSWER_BYTES = 4096 };

/* One market spread, and what its last call said. */
struct millrace_call {
    void *state;
    struct worker_state *keyed_state;
    char answer[ANSWER_BYTES]; /* what it emitted, or why it failed; "" */
};

static void host_emit(struct millrace_call *call, int64_t choice, const void *data, size_t length)
{
    (void)choice;
    assert_true(length < ANSWER_BYTES);
    memcpy(call->answer, data, length);
    call->answer[length] = '\0';
}

static __attribute__((format(printf, 2, 3))) void host_fail(struct millrace_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->answer, sizeof call->answer, format, arguments);
    va_end(arguments);
}

static void host_count(struct millrace_call *call, unsigned index, uint64_t n)
{
    (void)call;
    (void)index;
    (void)n;
}

static int host_keeps_state(struct millrace_call *call)
{
    return worker_state_is_kept(call->keyed_state);
}

static int host_state_put(struct millrace_call *call, const void *key, size_t key_length, const void *value,
                          size_t value_length)
{
    struct error error = {0};
    assert_int_equal(worker_state_put(call->keyed_state, key, key_length, value, value_length, &error), STATUS_OK);
    return 0;
}

static void host_state_remove(struct millrace_call *call, const void *key, size_t key_length)
{
    worker_state_remove(call->keyed_state, key, key_length);
}

static void host_state_each(struct millrace_call *call, const void *prefix, size_t prefix_length,
                            millrace_pair_visit *visit, void *context)
{
    struct error error = {0};
    assert_int_equal(worker_state_each(call->keyed_state, prefix, prefix_length, visit, context, &error), STATUS_OK);
}

/* Without state_get: it loads. */
static const struct millrace_host host = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_host),
    .emit = host_emit,
    .fail = host_fail,
    .count = host_count,
    .keeps_state = host_keeps_state,
    .state_put = host_state_put,
    .state_remove = host_state_remove,
    .state_each = host_state_each,
};

/* Returns what open does; `why` says the reason. */
static int start(struct millrace_call *call, const struct worker_state_keeper *keeper, const char *limit,
                 const char *full, char why[256])
{
    const struct worker_state_settings settings = {.keeper = keeper, .loads = true};
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    struct error error = {0};
    assert_int_equal(function_settings_default(&function_market_spread, values, &error), STATUS_OK);
    assert_int_equal(function_settings_set(&function_market_spread, values, "orders-limit", 12, limit, &error),
                     STATUS_OK);
    assert_int_equal(function_settings_set(&function_market_spread, values, "orders-full", 11, full, &error),
                     STATUS_OK);
    assert_int_equal(worker_state_open(&call->keyed_state, &settings, &error), STATUS_OK);
    return function_market_spread.open(&call->state, values, &host, call, why, 256);
}

static void must_start(struct millrace_call *call, const struct worker_state_keeper *keeper, const char *limit,
                       const char *full)
{
    char why[256] = "";
    *call = (struct millrace_call){0};
    assert_int_equal(start(call, keeper, limit, full, why), 0);
}

static void stop(struct millrace_call *call)
{
    function_market_spread.close(call->state);
    worker_state_close(&call->keyed_state);
}

static const char *apply(struct millrace_call *call, const char *text)
{
    call->answer[0] = '\0';
    function_market_spread.apply(call->state, &host, call, text, strlen(text));
    return call->answer;
}

/* A quote or an order of a small market: ids come again, symbols stop and go on, also long ones of both. */
static void random_message(struct random_state *random, char *text, size_t text_bytes)
{
    char name[64];
    const unsigned number = (unsigned)random_below(random, 12);
    snprintf(name, sizeof name, number % 4 == 0 ? "LONGSYMBOL.%u" : "S%u", number);
    if (random_below(random, 4) == 0) {
        snprintf(text, text_bytes, "35=S" S "55=%s" S "132=10" S "133=%s" S, name,
                 random_below(random, 3) == 0 ? "11" : "10.01");
        return;
    }
    const unsigned id = (unsigned)random_below(random, 150);
    snprintf(text, text_bytes,
             id % 3 == 0 ? "35=D" S "55=%s" S "11=an-id-that-no-slot-holds-%u" S : "35=D" S "55=%s" S "11=%u" S, name,
             id);
}

static void run_stream(const char *limit, const char *full, uint64_t seed, size_t pairs_max)
{
    struct random_state random;
    random_seed(&random, seed);
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    struct millrace_call steady; /* never stops, and nobody keeps it */
    struct millrace_call cut;
    must_start(&steady, NULL, limit, full);
    must_start(&cut, &keeper, limit, full);
    for (unsigned i = 0; i < 6000; i++) {
        char text[256];
        random_message(&random, text, sizeof text);
        assert_string_equal(apply(&cut, text), apply(&steady, text));
        assert_true(kept.count <= pairs_max);
        if (random_below(&random, 40) == 0) {
            stop(&cut);
            must_start(&cut, &keeper, limit, full);
        }
    }
    stop(&steady);
    stop(&cut);
    pair_model_free(&kept);
}

static void test_the_same_verdicts(void **unused)
{
    (void)unused;
    enum { SYMBOL_COUNT = 12, ID_COUNT = 150 };
    run_stream("100000", "forget", 1, SYMBOL_COUNT + ID_COUNT);
    run_stream("60", "refuse", 2, SYMBOL_COUNT + 60);
    /* Two generations are known, and half of one may wait to be removed. */
    run_stream("60", "forget", 3, SYMBOL_COUNT + 60 + 30);
    run_stream("7", "forget", 4, SYMBOL_COUNT + 7 + 4);
    run_stream("2", "forget", 5, SYMBOL_COUNT + 2 + 1);
}

static void test_only_changes_are_put(void **unused)
{
    (void)unused;
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    struct millrace_call call;
    must_start(&call, &keeper, "100", "forget");
    apply(&call, "35=S" S "55=X" S "132=10" S "133=10.01" S);
    assert_true(kept.count == 1);
    const uint64_t change_count = kept.change_count;
    apply(&call, "35=S" S "55=X" S "132=10" S "133=10.02" S);
    apply(&call, "35=0" S);
    assert_true(kept.change_count == change_count);
    apply(&call, "35=S" S "55=X" S "132=10" S "133=11" S);
    assert_true(kept.count == 1 && kept.change_count > change_count && kept.pairs[0].value[0] == 1);
    apply(&call, "35=D" S "55=X" S "11=a" S); /* rejected */
    assert_true(kept.count == 1);
    stop(&call);
    pair_model_free(&kept);
}

/* What no key holds is refused where it is to be kept. */
static void test_too_long_to_be_kept(void **unused)
{
    (void)unused;
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    struct millrace_call call;
    char text[4096];
    must_start(&call, &keeper, "100", "forget");
    for (int length = 1016; length <= 1025; length++) {
        snprintf(text, sizeof text, "35=S" S "55=%0*d" S "132=10" S "133=10.01" S, length, 1);
        assert_string_equal(apply(&call, text),
                            length <= 1023 ? "" : "tag 55 (symbol) cannot be kept: it is longer than 1023 bytes");
        snprintf(text, sizeof text, "35=D" S "55=%0*d" S "11=%0*d" S, 1016, 1, length, 1);
        assert_true((strstr(apply(&call, text), "Accepted") != NULL) == (length <= 1017));
    }
    assert_string_equal(call.answer, "the order id cannot be kept: it is longer than 1017 bytes");
    stop(&call);
    must_start(&call, &keeper, "100", "forget");
    snprintf(text, sizeof text, "35=D" S "55=%0*d" S "11=%0*d" S, 1023, 1, 1017, 1);
    assert_non_null(strstr(apply(&call, text), "already exists"));
    stop(&call);
    pair_model_free(&kept);
}

/* A lower limit, the other way to be full, and pairs of somebody else. */
static void test_other_settings(void **unused)
{
    (void)unused;
    struct pair_model kept = {0};
    const struct worker_state_keeper keeper = pair_model_keeper(&kept);
    struct millrace_call call;
    char text[256];
    char why[256] = "";
    must_start(&call, &keeper, "100", "forget");
    apply(&call, "35=S" S "55=X" S "132=10" S "133=10.01" S);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "35=D" S "55=X" S "11=%03u" S, i);
        assert_non_null(strstr(apply(&call, text), "Accepted"));
    }
    stop(&call);
    assert_int_equal(start(&call, &keeper, "40", "refuse", why), -1);
    assert_string_equal(why, "the ids are at their limit of 40");
    worker_state_close(&call.keyed_state);
    must_start(&call, &keeper, "20", "forget");
    for (unsigned i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "35=D" S "55=X" S "11=n%03u" S, i);
        assert_non_null(strstr(apply(&call, text), "Accepted"));
    }
    assert_true(kept.count <= 1 + 20 + 10);
    assert_non_null(strstr(apply(&call, "35=D" S "55=X" S "11=n199" S), "already exists"));
    stop(&call);
    must_start(&call, &keeper, "40", "refuse");
    assert_true(kept.count <= 1 + 20);
    stop(&call);
    pair_model_put(&kept, "x", 1, "", 0);
    assert_int_equal(start(&call, &keeper, "100", "forget", why), -1);
    assert_string_equal(why, "its kept state is not this function's");
    worker_state_close(&call.keyed_state);
    pair_model_free(&kept);
}

static void test_key_log(void **unused)
{
    (void)unused;
    struct key_log log = {0};
    struct error error = {0};
    unsigned char key[KEY_LOG_KEY_BYTES_MAX];
    uint64_t in = 0;
    uint64_t out = 0;
    while (out < 3000) {
        for (unsigned i = 0; i < 5 && in < 3000; i++, in++) {
            memset(key, (int)(in % 251), sizeof key);
            assert_int_equal(key_log_append(&log, key, in % (KEY_LOG_KEY_BYTES_MAX + 1), &error), STATUS_OK);
        }
        for (unsigned i = 0; i < (out < 1000 ? 3u : 7u) && log.count > 0; i++, out++) {
            size_t length;
            const void *got = key_log_peek(&log, &length);
            memset(key, (int)(out % 251), sizeof key);
            assert_int_equal(length, out % (KEY_LOG_KEY_BYTES_MAX + 1));
            assert_memory_equal(got, key, length);
            key_log_pop(&log);
        }
        assert_true(log.count == in - out);
    }
    assert_null(log.first);
    assert_int_equal(key_log_append(&log, "a", 1, &error), STATUS_OK);
    key_log_free(&log);
    assert_true(log.count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_verdicts),
        cmocka_unit_test(test_only_changes_are_put),
        cmocka_unit_test(test_too_long_to_be_kept),
        cmocka_unit_test(test_other_settings),
        cmocka_unit_test(test_key_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
