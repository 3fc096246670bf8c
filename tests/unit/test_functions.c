/* The functions, through their public interface, with a host that records what they do. */
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

#define S "\001"

enum { EMISSION_MAX = 4 };

struct emission {
    int64_t choice;
    char *data;
    size_t length;
};

/* One function with its state, and what its last call did. */
struct millrace_call {
    const struct millrace_function *function;
    void *state;
    struct worker_state *keyed_state;
    struct emission emissions[EMISSION_MAX];
    unsigned emission_count;
    unsigned failure_count;
    char failure[256];
    uint64_t counters[MILLRACE_FUNCTION_COUNTER_MAX];
};

static void host_emit(struct millrace_call *call, int64_t choice, const void *data, size_t length)
{
    assert_true(call->emission_count < EMISSION_MAX);
    struct emission *emission = &call->emissions[call->emission_count++];
    *emission = (struct emission){.choice = choice, .data = malloc(length + 1), .length = length};
    assert_non_null(emission->data);
    memcpy(emission->data, data, length);
    emission->data[length] = '\0';
}

static __attribute__((format(printf, 2, 3))) void host_fail(struct millrace_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->failure, sizeof call->failure, format, arguments);
    va_end(arguments);
    call->failure_count++;
}

static void host_count(struct millrace_call *call, unsigned index, uint64_t n)
{
    assert_true(index < MILLRACE_FUNCTION_COUNTER_MAX);
    call->counters[index] += n;
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

static void forget(struct millrace_call *call)
{
    for (unsigned i = 0; i < call->emission_count; i++)
        free(call->emissions[i].data);
    call->emission_count = 0;
    call->failure_count = 0;
    call->failure[0] = '\0';
}

static void open_keyed_state(struct millrace_call *call, const struct worker_state_keeper *keeper)
{
    const struct worker_state_settings settings = {
        .keeper = keeper,
        .loads = (call->function->flags & MILLRACE_FUNCTION_LOADS_STATE) != 0,
        .memory_bytes_max = 1 << 30,
    };
    struct error error = {0};
    assert_int_equal(worker_state_open(&call->keyed_state, &settings, &error), STATUS_OK);
}

static void start(struct millrace_call *call, const char *name)
{
    *call = (struct millrace_call){.function = function_find(name)};
    assert_non_null(call->function);
    char why[128] = "";
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    struct error error = {0};
    assert_int_equal(function_settings_default(call->function, values, &error), STATUS_OK);
    open_keyed_state(call, NULL);
    if (call->function->open != NULL)
        assert_int_equal(call->function->open(&call->state, values, &host, call, why, sizeof why), 0);
}

static void stop(struct millrace_call *call)
{
    forget(call);
    if (call->function->close != NULL)
        call->function->close(call->state);
    worker_state_close(&call->keyed_state);
}

/* Applies a copy of exactly that size, so that a sanitizer sees a read beyond it. */
static void apply(struct millrace_call *call, const void *data, size_t length)
{
    forget(call);
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, data, length);
    call->function->apply(call->state, &host, call, copy, length);
    free(copy);
}

static void apply_text(struct millrace_call *call, const char *text)
{
    apply(call, text, strlen(text));
}

static void assert_emission(const struct millrace_call *call, unsigned i, int64_t choice, const char *text)
{
    assert_true(i < call->emission_count);
    assert_true(call->emissions[i].choice == choice);
    assert_string_equal(call->emissions[i].data, text);
    assert_true(call->emissions[i].length == strlen(text));
}

/* That `text` gives `expected`, and nothing else. */
static void assert_gives(struct millrace_call *call, const char *text, const char *expected)
{
    apply_text(call, text);
    assert_string_equal(call->failure, "");
    assert_int_equal(call->failure_count, 0);
    assert_int_equal(call->emission_count, 1);
    assert_emission(call, 0, 0, expected);
}

static void assert_gives_nothing(struct millrace_call *call, const char *text)
{
    apply_text(call, text);
    assert_string_equal(call->failure, "");
    assert_int_equal(call->failure_count, 0);
    assert_int_equal(call->emission_count, 0);
}

