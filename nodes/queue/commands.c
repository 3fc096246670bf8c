/* commands.c: what comes over sockets. */
#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "nodes/queue/queue_private.h"

/* Commands that were read at once share a look at the clock, so many of them: that is one or two microseconds' worth,
 * and a look costs as much as the rest of a command. One that is put and taken within them has waited for 0 ns. */
static const unsigned trusted_count_max = 16;

/* Over UDP so many answers may wait for the disk; a stream has a bound of its own (tcp_owe). */
enum { HELD_DATAGRAM_COUNT_MAX = 65536 };

/* ---- PUT, PUTID, SEEN ---- */

static size_t put(struct queue *queue, const struct queue_command *command, char *text, bool *taken)
{
    struct node_stats *stats = queue->node->stats;
    const struct queue_config *config = queue->config;
    *taken = false;
    if (command->message_length > config->message_bytes_max) {
        stats_count(stats, COUNTER_REJECTED_LONG);
        return queue_answer_too_long(text, command->message_length, config->message_bytes_max);
    }
    uint32_t length = (uint32_t)command->message_length;
    switch (contents_put(queue, command->message, length, queue->now_ns)) {
    case PUT_TAKEN:
        *taken = true;
        return queue_answer_put(text, length);
    case PUT_FULL:
        stats_count(stats, COUNTER_REJECTED_FULL);
        return queue_answer_full(text);
    case PUT_FULL_DISK:
        break;
    }
    stats_count(stats, COUNTER_REJECTED_DISK);
    return queue_answer_full_disk(text);
}

static void answer_put(struct queue *queue, const struct answer_way *way, const char *text, size_t length)
{
    answer_when_synced(queue, way, kept_put_ticket(queue), text, length, NULL, 0);
}

static void handle_put(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    char text[QUEUE_ANSWER_BYTES];
    bool taken;
    size_t length = put(queue, command, text, &taken);
    if (taken)
        answer_put(queue, way, text, length);
    else
        answer_now(queue, way, text, length, NULL, 0);
}

/* An id that could not be remembered (no memory) does not make its message untrue: it is logged, and a repeat of it
 * would be a second message. */
static void remember(struct queue *queue, const struct queue_command *command)
{
    struct error error = {0};
    uint32_t length = (uint32_t)command->message_length;
    if (recent_ids_add(queue->ids, command->name, command->name_length, queue->now_ns, length, &error) != STATUS_OK)
        log_line(queue->node->log, LOG_ERROR, "an id is not remembered: %s", error.text);
    kept_remember_id(queue, command->name, command->name_length, length);
}

static void handle_put_id(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    const struct queue_config *config = queue->config;
    struct error error = {0};
    char text[QUEUE_ANSWER_BYTES];
    uint32_t known_bytes;
    if (queue->ids == NULL &&
        recent_ids_open(&queue->ids, config->dedup_count, config->dedup_age_ns, &error) != STATUS_OK) {
        log_line(queue->node->log, LOG_ERROR, "PUTID: %s", error.text);
        stats_count(queue->node->stats, COUNTER_REJECTED_FULL);
        answer_now(queue, way, text, queue_answer_full(text), NULL, 0);
        return;
    }
    if (recent_ids_find(queue->ids, command->name, command->name_length, queue->now_ns, &known_bytes)) {
        stats_count(queue->node->stats, COUNTER_DUPLICATES);
        answer_put(queue, way, text, queue_answer_put(text, known_bytes)); /* the first may not be on the disk yet */
        return;
    }
    bool taken;
    size_t length = put(queue, command, text, &taken);
    if (!taken) {
        answer_now(queue, way, text, length, NULL, 0);
        return;
    }
    remember(queue, command);
    answer_put(queue, way, text, length);
}

