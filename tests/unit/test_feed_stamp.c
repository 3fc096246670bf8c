/* feed_stamp.c: against printf. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/feed_stamp.h"

static void assert_stamps(int64_t wall_ns)
{
    char text[FEED_STAMP_BYTES + 1];
    char expected[64];
    text[FEED_STAMP_BYTES] = '#';
    const size_t length = feed_stamp(text, wall_ns);
    snprintf(expected, sizeof expected, "\001999=%" PRId64 ".%06" PRId64 "\001\"", wall_ns / 1000000000,
             wall_ns % 1000000000 / 1000);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text, expected, length);
    assert_int_equal(text[FEED_STAMP_BYTES], '#');
}

static void test_chosen_times(void **state)
{
    (void)state;
    static const int64_t times[] = {0,
                                    999,
                                    1000,
                                    999999999,
                                    1000000000,
                                    9999999999,
                                    10000000000,
                                    99999999999999999,
                                    100000000000000000,
                                    999999999999999999,
                                    1000000000000000000,
                                    1458195070313115100,
                                    1700000000000000000,
                                    1700000000000001000,
                                    1700000000999999999,
                                    INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_stamps(times[i]);
}

static void test_random_times(void **state)
{
    (void)state;
    struct random_state random;
    random_seed(&random, 7);
    for (int i = 0; i < 200000; i++)
        assert_stamps((int64_t)(random_next(&random) >> (1 + random_below(&random, 63))));
}

static void test_a_clock_before_its_epoch(void **state)
{
    (void)state;
    char text[FEED_STAMP_BYTES];
    const size_t length = feed_stamp(text, -5);
    assert_int_equal(length, strlen("\001999=0.000000\001\""));
    assert_memory_equal(text, "\001999=0.000000\001\"", length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen_times),
        cmocka_unit_test(test_random_times),
        cmocka_unit_test(test_a_clock_before_its_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
