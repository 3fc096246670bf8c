/* Resting: spin, yield, announce, sleep; wake-ups that come at any point of it; and two threads that wake each other.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/idle.h"

/* Bounds the whole program: a lost wake-up is a hang, and a hang fails. */
enum { LIMIT_S = 50 };

static struct idle_crowd crowd = {.processor_count = 2};

static void open_idle(struct idle *idle, bool with_poller)
{
    struct error error = {0};
    struct poller *poller = NULL;
    struct poller *again = NULL;
    idle_open(idle, &crowd);
    if (!with_poller)
        return;
    assert_int_equal(idle_poller(idle, &poller, &error), STATUS_OK);
    assert_int_equal(idle_poller(idle, &again, &error), STATUS_OK);
    assert_non_null(poller);
    assert_ptr_equal(again, poller); /* one for all of the thread's nodes */
}

static uint32_t state_of(struct idle *idle)
{
    return atomic_load(&idle->state);
}

/* Up to the point where the next idle_rest sleeps. */
static void announce(struct idle *idle)
{
    assert_int_equal(idle_rest(idle, 1, CLOCK_NEVER_NS), 0);
    assert_int_equal(idle_rest(idle, 1 + NS_PER_S, CLOCK_NEVER_NS), 0);
    assert_true(idle_is_armed(idle));
}

/* From the first idle_rest to the announcement, in steps of a microsecond: how long it is, spinning and yielding. */
static int64_t time_to_announcement(struct idle *idle)
{
    int64_t start_ns = 5 * NS_PER_S;
    int64_t now_ns = start_ns;
    for (; !idle_is_armed(idle) && now_ns < start_ns + NS_PER_S; now_ns += NS_PER_US) {
        assert_int_equal(state_of(idle), IDLE_AWAKE);
        assert_int_equal(idle_rest(idle, now_ns, CLOCK_NEVER_NS), 0);
    }
    return now_ns - NS_PER_US - start_ns;
}

static void test_stages(void **state)
{
    (void)state;
    struct idle idle;
    idle_open(&idle, &crowd);
    idle_begin(&idle);
    int64_t patience_ns = time_to_announcement(&idle);
    assert_true(patience_ns >= 10 * NS_PER_US && patience_ns <= 10 * NS_PER_MS);
    assert_true(idle_is_armed(&idle)); /* announced, and its caller looks again */
    assert_int_equal(state_of(&idle), IDLE_PARKED_FUTEX);
    assert_int_equal(idle.park_count, 0);
    idle_busy(&idle); /* the look found something */
    assert_false(idle_is_armed(&idle));
    assert_int_equal(state_of(&idle), IDLE_AWAKE);
    assert_true(time_to_announcement(&idle) == patience_ns); /* begins anew */
    idle_busy(&idle);
    idle_end(&idle);
    idle_close(&idle);
}

static void test_impatient(void **state)
{
    (void)state;
    struct idle idle;
    idle_open(&idle, &crowd);
    assert_false(idle.impatient);
    idle.impatient = true;
    assert_true(time_to_announcement(&idle) == 0);
    idle_close(&idle);
}

/* Who expects an answer looks for it, and does not fall asleep before its time is over. */
static void test_expecting(void **state)
{
    (void)state;
    struct idle idle;
    open_idle(&idle, true);
    idle.impatient = true;
    idle_expect(&idle, 2 * NS_PER_S);
    for (int i = 0; i < 5; i++)
        assert_int_equal(idle_rest(&idle, NS_PER_S, CLOCK_NEVER_NS), 0);
    assert_false(idle_is_armed(&idle));
    uint64_t one = 1;
    assert_int_equal(write(idle.event_source.fd, &one, sizeof one), sizeof one);
    assert_int_equal(idle_rest(&idle, NS_PER_S, CLOCK_NEVER_NS), 1);
    idle_rest(&idle, 2 * NS_PER_S, CLOCK_NEVER_NS);
    assert_true(idle_is_armed(&idle));
    idle_busy(&idle);
    idle_close(&idle);
}

static void test_crowd(void **state)
{
    (void)state;
    struct idle one;
    struct idle other;
    idle_open(&one, &crowd);
    idle_open(&other, &crowd);
    assert_int_equal(atomic_load(&crowd.awake_count), 0);
    idle_begin(&one);
    idle_begin(&other);
    assert_int_equal(atomic_load(&crowd.awake_count), 2);
    announce(&one);
    idle_wake(&one);
    idle_rest(&one, 2 * NS_PER_S, CLOCK_NEVER_NS); /* slept, for an instant */
    assert_int_equal(atomic_load(&crowd.awake_count), 2);
    idle_end(&one);
    assert_int_equal(atomic_load(&crowd.awake_count), 1);
    idle_end(&other);
    assert_int_equal(atomic_load(&crowd.awake_count), 0);
    idle_close(&one);
    idle_close(&other);
}

