#include "tests/support/fake_nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/store/journal.h"
#include "engine/topology.h"

enum { FAKE_BATCH_COUNT = 100 };

static size_t open_count; /* the main thread's */

size_t fake_nodes_open_count(void)
{
    return open_count;
}

/* ---- options ---- */

#define CONFIG(member) offsetof(struct fake_config, member)

static const char *const output_types[] = {"queue", "socket", "any", NULL};

#define ROW_OUTPUT_ADDRESS                                                                                             \
    {                                                                                                                  \
        "output-address", OPTION_ADDRESSES, CONFIG(output_address), .value_name = "ADDRESS", .help = "whereto",        \
                                                                    .role = ROLE_OUTPUT                                \
    }
#define ROW_OUTPUT_TYPE                                                                                                \
    {                                                                                                                  \
        "output-type", OPTION_CHOICE, CONFIG(output_type), "queue", .choices = output_types, .value_name = "TYPE",     \
                                                                    .help = "how"                                      \
    }
#define ROW_ADDRESS                                                                                                    \
    {                                                                                                                  \
        "address", OPTION_ADDRESSES, CONFIG(address), "127.0.0.1:10000", .value_name = "ADDRESS", .help = "where",     \
                                                                         .role = ROLE_LISTEN                           \
    }
#define ROW_DURABLE                                                                                                    \
    {                                                                                                                  \
        "durable", OPTION_FLAG, CONFIG(durable), .help = "keeps what it takes"                                         \
    }
#define ROW_STAY                                                                                                       \
    {                                                                                                                  \
        "stay", OPTION_FLAG, CONFIG(stay), .help = "does not end with the others"                                      \
    }

static const struct option source_options[] = {
    ROW_OUTPUT_ADDRESS,
    ROW_OUTPUT_TYPE,
    {"count", OPTION_COUNT, CONFIG(count), "10", 0, 1e9, .value_name = "COUNT", .help = "how many"},
    {0},
};

static const struct option store_options[] = {
    ROW_ADDRESS, ROW_STAY,
    ROW_DURABLE, {"limit", OPTION_BYTES, CONFIG(limit_bytes), "1M", 1, 1e12, .value_name = "BYTES", .help = "how much"},
    {0},
};

static const struct option work_options[] = {
    {"input-address", OPTION_ADDRESSES, CONFIG(input_address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "wherefrom", .role = ROLE_INPUT},
    ROW_OUTPUT_ADDRESS,
    ROW_OUTPUT_TYPE,
    ROW_STAY,
    ROW_DURABLE,
    {"replicas", OPTION_COUNT, CONFIG(replicas), "1", 1, 64, .value_name = "COUNT", .help = "how many of these",
     .role = ROLE_REPLICAS},
    {"delay", OPTION_SECONDS, CONFIG(delay_ns), "0.000001", 0, 60, .value_name = "SECONDS",
     .help = "between two looks"},
    {"label", OPTION_TEXT, CONFIG(label), .value_name = "TEXT", .help = "any text"},
    {"refuse", OPTION_FLAG, CONFIG(refuse), .help = "is not valid"},
    {"fail-open", OPTION_FLAG, CONFIG(fail_open), .help = "does not open"},
    {0},
};

static const struct option drain_options[] = {ROW_ADDRESS, {0}};

static const struct option file_options[] = {
    ROW_OUTPUT_ADDRESS,
    {"path", OPTION_TEXTS, CONFIG(path), .value_name = "PATH", .help = "the files", .required = true},
    {0},
};

static const struct counter fake_counters[] = {
    {"kept", "messages that stayed", false},
    {"out_of_order", "messages with another number than the next", true},
    {0},
};

/* ---- callbacks ---- */

static enum link_kind output_kind(const void *config, const struct option *option)
{
    (void)option;
    static const enum link_kind kinds[] = {LINK_PUT, LINK_BARE, LINK_NONE};
    return kinds[((const struct fake_config *)config)->output_type];
}

static enum status fake_check(const struct node_spec *node, const struct topology_spec *spec, struct error *error)
{
    (void)spec;
    const struct fake_config *config = node->config;
    return config->refuse ? error_set(error, STATUS_USAGE, "refused") : STATUS_OK;
}

static bool is_durable(const struct node_spec *node, const struct topology_spec *spec)
{
    (void)spec;
    return ((const struct fake_config *)node->config)->durable;
}

static enum status fake_open(struct node *node, struct error *error)
{
    struct fake_state *state = node->state;
    const struct fake_config *config = node->config;
    state->opened = malloc(1);
    open_count++;
    if (config != NULL && config->fail_open)
        return error_set(error, STATUS_SYSTEM, "does not open");
    if (config != NULL && config->durable && node->journal != NULL) {
        struct store_queue found;
        enum status status = store_find_queue(journal_store(node->journal), node->name, &found, error);
        state->stored_queue = found.queue;
        state->next_sequence = found.next_sequence;
        return status;
    }
    return STATUS_OK;
}

static void fake_close(struct node *node)
{
    struct fake_state *state = node->state;
    CHECK(state->opened != NULL);
    free(state->opened);
    state->opened = NULL;
    open_count--;
}

static struct edge *roomy_output(const struct node *node)
{
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].edge != NULL && edge_has_room(node->outputs[i].edge))
            return node->outputs[i].edge;
    return NULL;
}

static bool has_output(const struct node *node)
{
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].edge != NULL)
            return true;
    return false;
}

