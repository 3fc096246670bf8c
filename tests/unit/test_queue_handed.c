/* kept.c: when messages that a queue has handed to a durable worker of its launch are settled. The test turns the nodes
 * and the journal, so that a cut comes when the worker has released some of them and not others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/store/journal.h"
#include "nodes/node_types.h"
#include "nodes/queue/queue_private.h"
#include "tests/support/stepped_launch.h"

static struct stepped_launch launch;
static struct node *in, *worker, *out;
static char place[64];

static int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof place, "/tmp/test_queue_handed.XXXXXX");
    return mkdtemp(place) == NULL;
}

static int remove_place(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

static void begin(void)
{
    const char *const flags[] = {"--store",
                                 place,
                                 "--mq",
                                 "--address",
                                 "in",
                                 "--durability",
                                 "async",
                                 "--worker",
                                 "--function",
                                 "double",
                                 "--guarantee",
                                 "exactly-once",
                                 "--input-address",
                                 "in",
                                 "--output-address",
                                 "out",
                                 "--mq",
                                 "--address",
                                 "out",
                                 "--durability",
                                 "async",
                                 NULL};
    struct error error = {0};
    if (stepped_open(&launch, flags, "in", "out", false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    in = launch.nodes[0];
    worker = launch.nodes[1];
    out = launch.nodes[2];
    if (journal_start(in->journal, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

static void put_numbers(int first, int last)
{
    for (int i = first; i <= last; i++) {
        char text[16];
        stepped_put(&launch, text, (size_t)snprintf(text, sizeof text, "%d", i));
    }
    edge_flush(launch.feed);
}

static uint64_t in_flight(void)
{
    return ((const struct queue *)in->state)->kept.handed_count;
}

/* Cuts, with the nodes as they are, until what is in the open batch now is in the file. */
static void keep(void)
{
    int64_t deadline_ns;
    uint64_t ticket = journal_ticket(in->journal);
    journal_want_sync(in->journal);
    while (journal_synced_ticket(in->journal) < ticket) {
        (void)journal_end_turn(in->journal, launch.now_ns, &deadline_ns);
        (void)stepped_turn(&launch, out); /* a cut may wait until it has taken what the worker emitted */
    }
}

static void assert_drains_doubles(int first, int last)
{
    for (int i = first; i <= last; i++) {
        const struct message *message = NULL;
        char text[16];
        size_t length = (size_t)snprintf(text, sizeof text, "%d", 2 * i);
        STEPPED_WAIT(&launch, (message = edge_peek(launch.drain)) != NULL);
        assert_int_equal(message->length, length);
        assert_memory_equal(message->text, text, length);
        assert_int_equal(stepped_take(&launch, 1), 1);
    }
}

static void test_only_what_was_released_is_settled(void **state)
{
    (void)state;
    begin();
    put_numbers(1, 10);
    assert_drains_doubles(1, 10);
    put_numbers(11, 15);
    for (int i = 0; i < 10; i++)
        stepped_turn(&launch, in);
    assert_int_equal(stats_get(&in->stats->in_count), 15);
    assert_int_equal(in_flight(), 15);
    keep();
    assert_int_equal(in_flight(), 5);
    assert_int_equal(stats_get(&in->stats->out_count), 10);
    assert_int_equal(contents_imbalance(in->state), 0);
    stepped_close(&launch);

    begin();
    assert_int_equal(stats_get(&in->stats->counters[COUNTER_RECOVERED]), 5);
    assert_drains_doubles(11, 15);
    keep();
    assert_int_equal(in_flight(), 0);
    stepped_close(&launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_what_was_released_is_settled, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