/* Those that are known are told of when they are on the disk, as a repeat of them would be. */
static void handle_seen(struct queue *queue, const struct answer_way *way, struct queue_command command)
{
    bool seen[QUEUE_SEEN_IDS_MAX];
    bool any = false;
    size_t count = 0;
    const void *id;
    size_t id_length;
    while ((id = queue_next_id(&command, &id_length)) != NULL) {
        uint32_t known_bytes;
        seen[count] = queue->ids != NULL && recent_ids_find(queue->ids, id, id_length, queue->now_ns, &known_bytes);
        any = any || seen[count];
        count++;
    }
    char text[QUEUE_ANSWER_BYTES];
    size_t length = queue_answer_seen(text, command.name, command.name_length, seen, count);
    if (any)
        answer_put(queue, way, text, length);
    else
        answer_now(queue, way, text, length, NULL, 0);
}

/* ---- GET ---- */

static void get(struct queue *queue, const struct answer_way *way)
{
    struct node_stats *stats = queue->node->stats;
    struct oldest oldest = contents_oldest(queue);
    if (oldest.text == NULL) {
        stats_count(stats, COUNTER_EMPTY_GETS);
        answer_now(queue, way, "", 0, NULL, 0);
        return;
    }
    char header[LHHTTT_HEADER_BYTES_MAX];
    if (way->stream == NULL && lhhttt_write_header(oldest.length, header) + oldest.length > UDP_DATAGRAM_BYTES_MAX) {
        char text[QUEUE_ANSWER_BYTES];
        stats_count(stats, COUNTER_NEEDS_TCP);
        answer_now(queue, way, text, queue_answer_needs_tcp(text, oldest.length), NULL, 0);
        return;
    }
    /* The message leaves when the disk has that it left. */
    answer_when_synced(queue, way, kept_ticket(queue), oldest.text, oldest.length, NULL, 0);
    stats_add(&stats->out_count, 1);
    histogram_record(&stats->latency, queue->now_ns - oldest.put_ns, 1);
    contents_remove(queue, &oldest, true);
}

/* ---- the short way ---- */

/* What handle_put and get do, for a queue of which none of the rest is asked: these two are nearly all that comes, and
 * the way through contents.c would cost a fifth more. False: not this time. */

static bool put_plainly(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    const struct queue_config *config = queue->config;
    uint32_t length = (uint32_t)command->message_length;
    if (command->message_length > config->message_bytes_max || queue->aside_count > 0 ||
        queue->store.message_count >= config->capacity_count ||
        !message_store_has_room(&queue->store, length, config->capacity_bytes))
        return false;
    message_store_append(&queue->store, command->message, length, queue->now_ns);
    queue->resident_next++;
    stats_add(&queue->node->stats->in_count, 1);
    char text[QUEUE_ANSWER_BYTES];
    answer_now(queue, way, text, queue_answer_put(text, length), NULL, 0);
    return true;
}

static bool get_plainly(struct queue *queue, const struct answer_way *way)
{
    struct block_cursor *cursor = message_store_cursor(&queue->store);
    if (cursor == NULL || queue->aside_count > 0)
        return false;
    const struct message *message = block_cursor_peek(cursor);
    if (way->stream == NULL && LHHTTT_HEADER_BYTES_MAX + message->length > UDP_DATAGRAM_BYTES_MAX)
        return false;
    struct node_stats *stats = queue->node->stats;
    answer_now(queue, way, message->text, message->length, NULL, 0);
    stats_add(&stats->out_count, 1);
    histogram_record(&stats->latency, queue->now_ns - block_message_time_ns(cursor->block, message), 1);
    uint32_t record_bytes = message_record_bytes(message->length);
    block_cursor_pop(cursor);
    message_store_taken(&queue->store, 1, record_bytes);
    return true;
}

static bool handle_plainly(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    if (command->verb == QUEUE_PUT)
        return put_plainly(queue, way, command);
    return command->verb == QUEUE_GET && get_plainly(queue, way);
}

/* ---- the others ---- */

static void handle_stats(struct queue *queue, const struct answer_way *way)
{
    text_reset(&queue->text);
    contents_write_stats(queue, &queue->text);
    CHECK(!text_failed(&queue->text));
    answer_now(queue, way, queue->text.data, queue->text.length, NULL, 0);
}

