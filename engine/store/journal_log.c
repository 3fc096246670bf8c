/*
 * Logging: a batch becomes a record of the redo log, and is flushed to the disk. Whoever does it holds the lock: the
 * durable thread for what is small, and the logger, a thread of its own, for all else.
 */
#include "engine/clock.h"
#include "engine/store/journal_private.h"

void journal_fail(struct journal *journal, enum status status, const struct error *reason)
{
    if (journal_has_failed(journal))
        return;
    journal->failure = *reason;
    journal->failure_status = status;
    /* Release, pairs with the acquire in journal_has_failed(). */
    atomic_store_explicit(&journal->has_failed, true, memory_order_release);
    if (journal->failed != NULL)
        journal->failed(journal->failed_context);
}

bool journal_has_failed(const struct journal *journal)
{
    /* Acquire, pairs with the release in journal_fail(): the text is whole. */
    return atomic_load_explicit(&journal->has_failed, memory_order_acquire);
}

int64_t journal_sync_due_ns(const struct journal *journal)
{
    int64_t since_ns = atomic_load_explicit(&journal->unsynced_since_ns, memory_order_relaxed);
    return since_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS : since_ns + journal->sync_interval_ns;
}

/* ---- for whose the lock is ---- */

/* Whether the writer has something to do now: make room in the ring, put much into the store, or begin to wait until it
 * is time. */
static bool wants_writer(struct journal *journal, uint64_t ticket, size_t bytes)
{
    uint64_t untaken_count = ticket - atomic_load_explicit(&journal->taken_ticket, memory_order_relaxed);
    journal->untold_bytes += bytes;
    if (ticket - journal_written_ticket(journal) > 1 && untaken_count < JOURNAL_BATCH_COUNT / 2 &&
        journal->untold_bytes < JOURNAL_TRANSACTION_BYTES)
        return false;
    journal->untold_bytes = 0;
    return true;
}

static void publish_logged(struct journal *journal, uint64_t ticket, size_t bytes)
{
    /* Release, pairs with the acquire in journal_logged_ticket(): the batch, and its place. */
    atomic_store_explicit(&journal->logged_ticket, ticket, memory_order_release);
    if (wants_writer(journal, ticket, bytes))
        idle_wake(&journal->writer.idle);
}

static void publish_synced(struct journal *journal)
{
    atomic_store_explicit(&journal->unsynced_since_ns, CLOCK_NEVER_NS, memory_order_relaxed);
    journal_count(&journal->sync_count);
    uint64_t ticket = atomic_load_explicit(&journal->logged_ticket, memory_order_relaxed);
    /* Release, pairs with the acquire in journal_synced_ticket(). */
    atomic_store_explicit(&journal->synced_ticket, ticket, memory_order_release);
}

static enum status flush(struct journal *journal, struct error *error)
{
    enum status status = redo_flush(journal->redo, error);
    if (status == STATUS_OK)
        publish_synced(journal);
    return status;
}

void journal_skip_log(struct journal *journal, uint64_t ticket)
{
    publish_logged(journal, ticket, 0);
    publish_synced(journal);
}

static enum status append(struct journal *journal, struct journal_batch *batch, struct error *error)
{
    batch_join_settled(batch);
    batch_encode(batch, REDO_HEAD_BYTES, &journal->record);
    return redo_append(journal->redo, journal->record.bytes, journal->record.length, &batch->place, error);
}

enum status journal_log(struct journal *journal, struct journal_batch *batch, struct error *error)
{
    int64_t start_ns = clock_monotonic_ns();
    bool is_empty = batch_is_empty(batch); /* then somebody only waits for what came before it */
    enum status status = is_empty ? STATUS_OK : append(journal, batch, error);
    if (status != STATUS_OK)
        return status;
    if (!is_empty && journal_sync_due_ns(journal) == CLOCK_NEVER_NS)
        atomic_store_explicit(&journal->unsynced_since_ns, batch->monotonic_ns, memory_order_relaxed);
    bool sync = batch->wants_sync || start_ns >= journal_sync_due_ns(journal);
    publish_logged(journal, batch->ticket, batch->bytes); /* from here on it is the writer's */
    if (!sync)
        return STATUS_OK;
    status = flush(journal, error);
    journal->last_flush_ns = clock_monotonic_ns() - start_ns;
    return status;
}

/* ---- the logger ---- */

/* What the log takes never, or not until more is free, waits for the writer. */
static bool fits(struct journal *journal, uint64_t ticket)
{
    if (atomic_load_explicit(&journal->large_ticket, memory_order_relaxed) == ticket)
        return false; /* it is the writer's already */
    const struct journal_batch *batch = journal_batch_of(journal, ticket);
    size_t length = batch_encoded_bytes(batch) + REDO_HEAD_BYTES;
    if (length <= REDO_RECORD_BYTES_MAX && redo_has_room(journal->redo, length))
        return true;
    if (length > REDO_RECORD_BYTES_MAX) /* release, pairs with the acquire in write_large(): the batch */
        atomic_store_explicit(&journal->large_ticket, ticket, memory_order_release);
    atomic_store_explicit(&journal->needs_room, true, memory_order_relaxed);
    idle_wake(&journal->writer.idle);
    return false;
}

/* Whether it waits in vain: at the end, for a writer whom the disk refuses. */
static bool waits_in_vain(const struct journal *journal, const struct journal_turn *turn)
{
    return turn->ending && atomic_load_explicit(&journal->writer.is_refused, memory_order_relaxed);
}

/* Under the lock. */
static enum status log_next(struct journal *journal, struct journal_turn *turn)
{
    enum status status = STATUS_OK;
    for (uint64_t next; status == STATUS_OK && (next = journal_logged_ticket(journal) + 1) <= turn->sealed;) {
        if (!fits(journal, next))
            return waits_in_vain(journal, turn) ? STATUS_AGAIN : STATUS_OK;
        status = journal_log(journal, journal_batch_of(journal, next), &turn->error);
        turn->did_something |= status == STATUS_OK;
    }
    return status;
}

static bool is_flush_due(const struct journal *journal, const struct journal_turn *turn)
{
    int64_t due_ns = journal_sync_due_ns(journal);
    return due_ns != CLOCK_NEVER_NS && (turn->ending || clock_monotonic_ns() >= due_ns);
}

static enum status log_sealed(struct journal *journal, struct journal_turn *turn)
{
    uint64_t synced = journal_synced_ticket(journal);
    pthread_mutex_lock(&journal->logging);
    enum status status = log_next(journal, turn);
    if ((status == STATUS_OK || status == STATUS_AGAIN) && is_flush_due(journal, turn)) {
        struct error error = {0};
        enum status flushed = flush(journal, &error);
        if (flushed != STATUS_OK) {
            turn->error = error;
            status = flushed;
        }
    }
    pthread_mutex_unlock(&journal->logging);
    if (turn->did_something || journal_synced_ticket(journal) != synced)
        idle_wake(journal->durable_idle);
    turn->due_ns = journal_sync_due_ns(journal);
    turn->is_done = journal_logged_ticket(journal) == turn->sealed && turn->due_ns == CLOCK_NEVER_NS;
    return status;
}

void *journal_run_logger(void *argument)
{
    struct journal *journal = argument;
    pthread_setname_np(pthread_self(), "store log");
    journal_run(journal, &journal->logger, (journal_step *const[]){log_sealed}, 1);
    return NULL;
}
