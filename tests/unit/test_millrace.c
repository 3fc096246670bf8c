/* Topologies inside a program, through the public interface alone. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <millrace/millrace.h>

enum { LIMIT_S = 50 };

#define MS INT64_C(1000000)

/* ---- functions of our own ---- */

static void mark(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                 size_t length)
{
    (void)state;
    char *text = malloc(length + 1);
    memcpy(text, data, length);
    text[length] = '!';
    host->emit(call, 0, text, length + 1);
    free(text);
}

static const struct millrace_function mark_function = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "mark",
    .title = "Mark",
    .summary = "puts a ! behind the message",
    .apply = mark,
};

/* Has a state, counters, and errors. */
static const char *const tally_counters[] = {"seen", NULL};

static int tally_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                      struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)host;
    (void)call;
    (void)values;
    (void)why;
    (void)why_bytes;
    *state = calloc(1, sizeof(int));
    return 0;
}

static void tally(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                  size_t length)
{
    char text[32];
    int *count = state;
    host->count(call, 0, 1);
    if (length == 3 && memcmp(data, "bad", 3) == 0) {
        (host->fail)(call, "not %d", *count); /* in brackets: fail is a macro of cmocka's */
        return;
    }
    host->emit(call, 0, text, (size_t)snprintf(text, sizeof text, "%d", ++*count));
    host->emit(call, 0, data, length);
}

static const struct millrace_function tally_function = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "Tally",
    .title = "Tally",
    .summary = "numbers messages",
    .counter_names = tally_counters,
    .open = tally_open,
    .apply = tally,
    .close = free,
};

static int cannot_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                       struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)host;
    (void)call;
    (void)values;
    (void)state;
    snprintf(why, why_bytes, "the moon is full");
    return -1;
}

static const struct millrace_function closed_function = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "closed",
    .title = "Closed",
    .open = cannot_open,
    .apply = mark,
};

/* ---- a launch with an end for the program at each side ---- */

struct mill {
    millrace_launch *launch;
    millrace_producer *producer;
    millrace_consumer *consumer;
};

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        struct millrace_error error = {{0}};                                                                           \
        if ((call) != MILLRACE_OK)                                                                                     \
            fail_msg("%s: %s", #call, error.text);                                                                     \
    } while (0)

#define MUST_FAIL(call, part)                                                                                          \
    do {                                                                                                               \
        struct millrace_error error = {{0}};                                                                           \
        assert_int_equal(call, MILLRACE_ERROR);                                                                        \
        if (strstr(error.text, part) == NULL)                                                                          \
            fail_msg("'%s' does not say '%s'", error.text, part);                                                      \
    } while (0)

static void prepare(struct mill *mill, const char *function, const char *drain_timeout)
{
    const char *flags[] = {"--drain-timeout", drain_timeout,     "--mq", "--address",        "in",
                           "--worker",        "--input-address", "in",   "--output-address", "out",
                           "--function",      function,          "--mq", "--address",        "out"};
    /* They must stay until the close; two launches at once are the most. */
    static const char *kept[4][sizeof flags / sizeof flags[0]];
    static size_t next;
    const char **mine = kept[next++ % 4];
    memcpy(mine, flags, sizeof flags);
    *mill = (struct mill){0};
    MUST(millrace_launch_open(&mill->launch, (int)(sizeof flags / sizeof flags[0]), mine, &error));
    MUST(millrace_launch_add_function(mill->launch, &mark_function, &error));
    MUST(millrace_launch_add_function(mill->launch, &tally_function, &error));
    MUST(millrace_launch_add_function(mill->launch, &closed_function, &error));
    MUST(millrace_producer_open(mill->launch, "in", &mill->producer, &error));
    MUST(millrace_consumer_open(mill->launch, "out", &mill->consumer, &error));
}

static void start(struct mill *mill, const char *function, const char *drain_timeout)
{
    prepare(mill, function, drain_timeout);
    MUST(millrace_launch_start(mill->launch, &error));
}

static void put_text(struct mill *mill, const char *text)
{
    assert_int_equal(millrace_put(mill->producer, text, strlen(text)), MILLRACE_OK);
    millrace_flush(mill->producer);
}

