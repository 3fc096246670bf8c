/*
 * The sink: takes bare messages, logs what they say, and measures how long they took from the feeder to here.
 */
#include <stdlib.h>

#include "engine/clock.h"
#include "engine/node.h"
#include "engine/topology_spec.h"
#include "nodes/links/listener.h"
#include "nodes/node_types.h"
#include "nodes/sink_message.h"

struct sink_config {
    struct address_list address;
    uint64_t message_bytes_max;
    uint64_t connection_count_max;
};

static const struct option sink_options[] = {
    {"address", OPTION_ADDRESSES, offsetof(struct sink_config, address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "where it listens: UDP, tcp://, or a name inside the launch", .role = ROLE_LISTEN},
    {"max-message", OPTION_BYTES, offsetof(struct sink_config, message_bytes_max), "16M", 1, 1 << 30,
     .value_name = "BYTES", .help = "the longest message it takes over TCP"},
    {"max-connections", OPTION_COUNT, offsetof(struct sink_config, connection_count_max), "1000", 1, 1e6,
     .value_name = "COUNT", .help = "how many TCP connections it keeps open"},
    {0},
};

enum sink_counter { COUNTER_OTHER, COUNTER_MALFORMED, COUNTER_CUT, COUNTER_REFUSED };

static const struct counter sink_counters[] = {
    [COUNTER_OTHER] = {"other_texts", "messages without msg and feed_time, logged as they came", false},
    [COUNTER_MALFORMED] = {"malformed", "TCP streams that were no frames", false},
    [COUNTER_CUT] = {"cut_connections", "TCP connections that broke off within a frame", false},
    [COUNTER_REFUSED] = {"refused_connections", "TCP connections turned away: too many open", false},
    {0},
};

struct sink {
    struct node *node;
    struct listener *listener;
    int64_t wall_ns; /* of the messages that are being taken; 0: not looked at yet */
    /* So many that were taken one after the other have the same latency, and are not in the histogram yet. */
    int64_t run_latency_ns;
    uint64_t run_count;
    /* At a stop: what had come when it was last looked at, and since when nothing more has. */
    uint64_t seen_count;
    int64_t seen_ns, callers_ended_ns; /* 0: not yet */
};

enum { STEP_MESSAGE_MAX = 1024, GROUP = 16 };

/* At a stop of a launch that is joined by sockets: how often to look whether the workers have ended; then, how long
 * nothing must have come (what they sent over TCP is in the kernel's buffers), and how long to wait for that. */
static const int64_t callers_look_ns = NS_PER_MS;
static const int64_t still_ns = 5 * NS_PER_MS;
static const int64_t still_wait_ns = 250 * NS_PER_MS;

/* ---- messages ---- */

static void log_message(struct sink *sink, const char *text, size_t length)
{
    char quoted[4096];
    if (!log_wants(sink->node->log, LOG_INFO))
        return;
    log_quote(text, length, quoted, sizeof quoted);
    log_line(sink->node->log, LOG_INFO, "%s", quoted);
}

/* Read when a message first asks for it, once for a group of messages that were there together. */
static int64_t wall_ns(struct sink *sink)
{
    if (sink->wall_ns == 0)
        sink->wall_ns = clock_wall_ns();
    return sink->wall_ns;
}

static void record_run(struct sink *sink)
{
    histogram_record(&sink->node->stats->latency, sink->run_latency_ns, sink->run_count);
    sink->run_count = 0;
}

/* What a feeder at full speed stamps together mostly comes together. */
static void record_latency(struct sink *sink, int64_t latency_ns)
{
    if (latency_ns != sink->run_latency_ns) {
        record_run(sink);
        sink->run_latency_ns = latency_ns;
    }
    sink->run_count++;
}

/* What one message says. record_run must follow. */
static void read_message(struct sink *sink, const void *data, size_t length)
{
    struct node_stats *stats = sink->node->stats;
    struct sink_message message;
    if (sink_message_parse(data, length, &message)) {
        log_message(sink, message.msg, message.msg_length);
        if (message.has_feed_time && message.feed_time > 0 && message.feed_time < 9e9)
            record_latency(sink, wall_ns(sink) - (int64_t)(message.feed_time * (double)NS_PER_S));
        sink_message_free(&message);
    } else {
        stats_count(stats, COUNTER_OTHER);
        log_message(sink, data, length);
    }
}

static void count_taken(struct sink *sink, uint64_t count)
{
    stats_add(&sink->node->stats->in_count, count);
    stats_add(&sink->node->stats->out_count, count);
}

static void take(struct sink *sink, const void *data, size_t length)
{
    sink->wall_ns = 0;
    read_message(sink, data, length);
    record_run(sink);
    count_taken(sink, 1);
}

static void take_datagram(void *context, struct udp_socket *socket, const struct udp_peer *peer, const void *data,
                          size_t length)
{
    (void)socket, (void)peer;
    take(context, data, length);
}

static void take_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    (void)stream;
    take(context, text, length);
}

