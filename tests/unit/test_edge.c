/* Edges, both ends on one thread: order, room, what has no room, counts, ends, wake-ups. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/edge.h"

/* A block takes 8 records of 32 bytes. */
enum { BLOCK_BYTES = 256, BLOCK_COUNT = EDGE_RETURN_COUNT + 1, LIMIT_S = 50 };

/* An edge, and which messages went in and came out: message n says "n" and is padded to a length of its own. */
struct line {
    struct edge *edge;
    uint64_t emitted, taken;
    uint32_t (*length_of)(uint64_t number);
};

static uint32_t short_length(uint64_t number)
{
    (void)number;
    return 16; /* a record of 32 bytes */
}

/* 8 bytes to 4 KiB; each 50th does not fit into a block. */
static uint32_t mixed_length(uint64_t number)
{
    return number % 50 == 49 ? (uint32_t)(BLOCK_BYTES + number % 4000) : (uint32_t)(8 + number * 37 % 200);
}

static void fill_text(unsigned char *text, uint64_t number, uint32_t length)
{
    memset(text, (int)('a' + number % 26), length);
    memcpy(text, &number, sizeof number);
}

static void open_line(struct line *line, uint32_t block_count, uint32_t (*length_of)(uint64_t))
{
    *line = (struct line){.edge = edge_new(BLOCK_BYTES, block_count), .length_of = length_of};
}

static void emit_next(struct line *line)
{
    uint32_t length = line->length_of(line->emitted);
    struct message *message = edge_reserve(line->edge, length);
    assert_non_null(message);
    fill_text(message->text, line->emitted, length);
    edge_commit(line->edge, message, length, (int64_t)line->emitted * 3);
    line->emitted++;
}

static void expect_message(const struct message *message, uint64_t number, uint32_t length)
{
    static unsigned char text[1 << 20];
    assert_non_null(message);
    assert_int_equal(message->length, length);
    assert_true(message->time_ns == (int64_t)number * 3);
    fill_text(text, number, length);
    assert_memory_equal(message->text, text, length);
}

static void take_next(struct line *line)
{
    expect_message(edge_peek(line->edge), line->taken, line->length_of(line->taken));
    edge_pop(line->edge);
    line->taken++;
}

/* Takes what is there. */
static void take_all(struct line *line)
{
    while (edge_peek(line->edge) != NULL)
        take_next(line);
    edge_settle(line->edge);
}

/* Until everything emitted has come out; the count of rounds bounds it. */
static void drain(struct line *line)
{
    for (int rounds = 0; rounds < 100000 && line->taken < line->emitted; rounds++) {
        edge_flush(line->edge);
        take_all(line);
    }
    assert_int_equal(line->taken, line->emitted);
    assert_null(edge_peek(line->edge));
    assert_true(edge_flush(line->edge));
    assert_int_equal(edge_in_flight(line->edge), 0);
}

static void close_line(struct line *line)
{
    edge_free(&line->edge);
    assert_null(line->edge);
    edge_free(&line->edge);
}

static void test_empty(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    assert_null(edge_peek(line.edge));
    assert_null(edge_read(line.edge));
    edge_settle(line.edge);
    edge_consumer_rests(line.edge);
    assert_true(edge_has_room(line.edge));
    assert_true(edge_flush(line.edge));
    assert_false(edge_has_ended(line.edge));
    assert_int_equal(edge_in_flight(line.edge), 0);
    close_line(&line);
}

static void test_flush_makes_visible(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    emit_next(&line);
    emit_next(&line);
    assert_null(edge_peek(line.edge)); /* not yet */
    assert_int_equal(edge_in_flight(line.edge), 2);
    assert_true(edge_flush(line.edge));
    take_next(&line);
    assert_int_equal(edge_in_flight(line.edge), 2); /* what it causes is not yet known to be emitted */
    edge_settle(line.edge);
    assert_int_equal(edge_in_flight(line.edge), 1);
    take_next(&line);
    assert_int_equal(edge_in_flight(line.edge), 1);
    edge_settle(line.edge);
    assert_int_equal(edge_in_flight(line.edge), 0);
    assert_null(edge_peek(line.edge));
    close_line(&line);
}

