/* message_store.c: order, limits to the message and to the byte, and what the store keeps in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/message_store.h"

enum { TEXT_BYTES = 16, TEXT_RECORD_BYTES = 32, DEEP_COUNT = 1000000 };

/* Above any block that the store makes for short messages. */
enum { LONG_BYTES = 200000 };

static void append_number(struct message_store *store, uint64_t number)
{
    unsigned char text[TEXT_BYTES] = {0};
    memcpy(text, &number, sizeof number);
    message_store_append(store, text, sizeof text, (int64_t)number);
}

/* Takes the oldest, which must be `number`. */
static void take_number(struct message_store *store, uint64_t number)
{
    const struct message *message = message_store_peek(store);
    assert_non_null(message);
    uint64_t found;
    memcpy(&found, message->text, sizeof found);
    assert_true(message->length == TEXT_BYTES && found == number && message->time_ns == (int64_t)number);
    message_store_pop(store);
}

/* What the store has allocated, in bytes. */
static size_t memory_bytes(const struct message_store *store)
{
    size_t bytes = store->slot_count * sizeof(struct block *);
    for (size_t i = 0; i < store->block_count; i++) {
        const struct block *block = store->blocks[(store->first + i) & (store->slot_count - 1)];
        bytes += sizeof(struct block) + block->inline_bytes;
    }
    for (size_t i = 0; i < store->empty_count; i++)
        bytes += sizeof(struct block) + store->empties[i]->inline_bytes;
    return bytes;
}

/* A block with the numbers from `first` on. */
static struct block *number_block(uint64_t first, uint32_t count)
{
    struct block *block = block_new(count * TEXT_RECORD_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        unsigned char text[TEXT_BYTES] = {0};
        uint64_t number = first + i;
        memcpy(text, &number, sizeof number);
        assert_true(block_append(block, text, sizeof text, (int64_t)number));
    }
    return block;
}

/* Counts and bytes go down together and never below what is there. */
static void assert_empty(struct message_store *store)
{
    assert_null(message_store_peek(store));
    assert_null(message_store_cursor(store));
    assert_true(store->message_count == 0);
    assert_true(store->record_bytes == 0);
    assert_true(store->block_count == 0);
}

/* ---- order ---- */

static void test_nothing(void **state)
{
    (void)state;
    struct message_store store = {0};
    assert_empty(&store);
    message_store_free(&store);
    message_store_append(&store, "x", 1, 0); /* freed is as new */
    assert_true(store.message_count == 1);
    message_store_free(&store);
    assert_empty(&store);
}

static void test_texts_come_back_as_they_were(void **state)
{
    (void)state;
    struct message_store store = {0};
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37); /* a NUL among them */
    for (uint32_t length = 0; length <= sizeof bytes; length++)
        message_store_append(&store, length > 0 ? bytes : NULL, length, 1000 + (int64_t)length);
    for (uint32_t length = 0; length <= sizeof bytes; length++) {
        const struct message *message = message_store_peek(&store);
        assert_non_null(message);
        assert_int_equal(message->length, length);
        assert_int_equal(message->time_ns, 1000 + (int64_t)length);
        assert_memory_equal(message->text, bytes, length);
        assert_ptr_equal(message_store_peek(&store), message); /* looking takes nothing */
        message_store_pop(&store);
    }
    assert_empty(&store);
    message_store_free(&store);
}

/* The circular array of blocks goes round, and grows while it has gone round. */
static void test_order_while_it_fills_and_empties(void **state)
{
    (void)state;
    struct message_store store = {0};
    uint64_t put = 0;
    uint64_t taken = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 9000; i++)
            append_number(&store, put++);
        for (unsigned i = 0; i < 6000 + 100 * round; i++)
            take_number(&store, taken++);
        assert_true(store.message_count == put - taken);
        assert_true(store.record_bytes == (put - taken) * TEXT_RECORD_BYTES);
    }
    assert_true(store.slot_count > 16);
    while (taken < put)
        take_number(&store, taken++);
    assert_empty(&store);
    message_store_free(&store);
}

static void test_one_in_one_out_keeps_one_block(void **state)
{
    (void)state;
    struct message_store store = {0};
    for (uint64_t i = 0; i < 50000; i++) {
        append_number(&store, i);
        take_number(&store, i);
        assert_true(store.block_count <= 1);
    }
    assert_empty(&store);
    assert_true(memory_bytes(&store) < 100000);
    message_store_free(&store);
}

/* ---- long messages ---- */

