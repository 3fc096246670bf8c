/* Blocks that go from edge to edge, and through a store, whole: order, counts, times, memory; on one thread and three.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/edge.h"
#include "engine/message_store.h"
#include "engine/random.h"

enum { BLOCK_BYTES = 512, BLOCK_COUNT = EDGE_RETURN_COUNT + 4, MESSAGE_COUNT = 60000 };

/* Message n says n, and its length follows from n; each 97th does not fit into a block. */
static uint32_t length_of(uint64_t number)
{
    return number % 97 == 96 ? 4000 : (uint32_t)(8 + number * 31 % 150);
}

static void emit(struct edge *edge, uint64_t number, int64_t time_ns)
{
    uint32_t length = length_of(number);
    struct message *message = edge_reserve(edge, length);
    memset(message->text, (int)(number & 0xff), length);
    memcpy(message->text, &number, sizeof number);
    edge_commit(edge, message, length, time_ns);
}

static bool is_message(const struct message *message, uint64_t number)
{
    uint64_t said;
    memcpy(&said, message->text, sizeof said);
    return message->length == length_of(number) && said == number &&
           message->text[message->length - 1] == (unsigned char)(message->length > 8 ? number & 0xff : 0);
}

/* Hands on what is there: blocks where that can be, else messages. Each is emitted anew at its count among those moved.
 */
static void move(struct edge *from, struct edge *to, struct random_state *random, uint64_t *moved)
{
    for (;;) {
        uint32_t count = random_below(random, 4) != 0 ? edge_forward_block(from, to, (int64_t)*moved + 1) : 0;
        if (count == 0) {
            const struct message *message = edge_has_room(to) ? edge_peek(from) : NULL;
            if (message == NULL)
                break;
            edge_emit(to, message->text, message->length, (int64_t)*moved + 1);
            edge_pop(from);
            count = 1;
        }
        *moved += count;
    }
    edge_settle(from);
    edge_flush(to);
}

static uint64_t take_all(struct edge *edge, uint64_t taken)
{
    const struct message *message;
    while ((message = edge_peek(edge)) != NULL) {
        if (!is_message(message, taken))
            fail_msg("message %llu is not what was sent", (unsigned long long)taken);
        int64_t time_ns = block_message_time_ns(edge->cursor.block, message);
        if (time_ns < 1 || time_ns > (int64_t)taken + 1)
            fail_msg("message %llu has the time of another", (unsigned long long)taken);
        edge_pop(edge);
        taken++;
    }
    edge_settle(edge);
    return taken;
}