static void stream_fault(void *context, enum tcp_end end, const char *peer, const char *why)
{
    struct sink *sink = context;
    stats_count(sink->node->stats, end == TCP_END_CUT ? COUNTER_CUT : COUNTER_MALFORMED);
    log_line(sink->node->log, LOG_DEBUG, "closed the connection from %s: %s", peer, why);
}

static void connections_refused(void *context, uint64_t count)
{
    struct sink *sink = context;
    stats_add(&sink->node->stats->counters[COUNTER_REFUSED], count);
}

/* A bounded batch. */
static size_t take_edge(struct sink *sink, struct edge *edge)
{
    size_t taken = 0;
    const struct message *message;
    while (taken < STEP_MESSAGE_MAX && (message = edge_peek(edge)) != NULL) {
        if (taken % GROUP == 0)
            sink->wall_ns = 0;
        read_message(sink, message->text, message->length);
        edge_pop(edge);
        taken++;
    }
    record_run(sink);
    count_taken(sink, taken);
    edge_settle(edge);
    return taken;
}

/* ---- callbacks ---- */

static enum status sink_open(struct node *node, struct error *error)
{
    struct sink *sink = node->state;
    const struct sink_config *config = node->config;
    sink->node = node;
    struct listener_handlers handlers = {.datagram = take_datagram,
                                         .frame = take_frame,
                                         .stream_fault = stream_fault,
                                         .refused = connections_refused,
                                         .context = sink};
    return listener_open(&sink->listener, node, &config->address, config->message_bytes_max,
                         config->connection_count_max, &handlers, error);
}

/* Whether what this launch's workers sent over sockets is in. */
static bool callers_are_done(struct sink *sink, int64_t now_ns)
{
    struct node *node = sink->node;
    if (node->spec->launch.join != JOIN_SOCKETS)
        return true;
    node->deadline_ns = now_ns + callers_look_ns < node->deadline_ns ? now_ns + callers_look_ns : node->deadline_ns;
    if (!node_callers_ended(node))
        return false;
    uint64_t count = stats_get(&node->stats->in_count);
    if (sink->callers_ended_ns == 0)
        sink->callers_ended_ns = now_ns;
    if (sink->seen_ns == 0 || sink->seen_count != count) {
        sink->seen_ns = now_ns;
        sink->seen_count = count;
    }
    return now_ns - sink->seen_ns >= still_ns || now_ns - sink->callers_ended_ns >= still_wait_ns;
}

static size_t sink_step(struct node *node, int64_t now_ns)
{
    struct sink *sink = node->state;
    enum stop_phase phase = node_stop_phase(node);
    size_t taken = 0;
    for (size_t i = 0; i < node->input_count; i++)
        taken += take_edge(sink, node->inputs[i].edge);
    node->deadline_ns = listener_step(sink->listener, now_ns);
    if (phase == STOP_NOT || (phase == STOP_DRAIN && !callers_are_done(sink, now_ns)))
        return taken;
    listener_quiet(sink->listener);
    node->done = phase == STOP_ABANDON || (taken == 0 && node_inputs_ended(node));
    return taken;
}

static void sink_close(struct node *node)
{
    struct sink *sink = node->state;
    listener_close(&sink->listener);
}

const struct node_type sink_type = {
    .name = "sink",
    .title = "Sink",
    .summary = "takes bare messages, logs them, measures the latency from feeder to sink",
    .options = sink_options,
    .config_bytes = sizeof(struct sink_config),
    .counters = sink_counters,
    .state_bytes = sizeof(struct sink),
    .serves = LINK_BARE,
    .reports = true,
    .open = sink_open,
    .step = sink_step,
    .close = sink_close,
};