static void test_wake_between_announcement_and_sleep(void **state)
{
    (void)state;
    for (int with_poller = 0; with_poller < 2; with_poller++) {
        struct idle idle;
        open_idle(&idle, with_poller != 0);
        for (int i = 1; i <= 3; i++) {
            announce(&idle);
            assert_int_equal(state_of(&idle), with_poller ? IDLE_PARKED_POLL : IDLE_PARKED_FUTEX);
            idle_wake(&idle);
            idle_wake(&idle); /* a second one changes nothing */
            assert_int_equal(state_of(&idle), IDLE_AWAKE);
            idle_rest(&idle, 2 * NS_PER_S, CLOCK_NEVER_NS); /* does not sleep for ever */
            assert_false(idle_is_armed(&idle));
            assert_int_equal(state_of(&idle), IDLE_AWAKE);
            assert_int_equal(idle.park_count, i);
        }
        idle_close(&idle);
        assert_null(idle.poller);
    }
}

/* Who is awake is not written to: that is what makes a wake-up cheap. */
static void test_waking_the_awake(void **state)
{
    (void)state;
    struct idle idle;
    uint64_t count;
    open_idle(&idle, true);
    idle_wake(&idle);
    assert_true(read(idle.event_source.fd, &count, sizeof count) < 0);
    announce(&idle);
    idle_busy(&idle);
    idle_wake(&idle);
    assert_true(read(idle.event_source.fd, &count, sizeof count) < 0);
    idle_close(&idle);
}

static void test_deadline(void **state)
{
    (void)state;
    for (int with_poller = 0; with_poller < 2; with_poller++) {
        struct idle idle;
        open_idle(&idle, with_poller != 0);
        announce(&idle);
        idle_rest(&idle, 3 * NS_PER_S, 3 * NS_PER_S); /* has come already */
        assert_int_equal(idle.park_count, 0);
        assert_false(idle_is_armed(&idle));
        assert_int_equal(state_of(&idle), IDLE_AWAKE);
        announce(&idle);
        idle_rest(&idle, 3 * NS_PER_S, -NS_PER_S); /* long ago */
        assert_int_equal(idle.park_count, 0);
        announce(&idle);
        int64_t now_ns = clock_monotonic_ns();
        idle_rest(&idle, now_ns, now_ns + NS_PER_MS); /* sleeps until then: nobody wakes it */
        assert_true(clock_monotonic_ns() >= now_ns + NS_PER_MS);
        assert_int_equal(idle.park_count, 1);
        assert_false(idle_is_armed(&idle));
        idle_close(&idle);
    }
}

/* With --busy-poll: never asleep, but announced again and again, for what is done before sleeping. */
static void test_busy_poll(void **state)
{
    (void)state;
    enum { REST_COUNT = 10000 };
    struct idle idle;
    struct error error = {0};
    struct poller *poller;
    idle_open(&idle, &crowd);
    idle.impatient = true;
    idle.busy_poll_ns = 50 * NS_PER_US;
    assert_false(idle_polls(&idle)); /* it has no descriptors */
    assert_int_equal(idle_poller(&idle, &poller, &error), STATUS_OK);
    assert_true(idle_polls(&idle));
    unsigned announced_count = 0;
    for (int64_t i = 1; i <= REST_COUNT; i++) { /* forever, were it to sleep */
        assert_int_equal(idle_rest(&idle, i * NS_PER_US, CLOCK_NEVER_NS), 0);
        announced_count += idle_is_armed(&idle);
    }
    assert_int_equal(idle.park_count, 0);
    assert_true(announced_count >= 10 && announced_count < REST_COUNT / 10);
    while (!idle_is_armed(&idle))
        assert_int_equal(
            idle_rest(&idle, 2 * NS_PER_S, CLOCK_NEVER_NS) + idle_rest(&idle, 3 * NS_PER_S, CLOCK_NEVER_NS), 0);
    idle_wake(&idle); /* between the announcement and the look */
    assert_int_equal(state_of(&idle), IDLE_AWAKE);
    assert_int_equal(idle_rest(&idle, 3 * NS_PER_S, CLOCK_NEVER_NS), 1);
    assert_false(idle_is_armed(&idle));
    idle_close(&idle);
}

/* ---- descriptors ---- */

