/* The poller: events reach their source, a source may vanish in the middle of a batch, and time-outs hold. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/poller.h"

enum { SOURCE_COUNT = 100 };

struct counter {
    struct poll_source source;
    size_t call_count;
    uint32_t events;
    bool takes; /* reads what made it ready */
};

static void count_call(struct poll_source *source, uint32_t events)
{
    struct counter *counter = (struct counter *)source;
    counter->call_count++;
    counter->events = events;
    uint64_t value;
    if (counter->takes)
        assert_int_equal(read(source->fd, &value, sizeof value), sizeof value);
}

static struct counter new_counter(unsigned value)
{
    int fd = eventfd(value, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(fd >= 0);
    return (struct counter){.source = {.fd = fd, .ready = count_call}};
}

static struct poller *new_poller(void)
{
    struct poller *poller = NULL;
    struct error error = {0};
    assert_int_equal(poller_open(&poller, &error), STATUS_OK);
    return poller;
}

static void add(struct poller *poller, struct poll_source *source, uint32_t events)
{
    struct error error = {0};
    assert_int_equal(poller_add(poller, source, events, &error), STATUS_OK);
}

static void test_reports_what_is_ready(void **state)
{
    (void)state;
    struct poller *poller = new_poller();
    struct counter idle = new_counter(0);
    struct counter ready = new_counter(1);
    add(poller, &idle.source, EPOLLIN);
    add(poller, &ready.source, EPOLLIN);
    assert_int_equal(poller_source_count(poller), 2);

    assert_int_equal(poller_wait(poller, -1), 1);
    assert_int_equal(ready.call_count, 1);
    assert_int_equal(ready.events, EPOLLIN);
    /* Level triggered: it is still there. */
    assert_int_equal(poller_wait(poller, 0), 1);
    ready.takes = true;
    assert_int_equal(poller_wait(poller, 0), 1);
    assert_int_equal(poller_wait(poller, 0), 0);
    assert_int_equal(ready.call_count, 3);
    assert_int_equal(idle.call_count, 0);

    poller_remove(poller, &idle.source);
    poller_remove(poller, &ready.source);
    assert_int_equal(poller_source_count(poller), 0);
    close(idle.source.fd);
    close(ready.source.fd);
    poller_close(&poller);
    assert_null(poller);
    poller_close(&poller);
}

static void test_change(void **state)
{
    (void)state;
    struct poller *poller = new_poller();
    struct counter counter = new_counter(1);
    add(poller, &counter.source, 0);
    assert_int_equal(poller_wait(poller, 0), 0);
    poller_change(poller, &counter.source, EPOLLOUT);
    assert_int_equal(poller_wait(poller, -1), 1);
    assert_int_equal(counter.events, EPOLLOUT);
    poller_change(poller, &counter.source, EPOLLIN | EPOLLOUT);
    assert_int_equal(poller_wait(poller, -1), 1);
    assert_int_equal(counter.events, EPOLLIN | EPOLLOUT);
    poller_change(poller, &counter.source, 0);
    assert_int_equal(poller_wait(poller, 0), 0);
    poller_remove(poller, &counter.source);
    close(counter.source.fd);
    poller_close(&poller);
}

static void test_bad_descriptor(void **state)
{
    (void)state;
    struct poller *poller = new_poller();
    struct poll_source source = {.fd = -1, .ready = count_call};
    struct error error = {0};
    assert_int_equal(poller_add(poller, &source, EPOLLIN, &error), STATUS_SYSTEM);
    assert_true(error.text[0] != '\0');
    assert_int_equal(poller_source_count(poller), 0);
    poller_close(&poller);
}

static void test_more_sources_than_one_batch(void **state)
{
    (void)state;
    struct poller *poller = new_poller();
    struct counter counters[SOURCE_COUNT];
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        counters[i] = new_counter(1);
        counters[i].takes = true;
        add(poller, &counters[i].source, EPOLLIN);
    }
    size_t total = 0;
    for (size_t round = 0; round < SOURCE_COUNT && total < SOURCE_COUNT; round++)
        total += poller_wait(poller, 0);
    assert_int_equal(total, SOURCE_COUNT);
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        assert_int_equal(counters[i].call_count, 1);
        poller_remove(poller, &counters[i].source);
        close(counters[i].source.fd);
    }
    poller_close(&poller);
}

/* Two sources, ready together; whichever is called first removes and frees both. */
struct pair {
    struct poll_source source;
    struct poller *poller;
    struct pair *other;
    size_t *call_count;
};

static void free_both(struct poll_source *source, uint32_t events)
{
    (void)events;
    struct pair *one = (struct pair *)source;
    struct pair *both[2] = {one, one->other};
    (*one->call_count)++;
    for (int i = 0; i < 2; i++) {
        poller_remove(both[i]->poller, &both[i]->source);
        close(both[i]->source.fd);
    }
    free(both[1]);
    free(both[0]);
}

static void test_removed_within_a_batch(void **state)
{
    (void)state;
    struct poller *poller = new_poller();
    size_t call_count = 0;
    struct pair *pair[2];
    for (int i = 0; i < 2; i++) {
        pair[i] = malloc(sizeof *pair[i]);
        assert_non_null(pair[i]);
        *pair[i] = (struct pair){.poller = poller, .call_count = &call_count};
        pair[i]->source = (struct poll_source){.fd = eventfd(1, EFD_CLOEXEC), .ready = free_both};
        add(poller, &pair[i]->source, EPOLLIN);
    }
    pair[0]->other = pair[1];
    pair[1]->other = pair[0];
    poller_wait(poller, -1);
    assert_int_equal(call_count, 1);
    assert_int_equal(poller_source_count(poller), 0);
    assert_int_equal(poller_wait(poller, 0), 0);
    poller_close(&poller);
}

static void test_never_returns_early(void **state)
{
    (void)state;
    struct poller *poller = new_poller();
    static const int64_t waits_ns[] = {1, 50 * NS_PER_US, 1500 * NS_PER_US, 3 * NS_PER_MS};
    for (size_t i = 0; i < sizeof waits_ns / sizeof waits_ns[0]; i++) {
        int64_t start_ns = clock_monotonic_ns();
        assert_int_equal(poller_wait(poller, waits_ns[i]), 0);
        assert_true(clock_monotonic_ns() - start_ns >= waits_ns[i]);
    }
    poller_close(&poller);
}

static void on_alarm(int number)
{
    (void)number;
}

/* A timer's signals arrive every millisecond while the poller waits for 20 ms, and while it waits for an event. */
static void test_signals_do_not_end_a_wait(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm};
    struct sigaction before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);

    struct poller *poller = new_poller();
    int64_t start_ns = clock_monotonic_ns();
    assert_int_equal(poller_wait(poller, 20 * NS_PER_MS), 0);
    assert_true(clock_monotonic_ns() - start_ns >= 20 * NS_PER_MS);
    struct counter counter = new_counter(1);
    add(poller, &counter.source, EPOLLIN);
    assert_int_equal(poller_wait(poller, -1), 1);

    struct itimerval never = {{0, 0}, {0, 0}};
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    close(counter.source.fd);
    poller_close(&poller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reports_what_is_ready),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_bad_descriptor),
        cmocka_unit_test(test_more_sources_than_one_batch),
        cmocka_unit_test(test_removed_within_a_batch),
        cmocka_unit_test(test_never_returns_early),
        cmocka_unit_test(test_signals_do_not_end_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
