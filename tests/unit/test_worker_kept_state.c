/* kept_state.c and call.c: a function's state through the real journal and store, over restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/topology_spec.h"
#include "nodes/node_types.h"
#include "nodes/worker/worker_private.h"

/* ---- a function that counts its messages by their text, in its keyed state only ---- */

static void tally_apply(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                        size_t length)
{
    (void)state;
    uint64_t count = 0;
    const void *value;
    size_t value_length;
    if (host->state_get(call, data, length, &value, &value_length)) {
        assert_int_equal(value_length, sizeof count);
        memcpy(&count, value, sizeof count);
    }
    count++;
    (void)host->state_put(call, data, length, &count, sizeof count);
}

static const struct millrace_function tally = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "tally",
    .title = "Tally",
    .summary = "counts",
    .apply = tally_apply,
};

/* One that says that it loads, and then reads. */
static int sum_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    (void)key;
    (void)key_length;
    uint64_t count;
    assert_int_equal(value_length, sizeof count);
    memcpy(&count, value, sizeof count);
    *(uint64_t *)context += count;
    return 0;
}

static int loader_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                       struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)values;
    (void)why;
    (void)why_bytes;
    uint64_t *sum = calloc(1, sizeof *sum);
    assert_non_null(sum);
    assert_true(host->keeps_state(call));
    host->state_each(call, NULL, 0, sum_pair, sum);
    *state = sum;
    return 0;
}

static void loader_apply(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                         size_t length)
{
    const void *value;
    size_t value_length;
    (void)state;
    assert_false(host->state_get(call, data, length, &value, &value_length));
}

static const struct millrace_function loader = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "loader",
    .title = "Loader",
    .summary = "reads too late",
    .open = loader_open,
    .apply = loader_apply,
    .close = free,
    .flags = MILLRACE_FUNCTION_LOADS_STATE,
};

/* ---- a life of a worker with a store ---- */

struct life {
    struct idle_crowd crowd;
    struct idle idle;
    struct journal *journal;
    struct worker worker;
    struct worker_config config;
};

static struct error error;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("%s: %d %s", #call, (int)status_, error.text);                                                    \
    } while (0)

static void begin(struct life *life, const char *place, const char *name, const struct millrace_function *function)
{
    *life = (struct life){.crowd = {.processor_count = 1}, .config = {.state_bytes_max = 1 << 20}};
    const struct journal_settings settings = {.directory = place, .sync_interval_ns = NS_PER_S};
    struct worker *worker = &life->worker;
    worker->config = &life->config;
    worker->function = function;
    worker->call.worker = worker;
    idle_open(&life->idle, &life->crowd);
    OK(journal_open(&life->journal, &settings, &life->idle, &error));
    OK(worker_kept_state_open(&worker->kept_state, life->journal, name, &worker->state_keeper, &error));
    OK(worker_open_function(worker, NULL, &error));
    OK(journal_start(life->journal, &error));
}

static void end(struct life *life)
{
    struct worker *worker = &life->worker;
    OK(journal_finish(life->journal, &error));
    if (worker->function->close != NULL)
        worker->function->close(worker->function_state);
    worker_state_close(&worker->keyed_state);
    journal_close(&life->journal);
    idle_close(&life->idle);
}

static uint64_t count_of(struct life *life, const char *key)
{
    uint64_t count = 0;
    const void *value;
    size_t value_length;
    if (worker_state_get(life->worker.keyed_state, key, strlen(key), &value, &value_length))
        memcpy(&count, value, sizeof count);
    return count;
}

static int make_place(void **state)
{
    static char place[64];
    snprintf(place, sizeof place, "/tmp/test_kept_state.XXXXXX");
    *state = place;
    return mkdtemp(place) == NULL;
}

static int remove_place(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", (const char *)*state);
    return system(command);
}

