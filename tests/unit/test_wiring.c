/* From a specification to a graph: which links become rings, which go over the network, what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/wiring.h"
#include "tests/support/fake_nodes.h"

static struct topology_spec spec;
static struct wiring wiring;

#define COUNT_OF(...)     ((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)))
#define PARSE(...)        parse_all(COUNT_OF(__VA_ARGS__), (const char *const[]){__VA_ARGS__})
#define WIRE(...)         (PARSE(__VA_ARGS__), make())
#define REFUSE(part, ...) (PARSE(__VA_ARGS__), refuse(part))

static void parse_all(int count, const char *const *arguments)
{
    struct error error = {0};
    wiring_free(&wiring);
    topology_spec_free(&spec);
    if (topology_spec_parse(&spec, &fake_catalog, NULL, count, arguments, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

static void make(void)
{
    struct error error = {0};
    if (wiring_make(&wiring, &spec, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

static void refuse(const char *part)
{
    struct error error = {0};
    if (wiring_make(&wiring, &spec, &error) != STATUS_USAGE)
        fail_msg("was wired; expected: %s", part);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
    assert_null(wiring.nodes);
    assert_null(wiring.edges);
}

static void add_port(const char *text, enum link_kind kind)
{
    struct error error = {0};
    struct address address;
    assert_int_equal(address_parse(text, &address, &error), STATUS_OK);
    topology_spec_add_port(&spec, &address, kind);
}

static int free_all(void **state)
{
    (void)state;
    wiring_free(&wiring);
    topology_spec_free(&spec);
    return 0;
}

static void expect_edge(size_t index, size_t producer, size_t consumer)
{
    assert_true(index < wiring.edge_count);
    assert_int_equal(wiring.edges[index].producer, producer);
    assert_int_equal(wiring.edges[index].consumer, consumer);
    assert_int_equal(wiring.edges[index].application_port, WIRING_NONE);
}

static void expect_port(const struct wiring_port *port, const char *address, enum link_kind kind, size_t edge,
                        size_t peer)
{
    if (address == NULL)
        assert_null(port->address);
    else
        assert_string_equal(port->address->text, address);
    assert_int_equal(port->kind, kind);
    assert_int_equal(port->edge, edge);
    assert_int_equal(port->peer, peer);
}

static void expect_ports(size_t node, size_t input_count, size_t output_count)
{
    assert_int_equal(wiring.nodes[node].input_count, input_count);
    assert_int_equal(wiring.nodes[node].output_count, output_count);
}

static void test_a_line(void **state)
{
    (void)state;
    WIRE("--source", "--output-address", "in", "--store", "--address", "in", "--work", "--input-address", "in",
         "--output-address", "out", "--store", "--address", "out");
    assert_int_equal(wiring.node_count, 4);
    assert_int_equal(wiring.edge_count, 3);
    assert_false(wiring.has_reporter);
    expect_edge(0, 0, 1);
    expect_edge(1, 1, 2);
    expect_edge(2, 2, 3);
    expect_ports(0, 0, 1);
    expect_port(&wiring.nodes[0].outputs[0], "in", LINK_PUT, 0, 1);
    expect_ports(1, 1, 1);
    expect_port(&wiring.nodes[1].inputs[0], NULL, LINK_PUT, 0, 0);
    expect_port(&wiring.nodes[1].outputs[0], NULL, LINK_GET, 1, 2);
    expect_ports(2, 1, 1);
    expect_port(&wiring.nodes[2].inputs[0], "in", LINK_GET, 1, 1);
    expect_port(&wiring.nodes[2].outputs[0], "out", LINK_PUT, 2, 3);
    expect_ports(3, 1, 0);
    for (size_t i = 0; i < 4; i++)
        assert_false(wiring.nodes[i].on_cycle);
}

static void test_real_addresses_inside_and_outside(void **state)
{
    (void)state;
    WIRE("--store", "--address", "127.0.0.1:7001", "--address", "tcp://127.0.0.1:7001", "--work", "--input-address",
         "127.0.0.1:7001", "--input-address", "127.0.0.1:7002", "--output-address", "tcp://127.0.0.1:7001",
         "--output-address", "127.0.0.1:7003");
    assert_int_equal(wiring.edge_count, 2);
    expect_ports(1, 2, 2);
    expect_port(&wiring.nodes[1].inputs[0], "127.0.0.1:7001", LINK_GET, 0, 0);
    expect_port(&wiring.nodes[1].inputs[1], "127.0.0.1:7002", LINK_GET, WIRING_NONE, WIRING_NONE);
    expect_port(&wiring.nodes[1].outputs[0], "tcp://127.0.0.1:7001", LINK_PUT, 1, 0);
    expect_port(&wiring.nodes[1].outputs[1], "127.0.0.1:7003", LINK_PUT, WIRING_NONE, WIRING_NONE);
}

static void test_two_at_one_address(void **state)
{
    (void)state;
    REFUSE("store 1 and store 2 both listen at 127.0.0.1:10000", "--store", "--store");
    REFUSE("store and drain both listen at x", "--store", "--address", "x", "--drain", "--address", "x");
    REFUSE("store: --address: it listens at x twice", "--store", "--address", "x", "--address", "x");
    REFUSE("both listen", "--store", "--address", "0.0.0.0:7001", "--drain", "--address", "127.0.0.1:7001");
    REFUSE("both listen", "--store", "--address", "udp://127.0.0.1:7001", "--drain", "--address", "127.0.0.1:7001");
    WIRE("--store", "--address", "tcp://127.0.0.1:7001", "--drain", "--address", "127.0.0.1:7001");
    WIRE("--store", "--address", "127.0.0.2:7001", "--drain", "--address", "127.0.0.1:7001");
    WIRE("--store", "--address", "127.0.0.1:0", "--store", "--address", "127.0.0.1:0"); /* the system's choice */
}

