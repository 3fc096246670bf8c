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
    int64_t time_ns; /* monotonic: when its producer emitted it; read it with block_message_time_ns */
    uint32_t length; /* of the text, in bytes */
    uint32_t reserved;
    unsigned char text[];
};

enum { MESSAGE_LENGTH_MAX = 1 << 30 };

/* What can be said of the times of a block's messages without looking at them. */
enum block_times {
    BLOCK_TIMES_MIXED,
    BLOCK_TIMES_ASCEND, /* none is earlier than the one before it */
    BLOCK_TIMES_ONE,    /* all are the block's time_ns, whatever the messages say */
};

struct block {
    uint32_t magic;
    uint32_t message_count;
    uint32_t used_bytes;     /* of records */
    uint32_t capacity_bytes; /* of `records` */
    unsigned char *records;  /* `inline_records`, or a detached buffer */
    int64_t time_ns;         /* when its last message was emitted */
    uint32_t inline_bytes;   /* capacity of `inline_records` */
    uint32_t times;          /* enum block_times */
    _Alignas(8) unsigned char inline_records[];
};

enum { BLOCK_HEAD_BYTES = 40 };

_Static_assert(sizeof(struct message) == 16, "a record's head is 16 bytes");
_Static_assert(sizeof(struct block) == BLOCK_HEAD_BYTES, "a block's head and a message of 8 bytes share a cache line");

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

/* Makes `buffer` (malloc'ed; the block takes it over and nulls the giver's pointer) the block's records, the last of
 * which was emitted at `time_ns`. The block must be empty. */
void block_attach(struct block *block, unsigned char **buffer, uint32_t capacity_bytes, uint32_t used_bytes,
                  uint32_t message_count, int64_t time_ns);

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
    if (block->message_count == 0)
        block->times = BLOCK_TIMES_ONE;
    else if (block->time_ns != time_ns && block->times != BLOCK_TIMES_MIXED)
        block->times = time_ns > block->time_ns ? BLOCK_TIMES_ASCEND : BLOCK_TIMES_MIXED;
    block->time_ns = time_ns;
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

/* When a message of the block was emitted. */
static inline int64_t block_message_time_ns(const struct block *block, const struct message *message)
{
    return block->times == BLOCK_TIMES_ONE ? block->time_ns : message->time_ns;
}

/* All messages of the block are emitted anew at `time_ns`: for who hands a block on as it is. Nothing can be appended
 * to it then, until block_reset. */
static inline void block_set_time(struct block *block, int64_t time_ns)
{
    block->time_ns = time_ns;
    block->times = BLOCK_TIMES_ONE;
    block->capacity_bytes = block->used_bytes;
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
 * Copies messages from the cursor on to the end of `target`, as many as fit, at most `count_max`, with their times;
 * moves the cursor. Returns how many.
 */
uint32_t block_copy_messages(struct block *target, struct block_cursor *cursor, uint32_t count_max);

#endif
