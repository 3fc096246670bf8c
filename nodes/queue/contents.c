/* contents.c: what is in a queue, and the ledger of it. */
#include <string.h>

#include "engine/clock.h"
#include "nodes/queue/queue_private.h"

/* ---- room ---- */

static uint64_t minus(uint64_t one, uint64_t other)
{
    return one > other ? one - other : 0;
}

bool contents_has_room(const struct queue *queue, uint32_t length)
{
    const struct queue_config *config = queue->config;
    if (queue->store.message_count + queue->aside_count >= config->capacity_count)
        return false;
    if (config->overflow == OVERFLOW_SPILL)
        return true;                  /* what is too much for the memory is for the disk */
    if (queue->kept.beyond_count > 0) /* an empty store takes any message: this one is not empty */
        return queue->store.record_bytes + queue->aside_bytes + message_record_bytes(length) <= config->capacity_bytes;
    return message_store_has_room(&queue->store, length, minus(config->capacity_bytes, queue->aside_bytes));
}

bool contents_is_full(const struct queue *queue)
{
    unsigned overflow = queue->config->overflow;
    bool drops = overflow == OVERFLOW_DROP_OLDEST || overflow == OVERFLOW_DROP_NEWEST;
    return !drops && !contents_has_room(queue, 0);
}

void contents_look_aside(struct queue *queue)
{
    queue->aside_count = queue->kept.beyond_count;
    queue->aside_bytes = queue->kept.beyond_bytes;
    if (queue->leases != NULL) {
        uint64_t count = leases_count(queue->leases);
        queue->aside_count += count;
        queue->aside_bytes += leases_text_bytes(queue->leases) + count * sizeof(struct message);
    }
}

/* ---- putting ---- */

void contents_add(struct queue *queue, const void *text, uint32_t length, int64_t put_ns)
{
    stats_add(&queue->node->stats->in_count, 1);
    if (queue->kept.journal != NULL && kept_append(queue, text, length)) {
        contents_look_aside(queue);
        return;
    }
    message_store_append(&queue->store, text, length, put_ns);
    queue->resident_next++;
}

/* The oldest in memory, or of those that have come back, whether the disk has it or not. */
static struct oldest first_at_hand(struct queue *queue)
{
    struct lease *lease = queue->leases != NULL ? leases_first_returned(queue->leases) : NULL;
    if (lease != NULL)
        return (struct oldest){.text = lease->text,
                               .length = lease->length,
                               .put_ns = lease->put_ns,
                               .sequence = lease->member.sequence,
                               .lease = lease};
    struct block_cursor *cursor = message_store_cursor(&queue->store);
    if (cursor == NULL)
        return (struct oldest){0};
    const struct message *message = block_cursor_peek(cursor);
    return (struct oldest){.text = message->text,
                           .length = message->length,
                           .put_ns = block_message_time_ns(cursor->block, message),
                           .sequence = queue->resident_next - queue->store.message_count};
}

/* Also one of a sync queue that is not on the disk yet: nobody sees it, and its PUT is answered when the disk has it
 * all the same. That it went is in the batch of the message that takes its place. False: nothing is there that could be
 * dropped (all is with somebody). */
static bool drop_oldest(struct queue *queue)
{
    struct oldest oldest = first_at_hand(queue);
    if (oldest.text == NULL)
        return false;
    contents_remove(queue, &oldest, true);
    node_drop(queue->node, COUNTER_DROPPED_OLDEST, 1);
    return true;
}

enum put_result contents_put(struct queue *queue, const void *text, uint32_t length, int64_t put_ns)
{
    bool has_room = contents_has_room(queue, length);
    if (!has_room && queue->config->overflow == OVERFLOW_DROP_NEWEST) {
        stats_add(&queue->node->stats->in_count, 1);
        node_drop(queue->node, COUNTER_DROPPED_NEWEST, 1);
        return PUT_TAKEN;
    }
    if (queue->kept.journal != NULL && !kept_has_room(queue))
        return PUT_FULL_DISK;
    while (!has_room && queue->config->overflow == OVERFLOW_DROP_OLDEST && drop_oldest(queue))
        has_room = contents_has_room(queue, length);
    if (!has_room)
        return PUT_FULL;
    contents_add(queue, text, length, put_ns);
    return PUT_TAKEN;
}

/* ---- taking ---- */

uint64_t contents_ready_count(const struct queue *queue)
{
    uint64_t count = queue->store.message_count;
    if (!queue->kept.sync)
        return count;
    uint64_t kept = minus(queue->kept.kept_next, queue->resident_next - count);
    return kept < count ? kept : count;
}