static void test_forward_keeps_order_and_counts(void **state)
{
    (void)state;
    struct edge *edges[] = {edge_new(BLOCK_BYTES, BLOCK_COUNT), edge_new(BLOCK_BYTES, BLOCK_COUNT),
                            edge_new(BLOCK_BYTES, BLOCK_COUNT)};
    struct random_state random;
    random_seed(&random, 7);
    uint64_t sent = 0;
    uint64_t moved[2] = {0, 0};
    uint64_t taken = 0;
    while (taken < MESSAGE_COUNT) {
        for (uint64_t i = random_below(&random, 60); i > 0 && sent < MESSAGE_COUNT && edge_has_room(edges[0]); i--)
            emit(edges[0], sent++, INT64_MAX / 2); /* a time that only a hand-over replaces */
        edge_flush(edges[0]);
        if (random_below(&random, 3) != 0)
            move(edges[0], edges[1], &random, &moved[0]);
        if (random_below(&random, 3) != 0)
            move(edges[1], edges[2], &random, &moved[1]);
        if (random_below(&random, 2) != 0)
            taken = take_all(edges[2], taken);
        assert_int_equal(edge_in_flight(edges[0]), sent - moved[0]);
        assert_int_equal(edge_in_flight(edges[1]), moved[0] - moved[1]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(edge_in_flight(edges[i]), 0);
        edge_free(&edges[i]);
    }
}

static void test_peek_block_is_for_whole_and_full_ones(void **state)
{
    (void)state;
    struct edge *edge = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    edge_emit(edge, "a", 1, 1);
    edge_flush(edge);
    assert_null(edge_peek_block(edge)); /* too little to be worth it */
    edge_pop(edge);
    for (unsigned i = 0; i < 6; i++)
        edge_emit(edge, "0123456789abcdef", 16, 1);
    edge_flush(edge);
    assert_non_null(edge_peek_block(edge));
    edge_peek(edge);
    edge_pop(edge);
    assert_null(edge_peek_block(edge)); /* read in part */
    edge_free(&edge);
}

static void test_times(void **state)
{
    (void)state;
    struct edge *from = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    struct edge *to = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    for (int64_t i = 0; i < 8; i++)
        edge_emit(from, "0123456789abcdef", 16, 10 + i);
    edge_flush(from);
    const struct message *message = edge_peek(from);
    assert_int_equal(from->cursor.block->times, BLOCK_TIMES_ASCEND);
    assert_int_equal(block_message_time_ns(from->cursor.block, message), 10);
    assert_int_equal(edge_forward_block(from, to, 50), 8);
    edge_flush(to);
    assert_non_null(edge_peek(to));
    assert_false(block_has_room(to->cursor.block, 0)); /* its messages say other times than it does */
    /* Copied out of the block, in two parts, its messages keep the time that the block has. */
    struct block *copy = block_new(BLOCK_BYTES);
    struct block_cursor *cursor = edge_read(to);
    assert_int_equal(block_copy_messages(copy, cursor, 3), 3);
    assert_int_equal(block_copy_messages(copy, cursor, 9), 5);
    assert_int_equal(copy->time_ns, 50);
    uint32_t offset = 0;
    for (unsigned i = 0; i < 8; i++) {
        message = block_message_at(copy, offset);
        assert_int_equal(message->time_ns, 50);
        offset += message_record_bytes(message->length);
    }
    block_free(&copy);
    edge_free(&from);
    edge_free(&to);
}

/* ---- through a store ---- */

static void into_store(struct message_store *store, struct edge *edge, struct random_state *random, uint64_t *moved)
{
    struct block_cursor *cursor;
    while ((cursor = edge_read(edge)) != NULL) {
        struct block *block = random_below(random, 3) != 0 ? edge_peek_block(edge) : NULL;
        uint32_t count = block != NULL ? block->message_count : 0;
        struct block *empty = block != NULL ? message_store_take_block(store, block, MESSAGE_COUNT, UINT64_MAX) : NULL;
        if (empty != NULL)
            edge_exchange_block(edge, count, empty);
        else
            count = (uint32_t)message_store_append_run(store, cursor, MESSAGE_COUNT, UINT64_MAX);
        *moved += count;
    }
    edge_settle(edge);
}

static void out_of_store(struct message_store *store, struct edge *edge, struct random_state *random)
{
    while (store->message_count > 0 && edge_has_room(edge)) {
        struct block *block = random_below(random, 3) != 0 ? message_store_peek_block(store) : NULL;
        if (block != NULL && block->inline_bytes == BLOCK_BYTES && edge_can_give_block(edge)) {
            message_store_keep(store, edge_give_block(edge, message_store_remove_block(store)));
            continue;
        }
        struct block_cursor *cursor = message_store_cursor(store);
        uint32_t offset = cursor->offset;
        uint32_t count = edge_emit_run(edge, cursor, 1 + (uint32_t)random_below(random, 9));
        message_store_taken(store, count, cursor->offset - offset);
    }
    edge_flush(edge);
}

static void test_store_between_edges(void **state)
{
    (void)state;
    struct edge *in = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    struct edge *out = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    struct message_store store = {0};
    struct random_state random;
    random_seed(&random, 11);
    uint64_t sent = 0;
    uint64_t moved = 0;
    uint64_t taken = 0;
    while (taken < MESSAGE_COUNT) {
        for (uint64_t i = random_below(&random, 60); i > 0 && sent < MESSAGE_COUNT && edge_has_room(in); i--) {
            emit(in, sent, 1);
            sent++;
        }
        edge_flush(in);
        into_store(&store, in, &random, &moved);
        assert_int_equal(store.message_count + edge_in_flight(out) + taken, moved);
        if (random_below(&random, 50) == 0 || sent == MESSAGE_COUNT) /* deep and empty in turn */
            do {
                out_of_store(&store, out, &random);
                taken = take_all(out, taken);
            } while (store.message_count > 0);
    }
    assert_int_equal(store.record_bytes, 0);
    assert_int_equal(store.block_bytes, 0);
    message_store_free(&store);
    edge_free(&in);
    edge_free(&out);
}

/* An edge with one block, of eight messages and 256 bytes, at its consumer. */
static struct edge *edge_with_block(void)
{
    struct edge *edge = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    for (unsigned i = 0; i < 8; i++)
        edge_emit(edge, "0123456789abcdef", 16, 1);
    edge_flush(edge);
    assert_non_null(edge_peek_block(edge));
    return edge;
}

static void test_store_refuses_blocks_beyond_limits(void **state)
{
    (void)state;
    struct edge *edge = edge_with_block();
    struct block *block = edge_peek_block(edge);
    struct message_store store = {0};
    assert_null(message_store_take_block(&store, block, 7, UINT64_MAX));
    assert_null(message_store_take_block(&store, block, 8, 255));
    struct block *empty = message_store_take_block(&store, block, 8, 256);
    assert_non_null(empty);
    edge_exchange_block(edge, 8, empty);
    assert_int_equal(store.message_count, 8);
    message_store_free(&store);
    edge_free(&edge);
}

/* A block that was handed on is another thread's, which may free it. */
static void test_store_does_not_look_at_a_block_that_has_left(void **state)
{
    (void)state;
    struct edge *edge = edge_with_block();
    struct message_store store = {0};
    struct block *empty = message_store_take_block(&store, edge_peek_block(edge), 8, 256);
    assert_non_null(empty);
    edge_exchange_block(edge, 8, empty);
    assert_non_null(message_store_peek_block(&store));
    struct block *block = message_store_remove_block(&store);
    memset(block, 0xff, sizeof *block); /* as memory that was freed may look */
    message_store_keep(&store, block_new(BLOCK_BYTES));
    assert_int_equal(store.message_count + store.record_bytes + store.block_bytes, 0);
    assert_null(message_store_peek_block(&store));
    free(block);
    message_store_free(&store);
    edge_free(&edge);
}

/* ---- three threads ---- */

struct line {
    struct edge *first;
    struct edge *second;
};

static void *produce(void *argument)
{
    struct line *line = argument;
    for (uint64_t sent = 0; sent < MESSAGE_COUNT;) {
        if (!edge_has_room(line->first)) {
            edge_flush(line->first);
            sched_yield();
            continue;
        }
        emit(line->first, sent++, INT64_MAX / 2);
        if (sent % 11 == 0)
            edge_flush(line->first);
    }
    while (!edge_flush(line->first))
        sched_yield();
    edge_end(line->first);
    return NULL;
}

static void *hand_on(void *argument)
{
    struct line *line = argument;
    struct random_state random;
    uint64_t moved = 0;
    random_seed(&random, 3);
    while (!edge_has_ended(line->first) || moved < MESSAGE_COUNT) {
        uint64_t before = moved;
        move(line->first, line->second, &random, &moved);
        if (moved == before)
            sched_yield();
    }
    while (!edge_flush(line->second))
        sched_yield();
    edge_end(line->second);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct line line = {.first = edge_new(BLOCK_BYTES, BLOCK_COUNT), .second = edge_new(BLOCK_BYTES, BLOCK_COUNT)};
    pthread_t producer;
    pthread_t middle;
    assert_int_equal(pthread_create(&producer, NULL, produce, &line), 0);
    assert_int_equal(pthread_create(&middle, NULL, hand_on, &line), 0);
    uint64_t taken = 0;
    while (!edge_has_ended(line.second)) {
        uint64_t before = taken;
        taken = take_all(line.second, taken);
        if (taken == before)
            sched_yield();
    }
    assert_int_equal(taken, MESSAGE_COUNT);
    pthread_join(producer, NULL);
    pthread_join(middle, NULL);
    edge_free(&line.first);
    edge_free(&line.second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_keeps_order_and_counts),
        cmocka_unit_test(test_peek_block_is_for_whole_and_full_ones),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_store_between_edges),
        cmocka_unit_test(test_store_refuses_blocks_beyond_limits),
        cmocka_unit_test(test_store_does_not_look_at_a_block_that_has_left),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
