/*
 * remote_lease.c: messages taken with leases from a queue that loses, doubles and reorders datagrams both ways, and
 * from one that knows no leases. The clock is the test's: nothing waits for time.
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
#include "engine/random.h"
#include "net/lhhttt.h"
#include "nodes/links/remote_lease.h"
#include "tests/support/far_queue.h"

enum { MESSAGE_COUNT = 200, LEASE_MAX = 100000, TEXT_BYTES = 64 };
static const int64_t lease_ns = 2 * NS_PER_S;

static int64_t test_now_ns;

/* The clock that the program reads. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){.tv_sec = test_now_ns / NS_PER_S, .tv_nsec = (long)(test_now_ns % NS_PER_S)};
    return 0;
}

/* The queue's side: message i is with lease `lease[i]` until `until_ns[i]`; lease k was one of message `of[k]`. */
struct fixture {
    struct far_queue far;
    struct remote_lease *lease;
    struct random_state random;
    unsigned fault_percent;
    unsigned of[LEASE_MAX], lease_count;
    unsigned with[MESSAGE_COUNT], deliveries[MESSAGE_COUNT];
    int64_t until_ns[MESSAGE_COUNT];
    bool gone[MESSAGE_COUNT];
    unsigned taken[MESSAGE_COUNT];
    unsigned nack_count;
    char reordered[TEXT_BYTES]; /* an answer that goes out behind the next */
    bool has_reordered;
};

static int open_fixture(void **state)
{
    struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, (sizeof *fixture + 63) / 64 * 64);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    test_now_ns = 1000 * NS_PER_S;
    random_seed(&fixture->random, 7);
    far_open(&fixture->far);
    struct error error = {0};
    assert_int_equal(remote_lease_open(&fixture->lease, &fixture->far.node, &fixture->far.address, NS_PER_MS, lease_ns,
                                       1 << 20, &error),
                     STATUS_OK);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    remote_lease_close(&fixture->lease);
    assert_null(fixture->lease);
    far_close(&fixture->far);
    free(fixture);
    return 0;
}

static bool happens(struct fixture *fixture)
{
    return random_below(&fixture->random, 100) < fixture->fault_percent;
}

static void answer(struct fixture *fixture, const char *text)
{
    if (happens(fixture))
        return;
    if (!fixture->has_reordered && happens(fixture)) {
        snprintf(fixture->reordered, sizeof fixture->reordered, "%s", text);
        fixture->has_reordered = true;
        return;
    }
    far_answer_text(&fixture->far, text);
    if (happens(fixture))
        far_answer_text(&fixture->far, text);
    if (fixture->has_reordered)
        far_answer_text(&fixture->far, fixture->reordered);
    fixture->has_reordered = false;
}

static void give_lease(struct fixture *fixture)
{
    for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
        if (fixture->gone[i] || test_now_ns < fixture->until_ns[i])
            continue;
        unsigned lease = ++fixture->lease_count;
        assert_true(lease < LEASE_MAX);
        fixture->of[lease] = i;
        fixture->with[i] = lease;
        fixture->until_ns[i] = test_now_ns + lease_ns;
        char text[TEXT_BYTES];
        snprintf(text, sizeof text, "%u:%u:m:%u", lease, ++fixture->deliveries[i], i);
        answer(fixture, text);
        return;
    }
    answer(fixture, "");
}

static void handle(struct fixture *fixture, const char *command)
{
    char verb[16] = "";
    unsigned lease = 0;
    sscanf(command, "%15[A-Z]:%u", verb, &lease);
    if (strcmp(verb, "STATS") == 0) {
        answer(fixture, "{}");
    } else if (strcmp(verb, "SIZE") == 0) {
        answer(fixture, "5");
    } else if (strcmp(verb, "LEASE") == 0) {
        give_lease(fixture);
    } else {
        assert_in_range(lease, 1, fixture->lease_count);
        unsigned i = fixture->of[lease];
        bool live = !fixture->gone[i] && fixture->with[i] == lease && test_now_ns < fixture->until_ns[i];
        if (strcmp(verb, "ACK") == 0 && live) {
            assert_true(fixture->taken[i] > 0); /* nothing is acknowledged that was not done */
            fixture->gone[i] = true;
        } else if (strcmp(verb, "NACK") == 0 && live) {
            assert_non_null(strstr(command, ":no: 'x'"));
            fixture->until_ns[i] = 0;
            fixture->nack_count++;
        } else if (strcmp(verb, "EXTEND") == 0 && live) {
            fixture->until_ns[i] = test_now_ns + lease_ns;
        }
        answer(fixture, live || fixture->gone[i] ? "OK" : "ERR lease is over");
    }
}

static void serve(struct fixture *fixture)
{
    size_t length;
    const void *datagram;
    while ((datagram = far_take(&fixture->far, &length)) != NULL) {
        const void *text;
        size_t text_length;
        char command[512];
        assert_int_equal(lhhttt_read_datagram(datagram, length, &text, &text_length), STATUS_OK);
        snprintf(command, sizeof command, "%.*s", (int)text_length, (const char *)text);
        if (happens(fixture))
            continue;
        handle(fixture, command);
        if (happens(fixture))
            handle(fixture, command);
    }
}

