#include "engine/store/journal_batch.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/store/store.h"

struct batch_delivery {
    uint64_t sequence;
    uint32_t deliveries;
};

/* Stands before its key and value, anywhere: to be copied out. */
struct batch_pair {
    uint32_t state;
    uint32_t key_length;
    uint64_t value_length; /* PAIR_DELETED: there is no value */
};

#define PAIR_DELETED UINT64_MAX

/* What the bound counts for things that are small beside their row in the store. */
enum { SMALL_ROW_BYTES = 32, BUFFER_BYTES_MIN = 4096, QUEUE_NUMBER_MAX = 1 << 24 };

/* ---- buffers ---- */

static void grow(struct batch_buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : BUFFER_BYTES_MIN;
    while (capacity - buffer->length < more)
        capacity *= 2;
    buffer->bytes = realloc(buffer->bytes, capacity);
    CHECK(buffer->bytes != NULL);
    buffer->capacity = capacity;
}

/* Room for `more` bytes at the end, which count from now on. Valid until the next call. */
static unsigned char *extend(struct batch_buffer *buffer, size_t more)
{
    if (buffer->capacity - buffer->length < more)
        grow(buffer, more);
    unsigned char *place = buffer->bytes + buffer->length;
    buffer->length += more;
    return place;
}

static void copy(unsigned char **place, const void *bytes, size_t length)
{
    if (length > 0)
        memcpy(*place, bytes, length);
    *place += length;
}

static void write_u32(unsigned char **place, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        *(*place)++ = (unsigned char)(value >> (8 * i));
}

/* ---- queues ---- */

/* A queue's number is its index: the store deals them out from 1 upwards, and there are few. */
static struct batch_queue *add_queue(struct journal_batch *batch, uint32_t queue)
{
    CHECK(queue <= QUEUE_NUMBER_MAX);
    size_t slots_bytes = ((size_t)queue + 1) * sizeof(uint32_t);
    if (batch->slots.length < slots_bytes) {
        size_t more = slots_bytes - batch->slots.length;
        memset(extend(&batch->slots, more), 0, more);
    }
    if (batch->queue_count == batch->queue_capacity) {
        size_t capacity = batch->queue_capacity > 0 ? 2 * batch->queue_capacity : 4;
        batch->queues = realloc(batch->queues, capacity * sizeof *batch->queues);
        CHECK(batch->queues != NULL);
        memset(batch->queues + batch->queue_capacity, 0, (capacity - batch->queue_capacity) * sizeof *batch->queues);
        batch->queue_capacity = capacity;
    }
    struct batch_queue *added = &batch->queues[batch->queue_count++];
    added->queue = queue;
    ((uint32_t *)(void *)batch->slots.bytes)[queue] = (uint32_t)batch->queue_count;
    return added;
}

static struct batch_queue *find_queue(struct journal_batch *batch, uint32_t queue)
{
    if (queue < batch->slots.length / sizeof(uint32_t)) {
        uint32_t slot = ((const uint32_t *)(const void *)batch->slots.bytes)[queue];
        if (slot != 0)
            return &batch->queues[slot - 1];
    }
    return add_queue(batch, queue);
}

void batch_append(struct journal_batch *batch, uint32_t queue, uint64_t sequence, const void *text, uint32_t length)
{
    struct batch_queue *own = find_queue(batch, queue);
    if (own->message_count == 0)
        own->first_sequence = sequence;
    CHECK(sequence == own->first_sequence + own->message_count);
    own->message_count++;
    unsigned char *place = extend(&own->records, (size_t)length + 4);
    write_u32(&place, length);
    copy(&place, text, length);
    batch->bytes += (size_t)length + 4;
}

void batch_settle(struct journal_batch *batch, uint32_t queue, uint64_t first, uint64_t count)
{
    struct batch_queue *own = find_queue(batch, queue);
    if (count == 0)
        return;
    if (own->settled.length > 0) {
        struct batch_range *last = (struct batch_range *)(void *)(own->settled.bytes + own->settled.length) - 1;
        if (last->first_sequence + last->count == first) {
            last->count += count;
            return;
        }
    }
    struct batch_range range = {.first_sequence = first, .count = count};
    memcpy(extend(&own->settled, sizeof range), &range, sizeof range);
    batch->bytes += SMALL_ROW_BYTES;
}

void batch_count_delivery(struct journal_batch *batch, uint32_t queue, uint64_t sequence, uint32_t deliveries)
{
    struct batch_delivery delivery = {.sequence = sequence, .deliveries = deliveries};
    memcpy(extend(&find_queue(batch, queue)->counted, sizeof delivery), &delivery, sizeof delivery);
    batch->bytes += SMALL_ROW_BYTES;
}

void batch_remember_id(struct journal_batch *batch, uint32_t queue, const void *id, size_t id_length,
                       uint32_t message_bytes)
{
    CHECK(id_length >= 1 && id_length <= STORE_ID_BYTES_MAX);
    struct batch_queue *own = find_queue(batch, queue);
    unsigned char *place = extend(&own->ids, 1 + 4 + id_length);
    *place++ = (unsigned char)id_length;
    write_u32(&place, message_bytes);
    copy(&place, id, id_length);
    own->id_count++;
    batch->bytes += 1 + 4 + id_length;
}

void batch_trim_ids(struct journal_batch *batch, uint32_t queue, uint64_t count_max, int64_t oldest_wall_ns)
{
    struct batch_queue *own = find_queue(batch, queue);
    CHECK(count_max > 0);
    own->id_count_max = count_max;
    own->id_oldest_wall_ns = oldest_wall_ns;
    batch->bytes += SMALL_ROW_BYTES;
}

