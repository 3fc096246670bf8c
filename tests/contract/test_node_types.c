/*
 * What every node type of the program keeps, and the reporter: its tables are sound, it gives back what it opened, an
 * idle step does nothing, it ends when it is told to, and its numbers add up. One row of `subjects` a type.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "nodes/node_types.h"
#include "tests/support/stepped_launch.h"

/* A file of five lines, one of them blank. */
#define FILE_FLAG "@file"

/* At 127.0.0.1:1 nobody listens. */
#define NOBODY "127.0.0.1:1"

/* A launch with one node of the type under test, and whom it needs. */
struct subject {
    const struct node_type *type;
    const char *title;                   /* as the documents have it */
    const char *const *documented_flags; /* NULL: it has no command line */
    const char *const *flags;
    const char *feed_at;
    const char *drain_at;
    /* Another launch without `feed_at` and `drain_at`: links over the network, where nobody answers; a node that waits
     * for another one's end. NULL: there is none. */
    const char *const *other_flags;
    /* Told to leave everything it ends at once, or waits so long for those whose last words it carries. */
    int64_t abandon_wait_ns;
    bool is_balanced;  /* what came in went out, was dropped, or rests in it */
    uint64_t capacity; /* 0: takes whatever comes */
    /* What counts nonsense that comes in a datagram, and over a connection. */
    const char *datagram_counter;
    const char *stream_counter;
};

#define TEXTS(...)      ((const char *const[]){__VA_ARGS__, NULL})
#define DOCUMENTED_LAST "metrics-address", "stats-period", "vuid", "console-log", "file-log", "log-level"

static const struct subject subjects[] = {
    {.type = &queue_type,
     .title = "Messagequeue",
     .documented_flags = TEXTS("address", DOCUMENTED_LAST),
     .flags = TEXTS("--mq", "--address", "in", "--address", "127.0.0.1:0", "--address", "tcp://127.0.0.1:0",
                    "--capacity", "1000"),
     .feed_at = "in",
     .drain_at = "in",
     .is_balanced = true,
     .capacity = 1000,
     .datagram_counter = "malformed",
     .stream_counter = "malformed"},
    {.type = &worker_type,
     .title = "Worker",
     .documented_flags = TEXTS("input-address", "output-address", "output-type", "function", "delay", DOCUMENTED_LAST),
     .flags = TEXTS("--log-level", "error", "--worker", "--input-address", "in", "--output-address", "out",
                    "--function", "passthrough", "--mq", "--address", "in", "--mq", "--address", "out"),
     .feed_at = "in",
     .drain_at = "out",
     .other_flags =
         TEXTS("--log-level", "error", "--worker", "--input-address", NOBODY, "--input-address", "tcp://" NOBODY,
               "--output-address", NOBODY, "--output-address", "tcp://" NOBODY, "--function", "pong"),
     .is_balanced = true},
    {.type = &feeder_type,
     .title = "Feeder",
     .documented_flags = TEXTS("address", "path", "delay", "console-log", "file-log", "log-level"),
     .flags = TEXTS("--feeder", "--path", FILE_FLAG, "--rate", "1", "--address", "out", "--mq", "--address", "out"),
     .drain_at = "out",
     .other_flags = TEXTS("--log-level", "error", "--feeder", "--path", "/dev/null", "--address", NOBODY, "--address",
                          "tcp://" NOBODY),
     .is_balanced = true},
    {.type = &sink_type,
     .title = "Sink",
     .documented_flags = TEXTS("address", DOCUMENTED_LAST),
     .flags = TEXTS("--sink", "--address", "in", "--address", "127.0.0.1:0", "--address", "tcp://127.0.0.1:0"),
     .feed_at = "in",
     .is_balanced = true,
     .datagram_counter = "other_texts",
     .stream_counter = "malformed"},
    {.type = &metrics_receiver_type,
     .title = "Metricsreceiver",
     .documented_flags = TEXTS("address", "uri"),
     .flags = TEXTS("--log-level", "error", "--metrics-receiver", "--address", "in", "--address", "127.0.0.1:0",
                    "--address", "tcp://127.0.0.1:0"),
     .feed_at = "in",
     .other_flags = TEXTS("--metrics-receiver", "--address", "in", "--mq", "--address", "q", "--metrics-address", "in"),
     .abandon_wait_ns = NS_PER_S,
     .is_balanced = true,
     .datagram_counter = "malformed",
     .stream_counter = "stream_faults"},
    {.type = &metrics_reporter_type,
     .title = "Metrics",
     .flags = TEXTS("--mq", "--address", "in", "--metrics-address", "out", "--metrics-receiver", "--address", "out"),
     .other_flags = TEXTS("--log-level", "error", "--mq", "--address", "in", "--metrics-address", NOBODY,
                          "--metrics-address", "tcp://" NOBODY),
     .abandon_wait_ns = 500 * NS_PER_MS},
};

