/*
 * remote_put.c: what reaches a queue elsewhere, and how often, when its replies are lost, late or missing, when it is
 * full, and when it is not there. The clock is the test's: nothing waits for time.
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

/* How many may be unanswered over UDP, and how many bytes of them. */
enum { WINDOW_COUNT = 64, WINDOW_BYTES = 64 * 1024 };
/* The longest message of a PUT that a datagram holds: "4ffdf" or the like, and "PUT:". */
enum { MESSAGE_BYTES_MAX = 65507 - 5 - 4 };

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

/* ---- the near end ---- */

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

/* ---- the far end ---- */

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

/* ---- all is well ---- */

static void test_messages_go_out_as_they_are(void **state)
{
    struct fixture *fixture = *state;
    assert_true(remote_put_held_count(fixture->put) == 0);
    emit(fixture, "ping");
    emit(fixture, "");
    emit(fixture, "a:b");
    assert_true(remote_put_emit(fixture->put, "a\0\xff", 3));
    assert_true(remote_put_held_count(fixture->put) == 4);
    step(fixture);
    far_expect_text(&fixture->far, "18PUT:ping");
    far_expect_text(&fixture->far, "14PUT:");
    far_expect_text(&fixture->far, "17PUT:a:b");
    far_expect(&fixture->far, "17PUT:a\0\xff", 9);
    assert_true(remote_put_held_count(fixture->put) == 4);
    far_answer_text(&fixture->far, "PUT 4 bytes");
    wait_for_held(fixture, 3);
    far_answer_text(&fixture->far, "PUT 0 bytes");
    far_answer_text(&fixture->far, "PUT 3 bytes");
    far_answer_text(&fixture->far, "PUT 3 bytes");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 4, 0, 0, 0);
    assert_true(step(fixture) == CLOCK_NEVER_NS);
    far_expect_nothing(&fixture->far);
}

static void test_nothing_to_do(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 10; i++)
        assert_true(step_after(fixture, NS_PER_S) == CLOCK_NEVER_NS);
    far_expect_nothing(&fixture->far);
    assert_true(remote_put_has_room(fixture->put));
    assert_counts(fixture, 0, 0, 0, 0);
}

/* ---- the window ---- */

static void test_so_many_unanswered_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    emit_numbers(fixture, 0, 200);
    step(fixture);
    expect_numbers(fixture, 0, WINDOW_COUNT);
    far_expect_nothing(&fixture->far);
    /* Each answer lets one more go. */
    for (unsigned i = 0; i < 200 - WINDOW_COUNT; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%u", i);
        answer_put(fixture, text);
        wait_for_held(fixture, 199 - i);
        step(fixture);
        expect_numbers(fixture, WINDOW_COUNT + i, 1);
        far_expect_nothing(&fixture->far);
    }
}

static void test_so_many_bytes_unanswered_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    char *text = malloc(MESSAGE_BYTES_MAX);
    assert_non_null(text);
    memset(text, 'x', MESSAGE_BYTES_MAX);
    static const uint32_t lengths[] = {30000, 30000, 30000, MESSAGE_BYTES_MAX, 1, 40000, 25000, 1000};
    size_t count = sizeof lengths / sizeof lengths[0];
    for (size_t i = 0; i < count; i++)
        assert_true(remote_put_emit(fixture->put, text, lengths[i]));
    size_t received = 0;
    size_t answered = 0;
    while (answered < count) {
        step(fixture);
        size_t unanswered_bytes = 0;
        for (size_t i = answered; i < received; i++)
            unanswered_bytes += lengths[i];
        /* Everything that fits comes; one comes alone, however long it is. */
        while (received < count &&
               (received == answered || unanswered_bytes + lengths[received] <= (size_t)WINDOW_BYTES)) {
            size_t length;
            far_receive(&fixture->far, &length);
            assert_in_range(length, lengths[received] + 6, lengths[received] + 9);
            unanswered_bytes += lengths[received++];
        }
        far_expect_nothing(&fixture->far);
        char answer[64];
        snprintf(answer, sizeof answer, "PUT %u bytes", lengths[answered++]);
        far_answer_text(&fixture->far, answer);
        wait_for_held(fixture, count - answered);
    }
    assert_counts(fixture, count, 0, 0, 0);
    free(text);
}