/* ---- states ---- */

static void add_pair(struct journal_batch *batch, uint32_t state, const void *key, size_t key_length, const void *value,
                     uint64_t value_length)
{
    CHECK(key_length <= STORE_KEY_BYTES_MAX);
    size_t value_bytes = value_length == PAIR_DELETED ? 0 : (size_t)value_length;
    struct batch_pair pair = {.state = state, .key_length = (uint32_t)key_length, .value_length = value_length};
    size_t bytes = sizeof pair + key_length + value_bytes;
    unsigned char *place = extend(&batch->pairs, bytes);
    copy(&place, &pair, sizeof pair);
    copy(&place, key, key_length);
    copy(&place, value, value_bytes);
    batch->bytes += bytes;
}

void batch_put(struct journal_batch *batch, uint32_t state, const void *key, size_t key_length, const void *value,
               size_t value_length)
{
    add_pair(batch, state, key, key_length, value, value_length);
}

void batch_delete(struct journal_batch *batch, uint32_t state, const void *key, size_t key_length)
{
    add_pair(batch, state, key, key_length, NULL, PAIR_DELETED);
}

/* ---- the whole ---- */

void batch_clear(struct journal_batch *batch)
{
    for (size_t i = 0; i < batch->queue_count; i++) {
        struct batch_queue *queue = &batch->queues[i];
        ((uint32_t *)(void *)batch->slots.bytes)[queue->queue] = 0;
        queue->message_count = queue->id_count = queue->id_count_max = 0;
        queue->records.length = queue->ids.length = queue->settled.length = queue->counted.length = 0;
    }
    batch->queue_count = 0;
    batch->pairs.length = 0;
    batch->bytes = 0;
    batch->wants_sync = false;
}

void batch_free(struct journal_batch *batch)
{
    for (size_t i = 0; i < batch->queue_capacity; i++) {
        free(batch->queues[i].records.bytes);
        free(batch->queues[i].ids.bytes);
        free(batch->queues[i].settled.bytes);
        free(batch->queues[i].counted.bytes);
    }
    free(batch->queues);
    free(batch->slots.bytes);
    free(batch->pairs.bytes);
    *batch = (struct journal_batch){0};
}

static int compare_ranges(const void *left, const void *right)
{
    uint64_t a = ((const struct batch_range *)left)->first_sequence;
    uint64_t b = ((const struct batch_range *)right)->first_sequence;
    return (a > b) - (a < b);
}

static void join_ranges(struct batch_buffer *settled)
{
    size_t count = settled->length / sizeof(struct batch_range);
    if (count < 2)
        return;
    struct batch_range *ranges = (struct batch_range *)(void *)settled->bytes;
    qsort(ranges, count, sizeof *ranges, compare_ranges);
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (ranges[last].first_sequence + ranges[last].count == ranges[i].first_sequence)
            ranges[last].count += ranges[i].count;
        else
            ranges[++last] = ranges[i];
    }
    settled->length = (last + 1) * sizeof *ranges;
}

void batch_join_settled(struct journal_batch *batch)
{
    for (size_t i = 0; i < batch->queue_count; i++)
        join_ranges(&batch->queues[i].settled);
}

/* Deliveries before what is settled: with a message the store drops its count. */
static enum status apply_queue(const struct batch_queue *queue, int64_t wall_ns, struct store *store,
                               struct error *error)
{
    enum status status = STATUS_OK;
    if (queue->message_count > 0)
        status = store_append(store, queue->queue, queue->first_sequence, queue->message_count, queue->records.bytes,
                              queue->records.length, wall_ns, error);
    const struct batch_delivery *counted = (const struct batch_delivery *)(const void *)queue->counted.bytes;
    for (size_t i = 0; i < queue->counted.length / sizeof *counted && status == STATUS_OK; i++)
        status = store_count_delivery(store, queue->queue, counted[i].sequence, counted[i].deliveries, error);
    const struct batch_range *settled = (const struct batch_range *)(const void *)queue->settled.bytes;
    for (size_t i = 0; i < queue->settled.length / sizeof *settled && status == STATUS_OK; i++)
        status = store_settle(store, queue->queue, settled[i].first_sequence, settled[i].count, error);
    if (queue->id_count > 0 && status == STATUS_OK)
        status =
            store_add_ids(store, queue->queue, queue->ids.bytes, queue->ids.length, queue->id_count, wall_ns, error);
    if (queue->id_count_max > 0 && status == STATUS_OK)
        status = store_trim_ids(store, queue->queue, queue->id_count_max, queue->id_oldest_wall_ns, error);
    return status;
}

static enum status apply_pairs(const struct batch_buffer *pairs, struct store *store, struct error *error)
{
    enum status status = STATUS_OK;
    size_t next = 0;
    while (next < pairs->length && status == STATUS_OK) {
        struct batch_pair pair;
        memcpy(&pair, pairs->bytes + next, sizeof pair);
        const unsigned char *key = pairs->bytes + next + sizeof pair;
        next += sizeof pair + pair.key_length;
        if (pair.value_length == PAIR_DELETED) {
            status = store_delete(store, pair.state, key, pair.key_length, error);
        } else {
            status = store_put(store, pair.state, key, pair.key_length, key + pair.key_length,
                               (size_t)pair.value_length, error);
            next += (size_t)pair.value_length;
        }
    }
    return status;
}

enum status batch_apply(const struct journal_batch *batch, struct store *store, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < batch->queue_count && status == STATUS_OK; i++)
        status = apply_queue(&batch->queues[i], batch->wall_ns, store, error);
    if (status == STATUS_OK)
        status = apply_pairs(&batch->pairs, store, error);
    return status;
}
