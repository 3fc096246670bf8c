#include "engine/message_store.h"

#include <stdlib.h>

/* Blocks are of the edges' size, so that they can pass; records that would waste much of such a block's end are put
 * into larger ones. */
enum {
    SMALL_BLOCK_BYTES = 8 * 1024 - BLOCK_HEAD_BYTES,
    LARGE_BLOCK_BYTES = 64 * 1024 - BLOCK_HEAD_BYTES,
    LARGE_RECORD_BYTES = SMALL_BLOCK_BYTES / 16,
    SHALLOW_BLOCK_COUNT = 64, /* up to here, blocks pass however full they are */
};

void message_store_free(struct message_store *store)
{
    for (size_t i = 0; i < store->block_count; i++)
        block_free(&store->blocks[(store->first + i) & (store->slot_count - 1)]);
    while (store->empty_count > 0)
        block_free(&store->empties[--store->empty_count]);
    free(store->blocks);
    *store = (struct message_store){0};
}

static void grow(struct message_store *store)
{
    size_t slot_count = store->slot_count == 0 ? 16 : store->slot_count * 2;
    struct block **blocks = calloc(slot_count, sizeof(struct block *));
    CHECK(blocks != NULL);
    for (size_t i = 0; i < store->block_count; i++)
        blocks[i] = store->blocks[(store->first + i) & (store->slot_count - 1)];
    free(store->blocks);
    store->blocks = blocks;
    store->slot_count = slot_count;
    store->first = 0;
}

static struct block *last_block(const struct message_store *store)
{
    if (store->block_count == 0)
        return NULL;
    return store->blocks[(store->first + store->block_count - 1) & (store->slot_count - 1)];
}

/* What a block takes: its own room, and the buffer of a long message. */
static uint64_t memory_of(const struct block *block)
{
    return block->inline_bytes + (block->records != block->inline_records ? (uint64_t)block->capacity_bytes : 0);
}

static void append_block(struct message_store *store, struct block *block)
{
    if (store->block_count == store->slot_count)
        grow(store);
    store->blocks[(store->first + store->block_count++) & (store->slot_count - 1)] = block;
    store->block_bytes += memory_of(block);
}

/* One that is kept, if it is of that size. */
static struct block *new_block(struct message_store *store, uint32_t inline_bytes)
{
    if (store->empty_count > 0 && store->empties[store->empty_count - 1]->inline_bytes == inline_bytes)
        return store->empties[--store->empty_count];
    return block_new(inline_bytes);
}

static struct block *add_block(struct message_store *store, uint32_t length)
{
    uint32_t record = message_record_bytes(length);
    struct block *block = record <= LARGE_RECORD_BYTES
                              ? new_block(store, SMALL_BLOCK_BYTES)
                              : new_block(store, record > LARGE_BLOCK_BYTES ? record : LARGE_BLOCK_BYTES);
    append_block(store, block);
    return block;
}

static struct block *block_with_room(struct message_store *store, uint32_t length)
{
    struct block *block = last_block(store);
    return block != NULL && block_has_room(block, length) ? block : add_block(store, length);
}

void message_store_append(struct message_store *store, const void *text, uint32_t length, int64_t time_ns)
{
    bool appended = block_append(block_with_room(store, length), text, length, time_ns);
    CHECK(appended);
    store->message_count++;
    store->record_bytes += message_record_bytes(length);
}

bool message_store_has_room(const struct message_store *store, uint32_t length, uint64_t record_bytes_max)
{
    return store->message_count == 0 || store->record_bytes + message_record_bytes(length) <= record_bytes_max;
}

