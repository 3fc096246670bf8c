/*
 * block.h: a block of messages, the unit of hand-over between nodes.
 *
 * Messages lie one behind the other, each a record of a 16-byte header and its text, padded to 8 bytes; so a run of
 * messages moves from block to block with one memcpy. A block has one owner at a time and no locks: only the owner
 * reads or writes it. The first messages lie in the cache line of the block's own header, so that a lone small message
 * costs one line across processors.
 *
 * A message longer than a block travels alone in a block whose records lie in a buffer of their own ("detached").
 */
#ifndef ENGINE_BLOCK_H
#define ENGINE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/check.h"

enum { CACHE_LINE_BYTES = 64 };

/* The head of a record; the text follows it. */
struct message {
    int64_t time_ns; /* monotonic: when its producer emitted it */
    uint32_t length; /* of the text, in bytes */
    uint32_t reserved;
    unsigned char text[];
};

enum { MESSAGE_LENGTH_MAX = 1 << 30 };

struct block {
    uint32_t magic;
    uint32_t message_count;
    uint32_t used_bytes;     /* of records */
    uint32_t capacity_bytes; /* of `records` */
    unsigned char *records;  /* `inline_records`, or a detached buffer */
    uint32_t inline_bytes;   /* capacity of `inline_records` */
    uint32_t reserved;
    _Alignas(8) unsigned char inline_records[];
};

_Static_assert(sizeof(struct message) == 16, "a record's head is 16 bytes");
_Static_assert(sizeof(struct block) == 32, "a block's head leaves half a cache line to its first message");

#define BLOCK_MAGIC 0x6b6c6f42u

/* The bytes that a message of `length` takes as a record. */
static inline uint32_t message_record_bytes(uint32_t length)
{
    return ((uint32_t)sizeof(struct message) + length + 7u) & ~7u;
}

/* A block whose inline records hold `inline_bytes`; aligned to a cache line. Never NULL. Free it with block_free. */
struct block *block_new(uint32_t inline_bytes);
void block_free(struct block **block);

/* Empties the block and frees a detached buffer. */
void block_reset(struct block *block);

/* Makes `buffer` (malloc'ed; the block takes it over and nulls the giver's pointer) the block's records. The block must
 * be empty. */
void block_attach(struct block *block, unsigned char **buffer, uint32_t capacity_bytes, uint32_t used_bytes,
                  uint32_t message_count);

static inline bool block_has_room(const struct block *block, uint32_t length)
{
    return block->capacity_bytes - block->used_bytes >= message_record_bytes(length);
}

/* Reserves a record for a text of at most `length` bytes; NULL if there is no room. It counts once block_commit says
 * how long the text has become; until then another reserve gives the same place. */
static inline struct message *block_reserve(struct block *block, uint32_t length)
{
    if (!block_has_room(block, length))
        return NULL;
    return (struct message *)(void *)(block->records + block->used_bytes);
}

static inline void block_commit(struct block *block, struct message *message, uint32_t length, int64_t time_ns)
{
    message->time_ns = time_ns;
    message->length = length;
    message->reserved = 0;
    block->used_bytes += message_record_bytes(length);
    block->message_count++;
}

static inline bool block_append(struct block *block, const void *text, uint32_t length, int64_t time_ns)
{
    struct message *message = block_reserve(block, length);
    if (message == NULL)
        return false;
    if (length > 0)
        memcpy(message->text, text, length);
    block_commit(block, message, length, time_ns);
    return true;
}

/* Walking a block: offset 0 is the first record; each call says where the next one is. */
static inline const struct message *block_message_at(const struct block *block, uint32_t offset)
{
    return (const struct message *)(const void *)(block->records + offset);
}

/* A place in a block that is being read. */
struct block_cursor {
    struct block *block; /* NULL: none */
    uint32_t offset;     /* of the next record */
    uint32_t index;      /* of the next message */
};

/* The next message, or NULL at the end of the block. */
static inline const struct message *block_cursor_peek(const struct block_cursor *cursor)
{
    if (cursor->block == NULL || cursor->index == cursor->block->message_count)
        return NULL;
    return block_message_at(cursor->block, cursor->offset);
}

static inline void block_cursor_pop(struct block_cursor *cursor)
{
    const struct message *message = block_message_at(cursor->block, cursor->offset);
    cursor->offset += message_record_bytes(message->length);
    cursor->index++;
}

/*
 * Copies messages from the cursor on to the end of `target`, as many as fit, at most `count_max`; moves the cursor.
 * Returns how many. One memcpy.
 */
uint32_t block_copy_messages(struct block *target, struct block_cursor *cursor, uint32_t count_max);

#endif