enum { SUBJECT_COUNT = sizeof subjects / sizeof subjects[0] };

static char file_path[64];

/* ---- launches ---- */

static enum status try_open(struct stepped_launch *launch, const struct subject *subject, const char *const *flags,
                            bool rehearsal, struct error *error)
{
    const char *given[STEPPED_FLAG_MAX + 1] = {NULL};
    bool local = flags == subject->flags;
    for (size_t i = 0; flags[i] != NULL; i++) {
        assert_true(i < STEPPED_FLAG_MAX);
        given[i] = strcmp(flags[i], FILE_FLAG) == 0 ? file_path : flags[i];
    }
    return stepped_open(launch, given, local ? subject->feed_at : NULL, local ? subject->drain_at : NULL, rehearsal,
                        error);
}

static void open_with(struct stepped_launch *launch, const struct subject *subject, const char *const *flags,
                      bool rehearsal)
{
    struct error error = {0};
    if (try_open(launch, subject, flags, rehearsal, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

/* The flags of a launch of one listener at `address`. */
static enum status listen_at(struct stepped_launch *launch, const struct subject *subject, const char *first,
                             const char *second, bool rehearsal, struct error *error)
{
    char opener[40];
    snprintf(opener, sizeof opener, "--%s", subject->type->name);
    const char *const flags[] = {opener, "--address", first, "--address", second, NULL};
    return stepped_open(launch, flags, NULL, NULL, rehearsal, error);
}

/* ---- the struct ---- */

static bool is_dashed_name(const char *name)
{
    if (!islower((unsigned char)name[0]))
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && (*c != '-' || c[1] == '-' || c[1] == '\0'))
            return false;
    return true;
}

static bool is_one_line(const char *text)
{
    return text != NULL && text[0] != '\0' && strchr(text, '\n') == NULL;
}

static void test_struct(void **state)
{
    const struct subject *subject = *state;
    const struct node_type *type = subject->type;
    assert_true(is_dashed_name(type->name));
    assert_string_equal(type->title, subject->title);
    assert_true(is_one_line(type->summary));
    assert_non_null(type->open);
    assert_non_null(type->step);
    assert_non_null(type->close);
    assert_true(type->state_bytes > 0);
    assert_true((type->config_bytes > 0) == (type->options != NULL));
    for (size_t i = 0; millrace_catalog.node_types[i] != NULL; i++)
        if (millrace_catalog.node_types[i] != type)
            assert_string_not_equal(millrace_catalog.node_types[i]->name, type->name);
    for (size_t i = 0; millrace_catalog.commands[i] != NULL; i++)
        assert_string_not_equal(millrace_catalog.commands[i]->name, type->name);
}

static void test_counters(void **state)
{
    const struct subject *subject = *state;
    const struct counter *counters = subject->type->counters;
    size_t count = 0;
    for (; counters != NULL && counters[count].name != NULL; count++) {
        const char *name = counters[count].name;
        assert_true(islower((unsigned char)name[0]));
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
        assert_true(is_one_line(counters[count].help));
        for (size_t i = 0; i < count; i++)
            assert_string_not_equal(counters[i].name, name);
    }
    /* A worker's function has counters of its own behind them. */
    assert_true(count + MILLRACE_FUNCTION_COUNTER_MAX <= STATS_COUNTER_MAX);
}

/* ---- the options ---- */

static size_t member_bytes(const struct option *option)
{
    static const size_t bytes[] = {
        [OPTION_FLAG] = sizeof(bool),
        [OPTION_COUNT] = sizeof(uint64_t),
        [OPTION_BYTES] = sizeof(uint64_t),
        [OPTION_SECONDS] = sizeof(int64_t),
        [OPTION_CHOICE] = sizeof(unsigned),
        [OPTION_TEXT] = sizeof(const char *),
        [OPTION_TEXTS] = sizeof(struct text_list),
        [OPTION_ADDRESSES] = sizeof(struct address_list),
    };
    assert_true(option->kind < sizeof bytes / sizeof bytes[0]);
    return bytes[option->kind];
}

static bool has_range(const struct option *option)
{
    return option->kind == OPTION_COUNT || option->kind == OPTION_BYTES || option->kind == OPTION_SECONDS;
}

static void check_form(const struct option *option)
{
    assert_true(is_dashed_name(option->name));
    if (option->role == ROLE_SETTING) /* its row elsewhere says the rest */
        assert_true(option->kind == OPTION_TEXT && option->help == NULL);
    else
        assert_true(is_one_line(option->help));
    assert_int_equal(option->kind == OPTION_FLAG, option->value_name == NULL);
    if (option->value_name != NULL)
        assert_true(is_one_line(option->value_name));
    assert_int_equal(option->kind == OPTION_CHOICE, option->choices != NULL);
    if (option->kind == OPTION_CHOICE)
        assert_non_null(option->choices[0]);
    if (has_range(option)) {
        assert_true(option->min < option->max);
        assert_non_null(option->default_text); /* zero is a value like any other: say so */
    } else {
        assert_true(option->min == 0 && option->max == 0);
    }
    if (option->required)
        assert_null(option->default_text);
    if (option->role == ROLE_REPLICAS)
        assert_int_equal(option->kind, OPTION_COUNT);
    else if (option->role != ROLE_NONE && option->role != ROLE_SETTING)
        assert_int_equal(option->kind, OPTION_ADDRESSES);
}

/* Parses into a config of its own. */
static enum status set(const struct node_type *type, const struct option *option, const char *value)
{
    struct error error = {0};
    void *config = calloc(1, type->config_bytes);
    assert_non_null(config);
    enum status status = options_set(option, config, value, true, &error);
    options_free(type->options, config);
    free(config);
    if (status != STATUS_OK)
        assert_non_null(strstr(error.text, option->name));
    return status;
}

static void check_values(const struct node_type *type, const struct option *option)
{
    char text[64];
    if (option->default_text != NULL)
        assert_int_equal(set(type, option, option->default_text), STATUS_OK);
    for (size_t i = 0; option->kind == OPTION_CHOICE && option->choices[i] != NULL; i++)
        assert_int_equal(set(type, option, option->choices[i]), STATUS_OK);
    if (!has_range(option))
        return;
    snprintf(text, sizeof text, "%.15g", option->min);
    assert_int_equal(set(type, option, text), STATUS_OK);
    snprintf(text, sizeof text, "%.0f", option->max);
    if (option->max < 0x1p64)
        assert_int_equal(set(type, option, text), STATUS_OK);
    snprintf(text, sizeof text, "%.0f", option->max * 2 + 1);
    assert_int_equal(set(type, option, text), STATUS_USAGE);
    snprintf(text, sizeof text, "%.15g", option->min - 1);
    assert_int_equal(set(type, option, text), STATUS_USAGE);
    assert_int_equal(set(type, option, ""), STATUS_USAGE);
    assert_int_equal(set(type, option, "many"), STATUS_USAGE);
}

static void test_options(void **state)
{
    const struct subject *subject = *state;
    const struct node_type *type = subject->type;
    for (const struct option *option = type->options; option != NULL && option->name != NULL; option++) {
        check_form(option);
        check_values(type, option);
        assert_true(option->offset + member_bytes(option) <= type->config_bytes);
        size_t length = strlen(option->name);
        assert_ptr_equal(options_find(type->options, option->name, length), option);
        assert_null(options_find(node_common_options, option->name, length));
        assert_null(options_find(launch_option_table, option->name, length));
        for (size_t i = 0; millrace_catalog.node_types[i] != NULL; i++)
            assert_string_not_equal(millrace_catalog.node_types[i]->name, option->name);
        for (const struct option *other = type->options; other != option; other++)
            assert_true(other->offset + member_bytes(other) <= option->offset ||
                        option->offset + member_bytes(option) <= other->offset);
    }
}

static void test_documented_flags(void **state)
{
    const struct subject *subject = *state;
    for (size_t i = 0; subject->documented_flags != NULL && subject->documented_flags[i] != NULL; i++) {
        const char *flag = subject->documented_flags[i];
        if (options_find(subject->type->options, flag, strlen(flag)) == NULL &&
            options_find(node_common_options, flag, strlen(flag)) == NULL)
            fail_msg("there is no --%s", flag);
    }
}

static void test_help(void **state)
{
    const struct subject *subject = *state;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    options_print_help(out, subject->type->options);
    if (subject->type->print_more_help != NULL)
        subject->type->print_more_help(out);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(text, "(null)"));
    for (const struct option *option = subject->type->options; option != NULL && option->name != NULL; option++) {
        char flag[64];
        snprintf(flag, sizeof flag, "  --%s", option->name);
        assert_non_null(strstr(text, flag));
    }
    free(text);
}

/* ---- opening and closing ---- */

static void opens_and_closes(const struct subject *subject, const char *const *flags, bool rehearsal)
{
    size_t descriptor_count = stepped_descriptor_count();
    for (unsigned i = 0; i < 3; i++) {
        struct stepped_launch launch;
        open_with(&launch, subject, flags, rehearsal);
        const struct node *node = stepped_node(&launch, subject->type);
        assert_false(node->done);
        assert_string_equal(node->type->title, subject->title);
        assert_non_null(node->function_title);
        stepped_close(&launch);
        assert_int_equal(stepped_descriptor_count(), descriptor_count);
    }
}

static void test_opens_and_closes(void **state)
{
    const struct subject *subject = *state;
    opens_and_closes(subject, subject->flags, true);
    opens_and_closes(subject, subject->flags, false);
    if (subject->other_flags != NULL) {
        opens_and_closes(subject, subject->other_flags, true);
        opens_and_closes(subject, subject->other_flags, false);
    }
}

/* A socket of that type, bound at 127.0.0.1, and its address as a user writes it. */
static int occupy(int type, char *text, size_t text_bytes)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t place_bytes = sizeof place;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&place, sizeof place), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&place, &place_bytes), 0);
    snprintf(text, text_bytes, "%s127.0.0.1:%u", type == SOCK_STREAM ? "tcp://" : "", ntohs(place.sin_port));
    return fd;
}

