/*
 * What every function of the program keeps, whatever it does: its struct is complete, its state opens and closes, and
 * no message, however broken, does more than make it fail.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/functions/function_settings.h"
#include "nodes/functions/function_types.h"
#include "nodes/worker/keyed_state.h"

enum { RANDOM_BYTES = 64 * 1024, WHY_BYTES_MAX = 255 };

/* One function with a state, and what its last call did. */
struct millrace_call {
    const struct millrace_function *function;
    void *state;
    struct worker_state *keyed_state;
    unsigned counter_count;
    size_t length; /* of the message */
    unsigned emission_count;
    unsigned failure_count;
    unsigned count_count;
    uint64_t checksum; /* of what was emitted: all of it was read */
};

static void host_emit(struct millrace_call *call, int64_t choice, const void *data, size_t length)
{
    (void)choice;
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++)
        call->checksum = call->checksum * 31 + bytes[i];
    call->emission_count++;
    /* What comes out is at most a few times what came in: JSON's escapes of each byte of a field that comes twice. */
    assert_true(length <= 16 * call->length + 1024);
}

static __attribute__((format(printf, 2, 3))) void host_fail(struct millrace_call *call, const char *format, ...)
{
    char why[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    assert_in_range(length, 1, WHY_BYTES_MAX);
    for (int i = 0; i < length; i++) /* fit for a log line */
        assert_false(iscntrl((unsigned char)why[i]));
    call->failure_count++;
}

static void host_count(struct millrace_call *call, unsigned index, uint64_t n)
{
    assert_true(index < call->counter_count);
    assert_true(n >= 1);
    call->count_count++;
}

static int host_keeps_state(struct millrace_call *call)
{
    return worker_state_is_kept(call->keyed_state);
}

static int host_state_get(struct millrace_call *call, const void *key, size_t key_length, const void **value,
                          size_t *value_length)
{
    return worker_state_get(call->keyed_state, key, key_length, value, value_length);
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

static const struct millrace_host host = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_host),
    .emit = host_emit,
    .fail = host_fail,
    .count = host_count,
    .keeps_state = host_keeps_state,
    .state_get = host_state_get,
    .state_put = host_state_put,
    .state_remove = host_state_remove,
    .state_each = host_state_each,
};

/* One that keeps nothing; that it is there makes a function put what is to be kept. */
static enum status read_nothing(void *context, millrace_pair_visit *visit, void *visit_context, struct error *error)
{
    (void)context;
    (void)visit;
    (void)visit_context;
    (void)error;
    return STATUS_OK;
}

static void put_nowhere(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    (void)context;
    (void)key;
    (void)value;
    assert_in_range(key_length, 1, MILLRACE_STATE_KEY_BYTES_MAX);
    assert_in_range(value_length, 0, MILLRACE_STATE_VALUE_BYTES_MAX);
}

static void remove_nowhere(void *context, const void *key, size_t key_length)
{
    put_nowhere(context, key, key_length, NULL, 0);
}

static const struct worker_state_keeper keeper = {.read = read_nothing, .put = put_nowhere, .remove = remove_nowhere};

static void open_keyed_state(struct millrace_call *call, const struct worker_state_keeper *its_keeper)
{
    const struct worker_state_settings settings = {
        .keeper = its_keeper,
        .loads = (call->function->flags & MILLRACE_FUNCTION_LOADS_STATE) != 0,
        .memory_bytes_max = 1 << 30,
    };
    struct error error = {0};
    assert_int_equal(worker_state_open(&call->keyed_state, &settings, &error), STATUS_OK);
}

static void open_state_of(struct millrace_call *call, const struct millrace_function *function,
                          const struct worker_state_keeper *its_keeper)
{
    *call = (struct millrace_call){.function = function};
    char why[WHY_BYTES_MAX + 1] = "";
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    struct error error = {0};
    assert_int_equal(function_settings_default(function, values, &error), STATUS_OK);
    open_keyed_state(call, its_keeper);
    if (function->open != NULL) {
        if (function->open(&call->state, values, &host, call, why, sizeof why) != 0)
            fail_msg("%s: %s", function->name, why);
        assert_non_null(call->state);
    }
    while (function->counter_names != NULL && function->counter_names[call->counter_count] != NULL)
        call->counter_count++;
}

/* Whose state is kept: a function does all that it does without, and puts besides. */
static void open_state(struct millrace_call *call, const struct millrace_function *function)
{
    open_state_of(call, function, &keeper);
}

