/*
 * The public interface (millrace/millrace.h) over topologies and edges.
 */
#include <millrace/millrace.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/stats_report.h"
#include "engine/topology.h"

extern const struct catalog millrace_catalog;

/* An end that the program holds. */
struct port_handle {
    millrace_launch *launch;
    size_t index;      /* of the spec's application ports */
    struct edge *edge; /* NULL before the start */
    struct idle *idle;
    struct port_handle *next;
    bool ended;
    /* Of a producer: so many more messages are put at time_ns. Reading the clock costs as much as three puts. */
    unsigned time_left_count;
    int64_t time_ns;
};

enum { TIME_GROUP = 32 };

struct millrace_producer {
    struct port_handle port;
};

struct millrace_consumer {
    struct port_handle port;
};

struct millrace_launch {
    struct topology_spec spec;
    struct topology *topology; /* NULL before the start */
    const struct millrace_function **functions;
    struct port_handle *producers;
    struct port_handle *consumers;
};

_Static_assert(sizeof(struct millrace_error) == sizeof(struct error), "the public error is ours");

static enum millrace_result fail(struct millrace_error *error, const struct error *reason)
{
    if (error != NULL)
        memcpy(error->text, reason->text, sizeof error->text);
    return MILLRACE_ERROR;
}

const char *millrace_version(void)
{
    return MILLRACE_VERSION_TEXT;
}

/* ---- a launch ---- */

enum millrace_result millrace_launch_open(millrace_launch **launch_pointer, int count, const char *const *flags,
                                          struct millrace_error *error)
{
    struct error reason = {0};
    millrace_launch *launch = calloc(1, sizeof *launch);
    CHECK(launch != NULL);
    if (topology_spec_parse(&launch->spec, &millrace_catalog, NULL, count, flags, &reason) != STATUS_OK) {
        free(launch);
        *launch_pointer = NULL;
        return fail(error, &reason);
    }
    *launch_pointer = launch;
    return MILLRACE_OK;
}

enum millrace_result millrace_launch_add_function(millrace_launch *launch, const struct millrace_function *function,
                                                  struct millrace_error *error)
{
    struct error reason = {0};
    const char *name = function->name != NULL ? function->name : "(no name)";
    if (function->abi_version != MILLRACE_FUNCTION_ABI || function->struct_bytes < sizeof *function) {
        error_set_text(&reason, "function %s is made for version %u of the interface; this is %u", name,
                       function->abi_version, MILLRACE_FUNCTION_ABI);
        return fail(error, &reason);
    }
    if (function->name == NULL || function->title == NULL || function->apply == NULL || launch->topology != NULL) {
        error_set_text(&reason, "function %s needs a name, a title and an apply, and comes before the start", name);
        return fail(error, &reason);
    }
    size_t count = launch->spec.function_count;
    launch->functions = realloc((void *)launch->functions, (count + 1) * sizeof *launch->functions);
    CHECK(launch->functions != NULL);
    launch->functions[count] = function;
    launch->spec.functions = launch->functions;
    launch->spec.function_count = count + 1;
    return MILLRACE_OK;
}

static enum millrace_result open_port(millrace_launch *launch, const char *text, enum link_kind kind,
                                      struct port_handle *port, struct port_handle **list, struct millrace_error *error)
{
    struct error reason = {0};
    struct address address;
    if (launch->topology != NULL) {
        error_set_text(&reason, "'%s': producers and consumers are opened before the start", text);
        return fail(error, &reason);
    }
    if (address_parse(text, &address, &reason) != STATUS_OK)
        return fail(error, &reason);
    *port = (struct port_handle){.launch = launch, .index = launch->spec.application_port_count, .next = *list};
    *list = port;
    topology_spec_add_port(&launch->spec, &address, kind);
    return MILLRACE_OK;
}

enum millrace_result millrace_producer_open(millrace_launch *launch, const char *address, millrace_producer **producer,
                                            struct millrace_error *error)
{
    *producer = calloc(1, sizeof **producer);
    CHECK(*producer != NULL);
    enum millrace_result result = open_port(launch, address, LINK_NONE, &(*producer)->port, &launch->producers, error);
    if (result != MILLRACE_OK) {
        free(*producer);
        *producer = NULL;
    }
    return result;
}

