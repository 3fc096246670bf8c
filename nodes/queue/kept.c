/*
 * kept.c: a queue's messages in the launch's store.
 *
 * In memory there is a window: the messages at the queue's head. Later ones are in the store only and are read back
 * when the window has become half empty; so a queue may be as long as the disk is large. A queue in memory that spills
 * has the same window, but gives to the store only what does not fit it, and takes it out of the store when it was read
 * back: nothing of it is to survive.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/store/journal.h"
#include "engine/topology_spec.h"
#include "nodes/queue/queue_private.h"

static const uint64_t window_bytes_max = UINT64_C(64) << 20;
static const uint64_t read_bytes_max = UINT64_C(4) << 20; /* a step: some milliseconds */
enum { TRIM_IDS_MIN = 4096 };

/* ---- putting and settling ---- */

bool kept_has_room(const struct queue *queue)
{
    return queue->kept.journal == NULL || journal_has_room(queue->kept.journal);
}

/* What is in this batch is kept up to here. */
static void mark(struct kept *kept)
{
    kept->put_ticket = journal_ticket(kept->journal);
    if (kept->mark_count > 0 && kept->marks[kept->mark_count - 1].ticket == kept->put_ticket) {
        kept->marks[kept->mark_count - 1].end = kept->next_sequence;
        return;
    }
    if (kept->mark_count == kept->mark_capacity) {
        kept->mark_capacity = kept->mark_capacity == 0 ? 16 : kept->mark_capacity * 2;
        kept->marks = realloc(kept->marks, kept->mark_capacity * sizeof *kept->marks);
        CHECK(kept->marks != NULL);
    }
    kept->marks[kept->mark_count++] = (struct kept_mark){.ticket = kept->put_ticket, .end = kept->next_sequence};
}

static uint64_t record_bytes(uint32_t length)
{
    return length + sizeof(struct message);
}

bool kept_append(struct queue *queue, const void *text, uint32_t length)
{
    struct kept *kept = &queue->kept;
    const struct message_store *store = &queue->store;
    bool fits = store->record_bytes + message_record_bytes(length) <= kept->window_bytes;
    /* Reading it back knows what to do about a gap in the numbers. */
    bool gap = kept->persists && queue->resident_next != kept->next_sequence;
    bool beyond = kept->beyond_count > 0 || (store->message_count > 0 && (!fits || gap));
    if (!beyond && !kept->persists)
        return false;
    uint64_t sequence = kept->next_sequence++;
    journal_append(kept->journal, kept->queue, sequence, text, length);
    mark(kept);
    if (beyond) {
        if (kept->beyond_count++ == 0)
            kept->read_sequence = sequence;
        kept->beyond_bytes += record_bytes(length);
    } else {
        queue->resident_next = sequence; /* contents_add appends it */
    }
    return beyond;
}

void kept_settle(struct queue *queue, uint64_t first, uint64_t count)
{
    if (queue->kept.persists && count > 0)
        journal_settle(queue->kept.journal, queue->kept.queue, first, count);
}

void kept_count_delivery(struct queue *queue, uint64_t sequence, uint32_t deliveries)
{
    journal_count_delivery(queue->kept.journal, queue->kept.queue, sequence, deliveries);
}

void kept_remember_id(struct queue *queue, const void *id, size_t id_length, uint32_t message_bytes)
{
    struct kept *kept = &queue->kept;
    if (!kept->persists)
        return;
    journal_remember_id(kept->journal, kept->queue, id, id_length, message_bytes);
    uint64_t count_max = queue->config->dedup_count;
    if (++kept->new_id_count < TRIM_IDS_MIN || kept->new_id_count < count_max / 8)
        return;
    kept->new_id_count = 0;
    journal_trim_ids(kept->journal, kept->queue, count_max, clock_wall_ns() - queue->config->dedup_age_ns);
}

/* ---- tickets ---- */

uint64_t kept_ticket(struct queue *queue)
{
    if (!queue->kept.sync)
        return 0;
    journal_want_sync(queue->kept.journal);
    return journal_ticket(queue->kept.journal);
}

uint64_t kept_put_ticket(struct queue *queue)
{
    const struct kept *kept = &queue->kept;
    if (!kept->sync && (kept->journal == NULL || !journal_is_behind(kept->journal)))
        return 0;
    if (kept->put_ticket == journal_ticket(kept->journal)) /* else somebody wanted it before */
        journal_want_sync(kept->journal);
    return kept->put_ticket;
}

