/*
 * The message queue: strict FIFO over all producers, in the order in which it takes messages, from rings, UDP and TCP;
 * to rings of workers in the same launch, and to whoever asks with GET.
 */
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/guarantee.h"
#include "engine/message_store.h"
#include "engine/node.h"
#include "engine/topology_spec.h"
#include "net/lhhttt.h"
#include "nodes/dispatch.h"
#include "nodes/links/listener.h"
#include "nodes/links/queue_command.h"
#include "nodes/node_types.h"

/* What happens to a message that the queue has no room for. */
enum overflow {
    OVERFLOW_REJECT,      /* ERR queue full; producers in the launch wait */
    OVERFLOW_BLOCK,       /* its PUT is answered when there is room */
    OVERFLOW_DROP_OLDEST, /* it is taken, and the oldest is dropped for it */
    OVERFLOW_DROP_NEWEST, /* it is answered as if it were taken, and dropped */
    OVERFLOW_SPILL,       /* it goes to the store, behind what is in memory */
};

struct queue_config {
    struct address_list address;
    uint64_t capacity_count;
    uint64_t capacity_bytes;
    uint64_t message_bytes_max;
    uint64_t connection_count_max;
    unsigned durability; /* enum durability */
    unsigned overflow;   /* enum overflow */
    int64_t age_max_ns;  /* 0: none */
    struct address_list dead_letter;
    uint64_t deliveries_max;
    int64_t lease_ns;
    uint64_t dedup_count;
    int64_t dedup_age_ns;
};

static const char *const durability_choices[] = {"memory", "async", "sync", NULL};
static const char *const overflow_choices[] = {"reject", "block", "drop-oldest", "drop-newest", "spill", NULL};

