/* Statistics: which bin a latency falls into, sums, differences, quantiles, counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/stats.h"

static struct histogram histogram;
static struct histogram_copy copy;

static int clear(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    memset(&copy, 0xff, sizeof copy); /* a read must set all of it */
    return 0;
}

static void record_one(int64_t latency_ns)
{
    clear(NULL);
    histogram_record(&histogram, latency_ns, 1);
    histogram_read(&histogram, &copy);
    assert_int_equal(histogram_count(&copy), 1);
}

static void expect_bin(int64_t latency_ns, unsigned decade, unsigned bin)
{
    record_one(latency_ns);
    if (copy.bins[decade][bin] != 1)
        fail_msg("%lld ns is not in bin %u of decade %u", (long long)latency_ns, bin, decade);
    assert_int_equal(histogram_decade_count(&copy, decade), 1);
    assert_int_equal(copy.sum_ns[decade], (uint64_t)latency_ns);
}

static void test_decades_are_exact(void **state)
{
    (void)state;
    int64_t power = 1;
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++) {
        expect_bin(power, decade, 0);                              /* not below 10^(d-1) */
        expect_bin(power * 10 - 1, decade, decade == 0 ? 80 : 89); /* below 10^d */
        assert_true(histogram_decade_bound_ns(decade) == power * 10);
        power *= 10;
    }
}

static void test_two_leading_digits(void **state)
{
    (void)state;
    int64_t power = 1;
    for (unsigned decade = 1; decade < HISTOGRAM_DECADE_COUNT; decade++) {
        for (unsigned leading = 10; leading < 100; leading++) {
            expect_bin(leading * power, decade, leading - 10);
            expect_bin((leading + 1) * power - 1, decade, leading - 10);
        }
        power *= 10;
    }
    for (unsigned digit = 1; digit < 10; digit++)
        expect_bin(digit, 0, digit * 10 - 10);
}

/* Around every power of two too, where the guess from the bits might slip. */
static void test_every_latency_is_in_its_decade(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 43; bit++) {
        for (int64_t off = -1; off <= 1; off++) {
            int64_t latency_ns = (INT64_C(1) << bit) + off;
            if (latency_ns < 1)
                continue;
            record_one(latency_ns);
            unsigned decade = 0;
            while (latency_ns >= histogram_decade_bound_ns(decade))
                decade++;
            assert_int_equal(histogram_decade_count(&copy, decade), 1);
        }
    }
}

static void test_limits(void **state)
{
    (void)state;
    record_one(0);
    assert_int_equal(histogram_decade_count(&copy, 0), 1);
    assert_int_equal(copy.sum_ns[0], 0);
    record_one(-5); /* a clock was set back */
    assert_int_equal(histogram_decade_count(&copy, 0), 1);
    assert_int_equal(copy.sum_ns[0], 0);
    record_one(INT64_MIN);
    assert_int_equal(copy.sum_ns[0], 0);
    record_one(INT64_MAX); /* beyond the last decade */
    assert_int_equal(copy.bins[HISTOGRAM_DECADE_COUNT - 1][89], 1);
    record_one(INT64_C(10000000000000));
    assert_int_equal(copy.bins[HISTOGRAM_DECADE_COUNT - 1][89], 1);
    clear(NULL);
    histogram_record(&histogram, 5, 0); /* none */
    histogram_read(&histogram, &copy);
    assert_int_equal(histogram_count(&copy), 0);
}

static void test_counts_and_sums(void **state)
{
    (void)state;
    histogram_record(&histogram, 150, 3);
    histogram_record(&histogram, 155, 1);
    histogram_record(&histogram, 999, 2);
    histogram_record(&histogram, 1000, 5);
    histogram_read(&histogram, &copy);
    assert_int_equal(histogram_count(&copy), 11);
    assert_int_equal(copy.bins[2][5], 4);
    assert_int_equal(histogram_decade_count(&copy, 2), 6);
    assert_int_equal(copy.sum_ns[2], 3 * 150 + 155 + 2 * 999);
    assert_int_equal(histogram_decade_count(&copy, 3), 5);
    assert_int_equal(copy.sum_ns[3], 5000);
}

static void test_subtract(void **state)
{
    (void)state;
    static struct histogram_copy earlier;
    histogram_record(&histogram, 20, 7);
    histogram_record(&histogram, 3000, 1);
    histogram_read(&histogram, &earlier);
    histogram_record(&histogram, 20, 2);
    histogram_record(&histogram, 45, 1);
    histogram_read(&histogram, &copy);
    histogram_subtract(&copy, &earlier);
    assert_int_equal(histogram_count(&copy), 3);
    assert_int_equal(copy.bins[1][10], 2);
    assert_int_equal(copy.bins[1][35], 1);
    assert_int_equal(copy.sum_ns[1], 85);
    assert_int_equal(copy.sum_ns[3], 0);
    assert_int_equal(histogram_decade_count(&copy, 3), 0);
}

