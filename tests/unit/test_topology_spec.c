/* Flags in, a specification out: scopes, defaults, replicas, names, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/topology_spec.h"
#include "tests/support/fake_nodes.h"

static struct topology_spec spec;

#define COUNT_OF(...)     ((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)))
#define PARSE(...)        parse_all(NULL, COUNT_OF(__VA_ARGS__), (const char *const[]){__VA_ARGS__})
#define REFUSE(part, ...) refuse_all(NULL, part, COUNT_OF(__VA_ARGS__), (const char *const[]){__VA_ARGS__})

static const struct node_type *type(const char *name)
{
    for (const struct node_type *const *each = fake_catalog.node_types; *each != NULL; each++)
        if (strcmp((*each)->name, name) == 0)
            return *each;
    fail_msg("no type %s", name);
    return NULL;
}

static void parse_all(const struct node_type *single, int count, const char *const *arguments)
{
    struct error error = {0};
    topology_spec_free(&spec);
    if (topology_spec_parse(&spec, &fake_catalog, single, count, arguments, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

/* The error holds `part`; on failure the spec is empty. */
static void refuse_all(const struct node_type *single, const char *part, int count, const char *const *arguments)
{
    struct error error = {0};
    topology_spec_free(&spec);
    if (topology_spec_parse(&spec, &fake_catalog, single, count, arguments, &error) != STATUS_USAGE)
        fail_msg("was taken; expected: %s", part);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
    assert_null(spec.nodes);
    assert_int_equal(spec.node_count, 0);
}

static const struct fake_config *config(size_t node)
{
    assert_true(node < spec.node_count);
    return spec.nodes[node].config;
}

static int free_spec(void **state)
{
    (void)state;
    topology_spec_free(&spec);
    return 0;
}

static void test_one_node(void **state)
{
    (void)state;
    PARSE("--store");
    assert_int_equal(spec.node_count, 1);
    assert_ptr_equal(spec.nodes[0].type, type("store"));
    assert_string_equal(spec.nodes[0].name, "store");
    assert_int_equal(config(0)->address.count, 1);
    assert_string_equal(config(0)->address.items[0].text, "127.0.0.1:10000");
    assert_int_equal(config(0)->limit_bytes, 1 << 20);
    const struct node_common *common = &spec.nodes[0].common;
    assert_int_equal(common->metrics_address.count, 0);
    assert_true(common->stats_period_ns == INT64_C(60000000000));
    assert_false(common->console_log || common->file_log);
    assert_int_equal(common->log_level, LOG_INFO);
    assert_int_equal(common->log_max_bytes, 64 << 20);
    assert_null(common->cpu_list);
    assert_int_equal(spec.launch.join, JOIN_RINGS);
    assert_true(spec.launch.drain_timeout_ns == INT64_C(5000000000));
    assert_false(spec.launch.exit_when_drained || spec.launch.table);
    assert_null(spec.launch.metrics_uri);
}

static void test_scopes(void **state)
{
    (void)state;
    PARSE("--store", "--address", "in", "--limit", "2K", "--work", "--input-address", "in", "--delay", "0.5", "--store",
          "--address", "out", "--console-log");
    assert_int_equal(spec.node_count, 3);
    assert_string_equal(config(0)->address.items[0].text, "in");
    assert_int_equal(config(0)->limit_bytes, 2048);
    assert_true(config(1)->delay_ns == 500000000);
    assert_string_equal(config(2)->address.items[0].text, "out");
    assert_int_equal(config(2)->limit_bytes, 1 << 20);
    assert_false(spec.nodes[0].common.console_log || spec.nodes[1].common.console_log);
    assert_true(spec.nodes[2].common.console_log);
}

static void test_defaults_reach_those_that_know_them(void **state)
{
    (void)state;
    PARSE("--stats-period", "1", "--limit", "3K", "--delay", "2", "--log-level", "debug", "--metrics-address", "m",
          "--store", "--work", "--log-level", "error", "--delay", "3", "--drain");
    assert_int_equal(config(0)->limit_bytes, 3072);
    assert_true(config(0)->delay_ns == 0);
    assert_true(config(1)->delay_ns == INT64_C(3000000000)); /* its own goes before the default */
    assert_int_equal(spec.nodes[0].common.log_level, LOG_DEBUG);
    assert_int_equal(spec.nodes[1].common.log_level, LOG_ERROR);
    assert_int_equal(spec.nodes[2].common.log_level, LOG_DEBUG);
    for (size_t i = 0; i < 3; i++) {
        assert_true(spec.nodes[i].common.stats_period_ns == 1000000000);
        assert_int_equal(spec.nodes[i].common.metrics_address.count, 1);
    }
}