static const struct option queue_options[] = {
    {"address", OPTION_ADDRESSES, offsetof(struct queue_config, address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "where it listens: UDP, tcp://, or a name inside the launch", .role = ROLE_LISTEN},
    {"capacity", OPTION_COUNT, offsetof(struct queue_config, capacity_count), "1000000000000", 1, 1e12,
     .value_name = "COUNT", .help = "how many messages it holds"},
    {"capacity-bytes", OPTION_BYTES, offsetof(struct queue_config, capacity_bytes), "1G", 1024, 1e15,
     .value_name = "BYTES", .help = "how much memory its messages may take (16 to 23 bytes each beside the text)"},
    {"max-message", OPTION_BYTES, offsetof(struct queue_config, message_bytes_max), "16M", 1, 1 << 30,
     .value_name = "BYTES", .help = "the longest message it takes"},
    {"max-connections", OPTION_COUNT, offsetof(struct queue_config, connection_count_max), "1000", 1, 1e6,
     .value_name = "COUNT", .help = "how many TCP connections it keeps open"},
    {"durability", OPTION_CHOICE, offsetof(struct queue_config, durability), "memory", .choices = durability_choices,
     .value_name = "LEVEL", .help = "what its messages survive: nothing, a crash, a crash and a power cut"},
    {"overflow", OPTION_CHOICE, offsetof(struct queue_config, overflow), "reject", .choices = overflow_choices,
     .value_name = "WHAT", .help = "what becomes of a message that there is no room for"},
    {"max-age", OPTION_SECONDS, offsetof(struct queue_config, age_max_ns), "0", 0, 1e9, .value_name = "SECONDS",
     .help = "messages older than this are dropped; 0: none"},
    {"dead-letter", OPTION_ADDRESSES, offsetof(struct queue_config, dead_letter), .value_name = "ADDRESS",
     .help = "a queue for messages that failed --max-deliveries times", .role = ROLE_OUTPUT},
    {"max-deliveries", OPTION_COUNT, offsetof(struct queue_config, deliveries_max), "5", 1, 1e9, .value_name = "COUNT",
     .help = "how often a message is delivered before it is given up"},
    {"lease-time", OPTION_SECONDS, offsetof(struct queue_config, lease_ns), "30", 0.001, 86400, .value_name = "SECONDS",
     .help = "how long a LEASE without a time hides a message"},
    {"dedup-window", OPTION_COUNT, offsetof(struct queue_config, dedup_count), "1000000", 1, 1e9, .value_name = "COUNT",
     .help = "how many ids of PUTID it remembers"},
    {"dedup-age", OPTION_SECONDS, offsetof(struct queue_config, dedup_age_ns), "3600", 1, 1e8, .value_name = "SECONDS",
     .help = "how long it remembers them"},
    {0},
};

enum queue_counter {
    COUNTER_REJECTED_FULL,
    COUNTER_REJECTED_LONG,
    COUNTER_MALFORMED,
    COUNTER_UNKNOWN,
    COUNTER_NEEDS_TCP,
    COUNTER_EMPTY_GETS,
    COUNTER_REPLIES_FAILED,
    COUNTER_REFUSED,
};

static const struct counter queue_counters[] = {
    [COUNTER_REJECTED_FULL] = {"rejected_full", "PUTs answered with ERR queue full", false},
    [COUNTER_REJECTED_LONG] = {"rejected_too_long", "PUTs above --max-message", false},
    [COUNTER_MALFORMED] = {"malformed", "datagrams and streams that were no frames", false},
    [COUNTER_UNKNOWN] = {"unknown_commands", "frames with another verb", false},
    [COUNTER_NEEDS_TCP] = {"needs_tcp", "GETs over UDP of a message that no datagram holds", false},
    [COUNTER_EMPTY_GETS] = {"empty_gets", "GETs that found nothing", false},
    [COUNTER_REPLIES_FAILED] = {"replies_failed", "answers that could not be sent", false},
    [COUNTER_REFUSED] = {"refused_connections", "TCP connections turned away: too many open", false},
    {0},
};

struct queue {
    struct node *node;
    const struct queue_config *config;
    struct message_store store;
    struct listener *listener;
    struct dispatch dispatch;
    int64_t now_ns;         /* of this step, or of the commands between steps */
    unsigned trusted_count; /* so many more commands may take now_ns for their time */
    bool outputs_ended;
    int64_t answers_since_ns; /* since when the end waits for answers to leave; 0: not yet */
    size_t next_input;
};

/* At a stop: how often to see whether those who call over sockets have ended; how long a peer may take to read its
 * answers. */
static const int64_t callers_look_ns = NS_PER_MS;
static const int64_t answers_wait_ns = 500 * NS_PER_MS;

enum { EDGE_BLOCKS_A_STEP = 8 };

/* Commands that were read at once share a look at the clock, so many of them: that is one or two microseconds' worth,
 * and a look costs as much as the rest of a command. One that is put and taken within them has waited for 0 ns. */
static const unsigned trusted_count_max = 16;

/* ---- commands ---- */

/* How an answer goes back: over a datagram or a stream. */
struct answer_way {
    struct udp_socket *udp;
    const struct udp_peer *peer;
    struct tcp_stream *stream;
};

static void answer(struct queue *queue, const struct answer_way *way, const void *text, size_t length)
{
    if (way->stream != NULL) {
        tcp_send(way->stream, text, length, NULL, 0);
        return;
    }
    char header[LHHTTT_HEADER_BYTES_MAX];
    size_t header_length = lhhttt_write_header(length, header);
    /* An answer that no datagram holds is not given here (see get); one that the system does not send is counted. */
    enum status status = udp_send(way->udp, way->peer, header, header_length, text, length);
    CHECK(status == STATUS_OK);
    if (udp_gathered_count(way->udp) == 1)
        queue->trusted_count = 0; /* the answers before this one may have been sent just now, which takes a while */
}

static void show_size(struct queue *queue)
{
    stats_set(&queue->node->stats->queued_count, queue->store.message_count);
}

static size_t put(struct queue *queue, const struct queue_command *command, char *text)
{
    struct node_stats *stats = queue->node->stats;
    const struct queue_config *config = queue->config;
    if (command->message_length > config->message_bytes_max) {
        stats_count(stats, COUNTER_REJECTED_LONG);
        return queue_answer_too_long(text, command->message_length, config->message_bytes_max);
    }
    uint32_t length = (uint32_t)command->message_length;
    if (queue->store.message_count >= config->capacity_count ||
        !message_store_has_room(&queue->store, length, config->capacity_bytes)) {
        stats_count(stats, COUNTER_REJECTED_FULL);
        return queue_answer_full(text);
    }
    message_store_append(&queue->store, command->message, length, queue->now_ns);
    stats_add(&stats->in_count, 1);
    return queue_answer_put(text, length);
}

static void get(struct queue *queue, const struct answer_way *way)
{
    struct node_stats *stats = queue->node->stats;
    struct block_cursor *cursor = message_store_cursor(&queue->store);
    if (cursor == NULL) {
        stats_count(stats, COUNTER_EMPTY_GETS);
        answer(queue, way, "", 0);
        return;
    }
    const struct message *message = block_cursor_peek(cursor);
    char header[LHHTTT_HEADER_BYTES_MAX];
    if (way->stream == NULL &&
        lhhttt_write_header(message->length, header) + message->length > UDP_DATAGRAM_BYTES_MAX) {
        char text[QUEUE_ANSWER_BYTES];
        stats_count(stats, COUNTER_NEEDS_TCP);
        answer(queue, way, text, queue_answer_needs_tcp(text, message->length));
        return;
    }
    answer(queue, way, message->text, message->length);
    stats_add(&stats->out_count, 1);
    histogram_record(&stats->latency, queue->now_ns - block_message_time_ns(cursor->block, message), 1);
    uint32_t record_bytes = message_record_bytes(message->length);
    block_cursor_pop(cursor);
    message_store_taken(&queue->store, 1, record_bytes);
}

static void handle(struct queue *queue, const struct answer_way *way, const void *text, size_t length)
{
    struct queue_command command = queue_command_parse(text, length);
    if (queue->trusted_count-- == 0) {
        queue->now_ns = clock_monotonic_ns();
        queue->trusted_count = trusted_count_max - 1;
    }
    char reply[QUEUE_ANSWER_BYTES];
    size_t reply_length = 0;
    switch (command.verb) {
    case QUEUE_PUT:
        reply_length = put(queue, &command, reply);
        break;
    case QUEUE_GET:
        get(queue, way);
        return;
    case QUEUE_SIZE:
        reply_length = queue_answer_size(reply, queue->store.message_count);
        break;
    case QUEUE_UNKNOWN:
        stats_count(queue->node->stats, COUNTER_UNKNOWN);
        reply_length = queue_answer_unknown(reply);
        break;
    }
    answer(queue, way, reply, reply_length);
}

static void log_malformed(struct queue *queue, const void *data, size_t length)
{
    char quoted[96];
    stats_count(queue->node->stats, COUNTER_MALFORMED);
    if (log_wants(queue->node->log, LOG_DEBUG))
        log_line(queue->node->log, LOG_DEBUG, "a datagram of %zu bytes is no frame: '%s'", length,
                 log_quote(data, length, quoted, sizeof quoted));
}

static void batch_begins(void *context)
{
    struct queue *queue = context;
    queue->trusted_count = 0;
}

static void take_datagram(void *context, struct udp_socket *socket, const struct udp_peer *peer, const void *data,
                          size_t length)
{
    struct queue *queue = context;
    const void *text;
    size_t text_length;
    if (lhhttt_read_datagram(data, length, &text, &text_length) != STATUS_OK) {
        log_malformed(queue, data, length);
        return;
    }
    struct answer_way way = {.udp = socket, .peer = peer};
    handle(queue, &way, text, text_length);
}

static void take_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct answer_way way = {.stream = stream};
    handle(context, &way, text, length);
}

