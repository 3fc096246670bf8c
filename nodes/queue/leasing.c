/* leasing.c: what is out on leases, and dead letters. */
#include <string.h>
#include <sys/random.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "nodes/queue/dead_letter.h"
#include "nodes/queue/queue_private.h"

static const char reason_expired[] = "the lease expired";
static const char reason_ended[] = "the queue ended while it was on lease";
enum { DEAD_LETTERS_A_STEP = 64 };

/* STATUS_SYSTEM: no random bytes, no memory. Nothing if they are there. */
static enum status open_leases(struct queue *queue, struct error *error)
{
    if (queue->leases != NULL)
        return STATUS_OK;
    uint32_t epoch = 0;
    /* A message that is kept has the same name in each life of the queue: who has done it knows it again. A token of an
     * earlier life may then be one of this life too; it is for the same message, and what it says is true of it. */
    if (queue->kept.persists)
        epoch = queue->kept.epoch;
    else if (getrandom(&epoch, sizeof epoch, 0) != (ssize_t)sizeof epoch)
        return error_set(error, STATUS_SYSTEM, "the system gives no random bytes");
    return leases_open(&queue->leases, epoch, error);
}

/* ---- giving ---- */

/* Whether a datagram can hold the answer: the head of a lease is not known before, so its longest is taken. */
static bool fits_way(const struct answer_way *way, uint32_t length)
{
    if (way->stream != NULL)
        return true;
    char header[LHHTTT_HEADER_BYTES_MAX];
    size_t text_length = (size_t)LEASE_TOKEN_BYTES_MAX + strlen(":4294967295:") + length;
    return lhhttt_write_header(text_length, header) + text_length <= UDP_DATAGRAM_BYTES_MAX;
}

/* NULL: there is no memory, and the message is where it was. */
static struct lease *lease_oldest(struct queue *queue, struct oldest *oldest, int64_t deadline_ns)
{
    if (oldest->lease != NULL) {
        if (oldest->lease->deliveries > 0)
            stats_count(queue->node->stats, COUNTER_REDELIVERED);
        leases_lease_again(queue->leases, oldest->lease, deadline_ns, clock_wall_ns());
        return oldest->lease;
    }
    const struct lease_message message = {.sequence = oldest->sequence,
                                          .deliveries = 1,
                                          .length = oldest->length,
                                          .text = oldest->text,
                                          .put_ns = oldest->put_ns,
                                          .first_wall_ns = clock_wall_ns()};
    struct lease *lease = NULL;
    struct error error = {0};
    if (leases_add_out(queue->leases, &message, deadline_ns, &lease, &error) != STATUS_OK) {
        log_line(queue->node->log, LOG_WARN, "no lease: %s", error.text);
        return NULL;
    }
    contents_remove(queue, oldest, false);
    return lease;
}

void leasing_lease(struct queue *queue, const struct queue_command *command, const struct answer_way *way)
{
    struct node_stats *stats = queue->node->stats;
    struct error error = {0};
    struct oldest oldest = contents_oldest(queue);
    char text[QUEUE_ANSWER_BYTES];
    if (oldest.text == NULL || open_leases(queue, &error) != STATUS_OK) {
        stats_count(stats, COUNTER_EMPTY_GETS);
        answer_now(queue, way, "", 0, NULL, 0);
        return;
    }
    if (!fits_way(way, oldest.length)) {
        stats_count(stats, COUNTER_NEEDS_TCP);
        answer_now(queue, way, text, queue_answer_needs_tcp(text, oldest.length), NULL, 0);
        return;
    }
    int64_t time_ns = command->time_ns > 0 ? command->time_ns : queue->config->lease_ns;
    const struct lease *lease = lease_oldest(queue, &oldest, queue->now_ns + time_ns);
    if (lease == NULL) {
        answer_now(queue, way, "", 0, NULL, 0);
        return;
    }
    contents_look_aside(queue);
    stats_count(stats, COUNTER_LEASED);
    if (queue->kept.persists)
        kept_count_delivery(queue, lease->member.sequence, lease->deliveries);
    char token[LEASE_TOKEN_BYTES_MAX];
    size_t token_length = leases_write_token(queue->leases, lease, token);
    size_t head_length = queue_answer_lease_head(text, token, token_length, lease->deliveries);
    answer_when_synced(queue, way, kept_lease_ticket(queue), text, head_length, lease->text, lease->length);
}

/* ---- taking back ---- */

static void give_up(struct queue *queue, struct lease *lease, const void *reason, size_t reason_length)
{
    if (queue->dead_letter != NULL) {
        leases_give_up(queue->leases, lease, reason, reason_length);
        return;
    }
    char quoted[96];
    bool first = stats_get(&queue->node->stats->counters[COUNTER_UNDELIVERABLE]) == 0; /* all are counted */
    log_line(queue->node->log, first ? LOG_WARN : LOG_DEBUG,
             "message %llu was dropped after %lu deliveries (no --dead-letter): '%s'",
             (unsigned long long)lease->member.sequence, (unsigned long)lease->deliveries,
             log_quote(reason, reason_length, quoted, sizeof quoted));
    uint64_t sequence = lease->member.sequence;
    leases_give_up(queue->leases, lease, reason, reason_length);
    leases_end(queue->leases, &lease, LEASE_END_GIVEN_UP);
    kept_settle(queue, sequence, 1);
    node_drop(queue->node, COUNTER_UNDELIVERABLE, 1);
}

/* It comes back: to be delivered again, or, at its last delivery, given up. */
static void take_back(struct queue *queue, struct lease *lease, const void *reason, size_t reason_length)
{
    if (lease->deliveries >= queue->config->deliveries_max)
        give_up(queue, lease, reason, reason_length);
    else
        leases_return(queue->leases, lease, reason, reason_length);
    contents_look_aside(queue);
}

