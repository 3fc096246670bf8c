/*
 * The message queue: strict FIFO over all producers, in the order in which it takes messages, from rings, UDP and TCP;
 * to rings of workers in the same launch, and to whoever asks with GET.
 */
#include <stdio.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/store/store.h"
#include "engine/topology_spec.h"
#include "nodes/node_types.h"
#include "nodes/queue/queue_private.h"

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

static const struct counter queue_counters[] = {
    [COUNTER_REJECTED_FULL] = {"rejected_full", "PUTs answered with ERR queue full", false},
    [COUNTER_REJECTED_DISK] = {"rejected_disk", "PUTs answered with ERR queue full: disk", false},
    [COUNTER_REJECTED_LONG] = {"rejected_too_long", "PUTs above --max-message", false},
    [COUNTER_MALFORMED] = {"malformed", "datagrams and streams that were no frames", false},
    [COUNTER_CUT] = {"cut_connections", "TCP connections that broke off within a frame, or before their answers",
                     false},
    [COUNTER_UNKNOWN] = {"unknown_commands", "frames with another verb, or with arguments that are none", false},
    [COUNTER_NEEDS_TCP] = {"needs_tcp", "GETs over UDP of a message that no datagram holds", false},
    [COUNTER_EMPTY_GETS] = {"empty_gets", "GETs that found nothing", false},
    [COUNTER_REPLIES_FAILED] = {"replies_failed", "answers that could not be sent", false},
    [COUNTER_UNHEARD] = {"unheard", "datagrams that were let go, for too many answers wait for the disk", false},
    [COUNTER_REFUSED] = {"refused_connections", "TCP connections turned away: too many open", false},
    [COUNTER_RECOVERED] = {"recovered", "messages that the start found in the store; part of in", false},
    [COUNTER_DUPLICATES] = {"duplicates", "PUTIDs of an id that was known; not part of in", false},
    [COUNTER_LEASED] = {"leased", "deliveries by LEASE", false},
    [COUNTER_REDELIVERED] = {"redelivered", "those that were not a message's first", false},
    [COUNTER_ACKNOWLEDGED] = {"acknowledged", "leases that ended with ACK; part of out", false},
    [COUNTER_NACKS] = {"nacks", "leases that ended with NACK", false},
    [COUNTER_LEASES_EXPIRED] = {"leases_expired", "leases whose time ran out", false},
    [COUNTER_DEAD_LETTERED] = {"dead_lettered", "messages given up and sent to --dead-letter", false},
    [COUNTER_EXPIRED] = {"expired", "messages above --max-age", true},
    [COUNTER_DROPPED_OLDEST] = {"dropped_oldest", "messages dropped for newer ones (--overflow drop-oldest)", true},
    [COUNTER_DROPPED_NEWEST] = {"dropped_newest", "messages dropped because it was full (--overflow drop-newest)",
                                true},
    [COUNTER_UNDELIVERABLE] = {"undeliverable", "messages given up where there is no --dead-letter", true},
    [COUNTER_REPLAYED] = {"replayed", "dead letters that dead-letters replay has taken out; part of out", false},
    [COUNTER_LETTERS_DROPPED] = {"letters_dropped", "dead letters dropped by dead-letters drop", true},
    {0},
};

/* At a stop: how often to see whether those who call over sockets have ended; how long a peer may take to read its
 * answers. */
static const int64_t callers_look_ns = NS_PER_MS;
static const int64_t answers_wait_ns = 500 * NS_PER_MS;

enum { EDGE_BLOCKS_A_STEP = 8, SINGLE_MESSAGES_A_STEP = 1024 };

/* All that rests here, whoever may take it. */
static void show_size(struct queue *queue)
{
    stats_set(&queue->node->stats->queued_count, queue->store.message_count + queue->aside_count);
}

/* ---- sockets ---- */

static void stream_fault(void *context, enum tcp_end end, const char *peer, const char *why)
{
    struct queue *queue = context;
    stats_count(queue->node->stats, end == TCP_END_CUT ? COUNTER_CUT : COUNTER_MALFORMED);
    log_line(queue->node->log, LOG_DEBUG, "closed the connection from %s: %s", peer, why);
}

