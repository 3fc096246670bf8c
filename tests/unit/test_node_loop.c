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
    size_t work;                        /* what step returns */
    int64_t deadline_ns;                /* what it sets */
    int64_t saw_now_ns;                 /* what it was given */
    size_t step_count;                  /* how often it was called */
    size_t log_step;                    /* it logs at this one */
    size_t steps_to_live;               /* it is done at so many steps; 0: never */
    void (*act)(struct puppet *puppet); /* what it does in a step; NULL: nothing */
    bool has_acted;                     /* for acts */
    _Atomic bool wanted;                /* a thread's puppet: end at the next step */
};

static size_t puppet_step(struct node *node, int64_t now_ns)
{
    struct puppet *puppet = node->state;
    puppet->step_count++;
    puppet->saw_now_ns = now_ns;
    if (puppet->act != NULL)
        puppet->act(puppet);
    if (puppet->step_count == puppet->log_step)
        log_line(node->log, LOG_INFO, "here");
    node->deadline_ns = puppet->deadline_ns;
    node->done = node->done || puppet->step_count == puppet->steps_to_live ||
                 atomic_load_explicit(&puppet->wanted, memory_order_relaxed);
    return puppet->work;
}

static const struct node_type puppet_type = {.name = "puppet", .title = "Puppet", .step = puppet_step};

enum { PUPPET_COUNT = 3 };

