/*
 * answers.c: answers that wait until the disk has something, and commands that wait for room.
 *
 * Answers that wait are in one list, in order of their tickets, and leave it from its front. An answer that need not
 * wait goes behind those of its own stream that do: a stream's answers come in the order of its commands. Over UDP
 * each goes when it may.
 *
 * Commands wait when --overflow is block: PUTs that have no room, and what comes on the same stream behind them. They
 * are handled in the order in which they came; so the first of them is always a PUT that still has no room.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/store/journal.h"
#include "net/lhhttt.h"
#include "nodes/queue/queue_private.h"

/* A command beyond these is refused at once, with ERR queue full; one on a stream whose earlier ones wait is refused in
 * its turn, and costs no text until then. */
enum { WAITING_COUNT_MAX = 10000, WAITING_BYTES_MAX = 64 << 20, REFUSED_COUNT_MAX = 4 * WAITING_COUNT_MAX };

/* A stream for which something waits. */
struct caller {
    struct tcp_stream *stream; /* NULL: it is gone */
    uint64_t held_count;
    uint64_t waiting_count;
};

struct waiting {
    struct waiting *next;
    struct caller *caller; /* NULL: over UDP */
    struct udp_socket *udp;
    struct udp_peer peer;
    uint64_t ticket; /* of an answer */
    bool refused;    /* a command: only to be told so */
    size_t length;
    char text[];
};

/* ---- both ---- */

static struct caller *caller_of(struct tcp_stream *stream)
{
    void **user = tcp_user(stream);
    if (*user == NULL) {
        struct caller *caller = calloc(1, sizeof *caller);
        CHECK(caller != NULL);
        caller->stream = stream;
        *user = caller;
    }
    return *user;
}

/* A stream's caller lives as long as something of it waits. */
static void forget_caller(struct caller *caller)
{
    if (caller == NULL || caller->held_count > 0 || caller->waiting_count > 0)
        return;
    if (caller->stream != NULL)
        *tcp_user(caller->stream) = NULL;
    free(caller);
}

void answers_stream_closed(void *context, struct tcp_stream *stream)
{
    (void)context;
    struct caller *caller = *tcp_user(stream);
    if (caller == NULL)
        return;
    caller->stream = NULL;
    *tcp_user(stream) = NULL;
}

static struct waiting *append(struct waiting_list *list, const struct answer_way *way, size_t length)
{
    struct waiting *waiting = calloc(1, sizeof *waiting + length);
    CHECK(waiting != NULL);
    waiting->length = length;
    if (way->stream != NULL) {
        waiting->caller = caller_of(way->stream);
    } else {
        waiting->udp = way->udp;
        waiting->peer = *way->peer;
    }
    if (list->last != NULL)
        list->last->next = waiting;
    else
        list->first = waiting;
    list->last = waiting;
    list->count++;
    list->bytes += sizeof *waiting + length;
    return waiting;
}

static struct waiting *take_first(struct waiting_list *list)
{
    struct waiting *waiting = list->first;
    list->first = waiting->next;
    if (list->first == NULL)
        list->last = NULL;
    list->count--;
    list->bytes -= sizeof *waiting + waiting->length;
    return waiting;
}

/* False: the stream is gone. */
static bool way_back(const struct waiting *waiting, struct answer_way *way)
{
    *way = (struct answer_way){0};
    if (waiting->caller != NULL)
        way->stream = waiting->caller->stream;
    else
        *way = (struct answer_way){.udp = waiting->udp, .peer = &waiting->peer};
    return waiting->caller == NULL || way->stream != NULL;
}

/* ---- answers ---- */

static void hold(struct queue *queue, const struct answer_way *way, uint64_t ticket, const void *head,
                 size_t head_length, const void *body, size_t body_length)
{
    struct waiting *held = append(&queue->held, way, head_length + body_length);
    held->ticket = ticket;
    if (head_length > 0)
        memcpy(held->text, head, head_length);
    if (body_length > 0)
        memcpy(held->text + head_length, body, body_length);
    if (held->caller != NULL) {
        held->caller->held_count++;
        tcp_owe(way->stream, sizeof *held + held->length);
    } else {
        queue->held_datagram_count++;
    }
}

static void send_datagram(struct queue *queue, const struct answer_way *way, const void *head, size_t head_length,
                          const void *body, size_t body_length)
{
    char start[LHHTTT_HEADER_BYTES_MAX + QUEUE_ANSWER_BYTES];
    size_t start_length = lhhttt_write_header(head_length + body_length, start);
    if (body_length > 0) { /* udp_send takes two parts */
        CHECK(head_length <= QUEUE_ANSWER_BYTES);
        memcpy(start + start_length, head, head_length);
        start_length += head_length;
        head = body;
        head_length = body_length;
    }
    /* An answer that no datagram holds is not given; one that the system does not send is counted. */
    enum status status = udp_send(way->udp, way->peer, start, start_length, head, head_length);
    CHECK(status == STATUS_OK);
    if (udp_gathered_count(way->udp) == 1)
        queue->trusted_count = 0; /* the answers before this one may have been sent just now, which takes a while */
}

static void send_answer(struct queue *queue, const struct answer_way *way, const void *head, size_t head_length,
                        const void *body, size_t body_length)
{
    if (way->stream != NULL)
        tcp_send(way->stream, head, head_length, body, body_length);
    else
        send_datagram(queue, way, head, head_length, body, body_length);
}