static void connections_refused(void *context, uint64_t count)
{
    struct queue *queue = context;
    stats_add(&queue->node->stats->counters[COUNTER_REFUSED], count);
}

/* ---- rings ---- */

static uint64_t minus(uint64_t one, uint64_t other)
{
    return one > other ? one - other : 0;
}

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

/* Whether messages from rings can be taken whole runs at a time: nothing is dropped, nothing goes to the store. */
static bool takes_runs(const struct queue *queue)
{
    unsigned overflow = queue->config->overflow;
    return queue->kept.journal == NULL && overflow != OVERFLOW_DROP_OLDEST && overflow != OVERFLOW_DROP_NEWEST;
}

/* One by one. A durable worker's are taken whatever the capacity while a cut waits for its ring to be empty; and when
 * all is abandoned, for after this queue's end nobody takes them, and the last cut could not be made. (The worker, on
 * this thread too, emits no more from when a step of this queue has seen it.) */
static uint64_t take_singly(struct queue *queue, const struct port *port, bool comes_home)
{
    bool must_be_empty = kept_cutting(queue) || node_stop_phase(queue->node) == STOP_ABANDON;
    bool all = comes_home || (port->peer != NULL && port->peer->durable && must_be_empty);
    uint64_t taken = 0;
    const struct message *message;
    while ((all || taken < SINGLE_MESSAGES_A_STEP) && (message = edge_peek(port->edge)) != NULL) {
        if (all)
            contents_add(queue, message->text, message->length, queue->now_ns);
        else if (contents_put(queue, message->text, message->length, queue->now_ns) != PUT_TAKEN)
            break;
        edge_pop(port->edge);
        taken++;
    }
    show_size(queue); /* before the block is given back, as above */
    edge_settle(port->edge);
    return taken;
}

/* A bounded batch from one producer; it waits when the queue is full. Not on a cycle that stops: there nobody takes
 * from the queue any more, and what is on the cycle's rings (which bound it) must come home for the rest to end. */
static uint64_t take_edge(struct queue *queue, const struct port *port)
{
    struct edge *edge = port->edge;
    bool comes_home = queue->node->on_cycle && node_stop_phase(queue->node) == STOP_DRAIN;
    if (!takes_runs(queue))
        return take_singly(queue, port, comes_home);
    const struct queue_config *config = queue->config;
    struct room room = {
        .count_max = comes_home ? UINT64_MAX : minus(config->capacity_count, queue->aside_count),
        .bytes_max = comes_home ? UINT64_MAX : minus(config->capacity_bytes, queue->aside_bytes),
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
    queue->resident_next += taken;
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
        taken += take_edge(queue, &node->inputs[index]);
    }
    /* Another producer goes first the next time, so that none has more than its share of a full queue. */
    if (node->input_count > 0)
        queue->next_input = queue->next_input + 1 < node->input_count ? queue->next_input + 1 : 0;
    return taken;
}

/* ---- giving to workers ---- */

/* Those that have come back from a lease, before all others. */
static uint64_t dispatch_returned(struct queue *queue, int64_t now_ns)
{
    uint64_t given = 0;
    struct oldest oldest;
    while (given < SINGLE_MESSAGES_A_STEP && (oldest = contents_oldest(queue)).lease != NULL) {
        queue->kept.handing_sequence = oldest.sequence;
        bool taken = dispatch_message(&queue->dispatch, oldest.text, oldest.length, oldest.put_ns, now_ns);
        queue->kept.handing_sequence = 0;
        if (!taken)
            break;
        contents_remove(queue, &oldest, false); /* dispatch has counted and settled it */
        given++;
    }
    return given;
}

static uint64_t dispatch(struct queue *queue, int64_t now_ns)
{
    if (queue->dispatch.target_count == 0)
        return 0;
    uint64_t given = queue->leases != NULL ? dispatch_returned(queue, now_ns) : 0;
    if (queue->leases != NULL && leases_first_returned(queue->leases) != NULL)
        return given; /* a younger one must not pass it */
    return given + dispatch_messages(&queue->dispatch, &queue->store, contents_ready_count(queue), now_ns);
}

