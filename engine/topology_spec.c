#include "engine/topology_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/check.h"
#include "engine/clock.h"

static const char *const join_choices[] = {"rings", "sockets", NULL};
static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};

#define LAUNCH(member) offsetof(struct launch_options, member)
#define COMMON(member) offsetof(struct node_common, member)

const struct option launch_option_table[] = {
    {"join", OPTION_CHOICE, LAUNCH(join), "rings", .choices = join_choices, .value_name = "HOW",
     .help = "how nodes of one launch reach each other"},
    {"exit-when-drained", OPTION_FLAG, LAUNCH(exit_when_drained),
     .help = "end when the feeders are done and everything fed has left the graph"},
    {"drain-timeout", OPTION_SECONDS, LAUNCH(drain_timeout_ns), "5", 0, 86400, .value_name = "SECONDS",
     .help = "how long what is in flight may take to its end at a stop"},
    {"metrics-uri", OPTION_TEXT, LAUNCH(metrics_uri), .value_name = "URI",
     .help = "post every node's metrics to this monitoring hub"},
    {"table", OPTION_FLAG, LAUNCH(table), .help = "show rates, queues and latencies once a second"},
    {"store", OPTION_TEXT, LAUNCH(store), .value_name = "DIRECTORY",
     .help = "keeps what the durable queues and workers of the launch must not lose"},
    {"sync-interval", OPTION_SECONDS, LAUNCH(sync_interval_ns), "0.01", 0.0001, 60, .value_name = "SECONDS",
     .help = "what was kept is on the disk after this at the latest"},
    {"allow-weaker", OPTION_FLAG, LAUNCH(allow_weaker),
     .help = "start although a link is weaker than what a worker promises"},
    {"threads", OPTION_TEXT, LAUNCH(threads_text), "auto", .value_name = "per-node|COUNT|auto",
     .help = "a thread a node, or at most so many for nodes that may share one; auto: by the processors"},
    {"busy-poll", OPTION_SECONDS, LAUNCH(busy_poll_ns), "0", 0, 1, .value_name = "SECONDS",
     .help = "threads with sockets never rest, and cost a processor each; the system asks a network card so long "
             "(SO_BUSY_POLL). 0: off"},
    {0},
};

/* The number that --threads may be. */
static const struct option thread_count_option = {"threads", OPTION_COUNT, 0,
                                                  .min = 1,  .max = 1000,  .value_name = "COUNT"};

const struct option node_common_options[] = {
    {"metrics-address", OPTION_ADDRESSES, COMMON(metrics_address), .value_name = "ADDRESS",
     .help = "where a metrics receiver listens"},
    {"stats-period", OPTION_SECONDS, COMMON(stats_period_ns), "60", 0.1, 86400, .value_name = "SECONDS",
     .help = "how often metrics are sent"},
    {"vuid", OPTION_TEXT, COMMON(vuid), .value_name = "NAME",
     .help = "the node's name in metrics (a random one if not given)"},
    {"console-log", OPTION_FLAG, COMMON(console_log), .help = "log to the terminal"},
    {"file-log", OPTION_FLAG, COMMON(file_log), .help = "log to logs/NODE.ADDRESS.UUID.log"},
    {"log-level", OPTION_CHOICE, COMMON(log_level), "info", .choices = level_choices, .value_name = "LEVEL",
     .help = "the least important lines that are logged"},
    {"log-max-bytes", OPTION_BYTES, COMMON(log_max_bytes), "64M", 4096, 1e15, .value_name = "BYTES",
     .help = "rotate a log file before it grows beyond this"},
    {"cpu-list", OPTION_TEXT, COMMON(cpu_list), .value_name = "CPUS",
     .help = "processors to pin threads to, one a node in turn: 0,1 or 0-3"},
    {0},
};

/* ---- splitting the command line into scopes ---- */

/* The flags between two node openers. Scope 0 holds the defaults. */
struct scope {
    const struct node_type *type; /* NULL: defaults */
    struct argument *arguments;
    size_t count;
};

struct scopes {
    struct scope *items;
    size_t count;
};

static struct scope *add_scope(struct scopes *scopes, const struct node_type *type)
{
    scopes->items = realloc(scopes->items, (scopes->count + 1) * sizeof *scopes->items);
    CHECK(scopes->items != NULL);
    struct scope *scope = &scopes->items[scopes->count++];
    *scope = (struct scope){.type = type};
    return scope;
}