enum millrace_result millrace_consumer_open(millrace_launch *launch, const char *address, millrace_consumer **consumer,
                                            struct millrace_error *error)
{
    *consumer = calloc(1, sizeof **consumer);
    CHECK(*consumer != NULL);
    enum millrace_result result = open_port(launch, address, LINK_GET, &(*consumer)->port, &launch->consumers, error);
    if (result != MILLRACE_OK) {
        free(*consumer);
        *consumer = NULL;
    }
    return result;
}

static void attach(millrace_launch *launch, struct port_handle *list)
{
    for (struct port_handle *port = list; port != NULL; port = port->next) {
        port->edge = topology_application_edge(launch->topology, port->index);
        port->idle = topology_application_idle(launch->topology, port->index);
    }
}

enum millrace_result millrace_launch_start(millrace_launch *launch, struct millrace_error *error)
{
    struct error reason = {0};
    if (launch->topology != NULL) {
        error_set_text(&reason, "the launch has started already");
        return fail(error, &reason);
    }
    enum status status = topology_spec_check(&launch->spec, &reason);
    if (status == STATUS_OK)
        status = topology_open(&launch->topology, &launch->spec, &millrace_catalog, false, &reason);
    if (status != STATUS_OK)
        return fail(error, &reason);
    attach(launch, launch->producers);
    attach(launch, launch->consumers);
    status = topology_start(launch->topology, &reason);
    if (status == STATUS_OK)
        return MILLRACE_OK;
    topology_close(&launch->topology);
    return fail(error, &reason);
}

int millrace_launch_has_drained(millrace_launch *launch)
{
    return launch->topology != NULL && topology_has_drained(launch->topology, clock_monotonic_ns());
}

/* Waits until all nodes have ended; false after `limit_ns`. */
static bool wait_for_end(millrace_launch *launch, int64_t limit_ns)
{
    int64_t deadline_ns = clock_monotonic_ns() + limit_ns;
    struct pollfd descriptor = {.fd = topology_event_fd(launch->topology), .events = POLLIN};
    while (!topology_all_ended(launch->topology)) {
        int64_t left_ns = deadline_ns - clock_monotonic_ns();
        if (left_ns <= 0)
            return false;
        struct timespec timeout = {.tv_sec = left_ns / NS_PER_S, .tv_nsec = (long)(left_ns % NS_PER_S)};
        ppoll(&descriptor, 1, &timeout, NULL);
    }
    return true;
}

enum millrace_result millrace_launch_stop(millrace_launch *launch)
{
    if (launch->topology == NULL)
        return MILLRACE_OK;
    topology_stop(launch->topology, STOP_DRAIN);
    bool drained = wait_for_end(launch, launch->spec.launch.drain_timeout_ns);
    if (!drained) {
        topology_stop(launch->topology, STOP_ABANDON);
        wait_for_end(launch, INT64_MAX / 2);
    }
    struct error reason = {0};
    bool kept = topology_finish(launch->topology, &reason) == STATUS_OK;
    kept = kept && topology_left_over_count(launch->topology) == 0;
    return drained && kept ? MILLRACE_OK : MILLRACE_AGAIN;
}

enum millrace_result millrace_launch_counts(const millrace_launch *launch, const char *name,
                                            struct millrace_counts *counts)
{
    size_t count = 0;
    struct node *const *nodes = launch->topology != NULL ? topology_nodes(launch->topology, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        const struct node_stats *stats = nodes[i]->stats;
        if (strcmp(nodes[i]->name, name) != 0)
            continue;
        *counts = (struct millrace_counts){
            .in_count = stats_get(&stats->in_count),
            .out_count = stats_get(&stats->out_count),
            .dropped_count = stats_dropped_count(stats),
            .queued_count = stats_get(&stats->queued_count),
        };
        return MILLRACE_OK;
    }
    return MILLRACE_ERROR;
}

void millrace_launch_print_summary(millrace_launch *launch, int fd)
{
    int copy = dup(fd);
    FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (out != NULL && launch->topology != NULL)
        stats_print_summary(launch->topology, out, clock_monotonic_ns());
    if (out != NULL)
        fclose(out);
    else if (copy >= 0)
        close(copy);
}

/* Each handle is the first member of what was allocated. */
static void free_ports(struct port_handle *list)
{
    while (list != NULL) {
        struct port_handle *next = list->next;
        free(list);
        list = next;
    }
}

void millrace_launch_close(millrace_launch **launch_pointer)
{
    millrace_launch *launch = *launch_pointer;
    if (launch == NULL)
        return;
    (void)millrace_launch_stop(launch);
    topology_close(&launch->topology);
    free_ports(launch->producers);
    free_ports(launch->consumers);
    topology_spec_free(&launch->spec);
    free((void *)launch->functions);
    free(launch);
    *launch_pointer = NULL;
}

