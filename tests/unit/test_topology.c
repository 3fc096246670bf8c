/* Topologies of small nodes: from open to close, step by step on one thread, and with threads of their own. */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/node_loop.h"
#include "engine/store/journal.h"
#include "engine/topology.h"
#include "tests/support/fake_nodes.h"

enum { LIMIT_S = 50 };

static struct topology_spec spec;
static struct topology *topology;
/* One loop for all nodes, in place of the topology's own. */
static struct node_loop loop;
static struct idle_crowd crowd = {.processor_count = 1};
static int64_t now_ns;
static size_t ended_count;

#define COUNT_OF(...) ((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)))
#define PARSE(...)    parse_all(COUNT_OF(__VA_ARGS__), (const char *const[]){__VA_ARGS__})
#define OPEN(...)     (PARSE(__VA_ARGS__), open_topology())

static void parse_all(int count, const char *const *arguments)
{
    struct error error = {0};
    topology_close(&topology);
    topology_spec_free(&spec);
    if (topology_spec_parse(&spec, &fake_catalog, NULL, count, arguments, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

static void count_end(struct node *node)
{
    (void)node;
    ended_count++;
}

static void open_topology(void)
{
    struct error error = {0};
    if (topology_open(&topology, &spec, &fake_catalog, false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    size_t count;
    struct node *const *nodes = topology_nodes(topology, &count);
    idle_open(&loop.idle, &crowd);
    loop.nodes = (struct node **)nodes;
    loop.node_count = count;
    loop.node_ended = count_end;
    ended_count = 0;
    now_ns = NS_PER_S;
}

static void refuse(enum status expected, const char *part)
{
    struct error error = {0};
    assert_int_equal(topology_open(&topology, &spec, &fake_catalog, false, &error), expected);
    assert_null(topology);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
    assert_int_equal(fake_nodes_open_count(), 0); /* whoever was open is closed */
}

static int close_all(void **state)
{
    (void)state;
    topology_close(&topology);
    topology_spec_free(&spec);
    return fake_nodes_open_count() == 0 ? 0 : -1;
}

static struct node *node(size_t index)
{
    size_t count;
    struct node *const *nodes = topology_nodes(topology, &count);
    assert_true(index < count);
    return nodes[index];
}

static const struct fake_state *state_of(size_t index)
{
    return node(index)->state;
}

/* One step of each node. */
static size_t turn(void)
{
    int64_t next_poll_ns = INT64_MAX;
    int64_t deadline_ns;
    bool all_done;
    now_ns += NS_PER_MS;
    return node_loop_turn(&loop, now_ns, &next_poll_ns, &deadline_ns, &all_done);
}

static void turn_until_quiet(void)
{
    int limit = 100000;
    while (turn() > 0)
        assert_true(--limit > 0);
}

static void expect_taken(size_t index, uint64_t count)
{
    assert_int_equal(state_of(index)->taken_count, count);
    assert_int_equal(stats_get(&node(index)->stats->in_count), count);
    assert_false(state_of(index)->out_of_order);
}

#define LINE_OF_FOUR                                                                                                   \
    "--source", "--output-address", "in", "--count", "5000", "--store", "--address", "in", "--work",                   \
        "--input-address", "in", "--output-address", "out", "--output-type", "socket", "--drain", "--address", "out"

static void test_open(void **state)
{
    (void)state;
    OPEN(LINE_OF_FOUR, "--vuid", "LAST");
    size_t count;
    topology_nodes(topology, &count);
    assert_int_equal(count, 4);
    assert_int_equal(fake_nodes_open_count(), 4);
    assert_int_equal(topology_wiring(topology)->edge_count, 3);
    assert_int_equal(topology_stop_phase(topology), STOP_NOT);
    const struct node *work = node(2);
    assert_string_equal(work->name, "work");
    assert_string_equal(work->function_title, "Work");
    assert_ptr_equal(work->config, spec.nodes[2].config);
    assert_ptr_equal(work->common, &spec.nodes[2].common);
    assert_ptr_equal(work->spec, &spec);
    assert_ptr_equal(work->topology, topology);
    assert_false(work->rehearsal || work->on_cycle || work->done);
    assert_true(work->deadline_ns == CLOCK_NEVER_NS);
    assert_int_equal(work->input_count, 1);
    assert_int_equal(work->inputs[0].kind, LINK_GET);
    assert_string_equal(work->inputs[0].address->text, "in");
    assert_ptr_equal(work->inputs[0].peer, node(1));
    assert_ptr_equal(work->inputs[0].edge, node(1)->outputs[0].edge); /* one edge, two ends */
    assert_ptr_equal(node(1)->outputs[0].peer, work);
    assert_null(node(1)->outputs[0].address);
    assert_ptr_equal(work->outputs[0].edge, node(3)->inputs[0].edge);
    assert_ptr_equal(work->inputs[0].edge->consumer_idle, work->idle);
    assert_ptr_equal(work->inputs[0].edge->producer_idle, node(1)->idle);
    assert_string_equal(node(3)->vuid, "LAST");
    assert_string_equal(node(3)->name, "drain LAST");
    assert_int_equal(work->stats->definition_count, 2);
    assert_string_equal(work->stats->definitions[1].name, "out_of_order");
    topology_close(&topology);
    assert_null(topology);
    assert_int_equal(fake_nodes_open_count(), 0);
}

static void test_runs_from_one_thread(void **state)
{
    (void)state;
    OPEN(LINE_OF_FOUR);
    turn_until_quiet();
    expect_taken(1, 5000);
    expect_taken(2, 5000);
    expect_taken(3, 5000);
    assert_string_equal(state_of(3)->last_text, "4999");
    assert_int_equal(ended_count, 4); /* each ends when its inputs have ended and are empty */
    assert_true(topology_all_ended(topology));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(node_in_flight(node(i)->inputs, node(i)->input_count), 0);
}

/* Whatever the order in which the nodes get their steps, and however often. */
static void test_any_order_of_steps(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 5; seed++) {
        OPEN(LINE_OF_FOUR);
        uint32_t random = seed;
        int limit = 1000000;
        while (!topology_all_ended(topology)) {
            random = random * 1664525u + 1013904223u; /* Numerical Recipes' generator */
            struct node *chosen = node(random >> 30);
            struct node *const one[] = {chosen};
            struct node_loop small = {
                .idle = loop.idle, .nodes = (struct node **)one, .node_count = 1, .node_ended = count_end};
            int64_t next_poll_ns = INT64_MAX;
            int64_t deadline_ns;
            bool all_done;
            for (uint32_t i = 0; i < (random >> 20) % 50; i++)
                node_loop_turn(&small, ++now_ns, &next_poll_ns, &deadline_ns, &all_done);
            assert_true(--limit > 0);
        }
        expect_taken(3, 5000);
    }
}

static void test_drain(void **state)
{
    (void)state;
    OPEN(LINE_OF_FOUR);
    for (int i = 0; i < 5; i++)
        turn();
    assert_int_equal(ended_count, 0);
    topology_stop(topology, STOP_DRAIN);
    assert_int_equal(topology_stop_phase(topology), STOP_DRAIN);
    assert_int_equal(node_stop_phase(node(0)), STOP_DRAIN);
    topology_stop(topology, STOP_NOT); /* less than before: nothing changes */
    assert_int_equal(topology_stop_phase(topology), STOP_DRAIN);
    turn_until_quiet();
    assert_int_equal(ended_count, 4);
    uint64_t fed = state_of(0)->emitted_count;
    assert_in_range(fed, 1, 4999);
    expect_taken(3, fed); /* what was in flight went to its end */
}

static void test_abandon(void **state)
{
    (void)state;
    OPEN("--source", "--output-address", "in", "--count", "1000000", "--store", "--address", "in", "--stay", "--work",
         "--input-address", "in", "--stay");
    for (int i = 0; i < 50; i++)
        turn();
    topology_stop(topology, STOP_DRAIN);
    turn_until_quiet();
    assert_int_equal(ended_count, 1); /* two of them do not end */
    assert_false(topology_all_ended(topology));
    topology_stop(topology, STOP_ABANDON);
    topology_stop(topology, STOP_DRAIN);
    assert_int_equal(topology_stop_phase(topology), STOP_ABANDON);
    turn();
    assert_int_equal(ended_count, 3);
    assert_true(topology_all_ended(topology));
}

static void test_replicas_share(void **state)
{
    (void)state;
    OPEN("--source", "--output-address", "in", "--count", "30000", "--store", "--address", "in", "--work", "--replicas",
         "3", "--input-address", "in", "--output-address", "out", "--output-type", "socket", "--drain", "--address",
         "out");
    turn_until_quiet();
    assert_int_equal(state_of(5)->taken_count, 30000);
    assert_int_equal(state_of(2)->taken_count + state_of(3)->taken_count + state_of(4)->taken_count, 30000);
    assert_true(topology_all_ended(topology));
}

/* ---- has it drained? ---- */

static void test_has_drained(void **state)
{
    (void)state;
    OPEN(LINE_OF_FOUR);
    turn();
    assert_false(topology_has_drained(topology, now_ns));
    assert_false(topology_has_drained(topology, now_ns + 20 * NS_PER_MS)); /* the source is not done */
    turn_until_quiet();
    int64_t first_ns = now_ns + NS_PER_S;
    assert_false(topology_has_drained(topology, first_ns)); /* empty, for the first time */
    assert_false(topology_has_drained(topology, first_ns + 9 * NS_PER_MS));
    assert_true(topology_has_drained(topology, first_ns + 10 * NS_PER_MS));
}

static void test_has_not_drained_while_something_moves(void **state)
{
    (void)state;
    OPEN("--source", "--output-address", "in", "--count", "0", "--store", "--address", "in", "--stay", "--work",
         "--input-address", "in", "--stay");
    turn_until_quiet();
    int64_t ns = now_ns;
    assert_false(topology_has_drained(topology, ns));
    stats_add(&node(1)->stats->in_count, 1); /* came and went between two looks */
    stats_add(&node(1)->stats->out_count, 1);
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    assert_true(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    stats_set(&node(1)->stats->queued_count, 1); /* rests in a node */
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    stats_set(&node(1)->stats->queued_count, 0);
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    assert_true(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    struct edge *edge = node(2)->inputs[0].edge;
    edge_emit(edge, "0", 1, 0); /* on its way, not even published */
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    edge_flush(edge);
    turn();
    assert_false(topology_has_drained(topology, ns += 20 * NS_PER_MS));
    assert_true(topology_has_drained(topology, ns + 20 * NS_PER_MS));
}

static void test_nothing_fed_is_not_drained(void **state)
{
    (void)state;
    OPEN("--store"); /* nobody feeds it: it waits for the world */
    turn_until_quiet();
    assert_false(topology_has_drained(topology, now_ns));
    assert_false(topology_has_drained(topology, now_ns + 10 * NS_PER_S));
}

static void test_drained_over_sockets_takes_a_second(void **state)
{
    (void)state;
    OPEN("--join", "sockets", "--source", "--count", "0", "--output-address", "127.0.0.1:7001", "--store", "--address",
         "127.0.0.1:7001");
    turn_until_quiet();
    assert_false(topology_has_drained(topology, now_ns));
    assert_false(topology_has_drained(topology, now_ns + 20 * NS_PER_MS));
    assert_false(topology_has_drained(topology, now_ns + NS_PER_S - 1));
    assert_true(topology_has_drained(topology, now_ns + NS_PER_S));
}

/* ---- the reporter ---- */

static void test_reporter_ends_last(void **state)
{
    (void)state;
    OPEN("--metrics-uri", "http://127.0.0.1:1/", "--source", "--output-address", "in", "--count", "10", "--store",
         "--address", "in");
    size_t count;
    topology_nodes(topology, &count);
    assert_int_equal(count, 3);
    const struct node *reporter = node(2);
    assert_string_equal(reporter->name, "metrics");
    assert_ptr_equal(reporter->type, fake_catalog.reporter);
    assert_null(reporter->config);
    assert_int_equal(reporter->common->log_level, LOG_INFO);
    assert_false(topology_all_ended(topology));
    turn_until_quiet();
    assert_true(topology_all_ended(topology));
    assert_int_equal(ended_count, 3);
}

/* ---- what cannot be opened ---- */

static void test_open_that_fails(void **state)
{
    (void)state;
    PARSE("--store", "--work", "--fail-open", "--drain", "--address", "d");
    refuse(STATUS_SYSTEM, "work: does not open");
    PARSE("--source", "--output-address", "nowhere");
    refuse(STATUS_USAGE, "no node of this launch listens at 'nowhere'");
    PARSE("--store", "--cpu-list", "0-9999");
    refuse(STATUS_USAGE, "store: --cpu-list");
    PARSE("--store", "--store");
    refuse(STATUS_USAGE, "both listen");
}

/* The same, with ends for the program, which are not there yet when that fails. */
static void test_open_that_fails_with_ports(void **state)
{
    (void)state;
    struct error error = {0};
    struct address address;
    assert_int_equal(address_parse("nowhere", &address, &error), STATUS_OK);
    PARSE("--store", "--address", "in");
    topology_spec_add_port(&spec, &address, LINK_NONE);
    refuse(STATUS_USAGE, "program: no node of this launch listens at 'nowhere'");
}

static void test_rehearsal(void **state)
{
    (void)state;
    struct error error = {0};
    PARSE("--store", "--file-log"); /* which would make a directory */
    assert_int_equal(topology_open(&topology, &spec, &fake_catalog, true, &error), STATUS_OK);
    assert_true(node(0)->rehearsal);
    assert_int_not_equal(access("logs", F_OK), 0);
}

static void test_close_before_the_end(void **state)
{
    (void)state;
    OPEN(LINE_OF_FOUR);
    for (int i = 0; i < 3; i++)
        turn();
    topology_close(&topology); /* with messages on all edges */
    assert_int_equal(fake_nodes_open_count(), 0);
    topology_close(&topology);
}

/* ---- threads ---- */

static void wait_for_all(void)
{
    struct pollfd descriptor = {.fd = topology_event_fd(topology), .events = POLLIN};
    while (!topology_all_ended(topology)) /* bounded by the alarm */
        assert_int_equal(poll(&descriptor, 1, -1), 1);
}

static void start(void)
{
    struct error error = {0};
    if (topology_start(topology, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

/* ---- with a store ---- */

static char store_path[64];

static int make_store(void **state)
{
    (void)state;
    snprintf(store_path, sizeof store_path, "/tmp/test_topology.XXXXXX");
    if (mkdtemp(store_path) == NULL)
        return -1;
    memcpy(store_path + strlen(store_path), "/s", sizeof "/s");
    return 0;
}

static int remove_store(void **state)
{
    char command[128];
    store_path[strlen(store_path) - 2] = '\0';
    snprintf(command, sizeof command, "rm -rf '%s'", store_path);
    return close_all(state) == 0 && system(command) == 0 ? 0 : -1;
}

/* Two durable nodes, fed and read by others. */
static void parse_durable(void)
{
    PARSE("--source", "--output-address", "in", "--count", "5000", "--store", "--address", "in", "--durable", "--work",
          "--input-address", "in", "--output-address", "out", "--output-type", "socket", "--durable", "--drain",
          "--address", "out");
    spec.launch.store = store_path; /* the type of this name takes the flag */
    spec.launch.sync_interval_ns = NS_PER_MS;
}

static void test_a_rehearsal_makes_no_store(void **state)
{
    (void)state;
    struct error error = {0};
    parse_durable();
    assert_int_equal(topology_open(&topology, &spec, &fake_catalog, true, &error), STATUS_OK);
    assert_null(topology_journal(topology));
    assert_true(node(1)->durable);
    assert_null(node(1)->journal);
    topology_close(&topology);
    assert_int_not_equal(access(store_path, F_OK), 0);
    spec.launch.store = "/proc/self/stat";
    assert_int_equal(topology_open(&topology, &spec, &fake_catalog, true, &error), STATUS_USAGE);
    assert_null(topology);
    refuse(STATUS_USAGE, "/proc/self/stat");
}

static void test_the_durable_thread(void **state)
{
    (void)state;
    parse_durable();
    open_topology();
    const struct placement *placement = topology_placement(topology);
    assert_int_equal(placement->thread_of[1], placement->durable_thread);
    assert_int_equal(placement->thread_of[2], placement->durable_thread);
    assert_ptr_equal(node(1)->journal, topology_journal(topology));
    assert_non_null(node(1)->journal);
    assert_false(node(0)->durable);
    assert_true(node(2)->durable);
}

static bool expect_next(void *context, const struct store_message *message)
{
    uint64_t *count = context;
    char text[24];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)(*count)++ % 5000);
    assert_int_equal(message->sequence, *count);
    assert_int_equal(message->length, length);
    assert_memory_equal(message->text, text, (size_t)length);
    return true;
}

static void expect_kept(const char *name, uint64_t expected)
{
    struct error error = {0};
    struct store *store;
    struct store_queue found;
    uint64_t count = 0;
    assert_int_equal(store_open(&store, store_path, &error), STATUS_OK);
    assert_int_equal(store_find_queue(store, name, &found, &error), STATUS_OK);
    assert_int_equal(store_read_messages(store, found.queue, 1, UINT64_MAX, expect_next, &count, &error), STATUS_OK);
    assert_int_equal(count, expected);
    store_close(&store);
}

static void test_a_stop_keeps_all(void **state)
{
    (void)state;
    struct error error = {0};
    parse_durable();
    open_topology();
    start();
    wait_for_all();
    assert_int_equal(topology_finish(topology, &error), STATUS_OK);
    struct journal_counts counts = journal_counts(topology_journal(topology));
    assert_true(counts.batch_count > 0 && counts.sync_count > 0 && counts.stored_bytes > 0);
    assert_int_equal(topology_finish(topology, &error), STATUS_OK); /* once is enough */
    topology_close(&topology);
    expect_kept("store", 5000);
    expect_kept("work", 5000);
    open_topology(); /* the second time, closed without a finish: the close does it */
    start();
    wait_for_all();
    topology_close(&topology);
    expect_kept("work", 10000);
}

static void test_nothing_durable(void **state)
{
    (void)state;
    PARSE("--store");
    spec.launch.store = store_path;
    open_topology();
    assert_null(topology_journal(topology));
    assert_int_not_equal(access(store_path, F_OK), 0);
}

static void test_threads(void **state)
{
    (void)state;
    OPEN("--source", "--output-address", "in", "--count", "200000", "--store", "--address", "in", "--work",
         "--input-address", "in", "--output-address", "out", "--output-type", "socket", "--drain", "--address", "out",
         "--metrics-uri", "http://127.0.0.1:1/");
    int64_t before_ns = clock_monotonic_ns();
    start();
    assert_true(topology_start_ns(topology) >= before_ns);
    assert_true(topology_start_wall_ns(topology) > 0);
    wait_for_all();
    expect_taken(3, 200000);
    assert_true(stats_get(&node(3)->stats->step_count) > 0);
}

static void test_threads_that_drain(void **state)
{
    (void)state;
    OPEN("--source", "--output-address", "in", "--count", "1000000000", "--store", "--address", "in", "--work",
         "--input-address", "in", "--output-address", "out", "--output-type", "socket", "--drain", "--address", "out");
    start();
    while (stats_get(&node(3)->stats->in_count) < 1000)
        sched_yield();
    topology_stop(topology, STOP_DRAIN);
    wait_for_all();
    assert_true(state_of(3)->taken_count >= 1000);
    expect_taken(3, state_of(0)->emitted_count);
}

static void test_threads_that_wait_for_nothing_are_abandoned(void **state)
{
    (void)state;
    OPEN("--store", "--stay", "--work", "--stay");
    start();
    for (size_t i = 0; i < 2; i++)
        while (atomic_load(&node(i)->idle->state) == IDLE_AWAKE)
            sched_yield();
    topology_close(&topology); /* wakes, ends and joins them */
    assert_int_equal(fake_nodes_open_count(), 0);
}

static void test_shared_threads(void **state)
{
    (void)state;
    static const char *const threads[] = {"1", "2", "3", "auto", "per-node"};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        OPEN("--threads", threads[i], "--source", "--output-address", "in", "--count", "100000", "--store", "--address",
             "in", "--work", "--replicas", "2", "--input-address", "in", "--output-address", "out", "--output-type",
             "socket", "--drain", "--address", "out", "--metrics-uri", "http://127.0.0.1:1/");
        start();
        wait_for_all();
        assert_int_equal(state_of(4)->taken_count, 100000);
        assert_int_equal(stats_get(&node(4)->stats->in_count), 100000);
        topology_close(&topology);
    }
}

static void test_shared_threads_that_drain(void **state)
{
    (void)state;
    OPEN("--threads", "1", "--source", "--output-address", "in", "--count", "1000000000", "--store", "--address", "in",
         "--work", "--input-address", "in", "--output-address", "out", "--output-type", "socket", "--drain",
         "--address", "out");
    start();
    while (stats_get(&node(3)->stats->in_count) < 1000)
        sched_yield();
    topology_stop(topology, STOP_DRAIN);
    wait_for_all();
    expect_taken(3, state_of(0)->emitted_count);
}

/* All asleep, none of them called any more: a stop is seen all the same. */
static void test_shared_threads_that_are_quiet(void **state)
{
    (void)state;
    OPEN("--threads", "1", "--store", "--address", "in", "--work", "--input-address", "in", "--output-address", "out",
         "--store", "--address", "out");
    start();
    while (atomic_load(&node(0)->idle->state) == IDLE_AWAKE)
        sched_yield();
    topology_stop(topology, STOP_DRAIN);
    wait_for_all();
}

static void expect_thread_of(size_t index, const char *name)
{
    const struct node_loop *own = (const struct node_loop *)(const void *)node(index)->idle; /* its first member */
    assert_string_equal(own->thread_name, name);
}

static void test_thread_names(void **state)
{
    (void)state;
    OPEN("--threads", "1", "--store", "--address", "in", "--vuid", "A_VERY_LONG_NAME", "--work", "--input-address",
         "in", "--metrics-uri", "http://127.0.0.1:1/", "--drain", "--cpu-list", "0");
    assert_ptr_equal(node(0)->idle, node(1)->idle);
    assert_ptr_not_equal(node(0)->idle, node(2)->idle); /* the user placed it */
    assert_ptr_not_equal(node(0)->idle, node(3)->idle); /* the reporter */
    expect_thread_of(0, "store A_VERY_+1");
    expect_thread_of(2, "drain");
    expect_thread_of(3, "metrics");
}

/* Signals are the main thread's. */
static void *unblocked_signals;

static size_t note_signals(struct node *noting, int64_t at_ns)
{
    (void)at_ns;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGUSR1))
        unblocked_signals = noting;
    noting->done = true;
    return 1;
}

static void test_threads_take_no_signals(void **state)
{
    (void)state;
    OPEN("--store");
    struct node_type type = *node(0)->type;
    type.step = note_signals;
    node(0)->type = &type;
    start();
    wait_for_all();
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_false(sigismember(&blocked, SIGINT));
    topology_close(&topology);
    assert_null(unblocked_signals);
}

static void test_bound_thread(void **state)
{
    (void)state;
    cpu_set_t usable;
    int last = 0;
    assert_int_equal(sched_getaffinity(0, sizeof usable, &usable), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &usable))
            last = cpu;
    char text[16];
    snprintf(text, sizeof text, "%d", last);
    OPEN("--cpu-list", text, "--source", "--output-address", "in", "--count", "1000", "--store", "--address", "in");
    start();
    wait_for_all();
    expect_taken(1, 1000);
}

/* ---- the embedding program's ends ---- */

static void add_port(const char *text, enum link_kind kind)
{
    struct error error = {0};
    struct address address;
    assert_int_equal(address_parse(text, &address, &error), STATUS_OK);
    topology_spec_add_port(&spec, &address, kind);
}

static void test_application_edges(void **state)
{
    (void)state;
    PARSE("--store", "--address", "in", "--work", "--input-address", "in", "--output-address", "out", "--store",
          "--address", "out");
    add_port("out", LINK_GET);
    add_port("in", LINK_NONE);
    open_topology();
    struct edge *out = topology_application_edge(topology, 0);
    struct edge *in = topology_application_edge(topology, 1);
    assert_ptr_equal(out, node(2)->outputs[0].edge);
    assert_ptr_equal(in, node(0)->inputs[0].edge);
    assert_null(node(0)->inputs[0].peer); /* no node: the program */
    assert_null(node(2)->outputs[0].peer);
    assert_ptr_equal(out->consumer_idle, topology_application_idle(topology, 0));
    assert_ptr_equal(out->producer_idle, node(2)->idle);
    assert_ptr_equal(in->producer_idle, topology_application_idle(topology, 1));
    for (uint64_t i = 0; i < 3; i++) {
        char text[8];
        edge_emit(in, text, (uint32_t)snprintf(text, sizeof text, "%llu", (unsigned long long)i), 0);
    }
    edge_flush(in);
    turn_until_quiet();
    for (char i = '0'; i < '3'; i++) {
        const struct message *message = edge_peek(out);
        assert_non_null(message);
        assert_int_equal(message->text[0], i);
        edge_pop(out);
    }
    topology_stop(topology, STOP_DRAIN); /* wakes the program's ends too */
    turn_until_quiet();
    assert_true(edge_has_ended(out));
    assert_true(topology_all_ended(topology));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_open, close_all),
        cmocka_unit_test_teardown(test_runs_from_one_thread, close_all),
        cmocka_unit_test_teardown(test_any_order_of_steps, close_all),
        cmocka_unit_test_teardown(test_drain, close_all),
        cmocka_unit_test_teardown(test_abandon, close_all),
        cmocka_unit_test_teardown(test_replicas_share, close_all),
        cmocka_unit_test_teardown(test_has_drained, close_all),
        cmocka_unit_test_teardown(test_has_not_drained_while_something_moves, close_all),
        cmocka_unit_test_teardown(test_nothing_fed_is_not_drained, close_all),
        cmocka_unit_test_teardown(test_drained_over_sockets_takes_a_second, close_all),
        cmocka_unit_test_teardown(test_reporter_ends_last, close_all),
        cmocka_unit_test_teardown(test_open_that_fails, close_all),
        cmocka_unit_test_teardown(test_open_that_fails_with_ports, close_all),
        cmocka_unit_test_teardown(test_rehearsal, close_all),
        cmocka_unit_test_teardown(test_close_before_the_end, close_all),
        cmocka_unit_test_teardown(test_threads, close_all),
        cmocka_unit_test_teardown(test_threads_that_drain, close_all),
        cmocka_unit_test_setup_teardown(test_a_rehearsal_makes_no_store, make_store, remove_store),
        cmocka_unit_test_setup_teardown(test_the_durable_thread, make_store, remove_store),
        cmocka_unit_test_setup_teardown(test_a_stop_keeps_all, make_store, remove_store),
        cmocka_unit_test_setup_teardown(test_nothing_durable, make_store, remove_store),
        cmocka_unit_test_teardown(test_threads_that_wait_for_nothing_are_abandoned, close_all),
        cmocka_unit_test_teardown(test_shared_threads, close_all),
        cmocka_unit_test_teardown(test_shared_threads_that_drain, close_all),
        cmocka_unit_test_teardown(test_shared_threads_that_are_quiet, close_all),
        cmocka_unit_test_teardown(test_thread_names, close_all),
        cmocka_unit_test_teardown(test_threads_take_no_signals, close_all),
        cmocka_unit_test_teardown(test_bound_thread, close_all),
        cmocka_unit_test_teardown(test_application_edges, close_all),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