static void stream_fault(void *context, const char *peer, const char *why)
{
    struct queue *queue = context;
    stats_count(queue->node->stats, COUNTER_MALFORMED);
    log_line(queue->node->log, LOG_DEBUG, "closed the connection from %s: %s", peer, why);
}

static void connections_refused(void *context, uint64_t count)
{
    struct queue *queue = context;
    stats_add(&queue->node->stats->counters[COUNTER_REFUSED], count);
}

/* ---- rings ---- */

/* What the queue may hold. */
struct room {
    uint64_t count_max;
    uint64_t bytes_max;
};

/* The block at hand, whole and uncopied, if it is worth it. Returns how many messages. */
static uint64_t take_block(struct queue *queue, struct edge *edge, struct room room)
{
    struct block *block = edge_peek_block(edge);
    if (block == NULL)
        return 0;
    uint32_t count = block->message_count;
    struct block *empty = message_store_take_block(&queue->store, block, room.count_max, room.bytes_max);
    if (empty == NULL)
        return 0;
    show_size(queue); /* before the block is released, as below */
    edge_exchange_block(edge, count, empty);
    return count;
}

static uint64_t copy_messages(struct queue *queue, struct edge *edge, struct room room)
{
    struct block_cursor *cursor = edge_read(edge);
    if (cursor == NULL)
        return 0;
    uint64_t count = message_store_append_run(&queue->store, cursor, room.count_max, room.bytes_max);
    /* Before the block is given back, or a look at the graph (topology_has_drained) finds its messages nowhere. */
    show_size(queue);
    return count;
}