static void test_address_in_use(void **state)
{
    const struct subject *subject = *state;
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    if (subject->type->serves == 0)
        return;
    for (size_t i = 0; i < 2; i++) {
        char address[64];
        int fd = occupy(types[i], address, sizeof address);
        size_t descriptor_count = stepped_descriptor_count();
        for (int rehearsal = 0; rehearsal <= 1; rehearsal++) {
            struct stepped_launch launch;
            struct error error = {0};
            /* The address before it can be had, and is given back. */
            assert_int_equal(listen_at(&launch, subject, "127.0.0.1:0", address, rehearsal != 0, &error),
                             STATUS_SYSTEM);
            assert_non_null(strstr(error.text, address));
            assert_non_null(strstr(error.text, "in use"));
            assert_non_null(strstr(error.text, subject->type->name));
            assert_int_equal(stepped_descriptor_count(), descriptor_count);
        }
        assert_int_equal(close(fd), 0);
    }
}

/* ---- an idle step ---- */

static void steps_idle(const struct subject *subject, const char *const *flags)
{
    struct stepped_launch launch;
    open_with(&launch, subject, flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    /* First it may do what it was opened for: a feeder feeds its first line. */
    for (unsigned i = 0; i < 50; i++)
        stepped_turn(&launch, node);
    uint64_t steps = stats_get(&node->stats->step_count);
    for (unsigned i = 0; i < 100 && !node->done; i++) {
        launch.now_ns += 1;
        assert_int_equal(subject->type->step(node, launch.now_ns), 0);
        assert_true(node->deadline_ns == CLOCK_NEVER_NS || node->deadline_ns > launch.now_ns);
    }
    assert_true(stats_get(&node->stats->step_count) == steps);
    stepped_close(&launch);
}

static void test_an_idle_step(void **state)
{
    const struct subject *subject = *state;
    steps_idle(subject, subject->flags);
    if (subject->other_flags != NULL)
        steps_idle(subject, subject->other_flags);
}

/* ---- the end ---- */

static const char *const some_texts[] = {"ping", "pong", "", "x", "{\"msg\": \"a\", \"feed_time\": 1.0}"};
enum { TEXT_COUNT = sizeof some_texts / sizeof some_texts[0] };

static void put_some(struct stepped_launch *launch, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const char *text = some_texts[i % TEXT_COUNT];
        stepped_put(launch, text, strlen(text));
    }
}

