/* dispatch.c: who gets what a queue has, and how much of it. Edges are read by the test, time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "nodes/dispatch.h"
#include "nodes/node_types.h"
#include "nodes/worker/worker_config.h"

enum { CONSUMER_MAX = 4, RECORD_BYTES = 24 };

/* A node with nothing but outputs, what it dispatches, and the consumers' ends. */
struct fixture {
    struct node node;
    struct node_stats stats;
    struct port outputs[CONSUMER_MAX];
    struct dispatch dispatch;
    struct message_store store;
    uint64_t put_count;
    int64_t now_ns;
};

/* With a `peer`: each consumer is a node like that. */
static struct fixture *open_fixture_of(size_t consumer_count, const struct node *peer)
{
    struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, sizeof *fixture);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    fixture->now_ns = 1000 * NS_PER_S;
    fixture->node.stats = &fixture->stats;
    fixture->node.outputs = fixture->outputs;
    fixture->node.output_count = consumer_count;
    for (size_t i = 0; i < consumer_count; i++)
        fixture->outputs[i] = (struct port){.edge = edge_new(EDGE_BLOCK_BYTES, EDGE_BLOCK_COUNT), .peer = peer};
    dispatch_open(&fixture->dispatch, &fixture->node);
    return fixture;
}

static struct fixture *open_fixture(size_t consumer_count)
{
    return open_fixture_of(consumer_count, NULL);
}

static void close_fixture(struct fixture *fixture)
{
    dispatch_close(&fixture->dispatch);
    message_store_free(&fixture->store);
    for (size_t i = 0; i < fixture->node.output_count; i++)
        edge_free(&fixture->outputs[i].edge);
    free(fixture);
}

/* Numbers, each put `age_ns` ago. */
static void fill(struct fixture *fixture, uint64_t count, int64_t age_ns)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = fixture->put_count++;
        message_store_append(&fixture->store, &number, sizeof number, fixture->now_ns - age_ns);
    }
}

static uint64_t dispatch(struct fixture *fixture)
{
    uint64_t before = fixture->store.message_count;
    uint64_t out_before = stats_get(&fixture->stats.out_count);
    uint64_t given = dispatch_messages(&fixture->dispatch, &fixture->store, UINT64_MAX, fixture->now_ns);
    assert_true(before - fixture->store.message_count == given);
    assert_true(stats_get(&fixture->stats.out_count) - out_before == given);
    return given;
}

/* Takes at most `most` messages; their numbers rise. Returns how many. */
static uint64_t consume(struct fixture *fixture, size_t consumer, uint64_t most)
{
    struct edge *edge = fixture->outputs[consumer].edge;
    uint64_t taken = 0;
    uint64_t last = 0;
    const struct message *message;
    while (taken < most && (message = edge_peek(edge)) != NULL) {
        uint64_t number;
        memcpy(&number, message->text, sizeof number);
        assert_true(taken == 0 || number > last);
        last = number;
        edge_pop(edge);
        taken++;
    }
    edge_settle(edge);
    return taken;
}

static uint64_t in_flight(const struct fixture *fixture, size_t consumer)
{
    return edge_in_flight(fixture->outputs[consumer].edge);
}

/* ---- nothing ---- */

static void test_nothing_to_give(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    assert_true(dispatch(fixture) == 0);
    assert_true(consume(fixture, 0, UINT64_MAX) == 0);
    close_fixture(fixture);
}

static void test_nobody_to_give_to(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(0);
    fill(fixture, 10, 0);
    assert_true(dispatch(fixture) == 0);
    assert_true(fixture->store.message_count == 10);
    close_fixture(fixture);
}

/* ---- order and shares ---- */

static void test_one_consumer_gets_all_in_order_at_once(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1);
    uint64_t expected = 0;
    for (unsigned round = 0; round < 2000; round++) {
        fill(fixture, 1 + round % 7, 0);
        dispatch(fixture);
        struct edge *edge = fixture->outputs[0].edge;
        const struct message *message;
        while ((message = edge_peek(edge)) != NULL) { /* published, not only emitted */
            uint64_t number;
            memcpy(&number, message->text, sizeof number);
            assert_true(number == expected++);
            edge_pop(edge);
        }
        edge_settle(edge);
        fixture->now_ns += NS_PER_MS;
    }
    assert_true(expected == fixture->put_count && fixture->store.message_count == 0);
    close_fixture(fixture);
}

static void test_each_gets_its_share(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(3);
    fill(fixture, 30, 0);
    assert_true(dispatch(fixture) == 30);
    for (size_t i = 0; i < 3; i++)
        assert_true(in_flight(fixture, i) == 10);
    fill(fixture, 4, 0);
    assert_true(dispatch(fixture) == 4);
    for (size_t i = 0; i < 3; i++)
        assert_in_range(consume(fixture, i, UINT64_MAX), 10, 12);
    close_fixture(fixture);
}

