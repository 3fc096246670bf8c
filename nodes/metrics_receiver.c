/*
 * The metrics receiver: takes the datagrams that nodes send of themselves (from rings, UDP, TCP), prints a table of
 * each and posts it to the monitoring hub.
 */
#include <stdio.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/node.h"
#include "engine/topology_spec.h"
#include "nodes/links/listener.h"
#include "nodes/metrics/hub.h"
#include "nodes/metrics/metrics.h"
#include "nodes/node_types.h"

struct receiver_config {
    struct address_list address;
    const char *uri;
    uint64_t message_bytes_max;
    uint64_t connection_count_max;
};

static const struct option receiver_options[] = {
    {"address", OPTION_ADDRESSES, offsetof(struct receiver_config, address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "where it listens: UDP, tcp://, or a name inside the launch", .role = ROLE_LISTEN},
    {"uri", OPTION_TEXT, offsetof(struct receiver_config, uri), .value_name = "URI",
     .help = "post to this monitoring hub (without it, tables are printed and nothing else)"},
    {"max-message", OPTION_BYTES, offsetof(struct receiver_config, message_bytes_max), "16M", 1, 1 << 30,
     .value_name = "BYTES", .help = "the longest message it takes over TCP"},
    {"max-connections", OPTION_COUNT, offsetof(struct receiver_config, connection_count_max), "1000", 1, 1e6,
     .value_name = "COUNT", .help = "how many TCP connections it keeps open"},
    {0},
};

enum receiver_counter { COUNTER_MALFORMED, COUNTER_STREAM_FAULTS, COUNTER_CUT, COUNTER_REFUSED, COUNTER_HUB };

static const struct counter receiver_counters[] = {
    [COUNTER_MALFORMED] = {"malformed", "messages that were no metrics", true},
    [COUNTER_STREAM_FAULTS] = {"stream_faults", "TCP connections ended for what came over them", false},
    [COUNTER_CUT] = {"cut_connections", "TCP connections that broke off within a frame", false},
    [COUNTER_REFUSED] = {"refused_connections", "TCP connections turned away: too many open", false},
    HUB_COUNTERS,
    {0},
};

/* From each ring at once, before others get their turn. */
enum { RING_BATCH_COUNT = 64 };

/* After a stop: how long to listen on. Nodes that are stopped at the same moment send their last metrics; but only if
 * somebody out there has sent any is that worth more than a look at what has arrived. */
static const int64_t linger_heard_ns = 250 * NS_PER_MS;
static const int64_t linger_unheard_ns = 5 * NS_PER_MS;
static const int64_t linger_look_ns = 5 * NS_PER_MS;
/* What the reporter of this launch may take to its end once everything is to be left. */
static const int64_t abandon_wait_ns = NS_PER_S;

struct receiver {
    struct node *node;
    const struct receiver_config *config;
    struct listener *listener;
    struct hub hub;
    struct text text;
    bool has_sockets;
    bool heard;                              /* something came from a socket */
    bool malformed;                          /* something was, so the warning was given */
    bool printed;                            /* since the last flush */
    int64_t stop_since_ns, abandon_since_ns; /* 0: not yet */
};

/* ---- one message ---- */

static void refuse(struct receiver *receiver, const void *data, size_t length, const char *why)
{
    char quoted[160];
    enum log_level level = receiver->malformed ? LOG_DEBUG : LOG_WARN;
    receiver->malformed = true;
    node_drop(receiver->node, COUNTER_MALFORMED, 1);
    if (log_wants(receiver->node->log, level))
        log_line(receiver->node->log, level, "a message of %zu bytes is no metrics JSON: %s: '%s'", length, why,
                 log_quote(data, length, quoted, sizeof quoted));
}

static void take(struct receiver *receiver, const void *data, size_t length)
{
    struct node_stats *stats = receiver->node->stats;
    struct metrics_parsed parsed;
    struct error error = {0};
    stats_add(&stats->in_count, 1);
    if (metrics_parse(&parsed, data, length, &error) != STATUS_OK) {
        refuse(receiver, data, length, error.text);
        return;
    }
    stats_add(&stats->out_count, 1);
    text_reset(&receiver->text);
    metrics_write_table(&receiver->text, &parsed.period);
    if (!text_failed(&receiver->text))
        (void)fwrite(receiver->text.data, 1, receiver->text.length, stdout);
    receiver->printed = true;
    if (receiver->hub.poster != NULL) {
        text_reset(&receiver->text);
        metrics_write_post(&receiver->text, &parsed.period);
        hub_post(&receiver->hub, &receiver->text);
    }
    metrics_parsed_free(&parsed);
}

/* ---- sockets ---- */

static void take_datagram(void *context, struct udp_socket *socket, const struct udp_peer *peer, const void *data,
                          size_t length)
{
    struct receiver *receiver = context;
    (void)socket;
    (void)peer;
    receiver->heard = true;
    take(receiver, data, length);
}

static void take_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct receiver *receiver = context;
    (void)stream;
    receiver->heard = true;
    take(receiver, text, length);
}