static void expect(millrace_consumer *consumer, const char *text)
{
    struct millrace_message message;
    assert_int_equal(millrace_take_wait(consumer, &message, -1), MILLRACE_OK);
    assert_int_equal(message.length, strlen(text));
    assert_memory_equal(message.data, text, message.length);
}

/* Stops while nothing is in flight: quick and clean. */
static void stop_and_close(struct mill *mill)
{
    struct millrace_message message;
    assert_int_equal(millrace_launch_stop(mill->launch), MILLRACE_OK);
    assert_int_equal(millrace_take_wait(mill->consumer, &message, -1), MILLRACE_CLOSED);
    millrace_launch_close(&mill->launch);
    assert_null(mill->launch);
    millrace_launch_close(&mill->launch);
}

static void test_version(void **state)
{
    (void)state;
    unsigned major, minor, patch;
    char rest;
    assert_int_equal(sscanf(millrace_version(), "%u.%u.%u%c", &major, &minor, &patch, &rest), 3);
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct mill mill;
    struct millrace_message message;
    start(&mill, "mark", "5");
    assert_int_equal(millrace_take(mill.consumer, &message), MILLRACE_AGAIN);
    put_text(&mill, "ping");
    expect(mill.consumer, "ping!");
    put_text(&mill, "");
    put_text(&mill, "again");
    expect(mill.consumer, "!");
    expect(mill.consumer, "again!");
    assert_int_equal(millrace_take(mill.consumer, &message), MILLRACE_AGAIN);
    stop_and_close(&mill);
}

static void test_built_in_function(void **state)
{
    (void)state;
    struct mill mill;
    start(&mill, "PONG", "5");
    put_text(&mill, "ping");
    expect(mill.consumer, "pong");
    stop_and_close(&mill);
}

static void test_function_with_a_state(void **state)
{
    (void)state;
    struct mill mill;
    start(&mill, "tally", "5"); /* compared without regard to case */
    put_text(&mill, "a");
    put_text(&mill, "bad");
    put_text(&mill, "b");
    expect(mill.consumer, "1");
    expect(mill.consumer, "a");
    expect(mill.consumer, "2");
    expect(mill.consumer, "b");
    struct millrace_counts counts = {0};
    while (counts.out_count < 4) /* counted at the end of the step that sent them */
        assert_int_equal(millrace_launch_counts(mill.launch, "worker", &counts), MILLRACE_OK);
    FILE *file = tmpfile();
    assert_non_null(file);
    millrace_launch_print_summary(mill.launch, fileno(file));
    rewind(file);
    char text[4096];
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, "worker: in 3, out 4"));
    assert_non_null(strstr(text, "seen 3"));
    assert_non_null(strstr(text, "mq 1: in 3, out 3"));
    stop_and_close(&mill);
}

/* ---- many ---- */

enum { MANY = 200000 };

static void put_number(millrace_producer *producer, unsigned number)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%u", number);
    enum millrace_result result;
    while ((result = millrace_put(producer, text, (size_t)length)) == MILLRACE_AGAIN)
        assert_int_equal(millrace_put_wait(producer, -1), MILLRACE_OK);
    assert_int_equal(result, MILLRACE_OK);
}

static bool is_number(const struct millrace_message *message, unsigned number)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%u!", number);
    return message->length == (size_t)length && memcmp(message->data, text, (size_t)length) == 0;
}

static void *put_many(void *argument)
{
    millrace_producer *producer = argument;
    for (unsigned i = 0; i < MANY; i++)
        put_number(producer, i);
    millrace_producer_end(producer);
    return NULL;
}

static void test_many_from_another_thread(void **state)
{
    (void)state;
    struct mill mill;
    struct millrace_message message;
    pthread_t thread;
    start(&mill, "mark", "5");
    assert_int_equal(pthread_create(&thread, NULL, put_many, mill.producer), 0);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_OK);
        if (!is_number(&message, i))
            fail_msg("message %u is '%.*s'", i, (int)message.length, (const char *)message.data);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(millrace_put(mill.producer, "x", 1), MILLRACE_ERROR); /* it has ended */
    stop_and_close(&mill);
}