static void test_own_lists_replace_default_lists(void **state)
{
    (void)state;
    PARSE("--metrics-address", "a", "--metrics-address", "b", "--input-address", "x", "--input-address", "y", "--store",
          "--metrics-address", "c", "--work", "--work", "--input-address", "z", "--input-address", "z2");
    assert_int_equal(spec.nodes[0].common.metrics_address.count, 1);
    assert_string_equal(spec.nodes[0].common.metrics_address.items[0].text, "c");
    assert_int_equal(spec.nodes[1].common.metrics_address.count, 2);
    assert_string_equal(spec.nodes[1].common.metrics_address.items[1].text, "b");
    assert_int_equal(config(1)->input_address.count, 2); /* without the table's own default */
    assert_string_equal(config(1)->input_address.items[0].text, "x");
    assert_string_equal(config(1)->input_address.items[1].text, "y");
    assert_int_equal(config(2)->input_address.count, 2);
    assert_string_equal(config(2)->input_address.items[0].text, "z");
    assert_string_equal(config(2)->input_address.items[1].text, "z2");
}

static void test_the_last_of_single_values_counts(void **state)
{
    (void)state;
    PARSE("--store", "--limit", "1K", "--limit", "2K");
    assert_int_equal(config(0)->limit_bytes, 2048);
}

static void test_launch_flags_anywhere(void **state)
{
    (void)state;
    PARSE("--join", "sockets", "--store", "--exit-when-drained", "--drain-timeout=0.25", "--work", "--table",
          "--metrics-uri", "http://127.0.0.1/post");
    assert_int_equal(spec.node_count, 2);
    assert_int_equal(spec.launch.join, JOIN_SOCKETS);
    assert_true(spec.launch.exit_when_drained && spec.launch.table);
    assert_true(spec.launch.drain_timeout_ns == 250000000);
    assert_string_equal(spec.launch.metrics_uri, "http://127.0.0.1/post");
    REFUSE("--join: 'pipes' is none of rings, sockets", "--store", "--join", "pipes");
    REFUSE("--drain-timeout", "--drain-timeout", "-1", "--store");
    REFUSE("--threads: 'many' is none of per-node, auto, and a number from 1 to 1000", "--threads", "many", "--store");
    REFUSE("--threads: '0' is none of", "--threads", "0", "--store");
    PARSE("--store");
    assert_int_equal(spec.launch.threads, THREADS_AUTO);
    PARSE("--store", "--threads", "per-node");
    assert_int_equal(spec.launch.threads, THREADS_PER_NODE);
    REFUSE("--busy-poll", "--busy-poll", "-1", "--store");
    REFUSE("--busy-poll", "--busy-poll", "1.1", "--store");
    REFUSE("--busy-poll", "--busy-poll", "always", "--store");
    PARSE("--store");
    assert_true(spec.launch.busy_poll_ns == 0);
    PARSE("--store", "--busy-poll", "0.00005");
    assert_true(spec.launch.busy_poll_ns == 50000);
    PARSE("--threads=12", "--store");
    assert_int_equal(spec.launch.threads, 12);
}

static void test_equals(void **state)
{
    (void)state;
    PARSE("--limit=5K", "--store", "--address=in", "--work", "--label=a=b", "--input-address=in", "--work",
          "--label=", "--input-address=in", "--replicas=2");
    assert_int_equal(config(0)->limit_bytes, 5120);
    assert_string_equal(config(0)->address.items[0].text, "in");
    assert_string_equal(config(1)->label, "a=b");
    assert_string_equal(config(2)->label, "");
    assert_int_equal(spec.node_count, 4);
    REFUSE("--stay takes no value", "--work", "--stay=yes");
    REFUSE("--table takes no value", "--table=", "--work");
    REFUSE("--store takes no value", "--store=in"); /* a node has no value */
}

static void test_values(void **state)
{
    (void)state;
    PARSE("--work", "--label", "-x", "--input-address", "in"); /* one dash is no flag */
    assert_string_equal(config(0)->label, "-x");
    PARSE("--work", "--label=--store", "--input-address", "in");
    assert_string_equal(config(0)->label, "--store");
    assert_int_equal(spec.node_count, 1);
    REFUSE("--label needs a value: TEXT", "--work", "--label");
    REFUSE("--label needs a value: TEXT", "--work", "--label", "--stay");
    REFUSE("work", "--work", "--label", "--store");
    REFUSE("--address needs a value", "--address");
    REFUSE("'in' stands where a flag", "--store", "in");
    REFUSE("'-x' stands where a flag", "-x");
    REFUSE("''", "");
    REFUSE("store: --limit: '0'", "--store", "--limit", "0");
    REFUSE("work: --replicas: '65' is not a whole number from 1 to 64", "--work", "--replicas", "65");
    REFUSE("--limit", "--limit", "x", "--store"); /* a default that does not parse */
}

