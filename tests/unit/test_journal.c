/* The journal: batches, cuts, tickets, flushes, names, the end. */
#include <sys/stat.h>

#include "tests/unit/journal_stage.h"

static void test_a_batch_is_kept_in_order(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    assert_int_equal(journal_ticket(journal), 1);
    append(1, 1000);
    journal_settle(journal, queue_number, 7, 1); /* out of order, and together 1 to 10 */
    journal_settle(journal, queue_number, 8, 3);
    journal_settle(journal, queue_number, 4, 3);
    journal_settle(journal, queue_number, 1, 3);
    turn_until(journal_written_ticket, 1);
    assert_int_equal(journal_ticket(journal), 2);
    append(1001, 5);
    turn_until(journal_written_ticket, 2);
    struct seen seen = {.next = 11};
    OK(journal_read(journal, queue_number, 11, UINT64_MAX, see, &seen, &error));
    assert_int_equal(seen.count, 995);
    assert_int_equal(journal_synced_ticket(journal), 0); /* nobody wants it */
    assert_int_equal(made_count, 2);
    expect_stored(11, 995);
}

/* What is put in while the log is busy is one record. */
static void test_group_commit(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_log_held, true);
    append(1, 1);
    seal();
    while (!atomic_load(&is_at_log))
        sched_yield();
    for (uint64_t i = 2; i <= 100; i++) {
        append(i, 1);
        assert_int_equal(journal_ticket(journal), 2);
        assert_int_equal(turn(), 0);
    }
    assert_int_equal(journal_logged_ticket(journal), 0);
    atomic_store(&is_log_held, false);
    turn_until(journal_written_ticket, 2);
    assert_int_equal(record_count, 2);
    assert_int_equal(journal_counts(journal).batch_count, 2);
    expect_stored(1, 100);
}

struct puppet {
    bool clean;
    unsigned cut_count;
    uint64_t settles; /* at its next cut */
};

static bool puppet_is_clean(void *context)
{
    return ((const struct puppet *)context)->clean;
}

static void puppet_cut(void *context)
{
    struct puppet *puppet = context;
    puppet->cut_count++;
    if (puppet->settles > 0)
        journal_settle(journal, queue_number, puppet->settles, 1);
    puppet->settles = 0;
}

static void test_a_cut_waits_until_all_is_clean(void **state)
{
    (void)state;
    struct puppet puppet = {.clean = true};
    struct journal_member member = {.is_clean = puppet_is_clean, .cut = puppet_cut, .context = &puppet};
    open_with(60 * NS_PER_S);
    journal_join(journal, &member);
    assert_int_equal(turn(), 0); /* it was asked, and had nothing */
    assert_int_equal(puppet.cut_count, 1);
    append(1, 2);
    journal_want_sync(journal);
    puppet.clean = false;
    puppet.settles = 1;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(turn(), i == 0); /* told once: a loop that has no other work may rest */
        assert_true(journal_is_cutting(journal));
        assert_int_equal(journal_ticket(journal), 1);
    }
    assert_int_equal(puppet.cut_count, 1);
    puppet.clean = true;
    assert_true(turn() > 0);
    assert_false(journal_is_cutting(journal));
    seal();
    assert_int_equal(puppet.cut_count, 2);
    turn_until(journal_written_ticket, 1);
    puppet.settles = 2; /* a member alone makes a batch */
    turn_until(journal_written_ticket, 2);
    expect_stored(3, 0);
}

/* Abandoned in the middle: the store is as at the last cut, and the end says so. */
static void test_an_end_that_is_not_clean(void **state)
{
    (void)state;
    struct puppet puppet = {.clean = true};
    struct journal_member member = {.is_clean = puppet_is_clean, .context = &puppet};
    open_with(60 * NS_PER_S);
    journal_join(journal, &member);
    append(1, 5);
    turn_until(journal_written_ticket, 1);
    puppet.clean = false;
    append(6, 5);
    assert_int_equal(journal_finish(journal, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "in the middle"));
    expect_stored(1, 5);
}

