/* Edges between two threads that rest as nodes do: nothing is lost, doubled, torn or out of order, and nobody hangs. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/edge.h"

/* Bounds the whole program: a lost wake-up is a hang, and a hang fails. */
enum { LIMIT_S = 50 };

struct traffic {
    struct edge *edge;
    struct idle producer_idle, consumer_idle;
    uint64_t message_count;
    uint32_t burst_count;  /* messages between two flushes */
    uint64_t long_every;   /* each so many-th message is longer than a block; 0: none */
    bool runs;             /* a burst is emitted as one run */
    bool slow_producer;    /* emits when its consumer sleeps */
    bool slow_consumer;    /* takes when its producer sleeps */
    _Atomic bool finished; /* the producer has emitted its last */
    uint64_t taken_count;  /* the consumer's, until it is joined; so is the next */
    uint64_t fault_count;
};

static uint32_t length_of(const struct traffic *traffic, uint64_t number)
{
    if (traffic->long_every > 0 && number % traffic->long_every == traffic->long_every - 1)
        return 20000;
    return (uint32_t)(16 + number % 5 * 8);
}

/* The number at the start, and its complement at the end. */
static void write_text(unsigned char *text, uint64_t number, uint32_t length)
{
    uint64_t complement = ~number;
    memcpy(text, &number, sizeof number);
    memcpy(text + length - sizeof complement, &complement, sizeof complement);
}

static bool is_right(const struct traffic *traffic, const struct message *message, uint64_t number)
{
    uint32_t length = length_of(traffic, number);
    uint64_t complement = ~number;
    return message->length == length && message->time_ns == (int64_t)number &&
           memcmp(message->text, &number, sizeof number) == 0 &&
           memcmp(message->text + length - sizeof complement, &complement, sizeof complement) == 0;
}

static bool sleeps(const struct idle *idle)
{
    return atomic_load_explicit(&idle->state, memory_order_relaxed) != IDLE_AWAKE;
}

static void *consume(void *argument)
{
    struct traffic *traffic = argument;
    struct edge *edge = traffic->edge;
    struct idle *idle = &traffic->consumer_idle;
    idle_begin(idle);
    for (;;) {
        const struct message *message = edge_peek(edge);
        if (message != NULL) {
            idle_busy(idle);
            traffic->fault_count += !is_right(traffic, message, traffic->taken_count);
            traffic->taken_count++;
            edge_pop(edge);
            traffic->fault_count += edge_in_flight(edge) > traffic->message_count; /* released before it was emitted */
            while (traffic->slow_consumer && edge->cursor.index == 1 && !sleeps(&traffic->producer_idle) &&
                   !atomic_load_explicit(&traffic->finished, memory_order_relaxed))
                sched_yield();
            continue;
        }
        if (edge_has_ended(edge))
            break;
        if (idle_is_armed(idle))
            edge_consumer_rests(edge);
        idle_rest(idle, clock_monotonic_ns(), CLOCK_NEVER_NS);
    }
    idle_end(idle);
    return NULL;
}

static void rest_producer(struct traffic *traffic)
{
    edge_flush(traffic->edge);
    idle_rest(&traffic->producer_idle, clock_monotonic_ns(), CLOCK_NEVER_NS);
}

static void emit_burst(struct traffic *traffic, uint64_t *number)
{
    for (uint32_t i = 0; i < traffic->burst_count && *number < traffic->message_count; i++) {
        uint32_t length = length_of(traffic, *number);
        if (!edge_has_room(traffic->edge))
            return;
        struct message *message = edge_reserve(traffic->edge, length);
        write_text(message->text, *number, length);
        edge_commit(traffic->edge, message, length, (int64_t)*number);
        ++*number;
    }
}

static void emit_run(struct traffic *traffic, uint64_t *number)
{
    struct block *block = block_new(traffic->burst_count * 128);
    for (uint32_t i = 0; i < traffic->burst_count && *number + i < traffic->message_count; i++) {
        unsigned char text[64];
        uint32_t length = length_of(traffic, *number + i);
        write_text(text, *number + i, length);
        assert_true(block_append(block, text, length, (int64_t)(*number + i)));
    }
    struct block_cursor cursor = {.block = block};
    *number += edge_emit_run(traffic->edge, &cursor, UINT32_MAX);
    block_free(&block);
}