/* A loop of three. */
struct stage {
    struct node_loop loop;
    _Atomic int phase; /* what its loop knows as the stop phase, if the test says so */
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

/* ---- quiet nodes ---- */

static void set_phase(struct stage *stage, const _Atomic int *phase)
{
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        stage->puppets[i].node.stop_phase = phase;
}

static void know_phase(struct stage *stage)
{
    set_phase(stage, &stage->phase);
    node_loop_prepare(&stage->loop);
}

/* Steps that each puppet got in one turn at `now_ns`: "110". */
static const char *stepped(struct stage *stage, int64_t now_ns)
{
    static char text[PUPPET_COUNT + 1];
    size_t before[PUPPET_COUNT];
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        before[i] = stage->puppets[i].step_count;
    turn(stage, now_ns);
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        text[i] = (char)('0' + (stage->puppets[i].step_count - before[i]));
    return text;
}

static struct edge *edge_between(struct stage *stage, struct port *out, size_t producer, struct port *in,
                                 size_t consumer)
{
    struct edge *edge = edge_new(256, EDGE_RETURN_COUNT + 1);
    *out = *in = (struct port){.edge = edge, .kind = LINK_PUT};
    if (producer < PUPPET_COUNT) {
        edge->producer_idle = &stage->loop.idle;
        stage->puppets[producer].node.outputs = out;
        stage->puppets[producer].node.output_count = 1;
    }
    if (consumer < PUPPET_COUNT) {
        edge->consumer_idle = &stage->loop.idle;
        stage->puppets[consumer].node.inputs = in;
        stage->puppets[consumer].node.input_count = 1;
    }
    return edge;
}

static void put(struct edge *edge)
{
    edge_emit(edge, "x", 1, 0);
    edge_flush(edge);
}

static void take_all(struct edge *edge)
{
    while (edge_peek(edge) != NULL)
        edge_pop(edge);
    edge_settle(edge);
}

enum { OUTSIDE = PUPPET_COUNT };

static void test_nothing_to_do_is_quiet(void **state)
{
    struct stage *stage = *state;
    know_phase(stage);
    stage->puppets[1].deadline_ns = 500;
    stage->puppets[2].work = 1;
    assert_string_equal(stepped(stage, 1), "111");
    assert_string_equal(stepped(stage, 2), "111"); /* the first had something to tell, perhaps; from here on not */
    assert_string_equal(stepped(stage, 3), "001");
    assert_true(stage->deadline_ns == 500); /* also of those that are not called */
    assert_string_equal(stepped(stage, 499), "001");
    assert_string_equal(stepped(stage, 500), "011");
    stage->puppets[2].work = 0;
    stage->puppets[1].deadline_ns = 1000;
    assert_string_equal(stepped(stage, 501), "011");
    assert_string_equal(stepped(stage, 502), "001");
    assert_string_equal(stepped(stage, 503), "000"); /* all */
    assert_true(stage->deadline_ns == 1000);
    assert_false(stage->all_done);
    assert_string_equal(stepped(stage, 1000), "010");
}

static void test_a_stop_ends_the_quiet(void **state)
{
    struct stage *stage = *state;
    know_phase(stage);
    for (int64_t i = 1; i <= 3; i++)
        turn(stage, i);
    assert_string_equal(stepped(stage, 4), "000");
    atomic_store(&stage->phase, STOP_DRAIN);
    assert_string_equal(stepped(stage, 5), "111");
    assert_string_equal(stepped(stage, 6), "111");
    atomic_store(&stage->phase, STOP_ABANDON);
    assert_string_equal(stepped(stage, 7), "111");
}

static void test_an_input_ends_the_quiet(void **state)
{
    struct stage *stage = *state;
    struct port ports[4];
    struct edge *outer = edge_between(stage, &ports[0], OUTSIDE, &ports[1], 0);
    struct edge *inner = edge_between(stage, &ports[2], 1, &ports[3], 2);
    know_phase(stage);
    for (int64_t i = 1; i <= 3; i++)
        turn(stage, i);
    assert_string_equal(stepped(stage, 4), "000");
    put(outer);
    assert_string_equal(stepped(stage, 5), "100");
    assert_string_equal(stepped(stage, 6), "100"); /* while something is there */
    take_all(outer);
    assert_string_equal(stepped(stage, 7), "100");
    assert_string_equal(stepped(stage, 8), "000");
    put(inner); /* as the second puppet would in a step, and then it is no more quiet */
    stage->puppets[1].node.quiet = stage->loop.all_quiet = false;
    assert_string_equal(stepped(stage, 9), "011");
    take_all(inner);
    assert_string_equal(stepped(stage, 10), "011");
    assert_string_equal(stepped(stage, 11), "000");
    edge_end(outer);
    assert_string_equal(stepped(stage, 12), "100");
    assert_string_equal(stepped(stage, 13), "100"); /* until it has ended itself */
    edge_free(&outer);
    edge_free(&inner);
}

/* What waits for room, or has something in flight, is called each turn: a spill, an open block, a queue's credit. */
static void test_an_output_in_use_is_not_quiet(void **state)
{
    struct stage *stage = *state;
    struct port ports[2];
    struct edge *edge = edge_between(stage, &ports[0], 0, &ports[1], OUTSIDE);
    know_phase(stage);
    edge_emit(edge, "x", 1, 0); /* not even flushed */
    for (int64_t i = 1; i <= 5; i++)
        assert_int_equal(stepped(stage, i)[0], '1');
    while (edge_has_room(edge))
        put(edge);
    edge_emit(edge, "y", 1, 0); /* without room */
    assert_string_equal(stepped(stage, 6), "100");
    assert_string_equal(stepped(stage, 7), "100");
    take_all(edge);
    edge_consumer_rests(edge);
    edge_flush(edge);
    assert_string_equal(stepped(stage, 8), "100");
    take_all(edge);
    assert_int_equal(edge_in_flight(edge), 0);
    assert_string_equal(stepped(stage, 9), "100");
    assert_string_equal(stepped(stage, 10), "000");
    edge_free(&edge);
}

static void test_descriptors_are_not_quiet(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    struct poller *poller;
    assert_int_equal(node_poller(stage->nodes[1], &poller, &error), STATUS_OK);
    know_phase(stage);
    for (int64_t i = 1; i <= 2; i++)
        turn(stage, i);
    assert_string_equal(stepped(stage, 3), "010");
    assert_string_equal(stepped(stage, 4), "010");
}

/* A lone node is always called: there is nobody to save the time for. */
static void test_alone_is_not_quiet(void **state)
{
    struct stage *stage = *state;
    stage->loop.node_count = 1;
    know_phase(stage);
    for (int64_t i = 1; i <= 4; i++)
        assert_string_equal(stepped(stage, i), "100");
}

struct hook {
    size_t call_count;
    size_t work;
    int64_t deadline_ns;
};

static size_t end_turn(void *context, int64_t now_ns, int64_t *deadline_ns)
{
    struct hook *hook = context;
    (void)now_ns;
    hook->call_count++;
    if (hook->deadline_ns < *deadline_ns)
        *deadline_ns = hook->deadline_ns;
    return hook->work;
}

/* It is called each turn, also when no node is, and what it does makes all nodes look. */
static void test_the_end_of_a_turn(void **state)
{
    struct stage *stage = *state;
    struct hook hook = {.deadline_ns = 700};
    stage->loop.turn_end = end_turn;
    stage->loop.turn_end_context = &hook;
    know_phase(stage);
    for (int64_t i = 1; i <= 3; i++)
        turn(stage, i);
    assert_string_equal(stepped(stage, 4), "000");
    assert_int_equal(hook.call_count, 4);
    assert_true(stage->deadline_ns == 700);
    hook.work = 2;
    assert_int_equal(turn(stage, 5), 2);
    hook.work = 0;
    assert_string_equal(stepped(stage, 6), "111");
    assert_int_equal(hook.call_count, 6);
}

/* ---- within a turn ---- */

static struct watched *written; /* by which thread: the test's */
static int written_fd;
static const int64_t *written_next_poll_ns;

/* Works until it is time to look at descriptors again. */
static void write_when_due(struct puppet *puppet)
{
    (void)puppet;
    assert_int_equal(write(written_fd, "x", 1), 1);
    while (clock_monotonic_ns() < *written_next_poll_ns)
        continue;
}

static void expect_served(struct puppet *puppet)
{
    (void)puppet;
    assert_int_equal(written->ready_count, 1);
}

static void test_descriptors_between_steps(void **state)
{
    struct stage *stage = *state;
    struct error error = {0};
    struct poller *poller;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct watched watched = {.source = {.fd = ends[0], .ready = on_ready}};
    assert_int_equal(node_poller(stage->nodes[0], &poller, &error), STATUS_OK);
    assert_int_equal(poller_add(poller, &watched.source, EPOLLIN, &error), STATUS_OK);
    written = &watched;
    written_fd = ends[1];
    written_next_poll_ns = &stage->next_poll_ns;
    stage->loop.reads_clock = true;
    stage->puppets[0].work = 1;
    stage->puppets[0].act = write_when_due;
    stage->puppets[1].act = expect_served;
    int64_t now_ns = clock_monotonic_ns();
    assert_int_equal(turn(stage, now_ns), 2);
    assert_true(stage->puppets[1].saw_now_ns > now_ns); /* the time goes on, too */
    poller_remove(poller, &watched.source);
    close(ends[0]);
    close(ends[1]);
}

/* ---- an edge within one loop, in the last look before the sleep ---- */

/* The first puppet waits for what the last one does only when its thread is about to sleep. */
static void end_when_fed(struct puppet *puppet)
{
    puppet->node.done = puppet->node.done || edge_peek(puppet->node.inputs[0].edge) != NULL;
}

static void feed_when_armed(struct puppet *puppet)
{
    if (!idle_is_armed(puppet->node.idle) || puppet->has_acted)
        return;
    puppet->has_acted = true;
    put(puppet->node.outputs[0].edge);
}

static void end_with_room(struct puppet *puppet)
{
    struct edge *edge = puppet->node.outputs[0].edge;
    if (puppet->step_count == 1)
        while (edge_has_room(edge))
            put(edge);
    puppet->node.done = puppet->node.done || (edge_flush(edge) && edge_has_room(edge));
}

static void take_when_armed(struct puppet *puppet)
{
    if (idle_is_armed(puppet->node.idle))
        take_all(puppet->node.inputs[0].edge);
}

static void end_others(struct stage *stage, size_t waiting)
{
    struct error error = {0};
    assert_int_equal(node_loop_start(&stage->loop, &error), STATUS_OK);
    while (!atomic_load(&stage->puppets[waiting].node.ended)) /* bounded by the alarm */
        sched_yield();
    for (size_t i = 0; i < PUPPET_COUNT; i++)
        atomic_store_explicit(&stage->puppets[i].wanted, true, memory_order_relaxed);
    atomic_store(&stage->phase, STOP_DRAIN);
    idle_wake(&stage->loop.idle);
    node_loop_join(&stage->loop);
}

static void test_a_late_message_calls_the_sleep_off(void **state)
{
    struct stage *stage = *state;
    struct port ports[2];
    struct edge *edge = edge_between(stage, &ports[0], 2, &ports[1], 0);
    stage->puppets[0].act = end_when_fed;
    stage->puppets[2].act = feed_when_armed;
    set_phase(stage, NULL); /* the feeder acts for no cause that the loop could see, so it must not be quiet */
    end_others(stage, 0);
    edge_free(&edge);
}

static void test_late_room_calls_the_sleep_off(void **state)
{
    struct stage *stage = *state;
    struct port ports[2];
    struct edge *edge = edge_between(stage, &ports[0], 0, &ports[1], 2);
    set_phase(stage, &stage->phase);
    stage->puppets[0].act = end_with_room;
    stage->puppets[2].act = take_when_armed;
    end_others(stage, 0);
    edge_free(&edge);
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
        LOOP_TEST(test_nothing_to_do_is_quiet),
        LOOP_TEST(test_a_stop_ends_the_quiet),
        LOOP_TEST(test_an_input_ends_the_quiet),
        LOOP_TEST(test_an_output_in_use_is_not_quiet),
        LOOP_TEST(test_descriptors_are_not_quiet),
        LOOP_TEST(test_alone_is_not_quiet),
        LOOP_TEST(test_the_end_of_a_turn),
        LOOP_TEST(test_descriptors_between_steps),
        LOOP_TEST(test_a_late_message_calls_the_sleep_off),
        LOOP_TEST(test_late_room_calls_the_sleep_off),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