/* A bounded batch from one producer; it waits when the queue is full. Not on a cycle that stops: there nobody takes
 * from the queue any more, and what is on the cycle's rings (which bound it) must come home for the rest to end. */
static uint64_t take_edge(struct queue *queue, struct edge *edge)
{
    bool comes_home = queue->node->on_cycle && node_stop_phase(queue->node) == STOP_DRAIN;
    struct room room = {
        .count_max = comes_home ? UINT64_MAX : queue->config->capacity_count,
        .bytes_max = comes_home ? UINT64_MAX : queue->config->capacity_bytes,
    };
    uint64_t taken = 0;
    for (unsigned blocks = 0; blocks < EDGE_BLOCKS_A_STEP; blocks++) {
        uint64_t count = take_block(queue, edge, room);
        if (count == 0)
            count = copy_messages(queue, edge, room);
        if (count == 0)
            break;
        taken += count;
    }
    edge_settle(edge);
    stats_add(&queue->node->stats->in_count, taken);
    return taken;
}

static uint64_t take_edges(struct queue *queue)
{
    const struct node *node = queue->node;
    uint64_t taken = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        size_t index = queue->next_input + i < node->input_count ? queue->next_input + i
                                                                 : queue->next_input + i - node->input_count;
        taken += take_edge(queue, node->inputs[index].edge);
    }
    /* Another producer goes first the next time, so that none has more than its share of a full queue. */
    if (node->input_count > 0)
        queue->next_input = queue->next_input + 1 < node->input_count ? queue->next_input + 1 : 0;
    return taken;
}

/* ---- the end ---- */

static void finish(struct queue *queue)
{
    show_size(queue);
    log_line(queue->node->log, LOG_INFO, "stopped; %llu messages still in the queue",
             (unsigned long long)queue->store.message_count);
    queue->node->done = true;
}

/* The answer to a GET is the message itself, and the queue has it no more. A peer that does not read is waited for only
 * so long. */
static bool answers_have_left(struct queue *queue, int64_t now_ns)
{
    if (!listener_has_unsent(queue->listener))
        return true;
    if (queue->answers_since_ns == 0)
        queue->answers_since_ns = now_ns;
    int64_t part_ns = queue->node->spec->launch.drain_timeout_ns / 4; /* the launch is to end within the whole of it */
    int64_t limit_ns = answers_wait_ns < part_ns ? answers_wait_ns : part_ns;
    if (queue->answers_since_ns + limit_ns < queue->node->deadline_ns)
        queue->node->deadline_ns = queue->answers_since_ns + limit_ns;
    return now_ns - queue->answers_since_ns >= limit_ns;
}