/* Turns everything until that many nodes have ended; the time goes on by `round_ns` each round. */
static void turn_until_ended(struct stepped_launch *launch, size_t count, int64_t round_ns)
{
    for (unsigned round = 0; launch->ended_count < count; round++) {
        assert_true(round < 2000);
        stepped_turn_all(launch, NULL);
        if (launch->drain != NULL)
            (void)stepped_take(launch, UINT64_MAX);
        launch->now_ns += round_ns;
    }
}

static void drains(const struct subject *subject, const char *const *flags)
{
    struct stepped_launch launch;
    open_with(&launch, subject, flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    for (unsigned i = 0; i < 20; i++)
        stepped_turn_all(&launch, NULL);
    topology_stop(launch.topology, STOP_DRAIN);
    turn_until_ended(&launch, launch.node_count, 10 * NS_PER_MS);
    assert_true(node->done);
    assert_true(node_in_flight(node->outputs, node->output_count) == 0);
    /* It stays ended. */
    uint64_t in_count = stats_get(&node->stats->in_count);
    assert_int_equal(stepped_turn(&launch, node), 0);
    assert_true(stats_get(&node->stats->in_count) == in_count);
    stepped_close(&launch);
}

static void test_a_drain_ends_it(void **state)
{
    const struct subject *subject = *state;
    drains(subject, subject->flags);
    if (subject->other_flags != NULL)
        drains(subject, subject->other_flags);
}

/* What is on its way when the stop comes reaches its end. */
static void test_a_drain_loses_nothing(void **state)
{
    const struct subject *subject = *state;
    struct stepped_launch launch;
    if (subject->feed_at == NULL)
        return;
    open_with(&launch, subject, subject->flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    put_some(&launch, 3000);
    topology_stop(launch.topology, STOP_DRAIN);
    turn_until_ended(&launch, launch.node_count, NS_PER_MS);
    assert_true(stats_get(&node->stats->in_count) == 3000);
    assert_true(node_in_flight(node->inputs, node->input_count) == 0);
    assert_true(stats_get(&node->stats->out_count) + stats_dropped_count(node->stats) +
                    stats_get(&node->stats->queued_count) ==
                3000);
    stepped_close(&launch);
}

static uint64_t emitted_count(const struct port *ports, size_t count)
{
    uint64_t emitted = 0;
    for (size_t i = 0; i < count; i++)
        emitted += atomic_load(&ports[i].edge->emitted_count);
    return emitted;
}

static void abandons(const struct subject *subject, const char *const *flags, unsigned message_count)
{
    struct stepped_launch launch;
    open_with(&launch, subject, flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    if (launch.feed != NULL)
        put_some(&launch, message_count);
    for (unsigned i = 0; i < 100; i++) /* all but the node itself: the messages come up to it */
        stepped_turn_all(&launch, node);
    topology_stop(launch.topology, STOP_ABANDON);
    /* It begins to wait when it has handled what came late through the kernel: some turns of 10 ms more. */
    int64_t limit_ns = launch.now_ns + subject->abandon_wait_ns + 100 * NS_PER_MS;
    stepped_turn(&launch, node);
    while (!node->done) {
        assert_true(launch.now_ns < limit_ns);
        launch.now_ns += 10 * NS_PER_MS;
        stepped_turn(&launch, node);
    }
    /* What was on its way to it came in, or still is: counted by the block, of which one may be half read. */
    if (launch.feed != NULL) {
        uint64_t came = emitted_count(node->inputs, node->input_count);
        uint64_t in_count = stats_get(&node->stats->in_count);
        uint64_t left = node_in_flight(node->inputs, node->input_count);
        assert_true(came > 0 || message_count == 0);
        assert_in_range(in_count + left, came, came + EDGE_BLOCK_BYTES / sizeof(struct message));
    }
    if (subject->is_balanced)
        assert_true(stats_get(&node->stats->in_count) == stats_get(&node->stats->out_count) +
                                                             stats_dropped_count(node->stats) +
                                                             stats_get(&node->stats->queued_count));
    stepped_close(&launch);
}

static void test_it_can_be_abandoned(void **state)
{
    const struct subject *subject = *state;
    abandons(subject, subject->flags, 0);
    abandons(subject, subject->flags, 5000);
    if (subject->other_flags != NULL)
        abandons(subject, subject->other_flags, 0);
}

/* ---- numbers ---- */

static void test_numbers_add_up(void **state)
{
    const struct subject *subject = *state;
    struct stepped_launch launch;
    if (!subject->is_balanced)
        return;
    open_with(&launch, subject, subject->flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    const struct node_stats *stats = node->stats;
    uint64_t put_count = 0;
    uint64_t taken = 0;
    uint64_t most = 0;
    for (unsigned round = 0; round < 200; round++) {
        if (launch.feed != NULL && round < 150 && edge_has_room(launch.feed)) {
            put_some(&launch, 20);
            put_count += 20;
        }
        stepped_turn_all(&launch, NULL);
        if (launch.drain != NULL && round % 3 == 0)
            taken += stepped_take(&launch, 25);
        launch.now_ns += NS_PER_S / 10;
        uint64_t in_count = stats_get(&stats->in_count);
        uint64_t rest = stats_get(&stats->queued_count);
        assert_true(in_count == stats_get(&stats->out_count) + stats_dropped_count(stats) + rest);
        most = rest > most ? rest : most;
        assert_true(in_count <= put_count || launch.feed == NULL);
    }
    uint64_t expected = launch.feed != NULL ? put_count : 4; /* the lines of the file that are not blank */
    if (subject->capacity == 0)
        assert_true(stats_get(&stats->in_count) == expected);
    else
        assert_true(most == subject->capacity); /* it was full, and the rest waited */
    assert_true(taken > 0 || launch.drain == NULL);
    struct histogram_copy latency;
    histogram_read(&stats->latency, &latency);
    assert_true(histogram_count(&latency) <= stats_get(&stats->in_count));
    stepped_close(&launch);
}

/* ---- nonsense from outside ---- */

static uint64_t counter_value(const struct node *node, const char *name)
{
    for (size_t i = 0; i < node->stats->definition_count; i++)
        if (strcmp(node->stats->definitions[i].name, name) == 0)
            return stats_get(&node->stats->counters[i]);
    fail_msg("there is no counter %s", name);
    return 0;
}

static int connect_to(const struct sockaddr_in *place, int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)place, sizeof *place), 0);
    return fd;
}

/* Each is no frame, no metrics, and nothing that a sink knows. */
static void test_malformed_datagrams(void **state)
{
    const struct subject *subject = *state;
    struct stepped_launch launch;
    if (subject->datagram_counter == NULL)
        return;
    open_with(&launch, subject, subject->flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    struct sockaddr_in place = stepped_listening_place(SOCK_DGRAM);
    int fd = connect_to(&place, SOCK_DGRAM);
    static char text[65000];
    memset(text, 'x', sizeof text);
    static const size_t lengths[] = {0, 1, 2, 1000, sizeof text};
    uint64_t sent = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++, sent++)
        assert_int_equal(send(fd, text, lengths[i], 0), (ssize_t)lengths[i]);
    static const char *const texts[] = {"0",        "1", "15PING", "14SIZEX", "fffffffffffffffffx",
                                        "\xff\xfe", "{", "[1",     "g"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++, sent++)
        assert_int_equal(send(fd, texts[i], strlen(texts[i]), 0), (ssize_t)strlen(texts[i]));
    memset(text, 0, 100);
    assert_int_equal(send(fd, text, 100, 0), 100);
    sent++;
    STEPPED_WAIT(&launch, counter_value(node, subject->datagram_counter) == sent);
    assert_false(node->done);
    /* It works as before. */
    uint64_t in_count = stats_get(&node->stats->in_count);
    static const char good[] = "18PUT:ping"; /* a message for each: a sink logs what it does not know */
    assert_int_equal(send(fd, good, strlen(good), 0), (ssize_t)strlen(good));
    STEPPED_WAIT(&launch, stats_get(&node->stats->in_count) == in_count + 1);
    assert_int_equal(close(fd), 0);
    stepped_close(&launch);
}

static void test_malformed_streams(void **state)
{
    const struct subject *subject = *state;
    struct stepped_launch launch;
    if (subject->stream_counter == NULL)
        return;
    open_with(&launch, subject, subject->flags, false);
    struct node *node = stepped_node(&launch, subject->type);
    struct sockaddr_in place = stepped_listening_place(SOCK_STREAM);
    int good = connect_to(&place, SOCK_STREAM);
    static const char *const texts[] = {"zz", "0", "fffffffffffffffff", "\xff\xfe", "1g"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int fd = connect_to(&place, SOCK_STREAM);
        assert_int_equal(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL), (ssize_t)strlen(texts[i]));
        STEPPED_WAIT(&launch, counter_value(node, subject->stream_counter) == i + 1);
        /* The peer is told why, and the connection is over. */
        char answer[512];
        ssize_t received;
        STEPPED_WAIT(&launch, (received = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) > 0);
        assert_non_null(memmem(answer, (size_t)received, "ERR ", 4));
        STEPPED_WAIT(&launch, recv(fd, answer, sizeof answer, MSG_DONTWAIT) == 0);
        assert_int_equal(close(fd), 0);
    }
    /* One that was cut off in mid-frame. */
    int fd = connect_to(&place, SOCK_STREAM);
    assert_int_equal(send(fd, "1fPUT:", 6, MSG_NOSIGNAL), 6);
    assert_int_equal(close(fd), 0);
    STEPPED_WAIT(&launch, counter_value(node, "cut_connections") == 1);
    assert_int_equal(counter_value(node, subject->stream_counter), sizeof texts / sizeof texts[0]);
    /* The other connection has not noticed. */
    uint64_t in_count = stats_get(&node->stats->in_count);
    assert_int_equal(send(good, "18PUT:ping", 10, MSG_NOSIGNAL), 10);
    STEPPED_WAIT(&launch, stats_get(&node->stats->in_count) == in_count + 1);
    assert_int_equal(close(good), 0);
    stepped_close(&launch);
}