static void produce(struct traffic *traffic)
{
    uint64_t number = 0;
    idle_begin(&traffic->producer_idle);
    while (number < traffic->message_count) {
        while (traffic->slow_producer && !sleeps(&traffic->consumer_idle))
            sched_yield();
        uint64_t before = number;
        if (traffic->runs)
            emit_run(traffic, &number);
        else
            emit_burst(traffic, &number);
        if (number == before) {
            rest_producer(traffic);
            continue;
        }
        idle_busy(&traffic->producer_idle);
        edge_flush(traffic->edge);
    }
    atomic_store_explicit(&traffic->finished, true, memory_order_relaxed);
    while (!edge_flush(traffic->edge))
        rest_producer(traffic);
    idle_busy(&traffic->producer_idle);
    edge_end(traffic->edge);
    idle_end(&traffic->producer_idle);
}

static void open_idle(struct idle *idle, struct idle_crowd *crowd, bool with_poller)
{
    struct error error = {0};
    struct poller *poller;
    idle_open(idle, crowd);
    idle->impatient = true; /* to sleep at once is what is tested */
    if (with_poller)
        assert_int_equal(idle_poller(idle, &poller, &error), STATUS_OK);
}

static void run_traffic(struct traffic *traffic, uint32_t block_bytes, uint32_t block_count, unsigned pollers)
{
    struct idle_crowd crowd = {.processor_count = 2};
    traffic->edge = edge_new(block_bytes, block_count);
    open_idle(&traffic->producer_idle, &crowd, (pollers & 1) != 0);
    open_idle(&traffic->consumer_idle, &crowd, (pollers & 2) != 0);
    traffic->edge->producer_idle = &traffic->producer_idle;
    traffic->edge->consumer_idle = &traffic->consumer_idle;
    pthread_t consumer;
    assert_int_equal(pthread_create(&consumer, NULL, consume, traffic), 0);
    produce(traffic);
    assert_int_equal(pthread_join(consumer, NULL), 0);
    assert_int_equal(traffic->fault_count, 0);
    assert_int_equal(traffic->taken_count, traffic->message_count);
    assert_int_equal(edge_in_flight(traffic->edge), 0);
    assert_true(edge_has_ended(traffic->edge));
    assert_int_equal(atomic_load(&crowd.awake_count), 0);
    idle_close(&traffic->producer_idle);
    idle_close(&traffic->consumer_idle);
    edge_free(&traffic->edge);
}

static void test_full_speed(void **state)
{
    (void)state;
    struct traffic traffic = {.message_count = 1000000, .burst_count = 256};
    run_traffic(&traffic, EDGE_BLOCK_BYTES, EDGE_BLOCK_COUNT, 0);
}

static void test_runs(void **state)
{
    (void)state;
    struct traffic traffic = {.message_count = 300000, .burst_count = 512, .runs = true};
    run_traffic(&traffic, 256, EDGE_BLOCK_COUNT, 0);
}

static void test_long_messages_between(void **state)
{
    (void)state;
    struct traffic traffic = {.message_count = 100000, .burst_count = 64, .long_every = 500};
    run_traffic(&traffic, EDGE_BLOCK_BYTES, EDGE_BLOCK_COUNT, 3);
}

/* Few and small blocks: both ends run into each other all the time. */
static void test_small_edge(void **state)
{
    (void)state;
    for (unsigned pollers = 0; pollers < 4; pollers++) {
        struct traffic traffic = {.message_count = 40000, .burst_count = 5};
        run_traffic(&traffic, 256, EDGE_RETURN_COUNT + 1, pollers);
    }
}

static void test_slow_producer(void **state)
{
    (void)state;
    for (unsigned pollers = 0; pollers < 4; pollers += 2) {
        struct traffic traffic = {.message_count = 3000, .burst_count = 1, .slow_producer = true};
        run_traffic(&traffic, EDGE_BLOCK_BYTES, EDGE_BLOCK_COUNT, pollers);
    }
}

static void test_slow_consumer(void **state)
{
    (void)state;
    for (unsigned pollers = 0; pollers < 2; pollers++) {
        struct traffic traffic = {.message_count = 100000, .burst_count = 64, .slow_consumer = true};
        run_traffic(&traffic, 2048, EDGE_BLOCK_COUNT, pollers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_speed),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_long_messages_between),
        cmocka_unit_test(test_small_edge),
        cmocka_unit_test(test_slow_producer),
        cmocka_unit_test(test_slow_consumer),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
