/*
 * remote_get.c: how a queue elsewhere is asked, and what becomes of its answers: lost, late, empty, errors, none at
 * all. The clock is the test's: nothing waits for time.
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
#include "nodes/links/remote_get.h"
#include "tests/support/far_queue.h"

static const int64_t delay_ns = 3 * NS_PER_MS;

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
    struct remote_get *get;
};

static int open_fixture(void **state)
{
    struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, (sizeof *fixture + 63) / 64 * 64);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    test_now_ns = 1000 * NS_PER_S;
    far_open(&fixture->far);
    struct error error = {0};
    assert_int_equal(
        remote_get_open(&fixture->get, &fixture->far.node, &fixture->far.address, delay_ns, 1 << 20, &error),
        STATUS_OK);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    remote_get_close(&fixture->get);
    assert_null(fixture->get);
    far_close(&fixture->far);
    free(fixture);
    return 0;
}

/* ---- the near end ---- */

/* Returns how long from now it wants to be called again; CLOCK_NEVER_NS: not by itself. */
static int64_t step_if(struct fixture *fixture, bool wanted)
{
    int64_t when_ns = remote_get_step(fixture->get, wanted, test_now_ns);
    assert_true(when_ns > test_now_ns);
    return when_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS : when_ns - test_now_ns;
}

static int64_t step(struct fixture *fixture)
{
    return step_if(fixture, true);
}

static int64_t step_after(struct fixture *fixture, int64_t pause_ns)
{
    test_now_ns += pause_ns;
    return step(fixture);
}

static void wait_for_arrived(struct fixture *fixture, uint64_t count)
{
    FAR_WAIT(&fixture->far, remote_get_arrived_count(fixture->get) == count);
}

static void wait_for_asked(struct fixture *fixture, uint64_t count)
{
    FAR_WAIT(&fixture->far, remote_get_asked_count(fixture->get) == count);
}

static void take(struct fixture *fixture, const void *text, size_t length)
{
    const struct message *message = remote_get_peek(fixture->get);
    assert_non_null(message);
    assert_int_equal(message->length, length);
    assert_memory_equal(message->text, text, length);
    assert_ptr_equal(remote_get_peek(fixture->get), message);
    remote_get_pop(fixture->get);
}

static void take_text(struct fixture *fixture, const char *text)
{
    take(fixture, text, strlen(text));
}

/* Until the system has said that nobody is there. Returns how long it is left alone then. */
static int64_t step_until_refused(struct fixture *fixture)
{
    step(fixture);
    int rounds_left = FAR_ROUNDS_MAX;
    while (poller_wait(fixture->far.poller, NS_PER_MS) == 0)
        assert_true(--rounds_left > 0);
    return step(fixture);
}

/* ---- the far end ---- */

static void expect_gets(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        far_expect_text(&fixture->far, "13GET");
    far_expect_nothing(&fixture->far);
}

static void answer(struct fixture *fixture, const char *text)
{
    far_answer_text(&fixture->far, text);
}

static void answer_number(struct fixture *fixture, unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "m%u", number);
    answer(fixture, text);
}

/* ---- all is well ---- */

static void test_asks_once_and_takes_what_comes(void **state)
{
    struct fixture *fixture = *state;
    assert_null(remote_get_peek(fixture->get));
    step(fixture);
    step(fixture);
    expect_gets(fixture, 1);
    assert_true(remote_get_asked_count(fixture->get) == 1);
    answer(fixture, "ping");
    wait_for_arrived(fixture, 1);
    assert_true(remote_get_asked_count(fixture->get) == 0);
    take_text(fixture, "ping");
    assert_null(remote_get_peek(fixture->get));
    assert_true(remote_get_arrived_count(fixture->get) == 0);
    step(fixture); /* at once again */
    far_expect_text(&fixture->far, "13GET");
}