static void test_full_block_goes_by_itself(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    for (int i = 0; i < 8; i++)
        emit_next(&line);
    assert_null(edge_peek(line.edge));
    emit_next(&line); /* has no room in the first block */
    for (int i = 0; i < 8; i++)
        take_next(&line);
    assert_null(edge_peek(line.edge));
    assert_int_equal(edge_in_flight(line.edge), 1); /* that peek has settled */
    drain(&line);
    close_line(&line);
}

static void test_a_message_stays_until_the_next_peek(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    emit_next(&line);
    edge_flush(line.edge);
    const struct message *message = edge_peek(line.edge);
    edge_pop(line.edge);
    for (int i = 0; i < 200; i++) /* all blocks are filled meanwhile, not that one */
        emit_next(&line);
    expect_message(message, 0, 16);
    line.taken = 1;
    drain(&line);
    close_line(&line);
}

static void test_last_empty_block_is_filled_first(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    for (int i = 0; i < BLOCK_COUNT - 1; i++) {
        emit_next(&line);
        assert_true(edge_flush(line.edge));
    }
    emit_next(&line);
    assert_false(edge_flush(line.edge)); /* the last block stays open */
    for (int i = 1; i < 8; i++) {
        assert_true(edge_has_room(line.edge));
        emit_next(&line);
        assert_false(edge_flush(line.edge));
    }
    for (int i = 0; i < BLOCK_COUNT - 1; i++)
        take_next(&line);
    assert_null(edge_peek(line.edge));
    assert_true(edge_flush(line.edge)); /* blocks came back: it goes, with all 8 */
    for (int i = 0; i < 8; i++)
        take_next(&line);
    assert_null(edge_peek(line.edge));
    assert_int_equal(edge_in_flight(line.edge), 0);
    close_line(&line);
}

static void fill_until_no_room(struct line *line)
{
    int limit = 10000;
    while (edge_has_room(line->edge) && --limit > 0)
        emit_next(line);
    assert_true(limit > 0);
}

static void test_full(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    fill_until_no_room(&line);
    /* The message that found the last block full had no room any more, and is not lost. */
    assert_int_equal(line.emitted, BLOCK_COUNT * 8 + 1);
    assert_false(edge_has_room(line.edge));
    assert_false(edge_flush(line.edge));
    assert_int_equal(edge_in_flight(line.edge), line.emitted);
    for (int i = 0; i < 8; i++)
        take_next(&line);
    assert_false(edge_has_room(line.edge)); /* that block is not given back yet */
    edge_settle(line.edge);
    assert_false(edge_has_room(line.edge)); /* what had no room comes first */
    assert_true(edge_flush(line.edge));
    drain(&line);
    assert_true(edge_has_room(line.edge));
    close_line(&line);
}

static void test_spill_keeps_order(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, mixed_length);
    for (int i = 0; i < 3000; i++) /* whether there is room or not: some 400 KB, into 2 KB of blocks */
        emit_next(&line);
    assert_int_equal(edge_in_flight(line.edge), 3000);
    assert_false(edge_has_room(line.edge));
    for (int i = 0; i < 10; i++)
        take_next(&line);
    for (int i = 0; i < 500; i++) /* behind those that wait */
        emit_next(&line);
    drain(&line);
    close_line(&line);
}

static void test_freed_with_everything_inside(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, mixed_length);
    for (int i = 0; i < 500; i++)
        emit_next(&line);
    take_next(&line);
    close_line(&line); /* leaks and stale reads are the sanitizer's to find */
}

static uint32_t around_a_block(uint64_t number)
{
    return (uint32_t)(BLOCK_BYTES - 16 - 12 + number % 25); /* up to 12 bytes less or more than fits */
}

static void test_messages_about_a_block_long(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, around_a_block);
    for (int i = 0; i < 100; i++) {
        emit_next(&line);
        edge_flush(line.edge);
        take_all(&line);
        assert_int_equal(line.taken, line.emitted);
        assert_int_equal(edge_in_flight(line.edge), 0);
        assert_true(edge_has_room(line.edge));
    }
    close_line(&line);
}

static uint32_t one_long(uint64_t number)
{
    return number == 3 ? 1 << 20 : 16;
}

static void test_long_message_between_short_ones(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, one_long);
    for (int i = 0; i < 6; i++)
        emit_next(&line);
    assert_true(edge_flush(line.edge)); /* there were blocks enough */
    assert_true(edge_has_room(line.edge));
    for (int i = 0; i < 6; i++)
        take_next(&line);
    drain(&line);
    assert_true(line.edge->used_count > 0);
    for (uint32_t i = 0; i < line.edge->used_count; i++) /* its memory is not kept */
        assert_int_equal(line.edge->used[i]->capacity_bytes, BLOCK_BYTES);
    for (int i = 0; i < 200; i++) /* the block that carried it takes short ones again */
        emit_next(&line);
    drain(&line);
    close_line(&line);
}