/* ---- the end ---- */

static void finish(struct queue *queue)
{
    struct node *node = queue->node;
    uint64_t kept_count = contents_takeable_count(queue) + contents_in_flight_count(queue);
    show_size(queue);
    if (queue->kept.persists && kept_count > 0)
        snprintf(node->note, sizeof node->note, "%llu stay in the store", (unsigned long long)kept_count);
    log_line(node->log, LOG_INFO, "stopped; %llu messages still in the queue",
             (unsigned long long)contents_takeable_count(queue));
    if (contents_in_flight_count(queue) > 0)
        log_line(node->log, LOG_INFO, "stopped; %llu messages in flight",
                 (unsigned long long)contents_in_flight_count(queue));
    node->done = true;
}

/* The answer to a GET is the message itself, and the queue has it no more. A peer that does not read is waited for only
 * so long. */
static bool answers_have_left(struct queue *queue, int64_t now_ns)
{
    if (!listener_has_unsent(queue->listener) && queue->held.count == 0)
        return true;
    if (queue->answers_since_ns == 0)
        queue->answers_since_ns = now_ns;
    int64_t part_ns = queue->node->spec->launch.drain_timeout_ns / 4; /* the launch is to end within the whole of it */
    int64_t limit_ns = answers_wait_ns < part_ns ? answers_wait_ns : part_ns;
    if (queue->answers_since_ns + limit_ns < queue->node->deadline_ns)
        queue->node->deadline_ns = queue->answers_since_ns + limit_ns;
    return now_ns - queue->answers_since_ns >= limit_ns;
}

/* Those that wait for room at their queue are waited for as long as the stop may take; not those in an outbox, which
 * are there at the next start. */
static bool dead_letters_sent(const struct queue *queue)
{
    if (queue->dead_letter == NULL)
        return true;
    struct outlet *const outlets[] = {queue->dead_letter};
    struct outlet_counts counts = outlets_counts(outlets, 1);
    return (queue->leases == NULL || leases_first_given_up(queue->leases) == NULL) &&
           counts.held_count == counts.kept_count;
}

/*
 * On a cycle what is in flight could go round for ever, so there the queue keeps what it has; elsewhere it first hands
 * on everything to its workers in the launch, as long as they can take it.
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
    bool keeps = node->on_cycle || queue->dispatch.target_count == 0 || kept_gives_no_more(queue);
    node->takes_no_more = keeps && contents_is_full(queue);
    bool given = keeps || (all_in && contents_takeable_count(queue) == 0);
    if (!queue->outputs_ended && given && dead_letters_sent(queue))
        queue->outputs_ended = node_end_outputs(node);
    kept_hurry(queue);
    if (queue->outputs_ended && all_in && kept_has_settled(queue) && answers_have_left(queue, now_ns))
        finish(queue);
}

/* ---- callbacks ---- */

static enum status queue_check(const struct node_spec *node, const struct topology_spec *spec, struct error *error)
{
    const struct queue_config *config = node->config;
    (void)spec;
    for (size_t i = 0; i < config->dead_letter.count; i++)
        for (size_t k = 0; k < config->address.count; k++)
            if (address_reaches(&config->dead_letter.items[i], &config->address.items[k]))
                return error_set(error, STATUS_USAGE, "--dead-letter %s: that is this queue itself",
                                 config->dead_letter.items[i].text);
    if (config->dead_letter.count > 1)
        return error_set(error, STATUS_USAGE, "--dead-letter takes one address");
    return STATUS_OK;
}

static bool queue_is_durable(const struct node_spec *node, const struct topology_spec *spec)
{
    const struct queue_config *config = node->config;
    return spec->launch.store != NULL &&
           (config->durability != DURABILITY_MEMORY || config->overflow == OVERFLOW_SPILL);
}

/* A message is settled when its dead letter is emitted. Where the message is kept, a letter that leaves the launch is
 * kept too, from the same batch on, in an outbox. */