static void note(struct node *node, const struct message *message)
{
    struct fake_state *state = node->state;
    size_t length = message->length < sizeof state->last_text - 1 ? message->length : sizeof state->last_text - 1;
    memcpy(state->last_text, message->text, length);
    state->last_text[length] = '\0';
    if (strtoull(state->last_text, NULL, 10) != state->taken_count) {
        state->out_of_order = true;
        stats_count(node->stats, 1);
    }
    state->taken_count++;
    if (state->stored_queue != 0)
        journal_append(node->journal, state->stored_queue, state->next_sequence++, message->text, message->length);
    stats_add(&node->stats->in_count, 1);
}

static void emit(struct node *node, struct edge *edge, const void *text, size_t length, int64_t now_ns)
{
    struct fake_state *state = node->state;
    edge_emit(edge, text, (uint32_t)length, now_ns);
    state->emitted_count++;
    stats_add(&node->stats->out_count, 1);
}

static size_t forward(struct node *node, struct edge *input, int64_t now_ns)
{
    bool keeps = !has_output(node);
    size_t count = 0;
    const struct message *message;
    while (count < FAKE_BATCH_COUNT && (message = edge_peek(input)) != NULL) {
        struct edge *output = roomy_output(node);
        if (output == NULL && !keeps)
            break;
        note(node, message);
        if (output != NULL)
            emit(node, output, message->text, message->length, now_ns);
        else if (node->type->serves & LINK_GET)
            stats_add(&node->stats->queued_count, 1);
        edge_pop(input);
        count++;
    }
    edge_settle(input);
    return count;
}

static size_t produce(struct node *node, int64_t now_ns)
{
    const struct fake_config *config = node->config;
    struct fake_state *state = node->state;
    size_t count = 0;
    struct edge *output;
    while (count < FAKE_BATCH_COUNT && state->emitted_count < config->count && (output = roomy_output(node)) != NULL) {
        char text[24];
        int length = snprintf(text, sizeof text, "%" PRIu64, state->emitted_count);
        emit(node, output, text, (size_t)length, now_ns);
        count++;
    }
    return count;
}

static bool inputs_ended(const struct node *node, enum stop_phase phase)
{
    bool ended = phase != STOP_NOT;
    for (size_t i = 0; i < node->input_count; i++) {
        struct edge *edge = node->inputs[i].edge;
        if (edge == NULL)
            continue;
        bool left = node->inputs[i].peer == NULL && phase != STOP_NOT && edge_peek(edge) == NULL;
        if (!left && !edge_has_ended(edge))
            return false;
        ended = true;
    }
    return ended;
}

static void finish(struct node *node)
{
    if (node_stop_phase(node) == STOP_ABANDON || node_end_outputs(node))
        node->done = true;
}

static size_t source_step(struct node *node, int64_t now_ns)
{
    const struct fake_config *config = node->config;
    struct fake_state *state = node->state;
    state->step_count++;
    size_t work = node_stop_phase(node) == STOP_NOT ? produce(node, now_ns) : 0;
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].edge != NULL)
            edge_flush(node->outputs[i].edge);
    if (state->emitted_count == config->count || node_stop_phase(node) != STOP_NOT)
        finish(node);
    return work;
}

static size_t forward_step(struct node *node, int64_t now_ns)
{
    const struct fake_config *config = node->config;
    struct fake_state *state = node->state;
    state->step_count++;
    size_t work = 0;
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].edge != NULL)
            work += forward(node, node->inputs[i].edge, now_ns);
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].edge != NULL)
            edge_flush(node->outputs[i].edge);
    enum stop_phase phase = node_stop_phase(node);
    if (phase == STOP_ABANDON || (!config->stay && inputs_ended(node, phase)))
        finish(node);
    return work;
}

static size_t reporter_step(struct node *node, int64_t now_ns)
{
    node->deadline_ns = now_ns + NS_PER_MS; /* nobody says when the others have ended */
    size_t count;
    struct node *const *nodes = topology_nodes(node->topology, &count);
    bool all_ended = true;
    for (size_t i = 0; i + 1 < count; i++)
        all_ended = all_ended && atomic_load_explicit(&nodes[i]->ended, memory_order_acquire);
    if (all_ended && node_end_outputs(node))
        node->done = true;
    return 0;
}

/* ---- types ---- */

#define FAKE_TYPE(type_name, type_title, table, step_function)                                                         \
    .name = (type_name), .title = (type_title), .summary = "for tests", .options = (table),                            \
    .config_bytes = sizeof(struct fake_config), .counters = fake_counters, .state_bytes = sizeof(struct fake_state),   \
    .output_kind = output_kind, .check = fake_check, .open = fake_open, .step = (step_function), .close = fake_close,  \
    .is_durable = is_durable

static const struct node_type source_type = {
    FAKE_TYPE("source", "Source", source_options, source_step),
    .is_source = true,
};
static const struct node_type store_type = {
    FAKE_TYPE("store", "Store", store_options, forward_step),
    .serves = LINK_PUT | LINK_GET,
    .reports = true,
};
static const struct node_type work_type = {
    FAKE_TYPE("work", "Work", work_options, forward_step),
    .reports = true,
};
static const struct node_type drain_type = {
    FAKE_TYPE("drain", "Drain", drain_options, forward_step),
    .serves = LINK_BARE,
};
static const struct node_type file_type = {
    FAKE_TYPE("file", "File", file_options, source_step),
    .is_source = true,
};
static const struct node_type reporter_type = {
    .name = "metrics",
    .title = "Metrics",
    .summary = "for tests",
    .state_bytes = sizeof(struct fake_state),
    .open = fake_open,
    .step = reporter_step,
    .close = fake_close,
};

static const struct node_type *const node_types[] = {&source_type, &store_type, &work_type,
                                                     &drain_type,  &file_type,  NULL};
static const struct command *const commands[] = {NULL};

const struct catalog fake_catalog = {
    .node_types = node_types,
    .commands = commands,
    .reporter = &reporter_type,
};
