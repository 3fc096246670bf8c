/* id_set.c and id_arena.c: against a plain reference, growth, both limits, both policies, ids of all lengths, no
 * memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/functions/id_arena.h"
#include "nodes/functions/id_set.h"
#include "nodes/functions/id_set_private.h"

#define MEMORY_BYTES (UINT64_C(1) << 30)

static struct id_set *open_set(uint64_t count_max, uint64_t memory_bytes_max, enum id_set_full full)
{
    const struct id_set_settings settings = {
        .count_max = count_max, .memory_bytes_max = memory_bytes_max, .full = full};
    struct id_set *set = NULL;
    struct error error = {0};
    assert_int_equal(id_set_open(&set, &settings, &error), STATUS_OK);
    return set;
}

static bool has(const struct id_set *set, const void *data, size_t length)
{
    struct id_key key;
    id_set_key(set, data, length, &key);
    return id_set_has(set, &key);
}

static enum status try_add(struct id_set *set, const void *data, size_t length, bool *added, struct error *error)
{
    struct id_key key;
    id_set_key(set, data, length, &key);
    return id_set_add(set, &key, added, error);
}

static bool add(struct id_set *set, const void *data, size_t length)
{
    struct error error = {0};
    bool added = false;
    if (try_add(set, data, length, &added, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    return added;
}

/* The id of a number: of 0 to 40 bytes, most of 8 or 9, with NULs among them; different numbers, different ids. */
static size_t make_id(uint64_t number, unsigned char id[48])
{
    static const unsigned char lengths[] = {8, 9, 9, 9, 10, 15, 16, 17, 24, 40};
    size_t length = lengths[number % sizeof lengths];
    memset(id, 0, 48);
    memcpy(id, &number, sizeof number);
    if (length > 16)
        memcpy(id + length - 8, &number, sizeof number);
    return length;
}

static bool has_number(const struct id_set *set, uint64_t number)
{
    unsigned char id[48];
    size_t length = make_id(number, id);
    return has(set, id, length);
}

static bool add_number(struct id_set *set, uint64_t number)
{
    unsigned char id[48];
    size_t length = make_id(number, id);
    return add(set, id, length);
}

static void test_ids_are_bytes(void **state)
{
    (void)state;
    struct id_set *set = open_set(1000, MEMORY_BYTES, ID_SET_REFUSE);
    unsigned char zeros[64] = {0};
    unsigned char ones[64];
    memset(ones, 0xff, sizeof ones);
    assert_false(has(set, NULL, 0));
    for (size_t length = 0; length <= sizeof zeros; length++) { /* each length is another id */
        assert_true(add(set, zeros, length));
        assert_false(add(set, zeros, length));
        assert_int_equal(add(set, ones, length), length > 0);
        assert_false(has(set, zeros, length + 1 <= sizeof zeros ? length + 1 : 0) && length < sizeof zeros);
    }
    for (size_t length = 1; length <= sizeof ones; length++) { /* each byte counts */
        for (size_t i = 0; i < length; i++) {
            ones[i] = 0xfe;
            assert_false(has(set, ones, length));
            ones[i] = 0xff;
        }
        assert_true(has(set, ones, length));
    }
    assert_true(id_set_count(set) == 2 * sizeof zeros + 1);
    id_set_close(&set);
    assert_null(set);
    id_set_close(&set);
}

static void test_long_ids(void **state)
{
    (void)state;
    struct id_set *set = open_set(1000, MEMORY_BYTES, ID_SET_REFUSE);
    char *id = calloc(1, ID_SET_ID_BYTES_MAX + 1);
    assert_non_null(id);
    for (int round = 0; round < 40; round++) {
        id[ID_SET_ID_BYTES_MAX - 1] = (char)round;
        assert_true(add(set, id, ID_SET_ID_BYTES_MAX));
    }
    for (int round = 0; round < 40; round++) {
        id[ID_SET_ID_BYTES_MAX - 1] = (char)round;
        assert_true(has(set, id, ID_SET_ID_BYTES_MAX));
        assert_false(has(set, id, ID_SET_ID_BYTES_MAX - 1));
        assert_false(has(set, id, ID_SET_ID_BYTES_MAX + 1));
    }
    struct error error = {0};
    bool added = true;
    assert_int_equal(try_add(set, id, ID_SET_ID_BYTES_MAX + 1, &added, &error), STATUS_INPUT);
    assert_false(added);
    assert_string_equal(error.text, "an id of 65536 bytes is longer than 65535");
    free(id);
    id_set_close(&set);
}

