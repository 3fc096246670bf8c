#include "engine/edge.h"

#include <stdlib.h>

#include "engine/probe.h"

/* Messages that had no room, as records in a buffer of their own; attached to an empty block when one comes back. */
struct edge_spill {
    struct edge_spill *next;
    unsigned char *records;
    uint32_t capacity_bytes;
    uint32_t used_bytes;
    uint32_t message_count;
    int64_t time_ns; /* of the last */
};

static const uint32_t spill_bytes_min = 64 * 1024;

struct edge *edge_new(uint32_t block_bytes, uint32_t block_count)
{
    CHECK(block_count > EDGE_RETURN_COUNT);
    struct edge *edge = aligned_alloc(CACHE_LINE_BYTES, sizeof *edge);
    CHECK(edge != NULL);
    *edge = (struct edge){
        .magic = EDGE_MAGIC,
        .block_count = block_count,
        .block_bytes = block_bytes,
        .full = ring_new(block_count),
        .empty = ring_new(block_count),
        .stash = {.blocks = calloc(block_count, sizeof(struct block *))},
        .given = {.blocks = calloc(block_count, sizeof(struct block *))},
    };
    CHECK(edge->stash.blocks != NULL && edge->given.blocks != NULL);
    return edge;
}

static void append_block(struct edge *edge, struct block_queue *queue, struct block *block)
{
    uint32_t place = queue->first + queue->count++;
    queue->blocks[place < edge->block_count ? place : place - edge->block_count] = block;
}

static struct block *take_block(struct edge *edge, struct block_queue *queue)
{
    struct block *block = queue->blocks[queue->first];
    queue->first = queue->first + 1 < edge->block_count ? queue->first + 1 : 0;
    queue->count--;
    return block;
}

static void spill_drop_first(struct edge *edge)
{
    struct edge_spill *spill = edge->spill_first;
    edge->spill_first = spill->next;
    if (edge->spill_first == NULL)
        edge->spill_last = NULL;
    free(spill->records);
    free(spill);
}

/* Wherever they are. */
static void free_blocks(struct edge *edge)
{
    struct block *block;
    while ((block = ring_take(edge->full)) != NULL || (block = ring_take(edge->empty)) != NULL)
        block_free(&block);
    while (edge->stash.count > 0) {
        block = take_block(edge, &edge->stash);
        block_free(&block);
    }
    for (uint32_t i = 0; i < edge->used_count; i++)
        block_free(&edge->used[i]);
    block_free(&edge->open);
    block_free(&edge->cursor.block);
}

void edge_free(struct edge **edge_pointer)
{
    struct edge *edge = *edge_pointer;
    if (edge == NULL)
        return;
    CHECK_MAGIC(edge, EDGE_MAGIC);
    while (edge->spill_first != NULL)
        spill_drop_first(edge);
    free_blocks(edge);
    ring_free(&edge->full);
    ring_free(&edge->empty);
    free(edge->stash.blocks);
    free(edge->given.blocks);
    edge->magic = 0;
    free(edge);
    *edge_pointer = NULL;
}

/* ---- producer ---- */

/*
 * Empty blocks that came back are taken in when none is at hand, all at once: one look at the other's cache line for
 * many blocks. When none came back a further one is made, up to the edge's number: an edge with little traffic stays
 * small, and its few blocks stay in the caches.
 *
 * `much`: full blocks follow each other. Then a further one is made each time, whether some came back or not: a line
 * that the consumer has just read costs the producer some three times as much to write as one that both processors'
 * caches have let go of, so much traffic is faster over many blocks (measured from one processor to another: 25 million
 * messages a second over 32 blocks, 73 million over 512).
 */
static bool have_empty(struct edge *edge, bool much)
{
    if (edge->stash.count > 0)
        return true;
    struct block *block;
    while ((block = ring_take(edge->empty)) != NULL) {
        block_reset(block);
        append_block(edge, &edge->stash, block);
    }
    if ((edge->stash.count == 0 || much) && edge->made_count < edge->block_count) {
        append_block(edge, &edge->stash, block_new(edge->block_bytes));
        edge->made_count++;
    }
    return edge->stash.count > 0;
}

