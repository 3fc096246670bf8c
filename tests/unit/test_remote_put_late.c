/*
 * remote_put.c: a queue that is held up, so that its answers come late, or that stays nearly full, and how much is kept
 * for it. The clock is the test's: nothing waits for time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "net/lhhttt.h"
#include "nodes/links/remote_put.h"
#include "tests/support/far_queue.h"

enum { WINDOW_COUNT = 64 };

static int64_t test_now_ns;

/* The clock that the program reads. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){.tv_sec = test_now_ns / NS_PER_S, .tv_nsec = (long)(test_now_ns % NS_PER_S)};
    return 0;
}

struct fixture {
    struct far_queue far;
    struct remote_put *put;
};

static int open_fixture(void **state)
{
    struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, (sizeof *fixture + 63) / 64 * 64);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    test_now_ns = 1000 * NS_PER_S;
    far_open(&fixture->far);
    struct error error = {0};
    assert_int_equal(remote_put_open(&fixture->put, &fixture->far.node, &fixture->far.address, &error), STATUS_OK);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    remote_put_close(&fixture->put);
    assert_null(fixture->put);
    far_close(&fixture->far);
    free(fixture);
    return 0;
}

static void emit(struct fixture *fixture, const char *text)
{
    assert_true(remote_put_emit(fixture->put, text, (uint32_t)strlen(text)));
}

/* "m0", "m1", ... */
static void emit_numbers(struct fixture *fixture, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%u", i);
        emit(fixture, text);
    }
}

/* Returns how long from now it wants to be called again; CLOCK_NEVER_NS: not by itself. */
static int64_t step(struct fixture *fixture)
{
    int64_t when_ns = remote_put_step(fixture->put, test_now_ns);
    assert_true(when_ns > test_now_ns);
    return when_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS : when_ns - test_now_ns;
}

static int64_t step_after(struct fixture *fixture, int64_t pause_ns)
{
    test_now_ns += pause_ns;
    return step(fixture);
}

static void wait_for_held(struct fixture *fixture, uint64_t count)
{
    FAR_WAIT(&fixture->far, remote_put_held_count(fixture->put) == count);
}

static void assert_counts(struct fixture *fixture, uint64_t confirmed, uint64_t unconfirmed, uint64_t rejected,
                          uint64_t full)
{
    struct remote_put_counts counts = remote_put_counts(fixture->put);
    assert_int_equal(counts.confirmed_count, confirmed);
    assert_int_equal(counts.unconfirmed_count, unconfirmed);
    assert_int_equal(counts.rejected_count, rejected);
    assert_int_equal(counts.full_count, full);
}

static void expect_put(struct fixture *fixture, const char *text)
{
    char datagram[128];
    char command[100];
    snprintf(command, sizeof command, "PUT:%s", text);
    size_t header_length = lhhttt_write_header(strlen(command), datagram);
    snprintf(datagram + header_length, sizeof datagram - header_length, "%s", command);
    far_expect_text(&fixture->far, datagram);
}

static void expect_numbers(struct fixture *fixture, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%u", i);
        expect_put(fixture, text);
    }
}

static void answer_put(struct fixture *fixture, const char *text)
{
    char answer[64];
    snprintf(answer, sizeof answer, "PUT %zu bytes", strlen(text));
    far_answer_text(&fixture->far, answer);
}

static void expect_and_answer(struct fixture *fixture, const char *text)
{
    expect_put(fixture, text);
    answer_put(fixture, text);
}

/* Over TCP the windows would let 2048 messages of any length in. */
static void test_room_ends_by_bytes(void **state)
{
    (void)state;
    enum { TEXT_BYTES = 1 << 20 };
    struct far_queue far = {0};
    struct remote_put *put;
    struct error error = {0};
    struct address address;
    far_open(&far);
    assert_int_equal(address_parse("tcp://127.0.0.1:9", &address, &error), STATUS_OK);
    assert_int_equal(remote_put_open(&put, &far.node, &address, &error), STATUS_OK);
    char *text = calloc(1, TEXT_BYTES);
    assert_non_null(text);
    unsigned taken = 0;
    for (; taken < 100 && remote_put_has_room(put); taken++)
        assert_true(remote_put_emit(put, text, TEXT_BYTES));
    assert_int_equal(taken, 16);
    free(text);
    remote_put_close(&put);
    far_close(&far);
}

