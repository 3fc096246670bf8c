/* Which nodes share a thread: by hand-made graphs, and by flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/placement.h"

enum { NODE_MAX = 1000 };

static const struct node_type light = {.name = "light", .title = "Light"};
static const struct node_type heavy = {.name = "heavy", .title = "Heavy", .weight = 5};
static const struct node_type blocking = {.name = "blocking", .title = "Blocking", .may_block = true};

static bool blocks_by_config(const struct node_spec *node, const struct topology_spec *whole)
{
    assert_ptr_equal(&whole->nodes[node - whole->nodes], node);
    return node->cpu_index == 7; /* any member that the test can set */
}

static const struct node_type depends = {.name = "depends", .title = "Depends", .this_may_block = blocks_by_config};

static bool keeps(const struct node_spec *node, const struct topology_spec *whole)
{
    assert_ptr_equal(&whole->nodes[node - whole->nodes], node);
    return true;
}

static const struct node_type durable = {.name = "durable", .title = "Durable", .is_durable = keeps};
static const struct node_type durable_blocking = {
    .name = "both", .title = "Both", .is_durable = keeps, .may_block = true};

static struct topology_spec spec;
static struct node_spec nodes[NODE_MAX];
static struct wiring wiring;
static struct placement placement;

/* ---- graphs by hand ---- */

static void add_port(struct wiring_port **ports, size_t *count, size_t edge, size_t peer)
{
    *ports = realloc(*ports, (*count + 1) * sizeof **ports);
    assert_non_null(*ports);
    (*ports)[(*count)++] = (struct wiring_port){.kind = LINK_PUT, .edge = edge, .peer = peer};
}

static void join(size_t from, size_t to)
{
    size_t edge = wiring.edge_count++;
    add_port(&wiring.nodes[from].outputs, &wiring.nodes[from].output_count, edge, to);
    add_port(&wiring.nodes[to].inputs, &wiring.nodes[to].input_count, edge, from);
}

static int clear(void **state)
{
    (void)state;
    placement_free(&placement);
    wiring_free(&wiring);
    spec = (struct topology_spec){0};
    memset(nodes, 0, sizeof nodes);
    return 0;
}

/* So many light nodes, without edges. */
static void begin(size_t count)
{
    clear(NULL);
    spec.nodes = nodes;
    spec.node_count = wiring.node_count = count;
    wiring.nodes = calloc(count + 1, sizeof *wiring.nodes); /* one more for a reporter */
    assert_non_null(wiring.nodes);
    for (size_t i = 0; i < count; i++) {
        nodes[i].type = &light;
        snprintf(nodes[i].name, sizeof nodes[i].name, "n%zu", i);
    }
}

static void chain(size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        join(i, i + 1);
}

static void place(size_t threads, size_t processor_count)
{
    placement_free(&placement);
    spec.launch.threads = threads;
    placement_make(&placement, &spec, &wiring, processor_count);
    /* Whatever it is, it is a placement: each node once, no thread empty, numbered by their first nodes. */
    bool seen[NODE_MAX + 1] = {false};
    size_t next_new = 0;
    assert_int_equal(placement.first[0], 0);
    assert_int_equal(placement.first[placement.thread_count], wiring.node_count);
    for (size_t t = 0; t < placement.thread_count; t++) {
        assert_true(placement.first[t] < placement.first[t + 1]);
        for (size_t i = placement.first[t]; i < placement.first[t + 1]; i++) {
            assert_false(seen[placement.order[i]]);
            seen[placement.order[i]] = true;
            assert_int_equal(placement.thread_of[placement.order[i]], t);
        }
    }
    for (size_t i = 0; i < wiring.node_count; i++) {
        assert_true(placement.thread_of[i] <= next_new);
        next_new += placement.thread_of[i] == next_new;
    }
}

/* The threads as text: nodes in their order, threads behind one another: "0 1|2". */
static void expect(const char *expected)
{
    char text[256] = "";
    size_t length = 0;
    for (size_t t = 0; t < placement.thread_count; t++)
        for (size_t i = placement.first[t]; i < placement.first[t + 1]; i++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%zu",
                                       i > placement.first[t] ? " "
                                       : t > 0                ? "|"
                                                              : "",
                                       placement.order[i]);
    assert_string_equal(text, expected);
}

/* ---- tests ---- */

static void test_per_node(void **state)
{
    (void)state;
    begin(4);
    chain(0, 3);
    join(2, 1);
    place(THREADS_PER_NODE, 1);
    expect("0|1|2|3");
}