static void test_any_message(void **state)
{
    struct fixture *fixture = *state;
    enum { LONGEST = 65507 - 5 };
    unsigned char *text = malloc(LONGEST);
    assert_non_null(text);
    for (size_t i = 0; i < LONGEST; i++)
        text[i] = (unsigned char)(i * 31);
    static const size_t lengths[] = {1, 2, 15, 16, 255, 256, 4096, 65000, LONGEST};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        step(fixture);
        far_expect_text(&fixture->far, "13GET");
        while (remote_get_asked_count(fixture->get) > 1) {
            size_t length;
            (void)far_receive(&fixture->far, &length);
            answer(fixture, "");
            wait_for_asked(fixture, remote_get_asked_count(fixture->get) - 1);
        }
        far_answer(&fixture->far, text, lengths[i]);
        wait_for_arrived(fixture, 1);
        take(fixture, text, lengths[i]);
        test_now_ns += delay_ns;
    }
    /* Texts that only look like errors. */
    static const char *const texts[] = {"ERR", "ERR queue full!", "PUT 4 bytes", "0", "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        far_answer_text(&fixture->far, texts[i]);
        wait_for_arrived(fixture, 1);
        take_text(fixture, texts[i]);
    }
    assert_true(remote_get_error_count(fixture->get) == 0);
    free(text);
}

/* While messages come, more GETs are under way: each message doubles how many, up to the window. */
static void test_the_window(void **state)
{
    struct fixture *fixture = *state;
    unsigned answered = 0;
    uint64_t taken = 0;
    unsigned unanswered = 0;
    for (unsigned round = 0; round < 40; round++) {
        step(fixture);
        unsigned asked = (unsigned)remote_get_asked_count(fixture->get);
        static const unsigned expected[] = {1, 2, 8};
        assert_int_equal(asked, round < 3 ? expected[round] : REMOTE_GET_WINDOW);
        expect_gets(fixture, asked - unanswered);
        /* Half of them are left open now and then. */
        unsigned answers = round < 5 || round % 2 == 0 ? asked : asked / 2;
        for (unsigned i = 0; i < answers; i++)
            answer_number(fixture, answered++);
        wait_for_arrived(fixture, answers);
        unanswered = asked - answers;
        assert_true(remote_get_asked_count(fixture->get) == unanswered);
        for (unsigned i = 0; i < answers; i++) {
            char text[16];
            snprintf(text, sizeof text, "m%llu", (unsigned long long)taken++);
            take_text(fixture, text);
        }
    }
    assert_true(remote_get_timeout_count(fixture->get) == 0);
}

static void test_not_wanted(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(step_if(fixture, false) == CLOCK_NEVER_NS);
        test_now_ns += NS_PER_S;
    }
    far_expect_nothing(&fixture->far);
    step(fixture);
    expect_gets(fixture, 1);
    /* What was asked for is taken, wanted or not. */
    step_if(fixture, false);
    answer(fixture, "a");
    wait_for_arrived(fixture, 1);
    step_if(fixture, false);
    far_expect_nothing(&fixture->far);
    take_text(fixture, "a");
}

/* ---- empty ---- */

static void test_an_empty_queue_is_asked_again_after_the_delay(void **state)
{
    struct fixture *fixture = *state;
    step(fixture);
    for (unsigned i = 0; i < 20; i++) {
        expect_gets(fixture, 1);
        answer(fixture, "");
        wait_for_asked(fixture, 0);
        assert_true(step(fixture) == delay_ns); /* it says when */
        assert_true(step_after(fixture, delay_ns - 1) == 1);
        far_expect_nothing(&fixture->far);
        step_after(fixture, 1);
    }
    expect_gets(fixture, 1);
    assert_true(remote_get_arrived_count(fixture->get) == 0);
}

static void test_an_empty_answer_ends_the_window(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned round = 0; round < 5; round++) {
        step(fixture);
        unsigned asked = (unsigned)remote_get_asked_count(fixture->get);
        expect_gets(fixture, asked);
        for (unsigned i = 0; i < asked; i++)
            answer(fixture, "x");
        wait_for_arrived(fixture, asked);
        while (remote_get_peek(fixture->get) != NULL)
            remote_get_pop(fixture->get);
    }
    step(fixture);
    expect_gets(fixture, REMOTE_GET_WINDOW);
    for (unsigned i = 0; i < REMOTE_GET_WINDOW; i++)
        answer(fixture, "");
    wait_for_asked(fixture, 0);
    step(fixture);
    far_expect_nothing(&fixture->far);
    step_after(fixture, delay_ns);
    expect_gets(fixture, 1);
}

/* ---- lost and late ---- */

static void test_a_lost_answer_is_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 1; i <= 5; i++) {
        int64_t wait_ns = step(fixture);
        expect_gets(fixture, 1);
        assert_true(wait_ns <= NS_PER_S);
        assert_true(step_after(fixture, wait_ns - 1) == 1);
        far_expect_nothing(&fixture->far);
        assert_true(remote_get_timeout_count(fixture->get) == i - 1);
        test_now_ns += 1;
    }
    step(fixture);
    expect_gets(fixture, 1);
    assert_true(remote_get_timeout_count(fixture->get) == 5);
    answer(fixture, "a");
    wait_for_arrived(fixture, 1);
    take_text(fixture, "a");
}

