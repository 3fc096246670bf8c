/* answers.c: which answers wait for the disk, and how many may. The test turns the queue and the journal, so that
 * nothing is on the disk before it says so. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/store/journal.h"
#include "nodes/node_types.h"
#include "nodes/queue/queue_private.h"
#include "tests/support/stepped_launch.h"

static struct stepped_launch launch;
static struct node *node;
static struct queue *queue;
static char place[64];
static int fd; /* a client's */

static int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof place, "/tmp/test_queue_answers.XXXXXX");
    return mkdtemp(place) == NULL;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    close(fd);
    stepped_close(&launch);
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

/* A queue alone, and a client of its socket of this type. */
static void begin(const char *durability, const char *address, int type)
{
    const char *const flags[] = {"--store",   place,   "--sync-interval", "60",       "--mq",
                                 "--address", address, "--durability",    durability, NULL};
    struct error error = {0};
    if (stepped_open(&launch, flags, NULL, NULL, false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    node = launch.nodes[0];
    queue = node->state;
    if (journal_start(node->journal, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    struct sockaddr_in at = stepped_listening_place(type);
    fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
}

static void ask(const char *frame)
{
    assert_int_equal(send(fd, frame, strlen(frame), 0), strlen(frame));
}

static uint64_t counted(enum queue_counter counter)
{
    return stats_get(&node->stats->counters[counter]);
}

static bool has_answer(void)
{
    struct pollfd descriptor = {.fd = fd, .events = POLLIN};
    return poll(&descriptor, 1, 0) == 1;
}

static void assert_answer(const char *answer)
{
    char text[200] = "";
    STEPPED_WAIT(&launch, has_answer());
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, answer);
}

/* What was done up to now is on the disk when it returns; and no answer has left because of it. */
static void keep(void)
{
    int64_t deadline_ns;
    uint64_t ticket = journal_ticket(node->journal);
    while (journal_synced_ticket(node->journal) < ticket)
        (void)journal_end_turn(node->journal, launch.now_ns, &deadline_ns);
}

/* The message's number is in the token. After a crash that loses the message the next one would get the same number,
 * and an acknowledgement or a worker that has done it would be for the wrong one. */
static void test_a_lease_waits_for_its_message_to_be_on_the_disk(void **state)
{
    (void)state;
    begin("async", "tcp://127.0.0.1:0", SOCK_STREAM);
    ask("15LEASE");
    assert_answer("10");
    ask("15PUT:a");
    assert_answer("1bPUT 1 bytes");
    ask("15LEASE14SIZE"); /* the second needs not wait, but its turn */
    STEPPED_WAIT(&launch, queue->held.count == 2);
    assert_int_equal(counted(COUNTER_LEASED), 1);
    assert_false(has_answer());
    keep();
    STEPPED_WAIT(&launch, queue->held.count == 0);
    char text[200] = "";
    STEPPED_WAIT(&launch, has_answer());
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, ":1:a110"));
    assert_int_equal(counted(COUNTER_REPLIES_FAILED), 0);
}

/* What is on the disk is leased at once, and what says no number waits for nothing. */
static void test_other_answers_of_an_async_queue_do_not_wait(void **state)
{
    (void)state;
    begin("async", "tcp://127.0.0.1:0", SOCK_STREAM);
    ask("15PUT:a");
    assert_answer("1bPUT 1 bytes");
    journal_want_sync(node->journal);
    keep();
    ask("15LEASE");
    STEPPED_WAIT(&launch, has_answer());
    char text[200] = "";
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, ":1:a"));
    ask("15PUT:b");
    assert_answer("1bPUT 1 bytes");
    ask("13GET");
    assert_answer("11b");
    ask("1dPUTID:name:cc");
    assert_answer("1bPUT 2 bytes");
    assert_int_equal(queue->held.count, 0);
}

/* So many datagrams' answers wait and no more; those beyond are as good as lost on the way, and counted. */
static void test_datagrams_are_let_go_when_too_many_answers_wait(void **state)
{
    enum { HELD_MAX = 65536, GROUP = 64 };
    (void)state;
    begin("sync", "127.0.0.1:0", SOCK_DGRAM);
    for (unsigned i = 0; i < HELD_MAX; i += GROUP) {
        for (unsigned j = 0; j < GROUP; j++)
            ask("15PUT:a");
        STEPPED_WAIT(&launch, stats_get(&node->stats->in_count) == i + GROUP);
    }
    assert_int_equal(queue->held.count, HELD_MAX);
    assert_int_equal(counted(COUNTER_UNHEARD), 0);
    ask("15PUT:b");
    ask("14SIZE"); /* answered at once else, but nobody can tell before it is read */
    STEPPED_WAIT(&launch, counted(COUNTER_UNHEARD) == 2);
    assert_int_equal(stats_get(&node->stats->in_count), HELD_MAX);
    assert_int_equal(queue->held.count, HELD_MAX);
    assert_false(has_answer());
    keep();
    STEPPED_WAIT(&launch, queue->held.count == 0);
    while (has_answer()) { /* as many of them as its buffer holds */
        char text[200] = "";
        assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
        assert_string_equal(text, "1bPUT 1 bytes");
    }
    ask("14SIZE");
    assert_answer("1565536");
    assert_int_equal(counted(COUNTER_UNHEARD), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_lease_waits_for_its_message_to_be_on_the_disk, make_place, end),
        cmocka_unit_test_setup_teardown(test_other_answers_of_an_async_queue_do_not_wait, make_place, end),
        cmocka_unit_test_setup_teardown(test_datagrams_are_let_go_when_too_many_answers_wait, make_place, end),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
