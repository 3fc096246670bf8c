/* The writer: a thread that makes each sealed batch a transaction of the store, and flushes the disk when it is time.
 */
#include "engine/check.h"
#include "engine/clock.h"
#include "engine/log.h"
#include "engine/store/journal_private.h"

/* A full disk is tried again this often; at the end of a launch not for ever. */
static const int64_t retry_interval_ns = 100 * NS_PER_MS;
enum { LAST_RETRY_COUNT = 20 };

struct writer {
    struct journal *journal;
    int64_t unsynced_since_ns; /* when the oldest thing was put in that is not on the disk; CLOCK_NEVER_NS: none */
};

/* Acquire, pairs with the release in journal_finish(): `last`, and by then nobody seals. */
static bool is_ending(const struct journal *journal)
{
    return atomic_load_explicit(&journal->end, memory_order_acquire) == JOURNAL_ENDS;
}

/* `ending`: is_ending as of before. */
static struct journal_batch *next_batch(struct journal *journal, bool ending)
{
    /* Acquire, pairs with the release in cut(): what is in the batch. */
    struct journal_batch *batch = atomic_load_explicit(&journal->sealed, memory_order_acquire);
    if (batch == NULL && ending) {
        batch = journal->last;
        journal->last = NULL;
    }
    return batch;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* For good. The batch stays in the slot: nothing more is taken. */
static void fail(struct journal *journal, enum status status, const struct error *reason)
{
    journal->failure = *reason;
    journal->failure_status = status;
    /* Release, pairs with the acquire in journal_failure(). */
    atomic_store_explicit(&journal->has_failed, true, memory_order_release);
    if (journal->failed != NULL)
        journal->failed(journal->failed_context);
    idle_wake(journal->durable_idle);
}

/* ---- a full disk ---- */

static void begin_refusal(struct journal *journal, const struct error *reason)
{
    if (atomic_load_explicit(&journal->is_refused, memory_order_relaxed))
        return;
    atomic_store_explicit(&journal->is_refused, true, memory_order_relaxed);
    if (journal->log != NULL) {
        log_line(journal->log, LOG_WARN, "--store %s: the disk is full%s%s; nothing is taken until there is room",
                 journal->directory, reason->text[0] != '\0' ? ": " : "", reason->text);
        log_flush(journal->log);
    }
    idle_wake(journal->durable_idle);
}

static void end_refusal(struct journal *journal)
{
    if (!atomic_load_explicit(&journal->is_refused, memory_order_relaxed))
        return;
    atomic_store_explicit(&journal->is_refused, false, memory_order_relaxed);
    if (journal->log != NULL) {
        log_line(journal->log, LOG_WARN, "--store %s: there is room again", journal->directory);
        log_flush(journal->log);
    }
}

static void wait_to_retry(struct journal *journal)
{
    int64_t until_ns = clock_monotonic_ns() + retry_interval_ns;
    for (int64_t now_ns = 0; (now_ns = clock_monotonic_ns()) < until_ns;)
        idle_rest(&journal->writer_idle, now_ns, until_ns);
    idle_busy(&journal->writer_idle);
}

/* ---- keeping ---- */

static enum status keep_once(const struct journal *journal, const struct journal_batch *batch, bool sync,
                             struct error *error)
{
    enum status status = STATUS_OK;
    if (batch_is_empty(batch)) /* somebody only waits for what came before it */
        return sync ? store_sync(journal->store, error) : STATUS_OK;
    status = store_begin(journal->store, error);
    if (status == STATUS_OK)
        status = batch_apply(batch, journal->store, error);
    if (status == STATUS_OK)
        status = store_commit(journal->store, sync, error);
    return status;
}

static void publish_synced(struct writer *writer, uint64_t ticket)
{
    struct journal *journal = writer->journal;
    writer->unsynced_since_ns = CLOCK_NEVER_NS;
    count(&journal->sync_count);
    atomic_store_explicit(&journal->stored_bytes, store_file_bytes(journal->store), memory_order_relaxed);
    /* Release, pairs with the acquire in journal_synced_ticket(). */
    atomic_store_explicit(&journal->synced_ticket, ticket, memory_order_release);
}

/* The batch is in the store: says so, and gives its memory back. */
static void publish(struct writer *writer, struct journal_batch *batch, bool synced)
{
    struct journal *journal = writer->journal;
    uint64_t ticket = batch->ticket;
    if (!batch_is_empty(batch) && !synced && batch->monotonic_ns < writer->unsynced_since_ns)
        writer->unsynced_since_ns = batch->monotonic_ns;
    batch_clear(batch);
    count(&journal->batch_count);
    /* Release, pairs with the acquire in journal_written_ticket(). */
    atomic_store_explicit(&journal->written_ticket, ticket, memory_order_release);
    if (synced)
        publish_synced(writer, ticket);
    /* Release, pairs with the acquire in journal_end_turn(): the batch is cleared, and no more touched from here. */
    atomic_store_explicit(&journal->sealed, NULL, memory_order_release);
    idle_wake(journal->durable_idle);
}

static bool is_due(const struct writer *writer, int64_t now_ns)
{
    return writer->unsynced_since_ns != CLOCK_NEVER_NS &&
           now_ns - writer->unsynced_since_ns >= writer->journal->sync_interval_ns;
}

/* False: the writer is at its end, for good. */
static bool keep(struct writer *writer, struct journal_batch *batch)
{
    struct journal *journal = writer->journal;
    batch_join_settled(batch);
    for (int tries_at_end = 0;;) {
        struct error error = {0};
        bool sync = batch->wants_sync || is_due(writer, clock_monotonic_ns());
        enum status status = keep_once(journal, batch, sync, &error);
        if (status == STATUS_OK) {
            end_refusal(journal);
            publish(writer, batch, sync);
            return true;
        }
        if (status != STATUS_AGAIN || (is_ending(journal) && tries_at_end++ == LAST_RETRY_COUNT)) {
            if (status == STATUS_AGAIN)
                status = error_set(&error, STATUS_SYSTEM, "--store %s: the disk is full; the last batch is not kept",
                                   journal->directory);
            fail(journal, status, &error);
            return false;
        }
        count(&journal->retry_count);
        begin_refusal(journal, &error);
        wait_to_retry(journal);
    }
}

static bool sync_all(struct writer *writer)
{
    struct journal *journal = writer->journal;
    struct error error = {0};
    enum status status = store_sync(journal->store, &error);
    if (status == STATUS_AGAIN && !is_ending(journal)) { /* it stays due */
        count(&journal->retry_count);
        begin_refusal(journal, &error);
        wait_to_retry(journal);
        return true;
    }
    if (status != STATUS_OK) {
        if (status == STATUS_AGAIN)
            status =
                error_set(&error, STATUS_SYSTEM, "--store %s: the disk is full; not all is on it", journal->directory);
        fail(journal, status, &error);
        return false;
    }
    end_refusal(journal);
    publish_synced(writer, atomic_load_explicit(&journal->written_ticket, memory_order_relaxed));
    idle_wake(journal->durable_idle);
    return true;
}

void *journal_write(void *argument)
{
    struct writer writer = {.journal = argument, .unsynced_since_ns = CLOCK_NEVER_NS};
    struct journal *journal = writer.journal;
    pthread_setname_np(pthread_self(), "store writer");
    for (bool goes_on = true; goes_on;) {
        bool ending = is_ending(journal);
        struct journal_batch *batch = next_batch(journal, ending);
        int64_t now_ns = clock_monotonic_ns();
        bool unsynced = writer.unsynced_since_ns != CLOCK_NEVER_NS;
        if (batch != NULL) {
            idle_busy(&journal->writer_idle);
            goes_on = keep(&writer, batch);
        } else if (is_due(&writer, now_ns) || (ending && unsynced)) {
            idle_busy(&journal->writer_idle);
            goes_on = sync_all(&writer);
        } else if (ending) {
            goes_on = false;
        } else {
            idle_rest(&journal->writer_idle, now_ns,
                      unsynced ? writer.unsynced_since_ns + journal->sync_interval_ns : CLOCK_NEVER_NS);
        }
    }
    return NULL;
}