static void test_reserved_longer_than_committed(void **state)
{
    (void)state;
    struct edge *edge = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    for (uint64_t i = 0; i < 300; i++) { /* into blocks first, then into buffers */
        struct message *message = edge_reserve(edge, i % 3 == 0 ? 200 : 1000);
        memcpy(message->text, &i, sizeof i);
        edge_commit(edge, message, sizeof i, 1);
    }
    for (uint64_t i = 0; i < 300; i++) {
        const struct message *message = edge_peek(edge);
        if (message == NULL) {
            edge_flush(edge);
            message = edge_peek(edge);
        }
        assert_non_null(message);
        assert_int_equal(message->length, sizeof i);
        assert_memory_equal(message->text, &i, sizeof i);
        edge_pop(edge);
    }
    assert_null(edge_peek(edge));
    assert_int_equal(edge_in_flight(edge), 0);
    edge_free(&edge);
}

static void test_emit(void **state)
{
    (void)state;
    struct edge *edge = edge_new(BLOCK_BYTES, BLOCK_COUNT);
    edge_emit(edge, "a\0b", 3, 5);
    edge_emit(edge, NULL, 0, 6);
    edge_flush(edge);
    const struct message *message = edge_peek(edge);
    assert_int_equal(message->length, 3);
    assert_memory_equal(message->text, "a\0b", 3);
    assert_true(message->time_ns == 5);
    edge_pop(edge);
    message = edge_peek(edge);
    assert_int_equal(message->length, 0);
    assert_true(message->time_ns == 6);
    edge_pop(edge);
    assert_null(edge_peek(edge));
    edge_free(&edge);
}

/* ---- runs ---- */

/* What is in front of `from` goes to `to`, as much as there is room for; as a queue does it. */
static uint32_t move_run(struct line *from, struct line *to, uint32_t count_max)
{
    struct block_cursor *cursor = edge_read(from->edge);
    return cursor == NULL ? 0 : edge_emit_run(to->edge, cursor, count_max);
}

static void test_run_keeps_times_and_counts(void **state)
{
    (void)state;
    struct line from;
    struct line to;
    open_line(&from, BLOCK_COUNT, short_length);
    open_line(&to, BLOCK_COUNT, short_length);
    for (int i = 0; i < 8; i++)
        emit_next(&from);
    edge_flush(from.edge);
    assert_int_equal(move_run(&from, &to, 0), 0);
    assert_int_equal(edge_in_flight(to.edge), 0);
    assert_int_equal(move_run(&from, &to, 3), 3);
    assert_int_equal(edge_in_flight(to.edge), 3);
    from.taken = 3;
    take_next(&from); /* the cursor stands behind what was moved */
    to.emitted = 3;
    edge_flush(to.edge);
    for (int i = 0; i < 3; i++)
        take_next(&to);                             /* checks the times too */
    assert_int_equal(move_run(&from, &to, 100), 4); /* up to the end of the block */
    assert_int_equal(move_run(&from, &to, 100), 0);
    assert_int_equal(edge_in_flight(from.edge), 0);
    close_line(&from);
    close_line(&to);
}

static void test_run_stops_at_no_room(void **state)
{
    (void)state;
    struct line from;
    struct line to;
    open_line(&from, 64, mixed_length);
    open_line(&to, BLOCK_COUNT, mixed_length);
    uint64_t moved = 0;
    for (int i = 0; i < 2000; i++)
        emit_next(&from);
    for (int rounds = 0; rounds < 100000 && to.taken < from.emitted; rounds++) {
        edge_flush(from.edge);
        uint32_t count = move_run(&from, &to, 7);
        assert_true(count <= 7);
        moved += count;
        assert_int_equal(edge_in_flight(to.edge) + to.taken, moved);
        if (rounds % 20 != 0) /* the consumer is slow: the edge fills up again and again */
            continue;
        edge_flush(to.edge);
        for (int i = 0; i < 60 && edge_peek(to.edge) != NULL; i++)
            take_next(&to);
        edge_settle(to.edge);
    }
    assert_int_equal(moved, from.emitted);
    assert_int_equal(to.taken, from.emitted);
    close_line(&from);
    close_line(&to);
}

