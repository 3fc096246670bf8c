/*
 * The worker: takes messages from queues, applies a function to each, and sends on what it emits.
 */
#include "nodes/worker/worker_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/topology_spec.h"
#include "nodes/functions/function_settings.h"
#include "nodes/functions/function_types.h"
#include "nodes/node_types.h"
#include "nodes/worker/order.h"

#define WORKER(member) offsetof(struct worker_config, member)

static const char *const route_choices[] = {"choice", "random", "round-robin", "broadcast", NULL};
static const char *const output_type_choices[] = {"auto", "queue", "socket", NULL};

static const char *const guarantee_choices[] = {"at-most-once", "at-least-once", "exactly-once", NULL};
static const char *const order_choices[] = {"none", "key", "fifo", NULL};

static const struct option worker_options[] = {
    {"input-address", OPTION_ADDRESSES, WORKER(input_address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "a queue to take messages from", .role = ROLE_INPUT},
    {"output-address", OPTION_ADDRESSES, WORKER(output_address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "where to send what the function returns", .role = ROLE_OUTPUT},
    {"output-type", OPTION_CHOICE, WORKER(output_type), "auto", .choices = output_type_choices, .value_name = "TYPE",
     .help = "PUT commands or bare messages; auto: what the node of this launch takes, else queue"},
    {"function", OPTION_TEXT, WORKER(function), .value_name = "NAME",
     .help = "pong, passthrough, double, inputdoubler, fixrouter or marketspread", .required = true},
    {"guarantee", OPTION_CHOICE, WORKER(guarantee), "at-most-once", .choices = guarantee_choices, .value_name = "LEVEL",
     .help = "how often each message takes effect, whatever crashes"},
    {"order", OPTION_CHOICE, WORKER(order), "none", .choices = order_choices, .value_name = "ORDER",
     .help = "what the replicas of --count keep in order: nothing, messages of one key, all"},
    {"order-key", OPTION_TEXT, WORKER(order_key), "symbol", .value_name = "KEY",
     .help = "for --order key: symbol, fix:TAG or json:FIELD"},
    {"delay", OPTION_SECONDS, WORKER(delay_ns), "0.000001", 0, 3600, .value_name = "SECONDS",
     .help = "wait before asking an empty queue again (not between nodes of one launch)"},
    {"lease-time", OPTION_SECONDS, WORKER(lease_ns), "5", 0.1, 86400, .value_name = "SECONDS",
     .help = "how long a queue elsewhere hides a message before it gives it to another (extended while it is in use)"},
    {"route", OPTION_CHOICE, WORKER(route), "choice", .choices = route_choices, .value_name = "HOW",
     .help = "which output: the function's choice, or another way"},
    {"seed", OPTION_COUNT, WORKER(seed), "1", 0, 18446744073709551615.0, .value_name = "NUMBER",
     .help = "for --route random: the same seed, the same way"},
    {"count", OPTION_COUNT, WORKER(replica_count), "1", 1, 1000, .value_name = "COUNT",
     .help = "so many workers of this kind, each with a state of its own", .role = ROLE_REPLICAS},
    {"dead-letter", OPTION_ADDRESSES, WORKER(dead_letter), .value_name = "ADDRESS",
     .help = "a queue for messages that the function refused", .role = ROLE_OUTPUT},
    {"max-message", OPTION_BYTES, WORKER(message_bytes_max), "16M", 1, 1 << 30, .value_name = "BYTES",
     .help = "the longest message it takes over TCP"},
    {"max-state", OPTION_BYTES, WORKER(state_bytes_max), "4G", 1024, 1e15, .value_name = "BYTES",
     .help = "how much memory the function's keyed state may take"},
    {"set", OPTION_TEXTS, WORKER(settings), .value_name = "NAME=VALUE",
     .help = "sets something for the function, such as one that an embedding program brings"},
    /* Of our own functions: a flag for each setting. */
    {"orders-limit", OPTION_TEXT, WORKER(orders_limit), .value_name = "COUNT", .role = ROLE_SETTING},
    {"orders-full", OPTION_TEXT, WORKER(orders_full), .value_name = "WHAT", .role = ROLE_SETTING},
    {0},
};

static const struct counter worker_counters[] = {
    [WORKER_FUNCTION_ERRORS] = {"function_errors", "messages that the function refused", true},
    [WORKER_DEAD_LETTERS] = {"dead_letters", "the same, sent to the dead-letter queue", false},
    [WORKER_NO_OUTPUT] = {"no_output", "results for which there is no output, or that are too long", true},
    [WORKER_OUTPUT_LOST] = {"output_lost", "results that their receiver certainly did not take", true},
    [WORKER_UNCONFIRMED] = {"unconfirmed", "PUTs that were not answered", false},
    [WORKER_RESENT] = {"resent", "PUTs that found the queue full and went again", false},
    [WORKER_GET_TIMEOUTS] = {"get_timeouts", "GETs that were not answered, and asked again", false},
    [WORKER_GET_ERRORS] = {"get_errors", "GETs that were answered with an error, and asked again", false},
    [WORKER_DONE_BEFORE] = {"done_before", "messages that were delivered again and not done again", false},
    [WORKER_WITHOUT_LEASES] = {"without_leases", "input queues that know no leases, and are asked with GET", false},
    [WORKER_WEAKER_LINKS] = {"weaker_links", "links that carry less than it promises (--allow-weaker)", false},
    [WORKER_FILTERED] = {"filtered", "messages for which the function returned nothing", false},
    [WORKER_MULTIPLIED] = {"multiplied", "results beyond the first of a message, or of one that the function refused",
                           false},
    [WORKER_RETRIED] = {"retried", "calls again with a message that the function had refused", false},
    [WORKER_GIVEN_BACK] = {"given_back", "messages that the function refused, given back to their queue", false},
    [WORKER_RECOVERED] = {"recovered", "results and dead letters that the start found in an outbox", false},
    {0},
};

/* A step's end: so many messages from each input, or the time, whatever comes first. */
enum { STEP_MESSAGE_MAX = 2048, LATENCY_GROUP = 16 };
static const int64_t step_ns = 100 * NS_PER_US;
_Static_assert(LATENCY_GROUP <= MILLRACE_LOOK_AHEAD_MAX, "a group is looked at ahead as a whole");
/* At a stop: how long an answer to a GET that is under way is waited for. */
static const int64_t last_answer_ns = 500 * NS_PER_MS;

/* ---- check and open ---- */

static enum link_kind worker_output_kind(const void *config, const struct option *option)
{
    const struct worker_config *worker = config;
    if (strcmp(option->name, "dead-letter") == 0 || worker->output_type == OUTPUT_QUEUE)
        return LINK_PUT;
    return worker->output_type == OUTPUT_SOCKET ? LINK_BARE : LINK_NONE;
}

static const struct millrace_function *find_function(const struct topology_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->function_count; i++)
        if (strcasecmp(spec->functions[i]->name, name) == 0)
            return spec->functions[i];
    return function_find(name);
}

static enum guarantee worker_promises(const void *config)
{
    return (enum guarantee)((const struct worker_config *)config)->guarantee;
}

static bool worker_may_block(const struct node_spec *node, const struct topology_spec *spec)
{
    const struct worker_config *config = node->config;
    return (find_function(spec, config->function)->flags & MILLRACE_FUNCTION_NEVER_BLOCKS) == 0;
}

/* One that hands on whole blocks does next to nothing; of the others most read each message. */
static unsigned worker_weight(const struct node_spec *node, const struct topology_spec *spec)
{
    const struct worker_config *config = node->config;
    return (find_function(spec, config->function)->flags & MILLRACE_FUNCTION_PASSES_ON) != 0 ? 1 : 6;
}

/* What the user set for the function, over its defaults. */
static enum status read_settings(const struct worker_config *config, const struct millrace_function *function,
                                 struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX], struct error *error)
{
    enum status status = function_settings_default(function, values, error);
    for (size_t i = 0; i < config->settings.count && status == STATUS_OK; i++) {
        const char *text = config->settings.items[i];
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text)
            return error_set(error, STATUS_USAGE, "--set: '%s' is not NAME=VALUE", text);
        status = function_settings_set(function, values, text, (size_t)(equals - text), equals + 1, error);
        if (status != STATUS_OK)
            error_prefix(error, "--set");
    }
    for (const struct option *option = worker_options; option->name != NULL && status == STATUS_OK; option++) {
        if (option->role != ROLE_SETTING)
            continue;
        const char *text = *(const char *const *)(const void *)((const char *)config + option->offset);
        if (text != NULL)
            status = function_settings_set(function, values, option->name, strlen(option->name), text, error);
    }
    return status;
}