struct watched {
    struct poll_source source;
    size_t ready_count;
};

static void on_ready(struct poll_source *source, uint32_t events)
{
    struct watched *watched = (struct watched *)(void *)source;
    char byte;
    assert_true((events & EPOLLIN) != 0);
    assert_int_equal(read(source->fd, &byte, 1), 1);
    watched->ready_count++;
}

static void test_descriptor_ends_the_rest(void **state)
{
    (void)state;
    struct idle idle;
    struct error error = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    open_idle(&idle, true);
    struct watched watched = {.source = {.fd = ends[0], .ready = on_ready}};
    assert_int_equal(poller_add(idle.poller, &watched.source, EPOLLIN, &error), STATUS_OK);
    announce(&idle);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(idle_rest(&idle, 2 * NS_PER_S, CLOCK_NEVER_NS), 1);
    assert_int_equal(watched.ready_count, 1);
    assert_false(idle_is_armed(&idle));
    assert_int_equal(state_of(&idle), IDLE_AWAKE);
    poller_remove(idle.poller, &watched.source);
    idle_close(&idle);
    close(ends[0]);
    close(ends[1]);
}

/* ---- two threads ---- */

/* What a ring is between nodes: how much was put and how much taken, relaxed, ordered by idle.h's fences alone. */
struct counter_pair {
    _Atomic uint64_t put_count, taken_count;
    struct idle producer, consumer;
    uint64_t total, window, wake_every;
    uint64_t fault_count; /* the consumer's, until it is joined */
};

static void rest(struct idle *idle)
{
    idle_rest(idle, clock_monotonic_ns(), CLOCK_NEVER_NS);
}

static void *take_counts(void *argument)
{
    struct counter_pair *pair = argument;
    uint64_t taken = 0;
    idle_begin(&pair->consumer);
    while (taken < pair->total) {
        uint64_t put = atomic_load_explicit(&pair->put_count, memory_order_relaxed);
        if (put == taken) {
            rest(&pair->consumer);
            continue;
        }
        idle_busy(&pair->consumer);
        pair->fault_count += put < taken || put - taken > pair->window;
        taken = put;
        atomic_store_explicit(&pair->taken_count, taken, memory_order_relaxed);
        idle_wake(&pair->producer);
    }
    idle_end(&pair->consumer);
    return NULL;
}

static void put_counts(struct counter_pair *pair)
{
    uint64_t put = 0;
    idle_begin(&pair->producer);
    while (put < pair->total) {
        if (put - atomic_load_explicit(&pair->taken_count, memory_order_relaxed) == pair->window) {
            rest(&pair->producer);
            continue;
        }
        idle_busy(&pair->producer);
        atomic_store_explicit(&pair->put_count, ++put, memory_order_relaxed);
        if (put % pair->wake_every == 0)
            idle_wake(&pair->consumer);
    }
    idle_end(&pair->producer);
}

static void run_pair(uint64_t total, uint64_t window, uint64_t wake_every, unsigned pollers, bool sleeps_at_once)
{
    struct counter_pair pair = {.total = total, .window = window, .wake_every = wake_every};
    open_idle(&pair.producer, (pollers & 1) != 0);
    open_idle(&pair.consumer, (pollers & 2) != 0);
    pair.producer.impatient = pair.consumer.impatient = sleeps_at_once;
    pthread_t consumer;
    assert_int_equal(pthread_create(&consumer, NULL, take_counts, &pair), 0);
    put_counts(&pair);
    assert_int_equal(pthread_join(consumer, NULL), 0);
    assert_int_equal(pair.fault_count, 0);
    assert_int_equal(atomic_load(&pair.taken_count), total);
    idle_close(&pair.producer);
    idle_close(&pair.consumer);
}

static void test_many(void **state)
{
    (void)state;
    run_pair(1000000, 1000, 100, 0, false);
    run_pair(200000, 1000, 100, 3, false);
}

/* One at a time: each side sleeps, or is about to, whenever the other wakes it. */
static void test_ping_pong(void **state)
{
    (void)state;
    for (unsigned pollers = 0; pollers < 4; pollers++)
        run_pair(2000, 1, 1, pollers, true);
}

static void test_nearly_asleep(void **state)
{
    (void)state;
    for (unsigned pollers = 0; pollers < 4; pollers++)
        run_pair(5000, 3, 1, pollers, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_impatient),
        cmocka_unit_test(test_expecting),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_wake_between_announcement_and_sleep),
        cmocka_unit_test(test_waking_the_awake),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_busy_poll),
        cmocka_unit_test(test_descriptor_ends_the_rest),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_nearly_asleep),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