static void test_run_into_a_full_edge(void **state)
{
    (void)state;
    struct line from;
    struct line to;
    open_line(&from, BLOCK_COUNT, short_length);
    open_line(&to, BLOCK_COUNT, short_length);
    emit_next(&from);
    edge_flush(from.edge);
    fill_until_no_room(&to);
    uint64_t in_flight = edge_in_flight(to.edge);
    assert_int_equal(move_run(&from, &to, 10), 0);
    assert_int_equal(edge_in_flight(to.edge), in_flight);
    take_next(&from); /* it was not touched */
    drain(&to);
    close_line(&from);
    close_line(&to);
}

/* ---- the end ---- */

static void test_end(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    emit_next(&line);
    emit_next(&line);
    assert_true(edge_flush(line.edge));
    assert_false(edge_has_ended(line.edge));
    edge_end(line.edge);
    assert_false(edge_has_ended(line.edge)); /* two are still to be taken */
    take_next(&line);
    assert_false(edge_has_ended(line.edge));
    take_next(&line);
    assert_true(edge_has_ended(line.edge));
    assert_true(edge_has_ended(line.edge));
    assert_int_equal(edge_in_flight(line.edge), 0);
    close_line(&line);
}

static void test_end_of_nothing(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    edge_end(line.edge);
    assert_true(edge_has_ended(line.edge));
    close_line(&line);
}

static void test_end_asked_before_the_last_block_is_seen(void **state)
{
    (void)state;
    struct line line;
    open_line(&line, BLOCK_COUNT, short_length);
    assert_null(edge_peek(line.edge)); /* the consumer looked, and only then comes the last block */
    emit_next(&line);
    edge_flush(line.edge);
    edge_end(line.edge);
    assert_false(edge_has_ended(line.edge));
    take_next(&line);
    assert_true(edge_has_ended(line.edge));
    close_line(&line);
}

/* ---- wake-ups ---- */

static struct idle_crowd crowd = {.processor_count = 1};

static void park(struct idle *idle)
{
    idle_rest(idle, 1, CLOCK_NEVER_NS);
    idle_rest(idle, 1 + NS_PER_S, CLOCK_NEVER_NS);
    assert_true(idle_is_armed(idle));
    assert_int_not_equal(atomic_load(&idle->state), IDLE_AWAKE);
}

static bool is_awake(struct idle *idle)
{
    return atomic_load(&idle->state) == IDLE_AWAKE;
}

static void test_flush_wakes_the_consumer(void **state)
{
    (void)state;
    struct line line;
    struct idle consumer;
    open_line(&line, BLOCK_COUNT, short_length);
    idle_open(&consumer, &crowd);
    line.edge->consumer_idle = &consumer;
    park(&consumer);
    emit_next(&line);
    assert_false(is_awake(&consumer));
    edge_flush(line.edge);
    assert_true(is_awake(&consumer));
    idle_busy(&consumer);
    park(&consumer);
    edge_flush(line.edge); /* nothing new */
    assert_false(is_awake(&consumer));
    for (int i = 0; i < 9; i++) /* a block went by itself */
        emit_next(&line);
    assert_false(is_awake(&consumer)); /* the wake-up is the flush's: one for a whole batch */
    edge_flush(line.edge);
    assert_true(is_awake(&consumer));
    idle_busy(&consumer);
    park(&consumer);
    edge_end(line.edge);
    assert_true(is_awake(&consumer));
    idle_close(&consumer);
    close_line(&line);
}

static void test_long_message_wakes_the_consumer(void **state)
{
    (void)state;
    struct line line;
    struct idle consumer;
    open_line(&line, BLOCK_COUNT, around_a_block);
    idle_open(&consumer, &crowd);
    line.edge->consumer_idle = &consumer;
    line.emitted = line.taken = 24; /* 12 bytes too long for a block */
    emit_next(&line);
    park(&consumer);
    assert_true(edge_flush(line.edge));
    assert_true(is_awake(&consumer));
    take_next(&line);
    idle_close(&consumer);
    close_line(&line);
}

static void take_block(struct line *line)
{
    for (int i = 0; i < 8; i++)
        take_next(line);
    edge_settle(line->edge);
}