static void free_scopes(struct scopes *scopes)
{
    for (size_t i = 0; i < scopes->count; i++)
        free(scopes->items[i].arguments);
    free(scopes->items);
    *scopes = (struct scopes){0};
}

static const struct node_type *type_named(const struct catalog *catalog, const char *name, size_t name_length)
{
    for (const struct node_type *const *type = catalog->node_types; *type != NULL; type++)
        if (strlen((*type)->name) == name_length && memcmp((*type)->name, name, name_length) == 0)
            return *type;
    return NULL;
}

/* The option that `type` (NULL: any type) knows by this name. */
static const struct option *known_option(const struct catalog *catalog, const struct node_type *type, const char *name,
                                         size_t name_length)
{
    const struct option *option = options_find(node_common_options, name, name_length);
    if (option != NULL)
        return option;
    if (type != NULL)
        return options_find(type->options, name, name_length);
    for (const struct node_type *const *each = catalog->node_types; *each != NULL && option == NULL; each++)
        option = options_find((*each)->options, name, name_length);
    return option;
}

static void nearest_in(const struct option *table, const struct argument *argument, const char **best, size_t *distance)
{
    for (const struct option *option = table; option != NULL && option->name != NULL; option++)
        options_nearest(argument->name, argument->name_length, option->name, best, distance);
}

static enum status unknown_flag(const struct catalog *catalog, const struct node_type *type,
                                const struct argument *argument, struct error *error)
{
    const char *best = NULL;
    size_t distance = argument->name_length / 2 + 1;
    nearest_in(launch_option_table, argument, &best, &distance);
    nearest_in(node_common_options, argument, &best, &distance);
    for (const struct node_type *const *each = catalog->node_types; *each != NULL; each++) {
        if (type == NULL)
            options_nearest(argument->name, argument->name_length, (*each)->name, &best, &distance);
        if (type == NULL || type == *each)
            nearest_in((*each)->options, argument, &best, &distance);
    }
    return error_set(error, STATUS_USAGE, "%s%sunknown flag --%.*s%s%s%s", type != NULL ? type->name : "",
                     type != NULL ? ": " : "", (int)argument->name_length, argument->name,
                     best != NULL ? "; did you mean --" : "", best != NULL ? best : "", best != NULL ? "?" : "");
}

/* Reads the argument at *index, and its value behind it, into *argument. */
static enum status read_argument(const struct option *option, int count, const char *const *texts, int *index,
                                 struct argument *argument, struct error *error)
{
    const char *equals = strchr(texts[*index], '=');
    if (option->kind == OPTION_FLAG) {
        if (equals != NULL)
            return error_set(error, STATUS_USAGE, "--%s takes no value", option->name);
        return STATUS_OK;
    }
    if (equals != NULL) {
        argument->value = equals + 1;
        return STATUS_OK;
    }
    if (*index + 1 >= count || strncmp(texts[*index + 1], "--", 2) == 0)
        return error_set(error, STATUS_USAGE, "--%s needs a value: %s", option->name, option->value_name);
    argument->value = texts[++*index];
    return STATUS_OK;
}