static void publish(struct edge *edge, struct block *block)
{
    PROBE2(enqueue, edge, block->message_count);
    ring_put(edge->full, block); /* both rings have a slot for every block of the edge */
    edge->published = true;
}

/* Before the owner's fence C: the consumer then either sees this when it gives a block back, or gave it back early
 * enough for the owner's second look. Only the consumer takes the wish back. */
void edge_want_room(struct edge *edge)
{
    atomic_store_explicit(&edge->starved, true, memory_order_relaxed);
}

bool edge_has_room(struct edge *edge)
{
    if (edge->spill_first == NULL && (edge->open != NULL || have_empty(edge, false)))
        return true;
    edge_want_room(edge);
    return false;
}

/* Turns spilled buffers into blocks as far as there are empty ones. */
static bool unspill(struct edge *edge)
{
    while (edge->spill_first != NULL && have_empty(edge, false)) {
        struct edge_spill *spill = edge->spill_first;
        struct block *block = take_block(edge, &edge->stash);
        block_attach(block, &spill->records, spill->capacity_bytes, spill->used_bytes, spill->message_count,
                     spill->time_ns);
        publish(edge, block);
        spill_drop_first(edge);
    }
    return edge->spill_first == NULL;
}

static struct message *spill_reserve(struct edge *edge, uint32_t length)
{
    uint32_t record = message_record_bytes(length);
    struct edge_spill *spill = edge->spill_last;
    if (spill == NULL || spill->capacity_bytes - spill->used_bytes < record) {
        uint32_t bytes = record > spill_bytes_min || edge->spill_last == NULL ? record : spill_bytes_min;
        spill = calloc(1, sizeof *spill);
        CHECK(spill != NULL);
        spill->records = malloc(bytes);
        CHECK(spill->records != NULL);
        spill->capacity_bytes = bytes;
        if (edge->spill_last == NULL)
            edge->spill_first = spill;
        else
            edge->spill_last->next = spill;
        edge->spill_last = spill;
    }
    return (struct message *)(void *)(spill->records + spill->used_bytes);
}

struct message *edge_reserve_slowly(struct edge *edge, uint32_t length)
{
    CHECK(length <= MESSAGE_LENGTH_MAX);
    bool much = edge->open != NULL && edge->open->message_count > 1;
    if (edge->open != NULL) {
        struct message *message = block_reserve(edge->open, length);
        if (message != NULL)
            return message;
        if (edge->open->message_count > 0)
            publish(edge, edge->open);
        else
            append_block(edge, &edge->stash, edge->open);
        edge->open = NULL;
    }
    bool long_one = message_record_bytes(length) > edge->block_bytes;
    if (unspill(edge) && !long_one && have_empty(edge, much)) {
        edge->open = take_block(edge, &edge->stash);
        struct message *message = block_reserve(edge->open, length);
        CHECK(message != NULL);
        return message;
    }
    return spill_reserve(edge, length);
}

void edge_commit_slowly(struct edge *edge, struct message *message, uint32_t length, int64_t time_ns)
{
    struct edge_spill *spill = edge->spill_last;
    message->time_ns = time_ns;
    message->length = length;
    message->reserved = 0;
    spill->used_bytes += message_record_bytes(length);
    spill->message_count++;
    spill->time_ns = time_ns;
}

/* Before they are published: nothing is released that was not counted, for whoever subtracts the two. */
static void count_emitted(struct edge *edge, uint32_t count)
{
    uint64_t emitted = atomic_load_explicit(&edge->emitted_count, memory_order_relaxed);
    atomic_store_explicit(&edge->emitted_count, emitted + count, memory_order_release);
}

