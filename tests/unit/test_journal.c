/* The journal over the real store: batches, cuts, tickets, flushes, a full disk, the end. The linker puts the functions
 * below between the writer and the store (CMake: --wrap), so that a test can hold it up and refuse it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/store/journal.h"

enum { LIMIT_S = 50 };

/* ---- between the writer and the store ---- */

static _Atomic bool is_held;        /* commits wait */
static _Atomic bool is_at_commit;   /* one has come */
static _Atomic int commit_result;   /* what a commit is answered with, instead of being made; STATUS_OK: it is made */
static _Atomic unsigned asked_sync; /* commits that were to sync */
static _Atomic unsigned made_count; /* commits that were made */
static _Atomic unsigned sync_count; /* store_sync */
static _Atomic bool is_slow;        /* commits take some milliseconds */
static _Atomic bool is_quick;       /* they do not wait for the disk */
static _Atomic bool made_here;      /* the last commit was made by the durable thread */
static pthread_t durable_thread;

enum status __real_store_commit(struct store *store, bool sync, struct error *error); /* the linker's names */
enum status __wrap_store_commit(struct store *store, bool sync, struct error *error);
enum status __real_store_sync(struct store *store, struct error *error);
enum status __wrap_store_sync(struct store *store, struct error *error);
enum status __real_store_begin(struct store *store, struct error *error);
enum status __wrap_store_begin(struct store *store, struct error *error);

/* A refused transaction is rolled back: here none is begun. */
enum status __wrap_store_begin(struct store *store, struct error *error)
{
    enum status refused = (enum status)atomic_load(&commit_result);
    if (refused == STATUS_OK)
        return __real_store_begin(store, error);
    error_set_text(error, "by the test");
    return refused;
}

enum status __wrap_store_commit(struct store *store, bool sync, struct error *error)
{
    atomic_store(&is_at_commit, true);
    while (atomic_load(&is_held)) /* bounded by the alarm */
        sched_yield();
    atomic_fetch_add(&asked_sync, sync);
    int64_t until_ns = clock_monotonic_ns() + (atomic_load(&is_slow) ? 3 * NS_PER_MS : 0);
    while (clock_monotonic_ns() < until_ns) /* a slow disk */
        sched_yield();
    enum status status = __real_store_commit(store, sync && !atomic_load(&is_quick), error);
    atomic_store(&made_here, pthread_equal(pthread_self(), durable_thread) != 0);
    atomic_fetch_add(&made_count, status == STATUS_OK);
    return status;
}

enum status __wrap_store_sync(struct store *store, struct error *error)
{
    atomic_fetch_add(&sync_count, 1);
    return __real_store_sync(store, error);
}

/* ---- the durable thread is the test ---- */

static struct error error;
static char place[64];
static struct idle_crowd crowd = {.processor_count = 1};
static struct idle idle;
static struct journal *journal;
static uint32_t queue_number;
static uint32_t state_number;
static _Atomic bool told_failure;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("%s: %d %s", #call, (int)status_, error.text);                                                    \
    } while (0)

static void hear_failure(void *context)
{
    assert_ptr_equal(context, &journal);
    atomic_store(&told_failure, true);
}

static void open_with(int64_t sync_interval_ns)
{
    struct store_queue found;
    struct journal_settings settings = {
        .directory = place, .sync_interval_ns = sync_interval_ns, .failed = hear_failure, .context = &journal};
    OK(journal_open(&journal, &settings, &idle, &error));
    OK(store_find_queue(journal_store(journal), "q", &found, &error));
    OK(store_find_state(journal_store(journal), "s", &state_number, &error));
    queue_number = found.queue;
    asked_sync = made_count = sync_count = 0; /* names are kept at once */
    OK(journal_start(journal, &error));
}

static int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof place, "/tmp/test_journal.XXXXXX");
    idle_open(&idle, &crowd);
    is_held = is_at_commit = is_slow = is_quick = told_failure = false;
    durable_thread = pthread_self();
    commit_result = STATUS_OK;
    return mkdtemp(place) == NULL;
}