static enum status open_dead_letter(struct queue *queue, struct error *error)
{
    struct node *node = queue->node;
    const struct port *port = NULL;
    for (size_t i = node->output_count; i-- > 0;)
        port = node->outputs[i].address != NULL ? &node->outputs[i] : port;
    if (port == NULL)
        return STATUS_OK;
    bool boxed = node->journal != NULL && queue->config->durability != DURABILITY_MEMORY && port->edge == NULL;
    const struct outlet_promise promise = {.confirms = boxed, .outbox_owner = boxed ? queue_stored_name(node) : NULL};
    return outlet_open(&queue->dead_letter, node, port, &promise, error);
}

static enum status queue_open(struct node *node, struct error *error)
{
    struct queue *queue = node->state;
    queue->node = node;
    queue->config = node->config;
    queue->now_ns = clock_monotonic_ns();
    queue->resident_next = 1;
    dispatch_open(&queue->dispatch, node);
    enum status status = open_dead_letter(queue, error);
    if (status == STATUS_OK)
        status = kept_open(queue, error);
    if (status != STATUS_OK)
        return status;
    queue->is_plain =
        queue->kept.journal == NULL && queue->config->overflow == OVERFLOW_REJECT && queue->config->age_max_ns == 0;
    show_size(queue);
    struct listener_handlers handlers = {.batch = command_batch_begins,
                                         .datagram = command_datagram,
                                         .frame = command_frame,
                                         .stream_fault = stream_fault,
                                         .stream_closed = answers_stream_closed,
                                         .refused = connections_refused,
                                         .context = queue};
    uint64_t frame_bytes_max = queue->config->message_bytes_max + strlen("PUTID::") + QUEUE_ID_BYTES_MAX;
    if (frame_bytes_max < QUEUE_SEEN_BYTES_MAX)
        frame_bytes_max = QUEUE_SEEN_BYTES_MAX;
    return listener_open(&queue->listener, node, &queue->config->address, frame_bytes_max,
                         queue->config->connection_count_max, &handlers, error);
}

/* What only some queues need; nothing of it costs the others more than a look at a few words. */
static uint64_t take_care(struct queue *queue, int64_t now_ns, int64_t *deadline_ns)
{
    uint64_t work = 0;
    if (queue->kept.journal != NULL)
        work += kept_step(queue);
    if (queue->leases != NULL || queue->dead_letter != NULL)
        work += leasing_step(queue, now_ns, deadline_ns);
    if (queue->config->age_max_ns > 0)
        work += contents_expire(queue, now_ns);
    return work;
}

static size_t queue_step(struct node *node, int64_t now_ns)
{
    struct queue *queue = node->state;
    enum stop_phase phase = node_stop_phase(node);
    if (queue->now_ns > now_ns) /* commands have come since the loop looked at the clock */
        now_ns = clock_monotonic_ns();
    queue->now_ns = now_ns;
    int64_t deadline_ns = CLOCK_NEVER_NS;
    uint64_t work = take_edges(queue);
    work += take_care(queue, now_ns, &deadline_ns);
    if (!queue->outputs_ended && phase != STOP_ABANDON && !(node->on_cycle && phase != STOP_NOT))
        work += dispatch(queue, now_ns);
    if (queue->held.count > 0)
        work += answers_step(queue);
    if (queue->waiting.count > 0)
        work += waiting_step(queue);
    if (queue->config->age_max_ns > 0 && contents_expiry_ns(queue) < deadline_ns)
        deadline_ns = contents_expiry_ns(queue);
    node->deadline_ns = listener_step(queue->listener, now_ns);
    if (deadline_ns < node->deadline_ns)
        node->deadline_ns = deadline_ns;
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
    answers_close(queue);
    outlet_close(&queue->dead_letter);
    kept_close(queue);
    leases_close(&queue->leases);
    recent_ids_close(&queue->ids);
    text_free(&queue->text);
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
    .is_durable = queue_is_durable,
    .carries = queue_carries,
    .check = queue_check,
    .open = queue_open,
    .step = queue_step,
    .close = queue_close,
};