uint32_t edge_emit_run(struct edge *edge, struct block_cursor *cursor, uint32_t count_max)
{
    uint32_t count = 0;
    while (count < count_max) {
        const struct message *message = block_cursor_peek(cursor);
        if (message == NULL || !edge_has_room(edge))
            break;
        uint32_t copied = edge->open != NULL ? block_copy_messages(edge->open, cursor, count_max - count) : 0;
        if (copied == 0) { /* none fits: a new block, or a buffer of its own for a long message */
            struct message *place = edge_reserve_slowly(edge, message->length);
            memcpy(place->text, message->text, message->length);
            int64_t time_ns = block_message_time_ns(cursor->block, message);
            if (edge->open != NULL)
                block_commit(edge->open, place, message->length, time_ns);
            else
                edge_commit_slowly(edge, place, message->length, time_ns);
            block_cursor_pop(cursor);
            copied = 1;
        }
        count += copied;
        count_emitted(edge, copied); /* before the next turn may publish the block */
    }
    return count;
}

bool edge_can_give_block(struct edge *edge)
{
    if (unspill(edge) && have_empty(edge, true))
        return true;
    edge_want_room(edge);
    return false;
}

struct block *edge_give_block(struct edge *edge, struct block *block)
{
    CHECK(block->inline_bytes == edge->block_bytes && block->message_count > 0 && edge->stash.count > 0);
    if (edge->open != NULL && edge->open->message_count > 0) {
        publish(edge, edge->open);
        edge->open = NULL;
    }
    struct block *empty = take_block(edge, &edge->stash);
    count_emitted(edge, block->message_count);
    publish(edge, block);
    return empty;
}

bool edge_flush(struct edge *edge)
{
    bool all = unspill(edge);
    if (edge->open != NULL && edge->open->message_count > 0) {
        /* The last empty block is filled up before it goes, unless nothing else is under way. */
        if (have_empty(edge, false)) {
            publish(edge, edge->open);
            edge->open = NULL;
        } else {
            all = false;
        }
    }
    if (!all)
        edge_want_room(edge);
    if (edge->published) {
        edge->published = false;
        if (edge->consumer_idle != NULL)
            idle_wake(edge->consumer_idle);
    }
    return all;
}

void edge_end(struct edge *edge)
{
    atomic_store_explicit(&edge->ended, true, memory_order_release);
    if (edge->consumer_idle != NULL)
        idle_wake(edge->consumer_idle);
}

/* ---- consumer ---- */

static void wake_starved_producer(struct edge *edge, size_t full_count_max)
{
    if (edge->producer_idle == NULL)
        return;
    atomic_thread_fence(memory_order_seq_cst); /* fence D: the blocks went back before; pairs with C in idle.c */
    if (!atomic_load_explicit(&edge->starved, memory_order_relaxed) || ring_count(edge->full) > full_count_max)
        return;
    atomic_store_explicit(&edge->starved, false, memory_order_relaxed);
    idle_wake(edge->producer_idle);
}

static void give_back(struct edge *edge, size_t full_count_max)
{
    for (uint32_t i = 0; i < edge->used_count; i++) {
        if (edge->given.count == edge->block_count)
            edge->given.count = 0; /* the order was not kept, some are in it twice: begin anew */
        append_block(edge, &edge->given, edge->used[i]);
        ring_put(edge->empty, edge->used[i]);
    }
    edge->used_count = 0;
    wake_starved_producer(edge, full_count_max);
}

/* The block's way across and that of the slot that points to it, one after the other, are most of what a lone message
 * takes; so the likely block is called for while the slot is on its way. */
static struct block *take_full(struct edge *edge)
{
    if (edge->given.count > 0 && !ring_is_empty(edge->full))
        __builtin_prefetch(edge->given.blocks[edge->given.first]);
    struct block *block = ring_take(edge->full);
    if (block != NULL && edge->given.count > 0 && block == edge->given.blocks[edge->given.first])
        take_block(edge, &edge->given);
    return block;
}