/* What comes one by one goes round, too. */
static void test_single_messages_go_round(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(4);
    uint64_t taken[4] = {0};
    for (unsigned i = 0; i < 400; i++) {
        fill(fixture, 1, 0);
        assert_true(dispatch(fixture) == 1);
        for (size_t j = 0; j < 4; j++)
            taken[j] += consume(fixture, j, UINT64_MAX);
        fixture->now_ns += NS_PER_US;
    }
    for (size_t j = 0; j < 4; j++)
        assert_true(taken[j] == 100);
    close_fixture(fixture);
}

/* Equally fast consumers of a full queue get equally much. */
static void test_equals_get_the_same(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(3);
    uint64_t taken[3] = {0};
    for (unsigned i = 0; i < 300; i++) {
        fill(fixture, 1000, 0);
        dispatch(fixture);
        for (size_t j = 0; j < 3; j++)
            taken[j] += consume(fixture, j, UINT64_MAX);
        fixture->now_ns += NS_PER_MS;
    }
    uint64_t all = taken[0] + taken[1] + taken[2];
    assert_true(all > 250000);
    for (size_t j = 0; j < 3; j++)
        assert_in_range(taken[j], all / 3 - all / 20, all / 3 + all / 20);
    close_fixture(fixture);
}

/* ---- the slow and the fast ---- */

static void test_one_that_takes_nothing_gets_little(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    uint64_t fast = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fill(fixture, 100, 0);
        dispatch(fixture);
        fast += consume(fixture, 0, UINT64_MAX);
        assert_true(in_flight(fixture, 1) <= DISPATCH_AHEAD_MIN);
        fixture->now_ns += NS_PER_MS;
    }
    assert_true(in_flight(fixture, 1) == DISPATCH_AHEAD_MIN);
    assert_true(fast + fixture->store.message_count == fixture->put_count - DISPATCH_AHEAD_MIN);
    assert_true(fixture->store.message_count <= 100); /* the fast one is not held up */
    close_fixture(fixture);
}

/* The faster it is, the more it may hold; at most what it does in some 20 ms. */
static void test_a_fast_one_gets_more(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1);
    fill(fixture, 200000, 0);
    uint64_t first = dispatch(fixture);
    assert_true(first == DISPATCH_AHEAD_MIN);
    uint64_t most = first;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(consume(fixture, 0, UINT64_MAX) > 0);
        fixture->now_ns += NS_PER_MS;
        uint64_t given = dispatch(fixture);
        most = given > most ? given : most;
    }
    assert_true(most >= 2048);
    close_fixture(fixture);
}

/* Ten a millisecond: 200 in 20 ms. */
static void test_how_much_follows_the_pace(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1);
    fill(fixture, 100000, 0);
    uint64_t held_most = 0;
    dispatch(fixture);
    for (unsigned i = 0; i < 4000; i++) {
        consume(fixture, 0, 10);
        fixture->now_ns += NS_PER_MS;
        dispatch(fixture);
        if (i > 2000)
            held_most = in_flight(fixture, 0) > held_most ? in_flight(fixture, 0) : held_most;
    }
    /* Progress is seen a block at a time, hence the room. */
    assert_in_range(held_most, 150, 1000);
    close_fixture(fixture);
}

/* One that was fast and stops is given no more than it was promised, and then as little as any slow one. */
static void test_one_that_becomes_slow(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    fill(fixture, 400000, 0);
    for (unsigned i = 0; i < 20; i++) {
        dispatch(fixture);
        consume(fixture, 0, UINT64_MAX);
        consume(fixture, 1, UINT64_MAX);
        fixture->now_ns += NS_PER_MS;
    }
    /* Consumer 0 now takes a message each 50 ms. What it has lasts for long; it gets no more. */
    dispatch(fixture);
    consume(fixture, 1, UINT64_MAX);
    uint64_t emitted = 0;
    uint64_t taken = 0;
    for (unsigned i = 0; i < 20000; i++) {
        fixture->now_ns += 50 * NS_PER_MS;
        taken += consume(fixture, 0, 1);
        consume(fixture, 1, UINT64_MAX);
        if (fixture->store.message_count < 20000)
            fill(fixture, 20000, 0);
        emitted = atomic_load(&fixture->outputs[0].edge->emitted_count);
        dispatch(fixture);
        if (taken > 1000 && atomic_load(&fixture->outputs[0].edge->emitted_count) > emitted)
            break;
    }
    /* It had to come down to a slow one's share before it got anything. */
    assert_true(taken > 1000);
    assert_in_range(in_flight(fixture, 0), 0, 2 * DISPATCH_AHEAD_MIN + EDGE_BLOCK_BYTES / RECORD_BYTES);
    close_fixture(fixture);
}