static void test_room_ends_and_what_comes_still_is_taken(void **state)
{
    struct fixture *fixture = *state;
    unsigned emitted = 0;
    while (remote_put_has_room(fixture->put)) {
        emit_numbers(fixture, emitted++, 1);
        assert_true(emitted < 100000);
    }
    assert_true(emitted >= WINDOW_COUNT);
    unsigned total = emitted + 1500; /* one call of a function may emit far more than there was room for */
    emit_numbers(fixture, emitted, total - emitted);
    assert_false(remote_put_has_room(fixture->put));
    assert_true(remote_put_held_count(fixture->put) == total);
    for (unsigned i = 0; i < total; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%u", i);
        step(fixture);
        expect_and_answer(fixture, text);
        wait_for_held(fixture, total - 1 - i);
    }
    assert_true(remote_put_has_room(fixture->put));
    assert_counts(fixture, total, 0, 0, 0);
}

static void test_too_long_for_a_datagram(void **state)
{
    struct fixture *fixture = *state;
    char *text = malloc(MESSAGE_BYTES_MAX + 1);
    char *expected = malloc(65507);
    assert_non_null(text);
    assert_non_null(expected);
    memset(text, 'x', MESSAGE_BYTES_MAX + 1);
    assert_false(remote_put_emit(fixture->put, text, MESSAGE_BYTES_MAX + 1));
    assert_false(remote_put_emit(fixture->put, text, MESSAGE_LENGTH_MAX));
    assert_false(remote_put_emit(fixture->put, text, UINT32_MAX));
    assert_true(remote_put_held_count(fixture->put) == 0);
    assert_true(remote_put_emit(fixture->put, text, MESSAGE_BYTES_MAX));
    step(fixture);
    memset(expected, 'x', 65507);
    memcpy(expected, "4ffdePUT:", 9);
    far_expect(&fixture->far, expected, 65507);
    far_answer_text(&fixture->far, "PUT 65498 bytes");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 1, 0, 0, 0);
    free(text);
    free(expected);
}

/* ---- lost and late ---- */

static void test_lost_replies_are_told_by_the_length_of_a_later_one(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    emit(fixture, "bb");
    emit(fixture, "ccc");
    step(fixture);
    expect_put(fixture, "a");
    expect_put(fixture, "bb");
    expect_and_answer(fixture, "ccc");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 1, 2, 0, 0);
    step_after(fixture, 100 * NS_PER_S);
    far_expect_nothing(&fixture->far); /* they may be there: not sent twice */
}

static void test_a_lost_reply_is_given_up_after_a_while(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "aa");
    emit(fixture, "bb");
    int64_t wait_ns = step(fixture);
    assert_true(wait_ns > 0 && wait_ns <= NS_PER_S); /* it says when */
    expect_put(fixture, "aa");
    expect_and_answer(fixture, "bb"); /* to one of the two */
    wait_for_held(fixture, 1);
    step_after(fixture, NS_PER_S);
    assert_true(remote_put_held_count(fixture->put) == 0);
    assert_counts(fixture, 1, 1, 0, 0);
    step_after(fixture, 100 * NS_PER_S);
    far_expect_nothing(&fixture->far);
}

static void test_an_answer_in_time_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "first");
    step(fixture);
    expect_and_answer(fixture, "first");
    wait_for_held(fixture, 0);
    emit(fixture, "a");
    int64_t wait_ns = step(fixture);
    expect_put(fixture, "a");
    test_now_ns += wait_ns - 1;
    assert_true(step(fixture) == 1);
    answer_put(fixture, "a");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 2, 0, 0, 0);
}