static void assert_fails(struct millrace_call *call, const char *text, const char *why)
{
    apply_text(call, text);
    assert_string_equal(call->failure, why);
    assert_int_equal(call->failure_count, 1);
    assert_int_equal(call->emission_count, 0);
}

static uint64_t counter(const struct millrace_call *call, const char *name)
{
    const char *const *names = call->function->counter_names;
    for (unsigned i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0)
            return call->counters[i];
    }
    fail_msg("no counter %s", name);
    return 0;
}

static void test_table(void **state)
{
    (void)state;
    static const char *const titles[] = {"Pong", "Passthrough", "Double", "InputDoubler", "Fixrouter", "Marketspread"};
    assert_int_equal(function_type_count, 6);
    for (size_t i = 0; i < function_type_count; i++) {
        const struct millrace_function *function = function_types[i];
        assert_int_equal(function->abi_version, MILLRACE_FUNCTION_ABI);
        assert_int_equal(function->struct_bytes, sizeof *function);
        assert_string_equal(function->title, titles[i]);
        assert_non_null(function->summary);
        assert_non_null(function->apply);
        assert_ptr_equal(function_find(function->name), function);
        assert_ptr_equal(function_find(function->title), function); /* no regard to case */
        unsigned count = 0;
        while (function->counter_names != NULL && function->counter_names[count] != NULL)
            count++;
        assert_true(count <= MILLRACE_FUNCTION_COUNTER_MAX);
    }
    assert_ptr_equal(function_find("MARKETspread"), &function_market_spread);
    assert_null(function_find("marketsprea"));
    assert_null(function_find("marketspread2"));
    assert_null(function_find(""));
    char text[128];
    assert_string_equal(function_names_text(text, sizeof text),
                        "pong, passthrough, double, inputdoubler, fixrouter, marketspread");
    assert_string_equal(function_names_text(text, 8), "pong, p");
    assert_string_equal(function_names_text(text, 1), "");
}

static void test_pong(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "pong");
    assert_gives(&call, "ping", "pong");
    assert_gives(&call, "pong", "ping");
    assert_fails(&call, "x", "Unknown input: 'x'");
    assert_fails(&call, "", "Unknown input: ''");
    assert_fails(&call, "Ping", "Unknown input: 'Ping'");
    assert_fails(&call, "ping ", "Unknown input: 'ping '");
    assert_fails(&call, "a\001b", "Unknown input: 'a\\x01b'");
    apply(&call, "ping\0", 5);
    assert_int_equal(call.failure_count, 1);
    char *large = malloc(1 << 20);
    assert_non_null(large);
    memset(large, 'x', 1 << 20);
    apply(&call, large, 1 << 20);
    assert_int_equal(call.failure_count, 1);
    assert_true(strlen(call.failure) < 250);
    assert_non_null(strstr(call.failure, "..."));
    free(large);
    stop(&call);
}

static void test_passthrough_and_input_doubler(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "passthrough");
    assert_gives(&call, "any thing", "any thing");
    assert_gives(&call, "", "");
    apply(&call, "a\0\xff", 3);
    assert_true(call.emissions[0].length == 3);
    assert_memory_equal(call.emissions[0].data, "a\0\xff", 3);
    stop(&call);
    start(&call, "InputDoubler");
    apply_text(&call, "hello");
    assert_int_equal(call.emission_count, 2);
    assert_emission(&call, 0, 0, "hello");
    assert_emission(&call, 1, 1, "hello");
    stop(&call);
}

static void test_double(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "double");
    assert_gives(&call, "21", "42");
    assert_gives(&call, "+5", "10");
    assert_gives(&call, "-5", "-10");
    assert_gives(&call, "0", "0");
    assert_gives(&call, "-0", "0");
    assert_gives(&call, "-000", "0");
    assert_gives(&call, "0007", "14");
    assert_gives(&call, "05", "10");
    assert_gives(&call, " \t\n\v\f\r 99 \n", "198");
    assert_gives(&call, "18446744073709551616", "36893488147419103232");
    static const char *const refused[] = {"",    " ",   "-",   "+",   "_1",  "1_",  "1_0", "1.0", "1e3",
                                          "0x1", "1 2", "+-1", "- 1", "-_1", "abc", "1,0", "inf"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char why[64];
        snprintf(why, sizeof why, "not an integer: '%s'", refused[i]);
        assert_fails(&call, refused[i], why);
    }
    apply(&call, "1\0", 2);
    assert_int_equal(call.failure_count, 1);
    stop(&call);
}

