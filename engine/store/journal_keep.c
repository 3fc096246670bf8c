/* Keeping: a batch becomes a transaction of the store, and is flushed to the disk. Whoever does it holds the lock. */
#include "engine/clock.h"
#include "engine/store/journal_private.h"

void journal_fail(struct journal *journal, enum status status, const struct error *reason)
{
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

static enum status keep_once(struct journal *journal, const struct journal_batch *batch, bool sync, struct error *error)
{
    if (batch_is_empty(batch)) /* somebody only waits for what came before it */
        return sync ? store_sync(journal->store, error) : STATUS_OK;
    enum status status = store_begin(journal->store, error);
    if (status == STATUS_OK)
        status = batch_apply(batch, journal->store, error);
    if (status == STATUS_OK)
        status = store_commit(journal->store, sync, error);
    return status;
}

static void publish_synced(struct journal *journal, uint64_t ticket)
{
    atomic_store_explicit(&journal->unsynced_since_ns, CLOCK_NEVER_NS, memory_order_relaxed);
    journal_count(&journal->sync_count);
    /* Release, pairs with the acquire in journal_synced_ticket(). */
    atomic_store_explicit(&journal->synced_ticket, ticket, memory_order_release);
}

/* The batch is in the store. */
static void publish(struct journal *journal, struct journal_batch *batch, bool synced)
{
    uint64_t ticket = batch->ticket;
    if (!batch_is_empty(batch) && !synced && journal_sync_due_ns(journal) == CLOCK_NEVER_NS)
        atomic_store_explicit(&journal->unsynced_since_ns, batch->monotonic_ns, memory_order_relaxed);
    batch_clear(batch);
    journal_count(&journal->batch_count);
    /* Release, pairs with the acquire in journal_written_ticket(). */
    atomic_store_explicit(&journal->written_ticket, ticket, memory_order_release);
    if (synced)
        publish_synced(journal, ticket);
}

enum status journal_keep(struct journal *journal, struct journal_batch *batch, struct error *error)
{
    int64_t start_ns = clock_monotonic_ns();
    bool sync = batch->wants_sync || start_ns >= journal_sync_due_ns(journal);
    enum status status = keep_once(journal, batch, sync, error);
    if (status != STATUS_OK)
        return status;
    if (sync)
        journal->last_flush_ns = clock_monotonic_ns() - start_ns;
    publish(journal, batch, sync);
    return STATUS_OK;
}

enum status journal_keep_synced(struct journal *journal, struct error *error)
{
    enum status status = store_sync(journal->store, error);
    if (status != STATUS_OK)
        return status;
    publish_synced(journal, atomic_load_explicit(&journal->written_ticket, memory_order_relaxed));
    return STATUS_OK;
}
