/* report_schedule.c: slices, seconds and periods under steady, late and broken clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "nodes/metrics/report_schedule.h"

#define MS(ms) ((int64_t)(ms)*NS_PER_MS)

static struct report_schedule started(int64_t period_ms, int64_t wall_ms)
{
    struct report_schedule schedule;
    report_schedule_start(&schedule, MS(period_ms), MS(wall_ms));
    return schedule;
}

static void assert_slice(const struct report_slice *slice, int64_t second, bool owned, bool ends_period)
{
    assert_int_equal(slice->second, second);
    assert_int_equal(slice->owned, owned);
    assert_int_equal(slice->ends_period, ends_period);
}

static void assert_period(const struct report_slice *slice, int64_t t0_ms, int64_t t1_ms)
{
    assert_true(slice->ends_period);
    assert_int_equal(slice->t0_ns, MS(t0_ms));
    assert_int_equal(slice->t1_ns, MS(t1_ms));
}

static void test_whole_periods_end_on_whole_seconds(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1000, 100300);
    struct report_slice slice;
    assert_int_equal(report_schedule_due_ns(&schedule), MS(101000));
    assert_false(report_schedule_take(&schedule, MS(101000) - 1, &slice));
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    assert_slice(&slice, 100, true, true);
    assert_period(&slice, 100300, 101000);
    assert_false(report_schedule_take(&schedule, MS(101000), &slice));
    assert_int_equal(report_schedule_due_ns(&schedule), MS(102000));
    /* Late by 0.4 s: the bounds do not move. */
    assert_true(report_schedule_take(&schedule, MS(102400), &slice));
    assert_slice(&slice, 101, true, true);
    assert_period(&slice, 101000, 102000);
    assert_int_equal(report_schedule_due_ns(&schedule), MS(103000));
}

static void test_a_start_on_a_whole_second_gives_a_whole_period(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1000, 100000);
    struct report_slice slice;
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    assert_slice(&slice, 100, true, true);
    assert_period(&slice, 100000, 101000);
}

static void test_a_minute_is_sixty_slices(void **state)
{
    (void)state;
    struct report_schedule schedule = started(60000, 100300);
    struct report_slice slice;
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    assert_slice(&slice, 100, true, true);
    for (int64_t second = 101; second < 161; second++) {
        assert_false(report_schedule_take(&schedule, MS(second * 1000 + 999), &slice));
        assert_true(report_schedule_take(&schedule, MS(second * 1000 + 1000), &slice));
        assert_slice(&slice, second, true, second == 160);
    }
    assert_period(&slice, 101000, 161000);
}

static void test_short_periods_own_a_second_once(void **state)
{
    (void)state;
    struct report_schedule schedule = started(250, 100500);
    static const struct {
        int64_t second;
        bool owned;
    } expected[] = {{100, true}, {100, false}, {101, true}, {101, false}, {101, false}, {101, false}, {102, true}};
    struct report_slice slice;
    for (int i = 0; i < (int)(sizeof expected / sizeof expected[0]); i++) {
        assert_true(report_schedule_take(&schedule, MS(100750 + 250 * i), &slice));
        assert_slice(&slice, expected[i].second, expected[i].owned, true);
        assert_period(&slice, 100500 + 250 * i, 100750 + 250 * i);
    }
}

static void test_broken_periods_split_a_second(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1500, 100300); /* 100.3, 101.8, 103.3 */
    struct report_slice slice;
    int64_t now_ns = MS(104000);
    assert_true(report_schedule_take(&schedule, now_ns, &slice));
    assert_slice(&slice, 100, true, false);
    assert_true(report_schedule_take(&schedule, now_ns, &slice));
    assert_slice(&slice, 101, true, true);
    assert_period(&slice, 100300, 101800);
    assert_true(report_schedule_take(&schedule, now_ns, &slice));
    assert_slice(&slice, 101, false, false);
    assert_true(report_schedule_take(&schedule, now_ns, &slice));
    assert_slice(&slice, 102, true, false);
    assert_true(report_schedule_take(&schedule, now_ns, &slice));
    assert_slice(&slice, 103, true, true);
    assert_period(&slice, 101800, 103300);
}

struct expectation {
    int64_t next_second;
    int64_t t0_ns;
};

static void check_slice(struct expectation *expected, const struct report_slice *slice)
{
    assert_int_equal(slice->second, slice->owned ? expected->next_second : expected->next_second - 1);
    expected->next_second += slice->owned;
    if (!slice->ends_period)
        return;
    assert_int_equal(slice->t0_ns, expected->t0_ns);
    assert_true(slice->t1_ns >= slice->t0_ns);
    expected->t0_ns = slice->t1_ns;
}

