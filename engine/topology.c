#include "engine/topology.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/control.h"
#include "engine/cpu_list.h"
#include "engine/guarantee_check.h"
#include "engine/node_loop.h"
#include "engine/placement.h"
#include "engine/store/journal.h"

struct topology {
    const struct topology_spec *spec;
    const struct catalog *catalog;
    struct wiring wiring;
    struct node *nodes;
    struct node **node_pointers;
    struct placement placement;
    struct node_loop *loops;     /* one a thread */
    struct node **stepped_nodes; /* thread by thread, as the placement orders them */
    struct edge **edges;
    struct idle_crowd *crowd;
    struct idle *application_idles; /* one a port of the embedding program */
    struct node_common reporter_common;
    struct journal *journal; /* NULL: nothing is kept */
    struct log *journal_log;
    struct control *control; /* NULL: no journal, or nothing can be asked */
    size_t node_count;
    size_t opened_count; /* nodes whose open was called */
    int event_fd;
    int64_t start_ns;
    int64_t start_wall_ns;
    /* Writers: whoever stops, by compare and exchange upwards. Readers: all. Release / acquire. */
    _Atomic int stop_phase;
    /* What topology_has_drained saw the last time. */
    uint64_t drain_signature;
    int64_t drain_since_ns; /* 0: not empty then */
};

/* ---- open ---- */

static const char *listen_address(const struct node_spec *spec)
{
    for (const struct option *option = spec->type->options; option != NULL && option->name != NULL; option++) {
        if (option->role != ROLE_LISTEN && option->role != ROLE_INPUT && option->role != ROLE_OUTPUT)
            continue;
        const struct address_list *list =
            (const struct address_list *)(const void *)((const char *)spec->config + option->offset);
        if (list->count > 0)
            return list->items[0].text;
    }
    return "";
}

static enum status open_log(struct node *node, const char *address, struct error *error)
{
    struct log_settings settings = {
        .node_name = node->name,
        .address = address,
        .console = node->common->console_log,
        .file = node->common->file_log && !node->rehearsal,
        .level = (enum log_level)node->common->log_level,
        .file_bytes_max = node->common->log_max_bytes,
    };
    return log_open(&node->log, &settings, error);
}

static struct node_loop *thread_of(const struct topology *topology, size_t node)
{
    return &topology->loops[topology->placement.thread_of[node]];
}

static struct port *make_ports(const struct topology *topology, const struct wiring_port *wired, size_t count)
{
    struct port *ports = calloc(count + 1, sizeof *ports);
    CHECK(ports != NULL);
    for (size_t i = 0; i < count; i++) {
        ports[i].address = wired[i].address;
        ports[i].kind = wired[i].kind;
        if (wired[i].edge != WIRING_NONE)
            ports[i].edge = topology->edges[wired[i].edge];
        if (wired[i].peer != WIRING_NONE)
            ports[i].peer = &topology->nodes[wired[i].peer];
    }
    return ports;
}

