/* Blocks: records, room, walking, detached buffers, copies of runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/block.h"

static void expect_message(const struct message *message, const char *text, size_t length, int64_t time_ns)
{
    assert_non_null(message);
    assert_int_equal(message->length, length);
    assert_memory_equal(message->text, text, length);
    assert_true(message->time_ns == time_ns);
}

static void test_record_bytes(void **state)
{
    (void)state;
    assert_int_equal(message_record_bytes(0), 16);
    assert_int_equal(message_record_bytes(1), 24);
    assert_int_equal(message_record_bytes(8), 24);
    assert_int_equal(message_record_bytes(9), 32);
    assert_int_equal(message_record_bytes(MESSAGE_LENGTH_MAX), (1 << 30) + 16);
}

static void test_new_and_free(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 8, 24, 32, 33, 8160};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct block *block = block_new(sizes[i]);
        assert_int_equal((uintptr_t)block % CACHE_LINE_BYTES, 0);
        assert_int_equal(block->message_count, 0);
        assert_int_equal(block->used_bytes, 0);
        assert_int_equal(block->capacity_bytes, sizes[i]);
        assert_true(block_has_room(block, 0) == (sizes[i] >= 16));
        block_free(&block);
        assert_null(block);
        block_free(&block);
    }
}

static void test_fills_exactly(void **state)
{
    (void)state;
    struct block *block = block_new(4 * 24);
    for (int i = 0; i < 4; i++) {
        assert_true(block_has_room(block, 8));
        assert_true(block_append(block, "12345678", 8, i));
    }
    assert_int_equal(block->used_bytes, 4 * 24);
    assert_false(block_has_room(block, 0));
    assert_null(block_reserve(block, 0));
    assert_false(block_append(block, "", 0, 9));
    assert_int_equal(block->message_count, 4);
    assert_int_equal(block->used_bytes, 4 * 24);
    block_reset(block);
    assert_int_equal(block->message_count, 0);
    assert_true(block_append(block, "123456789", 9, 0));
    assert_false(block_has_room(block, 49)); /* 32 of 96 bytes are used: 64 are left, 48 of text */
    assert_true(block_has_room(block, 48));
    block_free(&block);
}

static void test_reserve_then_commit_shorter(void **state)
{
    (void)state;
    struct block *block = block_new(128);
    struct message *place = block_reserve(block, 112);
    assert_non_null(place);
    assert_ptr_equal(block_reserve(block, 10), place); /* nothing counts before it is committed */
    assert_int_equal(block->message_count, 0);
    memcpy(place->text, "abc", 3);
    block_commit(block, place, 3, 77);
    assert_int_equal(block->used_bytes, 24);
    assert_null(block_reserve(block, 89));
    struct message *next = block_reserve(block, 88);
    assert_ptr_equal((unsigned char *)next, (unsigned char *)place + 24);
    block_commit(block, next, 0, 78);
    assert_int_equal(block->used_bytes, 40);
    struct block_cursor cursor = {.block = block};
    expect_message(block_cursor_peek(&cursor), "abc", 3, 77);
    block_cursor_pop(&cursor);
    expect_message(block_cursor_peek(&cursor), "", 0, 78);
    block_free(&block);
}

static void test_walk(void **state)
{
    (void)state;
    struct block *block = block_new(1024);
    struct block_cursor cursor = {0};
    assert_null(block_cursor_peek(&cursor)); /* no block */
    cursor.block = block;
    assert_null(block_cursor_peek(&cursor)); /* an empty one */
    assert_true(block_append(block, "a\0b", 3, -5));
    assert_true(block_append(block, NULL, 0, 0));
    assert_true(block_append(block, "\xff\x00\xfe and 16 bytes", 16, INT64_MAX));
    expect_message(block_cursor_peek(&cursor), "a\0b", 3, -5);
    expect_message(block_cursor_peek(&cursor), "a\0b", 3, -5); /* looking takes nothing */
    block_cursor_pop(&cursor);
    expect_message(block_cursor_peek(&cursor), "", 0, 0);
    block_cursor_pop(&cursor);
    expect_message(block_cursor_peek(&cursor), "\xff\x00\xfe and 16 bytes", 16, INT64_MAX);
    block_cursor_pop(&cursor);
    assert_null(block_cursor_peek(&cursor));
    assert_int_equal(cursor.offset, block->used_bytes);
    block_free(&block);
}

/* A malloc'ed buffer with one record. */
static unsigned char *record_buffer(uint32_t length)
{
    unsigned char *buffer = calloc(1, message_record_bytes(length));
    assert_non_null(buffer);
    struct message *message = (struct message *)(void *)buffer;
    message->length = length;
    message->time_ns = 42;
    memset(message->text, 'x', length);
    return buffer;
}