static void test_who_waits_is_synced(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    append(1, 1);
    turn_until(journal_written_ticket, 1);
    assert_int_equal(flush_count, 0);
    append(2, 1);
    journal_want_sync(journal);
    turn_until(journal_synced_ticket, 2);
    assert_int_equal(flush_count, 1);
    append(3, 1);
    turn_until(journal_written_ticket, 3);
    journal_want_sync(journal); /* with nothing in it, for what came before */
    turn_until(journal_synced_ticket, 4);
    assert_int_equal(flush_count, 2);
    assert_int_equal(record_count, 3);
    assert_int_equal(asked_sync, 0);
    assert_int_equal(journal_counts(journal).sync_count, 2);
}

/* Nobody waits: the interval does it, once, and wakes the durable thread. */
static void test_the_interval(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    append(1, 1);
    turn_until(journal_synced_ticket, 1);
    append(2, 1);
    turn_until(journal_synced_ticket, 2);
    assert_int_equal(journal_counts(journal).sync_count, 2);
    assert_true(journal_counts(journal).stored_bytes > 0);
}

/* What a killed process had written, but not flushed, is answered for after the start. */
static void test_a_start_flushes(void **state)
{
    (void)state;
    struct journal_settings settings = {.directory = place, .sync_interval_ns = 60 * NS_PER_S};
    open_with(60 * NS_PER_S);
    journal_close(&journal);
    asked_sync = 0;
    OK(journal_open(&journal, &settings, &idle, &error));
    assert_int_equal(asked_sync, 1);
}

static void test_a_name_is_one_node_s(void **state)
{
    (void)state;
    struct store_queue found;
    struct store_queue other;
    uint32_t number;
    struct journal_settings settings = {.directory = place, .sync_interval_ns = 60 * NS_PER_S};
    OK(journal_open(&journal, &settings, &idle, &error));
    OK(journal_find_queue(journal, "a", &found, &error));
    OK(journal_find_queue(journal, "b", &other, &error));
    assert_int_not_equal(found.queue, other.queue);
    assert_int_equal(journal_find_queue(journal, "a", &found, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "'a'"));
    OK(journal_find_state(journal, "a", &number, &error)); /* states have names of their own */
    assert_int_equal(journal_find_state(journal, "a", &number, &error), STATUS_USAGE);
    journal_close(&journal);
    OK(journal_open(&journal, &settings, &idle, &error));
    OK(journal_find_queue(journal, "a", &other, &error));
    assert_int_equal(found.queue, other.queue);
}

static void test_boxes_for_one_address(void **state)
{
    (void)state;
    struct journal_settings settings = {.directory = place, .sync_interval_ns = 60 * NS_PER_S};
    struct store_queue first[2];
    struct store_queue second[2];
    struct store_queue inbox;
    for (unsigned life = 0; life < 2; life++) {
        OK(journal_open(&journal, &settings, &idle, &error));
        OK(journal_find_box(journal, "outbox", "tcp://h:1", "w", &first[life], &error));
        OK(journal_find_box(journal, "outbox", "tcp://h:1", "w", &second[life], &error));
        OK(journal_find_box(journal, "inbox", "tcp://h:1", "w", &inbox, &error));
        assert_int_not_equal(first[life].queue, second[life].queue);
        assert_int_not_equal(first[life].queue, inbox.queue);
        char longest[STORE_NAME_BYTES_MAX + 1] = "";
        memset(longest, 'w', STORE_NAME_BYTES_MAX);
        assert_int_equal(journal_find_box(journal, "outbox", "tcp://h:1", longest, &inbox, &error), STATUS_USAGE);
        assert_non_null(strstr(error.text, "--vuid"));
        journal_close(&journal);
    }
    assert_int_equal(first[0].queue, first[1].queue);
    assert_int_equal(second[0].queue, second[1].queue);
}

/* The end keeps what is with the writer and what is open. */
static void test_the_end_keeps_all(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_held, true);
    append(1, 10);
    while (!atomic_load(&is_at_commit))
        turn();
    append(11, 10);
    atomic_store(&is_held, false);
    OK(journal_finish(journal, &error));
    assert_int_equal(journal_synced_ticket(journal), 2);
    assert_int_equal(journal_written_ticket(journal), 2);
    OK(journal_finish(journal, &error));
    expect_stored(1, 20);
}

static void test_not_started(void **state)
{
    (void)state;
    struct journal_settings settings = {.directory = place, .sync_interval_ns = NS_PER_MS};
    OK(journal_open(&journal, &settings, &idle, &error));
    OK(journal_finish(journal, &error));
    journal_close(&journal);
    assert_null(journal);
}

