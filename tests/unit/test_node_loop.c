/* The thread loop: turns, deadlines, ends, descriptors; and a thread that sleeps until something comes. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/node_loop.h"

enum { LIMIT_S = 50 };

/* A node whose step does what the test says. */
struct puppet {
    struct node node;
    struct node_stats stats;
    size_t work;          /* what step returns */
    int64_t deadline_ns;  /* what it sets */
    int64_t saw_now_ns;   /* what it was given */
    size_t step_count;    /* how often it was called */
    size_t log_step;      /* it logs at this one */
    size_t steps_to_live; /* it is done at so many steps; 0: never */
    _Atomic bool wanted;  /* a thread's puppet: end at the next step */
};

static size_t puppet_step(struct node *node, int64_t now_ns)
{
    struct puppet *puppet = node->state;
    puppet->step_count++;
    puppet->saw_now_ns = now_ns;
    if (puppet->step_count == puppet->log_step)
        log_line(node->log, LOG_INFO, "here");
    node->deadline_ns = puppet->deadline_ns;
    node->done =
        puppet->step_count == puppet->steps_to_live || atomic_load_explicit(&puppet->wanted, memory_order_relaxed);
    return puppet->work;
}

static const struct node_type puppet_type = {.name = "puppet", .title = "Puppet", .step = puppet_step};

enum { PUPPET_COUNT = 3 };

/* A loop of three. */
struct stage {
    struct node_loop loop;
    struct idle_crowd crowd;
    struct puppet puppets[PUPPET_COUNT];
    struct node *nodes[PUPPET_COUNT];
    int64_t next_poll_ns;
    int64_t deadline_ns;
    bool all_done;
};

static size_t ended_count; /* by which thread it may be written: the loop's, and read when that has ended */

static void count_end(struct node *node)
{
    assert_true(atomic_load(&node->ended));
    ended_count++;
}

static int open_stage(void **state)
{
    struct stage *stage = aligned_alloc(CACHE_LINE_BYTES, sizeof *stage);
    if (stage == NULL)
        return -1;
    memset(stage, 0, sizeof *stage);
    stage->crowd.processor_count = 1;
    idle_open(&stage->loop.idle, &stage->crowd);
    for (size_t i = 0; i < PUPPET_COUNT; i++) {
        struct puppet *puppet = &stage->puppets[i];
        struct error error = {0};
        struct log_settings settings = {.node_name = "puppet", .address = "", .console = true, .level = LOG_INFO};
        puppet->deadline_ns = puppet->node.deadline_ns = CLOCK_NEVER_NS;
        puppet->node.type = &puppet_type;
        puppet->node.state = puppet;
        puppet->node.stats = &puppet->stats;
        puppet->node.idle = &stage->loop.idle;
        if (log_open(&puppet->node.log, &settings, &error) != STATUS_OK)
            return -1;
        stage->nodes[i] = &puppet->node;
    }
    stage->loop.nodes = stage->nodes;
    stage->loop.node_count = PUPPET_COUNT;
    stage->loop.node_ended = count_end;
    ended_count = 0;
    *state = stage;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *stage = *state;
    node_loop_join(&stage->loop);
    idle_close(&stage->loop.idle);
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        log_close(&stage->puppets[i].node.log);
    free(stage);
    return 0;
}

static size_t turn(struct stage *stage, int64_t now_ns)
{
    return node_loop_turn(&stage->loop, now_ns, &stage->next_poll_ns, &stage->deadline_ns, &stage->all_done);
}

static void test_work_adds_up(void **state)
{
    struct stage *stage = *state;
    stage->puppets[0].work = 3;
    stage->puppets[2].work = 39;
    assert_int_equal(turn(stage, 1234), 42);
    assert_false(stage->all_done);
    assert_true(stage->deadline_ns == CLOCK_NEVER_NS);
    for (size_t i = 0; i < PUPPET_COUNT; i++) {
        assert_int_equal(stage->puppets[i].step_count, 1);
        assert_true(stage->puppets[i].saw_now_ns == 1234);
    }
    assert_int_equal(stats_get(&stage->puppets[0].stats.step_count), 1);
    assert_int_equal(stats_get(&stage->puppets[1].stats.step_count), 0); /* turns that found work */
    stage->puppets[0].work = stage->puppets[2].work = 0;
    assert_int_equal(turn(stage, 1235), 0);
    assert_int_equal(stats_get(&stage->puppets[0].stats.step_count), 1);
}