static void test_double_of_a_million_digits(void **state)
{
    (void)state;
    enum { DIGITS = 1000000 };
    struct millrace_call call;
    start(&call, "double");
    char *text = malloc(DIGITS);
    assert_non_null(text);
    memset(text, '9', DIGITS);
    apply(&call, text, DIGITS);
    assert_int_equal(call.emission_count, 1);
    assert_true(call.emissions[0].length == DIGITS + 1);
    assert_true(call.emissions[0].data[0] == '1');
    for (size_t i = 1; i < DIGITS; i++)
        assert_true(call.emissions[0].data[i] == '9');
    assert_true(call.emissions[0].data[DIGITS] == '8');
    free(text);
    stop(&call);
}

static void assert_routes(struct millrace_call *call, const char *symbol, int64_t of_two, int64_t of_three)
{
    char text[64];
    snprintf(text, sizeof text, "\"8=FIX.4.2" S "55=%s" S "\"", symbol);
    apply_text(call, text);
    assert_int_equal(call->emission_count, 1);
    int64_t choice = call->emissions[0].choice;
    assert_true(choice >= 0);
    assert_true(choice % 2 == of_two);
    assert_true(choice % 3 == of_three);
    assert_emission(call, 0, choice, text);
}

/* The expected ones are Python's int.from_bytes(md5(symbol).digest(), 'big') % (2**61 - 1). */
static void test_fix_router(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "fixrouter");
    assert_routes(&call, "BTU", 0, 2);
    apply_text(&call, "55=BTU");
    assert_true(call.emissions[0].choice == INT64_C(1456190646632698496));
    apply_text(&call, "55=TSLA");
    assert_true(call.emissions[0].choice == INT64_C(1023897813923579673));
    apply_text(&call, "no symbol");
    assert_emission(&call, 0, INT64_C(751098818652394202), "no symbol");
    apply_text(&call, "55=");
    assert_emission(&call, 0, INT64_C(751098818652394202), "55=");
    stop(&call);
}

/* A symbol's choice is its own, whatever came before: of its length, of its beginning, or at its place. */
static void test_fix_router_forgets_right(void **state)
{
    (void)state;
    struct millrace_call used;
    start(&used, "fixrouter");
    for (unsigned i = 0; i < 4000; i++) {
        struct millrace_call fresh;
        char text[32];
        unsigned number = i * 2654435761u % 5000;
        switch (i % 3) {
        case 0:
            snprintf(text, sizeof text, "55=BTU");
            break;
        case 1:
            snprintf(text, sizeof text, "55=%u", number);
            break;
        default:
            snprintf(text, sizeof text, "55=%u%u", number, number); /* some beyond what is kept */
        }
        apply_text(&used, text);
        start(&fresh, "fixrouter");
        apply_text(&fresh, text);
        assert_true(used.emissions[0].choice == fresh.emissions[0].choice);
        stop(&fresh);
    }
    stop(&used);
}

#define QUOTE(symbol, bid, offer) "\"8=FIX.4.2" S "35=S" S "55=" symbol S "132=" bid S "133=" offer S "10=1" S "\""
#define ORDER(id, symbol)                                                                                              \
    "\"8=FIX.4.2" S "9=121" S "35=D" S "1=CLIENT35" S "11=" id S "38=4000" S "55=" symbol S "10=131" S "999=1234.0" S  \
    "\""
#define ACCEPTED(symbol)                                                                                               \
    "{\"msg\": \"New Order: (CLIENT35, " symbol ", Accepted, 4000.0): Accepted\", \"feed_time\": 1234.0}"
#define REJECTED(symbol, why)                                                                                          \
    "{\"msg\": \"New Order: (CLIENT35, " symbol ", Rejected, 4000.0): Rejected: " why "\", \"feed_time\": 1234.0}"

