/* The writer: a thread that puts what is logged into the store, as much in one transaction as is worth one. */
#include "engine/clock.h"
#include "engine/store/journal_private.h"

/* What is logged comes into the store when it is so old, though it be little. */
static const int64_t write_interval_ns = 5 * NS_PER_MS;

/* What is kept of a batch's buffers, each, and of those of all together. */
enum { KEPT_BYTES = 1 << 20, KEPT_BYTES_ALL = 16 << 20 };

/* When so much of the log is in use, the store is flushed, so that what is in it need not be in the log. */
enum { LOG_FULL_BYTES = REDO_BYTES_MAX / 4 };

static uint64_t written_ticket(const struct journal *journal)
{
    return atomic_load_explicit(&journal->written_ticket, memory_order_relaxed);
}

/* ---- out of the ring ---- */

/* Adds the next batch to what goes into the store, and gives it back empty. */
static void take_next(struct journal *journal)
{
    uint64_t ticket = atomic_load_explicit(&journal->taken_ticket, memory_order_relaxed) + 1;
    struct journal_batch *batch = journal_batch_of(journal, ticket);
    batch_add(&journal->all, batch);
    journal->all.ticket = ticket;
    batch_clear(batch);
    batch_trim(batch, KEPT_BYTES);
    journal_count(&journal->batch_count);
    /* Release, pairs with the acquire in may_seal(): the batch is empty, and no more touched. */
    atomic_store_explicit(&journal->taken_ticket, ticket, memory_order_release);
}

static void take_logged(struct journal *journal)
{
    uint64_t logged = journal_logged_ticket(journal);
    while (atomic_load_explicit(&journal->taken_ticket, memory_order_relaxed) < logged)
        take_next(journal);
}

/* ---- into the store ---- */

/* One transaction with all that was taken. After a refusal it is there still. */
static enum status write_all(struct journal *journal, bool sync, struct error *error)
{
    struct journal_batch *all = &journal->all;
    batch_join_settled(all);
    enum status status = store_begin(journal->store, error);
    if (status == STATUS_OK)
        status = batch_apply(all, journal->store, error);
    if (status != STATUS_OK)
        return status;
    if (all->place.number > 0)
        store_set_redo_place(journal->store, &all->place);
    return store_commit(journal->store, sync, error);
}

static void publish_written(struct journal *journal)
{
    batch_clear(&journal->all);
    batch_trim(&journal->all, KEPT_BYTES_ALL);
    /* Release, pairs with the acquire in journal_written_ticket(): who sees the ticket sees in the store what was in
     * the batches. */
    atomic_store_explicit(&journal->written_ticket, journal->all.ticket, memory_order_release);
    idle_wake(journal->durable_idle);
}

static enum status write_logged(struct journal *journal, struct journal_turn *turn)
{
    /* Before the look at what is logged: who logs something and then sets these again has another turn. */
    turn->needs_room = atomic_exchange_explicit(&journal->needs_room, false, memory_order_relaxed);
    turn->is_wanted =
        atomic_exchange_explicit(&journal->wants_written, false, memory_order_relaxed) || turn->needs_room;
    take_logged(journal);
    const struct journal_batch *all = &journal->all;
    if (all->ticket == written_ticket(journal))
        return STATUS_OK;
    int64_t due_ns = all->monotonic_ns + write_interval_ns;
    if (all->bytes < JOURNAL_TRANSACTION_BYTES && !turn->ending && !turn->is_wanted && clock_monotonic_ns() < due_ns) {
        turn->due_ns = due_ns;
        return STATUS_OK;
    }
    enum status status = batch_is_empty(all) ? STATUS_OK : write_all(journal, false, &turn->error);
    if (status == STATUS_OK) {
        publish_written(journal);
        turn->did_something = true;
    }
    return status;
}

/* A batch that is too large for the log, when all before it are in the store. */
static enum status write_large(struct journal *journal, struct journal_turn *turn)
{
    uint64_t next = written_ticket(journal) + 1;
    /* Acquire, pairs with the release in fits(): the batch. */
    if (atomic_load_explicit(&journal->large_ticket, memory_order_acquire) != next)
        return STATUS_OK;
    if (journal->all.ticket < next)
        take_next(journal);
    /* On the disk before a record that is to be done after it. */
    enum status status = write_all(journal, true, &turn->error);
    if (status != STATUS_OK)
        return status;
    pthread_mutex_lock(&journal->logging);
    journal_skip_log(journal, next);
    pthread_mutex_unlock(&journal->logging);
    publish_written(journal);
    idle_wake(&journal->logger.idle);
    turn->did_something = true;
    return STATUS_OK;
}

/* Makes room in the log if that is wanted. */
static enum status free_log(struct journal *journal, struct journal_turn *turn)
{
    pthread_mutex_lock(&journal->logging);
    size_t used_bytes = redo_used_bytes(journal->redo);
    pthread_mutex_unlock(&journal->logging);
    bool is_last = turn->ending && written_ticket(journal) == turn->sealed;
    turn->is_done = is_last;
    if (used_bytes < LOG_FULL_BYTES && !(used_bytes > 0 && (is_last || turn->needs_room)))
        return STATUS_OK;
    enum status status = store_sync(journal->store, &turn->error);
    if (status != STATUS_OK)
        return status;
    struct redo_place place = store_redo_place(journal->store);
    pthread_mutex_lock(&journal->logging);
    redo_free_up_to(journal->redo, &place);
    turn->did_something |= redo_used_bytes(journal->redo) < used_bytes;
    pthread_mutex_unlock(&journal->logging);
    idle_wake(&journal->logger.idle);
    return STATUS_OK;
}

void *journal_run_writer(void *argument)
{
    struct journal *journal = argument;
    pthread_setname_np(pthread_self(), "store writer");
    journal_run(journal, &journal->writer, (journal_step *const[]){write_logged, write_large, free_log}, 3);
    return NULL;
}