static bool worker_knows_setting(const void *config, const struct option *option)
{
    const char *name = ((const struct worker_config *)config)->function;
    const struct millrace_function *function = name != NULL ? function_find(name) : NULL;
    if (function == NULL || function->settings == NULL)
        return false;
    for (const struct millrace_setting *setting = function->settings; setting->name != NULL; setting++)
        if (strcmp(setting->name, option->name) == 0)
            return true;
    return false;
}

static void worker_print_more_help(FILE *out)
{
    for (size_t i = 0; i < function_type_count; i++)
        function_settings_print_help(out, function_types[i]);
}

static enum status worker_check(const struct node_spec *node, const struct topology_spec *spec, struct error *error)
{
    const struct worker_config *config = node->config;
    const struct millrace_function *function = find_function(spec, config->function);
    if (function == NULL) {
        char names[256];
        return error_set(error, STATUS_USAGE, "--function: there is no function '%s'; there are %s", config->function,
                         function_names_text(names, sizeof names));
    }
    if (config->dead_letter.count > 1 && !config->letters_of_queues)
        return error_set(error, STATUS_USAGE, "--dead-letter: one queue is enough");
    enum status status = worker_check_order(config, spec, error);
    if (status != STATUS_OK)
        return status;
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    return read_settings(config, function, values, error);
}

