/* The writer: a thread that keeps each sealed batch, and flushes the disk when it is time. */
#include "engine/clock.h"
#include "engine/log.h"
#include "engine/store/journal_private.h"

/* A full disk is tried again this often; at the end of a launch not for ever. */
static const int64_t retry_interval_ns = 100 * NS_PER_MS;
enum { LAST_RETRY_COUNT = 20 };

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

static void wait_for_room(struct journal *journal, const struct error *reason)
{
    journal_count(&journal->retry_count);
    begin_refusal(journal, reason);
    wait_to_retry(journal);
}

static bool fail(struct journal *journal, enum status status, struct error *reason)
{
    if (status == STATUS_AGAIN)
        status = error_set(reason, STATUS_SYSTEM, "--store %s: the disk is full; what came last is not on it",
                           journal->directory);
    journal_fail(journal, status, reason);
    idle_wake(journal->durable_idle);
    return false;
}

/* ---- the writer ---- */

/* False: the writer is at its end, for good. */
static bool keep(struct journal *journal, struct journal_batch *batch)
{
    batch_join_settled(batch);
    for (int tries_at_end = 0;;) {
        struct error error = {0};
        pthread_mutex_lock(&journal->keeping);
        enum status status = journal_keep(journal, batch, &error);
        pthread_mutex_unlock(&journal->keeping);
        if (status == STATUS_OK)
            break;
        /* A batch that failed stays in the slot: nothing more is taken. */
        if (status != STATUS_AGAIN || (is_ending(journal) && tries_at_end++ == LAST_RETRY_COUNT))
            return fail(journal, status, &error);
        wait_for_room(journal, &error);
    }
    end_refusal(journal);
    /* Release, pairs with the acquire in journal_end_turn(): the batch is cleared, and no more touched from here. */
    atomic_store_explicit(&journal->sealed, NULL, memory_order_release);
    idle_wake(journal->durable_idle);
    return true;
}

static bool sync_all(struct journal *journal)
{
    struct error error = {0};
    pthread_mutex_lock(&journal->keeping);
    enum status status = journal_keep_synced(journal, &error);
    pthread_mutex_unlock(&journal->keeping);
    if (status == STATUS_AGAIN && !is_ending(journal)) { /* it stays due */
        wait_for_room(journal, &error);
        return true;
    }
    if (status != STATUS_OK)
        return fail(journal, status, &error);
    end_refusal(journal);
    idle_wake(journal->durable_idle);
    return true;
}

void *journal_write(void *argument)
{
    struct journal *journal = argument;
    pthread_setname_np(pthread_self(), "store writer");
    for (bool goes_on = true; goes_on && !journal_has_failed(journal);) {
        bool ending = is_ending(journal);
        struct journal_batch *batch = next_batch(journal, ending);
        int64_t now_ns = clock_monotonic_ns();
        int64_t due_ns = journal_sync_due_ns(journal);
        if (batch != NULL) {
            idle_busy(&journal->writer_idle);
            goes_on = keep(journal, batch);
        } else if (now_ns >= due_ns || (ending && due_ns != CLOCK_NEVER_NS)) {
            idle_busy(&journal->writer_idle);
            goes_on = sync_all(journal);
        } else if (ending) {
            goes_on = false;
        } else {
            idle_rest(&journal->writer_idle, now_ns, due_ns);
        }
    }
    return NULL;
}