/* A queue that was held up answers late, and is full: that is believed again as soon as the late answers are in. */
static void test_held_up_and_then_full(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "first");
    step(fixture);
    expect_and_answer(fixture, "first");
    wait_for_held(fixture, 0);
    emit_numbers(fixture, 0, 2 * WINDOW_COUNT);
    step(fixture);
    expect_numbers(fixture, 0, WINDOW_COUNT);
    assert_true(step_after(fixture, 300 * NS_PER_MS) <= NS_PER_S);
    assert_counts(fixture, 1, WINDOW_COUNT, 0, 0);
    far_expect_nothing(&fixture->far); /* waits for what may be late */
    for (unsigned i = 0; i < WINDOW_COUNT; i++)
        far_answer_text(&fixture->far, "ERR queue full");
    for (unsigned i = 0; i < WINDOW_COUNT; i++) /* a poll takes in all that is there */
        poller_wait(fixture->far.poller, NS_PER_MS);
    step(fixture);
    expect_numbers(fixture, WINDOW_COUNT, WINDOW_COUNT);
    for (unsigned i = 0; i < WINDOW_COUNT; i++)
        far_answer_text(&fixture->far, "ERR queue full");
    FAR_WAIT(&fixture->far, remote_put_counts(fixture->put).full_count == WINDOW_COUNT);
    step_after(fixture, 100 * NS_PER_MS);
    expect_numbers(fixture, WINDOW_COUNT, WINDOW_COUNT / 2); /* a full queue gets fewer at a time */
    assert_counts(fixture, 1, WINDOW_COUNT, 0, WINDOW_COUNT);
}

/* A queue that takes two at a time: the rest of a window is refused, which is one reason to wait and not one a message,
 * and what is sent in vain becomes less. */
static void test_full_for_most(void **state)
{
    struct fixture *fixture = *state;
    enum { TOTAL = 600, TAKEN = 2 };
    emit_numbers(fixture, 0, TOTAL);
    unsigned rounds = 0;
    uint64_t answered = 0;
    for (uint64_t confirmed = 0; confirmed < TOTAL; rounds++) {
        assert_true(rounds < 2 * TOTAL);
        step(fixture);
        size_t length;
        for (unsigned sent = 0; far_take(&fixture->far, &length) != NULL; sent++, answered++) {
            char answer[64];
            snprintf(answer, sizeof answer, "PUT %zu bytes", length - strlen("1xPUT:"));
            far_answer_text(&fixture->far, sent < TAKEN ? answer : "ERR queue full");
            confirmed += sent < TAKEN;
        }
        FAR_WAIT(&fixture->far,
                 remote_put_counts(fixture->put).full_count + remote_put_counts(fixture->put).confirmed_count ==
                     answered);
        test_now_ns += NS_PER_MS;
    }
    assert_in_range(rounds, TOTAL / TAKEN, TOTAL / TAKEN + TOTAL / TAKEN / 4); /* one a millisecond, hardly more */
    assert_in_range(remote_put_counts(fixture->put).full_count, 1, 2 * TOTAL);
    assert_counts(fixture, TOTAL, 0, 0, remote_put_counts(fixture->put).full_count);
    assert_true(remote_put_held_count(fixture->put) == 0);
}

/* Answers that are lost, not late, hold it up for so long and no longer. */
static void test_lost_answers_end_the_doubt(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "first");
    step(fixture);
    expect_and_answer(fixture, "first");
    wait_for_held(fixture, 0);
    emit(fixture, "a");
    step(fixture);
    expect_put(fixture, "a");
    step_after(fixture, 300 * NS_PER_MS);
    emit(fixture, "b");
    int64_t pause_ns = step(fixture);
    far_expect_nothing(&fixture->far);
    assert_true(pause_ns <= NS_PER_S);
    step_after(fixture, pause_ns);
    expect_and_answer(fixture, "b");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 2, 1, 0, 0);
}

int main(void)
{
#define PUT_TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        PUT_TEST(test_held_up_and_then_full),
        PUT_TEST(test_full_for_most),
        PUT_TEST(test_lost_answers_end_the_doubt),
        cmocka_unit_test(test_room_ends_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