/* ---- each test for each type ---- */

static const struct {
    const char *name;
    CMUnitTestFunction run;
} contract[] = {
    {"its struct is complete", test_struct},
    {"its counters have names of their own, and help", test_counters},
    {"its options are sound", test_options},
    {"it knows the documented flags", test_documented_flags},
    {"its help says everything", test_help},
    {"it opens and closes", test_opens_and_closes},
    {"an address in use is named", test_address_in_use},
    {"an idle step does nothing", test_an_idle_step},
    {"a drain ends it", test_a_drain_ends_it},
    {"a drain loses nothing", test_a_drain_loses_nothing},
    {"it can be abandoned", test_it_can_be_abandoned},
    {"its numbers add up", test_numbers_add_up},
    {"malformed datagrams are counted", test_malformed_datagrams},
    {"malformed streams are counted", test_malformed_streams},
};

enum { CONTRACT_COUNT = sizeof contract / sizeof contract[0] };

static void test_every_type_is_here(void **state)
{
    (void)state;
    size_t count = 0;
    for (; millrace_catalog.node_types[count] != NULL; count++) {
        bool found = false;
        for (size_t i = 0; i < SUBJECT_COUNT; i++)
            found = found || subjects[i].type == millrace_catalog.node_types[count];
        if (!found)
            fail_msg("%s has no row in this test", millrace_catalog.node_types[count]->name);
    }
    assert_ptr_equal(millrace_catalog.reporter, &metrics_reporter_type);
    assert_int_equal(count + 1, SUBJECT_COUNT);
}

static int write_file(void **state)
{
    (void)state;
    static const char text[] = "first\nsecond\n\nthird\nfourth\n";
    snprintf(file_path, sizeof file_path, "/tmp/test_node_types.XXXXXX");
    int fd = mkstemp(file_path);
    if (fd < 0)
        return -1;
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    return close(fd) == 0 && written ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

int main(void)
{
    static struct CMUnitTest tests[1 + SUBJECT_COUNT * CONTRACT_COUNT];
    static char names[SUBJECT_COUNT * CONTRACT_COUNT][100];
    size_t count = 0;
    alarm(50); /* a step that blocks ends the test */
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        for (size_t j = 0; j < CONTRACT_COUNT; j++) {
            snprintf(names[count], sizeof names[count], "%s: %s", subjects[i].type->name, contract[j].name);
            /* cmocka hands initial_state on as it is, and the tests only read it. */
            tests[count] = (struct CMUnitTest){
                .name = names[count], .test_func = contract[j].run, .initial_state = (void *)(uintptr_t)&subjects[i]};
            count++;
        }
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_every_type_is_here);
    return _cmocka_run_group_tests("node types", tests, count, write_file, remove_file);
}