static bool all_gone(const struct fixture *fixture)
{
    for (unsigned i = 0; i < MESSAGE_COUNT; i++)
        if (!fixture->gone[i])
            return false;
    return true;
}

/* Takes what is there; refuses each message once in `refuse_every`. */
static void work(struct fixture *fixture, unsigned refuse_every)
{
    struct remote_lease_message message;
    while (remote_lease_take(fixture->lease, test_now_ns, &message)) {
        char text[TEXT_BYTES];
        unsigned i;
        snprintf(text, sizeof text, "%.*s", (int)message.length, (const char *)message.text);
        assert_int_equal(sscanf(text, "m:%u", &i), 1);
        if (refuse_every > 0 && random_below(&fixture->random, refuse_every) == 0) {
            remote_lease_refuse(fixture->lease, message.number, "no: 'x'");
            continue;
        }
        fixture->taken[i]++;
        remote_lease_acknowledge(fixture->lease, message.number);
    }
}

static void run(struct fixture *fixture, unsigned refuse_every)
{
    for (unsigned round = 0; !all_gone(fixture) || remote_lease_unsettled_count(fixture->lease) > 0; round++) {
        assert_true(round < 20000);
        remote_lease_step(fixture->lease, true, test_now_ns);
        serve(fixture);
        poller_wait(fixture->far.poller, 0);
        work(fixture, refuse_every);
        test_now_ns += 20 * NS_PER_MS;
    }
}

static void test_each_comes_once_over_a_good_network(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, 0);
    for (unsigned i = 0; i < MESSAGE_COUNT; i++)
        assert_int_equal(fixture->taken[i], 1);
    assert_int_equal(remote_lease_counts(fixture->lease).again_count, 0);
}

static void test_none_is_lost_over_a_bad_one(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault_percent = 30;
    run(fixture, 10);
    for (unsigned i = 0; i < MESSAGE_COUNT; i++)
        assert_true(fixture->taken[i] >= 1);
    assert_true(fixture->nack_count > 0);
    assert_true(remote_lease_counts(fixture->lease).repeated_count > 0);
}

static void test_a_long_step_is_extended(void **state)
{
    struct fixture *fixture = *state;
    struct remote_lease_message message;
    while (!remote_lease_take(fixture->lease, test_now_ns, &message)) {
        remote_lease_step(fixture->lease, true, test_now_ns);
        serve(fixture);
        poller_wait(fixture->far.poller, 0);
    }
    for (unsigned round = 0; round < 100; round++) { /* five times the lease */
        test_now_ns += lease_ns / 20;
        remote_lease_step(fixture->lease, false, test_now_ns);
        serve(fixture);
        poller_wait(fixture->far.poller, 0);
    }
    assert_int_equal(fixture->deliveries[0], 1);
    assert_true(test_now_ns < fixture->until_ns[0]);
}

static void ask_prototype(struct fixture *fixture, const char *stats_answer)
{
    for (unsigned round = 0; round < 100 && remote_lease_peer(fixture->lease) == REMOTE_LEASE_UNKNOWN; round++) {
        remote_lease_step(fixture->lease, true, test_now_ns);
        size_t length;
        const char *datagram;
        while ((datagram = far_take(&fixture->far, &length)) != NULL) {
            if (memcmp(datagram, "14SIZE", 6) == 0)
                far_answer_text(&fixture->far, "0");
            else if (stats_answer != NULL)
                far_answer_text(&fixture->far, stats_answer);
        }
        poller_wait(fixture->far.poller, 0);
        test_now_ns += 250 * NS_PER_MS;
    }
    assert_int_equal(remote_lease_peer(fixture->lease), REMOTE_LEASE_PROTOTYPE);
}

static void test_prototype_is_known_by_its_silence(void **state)
{
    ask_prototype(*state, NULL);
}

static void test_prototype_is_known_by_its_error(void **state)
{
    ask_prototype(*state, "ERR unknown command");
}

static void test_silence_is_no_prototype(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned round = 0; round < 200; round++) {
        remote_lease_step(fixture->lease, true, test_now_ns);
        test_now_ns += 250 * NS_PER_MS;
    }
    assert_int_equal(remote_lease_peer(fixture->lease), REMOTE_LEASE_UNKNOWN);
}

int main(void)
{
#define LEASE_TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        LEASE_TEST(test_each_comes_once_over_a_good_network),
        LEASE_TEST(test_none_is_lost_over_a_bad_one),
        LEASE_TEST(test_a_long_step_is_extended),
        LEASE_TEST(test_prototype_is_known_by_its_silence),
        LEASE_TEST(test_prototype_is_known_by_its_error),
        LEASE_TEST(test_silence_is_no_prototype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