static enum status split(struct scopes *scopes, struct launch_options *launch, const struct catalog *catalog,
                         const struct node_type *single, int count, const char *const *texts, struct error *error)
{
    struct scope *scope = add_scope(scopes, NULL);
    if (single != NULL)
        scope = add_scope(scopes, single);
    for (int i = 0; i < count; i++) {
        if (strncmp(texts[i], "--", 2) != 0)
            return error_set(error, STATUS_USAGE, "'%s' stands where a flag (--NAME) is expected", texts[i]);
        struct argument argument = {.name = texts[i] + 2, .name_length = strcspn(texts[i] + 2, "=")};
        const struct node_type *type = single == NULL ? type_named(catalog, argument.name, argument.name_length) : NULL;
        if (type != NULL) {
            if (argument.name[argument.name_length] == '=')
                return error_set(error, STATUS_USAGE, "--%s takes no value", type->name);
            scope = add_scope(scopes, type);
            continue;
        }
        const struct option *launch_option = options_find(launch_option_table, argument.name, argument.name_length);
        const struct option *option = launch_option != NULL
                                          ? launch_option
                                          : known_option(catalog, scope->type, argument.name, argument.name_length);
        if (option == NULL)
            return unknown_flag(catalog, scope->type, &argument, error);
        enum status status = read_argument(option, count, texts, &i, &argument, error);
        if (status == STATUS_OK && launch_option != NULL) {
            if (strcmp(option->name, "store") == 0 && launch->store != NULL)
                return error_set(error, STATUS_USAGE, "--store: '%s' and '%s': a launch has one store", launch->store,
                                 argument.value);
            status = options_set(option, launch, argument.value, true, error);
        } else if (status == STATUS_OK) {
            scope->arguments = realloc(scope->arguments, (scope->count + 1) * sizeof *scope->arguments);
            CHECK(scope->arguments != NULL);
            scope->arguments[scope->count++] = argument;
        }
        if (status != STATUS_OK) {
            if (scope->type != NULL)
                error_prefix(error, "%s", scope->type->name);
            return status;
        }
    }
    return STATUS_OK;
}

static enum status read_threads(struct launch_options *launch, struct error *error)
{
    uint64_t count = THREADS_AUTO;
    if (strcmp(launch->threads_text, "per-node") == 0)
        count = THREADS_PER_NODE;
    else if (strcmp(launch->threads_text, "auto") != 0 &&
             options_set(&thread_count_option, &count, launch->threads_text, true, error) != STATUS_OK)
        return error_set(error, STATUS_USAGE, "--threads: '%s' is none of per-node, auto, and a number from 1 to %.0f",
                         launch->threads_text, thread_count_option.max);
    launch->threads = (size_t)count;
    return STATUS_OK;
}

/* ---- from scopes to nodes ---- */

static bool scope_has(const struct scope *scope, size_t until, const struct argument *wanted)
{
    for (size_t i = 0; i < until; i++)
        if (scope->arguments[i].name_length == wanted->name_length &&
            memcmp(scope->arguments[i].name, wanted->name, wanted->name_length) == 0)
            return true;
    return false;
}

static bool is_unknown_setting(const struct node_spec *node, const struct option *option)
{
    return option->role == ROLE_SETTING &&
           (node->type->knows_setting == NULL || !node->type->knows_setting(node->config, option));
}

/* Applies those of one scope's arguments that are settings of what the node holds, or the others; of the defaults, only
 * those that the node knows and its own scope does not set. */
static enum status apply_some(struct node_spec *node, const struct scope *scope, const struct scope *own, bool settings,
                              struct error *error)
{
    for (size_t i = 0; i < scope->count; i++) {
        const struct argument *argument = &scope->arguments[i];
        if (scope != own && scope_has(own, own->count, argument))
            continue;
        void *config = &node->common;
        const struct option *option = options_find(node_common_options, argument->name, argument->name_length);
        if (option == NULL) {
            config = node->config;
            option = options_find(node->type->options, argument->name, argument->name_length);
        }
        if (option == NULL || (option->role == ROLE_SETTING) != settings ||
            (scope != own && is_unknown_setting(node, option)))
            continue;
        bool fresh = !scope_has(scope, i, argument);
        enum status status = options_set(option, config, argument->value, fresh, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* What the node holds comes first: it says which settings it knows. */
static enum status apply_scopes(struct node_spec *node, const struct scope *defaults, const struct scope *own,
                                struct error *error)
{
    enum status status = STATUS_OK;
    for (int settings = 0; settings <= 1 && status == STATUS_OK; settings++) {
        status = apply_some(node, own, own, settings != 0, error);
        if (status == STATUS_OK)
            status = apply_some(node, defaults, own, settings != 0, error);
    }
    return status;
}

static enum status make_node(struct node_spec *node, const struct scope *defaults, const struct scope *own,
                             struct error *error)
{
    const struct node_type *type = own->type;
    *node = (struct node_spec){.type = type, .config = calloc(1, type->config_bytes + 1)};
    CHECK(node->config != NULL);
    options_set_defaults(node_common_options, &node->common);
    options_set_defaults(type->options, node->config);
    enum status status = apply_scopes(node, defaults, own, error);
    if (status == STATUS_OK)
        status = options_check_required(type->options, node->config, error);
    if (status != STATUS_OK)
        error_prefix(error, "%s", type->name);
    return status;
}

static void free_node(struct node_spec *node)
{
    options_free(node_common_options, &node->common);
    if (node->config != NULL)
        options_free(node->type->options, node->config);
    free(node->config);
}

static uint64_t replicas_of(const struct node_spec *node)
{
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++)
        if (option->role == ROLE_REPLICAS)
            return *(const uint64_t *)(const void *)((const char *)node->config + option->offset);
    return 1;
}

void topology_spec_random_vuid(char *text, size_t text_bytes)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint32_t)clock_wall_ns();
    char digits[8];
    snprintf(digits, sizeof digits, "%06u", 100000u + random % 900000u);
    char encoded[9];
    for (size_t i = 0; i < 2; i++) {
        uint32_t group = (uint32_t)(unsigned char)digits[3 * i] << 16 |
                         (uint32_t)(unsigned char)digits[3 * i + 1] << 8 | (uint32_t)(unsigned char)digits[3 * i + 2];
        for (size_t j = 0; j < 4; j++)
            encoded[4 * i + j] = base64[group >> (18 - 6 * j) & 63];
    }
    encoded[8] = '\0';
    snprintf(text, text_bytes, "%s", encoded);
}