static int remove_place(void **state)
{
    (void)state;
    char command[128];
    atomic_store(&is_held, false);
    journal_close(&journal);
    idle_close(&idle);
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

static size_t turn(void)
{
    int64_t deadline_ns = CLOCK_NEVER_NS;
    return journal_end_turn(journal, clock_monotonic_ns(), &deadline_ns);
}

/* As the loop does: turns, and rests between them. */
static void turn_until(uint64_t (*watermark)(const struct journal *journal), uint64_t ticket)
{
    while (watermark(journal) < ticket) { /* bounded by the alarm */
        if (turn() > 0)
            idle_busy(&idle);
        else if (watermark(journal) < ticket)
            idle_rest(&idle, clock_monotonic_ns(), CLOCK_NEVER_NS);
    }
    turn();
}

static void append(uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        char text[24];
        int length = snprintf(text, sizeof text, "%llu", (unsigned long long)i);
        journal_append(journal, queue_number, i, text, (uint32_t)length);
    }
}

struct seen {
    uint64_t next;
    uint64_t count;
};

static bool see(void *context, const struct store_message *message)
{
    struct seen *seen = context;
    char text[24];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)message->sequence);
    assert_int_equal(message->sequence, seen->next);
    assert_int_equal(message->length, length);
    assert_memory_equal(message->text, text, (size_t)length);
    seen->next++;
    seen->count++;
    return true;
}

/* The store, opened again, has the messages from `first` on, so many. */
static void expect_stored(uint64_t first, uint64_t count)
{
    struct store *store;
    struct store_queue found;
    struct seen seen = {.next = first};
    journal_close(&journal);
    OK(store_open(&store, place, &error));
    OK(store_find_queue(store, "q", &found, &error));
    OK(store_read_messages(store, found.queue, 1, UINT64_MAX, see, &seen, &error));
    assert_int_equal(seen.count, count);
    assert_int_equal(found.message_count, count);
    store_close(&store);
}

/* ---- tests ---- */

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
    expect_stored(11, 995);
    assert_int_equal(made_count, 2);
}

/* What is put in while the disk is busy is one commit. */
static void test_group_commit(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_held, true);
    append(1, 1);
    assert_int_equal(turn(), 1);
    while (!atomic_load(&is_at_commit))
        sched_yield();
    for (uint64_t i = 2; i <= 100; i++) {
        append(i, 1);
        assert_int_equal(journal_ticket(journal), 2);
        assert_int_equal(turn(), 0);
    }
    assert_int_equal(journal_written_ticket(journal), 0);
    atomic_store(&is_held, false);
    turn_until(journal_written_ticket, 2);
    assert_int_equal(made_count, 2);
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
    assert_int_equal(asked_sync, 0);
    append(2, 1);
    journal_want_sync(journal);
    turn_until(journal_synced_ticket, 2);
    assert_int_equal(asked_sync, 1);
    append(3, 1);
    turn_until(journal_written_ticket, 3);
    journal_want_sync(journal); /* with nothing in it, for what came before */
    turn_until(journal_synced_ticket, 4);
    assert_int_equal(asked_sync, 1);
    assert_int_equal(sync_count, 1);
    assert_int_equal(journal_counts(journal).sync_count, 2);
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
    assert_int_equal(made_count, 1);
    append(11, 1); /* nobody waits */
    turn_until(journal_written_ticket, 2);
    assert_false(atomic_load(&made_here));
    append(12, 10000); /* not small */
    journal_want_sync(journal);
    turn_until(journal_synced_ticket, 3);
    assert_false(atomic_load(&made_here));
    expect_stored(1, 10011);
}

static void test_a_slow_disk_is_the_writer_s(void **state)
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
    atomic_store(&is_slow, false); /* the writer finds that it is quick again */
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
    atomic_store(&commit_result, STATUS_AGAIN);
    append(1, 10);
    journal_want_sync(journal);
    turn();
    while (journal_has_room(journal) || journal_counts(journal).retry_count < 1) /* bounded by the alarm */
        turn();
    append(11, 1);
    journal_want_sync(journal);
    atomic_store(&commit_result, STATUS_OK);
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
    atomic_store(&commit_result, STATUS_CORRUPT);
    append(11, 1);
    journal_want_sync(journal);
    while (!atomic_load(&told_failure)) /* bounded by the alarm */
        turn();
    atomic_store(&commit_result, STATUS_OK);
    assert_int_equal(journal_failure(journal, &error), STATUS_CORRUPT);
    append(12, 1);
    journal_want_sync(journal);
    assert_int_equal(turn(), 0);
    assert_int_equal(journal_finish(journal, &error), STATUS_CORRUPT);
    expect_stored(1, 10);
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
    sync_count = 0;
    OK(journal_open(&journal, &settings, &idle, &error));
    assert_int_equal(sync_count, 1);
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