static void test_wildcard(void **state)
{
    (void)state;
    WIRE("--store", "--address", "0.0.0.0:7001", "--source", "--output-address", "127.0.0.1:7001", "--source",
         "--output-address", "127.0.0.1:7002");
    assert_int_equal(wiring.edge_count, 1);
    expect_edge(0, 1, 0);
}

static void test_names(void **state)
{
    (void)state;
    REFUSE("source: no node of this launch listens at 'x'", "--source", "--output-address", "x");
    REFUSE("--address Out", "--store", "--address", "out", "--source", "--output-address", "Out");
    REFUSE("work 2: no node", "--work", "--work", "--input-address", "x");
    WIRE("--source", "--output-address", "x", "--store", "--address", "x"); /* whichever comes first */
    assert_int_equal(wiring.edge_count, 1);
}

static void test_kinds_that_do_not_fit(void **state)
{
    (void)state;
    REFUSE("source: drain at x does not take PUT commands (--output-type queue)", "--source", "--output-address", "x",
           "--drain", "--address", "x");
    REFUSE("work: drain at x does not take GET commands", "--work", "--input-address", "x", "--drain", "--address",
           "x");
    REFUSE("source: store at x does not take bare messages (--output-type socket)", "--source", "--output-address", "x",
           "--output-type", "socket", "--store", "--address", "x");
    WIRE("--source", "--output-address", "x", "--output-type", "socket", "--drain", "--address", "x");
    expect_port(&wiring.nodes[1].inputs[0], NULL, LINK_BARE, 0, 0);
}

static void test_kind_of_the_other_end(void **state)
{
    (void)state;
    WIRE("--source", "--output-type", "any", "--output-address", "q", "--output-address", "d", "--output-address",
         "127.0.0.1:7009", "--store", "--address", "q", "--drain", "--address", "d");
    assert_int_equal(wiring.nodes[0].outputs[0].kind, LINK_PUT);
    assert_int_equal(wiring.nodes[0].outputs[1].kind, LINK_BARE);
    assert_int_equal(wiring.nodes[0].outputs[2].kind, LINK_PUT); /* not known */
}

static void test_replicas(void **state)
{
    (void)state;
    WIRE("--store", "--address", "in", "--work", "--replicas", "3", "--input-address", "in", "--output-address", "out",
         "--store", "--address", "out");
    assert_int_equal(wiring.node_count, 5);
    assert_int_equal(wiring.edge_count, 6);
    expect_ports(0, 0, 3);
    expect_ports(4, 3, 0);
    for (size_t i = 0; i < 3; i++) { /* an edge for each: one writer, one reader */
        assert_int_equal(wiring.nodes[0].outputs[i].peer, 1 + i);
        expect_port(&wiring.nodes[4].inputs[i], NULL, LINK_PUT, wiring.nodes[1 + i].outputs[0].edge, 1 + i);
    }
}