/* Of a wait: negative, and what is beyond the clock's end, is no limit. */
static int64_t deadline_after(int64_t now_ns, int64_t timeout_ns)
{
    return timeout_ns < 0 || timeout_ns > CLOCK_NEVER_NS - now_ns ? CLOCK_NEVER_NS : now_ns + timeout_ns;
}

/* ---- producers ---- */

static bool is_stopping(const struct port_handle *port)
{
    return topology_stop_phase(port->launch->topology) != STOP_NOT;
}

enum millrace_result millrace_put(millrace_producer *producer, const void *data, size_t length)
{
    struct port_handle *port = &producer->port;
    if (port->edge == NULL || port->ended || length > MESSAGE_LENGTH_MAX)
        return MILLRACE_ERROR;
    if (!edge_has_room(port->edge))
        return is_stopping(port) ? MILLRACE_CLOSED : MILLRACE_AGAIN;
    if (port->time_left_count-- == 0) {
        port->time_ns = clock_monotonic_ns();
        port->time_left_count = TIME_GROUP - 1;
    }
    edge_emit(port->edge, data, (uint32_t)length, port->time_ns);
    return MILLRACE_OK;
}

enum millrace_result millrace_flush(millrace_producer *producer)
{
    struct port_handle *port = &producer->port;
    if (port->edge == NULL || port->ended)
        return MILLRACE_ERROR;
    port->time_left_count = 0;
    return edge_flush(port->edge) ? MILLRACE_OK : MILLRACE_AGAIN;
}

enum millrace_result millrace_put_wait(millrace_producer *producer, int64_t timeout_ns)
{
    struct port_handle *port = &producer->port;
    if (port->edge == NULL)
        return MILLRACE_ERROR;
    int64_t now_ns = clock_monotonic_ns();
    int64_t deadline_ns = deadline_after(now_ns, timeout_ns);
    port->time_left_count = 0;
    /* A flush each time, for what had no room goes first, into the blocks that came back. */
    while (!edge_flush(port->edge) || !edge_has_room(port->edge)) {
        if (is_stopping(port))
            return MILLRACE_CLOSED;
        if (now_ns >= deadline_ns)
            return MILLRACE_AGAIN;
        idle_rest(port->idle, now_ns, deadline_ns);
        now_ns = clock_monotonic_ns();
    }
    idle_busy(port->idle);
    return MILLRACE_OK;
}

void millrace_producer_end(millrace_producer *producer)
{
    struct port_handle *port = &producer->port;
    if (port->edge == NULL || port->ended)
        return;
    port->ended = true;
    while (!edge_flush(port->edge) && !is_stopping(port))
        idle_rest(port->idle, clock_monotonic_ns(), CLOCK_NEVER_NS);
    idle_busy(port->idle);
    edge_end(port->edge);
}

/* ---- consumers ---- */

enum millrace_result millrace_take(millrace_consumer *consumer, struct millrace_message *message)
{
    struct port_handle *port = &consumer->port;
    if (port->edge == NULL)
        return MILLRACE_ERROR;
    const struct message *next = edge_peek(port->edge);
    if (next == NULL)
        return MILLRACE_AGAIN;
    *message = (struct millrace_message){.data = next->text, .length = next->length};
    /* The block goes back at the earliest with the next edge_peek, so the text stays until then. */
    edge_pop(port->edge);
    return MILLRACE_OK;
}

enum millrace_result millrace_take_wait(millrace_consumer *consumer, struct millrace_message *message,
                                        int64_t timeout_ns)
{
    struct port_handle *port = &consumer->port;
    if (port->edge == NULL)
        return MILLRACE_ERROR;
    int64_t now_ns = clock_monotonic_ns();
    int64_t deadline_ns = deadline_after(now_ns, timeout_ns);
    enum millrace_result result;
    while ((result = millrace_take(consumer, message)) == MILLRACE_AGAIN) {
        /* A queue that was told to leave everything says no goodbye. */
        if (edge_has_ended(port->edge) || topology_stop_phase(port->launch->topology) == STOP_ABANDON)
            return MILLRACE_CLOSED;
        if (now_ns >= deadline_ns)
            break;
        if (idle_is_armed(port->idle))
            edge_consumer_rests(port->edge);
        idle_rest(port->idle, now_ns, deadline_ns);
        now_ns = clock_monotonic_ns();
    }
    idle_busy(port->idle);
    return result;
}