static void test_chain(void **state)
{
    (void)state;
    begin(6);
    chain(0, 5);
    place(1, 8);
    expect("0 1 2 3 4 5");
    place(2, 8);
    expect("0 1 2|3 4 5");
    place(4, 8); /* none is heavier than 2 */
    expect("0 1|2 3|4 5");
    place(6, 1);
    expect("0|1|2|3|4|5");
    place(100, 1);
    expect("0|1|2|3|4|5");
}

/* As users write them: what stands first on the command line need not be first in the graph. */
static void test_chain_backwards(void **state)
{
    (void)state;
    begin(4);
    join(3, 1);
    join(1, 0);
    join(0, 2);
    place(1, 2);
    expect("3 1 0 2");
    place(2, 2);
    expect("0 2|3 1");
}

static void test_weights(void **state)
{
    (void)state;
    begin(5);
    chain(0, 4);
    nodes[4].type = &heavy;
    place(2, 2);
    expect("0 1 2 3|4");
    nodes[4].type = &light;
    nodes[0].type = &heavy;
    place(2, 2);
    expect("0|1 2 3 4");
}

static void test_tree(void **state)
{
    (void)state;
    begin(7); /* 0 to 1 and 2; 1 to 3 and 4; 2 to 5 and 6 */
    join(0, 1);
    join(0, 2);
    join(1, 3);
    join(1, 4);
    join(2, 5);
    join(2, 6);
    place(1, 2);
    expect("0 1 3 4 2 5 6"); /* a branch at a time */
    place(2, 2);
    expect("0 1 3 4|2 5 6");
}

static void test_fan_in(void **state)
{
    (void)state;
    begin(5); /* three to one, and on */
    join(0, 3);
    join(1, 3);
    join(2, 3);
    join(3, 4);
    place(1, 2);
    expect("0 1 2 3 4");
    place(2, 2);
    expect("0 1 2|3 4");
}

static void test_replicas(void **state)
{
    (void)state;
    begin(6); /* a queue, four workers, a sink */
    for (size_t i = 1; i <= 4; i++) {
        nodes[i].type = &heavy;
        join(0, i);
        join(i, 5);
    }
    place(4, 4);
    expect("0 1|2|3|4 5");
    place(THREADS_AUTO, 4);
    expect("0 1|2|3|4 5");
    place(THREADS_AUTO, 8);
    expect("0|1|2|3|4|5");
}

static void test_cycles(void **state)
{
    (void)state;
    begin(2); /* pong */
    join(0, 1);
    join(1, 0);
    place(2, 2);
    expect("0 1");
    begin(6); /* 0, then 1 2 3 round and round, then 4, which waits for itself, then 5 */
    chain(0, 5);
    join(3, 1);
    join(4, 4);
    place(6, 6);
    expect("0|1 2 3|4 5"); /* apart they would not be faster than the cycle */
    place(2, 2);
    expect("0 1 2 3|4 5");
    begin(5); /* two cycles that have a node in common are one */
    chain(0, 4);
    join(2, 0);
    join(4, 2);
    place(5, 5);
    expect("0 1 2 3 4");
}

static void test_parts(void **state)
{
    (void)state;
    begin(6); /* two lines whose nodes alternate on the command line, and a cycle alone */
    join(0, 2);
    join(1, 3);
    join(4, 5);
    join(5, 4);
    place(3, 3);
    assert_int_equal(placement.thread_count, 3);
    assert_int_equal(placement.thread_of[0], placement.thread_of[2]);
    assert_int_equal(placement.thread_of[1], placement.thread_of[3]);
    assert_int_equal(placement.thread_of[4], placement.thread_of[5]);
}

static void test_alone(void **state)
{
    (void)state;
    begin(6);
    chain(0, 5);
    nodes[0].type = &blocking;
    nodes[3].common.cpu_list = "0";
    nodes[4].type = nodes[5].type = &depends;
    nodes[5].cpu_index = 7;
    place(1, 2);
    expect("0|1 2 4|3|5");
    place(3, 2); /* so many for those that share */
    expect("0|1|2|3|4|5");
    join(4, 1); /* on a cycle, too, who blocks is alone; the others stay together */
    place(3, 2);
    expect("0|1 2 4|3|5");
}