static void test_many_on_one_thread(void **state)
{
    (void)state;
    struct mill mill;
    struct millrace_message message;
    unsigned taken = 0;
    start(&mill, "mark", "5");
    for (unsigned i = 0; i < MANY / 4; i++) {
        put_number(mill.producer, i);
        while (millrace_take(mill.consumer, &message) == MILLRACE_OK)
            assert_true(is_number(&message, taken++));
    }
    assert_int_equal(millrace_put_wait(mill.producer, -1), MILLRACE_OK); /* a flush might leave the last behind */
    while (taken < MANY / 4) {
        assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_OK);
        assert_true(is_number(&message, taken++));
    }
    stop_and_close(&mill);
}

static void test_long_message(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    struct mill mill;
    struct millrace_message message;
    unsigned char *data = malloc(LENGTH);
    assert_non_null(data);
    for (size_t i = 0; i < LENGTH; i++)
        data[i] = (unsigned char)(i * 31 >> 3);
    start(&mill, "mark", "5");
    for (int i = 0; i < 3; i++) {
        put_text(&mill, "before");
        assert_int_equal(millrace_put_wait(mill.producer, -1), MILLRACE_OK);
        assert_int_equal(millrace_put(mill.producer, data, LENGTH), MILLRACE_OK);
        millrace_flush(mill.producer);
        put_text(&mill, "behind");
        expect(mill.consumer, "before!");
        assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_OK);
        assert_int_equal(message.length, LENGTH + 1);
        assert_memory_equal(message.data, data, LENGTH);
        assert_int_equal(((const char *)message.data)[LENGTH], '!');
        expect(mill.consumer, "behind!");
    }
    assert_int_equal(millrace_put(mill.producer, data, ((size_t)1 << 30) + 1), MILLRACE_ERROR);
    stop_and_close(&mill);
    free(data);
}

/* ---- waiting ---- */

static void test_waits_that_end(void **state)
{
    (void)state;
    struct mill mill;
    struct millrace_message message;
    start(&mill, "mark", "5");
    assert_int_equal(millrace_take_wait(mill.consumer, &message, 0), MILLRACE_AGAIN);
    assert_int_equal(millrace_take_wait(mill.consumer, &message, MS), MILLRACE_AGAIN);
    assert_int_equal(millrace_put_wait(mill.producer, 0), MILLRACE_OK);
    put_text(&mill, "x");
    assert_int_equal(millrace_take_wait(mill.consumer, &message, INT64_MAX), MILLRACE_OK);
    assert_int_equal(millrace_put_wait(mill.producer, INT64_MAX), MILLRACE_OK);
    stop_and_close(&mill);
}

/* A queue that takes one message only; then the ring before it fills up. */
static void start_narrow(struct mill *mill)
{
    static const char *const flags[] = {"--drain-timeout", "0.02", "--mq", "--address", "in", "--capacity", "1"};
    *mill = (struct mill){0};
    MUST(millrace_launch_open(&mill->launch, 7, flags, &error));
    MUST(millrace_producer_open(mill->launch, "in", &mill->producer, &error));
    MUST(millrace_launch_start(mill->launch, &error));
    char text[1000] = {0};
    int limit = 10000;
    for (;;) {
        if (millrace_put(mill->producer, text, sizeof text) == MILLRACE_AGAIN &&
            millrace_put_wait(mill->producer, 5 * MS) == MILLRACE_AGAIN)
            break;
        assert_true(--limit > 0);
    }
}

static void test_full(void **state)
{
    (void)state;
    struct mill mill;
    start_narrow(&mill);
    assert_int_equal(millrace_put(mill.producer, "x", 1), MILLRACE_AGAIN);
    assert_int_equal(millrace_put_wait(mill.producer, 0), MILLRACE_AGAIN);
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_AGAIN); /* something was left */
    assert_int_equal(millrace_put_wait(mill.producer, -1), MILLRACE_CLOSED);
    assert_int_equal(millrace_put(mill.producer, "x", 1), MILLRACE_CLOSED);
    millrace_producer_end(mill.producer); /* does not wait for ever either */
    millrace_launch_close(&mill.launch);
}