/* One that did 100 a millisecond and then stops is given what that pace promised, and no more; the other one gets the
 * rest. */
static void test_one_that_stops(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    for (unsigned i = 0; i < 200; i++) {
        fill(fixture, 1000, 0);
        dispatch(fixture);
        consume(fixture, 0, 100);
        consume(fixture, 1, UINT64_MAX);
        fixture->now_ns += NS_PER_MS;
    }
    uint64_t before = atomic_load(&fixture->outputs[0].edge->emitted_count);
    for (unsigned i = 0; i < 200; i++) {
        fill(fixture, 1000, 0);
        dispatch(fixture);
        consume(fixture, 1, UINT64_MAX);
        fixture->now_ns += NS_PER_MS;
    }
    uint64_t after = atomic_load(&fixture->outputs[0].edge->emitted_count);
    assert_true(after - before <= 3000);
    assert_true(in_flight(fixture, 0) <= 3000);
    assert_true(fixture->store.message_count <= 2000);
    close_fixture(fixture);
}

/* Long messages fill an edge's blocks before the share is used up. */
static void test_one_without_room(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    static char text[EDGE_BLOCK_BYTES - 64];
    for (unsigned i = 0; i < 200; i++)
        message_store_append(&fixture->store, text, sizeof text, fixture->now_ns);
    uint64_t taken = 0;
    for (unsigned i = 0; i < 1000 && fixture->store.message_count > 0; i++) {
        dispatch(fixture);
        struct edge *edge = fixture->outputs[1].edge;
        while (edge_peek(edge) != NULL) {
            edge_pop(edge);
            taken++;
        }
        edge_settle(edge);
        fixture->now_ns += NS_PER_MS;
        assert_true(in_flight(fixture, 0) <= EDGE_BLOCK_COUNT);
    }
    assert_true(taken + in_flight(fixture, 0) == 200);
    assert_true(fixture->store.message_count == 0);
    close_fixture(fixture);
}

static void test_a_batch_is_bounded(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    fill(fixture, 100000, 0);
    for (unsigned i = 0; i < 30; i++) {
        uint64_t most = 2 * EDGE_BLOCK_COUNT * (EDGE_BLOCK_BYTES / RECORD_BYTES);
        assert_true(dispatch(fixture) <= most);
        consume(fixture, 0, UINT64_MAX);
        consume(fixture, 1, UINT64_MAX);
        fixture->now_ns += 1;
        fill(fixture, 10000, 0);
    }
    close_fixture(fixture);
}

/* ---- latency ---- */

static void test_latency_is_from_put_to_now(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2);
    static const int64_t ages_ns[] = {50, 50, 50, 7 * NS_PER_US, 7 * NS_PER_US, 3 * NS_PER_MS, 20 * NS_PER_S, 0, 50};
    uint64_t sum_ns = 0;
    for (size_t i = 0; i < sizeof ages_ns / sizeof ages_ns[0]; i++) {
        fill(fixture, 1, ages_ns[i]);
        sum_ns += (uint64_t)ages_ns[i];
    }
    assert_true(dispatch(fixture) == 9);
    struct histogram_copy latency;
    histogram_read(&fixture->stats.latency, &latency);
    assert_true(histogram_count(&latency) == 9);
    uint64_t found_ns = 0;
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++)
        found_ns += latency.sum_ns[decade];
    assert_true(found_ns == sum_ns);
    assert_true(histogram_decade_count(&latency, 0) == 1);  /* 0 ns */
    assert_true(histogram_decade_count(&latency, 1) == 4);  /* 50 ns */
    assert_true(histogram_decade_count(&latency, 3) == 2);  /* 7 us */
    assert_true(histogram_decade_count(&latency, 6) == 1);  /* 3 ms */
    assert_true(histogram_decade_count(&latency, 10) == 1); /* 20 s */
    /* What is not given is not counted. */
    struct fixture *full = open_fixture(1);
    fill(full, 1000, 5);
    uint64_t given = dispatch(full);
    histogram_read(&full->stats.latency, &latency);
    assert_true(histogram_count(&latency) == given && given < 1000);
    close_fixture(full);
    close_fixture(fixture);
}

/* The time of putting goes on with the message. */
static void test_messages_keep_their_time(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1);
    fill(fixture, 3, 77);
    dispatch(fixture);
    const struct message *message = edge_peek(fixture->outputs[0].edge);
    assert_non_null(message);
    assert_true(message->time_ns == fixture->now_ns - 77);
    close_fixture(fixture);
}

/* ---- an order of replicas ---- */

static struct fixture *open_replicas(struct node *peer, struct worker_config *config, size_t count)
{
    config->replica_count = count;
    *peer = (struct node){.type = &worker_type, .config = config};
    return open_fixture_of(count, peer);
}