uint64_t kept_lease_ticket(struct queue *queue)
{
    const struct kept *kept = &queue->kept;
    if (!kept->persists || kept->sync) /* of a sync queue only what is on the disk is given */
        return 0;
    if (kept->put_ticket == journal_ticket(kept->journal))
        journal_want_sync(kept->journal);
    return kept->put_ticket;
}

bool kept_is_synced(const struct queue *queue, uint64_t ticket)
{
    return journal_synced_ticket(queue->kept.journal) >= ticket;
}

void kept_hurry(struct queue *queue)
{
    if (queue->kept.sync && contents_ready_count(queue) < queue->store.message_count)
        journal_want_sync(queue->kept.journal);
}

bool kept_cutting(const struct queue *queue)
{
    return queue->kept.journal != NULL && journal_is_cutting(queue->kept.journal);
}

/* ---- workers on the durable thread ---- */

/* NULL: it is not durable. */
static const struct node *durable_target(const struct queue *queue, size_t target)
{
    size_t seen = 0;
    for (size_t i = 0; i < queue->node->output_count; i++) {
        const struct port *port = &queue->node->outputs[i];
        if (port->address == NULL && seen++ == target)
            return port->peer != NULL && port->peer->durable ? port->peer : NULL;
    }
    return NULL;
}

/* The dispatch's handler. */
static void note_handed(void *context, size_t target, uint64_t count)
{
    struct queue *queue = context;
    struct kept *kept = &queue->kept;
    uint64_t first = kept->handing_sequence != 0 ? kept->handing_sequence
                                                 : queue->resident_next - queue->store.message_count - count;
    if (durable_target(queue, target) == NULL) {
        stats_add(&queue->node->stats->out_count, count);
        kept_settle(queue, first, count);
        return;
    }
    struct error error = {0};
    enum status status = sequence_ranges_append(&kept->handed[target], first, count, &error);
    CHECK(status == STATUS_OK); /* 16 bytes more */
    kept->handed_count += count;
}

/* What a worker has released is done with: its outputs and its state are in this batch too. */
static void settle_handed(struct queue *queue, size_t target)
{
    struct kept *kept = &queue->kept;
    /* Acquire: pairs with edge_settle's release. (The worker is on this thread.) */
    uint64_t released =
        atomic_load_explicit(&queue->dispatch.targets[target].edge->released_count, memory_order_acquire);
    uint64_t left = released - kept->handed_released[target];
    kept->handed_released[target] = released;
    kept->handed_count -= left;
    stats_add(&queue->node->stats->out_count, left);
    while (left > 0) {
        uint64_t first;
        uint64_t count = sequence_ranges_take(&kept->handed[target], left, &first);
        CHECK(count > 0);
        kept_settle(queue, first, count);
        left -= count;
    }
}

static void cut(void *context)
{
    struct queue *queue = context;
    for (size_t i = 0; i < queue->dispatch.target_count; i++)
        if (durable_target(queue, i) != NULL)
            settle_handed(queue, i);
}

bool kept_gives_no_more(const struct queue *queue)
{
    for (size_t i = 0; i < queue->dispatch.active_count; i++) {
        const struct node *target = durable_target(queue, i);
        if (target == NULL || !target->done)
            return false;
    }
    return queue->kept.persists && queue->dispatch.active_count > 0;
}

bool kept_has_settled(const struct queue *queue)
{
    uint64_t left = 0;
    for (size_t i = 0; i < queue->dispatch.target_count; i++) {
        const struct node *target = durable_target(queue, i);
        if (target != NULL && target->done)
            left += edge_in_flight(queue->dispatch.targets[i].edge);
    }
    return queue->kept.handed_count == left;
}

/* A dead letter is settled here when it is sent; the queue that it goes to must have it then. */
static bool is_clean(void *context)
{
    const struct queue *queue = context;
    for (size_t i = 0; i < queue->node->output_count; i++) {
        const struct port *port = &queue->node->outputs[i];
        if (port->address != NULL && port->edge != NULL && port->peer != NULL && port->peer->durable &&
            edge_in_flight(port->edge) > 0)
            return false;
    }
    return true;
}

/* ---- what was read goes into memory ---- */

struct reading {
    struct queue *queue;
    int64_t now_ns, wall_ns;
    struct error error;
    enum status status;
};