static void test_detached(void **state)
{
    (void)state;
    struct block *block = block_new(64);
    for (int round = 0; round < 2; round++) {
        unsigned char *buffer = record_buffer(100000);
        uint32_t bytes = message_record_bytes(100000);
        block_attach(block, &buffer, bytes, bytes, 1, 42);
        assert_null(buffer);
        assert_false(block_has_room(block, 0));
        struct block_cursor cursor = {.block = block};
        const struct message *message = block_cursor_peek(&cursor);
        assert_int_equal(message->length, 100000);
        assert_int_equal(message->text[99999], 'x');
        if (round == 0) {
            block_reset(block); /* frees the buffer, has its own records again */
            assert_int_equal(block->capacity_bytes, 64);
            assert_true(block_append(block, "own", 3, 1));
            block_reset(block);
        }
    }
    block_free(&block); /* frees the buffer too */
}

/* Messages 0 to count - 1, of 0 to 12 bytes, made at 100, 101, ... */
static void append_numbers(struct block *block, int count)
{
    static const char text[] = "abcdefghijkl";
    for (int i = 0; i < count; i++)
        assert_true(block_append(block, text, (uint32_t)(i % 13), 100 + i));
}

static void expect_numbers(struct block_cursor *cursor, int from, int to)
{
    for (int i = from; i < to; i++) {
        expect_message(block_cursor_peek(cursor), "abcdefghijkl", (size_t)(i % 13), 100 + i);
        block_cursor_pop(cursor);
    }
}

static void test_copy_all(void **state)
{
    (void)state;
    struct block *source = block_new(2048);
    append_numbers(source, 40);
    struct block *target = block_new(source->used_bytes); /* fits to the byte */
    struct block_cursor cursor = {.block = source};
    assert_int_equal(block_copy_messages(target, &cursor, 40), 40);
    assert_null(block_cursor_peek(&cursor));
    assert_int_equal(target->used_bytes, source->used_bytes);
    assert_int_equal(target->message_count, 40);
    struct block_cursor copied = {.block = target};
    expect_numbers(&copied, 0, 40);
    assert_null(block_cursor_peek(&copied));
    assert_int_equal(block_copy_messages(target, &cursor, 40), 0); /* at the end there is nothing to copy */
    block_free(&source);
    block_free(&target);
}

static void test_copy_up_to_a_count(void **state)
{
    (void)state;
    struct block *source = block_new(2048);
    struct block *target = block_new(2048);
    append_numbers(source, 40);
    struct block_cursor cursor = {.block = source};
    assert_int_equal(block_copy_messages(target, &cursor, 0), 0);
    assert_int_equal(cursor.index, 0);
    assert_int_equal(block_copy_messages(target, &cursor, 1), 1);
    assert_int_equal(block_copy_messages(target, &cursor, 15), 15);
    assert_int_equal(cursor.index, 16);
    expect_message(block_cursor_peek(&cursor), "abc", 3, 116);
    assert_int_equal(block_copy_messages(target, &cursor, UINT32_MAX), 24);
    struct block_cursor copied = {.block = target};
    expect_numbers(&copied, 0, 40);
    block_free(&source);
    block_free(&target);
}

static void test_copy_up_to_the_room(void **state)
{
    (void)state;
    struct block *source = block_new(2048);
    append_numbers(source, 40);
    for (uint32_t room = 0; room <= source->used_bytes; room += 8) {
        struct block *target = block_new(24 + room);
        assert_true(block_append(target, "before", 6, 7)); /* what is there stays */
        struct block_cursor cursor = {.block = source};
        uint32_t count = block_copy_messages(target, &cursor, 40);
        assert_int_equal(count, cursor.index);
        assert_int_equal(target->used_bytes, 24 + cursor.offset);
        assert_true(cursor.offset <= room);
        const struct message *next = block_cursor_peek(&cursor);
        if (next != NULL) /* as many as fit: the next does not */
            assert_true(cursor.offset + message_record_bytes(next->length) > room);
        struct block_cursor copied = {.block = target};
        expect_message(block_cursor_peek(&copied), "before", 6, 7);
        block_cursor_pop(&copied);
        expect_numbers(&copied, 0, (int)count);
        assert_null(block_cursor_peek(&copied));
        block_free(&target);
    }
    block_free(&source);
}

static void test_copy_from_a_detached_block(void **state)
{
    (void)state;
    struct block *source = block_new(64);
    struct block *target = block_new(8160);
    unsigned char *buffer = record_buffer(5000);
    uint32_t bytes = message_record_bytes(5000);
    block_attach(source, &buffer, bytes, bytes, 1, 42);
    struct block_cursor cursor = {.block = source};
    assert_int_equal(block_copy_messages(target, &cursor, 5), 1);
    assert_int_equal(target->used_bytes, bytes);
    cursor = (struct block_cursor){.block = source};
    assert_int_equal(block_copy_messages(target, &cursor, 5), 0); /* a second does not fit */
    block_free(&source);
    block_free(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_bytes),
        cmocka_unit_test(test_new_and_free),
        cmocka_unit_test(test_fills_exactly),
        cmocka_unit_test(test_reserve_then_commit_shorter),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_detached),
        cmocka_unit_test(test_copy_all),
        cmocka_unit_test(test_copy_up_to_a_count),
        cmocka_unit_test(test_copy_up_to_the_room),
        cmocka_unit_test(test_copy_from_a_detached_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