static void test_long_messages_keep_their_place(void **state)
{
    (void)state;
    struct message_store store = {0};
    char *text = malloc(LONG_BYTES);
    assert_non_null(text);
    for (unsigned i = 0; i < 20; i++) {
        memset(text, 'a' + (int)i, LONG_BYTES);
        message_store_append(&store, text, i % 2 == 0 ? LONG_BYTES - i : i, i);
    }
    /* Each long one has a block of its size, and each run of short ones between them one of theirs. */
    assert_true(memory_bytes(&store) <= 10 * (LONG_BYTES + 100) + 10 * 65536 + 1024);
    for (unsigned i = 0; i < 20; i++) {
        const struct message *message = message_store_peek(&store);
        assert_non_null(message);
        assert_int_equal(message->time_ns, i);
        assert_int_equal(message->length, i % 2 == 0 ? LONG_BYTES - i : i);
        memset(text, 'a' + (int)i, LONG_BYTES);
        assert_memory_equal(message->text, text, message->length);
        message_store_pop(&store);
    }
    free(text);
    assert_empty(&store);
    /* Their memory is not kept. */
    assert_true(memory_bytes(&store) < 100000);
    message_store_free(&store);
}

static void test_lengths_around_a_whole_block(void **state)
{
    (void)state;
    struct message_store probe = {0};
    message_store_append(&probe, "x", 1, 0);
    uint32_t whole = probe.blocks[probe.first]->inline_bytes - (uint32_t)sizeof(struct message);
    message_store_free(&probe);

    char *text = calloc(1, whole + 64);
    assert_non_null(text);
    struct message_store store = {0};
    for (uint32_t i = 0; i < 33; i++)
        message_store_append(&store, text, whole - 16 + i, i);
    for (uint32_t i = 0; i < 33; i++) {
        const struct message *message = message_store_peek(&store);
        assert_true(message->length == whole - 16 + i && message->time_ns == i);
        message_store_pop(&store);
    }
    assert_empty(&store);
    message_store_free(&store);
    free(text);
}

/* ---- runs ---- */

static void test_a_run_moves_whole(void **state)
{
    (void)state;
    struct message_store store = {0};
    struct block *block = number_block(0, 5000);
    struct block_cursor cursor = {.block = block};
    assert_true(message_store_append_run(&store, &cursor, UINT64_MAX, UINT64_MAX) == 5000);
    assert_null(block_cursor_peek(&cursor));
    assert_true(message_store_append_run(&store, &cursor, UINT64_MAX, UINT64_MAX) == 0);
    for (uint64_t i = 0; i < 5000; i++)
        take_number(&store, i);
    assert_empty(&store);
    message_store_free(&store);
    block_free(&block);
}

static void test_a_run_stops_at_the_count(void **state)
{
    (void)state;
    struct message_store store = {0};
    struct block *block = number_block(0, 100);
    struct block_cursor cursor = {.block = block};
    assert_true(message_store_append_run(&store, &cursor, 0, UINT64_MAX) == 0);
    assert_true(message_store_append_run(&store, &cursor, 1, UINT64_MAX) == 1);
    assert_true(message_store_append_run(&store, &cursor, 1, UINT64_MAX) == 0); /* of the whole store */
    assert_true(message_store_append_run(&store, &cursor, 99, UINT64_MAX) == 98);
    assert_true(message_store_append_run(&store, &cursor, 99, UINT64_MAX) == 0);
    take_number(&store, 0);
    assert_true(message_store_append_run(&store, &cursor, 99, UINT64_MAX) == 1);
    assert_true(store.message_count == 99);
    for (uint64_t i = 1; i < 100; i++)
        take_number(&store, i);
    assert_empty(&store);
    message_store_free(&store);
    block_free(&block);
}

static void test_a_run_stops_at_the_byte(void **state)
{
    (void)state;
    for (uint64_t limit = TEXT_RECORD_BYTES; limit < 20 * TEXT_RECORD_BYTES; limit++) {
        struct message_store store = {0};
        struct block *block = number_block(0, 19);
        struct block_cursor cursor = {.block = block};
        uint64_t fits = limit / TEXT_RECORD_BYTES;
        assert_true(message_store_append_run(&store, &cursor, UINT64_MAX, limit) == fits);
        assert_true(store.record_bytes == fits * TEXT_RECORD_BYTES && cursor.index == fits);
        /* One message less: room for one more. */
        if (fits < 19) {
            take_number(&store, 0);
            assert_true(message_store_append_run(&store, &cursor, UINT64_MAX, limit) == 1);
        }
        message_store_free(&store);
        block_free(&block);
    }
}