static int64_t monotonic_of(const struct reading *reading, int64_t wall_ns)
{
    int64_t age_ns = reading->wall_ns - wall_ns;
    return reading->now_ns - (age_ns > 0 ? age_ns : 0); /* the clock may have been set back */
}

/* Those in memory below this number go to those that have come back: there is, or is to be, a gap behind them, and the
 * numbers in memory have none. */
static enum status move_aside(struct queue *queue, uint64_t below, struct error *error)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && queue->store.message_count > 0) {
        uint64_t sequence = queue->resident_next - queue->store.message_count;
        if (sequence >= below)
            break;
        struct block_cursor *cursor = message_store_cursor(&queue->store);
        const struct message *message = block_cursor_peek(cursor);
        const struct lease_message aside = {.sequence = sequence,
                                            .length = message->length,
                                            .text = message->text,
                                            .put_ns = block_message_time_ns(cursor->block, message)};
        status = leasing_recover(queue, &aside, error);
        if (status == STATUS_OK)
            message_store_pop(&queue->store);
    }
    return status;
}

static enum status take_in(struct reading *reading, const struct store_message *message)
{
    struct queue *queue = reading->queue;
    int64_t put_ns = monotonic_of(reading, message->wall_ns);
    bool gap = queue->store.message_count > 0 && message->sequence != queue->resident_next;
    if (message->deliveries > 0 || gap) {
        /* Few messages: they are what was in flight. */
        enum status status = move_aside(queue, UINT64_MAX, &reading->error);
        if (status != STATUS_OK)
            return status;
    }
    if (message->deliveries > 0) {
        const struct lease_message delivered = {.sequence = message->sequence,
                                                .deliveries = message->deliveries,
                                                .length = message->length,
                                                .text = message->text,
                                                .put_ns = put_ns,
                                                .first_wall_ns = message->wall_ns};
        return leasing_recover(queue, &delivered, &reading->error);
    }
    message_store_append(&queue->store, message->text, message->length, put_ns);
    queue->resident_next = message->sequence + 1;
    return STATUS_OK;
}

static bool take_read(void *context, const struct store_message *message)
{
    struct reading *reading = context;
    struct queue *queue = reading->queue;
    struct kept *kept = &queue->kept;
    if (kept->persists) {
        reading->status = take_in(reading, message);
        if (reading->status != STATUS_OK)
            return false;
    } else {
        message_store_append(&queue->store, message->text, message->length, monotonic_of(reading, message->wall_ns));
        queue->resident_next++;
        journal_settle(kept->journal, kept->queue, message->sequence, 1);
    }
    CHECK(kept->beyond_count > 0);
    kept->beyond_count--;
    kept->beyond_bytes -= record_bytes(message->length);
    kept->read_sequence = message->sequence + 1;
    return kept->beyond_count > 0;
}

/* ---- taking one out ---- */

static void renew_marks(struct kept *kept)
{
    uint64_t ticket = kept->sync ? journal_synced_ticket(kept->journal) : journal_logged_ticket(kept->journal);
    size_t passed = 0;
    while (passed < kept->mark_count && kept->marks[passed].ticket <= ticket)
        kept->kept_next = kept->marks[passed++].end;
    if (passed == 0)
        return;
    kept->mark_count -= passed;
    memmove(kept->marks, kept->marks + passed, kept->mark_count * sizeof *kept->marks);
}

static bool withdraw_beyond(struct queue *queue, uint64_t sequence, uint32_t length)
{
    struct kept *kept = &queue->kept;
    if (kept->beyond_count == 0 || sequence < kept->read_sequence)
        return false;
    kept->beyond_count--;
    kept->beyond_bytes -= record_bytes(length);
    journal_settle(kept->journal, kept->queue, sequence, 1);
    kept->withdrawn_ticket = journal_ticket(kept->journal);
    contents_look_aside(queue);
    return true;
}

/* Makes it the first in memory, or finds it among those that have come back. */
static bool find_in_memory(struct queue *queue, uint64_t sequence, struct oldest *found)
{
    struct error error = {0};
    struct lease *lease = queue->leases != NULL ? leases_at(queue->leases, sequence) : NULL;
    *found = (struct oldest){.sequence = sequence, .lease = lease};
    if (lease != NULL)
        return lease->place == LEASE_RETURNED;
    if (sequence < queue->resident_next - queue->store.message_count || sequence >= queue->resident_next ||
        sequence >= queue->kept.kept_next)
        return false;
    if (move_aside(queue, sequence, &error) == STATUS_OK)
        return true;
    log_line(queue->node->log, LOG_ERROR, "message %llu cannot be taken out: %s", (unsigned long long)sequence,
             error.text);
    return false;
}