static void test_counts_go_on(void **state)
{
    const char *place = *state;
    struct life life;
    for (uint64_t lives = 0; lives < 3; lives++) {
        begin(&life, place, "a", &tally);
        assert_true(worker_state_is_kept(life.worker.keyed_state));
        assert_true(count_of(&life, "x") == 2 * lives && count_of(&life, "y") == lives);
        assert_true(worker_call(&life.worker, "x", 1));
        assert_true(worker_call(&life.worker, "y", 1));
        assert_true(worker_call(&life.worker, "x", 1));
        assert_true(worker_call(&life.worker, "gone", 4));
        worker_state_remove(life.worker.keyed_state, "gone", 4);
        end(&life);
    }
    begin(&life, place, "b", &tally); /* another one's state is its own */
    assert_true(worker_state_count(life.worker.keyed_state) == 0);
    end(&life);
    begin(&life, place, "a", &loader);
    assert_true(*(uint64_t *)life.worker.function_state == 9);
    end(&life);
}

static void test_reading_too_late(void **state)
{
    struct life life;
    begin(&life, *state, "a", &loader);
    assert_false(worker_call(&life.worker, "x", 1));
    assert_non_null(strstr(life.worker.call.why, "when it is opened only"));
    end(&life);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    static const char *const words[] = {"--mq",
                                        "--address",
                                        "127.0.0.1:11801",
                                        "--worker",
                                        "--function",
                                        "pong",
                                        "--input-address",
                                        "127.0.0.1:11801",
                                        "--worker",
                                        "--function",
                                        "pong",
                                        "--input-address",
                                        "127.0.0.1:11801",
                                        "--count",
                                        "2",
                                        "--worker",
                                        "--function",
                                        "double",
                                        "--input-address",
                                        "127.0.0.1:11801",
                                        "--worker",
                                        "--function",
                                        "pong",
                                        "--vuid",
                                        "mine",
                                        "--count",
                                        "2"};
    static const char *const names[] = {"pong@127.0.0.1:11801#1",
                                        "pong@127.0.0.1:11801#2",
                                        "pong@127.0.0.1:11801#3",
                                        "double@127.0.0.1:11801#1",
                                        "mine",
                                        "mine.2"};
    struct topology_spec spec;
    OK(topology_spec_parse(&spec, &millrace_catalog, NULL, (int)(sizeof words / sizeof words[0]), words, &error));
    assert_int_equal(spec.node_count, 7);
    for (size_t i = 1; i < spec.node_count; i++) {
        struct node node = {.config = spec.nodes[i].config, .common = &spec.nodes[i].common, .spec = &spec};
        char name[STORE_NAME_BYTES_MAX + 1];
        snprintf(node.vuid, sizeof node.vuid, "%s", spec.nodes[i].vuid);
        OK(worker_kept_state_name(&node, name, &error));
        assert_string_equal(name, names[i - 1]);
    }
    topology_spec_free(&spec);
}

static void test_a_name_too_long(void **state)
{
    (void)state;
    const char *words[3 + 2 * 13] = {"--worker", "--function", "pong"};
    char texts[13][32];
    for (size_t i = 0; i < 13; i++) {
        snprintf(texts[i], sizeof texts[i], "127.0.0.1:118%02zu", i);
        words[3 + 2 * i] = "--input-address";
        words[4 + 2 * i] = texts[i];
    }
    for (int count = 3 + 2 * 11; count <= 3 + 2 * 13; count += 2) {
        struct topology_spec spec;
        OK(topology_spec_parse(&spec, &millrace_catalog, NULL, count, words, &error));
        struct node node = {.config = spec.nodes[0].config, .common = &spec.nodes[0].common, .spec = &spec};
        char name[STORE_NAME_BYTES_MAX + 1];
        bool fits = 5 + 16 * ((count - 3) / 2) - 1 + 2 <= STORE_NAME_BYTES_MAX;
        assert_int_equal(worker_kept_state_name(&node, name, &error), fits ? STATUS_OK : STATUS_USAGE);
        topology_spec_free(&spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts_go_on, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_reading_too_late, make_place, remove_place),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_name_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
