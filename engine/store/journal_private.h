/*
 * journal_private.h: what journal.c (the durable thread's side) and journal_writer.c (the writer's) share.
 *
 * Two batches: one is open, the other is empty or with the writer. The durable thread hands a sealed batch over through
 * one slot, and the writer gives it back, emptied, by emptying the slot.
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
    struct store *store; /* the main thread's until the start and after the finish, between them the writer's */
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
    uint64_t seen_written_ticket; /* at the last end of a turn */
    uint64_t seen_synced_ticket;

    /* Shared. */
    struct idle writer_idle; /* wakers: the durable thread, at the end the main thread */
    /* NULL: the writer is free. Written by the durable thread (a batch) and the writer (NULL), in turn. */
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct journal_batch *) sealed;
    _Atomic int end;            /* enum journal_end; by the main thread, after the durable thread has ended */
    struct journal_batch *last; /* ... and what it cut; set before `end`, from then on the writer's; NULL: nothing */

    /* Writer: the writer. Readers: all. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t written_ticket;
    _Atomic uint64_t synced_ticket;
    _Atomic bool is_refused;      /* the disk is full; relaxed: nothing else is read because of it */
    _Atomic bool has_failed;      /* `failure` is written before */
    _Atomic uint64_t batch_count; /* the counts: relaxed, statistics */
    _Atomic uint64_t sync_count;
    _Atomic uint64_t retry_count;
    _Atomic uint64_t stored_bytes;
    struct error failure;
    enum status failure_status;
};

/* The writer's thread; takes the journal. */
void *journal_write(void *journal);

#endif
