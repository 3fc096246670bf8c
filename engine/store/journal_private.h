/*
 * journal_private.h: what journal.c (the durable thread's side), journal_log.c (the log, and the logger),
 * journal_writer.c (the writer) and journal_loop.c (their loop) share.
 *
 * A batch goes through a few hands: it is open, then sealed, then in the redo log and with that kept, then in the
 * store's file. A small batch that somebody waits for the durable thread puts into the log itself, if
 * the disk is quick, which takes less than waking two threads, one after the other; all others the logger does. The
 * writer puts into the store what is in the log, when it is enough or time.
 *
 * The batches lie in a ring by their tickets, and each of the counters sealed, logged, taken and written goes up over
 * them behind the one before it. A batch is the durable thread's until it is sealed, then whose the lock `logging` is
 * until it is logged (or found to be too large for that), then the writer's until it is taken, that is, copied to what
 * goes into the store next; it is then empty, and the durable thread's again.
 */
#ifndef ENGINE_STORE_JOURNAL_PRIVATE_H
#define ENGINE_STORE_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/idle.h"
#include "engine/store/journal.h"
#include "engine/store/journal_batch.h"
#include "engine/store/redo.h"

/* Numbers that the store has given, in the order in which nodes found them. */
struct journal_finds {
    uint32_t *numbers;
    size_t count;
};

/* The logger or the writer. */
struct journal_hand {
    pthread_t thread;
    struct idle idle; /* wakers: the durable thread, the other hand, at the end the main thread */
    /* By the main thread: it ends when all is done. Release and acquire: what was done before. */
    _Atomic bool is_ending;
    _Atomic bool is_refused; /* by the hand: the disk is full. Relaxed: nothing else is read because of it */
};

/* As many batches as may be sealed and not with the writer, with the open one. */
enum { JOURNAL_BATCH_COUNT = 32 };
/* So much in the log is worth a transaction of the store. */
enum { JOURNAL_TRANSACTION_BYTES = 1 << 20 };

struct journal {
    uint32_t magic;
    char *directory;
    int64_t sync_interval_ns;
    struct log *log;
    void (*failed)(void *context);
    void *failed_context;
    struct idle *durable_idle; /* both hands wake it */
    struct journal_hand logger;
    struct journal_hand writer;
    pthread_mutex_t telling; /* whose the lock is may write to `log`, from the start to the finish */
    bool started;
    bool finished;
    struct journal_finds queues; /* before the start */
    struct journal_finds states;
    struct store *store;                               /* the writer's from the start to the finish */
    struct journal_batch all;                          /* the same: what goes into the store next */
    struct journal_batch batches[JOURNAL_BATCH_COUNT]; /* see journal_batch_of */

    /* The lock of the redo log: the main thread's until the start and after the finish, between them whose the lock is.
     */
    pthread_mutex_t logging;
    struct redo *redo;
    struct batch_buffer record;
    size_t untold_bytes;   /* logged since the writer was woken */
    int64_t last_flush_ns; /* what it took to log the last batch that was to be on the disk */
    /* When the oldest thing was put in that is in the log and not on the disk; CLOCK_NEVER_NS: none. Relaxed: the
     * logger rests by it without the lock, and only what the logger has logged leaves it set. */
    _Atomic int64_t unsynced_since_ns;

    /* The durable thread's. */
    struct store *reader; /* NULL until journal_read */
    struct journal_batch *open;
    struct journal_member *members;
    size_t member_count;
    bool cutting;
    size_t seen_bytes;            /* in the open batch, at the last end of a turn */
    uint64_t seen_written_ticket; /* at the last end of a turn */
    uint64_t seen_synced_ticket;

    /* Writer: the durable thread, at the end the main thread. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t sealed_ticket;
    /* Set by who waits for more to be in the store (anybody), or out of the log (the logger), and cleared by the writer
     * at the beginning of a turn. Relaxed: who sets it wakes the writer, which is a fence for both. */
    _Atomic bool wants_written;
    _Atomic bool needs_room;
    _Atomic uint64_t
        large_ticket; /* by the logger: this batch is too large for the log, and from here on the writer's */

    /* Writer: whose the lock `logging` is. Readers: all. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t logged_ticket;
    _Atomic uint64_t synced_ticket;
    _Atomic bool has_failed; /* `failure` is written before */
    _Atomic uint64_t sync_count;
    struct error failure;
    enum status failure_status;

    /* Writer: the writer. Readers: all. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t taken_ticket;
    _Atomic uint64_t written_ticket;
    _Atomic uint64_t batch_count; /* the counts: relaxed, statistics */
    _Atomic uint64_t retry_count; /* by both hands */
};

static inline struct journal_batch *journal_batch_of(struct journal *journal, uint64_t ticket)
{
    return &journal->batches[ticket % JOURNAL_BATCH_COUNT];
}

/* One writer at a time; relaxed: statistics. */
static inline void journal_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- journal_log.c ---- */

/* For whose the lock is: writes the batch, which is the next one, into the redo log, flushes the log if the batch wants
 * it or it is due, and lets its tickets go up. STATUS_AGAIN: the log or the disk is full, nothing was done. Another
 * failure is for good: journal_fail. */
enum status journal_log(struct journal *journal, struct journal_batch *batch, struct error *error) MUST_USE;
/* The same: the next batch, of this ticket, was kept in another way, and is on the disk. */
void journal_skip_log(struct journal *journal, uint64_t ticket);
/* For whose the lock is. For good: nothing is kept from here on. */
void journal_fail(struct journal *journal, enum status status, const struct error *reason);
/* Any thread. */
bool journal_has_failed(const struct journal *journal);
/* When the log is to be flushed at the latest; CLOCK_NEVER_NS: all is on the disk. Any thread. */
int64_t journal_sync_due_ns(const struct journal *journal);

/* The logger's thread; takes the journal. */
void *journal_run_logger(void *journal);

/* ---- journal_writer.c ---- */

/* The writer's thread; takes the journal. */
void *journal_run_writer(void *journal);

/* ---- journal_loop.c ---- */

/* One turn of a hand. */
struct journal_turn {
    uint64_t sealed; /* as of its beginning */
    bool ending;     /* the same */
    bool is_wanted;  /* the writer's: that more is in the store */
    bool needs_room; /* the writer's: the logger, in the log */
    bool did_something;
    bool was_refused;
    bool is_done;       /* all that is sealed, for this hand */
    int64_t due_ns;     /* the next turn, at the latest */
    struct error error; /* of what was refused, or failed */
};

/* STATUS_AGAIN: the disk refused something. Another failure is for good. */
typedef enum status journal_step(struct journal *journal, struct journal_turn *turn);

/* Takes turns, of these steps, until the end or a failure. */
void journal_run(struct journal *journal, struct journal_hand *hand, journal_step *const *steps, size_t count);

#endif
