/*
 * message_store.h: the messages that rest in a queue, oldest first, in memory. One thread.
 *
 * A chain of blocks; memory follows the contents (a message costs its text, 16 bytes and at most 7 of padding; a long
 * one has a block to itself), whatever the depth. Adding and taking cost the same at any depth.
 */
#ifndef ENGINE_MESSAGE_STORE_H
#define ENGINE_MESSAGE_STORE_H

#include "engine/block.h"
#include "engine/status.h"

enum { MESSAGE_STORE_EMPTY_MAX = 8 };

struct message_store {
    struct block **blocks; /* a circular array of `slot_count` (a power of two) */
    size_t slot_count;
    size_t first;
    size_t block_count;
    struct block *empties[MESSAGE_STORE_EMPTY_MAX]; /* kept for the next need */
    size_t empty_count;
    uint64_t block_bytes; /* of all blocks, whatever is in them */
    struct block_cursor front;
    uint64_t message_count;
    uint64_t record_bytes; /* what the messages take, overhead included */
};

/* Starts as {0}. */
void message_store_free(struct message_store *store);

void message_store_append(struct message_store *store, const void *text, uint32_t length, int64_t time_ns);

/* Whether a text of `length` bytes stays within the limit; an empty store takes any, or its sender would wait for ever.
 */
bool message_store_has_room(const struct message_store *store, uint32_t length, uint64_t record_bytes_max);

/* Takes messages from the cursor, as many as stay within the two limits (of the whole store). Returns how many. */
uint64_t message_store_append_run(struct message_store *store, struct block_cursor *cursor, uint64_t count_max,
                                  uint64_t record_bytes_max);

/*
 * Blocks pass through whole, without a copy, as long as their unused ends do not add up; else messages are copied close
 * together. A block that comes or goes is exchanged for an empty one of its size.
 */

/* Takes the block over, as it is, and returns an empty one for it; NULL: it does not (its end would waste too
 * much, or a limit of the whole store would be passed), and nothing was done. */
struct block *message_store_take_block(struct message_store *store, struct block *block, uint64_t count_max,
                                       uint64_t record_bytes_max);

/* The oldest block, if nothing of it was taken yet; else NULL. It stays the store's until message_store_remove_block,
 * which gives it to the caller. */
struct block *message_store_peek_block(struct message_store *store);
struct block *message_store_remove_block(struct message_store *store) MUST_USE;

/* Takes over an empty block, to use it again: the one that came for a block that was removed. */
void message_store_keep(struct message_store *store, struct block *block);

/* The oldest message, or NULL. Valid until something is taken. */
const struct message *message_store_peek(struct message_store *store);
void message_store_pop(struct message_store *store);

/* For runs: a cursor at the oldest message, or NULL; whoever moves it says with message_store_taken how far. */
struct block_cursor *message_store_cursor(struct message_store *store);
void message_store_taken(struct message_store *store, uint64_t message_count, uint64_t record_bytes);

#endif
