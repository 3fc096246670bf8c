/* call.c, refusal.c: what a worker counts, and what becomes of what its function refuses. */
#include <stdlib.h>
#include <string.h>

#include "engine/random.h"
#include "nodes/node_types.h"
#include "nodes/queue/dead_letter.h"
#include "nodes/worker/worker_private.h"
#include "tests/support/stepped_launch.h"

/* ---- a function that does what the message says ---- */

/* A letter a deed; a digit fails as often, and then no more. */
static void script_apply(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                         size_t length)
{
    uint64_t *failed_count = state;
    const char *deeds = data;
    for (size_t i = 0; i < length; i++) {
        switch (deeds[i]) {
        case 'e':
            host->emit(call, (int64_t)i, data, length);
            break;
        case 'n':
            host->emit(call, 0, data, (size_t)MESSAGE_LENGTH_MAX + 1); /* it does not look at what is too long */
            break;
        case 'p':
            host->state_put(call, "key", 3, data, length);
            break;
        case 'r':
            host->state_remove(call, "key", 3);
            break;
        case 'f':
            (host->fail)(call, "it says %.*s", (int)length, deeds);
            return;
        default:
            if (deeds[i] >= '0' && deeds[i] <= '9' && (*failed_count)++ < (uint64_t)(deeds[i] - '0')) {
                (host->fail)(call, "not yet");
                return;
            }
            *failed_count = 0;
        }
    }
}

static int script_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                       struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)values, (void)host, (void)call, (void)why, (void)why_bytes;
    *state = calloc(1, sizeof(uint64_t));
    assert_non_null(*state);
    return 0;
}

static const struct millrace_function script = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "script",
    .title = "Script",
    .summary = "does what the message says",
    .open = script_open,
    .apply = script_apply,
    .close = free,
};
static const struct millrace_function *const functions[] = {&script};

/* ---- a launch around it ---- */

static struct stepped_launch launch;
static struct node *node;