/* What the user may give: room is left for a replica's number. */
enum { VUID_BYTES_MAX = 40 };

/* "worker NODE_2" if the user named it, else "worker", or "worker 2" for the second of several. */
static void name_node(struct node_spec *node, unsigned ordinal, bool alone, uint64_t replica)
{
    char suffix[24] = "";
    if (replica > 0)
        snprintf(suffix, sizeof suffix, ".%llu", (unsigned long long)replica + 1);
    if (node->common.vuid != NULL) {
        snprintf(node->vuid, sizeof node->vuid, "%.*s%s", VUID_BYTES_MAX, node->common.vuid, suffix);
        snprintf(node->name, sizeof node->name, "%s %s", node->type->name, node->vuid);
    } else {
        topology_spec_random_vuid(node->vuid, sizeof node->vuid);
        if (alone)
            snprintf(node->name, sizeof node->name, "%s", node->type->name);
        else
            snprintf(node->name, sizeof node->name, "%s %u", node->type->name, ordinal);
    }
}

static void append_node(struct topology_spec *spec, const struct node_spec *node)
{
    spec->nodes = realloc(spec->nodes, (spec->node_count + 1) * sizeof *spec->nodes);
    CHECK(spec->nodes != NULL);
    spec->nodes[spec->node_count++] = *node;
}

static void name_nodes(struct topology_spec *spec)
{
    for (size_t i = 0; i < spec->node_count; i++) {
        struct node_spec *node = &spec->nodes[i];
        unsigned ordinal = 1;
        unsigned of_type = 0;
        for (size_t j = 0; j < spec->node_count; j++) {
            of_type += spec->nodes[j].type == node->type;
            ordinal += j < i && spec->nodes[j].type == node->type;
        }
        uint64_t replica = node->cpu_index; /* holds the replica until the processors are dealt out */
        name_node(node, ordinal, of_type == 1, replica);
    }
}

/* A list given before the first node is dealt out over all nodes, one given to a node over its replicas. A node has the
 * former if its text is the very one of a default argument. */
static void deal_processors(struct topology_spec *spec, const struct scope *defaults)
{
    for (size_t i = 0; i < spec->node_count; i++)
        for (size_t j = 0; j < defaults->count && spec->nodes[i].common.cpu_list != NULL; j++)
            if (defaults->arguments[j].value == spec->nodes[i].common.cpu_list)
                spec->nodes[i].cpu_index = (unsigned)i;
}

static enum status make_nodes(struct topology_spec *spec, const struct scopes *scopes, struct error *error)
{
    for (size_t i = 1; i < scopes->count; i++) {
        uint64_t replicas = 1;
        for (uint64_t replica = 0; replica < replicas; replica++) {
            struct node_spec node;
            enum status status = make_node(&node, &scopes->items[0], &scopes->items[i], error);
            node.cpu_index = (unsigned)replica;
            append_node(spec, &node); /* also a failed one: freed with the spec */
            if (status != STATUS_OK)
                return status;
            replicas = replicas_of(&node);
        }
    }
    if (spec->node_count == 0)
        return error_set(error, STATUS_USAGE,
                         "no node: a launch needs at least one, as in --mq --address 127.0.0.1:10000");
    name_nodes(spec);
    deal_processors(spec, &scopes->items[0]);
    return STATUS_OK;
}