static void stream_fault(void *context, enum tcp_end end, const char *peer, const char *why)
{
    struct receiver *receiver = context;
    stats_count(receiver->node->stats, end == TCP_END_CUT ? COUNTER_CUT : COUNTER_STREAM_FAULTS);
    log_line(receiver->node->log, LOG_DEBUG, "closed the connection from %s: %s", peer, why);
}

static void connections_refused(void *context, uint64_t count)
{
    struct receiver *receiver = context;
    stats_add(&receiver->node->stats->counters[COUNTER_REFUSED], count);
}

/* ---- rings ---- */

static size_t take_edges(struct receiver *receiver)
{
    size_t taken = 0;
    for (size_t i = 0; i < receiver->node->input_count; i++) {
        struct edge *edge = receiver->node->inputs[i].edge;
        const struct message *message;
        for (unsigned n = 0; n < RING_BATCH_COUNT && (message = edge_peek(edge)) != NULL; n++) {
            take(receiver, message->text, message->length);
            edge_pop(edge);
            taken++;
        }
        edge_settle(edge);
    }
    return taken;
}

static bool inputs_ended(const struct receiver *receiver)
{
    for (size_t i = 0; i < receiver->node->input_count; i++) {
        const struct port *port = &receiver->node->inputs[i];
        /* An embedding program that stops the launch puts no more. */
        bool application_left = port->peer == NULL && edge_peek(port->edge) == NULL;
        if (!application_left && !edge_has_ended(port->edge))
            return false;
    }
    return true;
}

/* ---- the end ---- */

static bool listened_long_enough(const struct receiver *receiver, int64_t now_ns)
{
    if (!receiver->has_sockets)
        return true;
    int64_t linger_ns = receiver->heard ? linger_heard_ns : linger_unheard_ns;
    int64_t part_ns =
        receiver->node->spec->launch.drain_timeout_ns / 4; /* the launch is to end within the whole of it */
    return now_ns - receiver->stop_since_ns >= (linger_ns < part_ns ? linger_ns : part_ns);
}

static void stop_step(struct receiver *receiver, enum stop_phase phase, int64_t now_ns)
{
    struct node *node = receiver->node;
    if (receiver->stop_since_ns == 0)
        receiver->stop_since_ns = now_ns;
    if (phase == STOP_ABANDON && receiver->abandon_since_ns == 0)
        receiver->abandon_since_ns = now_ns;
    bool abandoned = phase == STOP_ABANDON;
    bool given_up = abandoned && now_ns - receiver->abandon_since_ns >= abandon_wait_ns;
    node->deadline_ns = now_ns + linger_look_ns;
    if (!given_up && !inputs_ended(receiver))
        return;
    if (!abandoned && !listened_long_enough(receiver, now_ns))
        return;
    listener_quiet(receiver->listener);
    if (!abandoned && !hub_has_settled(&receiver->hub, now_ns))
        return;
    hub_step(&receiver->hub);
    node->done = true;
}

/* ---- callbacks ---- */

static enum status receiver_open(struct node *node, struct error *error)
{
    struct receiver *receiver = node->state;
    receiver->node = node;
    receiver->config = node->config;
    const struct address_list *addresses = &receiver->config->address;
    for (size_t i = 0; i < addresses->count; i++)
        receiver->has_sockets = receiver->has_sockets || addresses->items[i].scheme != ADDRESS_NAME;
    enum status status = hub_open(&receiver->hub, node, receiver->config->uri, COUNTER_HUB, error);
    if (status != STATUS_OK) {
        error_prefix(error, "--uri");
        return status;
    }
    struct listener_handlers handlers = {.datagram = take_datagram,
                                         .frame = take_frame,
                                         .stream_fault = stream_fault,
                                         .refused = connections_refused,
                                         .context = receiver};
    return listener_open(&receiver->listener, node, addresses, receiver->config->message_bytes_max,
                         receiver->config->connection_count_max, &handlers, error);
}

static size_t receiver_step(struct node *node, int64_t now_ns)
{
    struct receiver *receiver = node->state;
    enum stop_phase phase = node_stop_phase(node);
    size_t work = take_edges(receiver);
    node->deadline_ns = listener_step(receiver->listener, now_ns);
    hub_step(&receiver->hub);
    if (phase != STOP_NOT && work == 0)
        stop_step(receiver, phase, now_ns);
    if (receiver->printed) {
        (void)fflush(stdout);
        receiver->printed = false;
    }
    return work;
}

static void receiver_close(struct node *node)
{
    struct receiver *receiver = node->state;
    listener_close(&receiver->listener);
    hub_close(&receiver->hub);
    text_free(&receiver->text);
}

const struct node_type metrics_receiver_type = {
    .name = "metrics-receiver",
    .title = "Metricsreceiver",
    .summary = "takes the metrics of nodes, prints them, and posts them to the monitoring hub",
    .options = receiver_options,
    .config_bytes = sizeof(struct receiver_config),
    .counters = receiver_counters,
    .state_bytes = sizeof(struct receiver),
    .serves = LINK_BARE,
    .may_block = true, /* it prints */
    .open = receiver_open,
    .step = receiver_step,
    .close = receiver_close,
};
