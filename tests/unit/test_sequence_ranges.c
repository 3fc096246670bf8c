/* sequence_ranges.c: coalescing, taking across ranges, growth around the ring's end, against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/queue/sequence_ranges.h"

static void append(struct sequence_ranges *ranges, uint64_t first, uint64_t count)
{
    struct error error = {0};
    assert_int_equal(sequence_ranges_append(ranges, first, count, &error), STATUS_OK);
}

static void test_coalesces_at_the_tail(void **state)
{
    (void)state;
    struct sequence_ranges ranges = {0};
    uint64_t first = 0;
    append(&ranges, 5, 3);
    append(&ranges, 8, 2); /* goes on */
    append(&ranges, 10, 0);
    append(&ranges, 3, 1); /* does not */
    append(&ranges, 12, 1);
    assert_int_equal(ranges.range_count, 3);
    assert_int_equal(ranges.count, 7);
    assert_int_equal(sequence_ranges_take(&ranges, 0, &first), 0);
    assert_int_equal(sequence_ranges_take(&ranges, 4, &first), 4);
    assert_int_equal(first, 5);
    assert_int_equal(sequence_ranges_take(&ranges, 100, &first), 1); /* never across a gap */
    assert_int_equal(first, 9);
    assert_int_equal(sequence_ranges_take(&ranges, 100, &first), 1);
    assert_int_equal(first, 3);
    assert_int_equal(sequence_ranges_take(&ranges, 100, &first), 1);
    assert_int_equal(first, 12);
    assert_int_equal(sequence_ranges_take(&ranges, 100, &first), 0);
    assert_int_equal(ranges.count, 0);
    append(&ranges, 13, 1); /* what went is no range to go on from */
    assert_int_equal(sequence_ranges_take(&ranges, 1, &first), 1);
    assert_int_equal(first, 13);
    sequence_ranges_free(&ranges);
}

static void test_is_a_fifo(void **state)
{
    (void)state;
    enum { NUMBER_COUNT = 20000 };
    uint64_t *expected = malloc(NUMBER_COUNT * 8 * sizeof *expected);
    assert_non_null(expected);
    struct sequence_ranges ranges = {0};
    struct random_state random;
    random_seed(&random, 1);
    size_t head = 0;
    size_t tail = 0;
    uint64_t next = 1;
    for (int round = 0; round < NUMBER_COUNT; round++) {
        uint64_t count = random_below(&random, 6);
        next += random_below(&random, 3) == 0 ? 1 + random_below(&random, 3) : 0;
        append(&ranges, next, count);
        for (uint64_t i = 0; i < count; i++)
            expected[tail++] = next++;
        uint64_t wanted = random_below(&random, round % 2000 < 1000 ? 3 : 9);
        while (wanted > 0) {
            uint64_t first = 0;
            uint64_t taken = sequence_ranges_take(&ranges, wanted, &first);
            if (taken == 0)
                break;
            assert_true(taken <= wanted);
            for (uint64_t i = 0; i < taken; i++)
                assert_int_equal(first + i, expected[head++]);
            wanted -= taken;
        }
        assert_int_equal(ranges.count, tail - head);
    }
    assert_true(head > NUMBER_COUNT);
    sequence_ranges_free(&ranges);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coalesces_at_the_tail),
        cmocka_unit_test(test_is_a_fifo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