static void test_a_full_disk(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    atomic_store(&commit_result, STATUS_AGAIN);
    append(1, 10);
    assert_true(journal_has_room(journal));
    turn();
    while (journal_has_room(journal) || journal_counts(journal).retry_count < 3) { /* bounded by the alarm */
        turn();
        sched_yield();
    }
    append(11, 1); /* what was under way is taken all the same */
    assert_int_equal(journal_written_ticket(journal), 0);
    OK(journal_failure(journal, &error));
    atomic_store(&commit_result, STATUS_OK);
    turn_until(journal_written_ticket, 2);
    assert_true(journal_has_room(journal));
    expect_stored(1, 11);
}

static void test_an_end_on_a_full_disk(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    append(1, 10);
    turn_until(journal_synced_ticket, 1);
    atomic_store(&commit_result, STATUS_AGAIN);
    append(11, 1);
    assert_int_equal(journal_finish(journal, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "the disk is full"));
    expect_stored(1, 10);
}

static void test_a_failure_is_for_good(void **state)
{
    (void)state;
    open_with(NS_PER_MS);
    append(1, 10);
    turn_until(journal_synced_ticket, 1);
    atomic_store(&commit_result, STATUS_CORRUPT);
    append(11, 1);
    turn();
    while (!atomic_load(&told_failure)) /* bounded by the alarm */
        sched_yield();
    atomic_store(&commit_result, STATUS_OK);
    assert_false(journal_has_room(journal));
    assert_int_equal(journal_failure(journal, &error), STATUS_CORRUPT);
    assert_string_equal(error.text, "by the test");
    append(12, 1);
    assert_int_equal(turn(), 0);
    assert_int_equal(journal_written_ticket(journal), 1);
    assert_int_equal(journal_finish(journal, &error), STATUS_CORRUPT);
    expect_stored(1, 10);
}

/* The end keeps what is with the writer and what is open. */
static void test_the_end_keeps_all(void **state)
{
    (void)state;
    open_with(60 * NS_PER_S);
    atomic_store(&is_held, true);
    append(1, 10);
    turn();
    while (!atomic_load(&is_at_commit))
        sched_yield();
    append(11, 10);
    atomic_store(&is_held, false);
    OK(journal_finish(journal, &error));
    assert_int_equal(journal_synced_ticket(journal), 2);
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
    turn_until(journal_written_ticket, 1);
    free(text);
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

#define JOURNAL_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(test_a_batch_is_kept_in_order),
        JOURNAL_TEST(test_group_commit),
        JOURNAL_TEST(test_a_cut_waits_until_all_is_clean),
        JOURNAL_TEST(test_an_end_that_is_not_clean),
        JOURNAL_TEST(test_who_waits_is_synced),
        JOURNAL_TEST(test_small_batches_are_kept_at_once),
        JOURNAL_TEST(test_a_slow_disk_is_the_writer_s),
        JOURNAL_TEST(test_a_small_batch_on_a_full_disk),
        JOURNAL_TEST(test_a_small_batch_that_fails),
        JOURNAL_TEST(test_the_interval),
        JOURNAL_TEST(test_a_start_flushes),
        JOURNAL_TEST(test_a_name_is_one_node_s),
        JOURNAL_TEST(test_boxes_for_one_address),
        JOURNAL_TEST(test_a_full_disk),
        JOURNAL_TEST(test_an_end_on_a_full_disk),
        JOURNAL_TEST(test_a_failure_is_for_good),
        JOURNAL_TEST(test_the_end_keeps_all),
        JOURNAL_TEST(test_not_started),
        JOURNAL_TEST(test_state_ids_and_deliveries),
        JOURNAL_TEST(test_many_batches),
        JOURNAL_TEST(test_too_much_at_once),
        JOURNAL_TEST(test_a_rehearsal),
    };
    alarm(LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