static void note_end(struct node *node)
{
    uint64_t one = 1;
    while (write(node->topology->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* Everything of a node but its own open. */
static void prepare_node(struct topology *topology, size_t index, bool rehearsal)
{
    struct node *node = &topology->nodes[index];
    const struct wiring_node *wired = &topology->wiring.nodes[index];
    bool is_reporter = index == topology->spec->node_count;
    const struct node_spec *spec = is_reporter ? NULL : &topology->spec->nodes[index];
    node->type = is_reporter ? topology->catalog->reporter : spec->type;
    memcpy(node->name, is_reporter ? "metrics" : spec->name, is_reporter ? sizeof "metrics" : sizeof spec->name);
    if (!is_reporter)
        memcpy(node->vuid, spec->vuid, sizeof spec->vuid);
    node->function_title = node->type->title;
    node->common = is_reporter ? &topology->reporter_common : &spec->common;
    node->config = is_reporter ? NULL : spec->config;
    node->spec = topology->spec;
    node->topology = topology;
    node->stop_phase = &topology->stop_phase;
    node->rehearsal = rehearsal;
    node->on_cycle = wired->on_cycle;
    node->durable = !is_reporter && node_spec_is_durable(spec, topology->spec);
    node->journal = topology->journal;
    node->deadline_ns = CLOCK_NEVER_NS;
    node->state = calloc(1, node->type->state_bytes + 1);
    node->stats = aligned_alloc(CACHE_LINE_BYTES, sizeof *node->stats);
    CHECK(node->state != NULL && node->stats != NULL);
    memset(node->stats, 0, sizeof *node->stats);
    node->stats->definitions = node->type->counters;
    for (const struct counter *row = node->type->counters; row != NULL && row->name != NULL; row++)
        node->stats->definition_count++;
    node->inputs = make_ports(topology, wired->inputs, wired->input_count);
    node->input_count = wired->input_count;
    node->outputs = make_ports(topology, wired->outputs, wired->output_count);
    node->output_count = wired->output_count;
    topology->node_pointers[index] = node;
    node->idle = &thread_of(topology, index)->idle;
}

/* Named after its first node: "mq", or "mq+3" with three more. */
static void prepare_loop(struct topology *topology, size_t index)
{
    const struct placement *placement = &topology->placement;
    struct node_loop *loop = &topology->loops[index];
    size_t first = placement->first[index];
    loop->nodes = &topology->stepped_nodes[first];
    loop->node_count = placement->first[index + 1] - first;
    for (size_t i = 0; i < loop->node_count; i++)
        loop->nodes[i] = &topology->nodes[placement->order[first + i]];
    loop->node_ended = note_end;
    char others[12] = "";
    if (loop->node_count > 1)
        snprintf(others, sizeof others, "+%u", (unsigned)(loop->node_count - 1));
    size_t room = sizeof loop->thread_name - 1 - strlen(others);
    size_t length = strnlen(loop->nodes[0]->name, room);
    memcpy(loop->thread_name, loop->nodes[0]->name, length);
    memcpy(loop->thread_name + length, others, strlen(others) + 1);
}

static struct idle *idle_at(struct topology *topology, size_t node, size_t application_port)
{
    if (node != WIRING_NONE)
        return &thread_of(topology, node)->idle;
    return &topology->application_idles[application_port == WIRING_NONE ? 0 : application_port];
}

/* Edges between threads are wide; so many of them at most, for each may take 4 MiB. If there are more, they share. */
enum { WIDE_EDGE_COUNT_MAX = 64 };

static uint32_t wide_block_count(const struct topology *topology)
{
    size_t wide_count = 0;
    for (size_t i = 0; i < topology->wiring.edge_count; i++) {
        const struct wiring_edge *wired = &topology->wiring.edges[i];
        bool within = wired->producer != WIRING_NONE && wired->consumer != WIRING_NONE &&
                      topology->placement.thread_of[wired->producer] == topology->placement.thread_of[wired->consumer];
        wide_count += !within;
    }
    if (wide_count <= WIDE_EDGE_COUNT_MAX)
        return EDGE_WIDE_BLOCK_COUNT;
    size_t share = (size_t)WIDE_EDGE_COUNT_MAX * EDGE_WIDE_BLOCK_COUNT / wide_count;
    return share > EDGE_BLOCK_COUNT ? (uint32_t)share : EDGE_BLOCK_COUNT;
}

static void make_edges(struct topology *topology)
{
    const struct wiring *wiring = &topology->wiring;
    uint32_t wide_count = wide_block_count(topology);
    topology->edges = calloc(wiring->edge_count + 1, sizeof(struct edge *));
    CHECK(topology->edges != NULL);
    for (size_t i = 0; i < wiring->edge_count; i++) {
        const struct wiring_edge *wired = &wiring->edges[i];
        struct idle *producer = idle_at(topology, wired->producer, wired->application_port);
        struct idle *consumer = idle_at(topology, wired->consumer, wired->application_port);
        struct edge *edge = edge_new(EDGE_BLOCK_BYTES, producer == consumer ? EDGE_BLOCK_COUNT : wide_count);
        edge->producer_idle = producer;
        edge->consumer_idle = consumer;
        topology->edges[i] = edge;
    }
}

static void *aligned_array(size_t count, size_t item_bytes)
{
    size_t bytes = ((count + 1) * item_bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    void *items = aligned_alloc(CACHE_LINE_BYTES, bytes);
    CHECK(items != NULL);
    memset(items, 0, bytes);
    return items;
}

static void open_idles(struct topology *topology)
{
    topology->crowd = aligned_array(1, sizeof *topology->crowd);
    /* The embedding program's thread works too while messages flow, and is not in the crowd. */
    bool has_program = topology->spec->application_port_count > 0;
    topology->crowd->processor_count = (int)cpu_usable_count() - (has_program ? 1 : 0);
    for (size_t i = 0; i < topology->placement.thread_count; i++) {
        idle_open(&topology->loops[i].idle, topology->crowd);
        topology->loops[i].idle.busy_poll_ns = topology->spec->launch.busy_poll_ns;
    }
    for (size_t i = 0; i < topology->spec->application_port_count; i++)
        idle_open(&topology->application_idles[i], topology->crowd);
}

/* ---- the store ---- */

/* Any thread: the event makes whoever waits for it look at topology_failure. */
static void end_without_store(void *context)
{
    struct topology *topology = context;
    uint64_t one = 1;
    topology_stop(topology, STOP_ABANDON);
    while (write(topology->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static size_t end_durable_turn(void *context, int64_t now_ns, int64_t *deadline_ns)
{
    const struct topology *topology = context;
    size_t work = topology->control != NULL ? topology->catalog->control->step(topology->control) : 0;
    return work + journal_end_turn(topology->journal, now_ns, deadline_ns);
}

static enum status open_journal(struct topology *topology, bool rehearsal, struct error *error)
{
    const struct launch_options *launch = &topology->spec->launch;
    size_t durable = topology->placement.durable_thread;
    if (launch->store == NULL)
        return STATUS_OK;
    if (rehearsal)
        return journal_rehearse(launch->store, error);
    struct log_settings log_settings = {.node_name = "store", .address = "", .level = LOG_INFO};
    enum status status = log_open(&topology->journal_log, &log_settings, error);
    if (status == STATUS_OK && durable == WIRING_NONE)
        log_line(topology->journal_log, LOG_WARN, "--store %s is not used: no node of the launch keeps anything",
                 launch->store);
    if (status != STATUS_OK || durable == WIRING_NONE)
        return status;
    struct journal_settings settings = {
        .directory = launch->store,
        .sync_interval_ns = launch->sync_interval_ns,
        .log = topology->journal_log,
        .failed = end_without_store,
        .context = topology,
    };
    struct node_loop *loop = &topology->loops[durable];
    status = journal_open(&topology->journal, &settings, &loop->idle, error);
    if (status == STATUS_OK) {
        loop->turn_end = end_durable_turn;
        loop->turn_end_context = topology;
    }
    return status;
}

static void open_control(struct topology *topology)
{
    if (topology->journal == NULL || topology->catalog->control == NULL)
        return;
    const struct control_site site = {
        .directory = topology->spec->launch.store,
        .journal = topology->journal,
        .idle = &topology->loops[topology->placement.durable_thread].idle,
        .nodes = topology->node_pointers,
        .node_count = topology->node_count,
        .log = topology->journal_log,
    };
    topology->control = topology->catalog->control->open(&site);
}

static struct topology *allocate(const struct topology_spec *spec, const struct catalog *catalog)
{
    struct topology *topology = calloc(1, sizeof *topology);
    CHECK(topology != NULL);
    topology->spec = spec;
    topology->catalog = catalog;
    topology->event_fd = -1;
    options_set_defaults(node_common_options, &topology->reporter_common);
    return topology;
}

/* What --allow-weaker lets pass is counted before the workers open, and said when their logs are. */
static void count_weak_links(struct topology *topology)
{
    struct weak_link weak;
    for (size_t from = 0; guarantee_next_weak(topology->spec, &topology->wiring, &from, &weak);)
        topology->nodes[weak.worker].weaker_link_count++;
}

static void warn_of_weak_links(const struct topology *topology)
{
    struct weak_link weak;
    for (size_t from = 0; guarantee_next_weak(topology->spec, &topology->wiring, &from, &weak);) {
        char text[ERROR_TEXT_BYTES];
        guarantee_weak_text(text, sizeof text, topology->spec, &weak);
        log_line(topology->nodes[weak.worker].log, LOG_WARN, "%s; --allow-weaker lets it pass", text);
    }
}

static enum status open_nodes(struct topology *topology, struct error *error)
{
    for (size_t i = 0; i < topology->node_count; i++) {
        struct node *node = &topology->nodes[i];
        const char *address = i < topology->spec->node_count ? listen_address(&topology->spec->nodes[i]) : "";
        enum status status = open_log(node, address, error);
        if (status == STATUS_OK) {
            topology->opened_count = i + 1;
            status = node->type->open(node, error);
        }
        if (status != STATUS_OK) {
            error_prefix(error, "%s", node->name);
            return status;
        }
    }
    warn_of_weak_links(topology);
    return STATUS_OK;
}

static enum status check_processors(const struct topology_spec *spec, struct error *error)
{
    for (size_t i = 0; i < spec->node_count; i++) {
        int cpu;
        const struct node_spec *node = &spec->nodes[i];
        if (node->common.cpu_list != NULL &&
            cpu_list_pick(node->common.cpu_list, node->cpu_index, &cpu, error) != STATUS_OK) {
            error_prefix(error, "%s", node->name);
            return STATUS_USAGE;
        }
    }
    return STATUS_OK;
}

enum status topology_open(struct topology **topology_pointer, const struct topology_spec *spec,
                          const struct catalog *catalog, bool rehearsal, struct error *error)
{
    struct topology *topology = allocate(spec, catalog);
    enum status status = check_processors(spec, error);
    if (status == STATUS_OK)
        status = wiring_make(&topology->wiring, spec, error);
    if (status == STATUS_OK && (status = guarantee_check(spec, &topology->wiring, error)) != STATUS_OK)
        wiring_free(&topology->wiring);
    if (status == STATUS_OK) {
        topology->node_count = topology->wiring.node_count;
        topology->nodes = aligned_array(topology->node_count, sizeof *topology->nodes);
        topology->node_pointers = aligned_array(topology->node_count, sizeof *topology->node_pointers);
        placement_make(&topology->placement, spec, &topology->wiring, cpu_usable_count());
        topology->stepped_nodes = aligned_array(topology->node_count, sizeof *topology->stepped_nodes);
        topology->loops = aligned_array(topology->placement.thread_count, sizeof *topology->loops);
        topology->application_idles = aligned_array(spec->application_port_count, sizeof(struct idle));
        topology->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        open_idles(topology);
        make_edges(topology);
        status = topology->event_fd >= 0 ? open_journal(topology, rehearsal, error)
                                         : error_set_errno(error, errno, "cannot make an event descriptor");
        for (size_t i = 0; i < topology->node_count; i++)
            prepare_node(topology, i, rehearsal);
        count_weak_links(topology);
        for (size_t i = 0; i < topology->placement.thread_count; i++)
            prepare_loop(topology, i);
        if (status == STATUS_OK)
            status = open_nodes(topology, error);
        if (status == STATUS_OK)
            open_control(topology);
    }
    *topology_pointer = topology;
    if (status != STATUS_OK)
        topology_close(topology_pointer);
    return status;
}

/* ---- start and stop ---- */

/* The thread's first node that is pinned: its only one, but on the durable thread. NULL: there is none. */
static const struct node_spec *pinned_node(const struct topology *topology, size_t thread)
{
    const struct placement *placement = &topology->placement;
    for (size_t i = placement->first[thread]; i < placement->first[thread + 1]; i++) {
        size_t node = placement->order[i];
        if (node < topology->spec->node_count && topology->spec->nodes[node].common.cpu_list != NULL)
            return &topology->spec->nodes[node];
    }
    return NULL;
}

static enum status start_loop(struct topology *topology, size_t index, struct error *error)
{
    enum status status = node_loop_start(&topology->loops[index], error);
    if (status != STATUS_OK)
        return status;
    const struct node_spec *node = pinned_node(topology, index);
    int cpu;
    if (node == NULL || cpu_list_pick(node->common.cpu_list, node->cpu_index, &cpu, error) != STATUS_OK)
        return STATUS_OK;
    return cpu_bind(topology->loops[index].thread, cpu, error);
}

enum status topology_start(struct topology *topology, struct error *error)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    topology->start_ns = clock_monotonic_ns();
    topology->start_wall_ns = clock_wall_ns();
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    enum status status = topology->journal != NULL ? journal_start(topology->journal, error) : STATUS_OK;
    /* Sources come first on the command line as often as not; consumers are started before them. */
    for (size_t i = topology->placement.thread_count; i-- > 0 && status == STATUS_OK;)
        status = start_loop(topology, i, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

void topology_stop(struct topology *topology, enum stop_phase phase)
{
    int current = atomic_load_explicit(&topology->stop_phase, memory_order_relaxed);
    while (current < (int)phase && !atomic_compare_exchange_weak_explicit(&topology->stop_phase, &current, (int)phase,
                                                                          memory_order_acq_rel, memory_order_relaxed))
        continue;
    for (size_t i = 0; i < topology->placement.thread_count; i++)
        idle_wake(&topology->loops[i].idle);
    for (size_t i = 0; i < topology->spec->application_port_count && topology->application_idles != NULL; i++)
        idle_wake(&topology->application_idles[i]);
}

enum stop_phase topology_stop_phase(const struct topology *topology)
{
    return (enum stop_phase)atomic_load_explicit(&topology->stop_phase, memory_order_acquire);
}

static bool calls(const struct port *ports, size_t count, const struct node *called)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i].edge == NULL && ports[i].peer == called)
            return true;
    return false;
}

/* The reporter does not count: it waits for the others' end itself. Acquire: what a caller sent before its end is in
 * the kernel's hands. */
bool node_callers_ended(const struct node *node)
{
    const struct topology *topology = node->topology;
    for (size_t i = 0; i < topology->spec->node_count; i++) {
        const struct node *other = &topology->nodes[i];
        bool is_caller =
            calls(other->inputs, other->input_count, node) || calls(other->outputs, other->output_count, node);
        if (is_caller && other != node && !atomic_load_explicit(&other->ended, memory_order_acquire))
            return false;
    }
    return true;
}

int topology_event_fd(const struct topology *topology)
{
    return topology->event_fd;
}

bool topology_all_ended(struct topology *topology)
{
    uint64_t count;
    while (read(topology->event_fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    for (size_t i = 0; i < topology->node_count; i++)
        if (!atomic_load_explicit(&topology->nodes[i].ended, memory_order_acquire))
            return false;
    return true;
}

/* ---- drained? ---- */

struct drain_look {
    bool empty;
    bool sockets;
    uint64_t signature;
};

static struct drain_look look(const struct topology *topology)
{
    struct drain_look seen = {.empty = true};
    bool has_source = false;
    for (size_t i = 0; i < topology->spec->node_count; i++) {
        const struct node *node = &topology->nodes[i];
        if (!node->type->is_source && !node->type->reports)
            continue; /* metrics are no part of what is fed */
        bool ended = atomic_load_explicit(&node->ended, memory_order_acquire);
        has_source = has_source || node->type->is_source;
        if (node->type->is_source && !ended)
            seen.empty = false;
        if (stats_get(&node->stats->queued_count) > 0)
            seen.empty = false;
        seen.signature += stats_get(&node->stats->in_count) + stats_get(&node->stats->out_count);
        for (size_t j = 0; j < node->output_count; j++)
            seen.sockets = seen.sockets || (node->outputs[j].edge == NULL && node->outputs[j].peer != NULL);
        for (size_t j = 0; j < node->input_count; j++)
            seen.sockets = seen.sockets || node->inputs[j].edge == NULL;
    }
    for (size_t i = 0; i < topology->wiring.edge_count; i++) {
        const struct edge *edge = topology->edges[i];
        if (topology->wiring.edges[i].producer == topology->spec->node_count)
            continue;
        seen.signature += atomic_load_explicit(&edge->emitted_count, memory_order_acquire);
        if (edge_in_flight(edge) > 0)
            seen.empty = false;
    }
    seen.empty = seen.empty && has_source;
    return seen;
}

bool topology_has_drained(struct topology *topology, int64_t now_ns)
{
    struct drain_look seen = look(topology);
    if (!seen.empty) {
        topology->drain_since_ns = 0;
        return false;
    }
    if (topology->drain_since_ns == 0 || topology->drain_signature != seen.signature) {
        topology->drain_since_ns = now_ns;
        topology->drain_signature = seen.signature;
        return false;
    }
    /* Empty twice, and nothing moved between: with rings nothing can be anywhere, for a message is on the next edge
     * before it leaves the one before. Over sockets a datagram may still be on its way. */
    return now_ns - topology->drain_since_ns >= (seen.sockets ? NS_PER_S : 10 * NS_PER_MS);
}

/* ---- the end ---- */

enum status topology_finish(struct topology *topology, struct error *error)
{
    for (size_t i = 0; i < topology->placement.thread_count; i++)
        node_loop_join(&topology->loops[i]);
    enum status status = topology->journal != NULL ? journal_finish(topology->journal, error) : STATUS_OK;
    if (topology->control != NULL)
        topology->catalog->control->close(&topology->control);
    return status;
}

uint64_t topology_left_over_count(const struct topology *topology)
{
    uint64_t count = 0;
    for (size_t i = 0; i < topology->node_count; i++)
        count += topology->nodes[i].left_over_count;
    return count;
}

enum status topology_failure(const struct topology *topology, struct error *error)
{
    return topology->journal != NULL ? journal_failure(topology->journal, error) : STATUS_OK;
}

static void close_node(struct node *node, bool opened)
{
    if (opened)
        node->type->close(node);
    log_close(&node->log);
    free(node->state);
    free(node->stats);
    free(node->inputs);
    free(node->outputs);
}

void topology_close(struct topology **topology_pointer)
{
    struct topology *topology = *topology_pointer;
    if (topology == NULL)
        return;
    topology_stop(topology, STOP_ABANDON);
    struct error error = {0};
    if (topology_finish(topology, &error) != STATUS_OK && topology->journal_log != NULL)
        log_line(topology->journal_log, LOG_ERROR, "%s", error.text);
    journal_close(&topology->journal); /* the last cut asked the nodes; from here on they are taken apart */
    log_close(&topology->journal_log);
    for (size_t i = 0; i < topology->node_count; i++)
        close_node(&topology->nodes[i], i < topology->opened_count);
    for (size_t i = 0; i < topology->placement.thread_count; i++)
        idle_close(&topology->loops[i].idle);
    for (size_t i = 0; i < topology->wiring.edge_count && topology->edges != NULL; i++)
        edge_free(&topology->edges[i]);
    if (topology->event_fd >= 0)
        close(topology->event_fd);
    options_free(node_common_options, &topology->reporter_common);
    placement_free(&topology->placement);
    wiring_free(&topology->wiring);
    free(topology->nodes);
    free(topology->stepped_nodes);
    free(topology->node_pointers);
    free(topology->loops);
    free(topology->edges);
    free(topology->application_idles);
    free(topology->crowd);
    free(topology);
    *topology_pointer = NULL;
}

/* ---- for looking at ---- */

const struct wiring *topology_wiring(const struct topology *topology)
{
    return &topology->wiring;
}

const struct placement *topology_placement(const struct topology *topology)
{
    return &topology->placement;
}

struct node *const *topology_nodes(const struct topology *topology, size_t *count)
{
    *count = topology->node_count;
    return topology->node_pointers;
}

const struct journal *topology_journal(const struct topology *topology)
{
    return topology->journal;
}

int64_t topology_start_ns(const struct topology *topology)
{
    return topology->start_ns;
}

int64_t topology_start_wall_ns(const struct topology *topology)
{
    return topology->start_wall_ns;
}

static size_t application_edge_index(const struct topology *topology, size_t port)
{
    for (size_t i = 0; i < topology->wiring.edge_count; i++)
        if (topology->wiring.edges[i].application_port == port)
            return i;
    CHECK(port < topology->spec->application_port_count);
    return WIRING_NONE;
}

struct edge *topology_application_edge(const struct topology *topology, size_t index)
{
    return topology->edges[application_edge_index(topology, index)];
}

struct idle *topology_application_idle(const struct topology *topology, size_t index)
{
    return &topology->application_idles[index];
}