static void test_a_late_reply_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "first");
    step(fixture);
    expect_put(fixture, "first");
    step_after(fixture, NS_PER_S);
    assert_counts(fixture, 0, 1, 0, 0);
    answer_put(fixture, "first");
    far_answer_text(&fixture->far, "ERR queue full"); /* to nothing at all */
    far_answer_text(&fixture->far, "PUT 77 bytes");
    emit(fixture, "second");
    step(fixture);
    expect_put(fixture, "second");
    for (unsigned i = 0; i < 100; i++) {
        poller_wait(fixture->far.poller, 0);
        step(fixture);
    }
    far_expect_nothing(&fixture->far);
    answer_put(fixture, "second");
    wait_for_held(fixture, 0);
    struct remote_put_counts counts = remote_put_counts(fixture->put);
    assert_true(counts.confirmed_count + counts.unconfirmed_count == 2 && counts.rejected_count == 0);
}

static void test_what_is_no_reply(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    step(fixture);
    expect_put(fixture, "a");
    far_send(&fixture->far, "", 0);
    far_send(&fixture->far, "zzz", 3);
    far_send(&fixture->far, "1fPUT 1 bytes", 13);
    far_send(&fixture->far, "f0000000000000001", 17);
    answer_put(fixture, "a");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 1, 0, 0, 0);
}

/* It counts code points: each message has its answer, whatever number that says. */
static void test_a_prototype_that_counts_otherwise(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "\xc3\xa9\xc3\xa9\xc3\xa9");
    emit(fixture, "\xf0\x9d\x90\x87");
    step(fixture);
    expect_put(fixture, "\xc3\xa9\xc3\xa9\xc3\xa9");
    expect_put(fixture, "\xf0\x9d\x90\x87");
    far_answer_text(&fixture->far, "PUT 3 bytes");
    far_answer_text(&fixture->far, "PUT 1 bytes");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 2, 0, 0, 0);
    step_after(fixture, 100 * NS_PER_S);
    far_expect_nothing(&fixture->far);
}

static void test_a_queue_that_never_answers(void **state)
{
    struct fixture *fixture = *state;
    emit_numbers(fixture, 0, 1000);
    unsigned received = 0;
    int64_t start_ns = test_now_ns;
    while (received < 1000) {
        int64_t wait_ns = step(fixture);
        unsigned now = 1000 - received < WINDOW_COUNT ? 1000 - received : WINDOW_COUNT;
        expect_numbers(fixture, received, now);
        received += now;
        test_now_ns += wait_ns;
        assert_true(test_now_ns - start_ns <= 2 * NS_PER_S);
    }
    step(fixture);
    assert_true(remote_put_held_count(fixture->put) == 0);
    assert_counts(fixture, 0, 1000, 0, 0);
    far_expect_nothing(&fixture->far);
}

/* ---- full ---- */

static void test_full_is_sent_again_in_order(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    emit(fixture, "b");
    emit(fixture, "c");
    emit(fixture, "d");
    step(fixture);
    expect_put(fixture, "a");
    expect_put(fixture, "b");
    expect_put(fixture, "c");
    expect_put(fixture, "d");
    far_answer_text(&fixture->far, "ERR queue full");
    far_answer_text(&fixture->far, "PUT 1 bytes");
    FAR_WAIT(&fixture->far, remote_put_counts(fixture->put).confirmed_count == 1);
    emit(fixture, "e");
    /* Not all answers are there: "c" may yet be refused, and "e" must not overtake. */
    step_after(fixture, 10 * NS_PER_MS);
    far_expect_nothing(&fixture->far);
    far_answer_text(&fixture->far, "ERR queue full");
    far_answer_text(&fixture->far, "ERR queue full: disk");
    FAR_WAIT(&fixture->far, remote_put_counts(fixture->put).full_count == 3);
    assert_true(remote_put_held_count(fixture->put) == 4);
    int64_t wait_ns = step(fixture);
    far_expect_nothing(&fixture->far); /* it is given some time */
    assert_true(wait_ns <= 100 * NS_PER_MS);
    step_after(fixture, wait_ns);
    expect_and_answer(fixture, "a");
    expect_and_answer(fixture, "c");
    expect_and_answer(fixture, "d");
    expect_and_answer(fixture, "e");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 5, 0, 0, 3);
    step_after(fixture, 100 * NS_PER_S);
    far_expect_nothing(&fixture->far);
}