enum status leasing_recover(struct queue *queue, const struct lease_message *message, struct error *error)
{
    struct lease *lease = NULL;
    enum status status = open_leases(queue, error);
    if (status == STATUS_OK)
        status = leases_add_returned(queue->leases, message, &lease, error);
    if (status != STATUS_OK)
        return status;
    if (message->deliveries >= queue->config->deliveries_max)
        give_up(queue, lease, reason_ended, strlen(reason_ended));
    contents_look_aside(queue);
    return STATUS_OK;
}

static enum lease_find find(const struct queue *queue, const struct queue_command *command, struct lease **lease)
{
    *lease = NULL;
    return queue->leases != NULL ? leases_find(queue->leases, command->name, command->name_length, lease)
                                 : LEASE_FIND_UNKNOWN;
}

static size_t answer_not_out(enum lease_find found, char *text)
{
    return found == LEASE_FIND_UNKNOWN ? queue_answer_unknown_lease(text) : queue_answer_lease_over(text);
}

/* One whose time is over, and whose message nobody else has got since, still counts: the work is done. */
size_t leasing_ack(struct queue *queue, const struct queue_command *command, char *text)
{
    struct lease *lease;
    enum lease_find found = find(queue, command, &lease);
    if (found == LEASE_FIND_ACKNOWLEDGED)
        return queue_answer_ok(text);
    if (lease == NULL || (found != LEASE_FIND_OUT && found != LEASE_FIND_RETURNED))
        return answer_not_out(found, text);
    uint64_t sequence = lease->member.sequence;
    struct node_stats *stats = queue->node->stats;
    stats_add(&stats->out_count, 1);
    stats_count(stats, COUNTER_ACKNOWLEDGED);
    histogram_record(&stats->latency, queue->now_ns - lease->put_ns, 1);
    leases_end(queue->leases, &lease, LEASE_END_ACKNOWLEDGED);
    contents_look_aside(queue);
    kept_settle(queue, sequence, 1);
    return queue_answer_ok(text);
}

size_t leasing_nack(struct queue *queue, const struct queue_command *command, char *text)
{
    struct lease *lease;
    enum lease_find found = find(queue, command, &lease);
    if (found == LEASE_FIND_RETURNED || found == LEASE_FIND_GIVEN_UP)
        return queue_answer_ok(text);
    if (found != LEASE_FIND_OUT)
        return answer_not_out(found, text);
    stats_count(queue->node->stats, COUNTER_NACKS);
    take_back(queue, lease, command->message, command->message_length);
    return queue_answer_ok(text);
}

size_t leasing_extend(struct queue *queue, const struct queue_command *command, char *text)
{
    struct lease *lease;
    enum lease_find found = find(queue, command, &lease);
    if (found != LEASE_FIND_OUT)
        return answer_not_out(found, text);
    leases_extend(queue->leases, lease, queue->now_ns + command->time_ns);
    return queue_answer_ok(text);
}

/* ---- dead letters ---- */

static void send_dead_letter(struct queue *queue, struct lease *lease, int64_t now_ns)
{
    struct dead_letter letter = {.deliveries = lease->deliveries,
                                 .first_wall_ns = lease->first_wall_ns > 0 ? lease->first_wall_ns : 0,
                                 .last_wall_ns = clock_wall_ns(),
                                 .message_bytes = lease->length};
    dead_letter_set_text(letter.reason, sizeof letter.reason, lease->reason, lease->reason_length);
    const char *source = queue_letter_name(queue->node);
    dead_letter_set_text(letter.source, sizeof letter.source, source, strlen(source));
    if (dead_letter_write(&queue->text, &letter, lease->text))
        outlet_emit(queue->dead_letter, queue->text.data, (uint32_t)queue->text.length, now_ns);
    else /* too long with its head: the bare message goes */
        outlet_emit(queue->dead_letter, lease->text, lease->length, now_ns);
}

static uint64_t send_dead_letters(struct queue *queue, int64_t now_ns)
{
    uint64_t sent = 0;
    struct lease *lease;
    while (sent < DEAD_LETTERS_A_STEP && (lease = leases_first_given_up(queue->leases)) != NULL &&
           outlet_has_room(queue->dead_letter) && !kept_cutting(queue) &&
           node_stop_phase(queue->node) != STOP_ABANDON) {
        uint64_t sequence = lease->member.sequence;
        send_dead_letter(queue, lease, now_ns);
        leases_end(queue->leases, &lease, LEASE_END_GIVEN_UP);
        kept_settle(queue, sequence, 1);
        stats_count(queue->node->stats, COUNTER_DEAD_LETTERED);
        sent++;
    }
    if (sent > 0)
        contents_look_aside(queue);
    return sent;
}

uint64_t leasing_step(struct queue *queue, int64_t now_ns, int64_t *deadline_ns)
{
    uint64_t work = 0;
    if (queue->leases != NULL) {
        struct lease *lease;
        while ((lease = leases_first_expired(queue->leases, now_ns)) != NULL) {
            stats_count(queue->node->stats, COUNTER_LEASES_EXPIRED);
            take_back(queue, lease, reason_expired, strlen(reason_expired));
            work++;
        }
        if (queue->dead_letter != NULL)
            work += send_dead_letters(queue, now_ns);
        int64_t next_ns = leases_next_deadline_ns(queue->leases);
        if (next_ns < *deadline_ns)
            *deadline_ns = next_ns;
    }
    if (queue->dead_letter != NULL) {
        int64_t when_ns = outlet_flush(queue->dead_letter, now_ns);
        if (when_ns < *deadline_ns)
            *deadline_ns = when_ns;
    }
    return work;
}
