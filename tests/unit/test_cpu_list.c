/* Lists of processors: what is one, which entry is whose, and binding. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu_list.h"

/* The processors that this process may use, in order. */
static int usable[CPU_SETSIZE];
static unsigned usable_count;

static int find_usable(void **state)
{
    (void)state;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set))
            usable[usable_count++] = cpu;
    return usable_count > 0 ? 0 : -1;
}

static int pick(const char *text, unsigned index)
{
    int cpu = -1;
    struct error error = {0};
    if (cpu_list_pick(text, index, &cpu, &error) != STATUS_OK)
        fail_msg("'%s': %s", text, error.text);
    return cpu;
}

static void test_usable_count(void **state)
{
    (void)state;
    assert_int_equal(cpu_usable_count(), usable_count);
}

static void test_list_and_turns(void **state)
{
    (void)state;
    char text[64];
    int first = usable[0];
    int last = usable[usable_count - 1];
    snprintf(text, sizeof text, "%d,%d", last, first);
    assert_int_equal(pick(text, 0), last);
    assert_int_equal(pick(text, 1), first);
    assert_int_equal(pick(text, 2), last); /* in turn */
    assert_int_equal(pick(text, 4294967295u), first);
    snprintf(text, sizeof text, "%d,%d,%d", first, first, last); /* twice means twice as often */
    assert_int_equal(pick(text, 1), first);
    assert_int_equal(pick(text, 2), last);
    snprintf(text, sizeof text, "%d", first);
    assert_int_equal(pick(text, 7), first);
}

static void test_ranges(void **state)
{
    (void)state;
    char text[64];
    unsigned run = 1; /* as many as follow each other without a gap */
    while (run < usable_count && usable[run] == usable[0] + (int)run)
        run++;
    snprintf(text, sizeof text, "%d-%d", usable[0], usable[run - 1]);
    for (unsigned i = 0; i < run; i++)
        assert_int_equal(pick(text, i), usable[i]);
    assert_int_equal(pick(text, run), usable[0]);
    snprintf(text, sizeof text, "%d-%d,%d-%d", usable[0], usable[0], usable[0], usable[run - 1]);
    assert_int_equal(pick(text, 1), usable[0]);
    assert_int_equal(pick(text, run), usable[run - 1]);
}

static void test_no_list(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        ",",
                                        "0,",
                                        ",0",
                                        "0,,0",
                                        "a",
                                        "0a",
                                        "0-",
                                        "-0",
                                        "0-a",
                                        "1-0",
                                        "0-0-0",
                                        "0 ,0",
                                        " 0",
                                        "+0",
                                        "-1",
                                        "0x0",
                                        "0;0",
                                        "0.0",
                                        "1024",
                                        "99999999999999999999",
                                        "0-99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int cpu = -7;
        struct error error = {0};
        if (cpu_list_pick(texts[i], 0, &cpu, &error) != STATUS_USAGE)
            fail_msg("'%s' was taken", texts[i]);
        assert_int_equal(cpu, -7);
        assert_non_null(strstr(error.text, "--cpu-list"));
    }
}

static void test_not_ours(void **state)
{
    (void)state;
    int absent = CPU_SETSIZE - 1;
    for (unsigned i = usable_count; i > 0 && usable[i - 1] == absent; i--)
        absent--;
    char text[64];
    int cpu;
    struct error error = {0};
    snprintf(text, sizeof text, "%d,%d", usable[0], absent);
    assert_int_equal(cpu_list_pick(text, 0, &cpu, &error), STATUS_USAGE); /* also if another entry is its own */
    snprintf(text, sizeof text, "processor %d", absent);
    assert_non_null(strstr(error.text, text));
}

static void test_bind(void **state)
{
    (void)state;
    struct error error = {0};
    cpu_set_t set;
    int last = usable[usable_count - 1];
    assert_int_equal(cpu_bind(pthread_self(), last, &error), STATUS_OK);
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof set, &set), 0);
    assert_int_equal(CPU_COUNT(&set), 1);
    assert_true(CPU_ISSET((size_t)last, &set));
    assert_int_equal(cpu_usable_count(), 1);
    CPU_ZERO(&set);
    for (unsigned i = 0; i < usable_count; i++)
        CPU_SET((size_t)usable[i], &set);
    assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof set, &set), 0);

    if (usable[usable_count - 1] != CPU_SETSIZE - 1) {
        assert_int_equal(cpu_bind(pthread_self(), CPU_SETSIZE - 1, &error), STATUS_SYSTEM);
        assert_non_null(strstr(error.text, "cannot bind a thread to processor 1023"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usable_count), cmocka_unit_test(test_list_and_turns), cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_no_list),      cmocka_unit_test(test_not_ours),       cmocka_unit_test(test_bind),
    };
    return cmocka_run_group_tests(tests, find_usable, NULL);
}