static void expect_quantile(double quantile, int64_t ns)
{
    int64_t is_ns = histogram_quantile_ns(&copy, quantile);
    if (is_ns != ns)
        fail_msg("quantile %f is %lld ns, not %lld", quantile, (long long)is_ns, (long long)ns);
}

static void test_quantiles(void **state)
{
    (void)state;
    histogram_read(&histogram, &copy);
    expect_quantile(0.5, 0); /* none */
    for (int64_t ns = 10; ns < 100; ns++)
        histogram_record(&histogram, ns, 1);
    histogram_record(&histogram, 1234, 9);
    histogram_record(&histogram, 5, 1);
    histogram_read(&histogram, &copy); /* 5, 10 to 99, nine of 1234: a hundred */
    expect_quantile(0, 5);
    expect_quantile(0.01, 5);
    expect_quantile(0.02, 10);
    expect_quantile(0.5, 58);
    expect_quantile(0.91, 99);
    expect_quantile(0.92, 1250); /* the middle of 1200 to 1299 */
    expect_quantile(1, 1250);
}

static void test_quantile_of_single_digits(void **state)
{
    (void)state;
    for (int64_t ns = 1; ns < 10; ns++) {
        record_one(ns);
        expect_quantile(0.5, ns);
    }
    record_one(0);
    expect_quantile(0.5, 1); /* 0 counts as 1 */
}

/* The bin's middle is within 5 % of what was recorded, over all decades. */
static void test_quantile_is_exact_to_two_digits(void **state)
{
    (void)state;
    for (int64_t ns = 10; ns < INT64_C(10000000000000); ns = ns * 17 / 10 + 3) {
        record_one(ns);
        int64_t is_ns = histogram_quantile_ns(&copy, 0.99);
        int64_t off_ns = is_ns > ns ? is_ns - ns : ns - is_ns;
        assert_true(off_ns <= ns / 20);
    }
}

static void test_counters(void **state)
{
    (void)state;
    static const struct counter definitions[] = {{"lost", "", true}, {"seen", "", false}, {"late", "", true}};
    static struct node_stats stats;
    assert_int_equal(stats_dropped_count(&stats), 0);
    stats.definitions = definitions;
    stats.definition_count = 3;
    stats_count(&stats, 0);
    stats_count(&stats, 1);
    stats_add(&stats.counters[2], 10);
    stats_count(&stats, 2);
    stats_add(&stats.counters[3], 1000); /* behind the definitions: a function's */
    assert_int_equal(stats_get(&stats.counters[2]), 11);
    assert_int_equal(stats_dropped_count(&stats), 12);
    stats_set(&stats.queued_count, 5);
    stats_set(&stats.queued_count, 3);
    assert_int_equal(stats_get(&stats.queued_count), 3);
}

/* Each bin's first latency and the one before it: the bin is found by a product, which must not be off by one. */
static void test_bins_begin_where_they_should(void **state)
{
    (void)state;
    int64_t power = 1;
    for (unsigned decade = 1; decade < HISTOGRAM_DECADE_COUNT; decade++, power *= 10) {
        for (unsigned digits = 10; digits < 100; digits++) {
            clear(NULL);
            int64_t first_ns = (int64_t)digits * power;
            histogram_record(&histogram, first_ns, 1);
            histogram_record(&histogram, first_ns + power - 1, 1);
            histogram_read(&histogram, &copy);
            assert_int_equal(copy.bins[decade][digits - 10], 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bins_begin_where_they_should),
        cmocka_unit_test_setup(test_decades_are_exact, clear),
        cmocka_unit_test_setup(test_two_leading_digits, clear),
        cmocka_unit_test_setup(test_every_latency_is_in_its_decade, clear),
        cmocka_unit_test_setup(test_limits, clear),
        cmocka_unit_test_setup(test_counts_and_sums, clear),
        cmocka_unit_test_setup(test_subtract, clear),
        cmocka_unit_test_setup(test_quantiles, clear),
        cmocka_unit_test_setup(test_quantile_of_single_digits, clear),
        cmocka_unit_test_setup(test_quantile_is_exact_to_two_digits, clear),
        cmocka_unit_test_setup(test_counters, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