static int open_launch(const char *drain_at, const char *const *flags)
{
    struct error error = {0};
    if (stepped_open_with(&launch, functions, 1, flags, "in", drain_at, false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    node = stepped_node(&launch, &worker_type);
    return 0;
}

static int close_launch(void **state)
{
    (void)state;
    stepped_close(&launch);
    return 0;
}

static uint64_t count(enum worker_counter counter)
{
    return stats_get(&node->stats->counters[counter]);
}

/* Whatever has been done and not, it adds up. */
static void assert_balanced(void)
{
    const struct node_stats *stats = node->stats;
    assert_int_equal(stats_get(&stats->in_count) + count(WORKER_MULTIPLIED),
                     stats_get(&stats->out_count) + count(WORKER_FILTERED) + stats_dropped_count(stats) +
                         count(WORKER_DEAD_LETTERS) + count(WORKER_GIVEN_BACK) + stats_get(&stats->queued_count));
}

static void put(const char *text)
{
    stepped_put(&launch, text, strlen(text));
}

static void handle(uint64_t in_count)
{
    STEPPED_WAIT(&launch, (assert_balanced(), stats_get(&node->stats->in_count) == in_count));
    for (int i = 0; i < 8; i++) /* and what it emitted is where it goes */
        stepped_turn_all(&launch, NULL);
    assert_balanced();
}

#define IN   "--mq", "--address", "in"
#define WORK "--worker", "--function", "script", "--input-address", "in", "--output-address", "out"
#define OUT  "--mq", "--address", "out"
#define DEAD "--mq", "--address", "dead"

/* ---- the ledger ---- */

static void test_ledger(void **state)
{
    (void)state;
    static const char *const flags[] = {IN, WORK, OUT, NULL};
    open_launch("out", flags);
    static const struct {
        const char *text;
        uint64_t out, filtered, multiplied, errors, no_output;
    } rows[] = {
        {"e", 1, 0, 0, 0, 0},   {"-", 0, 1, 0, 0, 0},  {"eee", 3, 0, 2, 0, 0}, {"f", 0, 0, 0, 1, 0},
        {"eef", 2, 0, 2, 1, 0}, {"n", 0, 0, 0, 0, 1},  {"ne", 1, 0, 1, 0, 1},  {"nnf", 0, 0, 2, 1, 2},
        {"pf", 0, 0, 0, 1, 0},  {"pr", 0, 1, 0, 0, 0}, {"9", 0, 0, 0, 1, 0},
    };
    struct node_stats *stats = node->stats;
    uint64_t sums[5] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(rows[i].text);
        handle(i + 1);
        assert_int_equal(stats_get(&stats->out_count), sums[0] += rows[i].out);
        assert_int_equal(count(WORKER_FILTERED), sums[1] += rows[i].filtered);
        assert_int_equal(count(WORKER_MULTIPLIED), sums[2] += rows[i].multiplied);
        assert_int_equal(count(WORKER_FUNCTION_ERRORS), sums[3] += rows[i].errors);
        assert_int_equal(count(WORKER_NO_OUTPUT), sums[4] += rows[i].no_output);
        assert_int_equal(count(WORKER_RETRIED), 0);
    }
    close_launch(NULL);
}

static void check_random(const char *const *flags)
{
    static const char deeds[] = "eeennpprrf-12";
    struct random_state random;
    random_seed(&random, 4);
    open_launch("out", flags);
    for (uint64_t handled = 0; handled < 3000;) {
        uint64_t some = 1 + random_below(&random, 20);
        for (uint64_t i = 0; i < some; i++) {
            char text[4];
            size_t length = (size_t)random_below(&random, sizeof text);
            for (size_t k = 0; k < length; k++)
                text[k] = deeds[random_below(&random, sizeof deeds - 1)];
            stepped_put(&launch, text, length);
        }
        handle(handled += some);
        stepped_take(&launch, UINT64_MAX);
    }
    assert_true(count(WORKER_FILTERED) > 100 && count(WORKER_MULTIPLIED) > 100);
    close_launch(NULL);
}

static void test_ledger_of_many(void **state)
{
    (void)state;
    static const char *const plain[] = {IN, WORK, OUT, NULL};
    static const char *const broadcast[] = {IN,   WORK, "--output-address", "dead", "--route", "broadcast", OUT,
                                            DEAD, NULL};
    static const char *const letters[] = {IN, WORK, "--dead-letter", "dead", OUT, DEAD, NULL};
    static const char *const again[] = {IN, WORK, "--guarantee", "at-least-once", OUT, NULL};
    static const char *const again_letters[] = {
        IN, "--dead-letter", "dead", WORK, "--guarantee", "at-least-once", OUT, DEAD, NULL};
    check_random(plain);
    check_random(broadcast);
    check_random(letters);
    check_random(again);
    check_random(again_letters);
}

/* Whole blocks that are handed on uncopied. */
static void test_ledger_of_what_passes(void **state)
{
    (void)state;
    static const char *const flags[] = {IN,   "--worker",         "--function", "passthrough", "--input-address",
                                        "in", "--output-address", "out",        OUT,           NULL};
    open_launch("out", flags);
    for (int i = 0; i < 1000; i++)
        put("a message of which a block holds many");
    handle(1000);
    assert_int_equal(stats_get(&node->stats->out_count), 1000);
    assert_int_equal(count(WORKER_FILTERED) + count(WORKER_MULTIPLIED), 0);
    close_launch(NULL);
}

/* ---- refusals ---- */

/* A message of the test's drain, which it is to read as `text`. */
static void assert_drains(const char *text)
{
    const struct message *message = NULL;
    STEPPED_WAIT(&launch, (message = edge_peek(launch.drain)) != NULL);
    assert_int_equal(message->length, strlen(text));
    assert_memory_equal(message->text, text, message->length);
    assert_int_equal(stepped_take(&launch, 1), 1);
}

static void test_tried_again(void **state)
{
    (void)state;
    static const char *const flags[] = {IN, "--max-deliveries", "4", WORK, "--guarantee", "at-least-once", OUT, NULL};
    open_launch("out", flags);
    put("3e");
    handle(1);
    assert_drains("3e");
    assert_int_equal(count(WORKER_RETRIED), 3);
    assert_int_equal(count(WORKER_FUNCTION_ERRORS) + count(WORKER_MULTIPLIED) + count(WORKER_FILTERED), 0);
    put("f"); /* once more would be a fifth time */
    handle(2);
    assert_int_equal(count(WORKER_RETRIED), 6);
    assert_int_equal(count(WORKER_FUNCTION_ERRORS), 1);
    close_launch(NULL);
}

/* What a call has done cannot be taken back: it is not made again. */
static void test_not_tried_again_after_an_effect(void **state)
{
    (void)state;
    static const char *const flags[] = {IN, WORK, "--guarantee", "at-least-once", OUT, NULL};
    static const char *const with_effect[] = {"ef", "nf", "pf", "rf"}; /* this removes what that put */
    open_launch("out", flags);
    for (size_t i = 0; i < 4; i++) {
        put(with_effect[i]);
        handle(i + 1);
        assert_int_equal(count(WORKER_FUNCTION_ERRORS), i + 1);
        assert_int_equal(count(WORKER_RETRIED), 0);
    }
    put("rf"); /* there is nothing to remove any more */
    handle(5);
    assert_int_equal(count(WORKER_RETRIED), WORKER_DELIVERIES_MAX - 1);
    close_launch(NULL);
}

static void test_at_most_once_is_not_tried_again(void **state)
{
    (void)state;
    static const char *const flags[] = {IN, "--dead-letter", "dead", WORK, OUT, DEAD, NULL};
    open_launch("dead", flags);
    put("f");
    handle(1);
    assert_int_equal(count(WORKER_RETRIED), 0);
    assert_int_equal(count(WORKER_FUNCTION_ERRORS), 1);
    assert_int_equal(stepped_take(&launch, 1), 0);
    close_launch(NULL);
}

static void test_letter_of_the_queue(void **state)
{
    (void)state;
    static const char *const flags[] = {
        IN, "--dead-letter", "dead", "--max-deliveries", "3", WORK, "--guarantee", "at-least-once", OUT, DEAD, NULL};
    open_launch("dead", flags);
    put("f");
    handle(1);
    const struct message *message = NULL;
    STEPPED_WAIT(&launch, (message = edge_peek(launch.drain)) != NULL);
    struct dead_letter letter;
    const void *text;
    assert_true(dead_letter_read(message->text, message->length, &letter, &text));
    assert_string_equal(letter.reason, "it says f");
    assert_string_equal(letter.source, "in");
    assert_int_equal(letter.deliveries, 3);
    assert_true(letter.first_wall_ns > 0 && letter.last_wall_ns >= letter.first_wall_ns);
    assert_int_equal(letter.message_bytes, 1);
    assert_memory_equal(text, "f", 1);
    assert_int_equal(count(WORKER_DEAD_LETTERS), 1);
    assert_int_equal(count(WORKER_FUNCTION_ERRORS), 0);
    close_launch(NULL);
}

/* Its own comes first, and gets the message as it is. */
static void test_letter_of_the_worker(void **state)
{
    (void)state;
    static const char *const flags[] = {
        IN, "--dead-letter", "out", WORK, "--guarantee", "at-least-once", "--dead-letter", "dead", OUT, DEAD, NULL};
    open_launch("dead", flags);
    put("f");
    handle(1);
    assert_drains("f");
    assert_int_equal(count(WORKER_DEAD_LETTERS), 1);
    close_launch(NULL);
}

/* Each queue's letters go to its own; two queues may have one. */
static void test_letters_of_several_queues(void **state)
{
    (void)state;
    static const char *const flags[] = {"--mq",
                                        "--address",
                                        "other",
                                        "--dead-letter",
                                        "lost",
                                        IN,
                                        "--dead-letter",
                                        "dead",
                                        "--mq",
                                        "--address",
                                        "third",
                                        "--dead-letter",
                                        "dead",
                                        "--mq",
                                        "--address",
                                        "fourth",
                                        WORK,
                                        "--input-address",
                                        "other",
                                        "--input-address",
                                        "third",
                                        "--input-address",
                                        "fourth",
                                        "--guarantee",
                                        "at-least-once",
                                        OUT,
                                        DEAD,
                                        "--mq",
                                        "--address",
                                        "lost",
                                        NULL};
    open_launch("dead", flags);
    assert_int_equal(node->output_count, 3);
    put("f");
    handle(1);
    STEPPED_WAIT(&launch, edge_peek(launch.drain) != NULL);
    const struct worker *worker = node->state;
    assert_ptr_equal(worker->inputs[0].dead_letter, worker->inputs[2].dead_letter); /* in and third */
    assert_ptr_not_equal(worker->inputs[0].dead_letter, worker->inputs[1].dead_letter);
    assert_non_null(worker->inputs[1].dead_letter);
    assert_null(worker->inputs[3].dead_letter);
    close_launch(NULL);
}

/* Of a message on lease the queue counts the deliveries. */
static void test_given_back(void **state)
{
    (void)state;
    static const char *const flags[] = {IN, WORK, "--guarantee", "at-least-once", OUT, NULL};
    open_launch("out", flags);
    struct worker *worker = node->state;
    worker->inputs[0].gives_back = true;
    put("f");
    handle(1);
    assert_string_equal(worker_take_refusal(worker), "it says f");
    assert_null(worker_take_refusal(worker));
    assert_int_equal(count(WORKER_GIVEN_BACK), 1);
    assert_int_equal(count(WORKER_RETRIED) + count(WORKER_FUNCTION_ERRORS), 0);
    put("ef");
    handle(2);
    assert_null(worker_take_refusal(worker));
    assert_int_equal(count(WORKER_FUNCTION_ERRORS), 1);
    close_launch(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger),
        cmocka_unit_test(test_ledger_of_many),
        cmocka_unit_test(test_ledger_of_what_passes),
        cmocka_unit_test(test_tried_again),
        cmocka_unit_test(test_not_tried_again_after_an_effect),
        cmocka_unit_test(test_at_most_once_is_not_tried_again),
        cmocka_unit_test(test_letter_of_the_queue),
        cmocka_unit_test(test_letter_of_the_worker),
        cmocka_unit_test(test_letters_of_several_queues),
        cmocka_unit_test(test_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