/* It stays full: the pauses grow, to a tenth of a second at most. */
static void test_full_for_long(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    step(fixture);
    int64_t last_wait_ns = 0;
    for (unsigned i = 1; i <= 20; i++) {
        expect_put(fixture, "a");
        far_answer_text(&fixture->far, "ERR queue full");
        FAR_WAIT(&fixture->far, remote_put_counts(fixture->put).full_count == i);
        int64_t wait_ns = step(fixture);
        assert_true(wait_ns >= last_wait_ns && wait_ns <= 100 * NS_PER_MS);
        assert_true(remote_put_held_count(fixture->put) == 1);
        step_after(fixture, wait_ns);
        last_wait_ns = wait_ns;
    }
    assert_true(last_wait_ns == 100 * NS_PER_MS);
    expect_and_answer(fixture, "a");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 1, 0, 0, 20);
}

static void test_rejected_is_not_sent_again(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    emit(fixture, "b");
    emit(fixture, "c");
    step(fixture);
    expect_put(fixture, "a");
    expect_put(fixture, "b");
    expect_put(fixture, "c");
    far_answer_text(&fixture->far, "ERR message of 1 bytes is above the limit of 0");
    far_answer_text(&fixture->far, "PUT 1 bytes");
    far_answer_text(&fixture->far, "ERR something new");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 1, 0, 2, 0);
    step_after(fixture, 100 * NS_PER_S);
    far_expect_nothing(&fixture->far);
}

/* A small queue, seen by a sender in a hurry: everything is there once. */
static void test_a_small_queue_gets_everything_once(void **state)
{
    struct fixture *fixture = *state;
    enum { TOTAL = 3000 };
    static unsigned char taken[TOTAL];
    memset(taken, 0, sizeof taken);
    unsigned emitted = 0;
    unsigned taken_count = 0;
    uint32_t random = 12345;
    for (unsigned rounds = 0; taken_count < TOTAL; rounds++) {
        assert_true(rounds < 100000);
        while (emitted < TOTAL && remote_put_has_room(fixture->put))
            emit_numbers(fixture, emitted++, 1);
        uint64_t held = remote_put_held_count(fixture->put);
        step(fixture);
        size_t length;
        unsigned answers = 0;
        uint64_t full = remote_put_counts(fixture->put).full_count;
        uint64_t confirmed = remote_put_counts(fixture->put).confirmed_count;
        while (far_take(&fixture->far, &length) != NULL) {
            fixture->far.datagram[length] = '\0';
            const char *text = (const char *)fixture->far.datagram + strlen("16PUT:m");
            unsigned number = (unsigned)strtoul(text, NULL, 10);
            random = random * 1664525u + 1013904223u;
            answers++;
            if (random >> 30 == 0) {
                far_answer_text(&fixture->far, "ERR queue full");
                continue;
            }
            assert_true(number < TOTAL && taken[number] == 0);
            taken[number] = 1;
            taken_count++;
            char answer[64];
            snprintf(answer, sizeof answer, "PUT %zu bytes", strlen(text) + 1);
            far_answer_text(&fixture->far, answer);
        }
        FAR_WAIT(&fixture->far, remote_put_counts(fixture->put).full_count - full +
                                        remote_put_counts(fixture->put).confirmed_count - confirmed ==
                                    answers);
        test_now_ns += held > 0 ? 10 * NS_PER_MS : 0;
    }
    assert_counts(fixture, TOTAL, 0, 0, remote_put_counts(fixture->put).full_count);
    assert_true(remote_put_counts(fixture->put).full_count > 0);
    assert_true(remote_put_held_count(fixture->put) == 0);
}

/* ---- not there ---- */

/* Sends what is to be sent and waits until the system has said that nobody is there. Returns how long it is left alone
 * then. */