static void test_unknown_flags(void **state)
{
    (void)state;
    REFUSE("store: unknown flag --limt; did you mean --limit?", "--store", "--limt", "1");
    REFUSE("unknown flag --stor; did you mean --store?", "--stor");
    REFUSE("did you mean --join?", "--joint", "rings");
    REFUSE("store: unknown flag --replicas", "--store", "--replicas", "2"); /* another type's */
    REFUSE("unknown flag --zzzzzz", "--zzzzzz");
    REFUSE("unknown flag --", "--");
    REFUSE("unknown flag --", "--=x");
    REFUSE("work: unknown flag --labl; did you mean --label?", "--work", "--labl=3");
    struct error error = {0};
    const char *const unlike[] = {"--qqqqqqqq"};
    assert_int_equal(topology_spec_parse(&spec, &fake_catalog, NULL, 1, unlike, &error), STATUS_USAGE);
    assert_null(strstr(error.text, "did you mean"));
}

static void test_no_node(void **state)
{
    (void)state;
    REFUSE("no node", "--table");
    refuse_all(NULL, "no node", 0, NULL);
}

static void test_required(void **state)
{
    (void)state;
    REFUSE("file: needs --path PATH: the files", "--file");
    PARSE("--path", "a", "--file", "--file", "--path", "b", "--path", "c");
    assert_int_equal(config(0)->path.count, 1);
    assert_int_equal(config(1)->path.count, 2);
    assert_string_equal(config(1)->path.items[1], "c");
}

static void test_single(void **state)
{
    (void)state;
    const char *const flags[] = {"--label", "x", "--table", "--stats-period", "2"};
    parse_all(type("work"), 5, flags);
    assert_int_equal(spec.node_count, 1);
    assert_string_equal(spec.nodes[0].name, "work");
    assert_string_equal(config(0)->label, "x");
    assert_true(spec.launch.table);
    assert_true(spec.nodes[0].common.stats_period_ns == 2000000000);
    parse_all(type("store"), 0, NULL);
    assert_int_equal(spec.node_count, 1);
    const char *const another[] = {"--drain"};
    refuse_all(type("work"), "work: unknown flag --drain", 1, another);
    const char *const wrong[] = {"--limit", "1"};
    refuse_all(type("work"), "work: unknown flag --limit", 2, wrong);
}

static void test_names(void **state)
{
    (void)state;
    PARSE("--store", "--work", "--work", "--vuid", "NODE_2", "--work");
    assert_string_equal(spec.nodes[0].name, "store"); /* the only one */
    assert_string_equal(spec.nodes[1].name, "work 1");
    assert_string_equal(spec.nodes[2].name, "work NODE_2");
    assert_string_equal(spec.nodes[2].vuid, "NODE_2");
    assert_string_equal(spec.nodes[3].name, "work 3");
}

static void test_replicas(void **state)
{
    (void)state;
    PARSE("--work", "--replicas", "3", "--label", "l", "--vuid", "W", "--store", "--work", "--replicas", "2");
    assert_int_equal(spec.node_count, 6);
    assert_string_equal(spec.nodes[0].vuid, "W");
    assert_string_equal(spec.nodes[1].vuid, "W.2");
    assert_string_equal(spec.nodes[2].vuid, "W.3");
    assert_string_equal(spec.nodes[1].name, "work W.2");
    assert_string_equal(spec.nodes[3].name, "store");
    assert_string_equal(spec.nodes[4].name, "work 4");
    assert_string_equal(spec.nodes[5].name, "work 5");
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(config(i)->label, "l");
    assert_ptr_not_equal(config(0), config(1));
    PARSE("--replicas", "2", "--work", "--store", "--work", "--replicas", "1");
    assert_int_equal(spec.node_count, 4);
}

/* What is too long is cut, in the name too. */
static void test_long_vuid(void **state)
{
    (void)state;
    char vuid[300];
    memset(vuid, 'v', sizeof vuid - 1);
    vuid[sizeof vuid - 1] = '\0';
    PARSE("--work", "--vuid", vuid, "--replicas", "2");
    assert_true(strlen(spec.nodes[1].vuid) < NODE_VUID_BYTES);
    assert_non_null(strstr(spec.nodes[1].vuid, ".2"));
    assert_string_not_equal(spec.nodes[0].vuid, spec.nodes[1].vuid);
}

