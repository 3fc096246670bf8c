/*
 * edge.h: the way of messages from one thread to one other: two rings of blocks, full ones there, empty ones back.
 *
 *   producer: edge_has_room, edge_reserve + edge_commit or edge_emit, edge_give_block, edge_flush, edge_end
 *   consumer: edge_peek + edge_pop or edge_read, edge_peek_block + edge_exchange_block, edge_settle, edge_has_ended
 *   anybody:  edge_in_flight
 *
 * The producer fills a block and publishes it when it is full or at edge_flush, which a node's step ends with: batches
 * when there is much to do, single messages at once when there is not. While only one empty block is left, that one is
 * filled before it is published, so a slow consumer gets fuller blocks, not fewer messages.
 *
 * Bounded: an edge has so many blocks and no more, made when first needed. When none is left it has no room and its
 * producer takes no more input until it has. What it must still emit then (the rest of one function call's output, a
 * message longer than a block) goes to buffers of its own, in order.
 *
 * A node that hands on what it gets as it is does not copy: it takes a whole block from one edge and gives it to the
 * next, and an empty one the other way. So blocks wander between the edges of a launch (all have the same size), but
 * each edge always has as many as it made.
 *
 * The ends wake each other through their struct idle. A full edge wakes its producer when half of it is empty, or when
 * its consumer runs out of work, not for each block.
 */
#ifndef ENGINE_EDGE_H
#define ENGINE_EDGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block.h"
#include "engine/idle.h"
#include "engine/ring.h"
#include "engine/status.h"

/* Used blocks go back so many at a time, or as soon as the producer wants them: a quarter of the cache lines that would
 * cross otherwise. An edge within one thread does with few blocks, which stay in the caches; for one between threads
 * see have_empty in edge.c. */
enum {
    EDGE_BLOCK_BYTES = 8192 - BLOCK_HEAD_BYTES,
    EDGE_BLOCK_COUNT = 32,
    EDGE_WIDE_BLOCK_COUNT = 512,
    EDGE_RETURN_COUNT = 8
};

struct edge_spill;

/* Blocks in the order in which they came; room for all of an edge. One thread's. */
struct block_queue {
    struct block **blocks;
    uint32_t first;
    uint32_t count;
};

struct edge {
    uint32_t magic;
    uint32_t block_count;
    uint32_t block_bytes;
    struct ring *full;          /* producer to consumer */
    struct ring *empty;         /* consumer to producer */
    struct idle *producer_idle; /* NULL: not to be woken */
    struct idle *consumer_idle;

    /* The producer's. */
    _Alignas(CACHE_LINE_BYTES) struct block *open; /* being filled; NULL: none */
    struct block_queue stash;                      /* empty blocks at hand */
    uint32_t made_count;                           /* in circulation on this edge */
    bool published;                                /* something since the last wake check */
    struct edge_spill *spill_first;                /* what had no room, in order; NULL: nothing */
    struct edge_spill *spill_last;
    /* Writer: producer. Readers: anybody. Release: who sees a count sees what led to it. */
    _Atomic uint64_t emitted_count;

    /* The consumer's. */
    _Alignas(CACHE_LINE_BYTES) struct block_cursor cursor;
    struct block *used[EDGE_RETURN_COUNT]; /* read, and not yet given back */
    uint32_t used_count;
    /* Given back and not seen again. The producer fills them in this order, so the first is likely the next to come. */
    struct block_queue given;
    uint64_t settled_count; /* messages of the blocks before the cursor's */
    /* Writer: consumer. Readers: anybody. Release, after everything that the messages caused was emitted. */
    _Atomic uint64_t released_count;

    /* Shared. `ended`: writer producer, once, release after its last block. `starved` (the producer wants room): set by
     * the producer, cleared by the consumer when it wakes it; relaxed, ordered by fences C and D of idle.h. */
    _Alignas(CACHE_LINE_BYTES) _Atomic bool ended;
    _Atomic bool starved;
};

/* What one end writes shares no cache line with what the other end writes, nor with another edge. */
_Static_assert(offsetof(struct edge, open) % CACHE_LINE_BYTES == 0, "the producer's words begin a cache line");
_Static_assert(offsetof(struct edge, cursor) % CACHE_LINE_BYTES == 0, "the consumer's words begin a cache line");
_Static_assert(offsetof(struct edge, ended) % CACHE_LINE_BYTES == 0, "the shared words begin a cache line");
_Static_assert(sizeof(struct edge) % CACHE_LINE_BYTES == 0, "an edge is whole cache lines");

#define EDGE_MAGIC 0x65676445u

/* Never NULL. `block_bytes` of records a block, `block_count` of them (more than EDGE_RETURN_COUNT). */
struct edge *edge_new(uint32_t block_bytes, uint32_t block_count);
void edge_free(struct edge **edge);

/* ---- producer ---- */

/* Whether the producer may take more input for this edge. Looks for returned blocks if need be. */
bool edge_has_room(struct edge *edge);

/* The producer wants to be woken when its consumer has made progress. edge_has_room does this itself when it says no.
 */
