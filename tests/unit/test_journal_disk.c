/* The journal on a disk that is quick, slow, busy, full, or fails. */
#include "tests/unit/journal_stage.h"

/* What is logged while the store is busy is one transaction, and nobody waits for it. */
static void test_a_busy_store(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_held, true);
    append(1, 1);
    journal_want_sync(journal);
    turn_until(journal_synced_ticket, 1);
    while (!atomic_load(&is_at_commit))
        sched_yield();
    for (uint64_t i = 2; i <= 20; i++) {
        append(i, 1);
        journal_want_sync(journal);
        turn_until(journal_synced_ticket, i);
    }
    assert_int_equal(journal_written_ticket(journal), 0);
    atomic_store(&is_held, false);
    turn_until(journal_written_ticket, 20);
    assert_int_equal(record_count, 20);
    assert_int_equal(made_count, 2);
    expect_stored(1, 20);
}

/* ... until there are too many of them: then they grow. */
static void test_a_store_that_is_behind(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_held, true);
    uint64_t next = 1;
    for (; next <= JOURNAL_BATCH_COUNT; next++) {
        append(next, 1);
        journal_want_sync(journal);
        turn_until(journal_synced_ticket, next);
        while (!atomic_load(&is_at_commit)) /* with the first */
            sched_yield();
    }
    while (next < 100) {
        append(next++, 1);
        journal_want_sync(journal);
        assert_int_equal(turn(), 0);
    }
    uint64_t ticket = journal_ticket(journal);
    assert_int_equal(ticket, JOURNAL_BATCH_COUNT + 1);
    atomic_store(&is_held, false);
    turn_until(journal_synced_ticket, ticket);
    expect_stored(1, next - 1);
}

/* The log has room for some of these only: the rest waits until the store has them. */
static void test_a_full_log(void **state)
{
    (void)state;
    enum { BYTES = 6 << 20, COUNT = 9 };
    char *text = calloc(1, BYTES);
    assert_non_null(text);
    open_with(60 * NS_PER_S);
    atomic_store(&is_held, true);
    for (uint64_t sequence = 1; sequence <= COUNT; sequence++) {
        journal_append(journal, queue_number, sequence, text, BYTES);
        if (sequence == REDO_BYTES_MAX / BYTES + 1) { /* it is sealed, and does not fit */
            seal();
            assert_int_equal(journal_logged_ticket(journal), sequence - 1);
            assert_int_equal(journal_written_ticket(journal), 0);
            atomic_store(&is_held, false);
        }
        turn_until(journal_logged_ticket, sequence);
    }
    turn_until(journal_written_ticket, COUNT);
    assert_true(free_count > 0);
    assert_false(is_free_too_soon);
    free(text);
    journal_close(&journal);
    struct store *store;
    struct store_queue found;
    OK(recovery_open_store(&store, place, &error));
    OK(store_find_queue(store, "q", &found, &error));
    assert_int_equal(found.message_count, COUNT);
    store_close(&store);
}

/* What somebody waits for is kept within the turn after the one that brought the last of it, if it is small and the
 * disk quick. */
static void test_small_batches_are_kept_at_once(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    for (uint64_t i = 1; i <= 10; i++) {
        append(i, 1);
        journal_want_sync(journal);
        assert_int_equal(turn(), 1);
        assert_int_equal(journal_synced_ticket(journal), 0);
    }
    assert_int_equal(turn(), 1);
    assert_int_equal(journal_synced_ticket(journal), 1);
    assert_true(atomic_load(&made_here));
    assert_int_equal(record_count, 1);
    append(11, 1); /* nobody waits */
    turn_until(journal_logged_ticket, 2);
    assert_false(atomic_load(&made_here));
    append(12, 10000); /* not small */
    journal_want_sync(journal);
    turn_until(journal_synced_ticket, 3);
    assert_false(atomic_load(&made_here));
    expect_stored(1, 10011);
}

static void test_a_slow_disk_is_the_logger_s(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_slow, true);
    for (uint64_t i = 1; i <= 4; i++) {
        append(i, 1);
        journal_want_sync(journal);
        turn_until(journal_synced_ticket, i);
        assert_true(atomic_load(&made_here) == (i == 1));
    }
    atomic_store(&is_slow, false); /* the logger finds that it is quick again */
    atomic_store(&is_quick, true);
    uint64_t next = 5;
    for (bool here = false; !here; next++) { /* bounded by the alarm */
        append(next, 1);
        journal_want_sync(journal);
        turn_until(journal_synced_ticket, next);
        here = atomic_load(&made_here);
    }
    expect_stored(1, next - 1);
}

static void test_a_small_batch_on_a_full_disk(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&log_result, STATUS_AGAIN);
    append(1, 10);
    journal_want_sync(journal);
    turn();
    while (journal_has_room(journal) || journal_counts(journal).retry_count < 1) /* bounded by the alarm */
        turn();
    append(11, 1);
    journal_want_sync(journal);
    assert_int_equal(journal_logged_ticket(journal), 0);
    atomic_store(&log_result, STATUS_OK);
    turn_until(journal_synced_ticket, 2);
    OK(journal_failure(journal, &error));
    expect_stored(1, 11);
}

