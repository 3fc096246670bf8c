/* queue.c: what a queue says of messages that came to it as whole blocks, and its end on the durable thread. The real
 * nodes, turned by the test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/clock.h"
#include "nodes/node_types.h"
#include "tests/support/stepped_launch.h"

/* A message waits in a queue from when it was put there, however old it was then. */
static void test_latency_of_a_block_that_was_passed_on(void **state)
{
    (void)state;
    static const char *const flags[] = {"--mq", "--address",        "in",  "--worker",   "--input-address",
                                        "in",   "--output-address", "out", "--function", "passthrough",
                                        "--mq", "--address",        "out", "--address",  "127.0.0.1:0",
                                        NULL};
    enum { MESSAGE_COUNT = 100, AGE_S = 1000 };
    struct stepped_launch launch;
    struct error error = {0};
    if (stepped_open(&launch, flags, "in", NULL, false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    struct node *queue = launch.nodes[2];
    static const char text[100] = "a quarter of a block and more";
    for (int i = 0; i < MESSAGE_COUNT; i++)
        edge_emit(launch.feed, text, sizeof text, launch.now_ns - AGE_S * NS_PER_S);
    STEPPED_WAIT(&launch, stats_get(&queue->stats->queued_count) == MESSAGE_COUNT);

    struct sockaddr_in place = stepped_listening_place(SOCK_DGRAM);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(sendto(fd, "13GET", 5, 0, (struct sockaddr *)&place, sizeof place), 5);
    STEPPED_WAIT(&launch, stats_get(&queue->stats->out_count) == 1);
    close(fd);
    struct histogram_copy latency;
    histogram_read(&queue->stats->latency, &latency);
    assert_true(histogram_count(&latency) == 1);
    for (unsigned i = 0; i < HISTOGRAM_DECADE_COUNT; i++)
        assert_true(latency.sum_ns[i] < (uint64_t)AGE_S * NS_PER_S);
    stepped_close(&launch);
}

/* ---- with a store ---- */

static char place[64];

static int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof place, "/tmp/test_queue.XXXXXX");
    return mkdtemp(place) == NULL;
}

static int remove_place(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

/* in -> worker -> out, all durable; `extra` is for the second queue. */
static void open_durable(struct stepped_launch *launch, const char *extra, const char *value)
{
    const char *const flags[] = {"--store",
                                 place,
                                 "--mq",
                                 "--address",
                                 "in",
                                 "--durability",
                                 "async",
                                 "--worker",
                                 "--input-address",
                                 "in",
                                 "--output-address",
                                 "out",
                                 "--function",
                                 "double",
                                 "--guarantee",
                                 "exactly-once",
                                 "--mq",
                                 "--address",
                                 "out",
                                 "--durability",
                                 "async",
                                 extra,
                                 value,
                                 NULL};
    struct error error = {0};
    if (stepped_open(launch, flags, "in", NULL, false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

/* What a worker has emitted is with the queue when both have ended, or the last cut cannot be made. */
static void test_abandoned_with_a_full_ring(void **state)
{
    (void)state;
    enum { MESSAGE_COUNT = 6000 };
    struct stepped_launch launch;
    open_durable(&launch, "--capacity", "1000000");
    struct node *in = launch.nodes[0];
    struct node *worker = launch.nodes[1];
    struct node *out = launch.nodes[2];
    for (unsigned i = 0; i < MESSAGE_COUNT; i++)
        stepped_put(&launch, "1", 1);
    edge_flush(launch.feed);
    launch.now_ns += 1000 * NS_PER_S; /* the worker's time for a step is not over before its messages are */
    for (unsigned i = 0; i < 10; i++) {
        stepped_turn(&launch, in);
        stepped_turn(&launch, worker);
    }
    const struct edge *edge = worker->outputs[0].edge;
    assert_true(edge_in_flight(edge) > 1024); /* more than a queue takes in a step */
    topology_stop(launch.topology, STOP_ABANDON);
    stepped_turn(&launch, worker);
    stepped_turn(&launch, out);
    assert_true(worker->done && out->done);
    assert_int_equal(edge_in_flight(edge), 0);
    assert_int_equal(stats_get(&out->stats->in_count), stats_get(&worker->stats->out_count));
    stepped_close(&launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_of_a_block_that_was_passed_on),
        cmocka_unit_test_setup_teardown(test_abandoned_with_a_full_ring, make_place, remove_place),
    };
    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
