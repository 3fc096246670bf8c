#include "engine/store/journal_batch.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/store/store.h"

struct batch_delivery {
    uint64_t sequence;
    uint64_t deliveries;
};

/* Stands before its key and value, anywhere: to be copied out. */
struct batch_pair {
    uint32_t state;
    uint32_t key_length;
    uint64_t value_length; /* PAIR_DELETED: there is no value */
};

#define PAIR_DELETED UINT64_MAX

/* What the bound counts for things that are small beside their row in the store. */
enum { SMALL_ROW_BYTES = 32, QUEUE_NUMBER_MAX = 1 << 24 };
enum { BUFFER_BYTES_MIN = 4096 };

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
    batch->place = (struct redo_place){0};
}

static void trim(struct batch_buffer *buffer, size_t bytes_max)
{
    if (buffer->capacity <= bytes_max)
        return;
    free(buffer->bytes);
    *buffer = (struct batch_buffer){0};
}

void batch_trim(struct journal_batch *batch, size_t bytes_max)
{
    CHECK(batch_is_empty(batch));
    for (size_t i = 0; i < batch->queue_capacity; i++) {
        trim(&batch->queues[i].records, bytes_max);
        trim(&batch->queues[i].ids, bytes_max);
        trim(&batch->queues[i].settled, bytes_max);
        trim(&batch->queues[i].counted, bytes_max);
    }
    trim(&batch->pairs, bytes_max);
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

/* ---- into the store ---- */

/* How many of the messages, from the first on, are settled in the same batch: they came and went. */
static uint64_t gone_count(const struct batch_queue *queue)
{
    const struct batch_range *settled = (const struct batch_range *)(const void *)queue->settled.bytes;
    uint64_t first = queue->first_sequence;
    for (size_t i = 0; i < queue->settled.length / sizeof *settled && queue->message_count > 0; i++)
        if (first - settled[i].first_sequence < settled[i].count) {
            uint64_t count = settled[i].count - (first - settled[i].first_sequence);
            return count < queue->message_count ? count : queue->message_count;
        }
    return 0;
}

static size_t records_bytes(const struct batch_queue *queue, uint64_t count)
{
    size_t bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        const unsigned char *record = queue->records.bytes + bytes;
        bytes += 4 + ((size_t)record[0] | (size_t)record[1] << 8 | (size_t)record[2] << 16 | (size_t)record[3] << 24);
    }
    return bytes;
}

/* What was counted and settled of the sequences from `begin` to `end`. Deliveries come before what is settled: with a
 * message the store drops its count. */
static enum status apply_between(const struct batch_queue *queue, uint64_t begin, uint64_t end, struct store *store,
                                 struct error *error)
{
    enum status status = STATUS_OK;
    const struct batch_delivery *counted = (const struct batch_delivery *)(const void *)queue->counted.bytes;
    for (size_t i = 0; i < queue->counted.length / sizeof *counted && status == STATUS_OK; i++)
        if (counted[i].sequence >= begin && counted[i].sequence < end)
            status =
                store_count_delivery(store, queue->queue, counted[i].sequence, (uint32_t)counted[i].deliveries, error);
    const struct batch_range *settled = (const struct batch_range *)(const void *)queue->settled.bytes;
    for (size_t i = 0; i < queue->settled.length / sizeof *settled && status == STATUS_OK; i++) {
        uint64_t first = settled[i].first_sequence;
        uint64_t last_end = first + settled[i].count;
        first = first > begin ? first : begin;
        last_end = last_end < end ? last_end : end;
        if (first < last_end)
            status = store_settle(store, queue->queue, first, last_end - first, error);
    }
    return status;
}

/* What came and went is not written at all. */
static enum status apply_messages(const struct batch_queue *queue, int64_t wall_ns, struct store *store,
                                  struct error *error)
{
    if (queue->message_count == 0)
        return apply_between(queue, 0, UINT64_MAX, store, error);
    uint64_t first = queue->first_sequence;
    uint64_t gone = gone_count(queue);
    enum status status = apply_between(queue, 0, first, store, error);
    if (status == STATUS_OK && gone > 0)
        status = store_pass(store, queue->queue, first, gone, error);
    if (status == STATUS_OK && gone < queue->message_count) {
        size_t gone_bytes = records_bytes(queue, gone);
        status = store_append(store, queue->queue, first + gone, queue->message_count - gone,
                              queue->records.bytes + gone_bytes, queue->records.length - gone_bytes, wall_ns, error);
    }
    return status == STATUS_OK ? apply_between(queue, first + gone, UINT64_MAX, store, error) : status;
}