/*
 * On a cycle what is in flight could go round for ever, so there the queue keeps what it has; elsewhere it first hands
 * on everything to its workers in the launch.
 */
static void stop_step(struct queue *queue, enum stop_phase phase, int64_t now_ns)
{
    struct node *node = queue->node;
    if (phase == STOP_ABANDON) {
        listener_quiet(queue->listener);
        finish(queue);
        return;
    }
    if (!node_callers_ended(node)) {
        if (now_ns + callers_look_ns < node->deadline_ns)
            node->deadline_ns = now_ns + callers_look_ns;
        return;
    }
    listener_quiet(queue->listener);
    bool all_in = node_inputs_ended(node);
    bool keeps = node->on_cycle || node->output_count == 0;
    if (!queue->outputs_ended && (keeps || (all_in && queue->store.message_count == 0)))
        queue->outputs_ended = node_end_outputs(node);
    if (queue->outputs_ended && all_in && answers_have_left(queue, now_ns))
        finish(queue);
}

/* ---- callbacks ---- */

static enum status queue_open(struct node *node, struct error *error)
{
    struct queue *queue = node->state;
    queue->node = node;
    queue->config = node->config;
    queue->now_ns = clock_monotonic_ns();
    dispatch_open(&queue->dispatch, node);
    struct listener_handlers handlers = {.batch = batch_begins,
                                         .datagram = take_datagram,
                                         .frame = take_frame,
                                         .stream_fault = stream_fault,
                                         .refused = connections_refused,
                                         .context = queue};
    return listener_open(&queue->listener, node, &queue->config->address,
                         queue->config->message_bytes_max + strlen("PUT:"), queue->config->connection_count_max,
                         &handlers, error);
}

static size_t queue_step(struct node *node, int64_t now_ns)
{
    struct queue *queue = node->state;
    enum stop_phase phase = node_stop_phase(node);
    if (queue->now_ns > now_ns) /* commands have come since the loop looked at the clock */
        now_ns = clock_monotonic_ns();
    queue->now_ns = now_ns;
    uint64_t work = take_edges(queue);
    if (!queue->outputs_ended && !(node->on_cycle && phase != STOP_NOT))
        work += dispatch_messages(&queue->dispatch, &queue->store, now_ns);
    node->deadline_ns = listener_step(queue->listener, now_ns);
    if (phase != STOP_NOT)
        stop_step(queue, phase, now_ns);
    stats_set(&node->stats->counters[COUNTER_REPLIES_FAILED], listener_send_failed_count(queue->listener));
    show_size(queue);
    return (size_t)work;
}

static void queue_close(struct node *node)
{
    struct queue *queue = node->state;
    listener_close(&queue->listener);
    dispatch_close(&queue->dispatch);
    message_store_free(&queue->store);
}

static struct carriage queue_carries(const void *queue_config)
{
    const struct queue_config *config = queue_config;
    return (struct carriage){
        .durability = (enum durability)config->durability,
        .spills = config->overflow == OVERFLOW_SPILL,
        .drops = config->overflow == OVERFLOW_DROP_OLDEST || config->overflow == OVERFLOW_DROP_NEWEST ||
                 config->age_max_ns > 0,
    };
}

const struct node_type queue_type = {
    .name = "mq",
    .title = "Messagequeue",
    .summary = "a message queue: PUT, GET and SIZE over UDP and TCP, rings to workers of the launch",
    .options = queue_options,
    .config_bytes = sizeof(struct queue_config),
    .counters = queue_counters,
    .state_bytes = sizeof(struct queue),
    .serves = LINK_PUT | LINK_GET,
    .reports = true,
    .carries = queue_carries,
    .open = queue_open,
    .step = queue_step,
    .close = queue_close,
};