static void test_starved_producer_wakes_at_half(void **state)
{
    (void)state;
    enum { COUNT = 32 };
    struct line line;
    struct idle producer;
    open_line(&line, COUNT, short_length);
    idle_open(&producer, &crowd);
    line.edge->producer_idle = &producer;
    fill_until_no_room(&line);
    park(&producer);
    for (int taken = 1; taken < COUNT / 2; taken++) {
        take_block(&line);
        assert_false(is_awake(&producer)); /* more than half of it is full */
    }
    take_block(&line);
    assert_true(is_awake(&producer));
    idle_busy(&producer);
    assert_true(edge_flush(line.edge));
    assert_true(edge_has_room(line.edge));
    park(&producer); /* has no wish now */
    take_all(&line);
    edge_consumer_rests(line.edge);
    assert_false(is_awake(&producer));
    idle_busy(&producer);
    drain(&line);
    idle_close(&producer);
    close_line(&line);
}

static void test_starved_producer_wakes_when_the_consumer_rests(void **state)
{
    (void)state;
    struct line line;
    struct idle producer;
    open_line(&line, 32, short_length);
    idle_open(&producer, &crowd);
    line.edge->producer_idle = &producer;
    fill_until_no_room(&line);
    park(&producer);
    take_block(&line);
    assert_false(is_awake(&producer));
    edge_consumer_rests(line.edge); /* whatever else it waits for, nobody must wait for it */
    assert_true(is_awake(&producer));
    idle_busy(&producer);
    drain(&line);
    idle_close(&producer);
    close_line(&line);
}

/* The producer has room; only its last block waits for others to come back. */
static void test_flush_that_leaves_something_wants_room(void **state)
{
    (void)state;
    struct line line;
    struct idle producer;
    open_line(&line, BLOCK_COUNT, short_length);
    idle_open(&producer, &crowd);
    line.edge->producer_idle = &producer;
    for (int i = 0; i < BLOCK_COUNT; i++) {
        emit_next(&line);
        assert_true(edge_flush(line.edge) == (i < BLOCK_COUNT - 1));
    }
    park(&producer);
    take_all(&line); /* holds fewer than it would give back by itself */
    edge_consumer_rests(line.edge);
    assert_true(is_awake(&producer));
    idle_busy(&producer);
    assert_true(edge_flush(line.edge));
    drain(&line);
    idle_close(&producer);
    close_line(&line);
}

static void test_wish_after_the_consumer_ran_dry(void **state)
{
    (void)state;
    struct line line;
    struct idle producer;
    open_line(&line, BLOCK_COUNT, short_length);
    idle_open(&producer, &crowd);
    line.edge->producer_idle = &producer;
    for (int i = 0; i < BLOCK_COUNT - 2; i++) {
        emit_next(&line);
        edge_flush(line.edge);
    }
    take_all(&line); /* keeps the used blocks: nobody wants them */
    edge_want_room(line.edge);
    park(&producer);
    assert_null(edge_peek(line.edge)); /* a look is enough to give them back */
    assert_true(is_awake(&producer));
    idle_busy(&producer);
    idle_close(&producer);
    close_line(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_flush_makes_visible),
        cmocka_unit_test(test_full_block_goes_by_itself),
        cmocka_unit_test(test_a_message_stays_until_the_next_peek),
        cmocka_unit_test(test_last_empty_block_is_filled_first),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_spill_keeps_order),
        cmocka_unit_test(test_freed_with_everything_inside),
        cmocka_unit_test(test_messages_about_a_block_long),
        cmocka_unit_test(test_long_message_between_short_ones),
        cmocka_unit_test(test_reserved_longer_than_committed),
        cmocka_unit_test(test_emit),
        cmocka_unit_test(test_run_keeps_times_and_counts),
        cmocka_unit_test(test_run_stops_at_no_room),
        cmocka_unit_test(test_run_into_a_full_edge),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_end_of_nothing),
        cmocka_unit_test(test_end_asked_before_the_last_block_is_seen),
        cmocka_unit_test(test_flush_wakes_the_consumer),
        cmocka_unit_test(test_long_message_wakes_the_consumer),
        cmocka_unit_test(test_starved_producer_wakes_at_half),
        cmocka_unit_test(test_starved_producer_wakes_when_the_consumer_rests),
        cmocka_unit_test(test_flush_that_leaves_something_wants_room),
        cmocka_unit_test(test_wish_after_the_consumer_ran_dry),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