static void put_text(struct fixture *fixture, const char *key, unsigned number)
{
    char text[64];
    int length = snprintf(text, sizeof text, "35=D\00155=%s\00111=%u\001", key, number);
    message_store_append(&fixture->store, text, (uint32_t)length, fixture->now_ns);
}

/* Each key has one replica and its numbers rise there; all keys together have more than one. */
static void test_order_by_key(void **state)
{
    (void)state;
    enum { KEYS = 26, ROUNDS = 200 };
    struct node peer;
    struct worker_config config = {.order = ORDER_KEY, .order_key = "fix:55"};
    struct fixture *fixture = open_replicas(&peer, &config, 3);
    unsigned next[KEYS] = {0};
    size_t home[KEYS];
    size_t used[3] = {0};
    uint64_t got = 0;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < KEYS; i++)
            put_text(fixture, (const char[]){(char)('A' + i), '\0'}, round);
    while (got < (uint64_t)KEYS * ROUNDS) {
        fixture->now_ns += NS_PER_MS;
        dispatch_messages(&fixture->dispatch, &fixture->store, UINT64_MAX, fixture->now_ns);
        uint64_t before = got;
        for (size_t i = 0; i < 3; i++) {
            const struct message *message;
            while ((message = edge_peek(fixture->outputs[i].edge)) != NULL) {
                char key;
                unsigned number;
                char text[64] = "";
                memcpy(text, message->text, message->length);
                assert_int_equal(sscanf(text, "35=D\00155=%c\00111=%u", &key, &number), 2);
                unsigned index = (unsigned)(key - 'A');
                if (number == 0)
                    home[index] = i;
                assert_int_equal(home[index], i);
                assert_int_equal(number, next[index]++);
                used[i]++;
                got++;
                edge_pop(fixture->outputs[i].edge);
            }
            edge_settle(fixture->outputs[i].edge);
        }
        assert_true(got > before);
    }
    assert_true(used[0] > 0 && used[1] > 0 && used[2] > 0);
    close_fixture(fixture);
}

/* A replica that does nothing holds up those behind, who stay in their order. */
static void test_order_by_key_waits(void **state)
{
    (void)state;
    struct node peer;
    struct worker_config config = {.order = ORDER_KEY, .order_key = "symbol"};
    struct fixture *fixture = open_replicas(&peer, &config, 2);
    for (unsigned i = 0; i < 10 * DISPATCH_AHEAD_MIN; i++)
        put_text(fixture, "SAME", i);
    uint64_t given = dispatch_messages(&fixture->dispatch, &fixture->store, UINT64_MAX, fixture->now_ns);
    assert_true(given == DISPATCH_AHEAD_MIN);
    assert_true(dispatch_messages(&fixture->dispatch, &fixture->store, UINT64_MAX, fixture->now_ns) == 0);
    close_fixture(fixture);
}

static void test_order_of_all(void **state)
{
    (void)state;
    struct node peer;
    struct worker_config config = {.order = ORDER_FIFO};
    struct fixture *fixture = open_replicas(&peer, &config, 3);
    for (unsigned i = 0; i < DISPATCH_AHEAD_MIN; i++)
        put_text(fixture, (const char[]){(char)('A' + i % 26), '\0'}, i);
    assert_true(dispatch_messages(&fixture->dispatch, &fixture->store, UINT64_MAX, fixture->now_ns) ==
                DISPATCH_AHEAD_MIN);
    assert_null(edge_peek(fixture->outputs[1].edge));
    assert_null(edge_peek(fixture->outputs[2].edge));
    assert_non_null(edge_peek(fixture->outputs[0].edge));
    close_fixture(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_by_key),
        cmocka_unit_test(test_order_by_key_waits),
        cmocka_unit_test(test_order_of_all),
        cmocka_unit_test(test_nothing_to_give),
        cmocka_unit_test(test_nobody_to_give_to),
        cmocka_unit_test(test_one_consumer_gets_all_in_order_at_once),
        cmocka_unit_test(test_each_gets_its_share),
        cmocka_unit_test(test_single_messages_go_round),
        cmocka_unit_test(test_equals_get_the_same),
        cmocka_unit_test(test_one_that_takes_nothing_gets_little),
        cmocka_unit_test(test_a_fast_one_gets_more),
        cmocka_unit_test(test_how_much_follows_the_pace),
        cmocka_unit_test(test_one_that_becomes_slow),
        cmocka_unit_test(test_one_that_stops),
        cmocka_unit_test(test_one_without_room),
        cmocka_unit_test(test_a_batch_is_bounded),
        cmocka_unit_test(test_latency_is_from_put_to_now),
        cmocka_unit_test(test_messages_keep_their_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