/* The url-safe base64 of six decimal digits. */
static void test_random_vuids(void **state)
{
    (void)state;
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bool differ = false;
    char first[NODE_VUID_BYTES];
    topology_spec_random_vuid(first, sizeof first);
    for (int i = 0; i < 100; i++) {
        char text[NODE_VUID_BYTES];
        topology_spec_random_vuid(text, sizeof text);
        assert_int_equal(strlen(text), 8);
        uint64_t bits = 0;
        for (size_t j = 0; j < 8; j++) {
            const char *place = strchr(base64, text[j]);
            assert_non_null(place);
            bits = bits << 6 | (uint64_t)(place - base64);
        }
        for (int j = 0; j < 6; j++, bits >>= 8)
            assert_in_range(bits & 0xff, j == 5 ? '1' : '0', '9');
        differ = differ || strcmp(first, text) != 0;
    }
    assert_true(differ);
    PARSE("--work", "--work");
    assert_int_equal(strlen(spec.nodes[0].vuid), 8);
}

static void test_processors_are_dealt_out(void **state)
{
    (void)state;
    /* Given before the first node: one a node in turn, replicas are nodes. */
    PARSE("--cpu-list", "0-3", "--store", "--work", "--replicas", "3", "--drain");
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(spec.nodes[i].cpu_index, i);
    /* Given to a node: over its replicas. */
    PARSE("--store", "--work", "--replicas", "3", "--cpu-list", "0,1", "--drain", "--cpu-list", "1");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(spec.nodes[1 + i].cpu_index, i);
    assert_int_equal(spec.nodes[4].cpu_index, 0);
    /* Both: what a node has of its own is dealt out as if there were no other. */
    PARSE("--cpu-list", "0-3", "--store", "--work", "--replicas", "2", "--cpu-list", "2,3", "--drain");
    assert_int_equal(spec.nodes[1].cpu_index, 0);
    assert_int_equal(spec.nodes[2].cpu_index, 1);
    assert_string_equal(spec.nodes[2].common.cpu_list, "2,3");
    assert_string_equal(spec.nodes[3].common.cpu_list, "0-3");
}

static void test_check(void **state)
{
    (void)state;
    struct error error = {0};
    PARSE("--store", "--work");
    assert_int_equal(topology_spec_check(&spec, &error), STATUS_OK);
    PARSE("--store", "--work", "--work", "--refuse");
    assert_int_equal(topology_spec_check(&spec, &error), STATUS_USAGE);
    assert_string_equal(error.text, "work 2: refused");
}

static void test_what_is_kept_needs_a_store(void **state)
{
    (void)state;
    struct error error = {0};
    PARSE("--store", "--work", "--durable");
    assert_int_equal(topology_spec_check(&spec, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "work: "));
    assert_non_null(strstr(error.text, "needs --store DIRECTORY"));
    spec.launch.store = "somewhere";
    assert_int_equal(topology_spec_check(&spec, &error), STATUS_OK);
}

static void test_application_ports(void **state)
{
    (void)state;
    PARSE("--store", "--address", "in");
    topology_spec_add_port(&spec, &config(0)->address.items[0], LINK_PUT);
    topology_spec_add_port(&spec, &config(0)->address.items[0], LINK_GET);
    assert_int_equal(spec.application_port_count, 2);
    assert_string_equal(spec.application_ports[1].address.text, "in");
    assert_int_equal(spec.application_ports[0].kind, LINK_PUT);
    assert_int_equal(spec.application_ports[1].kind, LINK_GET);
}

static void test_freed_twice(void **state)
{
    (void)state;
    PARSE("--store", "--metrics-address", "m");
    topology_spec_free(&spec);
    assert_null(spec.nodes);
    topology_spec_free(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_node, free_spec),
        cmocka_unit_test_teardown(test_scopes, free_spec),
        cmocka_unit_test_teardown(test_defaults_reach_those_that_know_them, free_spec),
        cmocka_unit_test_teardown(test_own_lists_replace_default_lists, free_spec),
        cmocka_unit_test_teardown(test_the_last_of_single_values_counts, free_spec),
        cmocka_unit_test_teardown(test_launch_flags_anywhere, free_spec),
        cmocka_unit_test_teardown(test_equals, free_spec),
        cmocka_unit_test_teardown(test_values, free_spec),
        cmocka_unit_test_teardown(test_unknown_flags, free_spec),
        cmocka_unit_test_teardown(test_no_node, free_spec),
        cmocka_unit_test_teardown(test_required, free_spec),
        cmocka_unit_test_teardown(test_single, free_spec),
        cmocka_unit_test_teardown(test_names, free_spec),
        cmocka_unit_test_teardown(test_replicas, free_spec),
        cmocka_unit_test_teardown(test_long_vuid, free_spec),
        cmocka_unit_test_teardown(test_random_vuids, free_spec),
        cmocka_unit_test_teardown(test_processors_are_dealt_out, free_spec),
        cmocka_unit_test_teardown(test_what_is_kept_needs_a_store, free_spec),
        cmocka_unit_test_teardown(test_check, free_spec),
        cmocka_unit_test_teardown(test_application_ports, free_spec),
        cmocka_unit_test_teardown(test_freed_twice, free_spec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