void edge_want_room(struct edge *edge);

/* A place for a text of at most `length` bytes; never NULL, whether there is room or not. edge_commit must follow
 * before any other call. */
struct message *edge_reserve_slowly(struct edge *edge, uint32_t length);

static inline struct message *edge_reserve(struct edge *edge, uint32_t length)
{
    struct message *message = edge->open != NULL ? block_reserve(edge->open, length) : NULL;
    return message != NULL ? message : edge_reserve_slowly(edge, length);
}

void edge_commit_slowly(struct edge *edge, struct message *message, uint32_t length, int64_t time_ns);

/* The text has become `length` bytes long. */
static inline void edge_commit(struct edge *edge, struct message *message, uint32_t length, int64_t time_ns)
{
    if (edge->open != NULL)
        block_commit(edge->open, message, length, time_ns);
    else
        edge_commit_slowly(edge, message, length, time_ns);
    atomic_store_explicit(&edge->emitted_count, atomic_load_explicit(&edge->emitted_count, memory_order_relaxed) + 1,
                          memory_order_release);
}

static inline void edge_emit(struct edge *edge, const void *text, uint32_t length, int64_t time_ns)
{
    struct message *message = edge_reserve(edge, length);
    if (length > 0)
        memcpy(message->text, text, length);
    edge_commit(edge, message, length, time_ns);
}

/* Copies messages from the cursor on, keeping their times, as many as there is room for, at most `count_max`. */
uint32_t edge_emit_run(struct edge *edge, struct block_cursor *cursor, uint32_t count_max);

/* Whether edge_give_block may be called. Looks for returned blocks, and asks to be woken, as edge_has_room does. */
bool edge_can_give_block(struct edge *edge);

/* Hands over a whole block of the edge's size, behind everything emitted before, and returns an empty one for it. */
struct block *edge_give_block(struct edge *edge, struct block *block) MUST_USE;

/* Publishes what is open, and wakes the consumer. False: something stays behind until blocks come back. */
bool edge_flush(struct edge *edge);

/* No more messages will come. Everything must have been flushed. */
void edge_end(struct edge *edge);

/* ---- consumer ---- */

const struct message *edge_peek_next_block(struct edge *edge);

/* The oldest message, or NULL if there is none now. Valid until edge_settle, or the edge_peek after its edge_pop. */
static inline const struct message *edge_peek(struct edge *edge)
{
    const struct message *message = block_cursor_peek(&edge->cursor);
    return message != NULL ? message : edge_peek_next_block(edge);
}

static inline void edge_pop(struct edge *edge)
{
    block_cursor_pop(&edge->cursor);
}

/* For runs: a cursor at the oldest message, or NULL. Moving it is popping. */
static inline struct block_cursor *edge_read(struct edge *edge)
{
    return edge_peek(edge) != NULL ? &edge->cursor : NULL;
}

/* The block at hand, or the next one, if it is worth handing on whole: none of its messages was popped, and it is a
 * quarter full (less is cheaper copied, and would waste a block) or holds one long message. NULL otherwise. It stays
 * the edge's until edge_exchange_block. */
struct block *edge_peek_block(struct edge *edge);

/* The block that edge_peek_block showed is the caller's; its `message_count` messages are released. `empty`, of the
 * same size, takes its place. Call it when what the messages cause was emitted. */
void edge_exchange_block(struct edge *edge, uint32_t message_count, struct block *empty);

/* The block at hand, if edge_peek_block shows one, goes on to the edge `to`, if that has room, its messages emitted
 * anew at `time_ns`. Returns how many messages went; 0: none. */
uint32_t edge_forward_block(struct edge *edge, struct edge *to, int64_t time_ns);

/*
 * For a consumer that has read the block at hand from `offset` to the cursor: calls for the same part of the block
 * behind it, if that has come. By when the consumer gets there, it has crossed from the processor that wrote it: that
 * is often another one also where producer and consumer share a thread, for a queue hands on whole blocks unread.
 * Nothing where the cursor has gone on to another block, or is in a long message's.
 */
void edge_prefetch_next(struct edge *edge, uint32_t offset);

/* Gives a block back whose messages are all popped. A step ends with it. */
void edge_settle(struct edge *edge);

/* The consumer goes to rest: a producer that waits for room must not wait for more of it to come. */
void edge_consumer_rests(struct edge *edge);

/* The producer has ended and everything was popped. */
bool edge_has_ended(struct edge *edge);

/* For a consumer that had found nothing: whether there is something to do now, a block to read or the producer's end.
 * Without a step's cost; what it sees is taken with the proper ordering by the calls above. */
static inline bool edge_has_news(const struct edge *edge)
{
    return edge->cursor.block != NULL || !ring_is_empty(edge->full) ||
           atomic_load_explicit(&edge->ended, memory_order_relaxed);
}

/* ---- anybody ---- */

/* Messages emitted and not yet released: an exact count once both ends rest. */
uint64_t edge_in_flight(const struct edge *edge);

#endif