static void *wait_for_room(void *argument)
{
    return millrace_put_wait(argument, -1) == MILLRACE_CLOSED ? argument : NULL;
}

static void test_stop_ends_a_wait(void **state)
{
    (void)state;
    struct mill mill;
    pthread_t thread;
    void *result;
    start_narrow(&mill);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_room, mill.producer), 0);
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_AGAIN);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, mill.producer);
    millrace_launch_close(&mill.launch);
}

/* ---- stopping ---- */

struct taker {
    millrace_consumer *consumer;
    _Atomic unsigned taken_count;
    unsigned fault_count; /* until it is joined */
};

static void *take_all(void *argument)
{
    struct taker *taker = argument;
    struct millrace_message message;
    while (millrace_take_wait(taker->consumer, &message, -1) == MILLRACE_OK)
        taker->fault_count += !is_number(&message, taker->taken_count++);
    return NULL;
}

static void test_stop_drains(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct mill mill;
    pthread_t thread;
    start(&mill, "mark", "30");
    for (unsigned i = 0; i < COUNT; i++)
        put_number(mill.producer, i);
    assert_int_equal(millrace_put_wait(mill.producer, -1), MILLRACE_OK);
    millrace_producer_end(mill.producer);
    struct taker taker = {.consumer = mill.consumer};
    assert_int_equal(pthread_create(&thread, NULL, take_all, &taker), 0);
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_OK);
    assert_int_equal(pthread_join(thread, NULL), 0); /* ended by MILLRACE_CLOSED */
    assert_int_equal(taker.taken_count, COUNT);
    assert_int_equal(taker.fault_count, 0);
    millrace_launch_close(&mill.launch);
}

static void test_stop_without_an_end(void **state)
{
    (void)state;
    struct mill mill;
    start(&mill, "mark", "30");
    put_text(&mill, "x"); /* flushed, and the producer says no more: the stop does not wait for it */
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_OK);
    expect(mill.consumer, "x!"); /* on the ring until the close */
    struct millrace_message message;
    assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_CLOSED);
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_OK);
    millrace_launch_close(&mill.launch);
}

static void test_stop_with_things_left(void **state)
{
    (void)state;
    struct mill mill;
    char text[1000] = {0};
    start(&mill, "mark", "0.02");
    for (int i = 0; i < 2000; i++) { /* more than the ring to the program holds, and nobody takes them */
        assert_int_equal(millrace_put_wait(mill.producer, -1), MILLRACE_OK);
        assert_int_equal(millrace_put(mill.producer, text, sizeof text), MILLRACE_OK);
    }
    millrace_flush(mill.producer);
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_AGAIN);
    struct millrace_message message;
    enum millrace_result result;
    while ((result = millrace_take_wait(mill.consumer, &message, -1)) == MILLRACE_OK)
        assert_int_equal(message.length, sizeof text + 1);
    assert_int_equal(result, MILLRACE_CLOSED);
    millrace_launch_close(&mill.launch);
}

static void test_close_stops(void **state)
{
    (void)state;
    struct mill mill;
    start(&mill, "mark", "0.02");
    for (unsigned i = 0; i < 1000; i++)
        put_number(mill.producer, i);
    millrace_launch_close(&mill.launch);
    assert_null(mill.launch);
}

static void test_has_drained(void **state)
{
    (void)state;
    char path[] = "/tmp/millrace-feed-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "one\ntwo\n", 8), 8);
    close(fd);
    const char *flags[] = {"--feeder", "--address", "in", "--delay", "0", "--path", path, "--mq", "--address", "in"};
    struct mill mill = {0};
    MUST(millrace_launch_open(&mill.launch, 10, flags, &error));
    MUST(millrace_consumer_open(mill.launch, "in", &mill.consumer, &error));
    assert_false(millrace_launch_has_drained(mill.launch));
    MUST(millrace_launch_start(mill.launch, &error));
    struct millrace_message message;
    assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_OK);
    assert_memory_equal(message.data, "\"one", 4);
    assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_OK);
    assert_memory_equal(message.data, "\"two", 4);
    while (!millrace_launch_has_drained(mill.launch)) /* bounded by the alarm */
        assert_int_equal(millrace_take_wait(mill.consumer, &message, MS), MILLRACE_AGAIN);
    stop_and_close(&mill);
    unlink(path);
}