static enum status apply_queue(const struct batch_queue *queue, int64_t wall_ns, struct store *store,
                               struct error *error)
{
    enum status status = apply_messages(queue, wall_ns, store, error);
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

/* ---- two in one ---- */

static void add_bytes(struct batch_buffer *bytes, const void *from, size_t length)
{
    if (length > 0)
        memcpy(extend(bytes, length), from, length);
}

static void add_buffer(struct batch_buffer *buffer, const struct batch_buffer *next)
{
    add_bytes(buffer, next->bytes, next->length);
}

static void add_next(struct batch_queue *queue, const struct batch_queue *next)
{
    if (next->message_count > 0) {
        if (queue->message_count == 0)
            queue->first_sequence = next->first_sequence;
        CHECK(next->first_sequence == queue->first_sequence + queue->message_count);
        queue->message_count += next->message_count;
    }
    if (next->id_count_max > 0) {
        queue->id_count_max = next->id_count_max;
        queue->id_oldest_wall_ns = next->id_oldest_wall_ns;
    }
    queue->id_count += next->id_count;
    add_buffer(&queue->records, &next->records);
    add_buffer(&queue->ids, &next->ids);
    add_buffer(&queue->settled, &next->settled);
    add_buffer(&queue->counted, &next->counted);
}

void batch_add(struct journal_batch *batch, const struct journal_batch *next)
{
    if (batch_is_empty(batch)) {
        batch->wall_ns = next->wall_ns;
        batch->monotonic_ns = next->monotonic_ns;
    }
    for (size_t i = 0; i < next->queue_count; i++)
        add_next(find_queue(batch, next->queues[i].queue), &next->queues[i]);
    add_buffer(&batch->pairs, &next->pairs);
    batch->bytes += next->bytes;
    if (next->place.number > 0)
        batch->place = next->place;
}

/* ---- as bytes ---- */

/* What stands in front of a batch, and of each queue's buffers: in the machine's order, for the machine that wrote it.
 */
struct batch_form {
    int64_t wall_ns;
    uint64_t queue_count;
    uint64_t pairs_bytes;
};

enum { QUEUE_BUFFER_COUNT = 4 };

struct queue_form {
    uint64_t queue;
    uint64_t first_sequence;
    uint64_t message_count;
    uint64_t id_count;
    uint64_t id_count_max;
    int64_t id_oldest_wall_ns;
    uint64_t buffer_bytes[QUEUE_BUFFER_COUNT];
};

static struct batch_buffer *queue_buffer(struct batch_queue *queue, size_t index)
{
    struct batch_buffer *const buffers[QUEUE_BUFFER_COUNT] = {&queue->records, &queue->ids, &queue->settled,
                                                              &queue->counted};
    return buffers[index];
}

void batch_encode(const struct journal_batch *batch, size_t free_bytes, struct batch_buffer *bytes)
{
    bytes->length = 0;
    extend(bytes, free_bytes);
    struct batch_form form = {
        .wall_ns = batch->wall_ns, .queue_count = batch->queue_count, .pairs_bytes = batch->pairs.length};
    add_bytes(bytes, &form, sizeof form);
    for (size_t i = 0; i < batch->queue_count; i++) {
        struct batch_queue *queue = &batch->queues[i];
        struct queue_form queue_form = {.queue = queue->queue,
                                        .first_sequence = queue->first_sequence,
                                        .message_count = queue->message_count,
                                        .id_count = queue->id_count,
                                        .id_count_max = queue->id_count_max,
                                        .id_oldest_wall_ns = queue->id_oldest_wall_ns};
        for (size_t k = 0; k < QUEUE_BUFFER_COUNT; k++)
            queue_form.buffer_bytes[k] = queue_buffer(queue, k)->length;
        add_bytes(bytes, &queue_form, sizeof queue_form);
        for (size_t k = 0; k < QUEUE_BUFFER_COUNT; k++)
            add_bytes(bytes, queue_buffer(queue, k)->bytes, queue_buffer(queue, k)->length);
    }
    add_bytes(bytes, batch->pairs.bytes, batch->pairs.length);
}

size_t batch_encoded_bytes(const struct journal_batch *batch)
{
    size_t bytes = sizeof(struct batch_form) + batch->pairs.length;
    for (size_t i = 0; i < batch->queue_count; i++) {
        bytes += sizeof(struct queue_form);
        for (size_t k = 0; k < QUEUE_BUFFER_COUNT; k++)
            bytes += queue_buffer(&batch->queues[i], k)->length;
    }
    return bytes;
}

/* What is left of an encoded batch. */
struct decoding {
    const unsigned char *bytes;
    size_t left;
};

static bool decode_bytes(struct decoding *decoding, void *to, size_t length)
{
    if (length > decoding->left)
        return false;
    memcpy(to, decoding->bytes, length);
    decoding->bytes += length;
    decoding->left -= length;
    return true;
}

static bool decode_buffer(struct decoding *decoding, struct batch_buffer *buffer, uint64_t length)
{
    return length == 0 || (length <= decoding->left && decode_bytes(decoding, extend(buffer, length), length));
}

static bool decode_queue(struct decoding *decoding, struct journal_batch *batch)
{
    struct queue_form form;
    if (!decode_bytes(decoding, &form, sizeof form) || form.queue > QUEUE_NUMBER_MAX)
        return false;
    struct batch_queue *queue = find_queue(batch, (uint32_t)form.queue);
    queue->first_sequence = form.first_sequence;
    queue->message_count = form.message_count;
    queue->id_count = form.id_count;
    queue->id_count_max = form.id_count_max;
    queue->id_oldest_wall_ns = form.id_oldest_wall_ns;
    for (size_t k = 0; k < QUEUE_BUFFER_COUNT; k++)
        if (!decode_buffer(decoding, queue_buffer(queue, k), form.buffer_bytes[k]))
            return false;
    return true;
}

bool batch_decode(struct journal_batch *batch, const unsigned char *bytes, size_t length)
{
    CHECK(batch_is_empty(batch));
    struct decoding decoding = {.bytes = bytes, .left = length};
    struct batch_form form;
    if (!decode_bytes(&decoding, &form, sizeof form))
        return false;
    batch->wall_ns = form.wall_ns;
    batch->bytes = length;
    for (uint64_t i = 0; i < form.queue_count; i++)
        if (!decode_queue(&decoding, batch))
            return false;
    return decode_buffer(&decoding, &batch->pairs, form.pairs_bytes) && decoding.left == 0;
}