static void test_orders(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "marketspread");
    assert_gives(&call, ORDER("a", "TSLA"),
                 "{\"msg\": \"New Order: (CLIENT35, TSLA, Rejected, 4000.0): Rejected: Unknown symbol: TSLA\", "
                 "\"feed_time\": 1234.0}");
    assert_gives_nothing(&call, QUOTE("TSLA", "252.84", "252.86"));
    assert_gives(&call, ORDER("a", "TSLA"), /* the rejected id was not remembered */
                 "{\"msg\": \"New Order: (CLIENT35, TSLA, Accepted, 4000.0): Accepted\", \"feed_time\": 1234.0}");
    assert_gives(&call, ORDER("a", "TSLA"), REJECTED("TSLA", "Order already exists"));
    assert_gives(&call, ORDER("a", "NONE"), REJECTED("NONE", "Order already exists")); /* the first that applies */
    assert_gives(&call, ORDER("b", "TSLA"), ACCEPTED("TSLA"));
    assert_gives_nothing(&call, QUOTE("TSLA", "10.00", "11.00"));
    assert_gives(&call, ORDER("c", "TSLA"), REJECTED("TSLA", "TSLA - Stop New Orders"));
    assert_gives(&call, ORDER("b", "TSLA"), REJECTED("TSLA", "Order already exists"));
    assert_gives_nothing(&call, QUOTE("TSLA", "10.00", "10.01"));
    assert_gives(&call, ORDER("c", "TSLA"), ACCEPTED("TSLA"));
    assert_true(counter(&call, "quotes") == 3);
    assert_true(counter(&call, "orders_accepted") == 3);
    assert_true(counter(&call, "rejected_duplicate") == 3);
    assert_true(counter(&call, "rejected_unknown_symbol") == 1);
    assert_true(counter(&call, "rejected_stopped") == 1);
    stop(&call);
}

/* Opens marketspread with these two settings. */
static void start_with_limit(struct millrace_call *call, const char *limit, const char *full)
{
    *call = (struct millrace_call){.function = &function_market_spread};
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    struct error error = {0};
    char why[128] = "";
    assert_int_equal(function_settings_default(call->function, values, &error), STATUS_OK);
    assert_int_equal(function_settings_set(call->function, values, "orders-limit", 12, limit, &error), STATUS_OK);
    assert_int_equal(function_settings_set(call->function, values, "orders-full", 11, full, &error), STATUS_OK);
    open_keyed_state(call, NULL);
    assert_int_equal(call->function->open(&call->state, values, &host, call, why, sizeof why), 0);
    assert_gives_nothing(call, QUOTE("TSLA", "252.84", "252.86"));
}

static void test_limit_of_orders(void **state)
{
    (void)state;
    struct millrace_call call;
    start_with_limit(&call, "2", "refuse");
    assert_gives(&call, ORDER("a", "TSLA"), ACCEPTED("TSLA"));
    assert_gives(&call, ORDER("b", "TSLA"), ACCEPTED("TSLA"));
    apply_text(&call, ORDER("c", "TSLA"));
    assert_string_equal(call.failure, "the order id cannot be remembered: the ids are at their limit of 2");
    assert_gives(&call, ORDER("a", "TSLA"), REJECTED("TSLA", "Order already exists"));
    assert_true(counter(&call, "orders_forgotten") == 0);
    stop(&call);
    start_with_limit(&call, "4", "forget");
    assert_gives(&call, ORDER("a", "TSLA"), ACCEPTED("TSLA"));
    assert_gives(&call, ORDER("b", "TSLA"), ACCEPTED("TSLA"));
    assert_gives(&call, ORDER("c", "TSLA"), ACCEPTED("TSLA"));
    assert_gives(&call, ORDER("a", "TSLA"), REJECTED("TSLA", "Order already exists"));
    assert_gives(&call, ORDER("d", "TSLA"), ACCEPTED("TSLA")); /* a and b are forgotten */
    assert_gives(&call, ORDER("c", "TSLA"), REJECTED("TSLA", "Order already exists"));
    assert_gives(&call, ORDER("a", "TSLA"), ACCEPTED("TSLA"));
    assert_true(counter(&call, "orders_forgotten") == 2);
    stop(&call);
}