static void test_the_earliest_deadline(void **state)
{
    struct stage *stage = *state;
    stage->puppets[0].deadline_ns = 500;
    stage->puppets[1].deadline_ns = 300;
    turn(stage, 1);
    assert_true(stage->deadline_ns == 300);
    stage->puppets[1].steps_to_live = 2; /* whoever has ended waits for nothing */
    turn(stage, 2);
    assert_true(stage->deadline_ns == 500);
    stage->puppets[0].deadline_ns = CLOCK_NEVER_NS;
    turn(stage, 3);
    assert_true(stage->deadline_ns == CLOCK_NEVER_NS);
}

static void test_ends(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        stage->puppets[i].steps_to_live = i + 1;
    assert_int_equal(turn(stage, 1), 1); /* an end is work: the others look again */
    assert_true(atomic_load(&stage->puppets[0].node.ended));
    assert_false(atomic_load(&stage->puppets[1].node.ended));
    assert_int_equal(ended_count, 1);
    assert_false(stage->all_done);
    turn(stage, 2);
    assert_int_equal(stage->puppets[0].step_count, 1); /* not called again */
    assert_int_equal(ended_count, 2);
    turn(stage, 3);
    assert_true(stage->all_done);
    assert_int_equal(ended_count, 3);
    assert_int_equal(turn(stage, 4), 0);
    assert_true(stage->all_done);
    assert_int_equal(stage->puppets[2].step_count, 3);
    assert_int_equal(ended_count, 3);
}

struct watched {
    struct poll_source source;
    size_t ready_count;
    bool leaves; /* does not read: is reported again */
};

static void on_ready(struct poll_source *source, uint32_t events)
{
    (void)events;
    struct watched *watched = (struct watched *)(void *)source;
    char byte;
    watched->ready_count++;
    if (!watched->leaves)
        assert_int_equal(read(source->fd, &byte, 1), 1);
}

static void test_descriptors(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    struct poller *poller;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct watched watched = {.source = {.fd = ends[0], .ready = on_ready}, .leaves = true};
    assert_int_equal(node_poller(stage->nodes[0], &poller, &error), STATUS_OK);
    assert_int_equal(poller_add(poller, &watched.source, EPOLLIN, &error), STATUS_OK);
    assert_int_equal(write(ends[1], "x", 1), 1);
    stage->next_poll_ns = 1000;
    assert_int_equal(turn(stage, 999), 0); /* not yet time to look */
    assert_int_equal(watched.ready_count, 0);
    assert_int_equal(turn(stage, 1000), 1);
    assert_int_equal(watched.ready_count, 1);
    assert_int_equal(turn(stage, 1001), 1); /* while they bring work they are looked at each turn */
    watched.leaves = false;
    assert_int_equal(turn(stage, 1002), 1);
    assert_int_equal(turn(stage, 1003), 0);
    assert_true(stage->next_poll_ns > 1003);
    assert_int_equal(watched.ready_count, 3);
    poller_remove(poller, &watched.source);
    close(ends[0]);
    close(ends[1]);
}

static void test_thread_runs_to_the_end(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    for (size_t i = 0; i < PUPPET_COUNT; i++) {
        stage->puppets[i].work = 1;
        stage->puppets[i].steps_to_live = 1000 * (i + 1);
    }
    memcpy(stage->loop.thread_name, "puppets", sizeof "puppets");
    assert_int_equal(node_loop_start(&stage->loop, &error), STATUS_OK);
    node_loop_join(&stage->loop);
    node_loop_join(&stage->loop); /* once is enough */
    assert_int_equal(ended_count, PUPPET_COUNT);
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        assert_int_equal(stage->puppets[i].step_count, 1000 * (i + 1));
    assert_int_equal(atomic_load(&stage->crowd.awake_count), 0);
}