static enum status open_function(struct worker *worker, struct error *error)
{
    struct node *node = worker->node;
    worker->function = find_function(node->spec, worker->config->function);
    CHECK(worker->function != NULL);
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    enum status status = read_settings(worker->config, worker->function, values, error);
    if (status != STATUS_OK)
        return status;
    status = worker_open_function(worker, values, error);
    if (status != STATUS_OK)
        return status;
    node->function_title = worker->function->title;
    node->stats->extra_names = worker->function->counter_names;
    for (const char *const *name = worker->function->counter_names; name != NULL && *name != NULL; name++)
        node->stats->extra_count++;
    CHECK(node->stats->extra_count <= MILLRACE_FUNCTION_COUNTER_MAX);
    return STATUS_OK;
}

/* A durable worker's state is kept. */
static enum status open_kept_state(struct worker *worker, struct error *error)
{
    struct node *node = worker->node;
    worker->is_kept = node->durable && node->journal != NULL;
    if (!worker->is_kept)
        return STATUS_OK;
    enum status status = worker_kept_state_name(node, worker->stored_name, error);
    return status == STATUS_OK ? worker_kept_state_open(&worker->kept_state, node->journal, worker->stored_name,
                                                        &worker->state_keeper, error)
                               : status;
}

static enum status open_inputs(struct worker *worker, struct error *error)
{
    struct node *node = worker->node;
    worker->inputs = calloc(node->input_count + 1, sizeof *worker->inputs);
    CHECK(worker->inputs != NULL);
    for (size_t i = 0; i < node->input_count; i++) {
        struct worker_input *input = &worker->inputs[i];
        input->edge = node->inputs[i].edge;
        worker->has_remote_input = worker->has_remote_input || input->edge == NULL;
        worker->input_count = i + 1;
        enum status status = input->edge != NULL ? STATUS_OK
                             : worker->config->guarantee != GUARANTEE_AT_MOST_ONCE
                                 ? worker_leases_open_input(worker, input, node->inputs[i].address, error)
                                 : remote_get_open(&input->remote, node, node->inputs[i].address,
                                                   worker->config->delay_ns, worker->config->message_bytes_max, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status open_outlet(struct worker *worker, size_t index, struct error *error)
{
    const struct outlet_promise promise = {
        .confirms = worker->config->guarantee != GUARANTEE_AT_MOST_ONCE,
        .outbox_owner = worker->is_kept ? worker->stored_name : NULL,
    };
    return outlet_open(&worker->outlets[index], worker->node, &worker->node->outputs[index], &promise, error);
}

static enum status open_outputs(struct worker *worker, struct error *error)
{
    struct node *node = worker->node;
    worker->outlets = calloc(node->output_count + 1, sizeof(struct outlet *));
    CHECK(worker->outlets != NULL);
    for (size_t i = 0; i < node->output_count; i++) {
        worker->outlet_count = i + 1;
        enum status status = open_outlet(worker, i, error);
        if (status != STATUS_OK)
            return status;
    }
    worker->output_count = worker->config->output_address.count;
    worker_join_refusals(worker);
    worker_open_ledger(worker);
    bool first_only = worker->output_count == 1 || (worker->output_count > 1 && worker->config->route == ROUTE_CHOICE);
    if ((worker->function->flags & MILLRACE_FUNCTION_PASSES_ON) != 0 && first_only)
        worker->pass_edge = outlet_edge(worker->outlets[0]);
    return STATUS_OK;
}

static enum status worker_open(struct node *node, struct error *error)
{
    struct worker *worker = node->state;
    worker->node = node;
    worker->config = node->config;
    worker->call.worker = worker;
    random_seed(&worker->random, worker->config->seed);
    stats_set(&node->stats->counters[WORKER_WEAKER_LINKS], node->weaker_link_count);
    enum status status = open_kept_state(worker, error);
    if (status == STATUS_OK)
        status = open_function(worker, error);
    if (status == STATUS_OK)
        status = open_inputs(worker, error);
    if (status == STATUS_OK)
        status = open_outputs(worker, error);
    if (status != STATUS_OK)
        return status;
    worker->rings_only = true;
    for (size_t i = 0; i < worker->outlet_count; i++)
        worker->rings_only = worker->rings_only && outlet_edge(worker->outlets[i]) != NULL;
    worker_leases_open(worker);
    worker_durable_join(worker);
    return STATUS_OK;
}

/* ---- step ---- */

static bool outputs_have_room(const struct worker *worker)
{
    for (size_t i = 0; i < worker->outlet_count; i++)
        if (!outlet_has_room(worker->outlets[i]))
            return false;
    return true;
}

static const struct message *input_peek(struct worker_input *input)
{
    return input->edge != NULL ? edge_peek(input->edge) : remote_get_peek(input->remote);
}

static void input_pop(struct worker_input *input)
{
    if (input->edge != NULL)
        edge_pop(input->edge);
    else
        remote_get_pop(input->remote);
}

/* `count` messages were handled since *now_ns, which goes on with the clock. Each counts with their mean, so count and
 * sum are right, and so is the distribution where messages come singly or take long. */
static void record_handled(struct worker *worker, uint64_t count, int64_t *now_ns)
{
    struct node_stats *stats = worker->node->stats;
    int64_t start_ns = *now_ns;
    *now_ns = clock_monotonic_ns();
    histogram_record(&stats->latency, (*now_ns - start_ns) / (int64_t)count, count);
    stats_add(&stats->in_count, count);
}

/* Whole blocks of messages that only pass on. */
static unsigned pass_blocks(struct worker *worker, struct worker_input *input, unsigned count_max, int64_t *now_ns)
{
    unsigned passed = 0;
    uint32_t count;
    if (input->edge == NULL || worker->pass_edge == NULL)
        return 0;
    while (passed < count_max && (count = edge_forward_block(input->edge, worker->pass_edge, *now_ns)) > 0)
        passed += count;
    if (passed > 0) {
        worker->emitted_count += passed;
        record_handled(worker, passed, now_ns);
    }
    return passed;
}

/* Tells the function of the next messages in the input's block. Returns of how many: the group ends there. */
static unsigned look_ahead(struct worker *worker, struct worker_input *input, unsigned count_max)
{
    struct millrace_input inputs[MILLRACE_LOOK_AHEAD_MAX];
    struct block_cursor *at = input->edge != NULL ? edge_read(input->edge) : NULL;
    if (worker->function->look_ahead == NULL || at == NULL)
        return count_max;
    struct block_cursor cursor = *at;
    const struct message *message;
    unsigned count = 0;
    while (count < count_max && (message = block_cursor_peek(&cursor)) != NULL) {
        inputs[count++] = (struct millrace_input){.data = message->text, .length = message->length};
        block_cursor_pop(&cursor);
    }
    worker->function->look_ahead(worker->function_state, inputs, count);
    return count;
}

/* A group of messages, one by one; the clock is read once for all of them. */
static unsigned apply_group(struct worker *worker, struct worker_input *input, int64_t *now_ns)
{
    unsigned group = 0;
    const struct message *message;
    worker->call.time_ns = *now_ns;
    unsigned count_max = outputs_have_room(worker) ? look_ahead(worker, input, LATENCY_GROUP) : 0;
    uint32_t offset = input->edge != NULL ? input->edge->cursor.offset : 0;
    while (group < count_max && outputs_have_room(worker) && (message = input_peek(input)) != NULL) {
        worker_apply(worker, input, message->text, message->length);
        input_pop(input);
        group++;
    }
    if (group > 0)
        record_handled(worker, group, now_ns);
    if (input->edge != NULL)
        edge_prefetch_next(input->edge, offset);
    return group;
}

/* A bounded batch from one input. *now_ns goes on with the clock. */
static unsigned take_leased(struct worker *worker, struct worker_input *input, unsigned count_max, int64_t *now_ns)
{
    unsigned taken = 0;
    int64_t end_ns = *now_ns + step_ns;
    bool applied;
    worker->call.time_ns = *now_ns;
    while (taken < count_max && *now_ns < end_ns && outputs_have_room(worker) &&
           worker_leases_take(worker, input, &applied)) {
        if (applied)
            record_handled(worker, 1, now_ns);
        worker->call.time_ns = *now_ns;
        taken++;
    }
    return taken;
}

static unsigned take(struct worker *worker, struct worker_input *input, unsigned count_max, int64_t *now_ns)
{
    if (input->lease != NULL)
        return take_leased(worker, input, count_max, now_ns);
    unsigned taken = 0;
    int64_t end_ns = *now_ns + step_ns;
    while (taken < count_max && *now_ns < end_ns) {
        unsigned passed = pass_blocks(worker, input, count_max - taken, now_ns);
        unsigned applied = apply_group(worker, input, now_ns);
        taken += passed + applied;
        if (applied == 0)
            break;
    }
    return taken;
}

static unsigned take_inputs(struct worker *worker, int64_t now_ns)
{
    unsigned taken = 0;
    for (size_t i = 0; i < worker->input_count; i++) {
        size_t index = worker->next_input;
        worker->next_input = index + 1 < worker->input_count ? index + 1 : 0;
        taken += take(worker, &worker->inputs[index], STEP_MESSAGE_MAX, &now_ns);
    }
    if (worker->input_count > 1) /* the next step begins one further on */
        worker->next_input = worker->next_input + 1 < worker->input_count ? worker->next_input + 1 : 0;
    return taken;
}

static int64_t ask_remote_inputs(struct worker *worker, enum stop_phase phase, int64_t now_ns)
{
    int64_t when_ns = CLOCK_NEVER_NS;
    bool room = outputs_have_room(worker);
    for (size_t i = 0; i < worker->input_count; i++) {
        struct worker_input *input = &worker->inputs[i];
        if (input->edge != NULL)
            continue;
        bool wanted = phase == STOP_NOT && room;
        int64_t input_ns =
            input->lease != NULL
                ? worker_leases_step(worker, input, wanted, now_ns)
                : remote_get_step(input->remote, wanted && remote_get_arrived_count(input->remote) < REMOTE_GET_WINDOW,
                                  now_ns);
        when_ns = input_ns < when_ns ? input_ns : when_ns;
    }
    return when_ns;
}

static int64_t flush_outputs(struct worker *worker, int64_t now_ns)
{
    int64_t when_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < worker->outlet_count; i++) {
        int64_t output_ns = outlet_flush(worker->outlets[i], now_ns);
        when_ns = output_ns < when_ns ? output_ns : when_ns;
    }
    return when_ns;
}

static void settle_inputs(struct worker *worker)
{
    for (size_t i = 0; i < worker->input_count; i++)
        if (worker->inputs[i].edge != NULL)
            edge_settle(worker->inputs[i].edge);
}

/* The outlets and remote inputs count for themselves; the node's numbers are their sums. */
static void show_counts(struct worker *worker)
{
    struct node_stats *stats = worker->node->stats;
    struct outlet_counts sum = {0};
    if (!worker->rings_only)
        sum = outlets_counts(worker->outlets, worker->outlet_count);
    uint64_t queued = sum.held_count;
    uint64_t timeouts = 0;
    uint64_t errors = 0;
    for (size_t i = 0; i < worker->input_count; i++) {
        const struct remote_get *remote = worker->inputs[i].remote;
        if (worker->inputs[i].lease != NULL) {
            struct remote_lease_counts counts = remote_lease_counts(worker->inputs[i].lease);
            queued += remote_lease_arrived_count(worker->inputs[i].lease);
            timeouts += counts.timeout_count;
            errors += counts.error_count;
        }
        if (remote == NULL)
            continue;
        queued += remote_get_arrived_count(remote);
        timeouts += remote_get_timeout_count(remote);
        errors += remote_get_error_count(remote);
    }
    if (worker->rings_only)
        stats_set(&stats->out_count, worker->emitted_count);
    else
        outlets_show_out(worker->outlets, worker->output_count, worker->emitted_count, stats);
    stats_set(&stats->queued_count, queued);
    worker_show_ledger(worker);
    node_show_drops(worker->node, WORKER_OUTPUT_LOST, sum.lost_count);
    stats_set(&stats->counters[WORKER_UNCONFIRMED], sum.unconfirmed_count);
    stats_set(&stats->counters[WORKER_RESENT], sum.resent_count);
    stats_set(&stats->counters[WORKER_GET_TIMEOUTS], timeouts);
    stats_set(&stats->counters[WORKER_GET_ERRORS], errors);
}

/* ---- the end ---- */

/* Whether none of its messages would be lost, were it killed now: they are in the store until they are settled, or with
 * a queue elsewhere until they are acknowledged. */
static bool inputs_stay(const struct worker *worker)
{
    for (size_t i = 0; i < worker->input_count; i++)
        if (worker->inputs[i].lease == NULL && !worker_durable_input_stays(worker, i))
            return false;
    return true;
}

/* Whether for some time the receivers elsewhere have taken nothing of what the outlets hold. */
static bool outlets_stand_still(struct worker *worker, int64_t now_ns)
{
    uint64_t held_count = outlets_counts(worker->outlets, worker->outlet_count).held_count;
    uint64_t gone_count = 0 - held_count;
    for (size_t i = 0; i < worker->outlet_count; i++)
        gone_count += outlet_emitted_count(worker->outlets[i]);
    if (held_count == 0 || gone_count != worker->gone_count || worker->gone_ns == 0)
        worker->gone_ns = now_ns;
    worker->gone_count = gone_count;
    return now_ns - worker->gone_ns >= last_answer_ns;
}

/*
 * Whether the worker can do no more in this stop, and nothing is lost if it ends here: what it has not taken, and what
 * it took and has not finished, is there at the next start. It can do no more when a queue that it feeds is full and
 * stays so; or when receivers elsewhere, of which that cannot be known, have taken nothing for some time and it waits
 * for them: for room, or, without a store, to acknowledge what it took.
 */
static bool is_held_up(struct worker *worker, int64_t now_ns)
{
    if (!inputs_stay(worker))
        return false;
    if (worker_durable_is_shut_out(worker))
        return true;
    return outlets_stand_still(worker, now_ns) && (!worker->is_kept || !outputs_have_room(worker));
}

static bool inputs_ended(struct worker *worker, enum stop_phase phase, int64_t now_ns)
{
    for (size_t i = 0; i < worker->input_count; i++) {
        struct worker_input *input = &worker->inputs[i];
        bool answers_awaited = now_ns - worker->stop_ns < last_answer_ns;
        if (input->edge != NULL && !worker->held_up && !edge_has_ended(input->edge))
            return false;
        if (input->lease != NULL && (phase == STOP_NOT || worker_leases_are_due(worker, input, answers_awaited)))
            return false;
        if (input->remote == NULL)
            continue;
        bool answer_due = remote_get_asked_count(input->remote) > 0 && answers_awaited;
        if (phase == STOP_NOT || answer_due || remote_get_arrived_count(input->remote) > 0)
            return false;
    }
    return true;
}

/* What is left where the next start, or another worker, finds it. */
static void tell_left(struct worker *worker, uint64_t kept_count)
{
    struct node *node = worker->node;
    uint64_t leased_count = worker->is_kept ? 0 : worker->debts.count;
    for (size_t i = 0; i < worker->input_count; i++)
        leased_count += worker->inputs[i].lease != NULL ? remote_lease_arrived_count(worker->inputs[i].lease) : 0;
    int length = 0;
    if (kept_count > 0)
        length = snprintf(node->note, sizeof node->note, "%llu stay in the store", (unsigned long long)kept_count);
    if (leased_count > 0)
        snprintf(node->note + length, sizeof node->note - (size_t)length, "%s%llu on lease stay in their queues",
                 length > 0 ? ", " : "", (unsigned long long)leased_count);
}

static void end_step(struct worker *worker, enum stop_phase phase, int64_t now_ns)
{
    struct node *node = worker->node;
    if (phase != STOP_NOT && worker->stop_ns == 0)
        worker->stop_ns = now_ns;
    if (phase == STOP_ABANDON) {
        node->done = true;
        return;
    }
    if (phase != STOP_NOT && !worker->held_up && is_held_up(worker, now_ns))
        worker->held_up = true;
    if (!inputs_ended(worker, phase, now_ns)) {
        if (phase != STOP_NOT && now_ns + NS_PER_MS < node->deadline_ns)
            node->deadline_ns = now_ns + NS_PER_MS; /* an answer that does not come must not hold up the end */
        return;
    }
    if (!worker->outputs_ended)
        worker->outputs_ended = node_end_outputs(node);
    struct outlet_counts counts = outlets_counts(worker->outlets, worker->outlet_count);
    /* What is in the store is waited for as well, but not for long: it is there at the next start. */
    bool waited = phase != STOP_NOT && now_ns - worker->stop_ns >= last_answer_ns;
    uint64_t stays = waited ? counts.kept_count : 0;
    if (worker->held_up && !worker->is_kept) /* all of it comes from messages that are still on lease */
        stays = counts.held_count;
    node->done = worker->outputs_ended && counts.held_count == stays;
    if (node->done)
        tell_left(worker, counts.kept_count);
}

static size_t worker_step(struct node *node, int64_t now_ns)
{
    struct worker *worker = node->state;
    enum stop_phase phase = node_stop_phase(node);
    int64_t asked_ns = ask_remote_inputs(worker, phase, now_ns);
    /* What has arrived is told before a function that may take long begins: else the worker looks as if it had
     * nothing, and --exit-when-drained ends the launch around it. */
    if (worker->has_remote_input)
        show_counts(worker);
    bool may_take = phase != STOP_ABANDON && !worker->held_up && worker_durable_may_take(worker);
    size_t taken = may_take ? take_inputs(worker, now_ns) : 0;
    settle_inputs(worker);
    if (worker->debts.count > 0)
        worker_leases_settle(worker);
    int64_t flushed_ns = flush_outputs(worker, now_ns);
    node->deadline_ns = asked_ns < flushed_ns ? asked_ns : flushed_ns;
    show_counts(worker);
    if (taken == 0)
        end_step(worker, phase, now_ns);
    return taken;
}

static void worker_close(struct node *node)
{
    struct worker *worker = node->state;
    if (worker->function_open)
        worker_tell_unlogged(worker);
    for (size_t i = 0; i < worker->input_count; i++)
        remote_get_close(&worker->inputs[i].remote);
    worker_leases_close(worker);
    for (size_t i = 0; i < worker->outlet_count; i++)
        outlet_close(&worker->outlets[i]);
    free(worker->inputs);
    free(worker->outlets);
    if (worker->function_open && worker->function->close != NULL)
        worker->function->close(worker->function_state);
    worker_state_close(&worker->keyed_state);
    text_free(&worker->letter);
}

const struct node_type worker_type = {
    .name = "worker",
    .title = "Worker",
    .summary = "takes messages from queues, applies a function, sends on what it returns",
    .options = worker_options,
    .config_bytes = sizeof(struct worker_config),
    .counters = worker_counters,
    .state_bytes = sizeof(struct worker),
    .reports = true,
    .this_may_block = worker_may_block,
    .this_weight = worker_weight,
    .is_durable = worker_is_durable,
    .knows_setting = worker_knows_setting,
    .print_more_help = worker_print_more_help,
    .promises = worker_promises,
    .output_kind = worker_output_kind,
    .complete = worker_complete,
    .check = worker_check,
    .open = worker_open,
    .step = worker_step,
    .close = worker_close,
};