bool kept_withdraw(struct queue *queue, uint64_t sequence, uint32_t length)
{
    renew_marks(&queue->kept);
    if (withdraw_beyond(queue, sequence, length))
        return true;
    struct oldest found;
    if (!queue->kept.persists || !find_in_memory(queue, sequence, &found))
        return false;
    contents_remove(queue, &found, true);
    return true;
}

/* ---- back, and at the start ---- */

static struct reading reading_of(struct queue *queue)
{
    return (struct reading){.queue = queue, .now_ns = clock_monotonic_ns(), .wall_ns = clock_wall_ns()};
}

static uint64_t read_back(struct queue *queue)
{
    struct kept *kept = &queue->kept;
    struct reading reading = reading_of(queue);
    struct error error = {0};
    uint64_t written = journal_written_ticket(kept->journal);
    uint64_t before = kept->beyond_count;
    uint64_t bytes_max = kept->window_bytes / 4 < read_bytes_max ? kept->window_bytes / 4 : read_bytes_max;
    enum status status =
        journal_read(kept->journal, kept->queue, kept->read_sequence, bytes_max + 1, take_read, &reading, &error);
    contents_look_aside(queue);
    if (status == STATUS_OK && reading.status != STATUS_OK) {
        status = reading.status;
        error = reading.error;
    }
    if (status != STATUS_OK && !kept->failed) {
        kept->failed = true;
        log_line(queue->node->log, LOG_ERROR, "what is in the store cannot be read: %s", error.text);
    }
    if (before == kept->beyond_count) {
        kept->read_ticket = written + 1; /* they are kept, but not in the store's file yet */
        journal_want_written(kept->journal);
    }
    return before - kept->beyond_count;
}

/* What has come back is in memory too, and goes before all that would be read. */
static bool wants_read_back(const struct queue *queue)
{
    const struct kept *kept = &queue->kept;
    if (kept->beyond_count == 0 || kept->failed || kept->kept_next <= kept->read_sequence)
        return false;
    uint64_t returned = queue->leases != NULL ? leases_place_text_bytes(queue->leases, LEASE_RETURNED) : 0;
    return queue->store.record_bytes + returned < kept->window_bytes / 2 &&
           journal_written_ticket(kept->journal) >= kept->withdrawn_ticket &&
           journal_written_ticket(kept->journal) >= kept->read_ticket;
}

uint64_t kept_step(struct queue *queue)
{
    struct kept *kept = &queue->kept;
    uint64_t before = kept->kept_next;
    renew_marks(kept);
    uint64_t work = kept->kept_next - before;
    if (wants_read_back(queue))
        work += read_back(queue);
    bool refused = queue->node->refuses_input;
    queue->node->refuses_input = !kept_has_room(queue) || contents_is_full(queue);
    return work + (refused && !queue->node->refuses_input); /* a worker that had its turn before waits for this */
}

/* ---- open and close ---- */

/* The same in each life of the queue, another for each queue: the store's identity is random. */
static uint32_t epoch_of(const struct kept *kept)
{
    uint32_t epoch = kept->queue;
    for (const char *digit = store_identity(journal_store(kept->journal)); *digit != '\0'; digit++)
        epoch = epoch * 31 + (unsigned char)*digit;
    return epoch;
}

static bool take_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    struct reading *reading = context;
    struct queue *queue = reading->queue;
    const struct queue_config *config = queue->config;
    int64_t seen_ns = monotonic_of(reading, wall_ns);
    uint32_t known_bytes;
    if (reading->now_ns - seen_ns > config->dedup_age_ns)
        return true;
    if (queue->ids == NULL)
        reading->status = recent_ids_open(&queue->ids, config->dedup_count, config->dedup_age_ns, &reading->error);
    if (reading->status == STATUS_OK && !recent_ids_find(queue->ids, id, id_length, seen_ns, &known_bytes))
        reading->status = recent_ids_add(queue->ids, id, id_length, seen_ns, message_bytes, &reading->error);
    return reading->status == STATUS_OK;
}