static void test_one_address_twice(void **state)
{
    (void)state;
    WIRE("--store", "--address", "q", "--source", "--output-address", "q", "--output-address", "q");
    assert_int_equal(wiring.edge_count, 2); /* as a choice of two outputs means */
    expect_ports(0, 2, 0);
    expect_ports(1, 0, 2);
}

static void test_cycles(void **state)
{
    (void)state;
    WIRE("--source", "--output-address", "ring", "--store", "--address", "ring", "--work", "--input-address", "ring",
         "--output-address", "ring", "--output-address", "out", "--store", "--address", "out");
    assert_false(wiring.nodes[0].on_cycle); /* leads into it */
    assert_true(wiring.nodes[1].on_cycle);
    assert_true(wiring.nodes[2].on_cycle);
    assert_false(wiring.nodes[3].on_cycle); /* behind it */
}

static void test_long_cycle(void **state)
{
    (void)state;
    WIRE("--store", "--address", "a", "--work", "--input-address", "a", "--output-address", "b", "--store", "--address",
         "b", "--work", "--input-address", "b", "--output-address", "c", "--store", "--address", "c", "--work",
         "--input-address", "c", "--output-address", "a");
    for (size_t i = 0; i < 6; i++)
        assert_true(wiring.nodes[i].on_cycle);
}

/* Over the network nobody knows where a message goes: only rings make a cycle. */
static void test_no_cycle_by_sockets(void **state)
{
    (void)state;
    WIRE("--join", "sockets", "--store", "--address", "127.0.0.1:7001", "--work", "--input-address", "127.0.0.1:7001",
         "--output-address", "127.0.0.1:7001");
    assert_int_equal(wiring.edge_count, 0);
    assert_false(wiring.nodes[0].on_cycle || wiring.nodes[1].on_cycle);
}

static void test_join_sockets(void **state)
{
    (void)state;
    WIRE("--join", "sockets", "--source", "--output-address", "127.0.0.1:7001", "--store", "--address",
         "127.0.0.1:7001", "--work", "--input-address", "127.0.0.1:7001", "--output-address", "127.0.0.1:7002");
    assert_int_equal(wiring.edge_count, 0);
    expect_port(&wiring.nodes[0].outputs[0], "127.0.0.1:7001", LINK_PUT, WIRING_NONE, 1);
    expect_port(&wiring.nodes[2].inputs[0], "127.0.0.1:7001", LINK_GET, WIRING_NONE, 1);
    expect_port(&wiring.nodes[2].outputs[0], "127.0.0.1:7002", LINK_PUT, WIRING_NONE, WIRING_NONE);
    expect_ports(1, 0, 0);
    REFUSE("source: 'x' has no socket: --join sockets needs HOST:PORT", "--join", "sockets", "--source",
           "--output-address", "x", "--store", "--address", "x");
    REFUSE("source: drain at 127.0.0.1:7001 does not take PUT", "--join", "sockets", "--source", "--output-address",
           "127.0.0.1:7001", "--drain", "--address", "127.0.0.1:7001");
}

static void test_reporter(void **state)
{
    (void)state;
    WIRE("--store", "--address", "q", "--metrics-address", "127.0.0.1:7005", "--metrics-address", "m", "--work",
         "--input-address", "q", "--metrics-address", "m", "--drain", "--address", "m", "--metrics-address",
         "127.0.0.1:7006");
    assert_true(wiring.has_reporter);
    assert_int_equal(wiring.node_count, 4);
    expect_ports(3, 0, 2); /* once each; the drain does not report */
    expect_port(&wiring.nodes[3].outputs[0], "127.0.0.1:7005", LINK_BARE, WIRING_NONE, WIRING_NONE);
    expect_port(&wiring.nodes[3].outputs[1], "m", LINK_BARE, 1, 2);
    expect_port(&wiring.nodes[2].inputs[0], NULL, LINK_BARE, 1, 3);
    expect_edge(1, 3, 2);
}

static void test_when_there_is_a_reporter(void **state)
{
    (void)state;
    WIRE("--store");
    assert_false(wiring.has_reporter);
    WIRE("--metrics-uri", "http://127.0.0.1:1/", "--store");
    assert_true(wiring.has_reporter);
    assert_int_equal(wiring.node_count, 2);
    WIRE("--drain", "--metrics-address", "127.0.0.1:7005"); /* has nothing to report */
    assert_false(wiring.has_reporter);
    REFUSE("metrics: no node of this launch listens at 'm'", "--store", "--metrics-address", "m");
    REFUSE("metrics: store 2 at q does not take bare", "--store", "--metrics-address", "q", "--store", "--address",
           "q");
}