/* What has been added is known, what has not is not; and the memory is what the header says. */
static void test_growth(void **state)
{
    (void)state;
    enum { COUNT = 600000 };
    struct id_set *set = open_set(COUNT, MEMORY_BYTES, ID_SET_REFUSE);
    for (uint64_t i = 0; i < COUNT; i++) {
        char id[16];
        int length = snprintf(id, sizeof id, "A%08x", (unsigned)i);
        assert_true(add(set, id, (size_t)length));
        if (i >= 200000 && i % 1000 == 0)
            assert_true(id_set_memory_bytes(set) < (i + 1) * 30);
    }
    assert_true(id_set_count(set) == COUNT);
    for (uint64_t i = 0; i < COUNT; i++) {
        char id[16];
        int length = snprintf(id, sizeof id, "A%08x", (unsigned)i);
        assert_true(has(set, id, (size_t)length));
        assert_false(add(set, id, (size_t)length));
        id[0] = 'B';
        assert_false(has(set, id, (size_t)length));
    }
    id_set_close(&set);
}

static void test_refuses_at_the_limit(void **state)
{
    (void)state;
    struct id_set *set = open_set(5000, MEMORY_BYTES, ID_SET_REFUSE);
    for (uint64_t i = 0; i < 5000; i++)
        assert_true(add_number(set, i));
    struct error error = {0};
    bool added = true;
    assert_int_equal(try_add(set, "one more", 8, &added, &error), STATUS_SYSTEM);
    assert_false(added);
    assert_string_equal(error.text, "the ids are at their limit of 5000");
    assert_false(has(set, "one more", 8));
    assert_false(add_number(set, 17)); /* what is known is still found */
    assert_true(id_set_count(set) == 5000);
    assert_true(id_set_forgotten_count(set) == 0);
    id_set_close(&set);
}

/* The reference: when each number was last added, and which generation that was. */
static void check_forgetting(uint64_t count_max, uint64_t range, unsigned rounds, uint64_t seed)
{
    struct id_set *set = open_set(count_max, MEMORY_BYTES, ID_SET_FORGET);
    const uint64_t half = count_max / 2;
    uint64_t *added_at = calloc(range, sizeof *added_at); /* the how manieth addition, from 1; 0: none */
    assert_non_null(added_at);
    struct random_state random;
    random_seed(&random, seed);
    uint64_t count = 0;
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t number = random_below(&random, range);
        /* Additions 1 to half are the first generation, and so on; the last full one and the one that grows are known.
         */
        uint64_t first_known = count / half >= 1 ? (count / half - 1) * half + 1 : 1;
        bool known = added_at[number] >= first_known;
        assert_int_equal(has_number(set, number), known);
        if (random_below(&random, 4) != 0) {
            assert_int_equal(add_number(set, number), !known);
            if (!known)
                added_at[number] = ++count;
        }
        uint64_t forgotten = count / half >= 1 ? (count / half - 1) * half : 0;
        assert_true(id_set_forgotten_count(set) == forgotten);
        assert_true(id_set_count(set) == count - forgotten);
        assert_true(id_set_count(set) <= count_max);
    }
    free(added_at);
    id_set_close(&set);
}

static void test_forgets_the_older_half(void **state)
{
    (void)state;
    check_forgetting(2, 10, 20000, 1);
    check_forgetting(3, 10, 20000, 2);
    check_forgetting(100, 300, 100000, 3);
    check_forgetting(10000, 20000, 400000, 4);
    check_forgetting(100000, 300000, 1500000, 5);
}

/* A set that forgets stays as large as it was when it was first full. */
static void test_forgetting_takes_no_more_memory(void **state)
{
    (void)state;
    enum { LIMIT = 50000 };
    struct id_set *set = open_set(LIMIT, MEMORY_BYTES, ID_SET_FORGET);
    uint64_t number = 0;
    for (; number < 4 * LIMIT; number++)
        assert_true(add_number(set, number));
    uint64_t bytes = id_set_memory_bytes(set);
    for (; number < 24 * LIMIT; number++)
        assert_true(add_number(set, number));
    assert_true(id_set_memory_bytes(set) <= bytes + (1 << 20));
    id_set_close(&set);
}

static void fill_memory(enum id_set_full full, size_t length)
{
    enum { LIMIT = 8 << 20 };
    struct id_set *set = open_set(ID_SET_COUNT_MAX, LIMIT, full);
    char *id = calloc(1, length);
    assert_non_null(id);
    struct error error = {0};
    enum status status = STATUS_OK;
    uint64_t count = 0;
    for (; status == STATUS_OK && count < 1000000; count++) {
        bool added = false;
        memcpy(id, &count, sizeof count);
        status = try_add(set, id, length, &added, &error);
        assert_true(id_set_memory_bytes(set) <= LIMIT);
        assert_int_equal(added, status == STATUS_OK);
        assert_int_equal(has(set, id, length), added);
    }
    if (full == ID_SET_REFUSE) {
        assert_int_equal(status, STATUS_SYSTEM);
        assert_non_null(strstr(error.text, "limit of 8388608 bytes"));
        count--; /* the one that failed */
        assert_true(id_set_count(set) == count);
        for (uint64_t i = 0; i < count; i++) {
            memcpy(id, &i, sizeof i);
            assert_true(has(set, id, length));
        }
    } else {
        assert_int_equal(status, STATUS_OK);
        assert_true(id_set_forgotten_count(set) > 0);
        assert_true(id_set_count(set) + id_set_forgotten_count(set) == count);
    }
    free(id);
    id_set_close(&set);
}