static void handle_ack(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    char text[QUEUE_ANSWER_BYTES];
    size_t length = leasing_ack(queue, command, text);
    answer_when_synced(queue, way, kept_ticket(queue), text, length, NULL, 0);
}

static void handle_short(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    char text[QUEUE_ANSWER_BYTES];
    size_t length = 0;
    if (command->verb == QUEUE_NACK) {
        length = leasing_nack(queue, command, text);
    } else if (command->verb == QUEUE_EXTEND) {
        length = leasing_extend(queue, command, text);
    } else if (command->verb == QUEUE_SIZE) {
        length = queue_answer_size(text, contents_takeable_count(queue));
    } else {
        stats_count(queue->node->stats, COUNTER_UNKNOWN);
        length = command->verb == QUEUE_UNKNOWN ? queue_answer_unknown(text) : queue_answer_malformed(text);
    }
    answer_now(queue, way, text, length, NULL, 0);
}

static void handle_parsed(struct queue *queue, const struct answer_way *way, const struct queue_command *command)
{
    if (queue->config->age_max_ns > 0)
        contents_expire(queue, queue->now_ns);
    switch (command->verb) {
    case QUEUE_PUT:
        handle_put(queue, way, command);
        break;
    case QUEUE_GET:
        get(queue, way);
        break;
    case QUEUE_PUTID:
        handle_put_id(queue, way, command);
        break;
    case QUEUE_SEEN:
        handle_seen(queue, way, *command);
        break;
    case QUEUE_LEASE:
        leasing_lease(queue, command, way);
        break;
    case QUEUE_ACK:
        handle_ack(queue, way, command);
        break;
    case QUEUE_STATS:
        handle_stats(queue, way);
        break;
    case QUEUE_SIZE:
    case QUEUE_NACK:
    case QUEUE_EXTEND:
    case QUEUE_MALFORMED:
    case QUEUE_UNKNOWN:
        handle_short(queue, way, command);
        break;
    }
}

void command_handle(struct queue *queue, const struct answer_way *way, const void *text, size_t length)
{
    struct queue_command command = queue_command_parse(text, length);
    if (queue->trusted_count-- == 0) {
        queue->now_ns = clock_monotonic_ns();
        queue->trusted_count = trusted_count_max - 1;
    }
    if (queue->is_plain && handle_plainly(queue, way, &command))
        return;
    if (queue->config->overflow == OVERFLOW_BLOCK && command_must_wait(queue, way, &command, text, length))
        return;
    handle_parsed(queue, way, &command);
}

/* ---- from the listener ---- */

static void log_malformed(struct queue *queue, const void *data, size_t length)
{
    char quoted[96];
    stats_count(queue->node->stats, COUNTER_MALFORMED);
    if (log_wants(queue->node->log, LOG_DEBUG))
        log_line(queue->node->log, LOG_DEBUG, "a datagram of %zu bytes is no frame: '%s'", length,
                 log_quote(data, length, quoted, sizeof quoted));
}

void command_batch_begins(void *context)
{
    struct queue *queue = context;
    queue->trusted_count = 0;
}

void command_datagram(void *context, struct udp_socket *socket, const struct udp_peer *peer, const void *data,
                      size_t length)
{
    struct queue *queue = context;
    const void *text;
    size_t text_length;
    if (queue->held_datagram_count >= HELD_DATAGRAM_COUNT_MAX) { /* as if it had been lost on the way */
        stats_count(queue->node->stats, COUNTER_UNHEARD);
        return;
    }
    if (lhhttt_read_datagram(data, length, &text, &text_length) != STATUS_OK) {
        log_malformed(queue, data, length);
        return;
    }
    struct answer_way way = {.udp = socket, .peer = peer};
    command_handle(queue, &way, text, text_length);
}

void command_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct answer_way way = {.stream = stream};
    command_handle(context, &way, text, length);
}