void answer_now(struct queue *queue, const struct answer_way *way, const void *head, size_t head_length,
                const void *body, size_t body_length)
{
    if (queue->held.count > 0 && way->stream != NULL) {
        const struct caller *caller = *tcp_user(way->stream);
        if (caller != NULL && caller->held_count > 0) {
            hold(queue, way, queue->held.last->ticket, head, head_length, body, body_length);
            return;
        }
    }
    send_answer(queue, way, head, head_length, body, body_length);
}

void answer_when_synced(struct queue *queue, const struct answer_way *way, uint64_t ticket, const void *head,
                        size_t head_length, const void *body, size_t body_length)
{
    if (ticket == 0 || kept_is_synced(queue, ticket)) {
        answer_now(queue, way, head, head_length, body, body_length);
        return;
    }
    /* A repeated PUTID may ask for an earlier ticket than the last answer's: it waits a little longer. */
    if (queue->held.last != NULL && queue->held.last->ticket > ticket)
        ticket = queue->held.last->ticket;
    hold(queue, way, ticket, head, head_length, body, body_length);
}

uint64_t answers_step(struct queue *queue)
{
    uint64_t sent = 0;
    while (queue->held.first != NULL && kept_is_synced(queue, queue->held.first->ticket)) {
        struct waiting *held = take_first(&queue->held);
        struct answer_way way;
        if (held->caller != NULL)
            held->caller->held_count--;
        else
            queue->held_datagram_count--;
        if (way_back(held, &way))
            send_answer(queue, &way, held->text, held->length, NULL, 0);
        if (way.stream != NULL)
            tcp_unowe(way.stream, sizeof *held + held->length);
        forget_caller(held->caller);
        free(held);
        sent++;
    }
    return sent;
}

/* ---- commands ---- */

static bool is_put(const struct queue_command *command)
{
    return command->verb == QUEUE_PUT || command->verb == QUEUE_PUTID;
}

/* A repeat of an id adds nothing and needs no room. */
static bool needs_room(const struct queue *queue, const struct queue_command *command)
{
    uint32_t known_bytes;
    if (!is_put(command) || command->message_length > queue->config->message_bytes_max)
        return false;
    if (command->verb == QUEUE_PUTID && queue->ids != NULL &&
        recent_ids_find(queue->ids, command->name, command->name_length, queue->now_ns, &known_bytes))
        return false;
    return !contents_has_room(queue, (uint32_t)command->message_length);
}

static bool has_waiting(const struct answer_way *way)
{
    if (way->stream == NULL)
        return false;
    const struct caller *caller = *tcp_user(way->stream);
    return caller != NULL && caller->waiting_count > 0;
}

static void refuse(struct queue *queue, const struct answer_way *way)
{
    char text[QUEUE_ANSWER_BYTES];
    stats_count(queue->node->stats, COUNTER_REJECTED_FULL);
    answer_now(queue, way, text, queue_answer_full(text), NULL, 0);
}

static void keep_waiting(struct queue *queue, const struct answer_way *way, const void *text, size_t length,
                         bool refused)
{
    struct waiting *waiting = append(&queue->waiting, way, refused ? 0 : length);
    waiting->refused = refused;
    if (!refused && length > 0)
        memcpy(waiting->text, text, length);
    if (waiting->caller != NULL)
        waiting->caller->waiting_count++;
}

bool command_must_wait(struct queue *queue, const struct answer_way *way, const struct queue_command *command,
                       const void *text, size_t length)
{
    if (queue->replaying)
        return false;
    bool behind = has_waiting(way);
    if (!behind && !(is_put(command) && (queue->waiting.count > 0 || needs_room(queue, command))))
        return false;
    bool too_many = queue->waiting.count >= WAITING_COUNT_MAX || queue->waiting.bytes + length > WAITING_BYTES_MAX;
    if (!too_many || (behind && queue->waiting.count < REFUSED_COUNT_MAX))
        keep_waiting(queue, way, text, length, too_many);
    else if (behind)
        tcp_shut(way->stream); /* it sends without end and awaits no answer */
    else
        refuse(queue, way);
    return true;
}

static bool first_must_wait(const struct queue *queue)
{
    const struct waiting *first = queue->waiting.first;
    if (first->refused || (first->caller != NULL && first->caller->stream == NULL))
        return false;
    struct queue_command command = queue_command_parse(first->text, first->length);
    return needs_room(queue, &command);
}

uint64_t waiting_step(struct queue *queue)
{
    uint64_t handled = 0;
    while (queue->waiting.first != NULL && !first_must_wait(queue)) {
        struct waiting *first = take_first(&queue->waiting);
        struct answer_way way;
        bool there = way_back(first, &way);
        queue->replaying = true;
        if (there && first->refused)
            refuse(queue, &way);
        else if (there)
            command_handle(queue, &way, first->text, first->length);
        queue->replaying = false;
        if (first->caller != NULL)
            first->caller->waiting_count--;
        forget_caller(first->caller);
        free(first);
        handled++;
    }
    return handled;
}

/* After the listener has closed: all streams are gone. */
void answers_close(struct queue *queue)
{
    struct waiting_list *lists[] = {&queue->held, &queue->waiting};
    for (size_t i = 0; i < 2; i++) {
        while (lists[i]->first != NULL) {
            struct waiting *first = take_first(lists[i]);
            if (first->caller != NULL && i == 0)
                first->caller->held_count--;
            else if (first->caller != NULL)
                first->caller->waiting_count--;
            forget_caller(first->caller);
            free(first);
        }
    }
}