static void close_state(struct millrace_call *call)
{
    if (call->function->close != NULL)
        call->function->close(call->state);
    call->state = NULL;
    worker_state_close(&call->keyed_state);
}

/* Applies a copy of exactly that size, so that a sanitizer sees a look beyond it; and the copy stays as it was. */
static void apply(struct millrace_call *call, const void *data, size_t length)
{
    unsigned char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    if (length > 0)
        memcpy(copy, data, length);
    call->length = length;
    call->emission_count = call->failure_count = call->count_count = 0;
    call->function->apply(call->state, &host, call, copy, length);
    if (length > 0)
        assert_memory_equal(copy, data, length);
    free(copy);
    /* A message that leaves no trace is lost without a word. */
    assert_true(call->emission_count + call->failure_count + call->count_count > 0);
    assert_true(call->failure_count <= 1);
}

static uint32_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 32);
}

/* ---- the struct ---- */

static bool is_name(const char *name)
{
    if (name == NULL || !islower((unsigned char)name[0]))
        return false;
    for (; *name != '\0'; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

static void test_struct(void **state)
{
    const struct millrace_function *function = *state;
    assert_int_equal(function->abi_version, MILLRACE_FUNCTION_ABI);
    assert_int_equal(function->struct_bytes, sizeof *function);
    assert_true(is_name(function->name));
    assert_non_null(function->title);
    assert_true(isupper((unsigned char)function->title[0]));
    assert_non_null(function->summary);
    assert_true(strlen(function->summary) > 0 && strchr(function->summary, '\n') == NULL);
    assert_non_null(function->apply);
    assert_ptr_equal(function_find(function->name), function);
    assert_ptr_equal(function_find(function->title), function); /* without regard to case */
    for (size_t i = 0; i < function_type_count; i++)
        if (function_types[i] != function)
            assert_string_not_equal(function_types[i]->name, function->name);
}

static void test_counters(void **state)
{
    const struct millrace_function *function = *state;
    const char *const *names = function->counter_names;
    unsigned count = 0;
    for (; names != NULL && names[count] != NULL; count++) {
        assert_true(is_name(names[count]));
        for (unsigned i = 0; i < count; i++)
            assert_string_not_equal(names[i], names[count]);
    }
    assert_true(count <= MILLRACE_FUNCTION_COUNTER_MAX);
}

/* ---- the state ---- */

static void test_opens_and_closes(void **state)
{
    struct millrace_call calls[3];
    for (size_t i = 0; i < 3; i++)
        open_state(&calls[i], *state);
    assert_true(calls[0].state == NULL || calls[0].state != calls[1].state); /* a replica has its own */
    for (size_t i = 0; i < 3; i++)
        close_state(&calls[i]);
}

/* ---- messages ---- */

static void test_short_messages(void **state)
{
    struct millrace_call call;
    open_state(&call, *state);
    apply(&call, NULL, 0);
    apply(&call, "", 0);
    unsigned char bytes[2];
    for (unsigned first = 0; first < 256; first++) {
        bytes[0] = (unsigned char)first;
        apply(&call, bytes, 1);
        for (unsigned second = 0; second < 256; second++) {
            bytes[1] = (unsigned char)second;
            apply(&call, bytes, 2);
        }
    }
    close_state(&call);
}

static void test_random_bytes(void **state)
{
    struct millrace_call call;
    open_state(&call, *state);
    static unsigned char bytes[RANDOM_BYTES];
    uint64_t random = 1;
    for (unsigned round = 0; round < 16; round++) {
        for (size_t i = 0; i < RANDOM_BYTES; i++)
            bytes[i] = (unsigned char)random_next(&random);
        apply(&call, bytes, RANDOM_BYTES);
        apply(&call, bytes, random_next(&random) % 200);
    }
    close_state(&call);
}

static void test_the_same_byte(void **state)
{
    struct millrace_call call;
    open_state(&call, *state);
    static unsigned char bytes[RANDOM_BYTES];
    static const unsigned char each[] = {0, 1, '=', '"', '9', '-', '.', ' ', '\n', 0x7f, 0x80, 0xc3, 0xff};
    for (size_t i = 0; i < sizeof each; i++) {
        memset(bytes, each[i], sizeof bytes);
        apply(&call, bytes, sizeof bytes);
    }
    close_state(&call);
}

static void test_invalid_utf8(void **state)
{
    struct millrace_call call;
    open_state(&call, *state);
    static const char *const texts[] = {
        "\xff\xfe", "ping\xff", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80", "12\x80",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        apply(&call, texts[i], strlen(texts[i]));
    close_state(&call);
}

/* What one of them understands, the others must bear, whole, cut off, and with one byte changed. */
static void test_damaged_messages(void **state)
{
    struct millrace_call call;
    open_state(&call, *state);
    static const char *const texts[] = {
        "ping",
        "-170141183460469231731687303715884105727",
        " +12_3 ",
        "\"8=FIX.4.2\00135=S\00155=TSLA\001132=10.00\001133=10.01\00160=20151204-14:30:00.000\001999=1.5\001\"",
        "\"8=FIX.4.2\00135=D\0011=CLIENT35\00111=a1\00155=TSLA\00138=4000.0\001999=1458195070.3131151\001\"",
        "\"8=FIX.4.2\00135=D\0011=\"\\\x07\00137=\xff\xfe\00155=\xc3\00138=1e308\001999=-0\001\"",
        "35=0\001",
        "35=S\00155=\001132=1e309\001133=nan\001",
        "999999999999999999999999=1\00135=D\00155\001=\001=\001\001",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t length = strlen(texts[i]);
        for (size_t cut = 0; cut <= length; cut++)
            apply(&call, texts[i], cut);
        char changed[256];
        for (size_t at = 0; at < length; at++) {
            static const char bytes[] = {'\0', '\001', '=', '"', '9', '-', '\xff'};
            for (size_t j = 0; j < sizeof bytes; j++) {
                memcpy(changed, texts[i], length);
                changed[at] = bytes[j];
                apply(&call, changed, length);
            }
        }
    }
    close_state(&call);
}

/* A state that has seen garbage does the same as a new one: what a message gives depends on no broken one before. */
static void test_garbage_leaves_no_trace(void **state)
{
    struct millrace_call fresh;
    struct millrace_call used;
    open_state_of(&fresh, *state, NULL); /* nor does it depend on whether the state is kept */
    open_state(&used, *state);
    static unsigned char bytes[RANDOM_BYTES];
    uint64_t random = 7;
    for (size_t i = 0; i < RANDOM_BYTES; i++)
        bytes[i] = (unsigned char)random_next(&random);
    apply(&used, bytes, RANDOM_BYTES);
    apply(&used, "", 0);
    static const char *const texts[] = {"ping", "21", "35=S\00155=X\001132=1\001133=1.01\001",
                                        "35=D\00111=q\00155=X\00138=5\001"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fresh.checksum = used.checksum = 0;
        apply(&fresh, texts[i], strlen(texts[i]));
        apply(&used, texts[i], strlen(texts[i]));
        assert_true(fresh.checksum == used.checksum);
        assert_int_equal(fresh.emission_count, used.emission_count);
        assert_int_equal(fresh.failure_count, used.failure_count);
    }
    close_state(&fresh);
    close_state(&used);
}

/* ---- each test for each function ---- */

static const struct {
    const char *name;
    CMUnitTestFunction run;
} contract[] = {
    {"its struct is complete", test_struct},
    {"its counters have names of their own", test_counters},
    {"it opens and closes", test_opens_and_closes},
    {"short messages", test_short_messages},
    {"random bytes", test_random_bytes},
    {"the same byte over and over", test_the_same_byte},
    {"invalid UTF-8", test_invalid_utf8},
    {"damaged messages", test_damaged_messages},
    {"garbage leaves no trace", test_garbage_leaves_no_trace},
};

enum { CONTRACT_COUNT = sizeof contract / sizeof contract[0], FUNCTION_MAX = 100 };

int main(void)
{
    static struct CMUnitTest tests[CONTRACT_COUNT * FUNCTION_MAX];
    static char names[CONTRACT_COUNT * FUNCTION_MAX][80];
    size_t count = 0;
    if (function_type_count == 0 || function_type_count > FUNCTION_MAX)
        return EXIT_FAILURE;
    for (size_t i = 0; i < function_type_count; i++) {
        for (size_t j = 0; j < CONTRACT_COUNT; j++) {
            snprintf(names[count], sizeof names[count], "%s: %s", function_types[i]->name, contract[j].name);
            /* cmocka hands initial_state on as it is, and the tests only read it. */
            tests[count] = (struct CMUnitTest){.name = names[count],
                                               .test_func = contract[j].run,
                                               .initial_state = (void *)(uintptr_t)function_types[i]};
            count++;
        }
    }
    return _cmocka_run_group_tests("function types", tests, count, NULL, NULL);
}
