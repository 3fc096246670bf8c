/* keyed_table.c: finding, adding, growth, long keys, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/functions/keyed_table.h"

static struct keyed_table *open_table(size_t value_bytes, uint64_t count_max, uint64_t memory_bytes_max)
{
    const struct keyed_table_settings settings = {
        .value_bytes = value_bytes, .count_max = count_max, .memory_bytes_max = memory_bytes_max};
    struct keyed_table *table = NULL;
    struct error error = {0};
    assert_int_equal(keyed_table_open(&table, &settings, &error), STATUS_OK);
    assert_non_null(table);
    return table;
}

static bool add(struct keyed_table *table, const void *key, size_t length, void **value)
{
    struct error error = {0};
    bool added = false;
    assert_int_equal(keyed_table_add(table, key, length, value, &added, &error), STATUS_OK);
    return added;
}

static void test_finds_what_was_added(void **state)
{
    (void)state;
    struct keyed_table *table = open_table(sizeof(int), 1000, 1 << 24);
    assert_null(keyed_table_find(table, "TSLA", 4));
    void *tsla;
    void *btu;
    assert_true(add(table, "TSLA", 4, &tsla));
    assert_int_equal(*(int *)tsla, 0);
    *(int *)tsla = 7;
    assert_true(add(table, "BTU", 3, &btu));
    *(int *)btu = 8;
    void *again;
    assert_false(add(table, "TSLA", 4, &again));
    assert_ptr_equal(again, tsla);
    assert_int_equal(*(int *)again, 7);
    assert_ptr_equal(keyed_table_find(table, "BTU", 3), btu);
    assert_null(keyed_table_find(table, "TSL", 3));
    assert_null(keyed_table_find(table, "TSLAx", 5));
    assert_true(keyed_table_count(table) == 2);
    keyed_table_close(&table);
    assert_null(table);
    keyed_table_close(&table);
}

static void test_keys_are_bytes(void **state)
{
    (void)state;
    struct keyed_table *table = open_table(0, 1000, 1 << 24);
    assert_null(keyed_table_find(table, "", 0));
    assert_true(add(table, "", 0, NULL));
    assert_false(add(table, "", 0, NULL));
    assert_true(add(table, "\0", 1, NULL));
    assert_true(add(table, "\0\0", 2, NULL));
    assert_false(add(table, "\0\0", 2, NULL));
    assert_true(add(table, "\xff", 1, NULL));
    assert_non_null(keyed_table_find(table, "", 0));
    assert_true(keyed_table_count(table) == 4);
    keyed_table_close(&table);
}

/* The key is copied: the caller's bytes may change. */
static void test_keeps_a_copy(void **state)
{
    (void)state;
    struct keyed_table *table = open_table(0, 1000, 1 << 24);
    char key[] = "first";
    assert_true(add(table, key, 5, NULL));
    memcpy(key, "other", 5);
    assert_null(keyed_table_find(table, "other", 5));
    assert_non_null(keyed_table_find(table, "first", 5));
    keyed_table_close(&table);
}

static void test_many_keys_and_values_that_stay(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    struct keyed_table *table = open_table(sizeof(unsigned), COUNT, UINT64_C(1) << 30);
    void **values = calloc(COUNT, sizeof *values);
    assert_non_null(values);
    char key[32];
    for (unsigned i = 0; i < COUNT; i++) {
        int length = snprintf(key, sizeof key, "id-%u", i);
        assert_true(add(table, key, (size_t)length, &values[i]));
        *(unsigned *)values[i] = i;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        int length = snprintf(key, sizeof key, "id-%u", i);
        assert_ptr_equal(keyed_table_find(table, key, (size_t)length), values[i]);
        assert_int_equal(*(unsigned *)values[i], i);
        length = snprintf(key, sizeof key, "no-%u", i);
        assert_null(keyed_table_find(table, key, (size_t)length));
    }
    assert_true(keyed_table_count(table) == COUNT);
    assert_true(keyed_table_memory_bytes(table) / COUNT < 60);
    free(values);
    keyed_table_close(&table);
}

static void test_key_lengths(void **state)
{
    (void)state;
    struct keyed_table *table = open_table(1, 1000, UINT64_C(1) << 30);
    char *key = calloc(1, KEYED_TABLE_KEY_BYTES_MAX + 1);
    assert_non_null(key);
    for (int round = 0; round < 40; round++) { /* more than one chunk of keys */
        key[0] = (char)round;
        assert_true(add(table, key, KEYED_TABLE_KEY_BYTES_MAX, NULL));
    }
    for (int round = 0; round < 40; round++) {
        key[0] = (char)round;
        assert_non_null(keyed_table_find(table, key, KEYED_TABLE_KEY_BYTES_MAX));
        assert_null(keyed_table_find(table, key, KEYED_TABLE_KEY_BYTES_MAX - 1));
        assert_null(keyed_table_find(table, key, KEYED_TABLE_KEY_BYTES_MAX + 1));
    }
    struct error error = {0};
    bool added = false;
    assert_int_equal(keyed_table_add(table, key, KEYED_TABLE_KEY_BYTES_MAX + 1, NULL, &added, &error), STATUS_INPUT);
    assert_string_equal(error.text, "a key of 65536 bytes is longer than 65535");
    assert_true(keyed_table_count(table) == 40);
    free(key);
    keyed_table_close(&table);
}

static void test_limit_of_keys(void **state)
{
    (void)state;
    struct keyed_table *table = open_table(0, 2, 1 << 24);
    struct error error = {0};
    bool added = false;
    assert_true(add(table, "a", 1, NULL));
    assert_true(add(table, "b", 1, NULL));
    assert_int_equal(keyed_table_add(table, "c", 1, NULL, &added, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "limit of 2 keys"));
    assert_false(add(table, "b", 1, NULL)); /* what is there is still found */
    assert_null(keyed_table_find(table, "c", 1));
    keyed_table_close(&table);
}

static void test_limit_of_memory(void **state)
{
    (void)state;
    const uint64_t limit = 4 << 20;
    struct keyed_table *table = open_table(8, UINT64_MAX, limit);
    struct error error = {0};
    enum status status = STATUS_OK;
    uint64_t count = 0;
    for (; status == STATUS_OK; count++) {
        bool added = false;
        assert_true(count < limit);
        status = keyed_table_add(table, &count, sizeof count, NULL, &added, &error);
        assert_true(keyed_table_memory_bytes(table) <= limit);
    }
    count--; /* the one that failed */
    assert_int_equal(status, STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "limit of 4194304 bytes"));
    assert_true(count > 10000);
    assert_true(keyed_table_count(table) == count);
    assert_null(keyed_table_find(table, &count, sizeof count));
    for (uint64_t i = 0; i < count; i++)
        assert_non_null(keyed_table_find(table, &i, sizeof i));
    keyed_table_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_added), cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_keeps_a_copy),         cmocka_unit_test(test_many_keys_and_values_that_stay),
        cmocka_unit_test(test_key_lengths),          cmocka_unit_test(test_limit_of_keys),
        cmocka_unit_test(test_limit_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