static enum status complete_nodes(struct topology_spec *spec, struct error *error)
{
    for (size_t i = 0; i < spec->node_count; i++) {
        struct node_spec *node = &spec->nodes[i];
        if (node->type->complete == NULL)
            continue;
        enum status status = node->type->complete(node, spec, error);
        if (status != STATUS_OK) {
            error_prefix(error, "%s", node->name);
            return status;
        }
    }
    return STATUS_OK;
}

enum status topology_spec_parse(struct topology_spec *spec, const struct catalog *catalog,
                                const struct node_type *single, int count, const char *const *arguments,
                                struct error *error)
{
    struct scopes scopes = {0};
    *spec = (struct topology_spec){0};
    options_set_defaults(launch_option_table, &spec->launch);
    enum status status = split(&scopes, &spec->launch, catalog, single, count, arguments, error);
    if (status == STATUS_OK)
        status = read_threads(&spec->launch, error);
    if (status == STATUS_OK)
        status = make_nodes(spec, &scopes, error);
    if (status == STATUS_OK)
        status = complete_nodes(spec, error);
    free_scopes(&scopes);
    if (status != STATUS_OK)
        topology_spec_free(spec);
    return status;
}

void topology_spec_add_port(struct topology_spec *spec, const struct address *address, enum link_kind kind)
{
    size_t count = spec->application_port_count;
    spec->application_ports = realloc(spec->application_ports, (count + 1) * sizeof *spec->application_ports);
    CHECK(spec->application_ports != NULL);
    spec->application_ports[count] = (struct application_port){.address = *address, .kind = kind};
    spec->application_port_count = count + 1;
}

/* A hub knows a node by its exact name, so a longer one is not cut but refused. */
static enum status check_vuid(const char *vuid, struct error *error)
{
    if (vuid == NULL)
        return STATUS_OK;
    size_t length = strlen(vuid);
    bool printable = true;
    for (size_t i = 0; i < length; i++)
        printable = printable && (unsigned char)vuid[i] >= ' ' && vuid[i] != 0x7f;
    if (printable && length > 0 && length <= VUID_BYTES_MAX)
        return STATUS_OK;
    return error_set(error, STATUS_USAGE, "--vuid: '%s' is no name of 1 to %d bytes without control characters", vuid,
                     VUID_BYTES_MAX);
}

bool node_spec_is_durable(const struct node_spec *node, const struct topology_spec *spec)
{
    return node->type->is_durable != NULL && node->type->is_durable(node, spec);
}

/* A type that knows which flag asks for it may have said it in better words. */
static enum status check_store(const struct node_spec *node, const struct topology_spec *spec, struct error *error)
{
    if (spec->launch.store != NULL || !node_spec_is_durable(node, spec))
        return STATUS_OK;
    return error_set(error, STATUS_USAGE, "what it keeps (--durability, --overflow spill) needs --store DIRECTORY");
}

enum status topology_spec_check(const struct topology_spec *spec, struct error *error)
{
    bool has_source = false;
    for (size_t i = 0; i < spec->node_count; i++) {
        const struct node_spec *node = &spec->nodes[i];
        has_source = has_source || node->type->is_source;
        enum status status = check_vuid(node->common.vuid, error);
        if (status == STATUS_OK && node->type->check != NULL)
            status = node->type->check(node, spec, error);
        if (status == STATUS_OK)
            status = check_store(node, spec, error);
        if (status != STATUS_OK) {
            error_prefix(error, "%s", node->name);
            return status;
        }
    }
    if (spec->launch.exit_when_drained && !has_source)
        return error_set(error, STATUS_USAGE,
                         "--exit-when-drained needs a feeder in the launch: without one it would never end");
    return STATUS_OK;
}

void topology_spec_free(struct topology_spec *spec)
{
    for (size_t i = 0; i < spec->node_count; i++)
        free_node(&spec->nodes[i]);
    free(spec->nodes);
    free(spec->application_ports);
    *spec = (struct topology_spec){0};
}