static void test_limit_of_memory(void **state)
{
    (void)state;
    fill_memory(ID_SET_REFUSE, 8);
    fill_memory(ID_SET_REFUSE, 100);
    fill_memory(ID_SET_FORGET, 8);
    fill_memory(ID_SET_FORGET, 100);
}

/* Ids that all hash alike fill one segment, are told apart, and are then refused without eating up memory. */
static void test_ids_that_collide(void **state)
{
    (void)state;
    struct id_set *set = open_set(ID_SET_COUNT_MAX, MEMORY_BYTES, ID_SET_REFUSE);
    id_set_break_hash(set);
    struct error error = {0};
    enum status status = STATUS_OK;
    uint64_t count = 0;
    for (; status == STATUS_OK && count < 10000; count++) {
        bool added;
        status = try_add(set, &count, sizeof count, &added, &error);
    }
    count--;
    assert_int_equal(status, STATUS_SYSTEM);
    assert_string_equal(error.text, "too many ids have hashes alike");
    assert_true(count == 4096);
    assert_true(id_set_memory_bytes(set) < 4 << 20);
    for (uint64_t i = 0; i < count; i++)
        assert_true(has(set, &i, sizeof i));
    assert_false(has(set, &count, sizeof count));
    id_set_close(&set);
}

/* The system gives no more memory, and later it does. */
static void test_no_memory(void **state)
{
    (void)state;
    struct id_set *set = open_set(ID_SET_COUNT_MAX, UINT64_C(1) << 40, ID_SET_REFUSE);
    unsigned long pages[6];
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(fscanf(file, "%lu", &pages[i]), 1);
    fclose(file);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    const struct rlimit now = {.rlim_cur = (rlim_t)pages[5] * (rlim_t)sysconf(_SC_PAGESIZE) + (4 << 20),
                               .rlim_max = before.rlim_max};
    struct error error = {0};
    enum status status = STATUS_OK;
    uint64_t count = 0;
    assert_int_equal(setrlimit(RLIMIT_DATA, &now), 0);
    for (; status == STATUS_OK && count < 10000000; count++) {
        bool added;
        status = try_add(set, &count, sizeof count, &added, &error);
    }
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    count--;
    assert_int_equal(status, STATUS_SYSTEM);
    assert_string_equal(error.text, "no memory for another id");
    assert_true(id_set_count(set) == count);
    for (uint64_t i = 0; i < count; i++)
        assert_true(has(set, &i, sizeof i));
    for (uint64_t i = count; i < count + 10000; i++)
        assert_true(add(set, &i, sizeof i));
    id_set_close(&set);
}

static void test_arena(void **state)
{
    (void)state;
    struct id_arena arena;
    id_arena_open(&arena);
    char id[1000] = "";
    uint64_t places[2000];
    for (unsigned i = 0; i < 2000; i++) { /* two generations in turn */
        memcpy(id, &i, sizeof i);
        assert_true(id_arena_add(&arena, i % 2, id, i % 1000, MEMORY_BYTES, &places[i]));
    }
    uint64_t bytes = id_arena_memory_bytes(&arena);
    assert_true(bytes % ID_ARENA_CHUNK_BYTES == 0 && bytes <= 6 * ID_ARENA_CHUNK_BYTES);
    id_arena_forget(&arena, 0);
    for (unsigned i = 0; i < 600; i += 2) { /* into what was given up */
        uint64_t place;
        assert_true(id_arena_add(&arena, 2, id, 999, bytes, &place));
        assert_true(id_arena_equals(&arena, place, id, 999));
    }
    assert_true(id_arena_memory_bytes(&arena) == bytes);
    for (unsigned i = 1; i < 2000; i += 2) {
        memcpy(id, &i, sizeof i);
        assert_true(id_arena_equals(&arena, places[i], id, i % 1000));
        assert_false(id_arena_equals(&arena, places[i], id, i % 1000 + 1));
    }
    uint64_t place;
    while (id_arena_add(&arena, 3, id, 999, bytes, &place))
        assert_true(id_arena_memory_bytes(&arena) <= bytes);
    id_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_bytes),
        cmocka_unit_test(test_long_ids),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_refuses_at_the_limit),
        cmocka_unit_test(test_forgets_the_older_half),
        cmocka_unit_test(test_forgetting_takes_no_more_memory),
        cmocka_unit_test(test_limit_of_memory),
        cmocka_unit_test(test_ids_that_collide),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
