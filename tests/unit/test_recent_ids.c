/* recent_ids.c: both bounds, ids of any bytes, a clock that steps back, memory that stays the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/queue/recent_ids.h"

static struct recent_ids *open_ids(uint64_t count_max, int64_t age_ns)
{
    struct recent_ids *ids = NULL;
    struct error error = {0};
    assert_int_equal(recent_ids_open(&ids, count_max, age_ns, &error), STATUS_OK);
    return ids;
}

static void add(struct recent_ids *ids, const char *id, int64_t now_ns, uint32_t message_bytes)
{
    struct error error = {0};
    assert_int_equal(recent_ids_add(ids, id, strlen(id), now_ns, message_bytes, &error), STATUS_OK);
}

/* What was handed in with it, or -1. */
static int64_t find(const struct recent_ids *ids, const char *id, int64_t now_ns)
{
    uint32_t message_bytes = 0;
    return recent_ids_find(ids, id, strlen(id), now_ns, &message_bytes) ? (int64_t)message_bytes : -1;
}

static void test_finds_what_was_added(void **state)
{
    (void)state;
    struct recent_ids *ids = open_ids(10, 1000);
    assert_int_equal(find(ids, "a", 0), -1);
    add(ids, "a", 0, 7);
    add(ids, "ab", 0, 8);
    assert_int_equal(find(ids, "a", 0), 7);
    assert_int_equal(find(ids, "ab", 0), 8);
    assert_int_equal(find(ids, "b", 0), -1);
    uint32_t message_bytes;
    struct error error = {0};
    char longest[RECENT_ID_BYTES_MAX];
    memset(longest, 0, sizeof longest);
    assert_int_equal(recent_ids_add(ids, longest, sizeof longest, 0, UINT32_MAX, &error), STATUS_OK);
    assert_true(recent_ids_find(ids, longest, sizeof longest, 0, &message_bytes));
    assert_true(message_bytes == UINT32_MAX);
    assert_false(recent_ids_find(ids, longest, sizeof longest - 1, 0, &message_bytes));
    longest[63] = 1;
    assert_false(recent_ids_find(ids, longest, sizeof longest, 0, &message_bytes));
    recent_ids_close(&ids);
    assert_null(ids);
    recent_ids_close(&ids);
}

static void test_forgets_by_count(void **state)
{
    (void)state;
    struct recent_ids *ids = open_ids(3, INT64_MAX);
    add(ids, "1", 0, 1);
    add(ids, "2", 0, 2);
    add(ids, "3", 0, 3);
    assert_int_equal(find(ids, "1", 0), 1); /* to be found makes it no younger */
    add(ids, "4", 0, 4);
    assert_int_equal(find(ids, "1", 0), -1);
    assert_int_equal(find(ids, "2", 0), 2);
    assert_int_equal(find(ids, "4", 0), 4);
    assert_int_equal(recent_ids_count(ids), 3);
    recent_ids_close(&ids);
    ids = open_ids(1, 0);
    add(ids, "1", INT64_MIN, 1);
    assert_int_equal(find(ids, "1", INT64_MIN), 1);
    add(ids, "2", INT64_MAX, 2);
    assert_int_equal(find(ids, "1", INT64_MAX), -1);
    assert_int_equal(find(ids, "2", INT64_MAX), 2);
    recent_ids_close(&ids);
}

static void test_forgets_by_age(void **state)
{
    (void)state;
    struct recent_ids *ids = open_ids(100, 10);
    for (int i = 0; i < 8; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "%d", i);
        add(ids, id, i, 1);
    }
    assert_int_equal(find(ids, "3", 13), 1);
    assert_int_equal(find(ids, "3", 14), -1);
    assert_int_equal(find(ids, "4", 14), 1);
    assert_int_equal(recent_ids_count(ids), 8); /* not looked for yet */
    add(ids, "x", 14, 1);                       /* two go for it */
    assert_int_equal(recent_ids_count(ids), 7);
    add(ids, "3", 14, 33); /* known no longer, so it may come again */
    assert_int_equal(find(ids, "3", 14), 33);
    assert_int_equal(recent_ids_trim(ids, 100, 2), 2);
    assert_int_equal(recent_ids_trim(ids, 100, 100), 4);
    assert_int_equal(recent_ids_count(ids), 0);
    assert_int_equal(find(ids, "3", 100), -1);
    add(ids, "y", 100, 1);
    assert_int_equal(find(ids, "y", 100), 1);
    recent_ids_close(&ids);
}

static void test_a_clock_that_steps_back(void **state)
{
    (void)state;
    struct recent_ids *ids = open_ids(100, 10);
    add(ids, "before", 1000, 1);
    add(ids, "after", 0, 2); /* the clock was set back */
    assert_int_equal(find(ids, "before", 0), 1);
    assert_int_equal(find(ids, "after", 0), 2);
    assert_int_equal(recent_ids_trim(ids, 11, 100), 0); /* the one before is in the way */
    assert_int_equal(find(ids, "after", 11), -1);       /* and yet this one is old */
    add(ids, "after", 11, 3);
    assert_int_equal(find(ids, "after", 11), 3);
    assert_int_equal(recent_ids_trim(ids, 1011, 100), 3);
    assert_int_equal(recent_ids_count(ids), 0);
    recent_ids_close(&ids);
}

/* A window over numbered ids, of lengths from 1 to 64. */
static size_t make_id(uint64_t number, char id[RECENT_ID_BYTES_MAX + 1])
{
    int length = snprintf(id, RECENT_ID_BYTES_MAX + 1, "%llx.", (unsigned long long)number);
    size_t full = (size_t)length + number * 7 % (RECENT_ID_BYTES_MAX + 1 - (size_t)length);
    memset(id + length, (int)(number % 256), full - (size_t)length);
    return full;
}

static void test_a_long_run(void **state)
{
    (void)state;
    enum { WINDOW = 3000, ROUND_COUNT = 100000 };
    struct recent_ids *ids = open_ids(WINDOW, 5000);
    struct random_state random;
    random_seed(&random, 5);
    char id[RECENT_ID_BYTES_MAX + 1];
    uint64_t bytes_max = 0;
    for (uint64_t number = 1; number <= ROUND_COUNT; number++) {
        struct error error = {0};
        size_t length = make_id(number, id);
        assert_int_equal(recent_ids_add(ids, id, length, (int64_t)number, (uint32_t)number, &error), STATUS_OK);
        uint64_t other = 1 + random_below(&random, number);
        uint32_t message_bytes = 0;
        length = make_id(other, id);
        bool found = recent_ids_find(ids, id, length, (int64_t)number, &message_bytes);
        assert_int_equal(found, number - other < WINDOW);
        assert_true(!found || message_bytes == other);
        bytes_max = bytes_max > recent_ids_chunk_bytes(ids) ? bytes_max : recent_ids_chunk_bytes(ids);
    }
    assert_int_equal(recent_ids_count(ids), WINDOW);
    assert_true(bytes_max <= (uint64_t)WINDOW * 96 + 3 * (64 << 10));
    recent_ids_close(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_added), cmocka_unit_test(test_forgets_by_count),
        cmocka_unit_test(test_forgets_by_age),       cmocka_unit_test(test_a_clock_that_steps_back),
        cmocka_unit_test(test_a_long_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