static void test_a_late_message_is_a_message(void **state)
{
    struct fixture *fixture = *state;
    int64_t wait_ns = step(fixture);
    expect_gets(fixture, 1);
    step_after(fixture, wait_ns);
    expect_gets(fixture, 1);
    answer(fixture, "late");
    answer(fixture, "in time");
    wait_for_arrived(fixture, 2);
    assert_true(remote_get_asked_count(fixture->get) == 0);
    take_text(fixture, "late");
    take_text(fixture, "in time");
    /* Also when nothing is asked for any more. */
    answer(fixture, "very late");
    wait_for_arrived(fixture, 1);
    take_text(fixture, "very late");
    assert_true(remote_get_asked_count(fixture->get) == 0);
}

/* Many under way, of which some are lost: after the time-out it begins with one. */
static void test_lost_from_a_full_window(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned round = 0; round < 5; round++) {
        step(fixture);
        unsigned asked = (unsigned)remote_get_asked_count(fixture->get);
        expect_gets(fixture, asked);
        for (unsigned i = 0; i < asked; i++)
            answer(fixture, "x");
        wait_for_arrived(fixture, asked);
        while (remote_get_peek(fixture->get) != NULL)
            remote_get_pop(fixture->get);
    }
    step(fixture);
    expect_gets(fixture, REMOTE_GET_WINDOW);
    for (unsigned i = 0; i < REMOTE_GET_WINDOW - 3; i++)
        answer(fixture, "x");
    wait_for_asked(fixture, 3);
    step_if(fixture, false);
    test_now_ns += NS_PER_S;
    step(fixture);
    assert_true(remote_get_timeout_count(fixture->get) == 1);
    expect_gets(fixture, 1);
    assert_true(remote_get_arrived_count(fixture->get) == REMOTE_GET_WINDOW - 3);
}

/* Each answer is a sign of life: the wait begins anew. */
static void test_slow_answers_are_no_lost_ones(void **state)
{
    struct fixture *fixture = *state;
    step(fixture);
    expect_gets(fixture, 1);
    answer(fixture, "x");
    wait_for_arrived(fixture, 1);
    int64_t wait_ns = step(fixture);
    expect_gets(fixture, 2);
    test_now_ns += wait_ns - 1;
    answer(fixture, "y");
    wait_for_arrived(fixture, 2);
    step_if(fixture, false);
    test_now_ns += wait_ns - 1;
    step_if(fixture, false);
    answer(fixture, "z");
    wait_for_arrived(fixture, 3);
    assert_true(remote_get_timeout_count(fixture->get) == 0);
}

static void test_what_is_no_answer(void **state)
{
    struct fixture *fixture = *state;
    step(fixture);
    expect_gets(fixture, 1);
    far_send(&fixture->far, "", 0);
    far_send(&fixture->far, "zzz", 3);
    far_send(&fixture->far, "1fshort", 7);
    far_send(&fixture->far, "13long beyond", 13);
    answer(fixture, "a");
    wait_for_arrived(fixture, 1);
    take_text(fixture, "a");
    assert_true(remote_get_error_count(fixture->get) == 0);
}

/* ---- errors ---- */

static void test_errors_are_no_messages(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"ERR message of 70000 bytes needs TCP", "ERR unknown command",
                                        "ERR queue full"};
    uint64_t count = 0;
    step(fixture);
    for (unsigned i = 0; i < 9; i++) {
        expect_gets(fixture, 1);
        answer(fixture, texts[i % 3]);
        FAR_WAIT(&fixture->far, remote_get_error_count(fixture->get) == count + 1);
        count++;
        assert_true(remote_get_asked_count(fixture->get) == 0 && remote_get_arrived_count(fixture->get) == 0);
        /* It is not asked at once again, but it is asked. */
        int64_t wait_ns = step(fixture);
        assert_in_range(wait_ns, 10 * NS_PER_MS, NS_PER_S);
        step_after(fixture, wait_ns - 1);
        far_expect_nothing(&fixture->far);
        step_after(fixture, 1);
    }
    /* The message was fetched by somebody else; here life goes on. */
    expect_gets(fixture, 1);
    answer(fixture, "next");
    wait_for_arrived(fixture, 1);
    take_text(fixture, "next");
    step(fixture);
    far_expect_text(&fixture->far, "13GET");
}

