/*
 * journal_stage.h: the journal over the real log and the real store, for its tests. The linker puts the functions below
 * between it and them (CMake: --wrap), so that a test can hold them up and refuse. The durable thread is the test.
 *
 * For one file of a test program.
 */
#ifndef TESTS_UNIT_JOURNAL_STAGE_H
#define TESTS_UNIT_JOURNAL_STAGE_H

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
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/store/journal_private.h"
#include "engine/store/recovery.h"
#include "engine/store/redo.h"

enum { LIMIT_S = 50 };

/* ---- between the journal and the store ---- */

static _Atomic bool is_held;        /* commits wait */
static _Atomic bool is_at_commit;   /* one has come */
static _Atomic int commit_result;   /* what a commit is answered with, instead of being made; STATUS_OK: it is made */
static _Atomic unsigned asked_sync; /* commits that were to sync */
static _Atomic unsigned made_count; /* commits that were made */

enum status __real_store_commit(struct store *store, bool sync, struct error *error); /* the linker's names */
enum status __wrap_store_commit(struct store *store, bool sync, struct error *error);
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
    enum status status = __real_store_commit(store, sync, error);
    atomic_fetch_add(&made_count, status == STATUS_OK);
    return status;
}

/* ---- between the journal and the log ---- */

static _Atomic bool is_log_held;      /* records wait */
static _Atomic bool is_at_log;        /* one has come */
static _Atomic int log_result;        /* what a record is answered with, instead of being written; STATUS_OK: it is */
static _Atomic unsigned record_count; /* that were written */
static _Atomic unsigned flush_count;
static _Atomic unsigned sync_count; /* of the store */
static _Atomic unsigned free_count; /* of the log */
static _Atomic bool is_free_too_soon;
static _Atomic bool is_slow;   /* flushes take some milliseconds */
static _Atomic bool is_quick;  /* they do not wait for the disk */
static _Atomic bool made_here; /* the last record was written by the durable thread */
static pthread_t durable_thread;

enum status __real_redo_append(struct redo *redo, unsigned char *record, size_t length, struct redo_place *place,
                               struct error *error);
enum status __wrap_redo_append(struct redo *redo, unsigned char *record, size_t length, struct redo_place *place,
                               struct error *error);
enum status __real_redo_flush(struct redo *redo, struct error *error);
enum status __wrap_redo_flush(struct redo *redo, struct error *error);

enum status __real_store_sync(struct store *store, struct error *error);
enum status __wrap_store_sync(struct store *store, struct error *error);
void __real_redo_free_up_to(struct redo *redo, const struct redo_place *place);
void __wrap_redo_free_up_to(struct redo *redo, const struct redo_place *place);

enum status __wrap_store_sync(struct store *store, struct error *error)
{
    atomic_fetch_add(&sync_count, 1);
    return __real_store_sync(store, error);
}

/* What is free is on the disk in the store. */
void __wrap_redo_free_up_to(struct redo *redo, const struct redo_place *place)
{
    unsigned count = atomic_fetch_add(&free_count, 1) + 1;
    if (atomic_load(&sync_count) < count)
        atomic_store(&is_free_too_soon, true);
    __real_redo_free_up_to(redo, place);
}

enum status __wrap_redo_append(struct redo *redo, unsigned char *record, size_t length, struct redo_place *place,
                               struct error *error)
{
    atomic_store(&is_at_log, true);
    while (atomic_load(&is_log_held)) /* bounded by the alarm */
        sched_yield();
    enum status refused = (enum status)atomic_load(&log_result);
    if (refused != STATUS_OK) {
        error_set_text(error, "by the test");
        return refused;
    }
    enum status status = __real_redo_append(redo, record, length, place, error);
    atomic_store(&made_here, pthread_equal(pthread_self(), durable_thread) != 0);
    atomic_fetch_add(&record_count, status == STATUS_OK);
    return status;
}

enum status __wrap_redo_flush(struct redo *redo, struct error *error)
{
    atomic_fetch_add(&flush_count, 1);
    int64_t until_ns = clock_monotonic_ns() + (atomic_load(&is_slow) ? 3 * NS_PER_MS : 0);
    while (clock_monotonic_ns() < until_ns) /* a slow disk */
        sched_yield();
    return atomic_load(&is_quick) ? STATUS_OK : __real_redo_flush(redo, error);
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

static inline void hear_failure(void *context)
{
    assert_ptr_equal(context, &journal);
    atomic_store(&told_failure, true);
}

static inline void open_with(int64_t sync_interval_ns)
{
    struct store_queue found;
    struct journal_settings settings = {
        .directory = place, .sync_interval_ns = sync_interval_ns, .failed = hear_failure, .context = &journal};
    OK(journal_open(&journal, &settings, &idle, &error));
    OK(store_find_queue(journal_store(journal), "q", &found, &error));
    OK(store_find_state(journal_store(journal), "s", &state_number, &error));
    queue_number = found.queue;
    asked_sync = made_count = 0; /* names are kept at once */
    is_at_commit = false;
    OK(journal_start(journal, &error));
}

static inline int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof place, "/tmp/test_journal.XXXXXX");
    idle_open(&idle, &crowd);
    is_held = is_at_commit = is_log_held = is_at_log = is_slow = is_quick = told_failure = is_free_too_soon = false;
    durable_thread = pthread_self();
    commit_result = log_result = STATUS_OK;
    record_count = flush_count = sync_count = free_count = 0;
    return mkdtemp(place) == NULL;
}

static inline int remove_place(void **state)
{
    (void)state;
    char command[128];
    atomic_store(&is_held, false);
    atomic_store(&is_log_held, false);
    journal_close(&journal);
    idle_close(&idle);
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

static int64_t deadline_ns; /* of the last turn */

static inline size_t turn(void)
{
    deadline_ns = CLOCK_NEVER_NS;
    return journal_end_turn(journal, clock_monotonic_ns(), &deadline_ns);
}

/* As the loop does: a turn, and a rest if it found nothing. */
static inline void turn_or_rest(void)
{
    if (turn() > 0)
        idle_busy(&idle);
    else
        idle_rest(&idle, clock_monotonic_ns(), deadline_ns);
}

static inline void turn_until(uint64_t (*watermark)(const struct journal *journal), uint64_t ticket)
{
    while (watermark(journal) < ticket) /* bounded by the alarm */
        turn_or_rest();
    turn();
}

/* Until what is open is sealed. */
static inline void seal(void)
{
    uint64_t ticket = journal_ticket(journal);
    while (journal_ticket(journal) == ticket) /* bounded by the alarm */
        turn_or_rest();
}

static inline void append(uint64_t first, uint64_t count)
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

static inline bool see(void *context, const struct store_message *message)
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
static inline void expect_stored(uint64_t first, uint64_t count)
{
    struct store *store;
    struct store_queue found;
    struct seen seen = {.next = first};
    journal_close(&journal);
    OK(recovery_open_store(&store, place, &error));
    OK(store_find_queue(store, "q", &found, &error));
    OK(store_read_messages(store, found.queue, 1, UINT64_MAX, see, &seen, &error));
    assert_int_equal(seen.count, count);
    assert_int_equal(found.message_count, count);
    store_close(&store);
}

#define JOURNAL_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

#endif
