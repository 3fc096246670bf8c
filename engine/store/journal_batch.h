/*
 * journal_batch.h: one batch of the journal: what is to become one record of the redo log.
 *
 * Pure memory, one thread at a time. Of each stored queue one growing buffer of records, in the form that store_append
 * takes; putting a message in is a copy. Nothing is allocated for a message or freed between batches: a cleared batch
 * keeps its memory, so a batch is at most twice as large as the largest one so far.
 */
#ifndef ENGINE_STORE_JOURNAL_BATCH_H
#define ENGINE_STORE_JOURNAL_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"
#include "engine/store/store.h"

/* Bytes, growing by doubling. */
struct batch_buffer {
    unsigned char *bytes;
    size_t length;
    size_t capacity;
};

struct batch_range {
    uint64_t first_sequence;
    uint64_t count;
};

/* What happened to one stored queue. */
struct batch_queue {
    uint32_t queue;
    uint64_t first_sequence; /* of the messages appended */
    uint64_t message_count;
    uint64_t id_count;
    uint64_t id_count_max;       /* as store_trim_ids takes them; 0: no trim */
    int64_t id_oldest_wall_ns;   /* likewise */
    struct batch_buffer records; /* as store_append takes them */
    struct batch_buffer ids;     /* as store_add_ids takes them */
    struct batch_buffer settled; /* of struct batch_range; what follows on the last one lengthens it */
    struct batch_buffer counted; /* of struct batch_delivery */
};

struct journal_batch {
    uint64_t ticket;
    struct redo_place place; /* behind its record in the redo log, if it has one */
    int64_t wall_ns;         /* of the first thing put in */
    int64_t monotonic_ns;    /* the same */
    bool wants_sync;
    size_t bytes;               /* of everything in it, roughly: what the journal's bound goes by */
    struct batch_queue *queues; /* the first queue_count are in use; the others keep their memory */
    size_t queue_count;
    size_t queue_capacity;
    struct batch_buffer slots; /* of uint32_t, by the queue's number: its index in `queues` plus one; 0: none */
    struct batch_buffer pairs; /* changes of states, in their order: struct batch_pair, key, value */
};

/* A zeroed batch is empty. */
void batch_free(struct journal_batch *batch);
/* Empties it and keeps its memory. */
void batch_clear(struct journal_batch *batch);
/* Frees of a cleared batch the buffers that are larger than this: one burst would keep all batches large. */
void batch_trim(struct journal_batch *batch, size_t bytes_max);

static inline bool batch_is_empty(const struct journal_batch *batch)
{
    return batch->bytes == 0;
}

/* See journal.h. */
void batch_append(struct journal_batch *batch, uint32_t queue, uint64_t sequence, const void *text, uint32_t length);
void batch_settle(struct journal_batch *batch, uint32_t queue, uint64_t first, uint64_t count);
void batch_count_delivery(struct journal_batch *batch, uint32_t queue, uint64_t sequence, uint32_t deliveries);
void batch_remember_id(struct journal_batch *batch, uint32_t queue, const void *id, size_t id_length,
                       uint32_t message_bytes);
void batch_trim_ids(struct journal_batch *batch, uint32_t queue, uint64_t count_max, int64_t oldest_wall_ns);
void batch_put(struct journal_batch *batch, uint32_t state, const void *key, size_t key_length, const void *value,
               size_t value_length);
void batch_delete(struct journal_batch *batch, uint32_t state, const void *key, size_t key_length);

/* Sorts and joins what was settled out of order: fewer calls of the store. When nothing more is put in. */
void batch_join_settled(struct journal_batch *batch);

/* Puts what came next behind what is in `batch`, as if it had been put in there; its times become those of `batch`. */
void batch_add(struct journal_batch *batch, const struct journal_batch *next);

/* The batch as bytes, behind so many that stay free, in place of what is in `bytes`. */
void batch_encode(const struct journal_batch *batch, size_t free_bytes, struct batch_buffer *bytes);
size_t batch_encoded_bytes(const struct journal_batch *batch);
/* Puts what was encoded into an empty batch. False: it is no encoded batch; then the batch is to be cleared. */
bool batch_decode(struct journal_batch *batch, const unsigned char *bytes, size_t length) MUST_USE;

/* Between store_begin and store_commit: all of it; batch_join_settled was called. May be called again after
 * STATUS_AGAIN. */
enum status batch_apply(const struct journal_batch *batch, struct store *store, struct error *error) MUST_USE;

#endif
