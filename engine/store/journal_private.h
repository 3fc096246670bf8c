/*
 * journal_private.h: what journal.c (the durable thread's side), journal_writer.c (the writer's) and journal_keep.c
 * (either's) share.
 *
 * Two batches: one is open, the other is empty or with the writer. The durable thread hands a sealed batch over through
 * one slot, and the writer gives it back, emptied, by emptying the slot. A small one that somebody waits for, while the
 * writer is free and the disk quick, it keeps itself: that takes less than waking two threads, one after the other.
 */
#ifndef ENGINE_STORE_JOURNAL_PRIVATE_H
#define ENGINE_STORE_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/idle.h"
#include "engine/store/journal.h"
#include "engine/store/journal_batch.h"

/* Numbers that the store has given, in the order in which nodes found them. */
struct journal_finds {
    uint32_t *numbers;
    size_t count;
};

enum journal_end {
    JOURNAL_GOES_ON,
    JOURNAL_ENDS, /* the writer keeps what is in the slot and `last`, puts all on the disk, and ends */
};

struct journal {
    uint32_t magic;
    /* The lock of what stands between here and `directory`: the main thread's until the start and after the finish,
     * between them whose the lock is. */
    pthread_mutex_t keeping;
    struct store *store;
    int64_t last_flush_ns; /* what it took to keep the last batch that was to be on the disk */
    /* When the oldest thing was put in that is not on the disk; CLOCK_NEVER_NS: none. Relaxed: the writer rests by it
     * without the lock, for which it is enough that only the writer itself sets another time than never. */
    _Atomic int64_t unsynced_since_ns;
    char *directory;
    int64_t sync_interval_ns;
    struct log *log;
    void (*failed)(void *context);
    void *failed_context;
    struct idle *durable_idle; /* the writer wakes it */
    pthread_t thread;
    bool started;
    bool finished;
    struct journal_finds queues; /* before the start */
    struct journal_finds states;

    /* The durable thread's. */
    struct store *reader; /* NULL until journal_read */
    struct journal_batch batches[2];
    struct journal_batch *open;
    struct journal_member *members;
    size_t member_count;
    bool cutting;
    size_t seen_bytes;            /* in the open batch, at the last end of a turn */
    uint64_t seen_written_ticket; /* at the last end of a turn */
    uint64_t seen_synced_ticket;

    /* Shared. */
    struct idle writer_idle; /* wakers: the durable thread, at the end the main thread */
    /* NULL: the writer is free. Written by the durable thread (a batch) and the writer (NULL), in turn. */
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct journal_batch *) sealed;
    _Atomic int end;            /* enum journal_end; by the main thread, after the durable thread has ended */
    struct journal_batch *last; /* ... and what it cut; set before `end`, from then on the writer's; NULL: nothing */

    /* Writer: whose the lock `keeping` is. Readers: all. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t written_ticket;
    _Atomic uint64_t synced_ticket;
    _Atomic bool is_refused;      /* the disk is full; relaxed: nothing else is read because of it */
    _Atomic bool has_failed;      /* `failure` is written before */
    _Atomic uint64_t batch_count; /* the counts: relaxed, statistics */
    _Atomic uint64_t sync_count;
    _Atomic uint64_t retry_count;
    struct error failure;
    enum status failure_status;
};

/* One writer at a time; relaxed: statistics. */
static inline void journal_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- journal_keep.c: for whose the lock is ---- */

/* Makes the batch a transaction of the store, flushes the disk if the batch wants it or it is due, empties the batch
 * and lets its tickets go up. STATUS_AGAIN: the disk is full, nothing was done. Another failure is for good:
 * journal_fail. */
enum status journal_keep(struct journal *journal, struct journal_batch *batch, struct error *error) MUST_USE;
/* Flushes the disk; failures as above. */
enum status journal_keep_synced(struct journal *journal, struct error *error) MUST_USE;
/* When the disk is to be flushed at the latest; CLOCK_NEVER_NS: all is on it. The writer may ask without the lock. */
int64_t journal_sync_due_ns(const struct journal *journal);
/* For good: nothing is kept from here on. */
void journal_fail(struct journal *journal, enum status status, const struct error *reason);
/* Any thread. */
bool journal_has_failed(const struct journal *journal);

/* ---- journal_writer.c ---- */

/* The writer's thread; takes the journal. */
void *journal_write(void *journal);

#endif