static int64_t step_until_refused(struct fixture *fixture)
{
    step(fixture);
    int rounds_left = FAR_ROUNDS_MAX;
    while (poller_wait(fixture->far.poller, NS_PER_MS) == 0)
        assert_true(--rounds_left > 0);
    return step(fixture);
}

static void test_not_there_and_then_there(void **state)
{
    struct fixture *fixture = *state;
    far_leave(&fixture->far);
    emit_numbers(fixture, 0, 10);
    for (unsigned i = 0; i < 12; i++) {
        step_until_refused(fixture);
        assert_true(remote_put_held_count(fixture->put) == 10);
        test_now_ns += 2 * NS_PER_S;
    }
    far_return(&fixture->far);
    uint64_t held = 10;
    for (unsigned i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%u", i);
        test_now_ns += held == 10 ? 2 * NS_PER_S : 0;
        step(fixture);
        expect_and_answer(fixture, text);
        wait_for_held(fixture, --held);
    }
    assert_counts(fixture, 10, 0, 0, 0);
    step_after(fixture, 100 * NS_PER_S);
    far_expect_nothing(&fixture->far);
}

/* It is asked again after 10 ms, then after twice as long each time, up to a second. */
static void test_how_often_it_is_tried(void **state)
{
    struct fixture *fixture = *state;
    far_leave(&fixture->far);
    emit(fixture, "a");
    int64_t expected_ns = 10 * NS_PER_MS;
    for (unsigned i = 0; i < 12; i++) {
        assert_true(step_until_refused(fixture) == expected_ns);
        test_now_ns += expected_ns - 1;
        assert_true(step(fixture) == 1);
        test_now_ns++;
        expected_ns = expected_ns * 2 < NS_PER_S ? expected_ns * 2 : NS_PER_S;
    }
}

/* One that is back but does not answer is still sent to. */
static void test_back_but_silent(void **state)
{
    struct fixture *fixture = *state;
    far_leave(&fixture->far);
    emit_numbers(fixture, 0, 5);
    step_until_refused(fixture);
    far_return(&fixture->far);
    test_now_ns += 2 * NS_PER_S;
    step(fixture);
    expect_numbers(fixture, 0, 1); /* one, to see */
    far_expect_nothing(&fixture->far);
    test_now_ns += NS_PER_S;
    step(fixture);
    expect_numbers(fixture, 1, 4);
    step_after(fixture, NS_PER_S);
    assert_counts(fixture, 0, 5, 0, 0);
    assert_true(remote_put_held_count(fixture->put) == 0);
    far_expect_nothing(&fixture->far);
}

/* It goes between two messages: what was answered is not sent again, what met nobody is. */
static void test_it_goes_and_comes_back(void **state)
{
    struct fixture *fixture = *state;
    unsigned next = 0;
    for (unsigned round = 0; round < 20; round++) {
        emit_numbers(fixture, next, 5);
        for (unsigned i = 0; i < 5; i++) {
            char text[16];
            snprintf(text, sizeof text, "m%u", next + i);
            step(fixture);
            expect_and_answer(fixture, text);
            wait_for_held(fixture, 4 - i);
        }
        far_leave(&fixture->far);
        next += 5;
        emit_numbers(fixture, next, 3);
        step_until_refused(fixture);
        assert_true(remote_put_held_count(fixture->put) == 3);
        far_return(&fixture->far);
        test_now_ns += 2 * NS_PER_S;
        for (unsigned i = 0; i < 3; i++) {
            char text[16];
            snprintf(text, sizeof text, "m%u", next + i);
            step(fixture);
            expect_and_answer(fixture, text);
            wait_for_held(fixture, 2 - i);
        }
        next += 3;
    }
    assert_counts(fixture, next, 0, 0, 0);
    far_expect_nothing(&fixture->far);
}

/* Answers that came before it went count, though the refusal is reported first. */
static void test_answers_before_it_went(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    emit(fixture, "bb");
    step(fixture);
    expect_and_answer(fixture, "a");
    expect_and_answer(fixture, "bb");
    far_leave(&fixture->far);
    emit(fixture, "ccc");
    step_until_refused(fixture);
    assert_true(remote_put_held_count(fixture->put) == 1);
    assert_counts(fixture, 2, 0, 0, 0);
    far_return(&fixture->far);
    test_now_ns += 2 * NS_PER_S;
    step(fixture);
    expect_and_answer(fixture, "ccc");
    wait_for_held(fixture, 0);
    far_expect_nothing(&fixture->far);
}