uint64_t message_store_append_run(struct message_store *store, struct block_cursor *cursor, uint64_t count_max,
                                  uint64_t record_bytes_max)
{
    uint64_t taken = 0;
    const struct message *message;
    while ((message = block_cursor_peek(cursor)) != NULL && store->message_count < count_max) {
        if (!message_store_has_room(store, message->length, record_bytes_max))
            break;
        uint64_t left = count_max - store->message_count;
        /* A whole run at once only where its bytes cannot pass the limit. */
        bool near_limit = store->record_bytes + (cursor->block->used_bytes - cursor->offset) > record_bytes_max;
        uint32_t run_max = near_limit ? 1 : left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
        uint32_t offset = cursor->offset;
        uint32_t count = block_copy_messages(block_with_room(store, message->length), cursor, run_max);
        store->message_count += count;
        store->record_bytes += cursor->offset - offset;
        taken += count;
    }
    return taken;
}

static struct block *remove_first(struct message_store *store)
{
    struct block *block = store->blocks[store->first];
    store->first = (store->first + 1) & (store->slot_count - 1);
    store->block_count--;
    store->block_bytes -= memory_of(block);
    store->front = (struct block_cursor){0};
    return block;
}

void message_store_keep(struct message_store *store, struct block *block)
{
    if (store->empty_count < MESSAGE_STORE_EMPTY_MAX && block->inline_bytes <= LARGE_BLOCK_BYTES)
        store->empties[store->empty_count++] = block;
    else
        block_free(&block);
}

static void drop_first(struct message_store *store)
{
    struct block *block = remove_first(store);
    block_reset(block);
    message_store_keep(store, block);
}

struct block_cursor *message_store_cursor(struct message_store *store)
{
    while (block_cursor_peek(&store->front) == NULL) {
        if (store->front.block != NULL)
            drop_first(store);
        if (store->block_count == 0)
            return NULL;
        store->front = (struct block_cursor){.block = store->blocks[store->first]};
    }
    return &store->front;
}

const struct message *message_store_peek(struct message_store *store)
{
    struct block_cursor *cursor = message_store_cursor(store);
    return cursor != NULL ? block_cursor_peek(cursor) : NULL;
}

void message_store_taken(struct message_store *store, uint64_t message_count, uint64_t record_bytes)
{
    CHECK(message_count <= store->message_count && record_bytes <= store->record_bytes);
    store->message_count -= message_count;
    store->record_bytes -= record_bytes;
    if (store->message_count == 0)
        message_store_cursor(store); /* lets go of the last block */
}

void message_store_pop(struct message_store *store)
{
    const struct message *message = message_store_peek(store);
    CHECK(message != NULL);
    uint32_t record = message_record_bytes(message->length);
    block_cursor_pop(&store->front);
    message_store_taken(store, 1, record);
}

/* ---- whole blocks ---- */

/* What the blocks' ends waste stays below an eighth, or within so many blocks. */
static bool stays_dense(const struct message_store *store, const struct block *block)
{
    uint64_t used = store->record_bytes + block->used_bytes;
    uint64_t taken = store->block_bytes + memory_of(block);
    return store->block_count < SHALLOW_BLOCK_COUNT || used >= taken - taken / 8;
}

struct block *message_store_take_block(struct message_store *store, struct block *block, uint64_t count_max,
                                       uint64_t record_bytes_max)
{
    bool fits = store->message_count + block->message_count <= count_max &&
                store->record_bytes + block->used_bytes <= record_bytes_max;
    if (!fits || !stays_dense(store, block))
        return NULL;
    struct block *empty = new_block(store, block->inline_bytes);
    append_block(store, block);
    store->message_count += block->message_count;
    store->record_bytes += block->used_bytes;
    return empty;
}

struct block *message_store_peek_block(struct message_store *store)
{
    const struct block_cursor *front = message_store_cursor(store);
    return front != NULL && front->index == 0 ? front->block : NULL;
}

struct block *message_store_remove_block(struct message_store *store)
{
    struct block *block = remove_first(store);
    CHECK(block->message_count <= store->message_count && block->used_bytes <= store->record_bytes);
    store->message_count -= block->message_count;
    store->record_bytes -= block->used_bytes;
    return block;
}