uint64_t contents_takeable_count(const struct queue *queue)
{
    uint64_t returned = queue->leases != NULL ? leases_place_count(queue->leases, LEASE_RETURNED) : 0;
    return queue->store.message_count + queue->kept.beyond_count + returned;
}

struct oldest contents_oldest(struct queue *queue)
{
    struct oldest oldest = first_at_hand(queue);
    if (oldest.lease == NULL && contents_ready_count(queue) == 0)
        oldest = (struct oldest){0};
    return oldest;
}

void contents_remove(struct queue *queue, struct oldest *oldest, bool forgotten)
{
    uint64_t sequence = oldest->sequence;
    if (oldest->lease != NULL) {
        leases_end(queue->leases, &oldest->lease, LEASE_END_TAKEN);
        contents_look_aside(queue);
    } else {
        message_store_pop(&queue->store);
    }
    if (forgotten && queue->kept.journal != NULL)
        kept_settle(queue, sequence, 1);
}

/* ---- age ---- */

uint64_t contents_expire(struct queue *queue, int64_t now_ns)
{
    uint64_t expired = 0;
    struct oldest oldest;
    while ((oldest = contents_oldest(queue)).text != NULL && now_ns - oldest.put_ns >= queue->config->age_max_ns) {
        contents_remove(queue, &oldest, true);
        expired++;
    }
    if (expired > 0)
        node_drop(queue->node, COUNTER_EXPIRED, expired);
    return expired;
}

int64_t contents_expiry_ns(struct queue *queue)
{
    struct oldest oldest = contents_oldest(queue);
    return oldest.text != NULL ? oldest.put_ns + queue->config->age_max_ns : CLOCK_NEVER_NS;
}

/* ---- the ledger ---- */

static uint64_t place_count(const struct queue *queue, enum lease_place place)
{
    return queue->leases != NULL ? leases_place_count(queue->leases, place) : 0;
}

uint64_t contents_in_flight_count(const struct queue *queue)
{
    return place_count(queue, LEASE_OUT) + place_count(queue, LEASE_GIVEN_UP) + queue->kept.handed_count;
}

static uint64_t counted(const struct queue *queue, enum queue_counter counter)
{
    return stats_get(&queue->node->stats->counters[counter]);
}

int64_t contents_imbalance(const struct queue *queue)
{
    uint64_t accounted = stats_get(&queue->node->stats->out_count) + counted(queue, COUNTER_DROPPED_OLDEST) +
                         counted(queue, COUNTER_DROPPED_NEWEST) + counted(queue, COUNTER_UNDELIVERABLE) +
                         counted(queue, COUNTER_LETTERS_DROPPED) + counted(queue, COUNTER_EXPIRED) +
                         counted(queue, COUNTER_DEAD_LETTERED) + contents_takeable_count(queue) +
                         contents_in_flight_count(queue);
    return (int64_t)(stats_get(&queue->node->stats->in_count) - accounted);
}

static void append_number(struct text *text, const char *name, uint64_t number)
{
    text_append_string(text, ", \"");
    text_append_string(text, name);
    text_append_string(text, "\": ");
    text_append_uint64(text, number);
}

void contents_write_stats(const struct queue *queue, struct text *text)
{
    const struct node_stats *stats = queue->node->stats;
    text_append_string(text, "{\"name\": ");
    text_append_json_string(text, queue->node->name, strlen(queue->node->name));
    append_number(text, "in", stats_get(&stats->in_count));
    append_number(text, "out", stats_get(&stats->out_count));
    append_number(text, "queued", contents_takeable_count(queue));
    append_number(text, "in_flight", contents_in_flight_count(queue));
    append_number(text, "leases", place_count(queue, LEASE_OUT));
    append_number(text, "returned", place_count(queue, LEASE_RETURNED));
    append_number(text, "given_up", place_count(queue, LEASE_GIVEN_UP));
    append_number(text, "handed", queue->kept.handed_count);
    append_number(text, "ids", queue->ids != NULL ? recent_ids_count(queue->ids) : 0);
    append_number(text, "in_store_only", queue->kept.beyond_count);
    append_number(text, "memory_bytes", queue->store.record_bytes);
    append_number(text, "answers_held", queue->held.count);
    append_number(text, "puts_waiting", queue->waiting.count);
    append_number(text, "dropped", stats_dropped_count(stats));
    for (const struct counter *counter = queue->node->type->counters; counter->name != NULL; counter++)
        append_number(text, counter->name, stats_get(&stats->counters[counter - queue->node->type->counters]));
    text_append_string(text, contents_imbalance(queue) == 0 ? ", \"balanced\": true}" : ", \"balanced\": false}");
}