/* Both bounds have to be reached; the sums are those of Python's doubles. */
static void test_when_orders_stop(void **state)
{
    (void)state;
    static const struct {
        const char *bid;
        const char *offer;
        bool stopped;
    } cases[] = {
        {"16.40", "16.60", false},                     /* 1.2 % */
        {"0.10", "0.12", false},                       /* 18 %, but 2 cents */
        {"100", "105", false},                         /* 5 / 102.5 */
        {"97.5", "102.5", true},                       /* exactly 5 % */
        {"0.975", "1.025", false},                     /* 1.025 - 0.975 is a little below 0.05 */
        {"0.5", "0.75", true},     {"10", "9", false}, /* crossed */
        {"-10", "9", false},       {"1e-3", "1e3", true},
    };
    struct millrace_call call;
    start(&call, "marketspread");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "35=S" S "55=X" S "132=%s" S "133=%s", cases[i].bid, cases[i].offer);
        assert_gives_nothing(&call, text);
        snprintf(text, sizeof text, "\"8=x" S "35=D" S "1=CLIENT35" S "55=X" S "38=4000" S "999=1234" S "11=%zu" S "\"",
                 i);
        assert_gives(&call, text, cases[i].stopped ? REJECTED("X", "X - Stop New Orders") : ACCEPTED("X"));
    }
    stop(&call);
}

static void test_other_types(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "marketspread");
    assert_gives_nothing(&call, "\"8=FIX.4.2" S "35=0" S "10=1" S "\"");
    assert_gives_nothing(&call, "35=8" S "55=X");
    assert_gives_nothing(&call, "35=SS");
    assert_gives_nothing(&call, "35=");
    assert_true(counter(&call, "heartbeats") == 1);
    assert_true(counter(&call, "other_types") == 3);
    assert_fails(&call, "", "message without tag 35 (type)");
    assert_fails(&call, "hello", "message without tag 35 (type)");
    stop(&call);
}

static void test_what_an_order_may_lack(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "marketspread");
    assert_gives_nothing(&call, QUOTE("BTU", "1", "1"));
    assert_gives(&call, "35=D" S "11=1" S "55=BTU",
                 "{\"msg\": \"New Order: (None, BTU, Accepted, None): Accepted\", \"feed_time\": null}");
    assert_gives(
        &call, "35=D" S "37=1" S "55=BTU" S "1=",
        "{\"msg\": \"New Order: (, BTU, Rejected, None): Rejected: Order already exists\", \"feed_time\": null}");
    assert_fails(&call, "35=D" S "55=BTU", "order without tag 11 or 37 (order id)");
    assert_fails(&call, "35=D" S "11=2", "order without tag 55 (symbol)");
    assert_fails(&call, "35=D" S "11=2" S "55=BTU" S "38=many", "tag 38 (order quantity) is no number: 'many'");
    assert_fails(&call, "35=D" S "11=2" S "55=BTU" S "38=", "tag 38 (order quantity) is no number: ''");
    assert_fails(&call, "35=D" S "11=2" S "55=BTU" S "999=nan", "tag 999 (feed epoch) is no number: 'nan'");
    assert_gives(&call, "35=D" S "11=2" S "55=BTU", /* what failed was not remembered */
                 "{\"msg\": \"New Order: (None, BTU, Accepted, None): Accepted\", \"feed_time\": null}");
    stop(&call);
}

static void test_unreadable_quotes(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "marketspread");
    assert_fails(&call, "35=S" S "132=1" S "133=2", "quote without tag 55 (symbol)");
    assert_fails(&call, "35=S" S "55=X" S "133=2", "quote without tag 132 (bid)");
    assert_fails(&call, "35=S" S "55=X" S "132=1", "quote without tag 133 (offer)");
    assert_fails(&call, "35=S" S "55=X" S "132=1" S "133=abc", "tag 133 (offer) is no number: 'abc'");
    assert_fails(&call, "35=S" S "55=X" S "132=\x7f" S "133=1", "tag 132 (bid) is no number: '\\x7f'");
    assert_fails(&call, "35=S" S "55=X" S "132=0" S "133=0", "tag 132 (bid) and tag 133 (offer) have a middle of 0");
    assert_fails(&call, "35=S" S "55=X" S "132=-1" S "133=1", "tag 132 (bid) and tag 133 (offer) have a middle of 0");
    assert_gives(&call, ORDER("1", "X"), REJECTED("X", "Unknown symbol: X")); /* none of them was a quote of X */
    assert_true(counter(&call, "quotes") == 0);
    stop(&call);
}