/* Nothing of what is not there yet is lost when the end comes: it is counted, and its memory given back. */
static void test_closing_with_messages_left(void **state)
{
    struct fixture *fixture = *state;
    emit_numbers(fixture, 0, 1000);
    step(fixture);
    far_leave(&fixture->far);
    emit_numbers(fixture, 1000, 1000);
    step(fixture);
    assert_true(remote_put_held_count(fixture->put) == 2000);
}

static void test_a_rehearsal_opens_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct remote_put *put = NULL;
    struct error error = {0};
    fixture->far.node.rehearsal = true;
    size_t sources = poller_source_count(fixture->far.poller);
    assert_int_equal(remote_put_open(&put, &fixture->far.node, &fixture->far.address, &error), STATUS_OK);
    assert_int_equal(poller_source_count(fixture->far.poller), sources);
    remote_put_close(&put);
    remote_put_close(&put);
    assert_null(put);
}

/* Taken, its answer lost, then the queue goes: it may be there. */
static void test_taken_without_an_answer_and_then_gone(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    step(fixture);
    expect_put(fixture, "a");
    far_leave(&fixture->far);
    test_now_ns += 100 * NS_PER_MS;
    emit(fixture, "bb");
    step_until_refused(fixture);
    far_return(&fixture->far);
    test_now_ns += 2 * NS_PER_S;
    step(fixture);
    expect_put(fixture, "bb");
}

/* An answer that may be for one that was given up does not make another one go twice. */
static void test_a_late_full(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture, "a");
    step(fixture);
    expect_put(fixture, "a");
    step_after(fixture, NS_PER_S);
    emit(fixture, "b");
    step(fixture);
    expect_put(fixture, "b");
    far_answer_text(&fixture->far, "ERR queue full"); /* to "a", which was given up */
    answer_put(fixture, "b");
    wait_for_held(fixture, 0);
    assert_counts(fixture, 1, 1, 0, 0);
    step_after(fixture, NS_PER_S);
    far_expect_nothing(&fixture->far);
}

int main(void)
{
#define PUT_TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        PUT_TEST(test_messages_go_out_as_they_are),
        PUT_TEST(test_nothing_to_do),
        PUT_TEST(test_so_many_unanswered_and_no_more),
        PUT_TEST(test_so_many_bytes_unanswered_and_no_more),
        PUT_TEST(test_room_ends_and_what_comes_still_is_taken),
        PUT_TEST(test_too_long_for_a_datagram),
        PUT_TEST(test_lost_replies_are_told_by_the_length_of_a_later_one),
        PUT_TEST(test_a_lost_reply_is_given_up_after_a_while),
        PUT_TEST(test_an_answer_in_time_is_waited_for),
        PUT_TEST(test_a_late_reply_changes_nothing),
        PUT_TEST(test_what_is_no_reply),
        PUT_TEST(test_a_prototype_that_counts_otherwise),
        PUT_TEST(test_a_queue_that_never_answers),
        PUT_TEST(test_full_is_sent_again_in_order),
        PUT_TEST(test_full_for_long),
        PUT_TEST(test_rejected_is_not_sent_again),
        PUT_TEST(test_a_small_queue_gets_everything_once),
        PUT_TEST(test_not_there_and_then_there),
        PUT_TEST(test_how_often_it_is_tried),
        PUT_TEST(test_back_but_silent),
        PUT_TEST(test_it_goes_and_comes_back),
        PUT_TEST(test_answers_before_it_went),
        PUT_TEST(test_taken_without_an_answer_and_then_gone),
        PUT_TEST(test_a_late_full),
        PUT_TEST(test_closing_with_messages_left),
        PUT_TEST(test_a_rehearsal_opens_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