/* Of any period, looked at at any times: the periods are contiguous and each second is owned once, in order. */
static void test_each_second_is_owned_once(void **state)
{
    (void)state;
    srand(1);
    for (int run = 0; run < 200; run++) {
        int64_t now_ms = 100000 + rand() % 3000;
        int64_t period_ms = run % 2 == 0 ? (1 + rand() % 5) * 1000 : 100 + rand() % 4000;
        struct expectation expected = {.next_second = now_ms / 1000, .t0_ns = MS(now_ms)};
        struct report_schedule schedule = started(period_ms, now_ms);
        struct report_slice slice;
        for (int i = 0; i < 100; i++) {
            now_ms += rand() % 5000;
            while (report_schedule_take(&schedule, MS(now_ms), &slice))
                check_slice(&expected, &slice);
        }
        report_schedule_finish(&schedule, MS(now_ms), &slice);
        check_slice(&expected, &slice);
        assert_int_equal(expected.t0_ns, MS(now_ms));
        assert_true(expected.next_second >= now_ms / 1000);
    }
}

static void test_a_stalled_thread_misses_no_second(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1000, 100300);
    struct report_slice slice;
    for (int64_t second = 100; second < 150; second++) {
        assert_true(report_schedule_take(&schedule, MS(150500), &slice));
        assert_slice(&slice, second, true, true);
    }
    assert_false(report_schedule_take(&schedule, MS(150500), &slice));
}

static void test_a_clock_set_forward_starts_anew(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1000, 100300);
    struct report_slice slice;
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    assert_true(report_schedule_take(&schedule, MS(5000400), &slice));
    assert_slice(&slice, 101, true, true);
    assert_period(&slice, 101000, 102000);
    assert_false(report_schedule_take(&schedule, MS(5000400), &slice));
    assert_int_equal(report_schedule_due_ns(&schedule), MS(5001000));
    assert_true(report_schedule_take(&schedule, MS(5001000), &slice));
    assert_slice(&slice, 5000, true, true);
    assert_period(&slice, 5000400, 5001000);
}

static void test_a_clock_set_back_starts_anew(void **state)
{
    (void)state;
    struct report_schedule schedule = started(60000, 100300);
    struct report_slice slice;
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    assert_true(report_schedule_take(&schedule, MS(102000), &slice));
    assert_true(report_schedule_take(&schedule, MS(50700), &slice));
    assert_slice(&slice, 102, true, true);
    assert_period(&slice, 101000, 103000);
    assert_int_equal(report_schedule_due_ns(&schedule), MS(51000));
    assert_true(report_schedule_take(&schedule, MS(51000), &slice));
    assert_slice(&slice, 50, true, true);
    assert_period(&slice, 50700, 51000);
}

static void test_a_clock_set_back_a_little_is_waited_for(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1000, 100000);
    struct report_slice slice;
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    assert_false(report_schedule_take(&schedule, MS(100500), &slice));
    assert_int_equal(report_schedule_due_ns(&schedule), MS(102000));
    assert_true(report_schedule_take(&schedule, MS(102000), &slice));
    assert_slice(&slice, 101, true, true);
}

static void test_the_last_period_is_partial(void **state)
{
    (void)state;
    struct report_schedule schedule = started(1000, 100300);
    struct report_slice slice;
    report_schedule_finish(&schedule, MS(100800), &slice);
    assert_slice(&slice, 100, true, true);
    assert_period(&slice, 100300, 100800);

    schedule = started(1000, 100300);
    assert_true(report_schedule_take(&schedule, MS(101000), &slice));
    report_schedule_finish(&schedule, MS(101400), &slice);
    assert_slice(&slice, 101, true, true);
    assert_period(&slice, 101000, 101400);

    /* Not beyond where the slice ends, nor before where it began. */
    schedule = started(1000, 100300);
    report_schedule_finish(&schedule, MS(999999), &slice);
    assert_period(&slice, 100300, 101000);
    schedule = started(1000, 100300);
    report_schedule_finish(&schedule, MS(5), &slice);
    assert_period(&slice, 100300, 100300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_periods_end_on_whole_seconds),
        cmocka_unit_test(test_a_start_on_a_whole_second_gives_a_whole_period),
        cmocka_unit_test(test_a_minute_is_sixty_slices),
        cmocka_unit_test(test_short_periods_own_a_second_once),
        cmocka_unit_test(test_broken_periods_split_a_second),
        cmocka_unit_test(test_each_second_is_owned_once),
        cmocka_unit_test(test_a_stalled_thread_misses_no_second),
        cmocka_unit_test(test_a_clock_set_forward_starts_anew),
        cmocka_unit_test(test_a_clock_set_back_starts_anew),
        cmocka_unit_test(test_a_clock_set_back_a_little_is_waited_for),
        cmocka_unit_test(test_the_last_period_is_partial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