/* ---- more than one ---- */

static void test_two_launches(void **state)
{
    (void)state;
    struct mill one;
    struct mill other;
    start(&one, "mark", "5");
    start(&other, "tally", "5"); /* the same names: each launch has its own */
    put_text(&one, "a");
    put_text(&other, "b");
    expect(one.consumer, "a!");
    expect(other.consumer, "1");
    expect(other.consumer, "b");
    stop_and_close(&one);
    put_text(&other, "c");
    expect(other.consumer, "2");
    expect(other.consumer, "c");
    stop_and_close(&other);
    start(&one, "mark", "5"); /* and one after another */
    put_text(&one, "d");
    expect(one.consumer, "d!");
    stop_and_close(&one);
}

static void test_two_producers_and_consumers(void **state)
{
    (void)state;
    static const char *const flags[] = {"--mq", "--address", "q"};
    struct mill mill = {0};
    millrace_producer *second;
    millrace_consumer *another;
    struct millrace_message message;
    MUST(millrace_launch_open(&mill.launch, 3, flags, &error));
    MUST(millrace_producer_open(mill.launch, "q", &mill.producer, &error));
    MUST(millrace_consumer_open(mill.launch, "q", &mill.consumer, &error));
    MUST(millrace_producer_open(mill.launch, "q", &second, &error));
    MUST(millrace_consumer_open(mill.launch, "q", &another, &error));
    MUST(millrace_launch_start(mill.launch, &error));
    assert_int_equal(millrace_put(mill.producer, "1", 1), MILLRACE_OK);
    assert_int_equal(millrace_put(second, "2", 1), MILLRACE_OK);
    millrace_flush(mill.producer);
    millrace_flush(second);
    unsigned sum = 0;
    while (sum < 3) { /* each goes to one of the two */
        if (millrace_take(mill.consumer, &message) == MILLRACE_OK ||
            millrace_take_wait(another, &message, MS) == MILLRACE_OK)
            sum += (unsigned)(*(const char *)message.data - '0');
    }
    assert_int_equal(sum, 3);
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_OK);
    millrace_launch_close(&mill.launch);
}

/* ---- errors ---- */

static void test_flags_that_are_wrong(void **state)
{
    (void)state;
    static const char *const flags[] = {"--mq", "--adress", "in"};
    millrace_launch *launch = (void *)1;
    MUST_FAIL(millrace_launch_open(&launch, 3, flags, &error), "did you mean --address?");
    assert_null(launch);
    assert_int_equal(millrace_launch_open(&launch, 3, flags, NULL), MILLRACE_ERROR); /* who does not want to know */
    MUST_FAIL(millrace_launch_open(&launch, 0, NULL, &error), "no node");
}

static void test_before_the_start(void **state)
{
    (void)state;
    struct mill mill;
    struct millrace_message message;
    prepare(&mill, "mark", "5");
    assert_int_equal(millrace_put(mill.producer, "x", 1), MILLRACE_ERROR);
    assert_int_equal(millrace_put_wait(mill.producer, -1), MILLRACE_ERROR);
    millrace_flush(mill.producer);
    assert_int_equal(millrace_take(mill.consumer, &message), MILLRACE_ERROR);
    assert_int_equal(millrace_take_wait(mill.consumer, &message, -1), MILLRACE_ERROR);
    assert_false(millrace_launch_has_drained(mill.launch));
    assert_int_equal(millrace_launch_stop(mill.launch), MILLRACE_OK);
    millrace_launch_print_summary(mill.launch, STDERR_FILENO);
    millrace_launch_close(&mill.launch);
}