static bool count_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    assert_int_equal(key_length, 1);
    assert_memory_equal(key, "b", 1);
    assert_int_equal(value_length, 5);
    assert_memory_equal(value, "again", 5);
    ++*(unsigned *)context;
    return true;
}

static bool count_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    assert_int_equal(id_length, 64);
    assert_int_equal(*(const char *)id, 'i');
    assert_int_equal(message_bytes, 70000);
    assert_true(wall_ns > 0);
    ++*(unsigned *)context;
    return true;
}

static bool see_deliveries(void *context, const struct store_message *message)
{
    (void)context;
    assert_int_equal(message->deliveries, message->sequence == 2 ? 3 : 0);
    return true;
}

static void test_state_ids_and_deliveries(void **state)
{
    (void)state;
    char id[64];
    unsigned pair_count = 0;
    unsigned id_count = 0;
    memset(id, 'i', sizeof id);
    open_with(60 * NS_PER_S);
    append(1, 3);
    journal_count_delivery(journal, queue_number, 1, 1);
    journal_count_delivery(journal, queue_number, 2, 3);
    journal_settle(journal, queue_number, 1, 1);
    journal_remember_id(journal, queue_number, id, sizeof id, 70000);
    journal_put(journal, state_number, "a", 1, "", 0);
    journal_put(journal, state_number, "b", 1, "once", 4);
    journal_put(journal, state_number, "b", 1, "again", 5);
    journal_delete(journal, state_number, "a", 1);
    turn_until(journal_written_ticket, 1);
    OK(journal_read(journal, queue_number, 1, UINT64_MAX, see_deliveries, NULL, &error));
    uint32_t queue = queue_number;
    uint32_t keyed = state_number;
    expect_stored(2, 2);
    struct store *store;
    OK(store_open(&store, place, &error));
    OK(store_read_state(store, keyed, count_pair, &pair_count, &error));
    OK(store_read_ids(store, queue, count_id, &id_count, &error));
    assert_int_equal(pair_count, 1);
    assert_int_equal(id_count, 1);
    store_close(&store);
}

/* Memory goes from batch to batch, and nothing stays in it. */
static void test_many_batches(void **state)
{
    (void)state;
    uint64_t next = 1;
    open_with(NS_PER_MS);
    for (uint64_t i = 1; i <= 300; i++) {
        append(next, i % 7 * 10);
        next += i % 7 * 10;
        if (i % 3 == 0)
            journal_want_sync(journal);
        turn();
    }
    OK(journal_finish(journal, &error));
    expect_stored(1, next - 1);
}

static void expect_rehearsal(const char *format, enum status expected)
{
    char path[128];
    snprintf(path, sizeof path, format, place);
    assert_int_equal(journal_rehearse(path, &error), expected);
}

static void test_a_rehearsal(void **state)
{
    (void)state;
    char path[128];
    struct stat found;
    expect_rehearsal("%s", STATUS_OK);
    expect_rehearsal("%s/a/b/c", STATUS_OK);
    snprintf(path, sizeof path, "%s/a", place);
    assert_int_equal(stat(path, &found), -1); /* nothing is made */
    assert_int_equal(journal_rehearse("relative", &error), STATUS_OK);
    snprintf(path, sizeof path, "%s/file", place);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    expect_rehearsal("%s/file", STATUS_USAGE);
    expect_rehearsal("%s/file/below", STATUS_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(test_a_batch_is_kept_in_order),
        JOURNAL_TEST(test_group_commit),
        JOURNAL_TEST(test_a_cut_waits_until_all_is_clean),
        JOURNAL_TEST(test_an_end_that_is_not_clean),
        JOURNAL_TEST(test_who_waits_is_synced),
        JOURNAL_TEST(test_the_interval),
        JOURNAL_TEST(test_a_start_flushes),
        JOURNAL_TEST(test_a_name_is_one_node_s),
        JOURNAL_TEST(test_boxes_for_one_address),
        JOURNAL_TEST(test_the_end_keeps_all),
        JOURNAL_TEST(test_not_started),
        JOURNAL_TEST(test_state_ids_and_deliveries),
        JOURNAL_TEST(test_many_batches),
        JOURNAL_TEST(test_a_rehearsal),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
