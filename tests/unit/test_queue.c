/* queue.c: what a queue says of messages that came to it as whole blocks. The real nodes, turned by the test. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_latency_of_a_block_that_was_passed_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