static void test_a_small_batch_that_fails(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    append(1, 10); /* nobody waits: no flush yet, which on a slow disk would leave the next one to the writer */
    turn_until(journal_written_ticket, 1);
    atomic_store(&log_result, STATUS_CORRUPT);
    append(11, 1);
    journal_want_sync(journal);
    while (!atomic_load(&told_failure)) /* bounded by the alarm */
        turn();
    atomic_store(&log_result, STATUS_OK);
    assert_int_equal(journal_failure(journal, &error), STATUS_CORRUPT);
    append(12, 1);
    journal_want_sync(journal);
    assert_int_equal(turn(), 0);
    assert_int_equal(journal_finish(journal, &error), STATUS_CORRUPT);
    expect_stored(1, 10);
}

/* It takes no more into the store's file; into the log it does. */
static void test_a_full_disk(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    atomic_store(&commit_result, STATUS_AGAIN);
    append(1, 10);
    assert_true(journal_has_room(journal));
    turn_until(journal_synced_ticket, 1);
    while (journal_has_room(journal) || journal_counts(journal).retry_count < 3) { /* bounded by the alarm */
        turn();
        sched_yield();
    }
    append(11, 1); /* what was under way is taken all the same */
    turn_until(journal_synced_ticket, 2);
    assert_int_equal(journal_written_ticket(journal), 0);
    OK(journal_failure(journal, &error));
    atomic_store(&commit_result, STATUS_OK);
    turn_until(journal_written_ticket, 2);
    while (!journal_has_room(journal)) /* bounded by the alarm */
        turn();
    expect_stored(1, 11);
}

static void test_an_end_on_a_full_disk(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    append(1, 10);
    turn_until(journal_synced_ticket, 1);
    atomic_store(&log_result, STATUS_AGAIN);
    append(11, 1);
    assert_int_equal(journal_finish(journal, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "the disk is full"));
    expect_stored(1, 10);
}

/* What the store's file has no room for is in the log, for the next start. */
static void test_an_end_with_a_full_store(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    append(1, 10);
    turn_until(journal_written_ticket, 1);
    atomic_store(&commit_result, STATUS_AGAIN);
    append(11, 1);
    OK(journal_finish(journal, &error));
    assert_int_equal(journal_synced_ticket(journal), 2);
    assert_int_equal(journal_written_ticket(journal), 1);
    atomic_store(&commit_result, STATUS_OK);
    expect_stored(1, 11);
}

/* What is too large for the log waits for the store, and at the end not for ever. */
static void test_an_end_with_a_large_batch(void **state)
{
    (void)state;
    enum { BYTES = REDO_RECORD_BYTES_MAX };
    char *text = calloc(1, BYTES);
    assert_non_null(text);
    open_with(NS_PER_MS);
    append(1, 10);
    turn_until(journal_written_ticket, 1);
    atomic_store(&commit_result, STATUS_AGAIN);
    journal_append(journal, queue_number, 11, text, BYTES);
    free(text);
    assert_int_equal(journal_finish(journal, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "the disk is full"));
    atomic_store(&commit_result, STATUS_OK);
    expect_stored(1, 10);
}

static void test_a_failure_is_for_good(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    append(1, 10);
    turn_until(journal_written_ticket, 1);
    atomic_store(&commit_result, STATUS_CORRUPT);
    append(11, 1);
    while (!atomic_load(&told_failure)) /* bounded by the alarm */
        turn();
    atomic_store(&commit_result, STATUS_OK);
    assert_false(journal_has_room(journal));
    assert_int_equal(journal_failure(journal, &error), STATUS_CORRUPT);
    assert_string_equal(error.text, "by the test");
    append(12, 1);
    turn();
    assert_int_equal(turn(), 0);
    assert_int_equal(journal_written_ticket(journal), 1);
    assert_int_equal(journal_finish(journal, &error), STATUS_CORRUPT);
    expect_stored(1, 11); /* the last one was logged before */
}

static void test_too_much_at_once(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    char *text = calloc(1, BYTES);
    assert_non_null(text);
    open_with(60 * NS_PER_S);
    uint64_t sequence = 1;
    for (; sequence <= 63; sequence++)
        journal_append(journal, queue_number, sequence, text, BYTES);
    assert_true(journal_has_room(journal));
    journal_append(journal, queue_number, sequence, text, BYTES);
    assert_false(journal_has_room(journal));
    turn();
    assert_true(journal_has_room(journal)); /* the other batch is open */
    journal_append(journal, queue_number, 65, text, 1);
    turn_until(journal_written_ticket, 2);
    assert_int_equal(asked_sync, 1); /* too large for the log */
    assert_int_equal(record_count, 1);
    assert_true(journal_synced_ticket(journal) >= 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(test_a_busy_store),
        JOURNAL_TEST(test_a_store_that_is_behind),
        JOURNAL_TEST(test_a_full_log),
        JOURNAL_TEST(test_small_batches_are_kept_at_once),
        JOURNAL_TEST(test_a_slow_disk_is_the_logger_s),
        JOURNAL_TEST(test_a_small_batch_on_a_full_disk),
        JOURNAL_TEST(test_a_small_batch_that_fails),
        JOURNAL_TEST(test_a_full_disk),
        JOURNAL_TEST(test_an_end_on_a_full_disk),
        JOURNAL_TEST(test_an_end_with_a_full_store),
        JOURNAL_TEST(test_an_end_with_a_large_batch),
        JOURNAL_TEST(test_a_failure_is_for_good),
        JOURNAL_TEST(test_too_much_at_once),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