/*
 * Without a fence: a producer that wants room and is not seen to here is seen to at the next look, for a consumer looks
 * again and again until it rests; and before it rests it gives back all, with the fence.
 */
static bool producer_is_starved(const struct edge *edge)
{
    return atomic_load_explicit(&edge->starved, memory_order_relaxed);
}

static void use_up(struct edge *edge, struct block *block)
{
    edge->used[edge->used_count++] = block;
    if (edge->used_count == EDGE_RETURN_COUNT || producer_is_starved(edge))
        give_back(edge, edge->block_count / 2);
}

void edge_settle(struct edge *edge)
{
    struct block *block = edge->cursor.block;
    if (block == NULL)
        return;
    atomic_store_explicit(&edge->released_count, edge->settled_count + edge->cursor.index, memory_order_release);
    if (edge->cursor.index < block->message_count)
        return;
    edge->settled_count += block->message_count;
    if (block->records != block->inline_records)
        block_reset(block); /* a long message's memory is not kept */
    edge->cursor = (struct block_cursor){0};
    use_up(edge, block);
}

const struct message *edge_peek_next_block(struct edge *edge)
{
    edge_settle(edge);
    struct block *block = take_full(edge);
    if (block == NULL) {
        if (producer_is_starved(edge))
            give_back(edge, edge->block_count / 2);
        return NULL;
    }
    PROBE2(dequeue, edge, block->message_count);
    edge->cursor = (struct block_cursor){.block = block};
    return block_cursor_peek(&edge->cursor);
}

void edge_prefetch_next(struct edge *edge, uint32_t offset)
{
    if (edge->cursor.offset <= offset)
        return;
    if (edge->cursor.block->records != edge->cursor.block->inline_records)
        return; /* a long message's length says nothing of the next block, and may be a thousand times its size */
    const char *next = ring_peek(edge->full);
    if (next == NULL)
        return;
    const char *end = next + BLOCK_HEAD_BYTES + edge->cursor.offset;
    for (const char *line = next + BLOCK_HEAD_BYTES + offset; line < end; line += CACHE_LINE_BYTES)
        __builtin_prefetch(line);
}

static bool is_worth_handing_on(const struct block *block)
{
    return block->used_bytes >= block->inline_bytes / 4 || block->records != block->inline_records;
}

struct block *edge_peek_block(struct edge *edge)
{
    if (edge_peek(edge) == NULL || edge->cursor.index != 0 || !is_worth_handing_on(edge->cursor.block))
        return NULL;
    return edge->cursor.block;
}

void edge_exchange_block(struct edge *edge, uint32_t message_count, struct block *empty)
{
    CHECK(empty->message_count == 0 && empty->inline_bytes == edge->block_bytes);
    edge->settled_count += message_count;
    atomic_store_explicit(&edge->released_count, edge->settled_count, memory_order_release);
    edge->cursor = (struct block_cursor){0};
    use_up(edge, empty);
}

uint32_t edge_forward_block(struct edge *edge, struct edge *to, int64_t time_ns)
{
    struct block *block = edge_peek_block(edge);
    if (block == NULL || block->inline_bytes != to->block_bytes || !edge_can_give_block(to))
        return 0;
    uint32_t count = block->message_count; /* the next consumer may have emptied it before we look again */
    block_set_time(block, time_ns);
    edge_exchange_block(edge, count, edge_give_block(to, block));
    return count;
}

void edge_consumer_rests(struct edge *edge)
{
    give_back(edge, edge->block_count);
}

bool edge_has_ended(struct edge *edge)
{
    if (!atomic_load_explicit(&edge->ended, memory_order_acquire))
        return false;
    return edge_peek(edge) == NULL;
}

/* ---- anybody ---- */

uint64_t edge_in_flight(const struct edge *edge)
{
    uint64_t released = atomic_load_explicit(&edge->released_count, memory_order_acquire);
    uint64_t emitted = atomic_load_explicit(&edge->emitted_count, memory_order_acquire);
    return emitted - released;
}