static void test_numbers_and_strings_as_python_writes_them(void **state)
{
    (void)state;
    struct millrace_call call;
    start(&call, "marketspread");
    assert_gives(&call,
                 "35=D" S "1=caf\xc3\xa9" S "11=1" S "55=\"\xf0\x9d\x90\x87\xff\\" S "38=1337900.25" S "999=1e22",
                 "{\"msg\": \"New Order: (caf\\u00e9, \\\"\\ud835\\udc07\\ufffd\\\\, Rejected, 1337900.25): "
                 "Rejected: Unknown symbol: \\\"\\ud835\\udc07\\ufffd\\\\\", \"feed_time\": 1e+22}");
    assert_gives(&call, "35=D" S "11=1" S "55=X" S "38=1337900" S "999=0.00001",
                 "{\"msg\": \"New Order: (None, X, Rejected, 1337900.0): Rejected: Unknown symbol: X\", "
                 "\"feed_time\": 1e-05}");
    assert_gives(&call, "35=D" S "11=1" S "55=X" S "38= 4000 " S "999=1458195070.3131151",
                 "{\"msg\": \"New Order: (None, X, Rejected, 4000.0): Rejected: Unknown symbol: X\", "
                 "\"feed_time\": 1458195070.3131151}");
    stop(&call);
}

/* A symbol of a megabyte, in control characters, which become six bytes each. */
static void test_absurdly_long_fields(void **state)
{
    (void)state;
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG + 64);
    assert_non_null(text);
    struct millrace_call call;
    start(&call, "marketspread");
    int head = snprintf(text, 64, "35=D" S "11=1" S "55=");
    memset(text + head, 2, LONG);
    apply(&call, text, (size_t)head + LONG);
    assert_int_equal(call.emission_count, 1);
    assert_true(call.emissions[0].length > (size_t)2 * 6 * LONG);
    head = snprintf(text, 64, "35=S" S "132=1" S "133=1" S "55=");
    memset(text + head, 'x', LONG);
    apply(&call, text, (size_t)head + LONG);
    assert_string_equal(call.failure, "tag 55 (symbol) cannot be kept: a key of 1048576 bytes is longer than 65535");
    assert_gives_nothing(&call, QUOTE("X", "1", "1"));
    head = snprintf(text, 64, "35=D" S "55=X" S "11=");
    memset(text + head, 'x', LONG);
    apply(&call, text, (size_t)head + LONG);
    assert_string_equal(call.failure, "the order id cannot be remembered: an id of 1048576 bytes is longer than 65535");
    stop(&call);
    free(text);
}

/* Two states know nothing of each other. */
static void test_states_are_apart(void **state)
{
    (void)state;
    struct millrace_call a;
    struct millrace_call b;
    start(&a, "marketspread");
    start(&b, "marketspread");
    assert_gives_nothing(&a, QUOTE("X", "1", "1"));
    assert_gives(&a, ORDER("1", "X"), ACCEPTED("X"));
    assert_gives(&b, ORDER("1", "X"), REJECTED("X", "Unknown symbol: X"));
    stop(&a);
    stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_pong),
        cmocka_unit_test(test_passthrough_and_input_doubler),
        cmocka_unit_test(test_double),
        cmocka_unit_test(test_double_of_a_million_digits),
        cmocka_unit_test(test_fix_router),
        cmocka_unit_test(test_fix_router_forgets_right),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_when_orders_stop),
        cmocka_unit_test(test_limit_of_orders),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_what_an_order_may_lack),
        cmocka_unit_test(test_unreadable_quotes),
        cmocka_unit_test(test_numbers_and_strings_as_python_writes_them),
        cmocka_unit_test(test_absurdly_long_fields),
        cmocka_unit_test(test_states_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