/* Else its sender would wait for ever, and all who stand behind it. */
static void test_an_empty_store_takes_what_is_above_its_limit(void **state)
{
    (void)state;
    struct message_store store = {0};
    struct block *block = number_block(0, 3);
    struct block_cursor cursor = {.block = block};
    assert_true(message_store_append_run(&store, &cursor, 100, TEXT_RECORD_BYTES - 1) == 1);
    assert_false(message_store_has_room(&store, 0, TEXT_RECORD_BYTES - 1));
    assert_true(message_store_append_run(&store, &cursor, 100, TEXT_RECORD_BYTES - 1) == 0);
    take_number(&store, 0);
    assert_true(message_store_has_room(&store, TEXT_BYTES, 0));
    assert_true(message_store_append_run(&store, &cursor, 0, TEXT_RECORD_BYTES - 1) == 0); /* the count is kept to */
    assert_true(message_store_append_run(&store, &cursor, 100, 0) == 1);
    take_number(&store, 1);
    message_store_free(&store);
    block_free(&block);
}

static void test_a_run_of_a_long_message(void **state)
{
    (void)state;
    struct block *block = block_new(message_record_bytes(LONG_BYTES));
    unsigned char *text = calloc(1, LONG_BYTES);
    assert_non_null(text);
    text[LONG_BYTES - 1] = 7;
    assert_true(block_append(block, text, LONG_BYTES, 3));
    struct message_store store = {0};
    append_number(&store, 1);
    struct block_cursor cursor = {.block = block};
    uint64_t needed = TEXT_RECORD_BYTES + message_record_bytes(LONG_BYTES);
    assert_true(message_store_append_run(&store, &cursor, UINT64_MAX, needed - 1) == 0);
    assert_true(message_store_append_run(&store, &cursor, UINT64_MAX, needed) == 1);
    take_number(&store, 1);
    const struct message *message = message_store_peek(&store);
    assert_true(message->length == LONG_BYTES && message->time_ns == 3);
    assert_memory_equal(message->text, text, LONG_BYTES);
    message_store_pop(&store);
    assert_empty(&store);
    free(text);
    message_store_free(&store);
    block_free(&block);
}

static void test_taking_by_the_cursor(void **state)
{
    (void)state;
    struct message_store store = {0};
    for (uint64_t i = 0; i < 10000; i++)
        append_number(&store, i);
    uint64_t expected = 0;
    struct block_cursor *cursor;
    while ((cursor = message_store_cursor(&store)) != NULL) {
        uint64_t count = 0;
        const struct message *message;
        while (count < 70 && (message = block_cursor_peek(cursor)) != NULL) {
            assert_int_equal(message->time_ns, expected++);
            block_cursor_pop(cursor);
            count++;
        }
        assert_true(count > 0);
        message_store_taken(&store, count, count * TEXT_RECORD_BYTES);
    }
    assert_true(expected == 10000);
    assert_empty(&store);
    message_store_free(&store);
}

/* ---- memory ---- */

static void test_a_million_messages_cost_their_text_and_little_more(void **state)
{
    (void)state;
    struct message_store store = {0};
    for (uint64_t i = 0; i < DEEP_COUNT; i++)
        append_number(&store, i);
    assert_true(store.message_count == DEEP_COUNT);
    assert_true(memory_bytes(&store) <= (size_t)DEEP_COUNT * (TEXT_BYTES + 48));
    assert_true(memory_bytes(&store) <= (size_t)DEEP_COUNT * (TEXT_RECORD_BYTES + 1)); /* what the header says */
    for (uint64_t i = 0; i < DEEP_COUNT / 2; i++)
        take_number(&store, i);
    /* Memory follows the contents down. */
    assert_true(memory_bytes(&store) <= (size_t)DEEP_COUNT / 2 * (TEXT_RECORD_BYTES + 1) + 200000);
    for (uint64_t i = DEEP_COUNT / 2; i < DEEP_COUNT; i++)
        take_number(&store, i);
    assert_empty(&store);
    assert_true(memory_bytes(&store) < 100000);
    message_store_free(&store);
    assert_true(memory_bytes(&store) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_texts_come_back_as_they_were),
        cmocka_unit_test(test_order_while_it_fills_and_empties),
        cmocka_unit_test(test_one_in_one_out_keeps_one_block),
        cmocka_unit_test(test_long_messages_keep_their_place),
        cmocka_unit_test(test_lengths_around_a_whole_block),
        cmocka_unit_test(test_a_run_moves_whole),
        cmocka_unit_test(test_a_run_stops_at_the_count),
        cmocka_unit_test(test_a_run_stops_at_the_byte),
        cmocka_unit_test(test_an_empty_store_takes_what_is_above_its_limit),
        cmocka_unit_test(test_a_run_of_a_long_message),
        cmocka_unit_test(test_taking_by_the_cursor),
        cmocka_unit_test(test_a_million_messages_cost_their_text_and_little_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