/* A message that needs TCP ends the window, too: the others under way get the same answer. */
static void test_an_error_ends_the_window(void **state)
{
    struct fixture *fixture = *state;
    step(fixture);
    expect_gets(fixture, 1);
    answer(fixture, "x");
    wait_for_arrived(fixture, 1);
    step(fixture);
    expect_gets(fixture, 2);
    answer(fixture, "ERR message of 70000 bytes needs TCP");
    answer(fixture, "ERR message of 70000 bytes needs TCP");
    wait_for_asked(fixture, 0);
    assert_true(remote_get_error_count(fixture->get) == 2);
    step_after(fixture, NS_PER_S);
    expect_gets(fixture, 1);
}

/* ---- not there ---- */

static void test_not_there_and_then_there(void **state)
{
    struct fixture *fixture = *state;
    far_leave(&fixture->far);
    int64_t expected_ns = 10 * NS_PER_MS;
    for (unsigned i = 0; i < 12; i++) {
        assert_true(step_until_refused(fixture) == expected_ns);
        assert_true(remote_get_asked_count(fixture->get) == 0);
        assert_true(step_after(fixture, expected_ns - 1) == 1);
        test_now_ns++;
        expected_ns = expected_ns * 2 < NS_PER_S ? expected_ns * 2 : NS_PER_S;
    }
    far_return(&fixture->far);
    step(fixture);
    expect_gets(fixture, 1);
    answer(fixture, "a");
    wait_for_arrived(fixture, 1);
    take_text(fixture, "a");
    step(fixture);
    far_expect_text(&fixture->far, "13GET");
    assert_true(remote_get_timeout_count(fixture->get) == 0);
    assert_true(remote_get_error_count(fixture->get) == 0);
}

/* The GETs under way when it goes are asked again when it is back, and what had arrived stays. */
static void test_it_goes_and_comes_back(void **state)
{
    struct fixture *fixture = *state;
    step(fixture);
    for (unsigned round = 0; round < 10; round++) {
        expect_gets(fixture, 1);
        answer_number(fixture, round);
        wait_for_arrived(fixture, 1);
        far_leave(&fixture->far);
        step_until_refused(fixture);
        assert_true(remote_get_asked_count(fixture->get) == 0);
        assert_true(remote_get_arrived_count(fixture->get) == 1);
        far_return(&fixture->far);
        char text[16];
        snprintf(text, sizeof text, "m%u", round);
        take_text(fixture, text);
        step_after(fixture, 2 * NS_PER_S);
    }
}

static void test_messages_left_are_freed(void **state)
{
    struct fixture *fixture = *state;
    step(fixture);
    expect_gets(fixture, 1);
    for (unsigned i = 0; i < 1000; i++)
        answer_number(fixture, i);
    FAR_WAIT(&fixture->far, remote_get_arrived_count(fixture->get) > 0);
}

static void test_a_rehearsal_opens_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct remote_get *get = NULL;
    struct error error = {0};
    fixture->far.node.rehearsal = true;
    size_t sources = poller_source_count(fixture->far.poller);
    assert_int_equal(remote_get_open(&get, &fixture->far.node, &fixture->far.address, 0, 1, &error), STATUS_OK);
    assert_int_equal(poller_source_count(fixture->far.poller), sources);
    remote_get_close(&get);
    remote_get_close(&get);
    assert_null(get);
}

int main(void)
{
#define GET_TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        GET_TEST(test_asks_once_and_takes_what_comes),
        GET_TEST(test_any_message),
        GET_TEST(test_the_window),
        GET_TEST(test_not_wanted),
        GET_TEST(test_an_empty_queue_is_asked_again_after_the_delay),
        GET_TEST(test_an_empty_answer_ends_the_window),
        GET_TEST(test_a_lost_answer_is_asked_for_again),
        GET_TEST(test_a_late_message_is_a_message),
        GET_TEST(test_lost_from_a_full_window),
        GET_TEST(test_slow_answers_are_no_lost_ones),
        GET_TEST(test_what_is_no_answer),
        GET_TEST(test_errors_are_no_messages),
        GET_TEST(test_an_error_ends_the_window),
        GET_TEST(test_not_there_and_then_there),
        GET_TEST(test_it_goes_and_comes_back),
        GET_TEST(test_messages_left_are_freed),
        GET_TEST(test_a_rehearsal_opens_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