static enum status recover(struct queue *queue, const struct store_queue *found, struct error *error)
{
    struct kept *kept = &queue->kept;
    struct store *store = journal_store(kept->journal);
    struct reading reading = reading_of(queue);
    kept->read_sequence = found->settled_below;
    kept->beyond_count = found->message_count;
    kept->beyond_bytes = found->message_bytes + found->message_count * sizeof(struct message);
    stats_add(&queue->node->stats->in_count, found->message_count);
    stats_set(&queue->node->stats->counters[COUNTER_RECOVERED], found->message_count);
    enum status status = STATUS_OK;
    if (found->message_count > 0)
        status = store_read_messages(store, kept->queue, found->settled_below, kept->window_bytes, take_read, &reading,
                                     error);
    if (status == STATUS_OK && reading.status == STATUS_OK)
        status = store_read_ids(store, kept->queue, take_id, &reading, error);
    if (status == STATUS_OK && reading.status != STATUS_OK) {
        status = reading.status;
        *error = reading.error;
    }
    contents_look_aside(queue);
    if (status == STATUS_OK)
        log_line(queue->node->log, LOG_INFO, "recovered %llu messages (%llu bytes), %llu ids, in %.3f s",
                 (unsigned long long)found->message_count, (unsigned long long)found->message_bytes,
                 (unsigned long long)(queue->ids != NULL ? recent_ids_count(queue->ids) : 0),
                 (double)(clock_monotonic_ns() - reading.now_ns) / (double)NS_PER_S);
    return status;
}

static bool forget_one(void *context, const struct store_message *message)
{
    struct kept *kept = context;
    journal_settle(kept->journal, kept->queue, message->sequence, 1);
    return true;
}

/* What an earlier life of a queue in memory has left. */
static enum status forget(struct queue *queue, const struct store_queue *found, struct error *error)
{
    struct kept *kept = &queue->kept;
    if (found->message_count == 0)
        return STATUS_OK;
    log_line(queue->node->log, LOG_WARN,
             "%llu messages that an earlier life has left in the store are dropped: --durability is memory",
             (unsigned long long)found->message_count);
    if (found->message_count < found->next_sequence - found->settled_below) /* some of them were settled already */
        return store_read_messages(journal_store(kept->journal), kept->queue, found->settled_below, UINT64_MAX,
                                   forget_one, kept, error);
    journal_settle(kept->journal, kept->queue, found->settled_below, found->message_count);
    return STATUS_OK;
}

enum status kept_open(struct queue *queue, struct error *error)
{
    const struct queue_config *config = queue->config;
    struct node *node = queue->node;
    struct kept *kept = &queue->kept;
    if (node->journal == NULL || (config->durability == DURABILITY_MEMORY && config->overflow != OVERFLOW_SPILL))
        return STATUS_OK;
    kept->journal = node->journal;
    kept->persists = config->durability != DURABILITY_MEMORY;
    kept->sync = config->durability == DURABILITY_SYNC;
    bool bounded = config->overflow == OVERFLOW_SPILL && (!kept->persists || config->capacity_bytes < window_bytes_max);
    kept->window_bytes = bounded ? config->capacity_bytes : window_bytes_max;
    kept->handed = calloc(queue->dispatch.target_count + 1, sizeof *kept->handed);
    kept->handed_released = calloc(queue->dispatch.target_count + 1, sizeof *kept->handed_released);
    CHECK(kept->handed != NULL && kept->handed_released != NULL);
    queue->dispatch.handed = note_handed;
    queue->dispatch.context = queue;
    struct store_queue found;
    enum status status = journal_find_queue(kept->journal, queue_stored_name(node), &found, error);
    if (status != STATUS_OK)
        return status;
    kept->queue = found.queue;
    kept->epoch = epoch_of(kept);
    kept->next_sequence = found.next_sequence;
    kept->kept_next = found.next_sequence;
    if (kept->persists)
        queue->resident_next = found.next_sequence;
    struct journal_member member = {.is_clean = is_clean, .cut = cut, .context = queue};
    journal_join(kept->journal, &member);
    return kept->persists ? recover(queue, &found, error) : forget(queue, &found, error);
}

void kept_close(struct queue *queue)
{
    struct kept *kept = &queue->kept;
    for (size_t i = 0; kept->handed != NULL && i < queue->dispatch.target_count; i++)
        sequence_ranges_free(&kept->handed[i]);
    free(kept->handed);
    free(kept->handed_released);
    free(kept->marks);
    *kept = (struct kept){0};
}