static void test_application_ports(void **state)
{
    (void)state;
    PARSE("--store", "--address", "in", "--work", "--input-address", "in", "--output-address", "out", "--store",
          "--address", "out", "--drain", "--address", "d");
    add_port("in", LINK_NONE);
    add_port("out", LINK_GET);
    add_port("d", LINK_NONE);
    make();
    assert_int_equal(wiring.edge_count, 5);
    assert_int_equal(wiring.edges[2].producer, WIRING_NONE);
    assert_int_equal(wiring.edges[2].consumer, 0);
    assert_int_equal(wiring.edges[2].application_port, 0);
    expect_port(&wiring.nodes[0].inputs[0], NULL, LINK_PUT, 2, WIRING_NONE);
    assert_int_equal(wiring.edges[3].producer, 2);
    assert_int_equal(wiring.edges[3].consumer, WIRING_NONE);
    assert_int_equal(wiring.edges[3].application_port, 1);
    expect_port(&wiring.nodes[2].outputs[0], NULL, LINK_GET, 3, WIRING_NONE);
    expect_port(&wiring.nodes[3].inputs[0], NULL, LINK_BARE, 4, WIRING_NONE);
    for (size_t i = 0; i < 4; i++) /* what the program takes out does not come back by itself */
        assert_false(wiring.nodes[i].on_cycle);
}

static void test_application_ports_that_do_not_fit(void **state)
{
    (void)state;
    PARSE("--store", "--address", "in");
    add_port("nowhere", LINK_NONE);
    refuse("program: no node of this launch listens at 'nowhere'");
    PARSE("--store", "--address", "in");
    add_port("127.0.0.1:7010", LINK_GET);
    refuse("program: no node of this launch listens at '127.0.0.1:7010'");
    PARSE("--drain", "--address", "d");
    add_port("d", LINK_GET);
    refuse("program: drain at d does not take GET commands");
}

static void test_print(void **state)
{
    (void)state;
    PARSE("--store", "--address", "in", "--address", "127.0.0.1:7001", "--work", "--input-address", "in",
          "--input-address", "127.0.0.1:7002", "--output-address", "in", "--output-address", "127.0.0.1:7003");
    add_port("in", LINK_NONE);
    make();
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    wiring_print(out, &wiring, &spec);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "store listens at in, 127.0.0.1:7001 (on a cycle)\n"
                              "work (on a cycle)\n"
                              "store -> work by ring\n"
                              "work -> store by ring\n"
                              "the program -> store by ring\n"
                              "127.0.0.1:7002 -> work by network, GET\n"
                              "work -> 127.0.0.1:7003 by network, PUT\n");
    free(text);
    out = open_memstream(&text, &length);
    wiring_print_dot(out, &wiring, &spec);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "digraph millrace {"));
    assert_non_null(strstr(text, "\"store\" -> \"work\";"));
    assert_non_null(strstr(text, "\"127.0.0.1:7002\" -> \"work\" [style=dashed, label=\"GET\"];"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_line, free_all),
        cmocka_unit_test_teardown(test_real_addresses_inside_and_outside, free_all),
        cmocka_unit_test_teardown(test_two_at_one_address, free_all),
        cmocka_unit_test_teardown(test_wildcard, free_all),
        cmocka_unit_test_teardown(test_names, free_all),
        cmocka_unit_test_teardown(test_kinds_that_do_not_fit, free_all),
        cmocka_unit_test_teardown(test_kind_of_the_other_end, free_all),
        cmocka_unit_test_teardown(test_replicas, free_all),
        cmocka_unit_test_teardown(test_one_address_twice, free_all),
        cmocka_unit_test_teardown(test_cycles, free_all),
        cmocka_unit_test_teardown(test_long_cycle, free_all),
        cmocka_unit_test_teardown(test_no_cycle_by_sockets, free_all),
        cmocka_unit_test_teardown(test_join_sockets, free_all),
        cmocka_unit_test_teardown(test_reporter, free_all),
        cmocka_unit_test_teardown(test_when_there_is_a_reporter, free_all),
        cmocka_unit_test_teardown(test_application_ports, free_all),
        cmocka_unit_test_teardown(test_application_ports_that_do_not_fit, free_all),
        cmocka_unit_test_teardown(test_print, free_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