/* All of them on one thread, downstream, whatever else is asked. */
static void test_durable(void **state)
{
    (void)state;
    begin(7);
    chain(0, 6);
    place(2, 2);
    assert_true(placement.durable_thread == WIRING_NONE);
    nodes[1].type = nodes[5].type = &durable;
    nodes[3].type = &durable_blocking;
    nodes[5].common.cpu_list = "0";
    place(2, 2);
    expect("0 2|1 3 5|4 6");
    assert_int_equal(placement.durable_thread, 1);
    place(THREADS_PER_NODE, 1);
    expect("0|1 3 5|2|4|6");
    assert_int_equal(placement.durable_thread, 1);
    place(THREADS_AUTO, 3); /* it takes one of the processors, once */
    expect("0 2|1 3 5|4 6");
    join(5, 1); /* also with others on their cycle */
    place(2, 2);
    expect("0 2 4|1 3 5|6");
    for (size_t i = 0; i < 7; i++)
        nodes[i].type = &durable;
    place(THREADS_PER_NODE, 4);
    expect("0 1 2 3 4 5 6");
    assert_int_equal(placement.durable_thread, 0);
}

static void test_reporter(void **state)
{
    (void)state;
    begin(3);
    chain(0, 1);
    wiring.node_count = 4; /* without a node of the spec */
    wiring.has_reporter = true;
    join(3, 2);
    place(1, 4);
    expect("0 1 2|3");
}

static void test_sockets_do_not_order(void **state)
{
    (void)state;
    begin(3);
    add_port(&wiring.nodes[2].outputs, &wiring.nodes[2].output_count, WIRING_NONE, 0);
    add_port(&wiring.nodes[1].outputs, &wiring.nodes[1].output_count, WIRING_NONE, WIRING_NONE);
    place(1, 1);
    expect("0 1 2");
}

static void test_auto(void **state)
{
    (void)state;
    begin(4);
    chain(0, 3);
    place(THREADS_AUTO, 1);
    expect("0 1 2 3");
    place(THREADS_AUTO, 2);
    expect("0 1|2 3");
    place(THREADS_AUTO, 4);
    expect("0|1|2|3");
    nodes[0].type = &blocking; /* takes a processor of the two */
    place(THREADS_AUTO, 2);
    expect("0|1 2 3");
    nodes[0].type = &light;
    spec.application_port_count = 2; /* the program, too: one */
    place(THREADS_AUTO, 2);
    expect("0 1 2 3");
    place(THREADS_AUTO, 3);
    expect("0 1|2 3");
    begin(12); /* much to do: worth taking turns on a processor, but not more threads than processors */
    chain(0, 11);
    spec.application_port_count = 1;
    place(THREADS_AUTO, 2);
    assert_int_equal(placement.thread_count, 2);
    place(THREADS_AUTO, 1);
    assert_int_equal(placement.thread_count, 1);
}

static void test_thousand(void **state)
{
    (void)state;
    begin(NODE_MAX);
    chain(0, NODE_MAX - 1);
    place(1, 2);
    for (size_t i = 0; i < NODE_MAX; i++)
        assert_int_equal(placement.order[i], i);
    place(THREADS_AUTO, 4);
    assert_int_equal(placement.thread_count, 4);
    for (size_t t = 0; t <= 4; t++)
        assert_int_equal(placement.first[t], t * (NODE_MAX / 4));
    join(NODE_MAX - 1, 0); /* one large cycle */
    place(THREADS_AUTO, 4);
    assert_int_equal(placement.thread_count, 1);
    place(THREADS_PER_NODE, 4);
    assert_int_equal(placement.thread_count, NODE_MAX);
}

static void test_print(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length;
    begin(5);
    chain(0, 4);
    nodes[2].type = &blocking;
    place(2, 2);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    placement_print(out, &placement, &spec);
    fclose(out);
    assert_string_equal(text, "n0, n1 share a thread\nn3, n4 share a thread\n");
    free(text);
}

#define PLACEMENT_TEST(name) cmocka_unit_test_setup_teardown(name, clear, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACEMENT_TEST(test_per_node),
        PLACEMENT_TEST(test_chain),
        PLACEMENT_TEST(test_chain_backwards),
        PLACEMENT_TEST(test_weights),
        PLACEMENT_TEST(test_tree),
        PLACEMENT_TEST(test_fan_in),
        PLACEMENT_TEST(test_replicas),
        PLACEMENT_TEST(test_cycles),
        PLACEMENT_TEST(test_parts),
        PLACEMENT_TEST(test_durable),
        PLACEMENT_TEST(test_alone),
        PLACEMENT_TEST(test_reporter),
        PLACEMENT_TEST(test_sockets_do_not_order),
        PLACEMENT_TEST(test_auto),
        PLACEMENT_TEST(test_thousand),
        PLACEMENT_TEST(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