static void test_after_the_start(void **state)
{
    (void)state;
    struct mill mill;
    millrace_producer *producer = (void *)1;
    millrace_consumer *consumer = (void *)1;
    start(&mill, "mark", "5");
    MUST_FAIL(millrace_launch_start(mill.launch, &error), "started already");
    MUST_FAIL(millrace_launch_add_function(mill.launch, &mark_function, &error), "before the start");
    MUST_FAIL(millrace_producer_open(mill.launch, "in", &producer, &error), "before the start");
    MUST_FAIL(millrace_consumer_open(mill.launch, "in", &consumer, &error), "before the start");
    assert_null(producer);
    assert_null(consumer);
    put_text(&mill, "still runs");
    expect(mill.consumer, "still runs!");
    stop_and_close(&mill);
}

static void test_starts_that_fail(void **state)
{
    (void)state;
    struct mill mill;
    prepare(&mill, "nonesuch", "5");
    MUST_FAIL(millrace_launch_start(mill.launch, &error), "nonesuch");
    assert_int_equal(millrace_put(mill.producer, "x", 1), MILLRACE_ERROR); /* nothing runs */
    millrace_launch_close(&mill.launch);
    prepare(&mill, "closed", "5");
    MUST_FAIL(millrace_launch_start(mill.launch, &error), "the moon is full");
    assert_int_equal(millrace_put(mill.producer, "x", 1), MILLRACE_ERROR);
    millrace_launch_close(&mill.launch);
}

static void test_ports_that_do_not_fit(void **state)
{
    (void)state;
    struct mill mill;
    millrace_producer *producer = (void *)1;
    prepare(&mill, "mark", "5");
    MUST_FAIL(millrace_producer_open(mill.launch, "no:such:address", &producer, &error), "is no address");
    assert_null(producer);
    MUST(millrace_producer_open(mill.launch, "nowhere", &producer, &error));
    MUST_FAIL(millrace_launch_start(mill.launch, &error), "no node of this launch listens at 'nowhere'");
    millrace_launch_close(&mill.launch);
}

static void test_functions_that_do_not_fit(void **state)
{
    (void)state;
    struct mill mill;
    prepare(&mill, "mark", "5");
    struct millrace_function function = mark_function;
    function.abi_version = MILLRACE_FUNCTION_ABI + 1;
    MUST_FAIL(millrace_launch_add_function(mill.launch, &function, &error), "function mark is made for version 4");
    function = mark_function;
    function.struct_bytes = 16;
    assert_int_equal(millrace_launch_add_function(mill.launch, &function, NULL), MILLRACE_ERROR);
    function = mark_function;
    function.name = NULL;
    MUST_FAIL(millrace_launch_add_function(mill.launch, &function, &error), "(no name)");
    function = mark_function;
    function.apply = NULL;
    MUST_FAIL(millrace_launch_add_function(mill.launch, &function, &error), "needs a name, a title and an apply");
    function = mark_function;
    function.title = NULL;
    MUST_FAIL(millrace_launch_add_function(mill.launch, &function, &error), "needs a name, a title and an apply");
    millrace_launch_close(&mill.launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_built_in_function),
        cmocka_unit_test(test_function_with_a_state),
        cmocka_unit_test(test_many_from_another_thread),
        cmocka_unit_test(test_many_on_one_thread),
        cmocka_unit_test(test_long_message),
        cmocka_unit_test(test_waits_that_end),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_stop_ends_a_wait),
        cmocka_unit_test(test_stop_drains),
        cmocka_unit_test(test_stop_without_an_end),
        cmocka_unit_test(test_stop_with_things_left),
        cmocka_unit_test(test_close_stops),
        cmocka_unit_test(test_has_drained),
        cmocka_unit_test(test_two_launches),
        cmocka_unit_test(test_two_producers_and_consumers),
        cmocka_unit_test(test_flags_that_are_wrong),
        cmocka_unit_test(test_before_the_start),
        cmocka_unit_test(test_after_the_start),
        cmocka_unit_test(test_starts_that_fail),
        cmocka_unit_test(test_ports_that_do_not_fit),
        cmocka_unit_test(test_functions_that_do_not_fit),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
