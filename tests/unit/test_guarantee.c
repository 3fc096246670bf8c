/* Which launches keep what their workers promise, which are refused and why, and what is said of each way through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/guarantee_check.h"
#include "nodes/node_types.h"

static struct topology_spec spec;
static struct wiring wiring;
static char *explanation;

#define WORDS_MAX 64

/* Splits `line` at blanks; the words live until the next call, as the spec does. */
static int split(const char *line, const char **words)
{
    static char text[2048];
    int count = 0;
    char *at = NULL;
    assert_true(strlen(line) < sizeof text);
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    return count;
}

static void parse(const char *line)
{
    const char *words[WORDS_MAX];
    struct error error = {0};
    wiring_free(&wiring);
    topology_spec_free(&spec);
    if (topology_spec_parse(&spec, &millrace_catalog, NULL, split(line, words), words, &error) != STATUS_OK)
        fail_msg("%s: %s", line, error.text);
}

static void wire(void)
{
    struct error error = {0};
    if (wiring_make(&wiring, &spec, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

static int free_all(void **state)
{
    (void)state;
    wiring_free(&wiring);
    topology_spec_free(&spec);
    free(explanation);
    explanation = NULL;
    return 0;
}

static void add_program(const char *name, enum link_kind kind)
{
    struct error error = {0};
    struct address address;
    assert_int_equal(address_parse(name, &address, &error), STATUS_OK);
    topology_spec_add_port(&spec, &address, kind);
}

static void expect_good(const char *line)
{
    struct error error = {0};
    parse(line);
    wire();
    if (guarantee_check(&spec, &wiring, &error) != STATUS_OK)
        fail_msg("%s: %s", line, error.text);
}

/* `parts`: what the error must say, ended by NULL. */
static void expect_refused(const char *line, const char *const *parts)
{
    struct error error = {0};
    parse(line);
    wire();
    if (guarantee_check(&spec, &wiring, &error) != STATUS_USAGE)
        fail_msg("passed: %s", line);
    for (; *parts != NULL; parts++)
        if (strstr(error.text, *parts) == NULL)
            fail_msg("%s: '%s' does not say '%s'", line, error.text, *parts);
}

static size_t weak_count(void)
{
    struct weak_link weak;
    size_t count = 0;
    for (size_t from = 0; guarantee_next_weak(&spec, &wiring, &from, &weak);)
        count++;
    return count;
}

static const char *explain(const char *line)
{
    size_t length = 0;
    if (line != NULL)
        parse(line);
    if (wiring.nodes == NULL)
        wire();
    free(explanation);
    FILE *out = open_memstream(&explanation, &length);
    guarantee_explain(out, &spec, &wiring);
    assert_int_equal(fclose(out), 0);
    return explanation;
}

static void expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("does not say '%s':\n%s", part, text);
}

static void expect_no_text(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("says '%s':\n%s", part, text);
}

#define STORE   "--store somewhere "
#define DURABLE "--mq --address a --durability sync --mq --address b --durability async "
#define AB      "--worker --function passthrough --input-address a --output-address b "
#define EXACT   "--guarantee exactly-once "
#define LEAST   "--guarantee at-least-once "

static void test_good(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "--mq --address a --mq --address b " AB,
        "--mq --address a --mq --address b " AB LEAST,
        "--mq --address a --sink --address b " AB LEAST,
        STORE "--mq --address a --mq --address b " AB LEAST,
        STORE DURABLE AB,
        STORE DURABLE AB EXACT,
        STORE DURABLE AB EXACT "--count 4",
        STORE DURABLE AB EXACT "--input-address b --output-address a", /* cycles */
        STORE "--durability sync --mq --address a --worker --function pong --input-address a --output-address a " EXACT,
        STORE DURABLE AB EXACT "--input-address 127.0.0.1:7001 --output-address tcp://127.0.0.1:7002", /* elsewhere */
        STORE DURABLE "--mq --address c --durability sync " AB EXACT "--dead-letter c",
        STORE DURABLE AB EXACT "--feeder --address a --path /dev/null",
        STORE DURABLE "--sink --address s " AB EXACT /* what others do with what it wrote is theirs to promise */
                      "--worker --function passthrough --input-address b --output-address s",
        STORE "--mq --address a --durability sync --dead-letter b --mq --address b --durability sync "
              "--worker --function passthrough --input-address a --output-address 127.0.0.1:7001 " EXACT,
        STORE "--mq --address a --dead-letter b --mq --address b --worker --function pong --input-address a "
              "--output-address a " LEAST,
        STORE "--worker --function passthrough --input-address 127.0.0.1:7001 --output-address 127.0.0.1:7002 " EXACT,
        STORE "--join sockets --mq --address 127.0.0.1:7001 --durability sync --worker --function pong "
              "--input-address 127.0.0.1:7001 --output-address 127.0.0.1:7001 " EXACT,
        STORE "--mq --address a --overflow spill",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect_good(lines[i]);
}

struct refusal {
    const char *line;
    const char *parts[6];
};

static void test_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {STORE "--mq --address a --mq --address b --durability sync " AB EXACT,
         {"worker promises exactly-once", "input gives 'mq 1 at a -> worker'", "--durability memory",
          "give mq 1 --durability sync", "give worker --guarantee at-least-once"}},
        {STORE "--mq --address a --durability sync --mq --address b " AB EXACT,
         {"output gives 'worker -> mq 2 at b'", "give mq 2 --durability sync"}},
        {STORE "--mq --address a --durability sync --mq --address b --overflow spill " AB EXACT,
         {"output gives 'worker -> mq 2 at b'"}},
        {STORE DURABLE "--mq --address c " AB EXACT "--output-address c", {"'worker -> mq 3 at c'"}},
        {STORE DURABLE "--mq --address c " AB EXACT "--input-address c", {"'mq 3 at c -> worker'"}},
        {STORE DURABLE "--mq --address c " AB EXACT "--dead-letter c", {"'worker -> mq 3 at c'"}},
        {STORE DURABLE "--sink --address s " AB EXACT "--output-address s",
         {"'worker -> sink at s'", "nobody acknowledges", "put to a queue"}},
        {STORE DURABLE AB EXACT "--output-address 127.0.0.1:7001 --output-type auto "
                                "--worker --function passthrough --input-address a --output-address 127.0.0.1:7002 "
                                "--output-type socket " EXACT,
         {"worker 2 promises", "'worker 2 -> 127.0.0.1:7002'", "--output-type socket"}},
        {STORE "--mq --address a --durability sync --dead-letter c --mq --address b --durability sync "
               "--mq --address c " AB EXACT,
         {"input's dead letters give 'mq 1 at a -> mq 3 at c'", "give mq 3"}},
        {STORE "--mq --address a --mq --address b " AB EXACT "--count 2", {"and 3 more"}},
        {STORE "--join sockets --mq --address 127.0.0.1:7001 --worker --function pong --input-address "
               "127.0.0.1:7001 --output-address 127.0.0.1:7001 " EXACT,
         {"'mq at 127.0.0.1:7001 -> worker'"}},
        {DURABLE AB, {"mq 1: --durability sync needs --store"}},
        {"--mq --durability async", {"mq: --durability async needs --store"}},
        {"--mq --overflow spill", {"mq: --overflow spill needs --store"}},
        {"--allow-weaker --mq --durability async", {"needs --store"}},
        {"--mq --address a --mq --address b " AB EXACT, {"worker: --guarantee exactly-once needs --store"}},
        {"--allow-weaker --mq --address a --mq --address b " AB EXACT, {"needs --store"}},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        expect_refused(refusals[i].line, refusals[i].parts);
}

static void test_allow_weaker(void **state)
{
    (void)state;
    expect_good("--allow-weaker " STORE "--mq --address a --sink --address b " AB EXACT);
    assert_int_equal(weak_count(), 2);
    expect_good("--allow-weaker " STORE DURABLE AB EXACT);
    assert_int_equal(weak_count(), 0);
}

/* Metrics are no messages: the reporter's links count for nothing. */
static void test_metrics(void **state)
{
    (void)state;
    expect_good(STORE "--metrics-address m " DURABLE AB EXACT
                      "--metrics-receiver --address m --uri http://127.0.0.1:1/");
    struct guarantee_link link;
    size_t count = 0;
    for (size_t at = 0; guarantee_next_link(&spec, &wiring, &at, &link);)
        count++;
    assert_int_equal(count, 2);
    assert_int_equal(wiring.edge_count, 3);
}

static void test_links(void **state)
{
    (void)state;
    struct guarantee_link link;
    size_t at = 0;
    parse("--mq --address a --worker --function pong --input-address a --input-address 127.0.0.1:7001 "
          "--output-address 127.0.0.1:7002 --dead-letter a");
    wire();
    assert_true(guarantee_next_link(&spec, &wiring, &at, &link));
    assert_true(link.from == 0 && link.to == 1 && link.by_ring && link.kind == LINK_GET && !link.dead_letter);
    assert_true(guarantee_next_link(&spec, &wiring, &at, &link));
    assert_true(link.from == 1 && link.to == 0 && link.by_ring && link.kind == LINK_PUT && link.dead_letter);
    assert_true(guarantee_next_link(&spec, &wiring, &at, &link));
    assert_true(link.from == WIRING_NONE && link.to == 1 && !link.by_ring && link.kind == LINK_GET);
    assert_string_equal(link.address->text, "127.0.0.1:7001");
    assert_true(guarantee_next_link(&spec, &wiring, &at, &link));
    assert_true(link.from == 1 && link.to == WIRING_NONE && link.kind == LINK_PUT && !link.dead_letter);
    assert_false(guarantee_next_link(&spec, &wiring, &at, &link));
    assert_false(guarantee_next_link(&spec, &wiring, &at, &link));
}

static void test_explain_exactly_once(void **state)
{
    (void)state;
    const char *text =
        explain(STORE "--sync-interval 0.5 --mq --address 127.0.0.1:7001 --durability sync --mq "
                      "--address tcp://127.0.0.1:7002 --durability async --worker --function passthrough "
                      "--input-address 127.0.0.1:7001 --output-address tcp://127.0.0.1:7002 " EXACT);
    expect_text(text, "clients -> mq 1 at 127.0.0.1:7001 -> worker -> mq 2 at tcp://127.0.0.1:7002 -> clients\n");
    expect_text(text, "lost datagram    clients -> mq 1: with PUTID");
    expect_no_text(text, "mq 2 -> clients: with LEASE"); /* TCP */
    expect_text(text, "killed worker    worker: nothing is lost or doubled");
    expect_text(text, "killed engine    mq 1: keeps all that it acknowledged\n");
    expect_text(text, "power cut        mq 2: keeps all but what it took in the last 0.5 s");
    expect_no_text(text, "Weaker");
}

static void test_explain_memory(void **state)
{
    (void)state;
    const char *text = explain("--feeder --address a --path /dev/null --mq --address a --max-age 5 --dead-letter d "
                               "--mq --address d " AB LEAST "--sink --address b");
    expect_text(text, "feeder -> mq 1 at a -> worker -> sink at b\n");
    expect_text(text, "lost datagram    no datagrams on this way\n");
    expect_text(text, "killed worker    worker: what it had begun is lost, for mq 1 ends with it");
    expect_text(text, "killed engine    mq 1: all that rests in it is lost\n");
    expect_text(text,
                "feeder: what is under way from it is lost; started again, it feeds its files from their beginning");
    expect_text(text, "sink: what is under way to it is lost\n");
    expect_text(text, "power cut        as a killed engine\n");
    expect_no_text(text, "mq 1 at a -> mq 2");
    expect_text(text, "mq 1: drops messages");
    expect_text(text, "mq 1: messages that failed too often go to mq 2");
}

static void test_explain_elsewhere(void **state)
{
    (void)state;
    static const char line[] = "--worker --function passthrough --input-address 127.0.0.1:7001 --output-address "
                               "127.0.0.1:7002 ";
    char with[sizeof line + 64];
    const char *text = explain(line);
    expect_text(text, "127.0.0.1:7001 -> worker -> 127.0.0.1:7002\n");
    expect_text(text, "127.0.0.1:7001 -> worker: the message is lost if it was in the answer to a GET");
    expect_text(text, "worker -> 127.0.0.1:7002: the message may be lost, a PUT without an answer is not repeated");
    expect_text(text, "worker: what it had begun is lost\n");
    snprintf(with, sizeof with, "%s%s", line, LEAST);
    text = explain(with);
    expect_text(text, "127.0.0.1:7001 -> worker: nothing is lost, the lease ends");
    expect_text(text, "worker -> 127.0.0.1:7002: nothing is lost or doubled");
    expect_text(text, "worker: nothing is lost, what it had begun is done again; its results may come twice");
    expect_text(text, "worker: needs leases at 127.0.0.1:7001");
    snprintf(with, sizeof with, "%s%s", line, LEAST "--output-type socket");
    expect_text(explain(with), "worker -> 127.0.0.1:7002: the message is lost, nobody acknowledges it");
}

static void test_explain_streams(void **state)
{
    (void)state;
    expect_text(explain("--worker --function passthrough --input-address tcp://127.0.0.1:7001 --output-address "
                        "tcp://127.0.0.1:7002"),
                "lost datagram    no datagrams on this way\n");
}

static void test_explain_weaker(void **state)
{
    (void)state;
    const char *text = explain("--allow-weaker " STORE "--mq --address a --durability sync --sink --address b " AB EXACT
                               "--feeder --address a --path /dev/null");
    expect_text(text, "results may be lost or come twice, weaker than it promises");
    expect_text(text, "Weaker than promised: worker promises exactly-once");
    text = explain("--allow-weaker " STORE "--mq --address a --mq --address b --durability sync " AB EXACT
                   "--feeder --address a --path /dev/null");
    expect_text(text, "what it had begun is lost, for mq 1 ends with it");
    expect_text(text, "; weaker than it promises");
}

static void test_explain_cycle_and_program(void **state)
{
    (void)state;
    expect_text(explain("--mq --address 127.0.0.1:7001 --worker --function pong --input-address 127.0.0.1:7001 "
                        "--output-address 127.0.0.1:7001"),
                "clients -> mq at 127.0.0.1:7001 -> worker (and round again)\n");
    parse("--mq --address a --mq --address b " AB);
    add_program("a", LINK_PUT);
    add_program("b", LINK_GET);
    const char *text = explain(NULL);
    expect_text(text, "the program -> mq 1 at a -> worker -> mq 2 at b -> the program\n");
    expect_text(text, "the program: what it emitted and mq 1 had not taken is lost");
    expect_text(explain("--mq --address a"), "No way:");
    expect_text(explain("--feeder --path /dev/null --address a --mq --address a"), "(nobody takes from it)");
}

/* A graph of 8 layers of 4 has 4^8 ways and more. */
static void test_explain_is_bounded(void **state)
{
    (void)state;
    static char line[16384];
    static const char *words[2048];
    static char text[16384];
    size_t length = (size_t)snprintf(line, sizeof line, "--feeder --path /dev/null --address q0");
    for (int layer = 0; layer < 8; layer++)
        length += (size_t)snprintf(line + length, sizeof line - length,
                                   " --mq --address q%d --worker --count 4 --function passthrough --input-address q%d "
                                   "--output-address q%d",
                                   layer, layer, layer + 1);
    snprintf(line + length, sizeof line - length, " --mq --address q8");
    int count = 0;
    char *at = NULL;
    memcpy(text, line, sizeof text);
    for (char *word = strtok_r(text, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at))
        words[count++] = word;
    struct error error = {0};
    wiring_free(&wiring);
    topology_spec_free(&spec);
    assert_int_equal(topology_spec_parse(&spec, &millrace_catalog, NULL, count, words, &error), STATUS_OK);
    wire();
    const char *told = explain(NULL);
    expect_text(told, "And 984 or more ways.");
    size_t ways = 0;
    for (const char *found = told; (found = strstr(found, "killed engine ")) != NULL; found++)
        ways++;
    assert_int_equal(ways, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_good, free_all),
        cmocka_unit_test_teardown(test_refused, free_all),
        cmocka_unit_test_teardown(test_allow_weaker, free_all),
        cmocka_unit_test_teardown(test_metrics, free_all),
        cmocka_unit_test_teardown(test_links, free_all),
        cmocka_unit_test_teardown(test_explain_exactly_once, free_all),
        cmocka_unit_test_teardown(test_explain_memory, free_all),
        cmocka_unit_test_teardown(test_explain_elsewhere, free_all),
        cmocka_unit_test_teardown(test_explain_streams, free_all),
        cmocka_unit_test_teardown(test_explain_weaker, free_all),
        cmocka_unit_test_teardown(test_explain_cycle_and_program, free_all),
        cmocka_unit_test_teardown(test_explain_is_bounded, free_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