static void test_thread_sleeps_until_woken(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    assert_int_equal(node_loop_start(&stage->loop, &error), STATUS_OK);
    for (size_t i = 0; i < PUPPET_COUNT; i++) {
        while (atomic_load(&stage->loop.idle.state) == IDLE_AWAKE) /* bounded by the alarm */
            sched_yield();
        atomic_store_explicit(&stage->puppets[i].wanted, true, memory_order_relaxed);
        idle_wake(&stage->loop.idle);
    }
    node_loop_join(&stage->loop);
    assert_int_equal(ended_count, PUPPET_COUNT);
}

static void test_thread_wakes_for_a_deadline(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    for (size_t i = 0; i < PUPPET_COUNT; i++) {
        stage->puppets[i].deadline_ns = clock_monotonic_ns(); /* over at the first step: never sleeps long */
        stage->puppets[i].steps_to_live = 5;
    }
    assert_int_equal(node_loop_start(&stage->loop, &error), STATUS_OK);
    node_loop_join(&stage->loop); /* nobody wakes it */
    assert_int_equal(ended_count, PUPPET_COUNT);
}

/* What a node logged is not kept while its thread sleeps. */
static void test_resting_flushes_logs(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    char text[200];
    size_t length = 0;
    int ends[2];
    int stderr_fd = dup(STDERR_FILENO);
    assert_true(stderr_fd >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    stage->puppets[0].log_step = 2; /* a loop's first turn flushes anyhow */
    assert_int_equal(node_loop_start(&stage->loop, &error), STATUS_OK);
    do { /* bounded by the alarm */
        ssize_t got = read(ends[0], text + length, sizeof text - length);
        assert_true(got > 0);
        length += (size_t)got;
    } while (text[length - 1] != '\n');
    dup2(stderr_fd, STDERR_FILENO);
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        atomic_store_explicit(&stage->puppets[i].wanted, true, memory_order_relaxed);
    idle_wake(&stage->loop.idle);
    node_loop_join(&stage->loop);
    text[length - 1] = '\0';
    assert_non_null(strstr(text, "puppet INFO: here"));
    close(stderr_fd);
    close(ends[0]);
    close(ends[1]);
}

/* What a node rests on must not be what its producer waits for. */
static void test_resting_gives_blocks_back(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    struct idle producer;
    idle_open(&producer, &stage->crowd);
    struct edge *edge = edge_new(256, EDGE_RETURN_COUNT + 1);
    edge->producer_idle = &producer;
    edge->consumer_idle = &stage->loop.idle;
    struct port port = {.edge = edge, .kind = LINK_PUT};
    stage->puppets[0].node.inputs = &port;
    stage->puppets[0].node.input_count = 1;
    for (int i = 0; i < 3; i++) { /* read, and kept by the consumer */
        edge_emit(edge, "x", 1, 0);
        edge_flush(edge);
        assert_non_null(edge_peek(edge));
        edge_pop(edge);
        edge_settle(edge);
    }
    while (edge_has_room(edge))
        edge_emit(edge, "y", 1, 0);
    atomic_store(&producer.state, IDLE_PARKED_FUTEX);
    assert_int_equal(node_loop_start(&stage->loop, &error), STATUS_OK);
    while (atomic_load(&producer.state) != IDLE_AWAKE) /* its nodes do not step the edge: only the loop can do it */
        sched_yield();
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        atomic_store_explicit(&stage->puppets[i].wanted, true, memory_order_relaxed);
    idle_wake(&stage->loop.idle);
    node_loop_join(&stage->loop);
    assert_true(edge_flush(edge));
    assert_true(edge_has_room(edge));
    edge_free(&edge);
    idle_close(&producer);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_work_adds_up),
        LOOP_TEST(test_the_earliest_deadline),
        LOOP_TEST(test_ends),
        LOOP_TEST(test_descriptors),
        LOOP_TEST(test_thread_runs_to_the_end),
        LOOP_TEST(test_thread_sleeps_until_woken),
        LOOP_TEST(test_thread_wakes_for_a_deadline),
        LOOP_TEST(test_resting_flushes_logs),
        LOOP_TEST(test_resting_gives_blocks_back),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
