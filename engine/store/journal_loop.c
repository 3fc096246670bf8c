/*
 * The loop of the journal's two threads, the logger and the writer. What there is to do in one turn is done or refused
 * by the disk, and what was refused is tried again in the next.
 */
#include "engine/clock.h"
#include "engine/log.h"
#include "engine/store/journal_private.h"

/* A full disk is tried again this often; at the end of a launch not for ever. */
static const int64_t retry_interval_ns = 100 * NS_PER_MS;
enum { LAST_RETRY_COUNT = 20 };

/* ---- a full disk ---- */

/* The log is one thread's at a time: the lock is for its lines. */
static void tell(struct journal *journal, const char *what, const struct error *reason)
{
    if (journal->log == NULL)
        return;
    pthread_mutex_lock(&journal->telling);
    log_line(journal->log, LOG_WARN, "--store %s: %s%s%s", journal->directory, what,
             reason->text[0] != '\0' ? ": " : "", reason->text);
    log_flush(journal->log);
    pthread_mutex_unlock(&journal->telling);
}

static void set_refused(struct journal *journal, struct journal_hand *hand, bool is_refused, const struct error *reason)
{
    if (atomic_load_explicit(&hand->is_refused, memory_order_relaxed) == is_refused)
        return;
    atomic_store_explicit(&hand->is_refused, is_refused, memory_order_relaxed);
    tell(journal, is_refused ? "the disk is full; nothing is taken until there is room" : "there is room again",
         reason);
    idle_wake(journal->durable_idle);
    idle_wake(&journal->logger.idle); /* it may wait for the writer */
}

static void wait_to_retry(struct journal_hand *hand)
{
    int64_t until_ns = clock_monotonic_ns() + retry_interval_ns;
    for (int64_t now_ns = 0; (now_ns = clock_monotonic_ns()) < until_ns;)
        idle_rest(&hand->idle, now_ns, until_ns);
    idle_busy(&hand->idle);
}

static void wait_for_room(struct journal *journal, struct journal_hand *hand, const struct error *reason)
{
    atomic_fetch_add_explicit(&journal->retry_count, 1, memory_order_relaxed);
    set_refused(journal, hand, true, reason);
    wait_to_retry(hand);
}

/* ---- turns ---- */

static void fail(struct journal *journal, enum status status, struct error *reason)
{
    if (status == STATUS_AGAIN)
        status = error_set(reason, STATUS_SYSTEM, "--store %s: the disk is full; what came last is not on it",
                           journal->directory);
    pthread_mutex_lock(&journal->logging);
    journal_fail(journal, status, reason);
    pthread_mutex_unlock(&journal->logging);
    idle_wake(journal->durable_idle);
    idle_wake(&journal->writer.idle);
    idle_wake(&journal->logger.idle);
}

/* Whatever the disk refuses, the rest is tried. False: a failure for good. */
static bool take_turn(struct journal *journal, struct journal_turn *turn, journal_step *const *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum status status = steps[i](journal, turn);
        turn->was_refused |= status == STATUS_AGAIN;
        if (status != STATUS_OK && status != STATUS_AGAIN) {
            fail(journal, status, &turn->error);
            return false;
        }
    }
    return true;
}

void journal_run(struct journal *journal, struct journal_hand *hand, journal_step *const *steps, size_t count)
{
    static const struct error no_reason;
    for (int tries_at_end = 0; !journal_has_failed(journal);) {
        /* Acquire, pairs with the release in end_hand(): what is sealed, and by then nobody seals. */
        struct journal_turn turn = {.ending = atomic_load_explicit(&hand->is_ending, memory_order_acquire),
                                    .due_ns = CLOCK_NEVER_NS};
        /* Acquire, pairs with the release in cut(): what is in the batches. */
        turn.sealed = atomic_load_explicit(&journal->sealed_ticket, memory_order_acquire);
        if (!take_turn(journal, &turn, steps, count))
            break;
        if (!turn.was_refused)
            set_refused(journal, hand, false, &no_reason);
        if (turn.did_something) {
            idle_busy(&hand->idle);
        } else if (turn.ending && turn.is_done) {
            break;
        } else if (turn.was_refused && turn.ending && tries_at_end++ == LAST_RETRY_COUNT) {
            if (hand == &journal->logger) /* else it is in the log */
                fail(journal, STATUS_AGAIN, &turn.error);
            break;
        } else if (turn.was_refused) {
            wait_for_room(journal, hand, &turn.error);
        } else {
            idle_rest(&hand->idle, clock_monotonic_ns(), turn.due_ns);
        }
    }
}
