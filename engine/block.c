#include "engine/block.h"

#include <stdlib.h>

struct block *block_new(uint32_t inline_bytes)
{
    size_t bytes = (sizeof(struct block) + inline_bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct block *block = aligned_alloc(CACHE_LINE_BYTES, bytes);
    CHECK(block != NULL);
    *block = (struct block){
        .magic = BLOCK_MAGIC,
        .capacity_bytes = inline_bytes,
        .records = block->inline_records,
        .inline_bytes = inline_bytes,
    };
    return block;
}

void block_free(struct block **block_pointer)
{
    struct block *block = *block_pointer;
    if (block == NULL)
        return;
    block_reset(block);
    block->magic = 0;
    free(block);
    *block_pointer = NULL;
}

void block_reset(struct block *block)
{
    CHECK_MAGIC(block, BLOCK_MAGIC);
    if (block->records != block->inline_records) {
        free(block->records);
        block->records = block->inline_records;
    }
    block->capacity_bytes = block->inline_bytes;
    block->used_bytes = 0;
    block->message_count = 0;
}

void block_attach(struct block *block, unsigned char **buffer, uint32_t capacity_bytes, uint32_t used_bytes,
                  uint32_t message_count, int64_t time_ns)
{
    CHECK_MAGIC(block, BLOCK_MAGIC);
    CHECK(block->message_count == 0 && block->records == block->inline_records);
    block->records = *buffer;
    block->capacity_bytes = capacity_bytes;
    block->used_bytes = used_bytes;
    block->message_count = message_count;
    block->time_ns = time_ns;
    block->times = message_count == 1 ? BLOCK_TIMES_ONE : BLOCK_TIMES_MIXED;
    *buffer = NULL;
}

/* The `count` records copied to `offset` get the times that were true for them in their block. */
static void renew_times(struct block *target, uint32_t offset, uint32_t count, int64_t time_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = (struct message *)(void *)(target->records + offset);
        message->time_ns = time_ns;
        offset += message_record_bytes(message->length);
    }
}

static int64_t last_time_ns(const struct block *source, const struct block_cursor *from, uint32_t count)
{
    struct block_cursor cursor = *from;
    if (from->index + count == source->message_count)
        return source->time_ns;
    for (uint32_t i = 1; i < count; i++)
        block_cursor_pop(&cursor);
    return block_message_at(source, cursor.offset)->time_ns;
}

/* What is true of the target's times when messages from `first_ns` on, with such times, come behind it. */
static enum block_times joined_times(const struct block *target, enum block_times times, int64_t first_ns)
{
    if (target->message_count == 0)
        return times;
    if (target->times == BLOCK_TIMES_MIXED || times == BLOCK_TIMES_MIXED || first_ns < target->time_ns)
        return BLOCK_TIMES_MIXED;
    bool one = target->times == BLOCK_TIMES_ONE && times == BLOCK_TIMES_ONE && first_ns == target->time_ns;
    return one ? BLOCK_TIMES_ONE : BLOCK_TIMES_ASCEND;
}

uint32_t block_copy_messages(struct block *target, struct block_cursor *cursor, uint32_t count_max)
{
    const struct block *source = cursor->block;
    uint32_t room = target->capacity_bytes - target->used_bytes;
    uint32_t left = source->message_count - cursor->index;
    uint32_t count = 0;
    uint32_t bytes = 0;
    if (left <= count_max && source->used_bytes - cursor->offset <= room) {
        count = left;
        bytes = source->used_bytes - cursor->offset;
    } else {
        while (count < left && count < count_max) {
            uint32_t record = message_record_bytes(block_message_at(source, cursor->offset + bytes)->length);
            if (record > room - bytes)
                break;
            bytes += record;
            count++;
        }
    }
    if (count == 0)
        return 0;
    memcpy(target->records + target->used_bytes, source->records + cursor->offset, bytes);
    int64_t first_ns = block_message_time_ns(source, block_message_at(source, cursor->offset));
    int64_t last_ns = source->times == BLOCK_TIMES_ONE ? source->time_ns : last_time_ns(source, cursor, count);
    if (source->times == BLOCK_TIMES_ONE)
        renew_times(target, target->used_bytes, count, last_ns);
    target->times = joined_times(target, source->times, first_ns);
    target->time_ns = last_ns;
    target->used_bytes += bytes;
    target->message_count += count;
    cursor->offset += bytes;
    cursor->index += count;
    return count;
}
