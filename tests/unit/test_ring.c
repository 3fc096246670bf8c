/* Rings: capacity, order, wrapping round; and one producer and one consumer at once. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/ring.h"

/* Bounds the whole program: what hangs fails. */
enum { LIMIT_S = 50 };

static void test_holds_its_capacity(void **state)
{
    (void)state;
    static char places[100];
    for (size_t capacity = 1; capacity <= sizeof places; capacity++) {
        struct ring *ring = ring_new(capacity);
        assert_null(ring_take(ring));
        for (size_t round = 0; round < 5; round++) {
            for (size_t i = 0; i < capacity; i++) {
                assert_int_equal(ring_count(ring), i);
                ring_put(ring, &places[i]);
            }
            assert_int_equal(ring_count(ring), capacity);
            for (size_t i = 0; i < capacity; i++)
                assert_ptr_equal(ring_take(ring), &places[i]);
            assert_null(ring_take(ring));
            assert_int_equal(ring_count(ring), 0);
        }
        ring_free(&ring);
        assert_null(ring);
        ring_free(&ring);
    }
}

static void test_goes_round(void **state)
{
    (void)state;
    static char places[1000];
    struct ring *ring = ring_new(7);
    size_t put = 0;
    size_t taken = 0;
    while (taken < 100000) {
        for (size_t n = put % 7 + 1; n > 0 && put - taken < 7; n--) {
            ring_put(ring, &places[put % sizeof places]);
            put++;
        }
        assert_int_equal(ring_count(ring), put - taken);
        for (size_t n = taken % 5 + 1; n > 0 && taken < put; n--) {
            assert_ptr_equal(ring_take(ring), &places[taken % sizeof places]);
            taken++;
        }
    }
    ring_free(&ring);
}

/* ---- two threads ---- */

enum { ITEM_COUNT = 256 };

struct item {
    uint64_t sequence;
    uint64_t words[4];
};

struct exchange {
    struct ring *forth, *back;
    uint64_t total;
    struct item items[ITEM_COUNT];
    size_t pause_every;    /* the producer gives up its processor so often; 0: never */
    uint64_t fault_count;  /* the consumer's, until it is joined */
    uint64_t taken_count;  /* likewise */
    size_t consumer_pause; /* as pause_every, for the consumer */
};

static void *consume(void *argument)
{
    struct exchange *exchange = argument;
    for (uint64_t sequence = 0; sequence < exchange->total; sequence++) {
        struct item *item;
        while ((item = ring_take(exchange->forth)) == NULL)
            sched_yield();
        exchange->fault_count += item->sequence != sequence;
        for (size_t i = 0; i < 4; i++)
            exchange->fault_count += item->words[i] != sequence * 7 + i;
        exchange->taken_count++;
        ring_put(exchange->back, item);
        if (exchange->consumer_pause > 0 && sequence % exchange->consumer_pause == 0)
            sched_yield();
    }
    return NULL;
}

static void produce(struct exchange *exchange)
{
    for (uint64_t sequence = 0; sequence < exchange->total; sequence++) {
        struct item *item;
        while ((item = ring_take(exchange->back)) == NULL)
            sched_yield();
        item->sequence = sequence;
        for (size_t i = 0; i < 4; i++)
            item->words[i] = sequence * 7 + i;
        ring_put(exchange->forth, item); /* a slot for every item */
        if (exchange->pause_every > 0 && sequence % exchange->pause_every == 0)
            sched_yield();
    }
}

static void run_exchange(uint64_t total, size_t producer_pause, size_t consumer_pause)
{
    struct exchange exchange = {
        .forth = ring_new(ITEM_COUNT),
        .back = ring_new(ITEM_COUNT),
        .total = total,
        .pause_every = producer_pause,
        .consumer_pause = consumer_pause,
    };
    for (size_t i = 0; i < ITEM_COUNT; i++)
        ring_put(exchange.back, &exchange.items[i]);
    pthread_t consumer;
    assert_int_equal(pthread_create(&consumer, NULL, consume, &exchange), 0);
    produce(&exchange);
    assert_int_equal(pthread_join(consumer, NULL), 0);
    assert_int_equal(exchange.fault_count, 0);
    assert_int_equal(exchange.taken_count, total);
    assert_int_equal(ring_count(exchange.forth), 0);
    assert_int_equal(ring_count(exchange.back), ITEM_COUNT);
    ring_free(&exchange.forth);
    ring_free(&exchange.back);
}

static void test_two_threads(void **state)
{
    (void)state;
    run_exchange(300000, 0, 0);
}

static void test_slow_producer(void **state)
{
    (void)state;
    run_exchange(50000, 500, 0);
}

static void test_slow_consumer(void **state)
{
    (void)state;
    run_exchange(50000, 0, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_its_capacity), cmocka_unit_test(test_goes_round),
        cmocka_unit_test(test_two_threads),        cmocka_unit_test(test_slow_producer),
        cmocka_unit_test(test_slow_consumer),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
