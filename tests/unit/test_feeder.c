/* feeder.c: how much one step of it does. The real nodes, turned by the test. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nodes/node_types.h"
#include "tests/support/stepped_launch.h"

/* The row of blank_lines among the feeder's counters. */
enum { BLANK_LINES = 0 };

/* A file of nothing does not keep the feeder from hearing of a stop. */
static void test_blank_lines_are_taken_in_steps(void **state)
{
    (void)state;
    enum { LINE_COUNT = 100000 };
    char path[] = "/tmp/test_feeder.XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    assert_non_null(file);
    for (int i = 0; i < LINE_COUNT; i++)
        assert_int_equal(fputc('\n', file), '\n');
    assert_true(fputs("a line\n", file) >= 0);
    assert_int_equal(fclose(file), 0);

    const char *const flags[] = {"--mq", "--address", "in", "--feeder", "--address", "in", "--path", path, NULL};
    struct stepped_launch launch;
    struct error error = {0};
    assert_int_equal(stepped_open(&launch, flags, NULL, NULL, false, &error), STATUS_OK);
    assert_int_equal(unlink(path), 0);
    struct node *feeder = stepped_node(&launch, &feeder_type);
    const _Atomic uint64_t *blank_count = &feeder->stats->counters[BLANK_LINES];
    assert_true(stepped_turn(&launch, feeder) > 0); /* so it is called again at once */
    assert_true(stats_get(blank_count) > 0 && stats_get(blank_count) < LINE_COUNT);
    STEPPED_WAIT(&launch, feeder->done);
    assert_true(stats_get(blank_count) == LINE_COUNT);
    assert_true(stats_get(&feeder->stats->in_count) == 1);
    stepped_close(&launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blank_lines_are_taken_in_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
