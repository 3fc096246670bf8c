/* recovery.c: each way to open a store gives what its redo log has, of a process that was killed or beside one that
 * runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cmocka.h>

#include "engine/store/journal_batch.h"
#include "engine/store/recovery.h"
#include "engine/store/redo.h"
#include "engine/store/store.h"
#include "tests/support/power_vfs.h"

static struct error error;
static struct power_supply *supply;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("%s: %d %s", #call, (int)status_, error.text);                                                    \
    } while (0)

/* ---- a directory for each test ---- */

static int make_place(void **state)
{
    char *place = strdup("/tmp/test_recovery.XXXXXX");
    *state = place;
    return place == NULL || mkdtemp(place) == NULL;
}

static int remove_place(void **state)
{
    if (supply != NULL)
        power_supply_free(supply);
    supply = NULL;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    free(*state);
    return system(command);
}

static bool has_file(const char *directory, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void run(const char *what, const char *directory)
{
    char command[512];
    snprintf(command, sizeof command, "cd '%s' && %s", directory, what);
    assert_int_equal(system(command), 0);
}

/* ---- work: batch n puts message n, and n into the state ---- */

struct stage {
    struct store *store;
    struct redo *redo;
    uint32_t queue;
    uint32_t state;
};

static enum status open_stage(struct stage *stage, const char *directory)
{
    struct store_queue found;
    enum status status = recovery_open(&stage->store, &stage->redo, directory, &error);
    if (status == STATUS_OK)
        status = store_find_queue(stage->store, "orders", &found, &error);
    if (status == STATUS_OK)
        status = store_find_state(stage->store, "market", &stage->state, &error);
    if (status == STATUS_OK)
        stage->queue = found.queue;
    return status;
}

static void close_stage(struct stage *stage)
{
    redo_close(&stage->redo);
    store_close(&stage->store);
}

static void fill(struct journal_batch *batch, const struct stage *stage, uint64_t number)
{
    char text[200];
    memset(text, (int)number, sizeof text);
    batch->wall_ns = 1;
    batch_append(batch, stage->queue, number, text, sizeof text);
    batch_put(batch, stage->state, "last", 4, &number, sizeof number);
}

static enum status log_batch(struct stage *stage, struct journal_batch *batch)
{
    struct batch_buffer record = {0};
    batch_encode(batch, REDO_HEAD_BYTES, &record);
    enum status status = redo_append(stage->redo, record.bytes, record.length, &batch->place, &error);
    free(record.bytes);
    return status;
}

static enum status write_batch(struct stage *stage, const struct journal_batch *batch)
{
    enum status status = store_begin(stage->store, &error);
    if (status == STATUS_OK)
        status = batch_apply(batch, stage->store, &error);
    if (status != STATUS_OK)
        return status;
    store_set_redo_place(stage->store, &batch->place);
    return store_commit(stage->store, false, &error);
}

/* Batches from `first` on come into the log, and the first `written_count` of them into the store. */
static enum status work(struct stage *stage, uint64_t first, uint64_t count, uint64_t written_count)
{
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        struct journal_batch batch = {0};
        fill(&batch, stage, first + i);
        status = log_batch(stage, &batch);
        if (status == STATUS_OK && i < written_count)
            status = write_batch(stage, &batch);
        batch_free(&batch);
    }
    return status;
}

/* A process works and is gone. */
static void work_and_die(const char *directory, uint64_t first, uint64_t count, uint64_t written_count)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct stage stage;
        enum status status = open_stage(&stage, directory);
        if (status == STATUS_OK)
            status = work(&stage, first, count, written_count);
        _exit(status == STATUS_OK ? 0 : 1);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

static bool take_last(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    (void)key, (void)key_length;
    memcpy(context, value, value_length);
    return true;
}

static bool count_message(void *context, const struct store_message *message)
{
    uint64_t *count = context;
    ++*count;
    assert_true(message->sequence == *count && message->length == 200);
    assert_true(*(const unsigned char *)message->text == (message->sequence & 255));
    return true;
}

/* The store has just the batches up to `last`. */
static void compare(struct store *store, uint64_t last)
{
    struct store_queue found;
    uint32_t state;
    uint64_t in_state = 0;
    uint64_t count = 0;
    OK(store_find_queue(store, "orders", &found, &error));
    OK(store_find_state(store, "market", &state, &error));
    OK(store_read_state(store, state, take_last, &in_state, &error));
    OK(store_read_messages(store, found.queue, 0, UINT64_MAX, count_message, &count, &error));
    assert_int_equal(in_state, last);
    assert_int_equal(count, last);
}

static void compare_reader(const char *directory, uint64_t last, bool is_missing)
{
    struct store *reader;
    struct error missing;
    memset(&missing, 'x', sizeof missing);
    OK(recovery_open_reader(&reader, directory, &missing, &error));
    compare(reader, last);
    store_close(&reader);
    assert_int_equal(missing.text[0] != '\0', is_missing);
}

/* ---- tests ---- */

static void test_killed(void **state)
{
    const char *directory = *state;
    work_and_die(directory, 1, 700, 3);
    assert_true(has_file(directory, "redo.log"));
    struct stage stage;
    OK(open_stage(&stage, directory));
    compare(stage.store, 700);
    OK(work(&stage, 701, 5, 0));
    close_stage(&stage);

    struct store *store;
    OK(recovery_open_store(&store, directory, &error));
    compare(store, 705);
    assert_false(has_file(directory, "redo.log"));
    store_close(&store);
    work_and_die(directory, 706, 0, 0);
    OK(recovery_open_store(&store, directory, &error));
    compare(store, 705);
    store_close(&store);
}

static void test_reader_of_a_killed_one(void **state)
{
    const char *directory = *state;
    work_and_die(directory, 1, 20, 5);
    compare_reader(directory, 20, false);
    assert_false(has_file(directory, "redo.log"));
    compare_reader(directory, 20, false);
}

/* What is in the log only is not its own to do again. */
static void test_reader_beside(void **state)
{
    const char *directory = *state;
    struct stage stage;
    OK(open_stage(&stage, directory));
    OK(work(&stage, 1, 10, 4));
    compare_reader(directory, 4, false);
    assert_true(has_file(directory, "redo.log"));
    struct store *store;
    assert_int_equal(recovery_open_store(&store, directory, &error), STATUS_USAGE);
    assert_null(store);
    OK(work(&stage, 11, 1, 0));
    close_stage(&stage);
    compare_reader(directory, 11, false);
}

/* What comes before the damage is read. */
static void test_damaged(void **state)
{
    const char *directory = *state;
    work_and_die(directory, 1, 3, 1);
    FILE *log;
    char path[256];
    snprintf(path, sizeof path, "%s/redo.log", directory);
    log = fopen(path, "r+");
    assert_non_null(log);
    /* Records are of one length here; the third one's last byte. */
    unsigned char head[REDO_HEAD_BYTES];
    uint32_t length;
    assert_true(fread(head, sizeof head, 1, log) == 1);
    memcpy(&length, head + 12, sizeof length);
    assert_int_equal(fseek(log, 3 * (long)length - 1, SEEK_SET), 0);
    assert_true(fputc('x', log) == 'x');
    assert_int_equal(fclose(log), 0);
    compare_reader(directory, 2, true);
    compare_reader(directory, 2, true);
    struct store *store;
    assert_int_equal(recovery_open_store(&store, directory, &error), STATUS_CORRUPT);
    assert_null(store);
    assert_true(has_file(directory, "redo.log"));
    run("rm redo.log", directory);
    assert_int_equal(recovery_open_store(&store, directory, &error), STATUS_CORRUPT);
    run("rm -f redo.log", directory);
    compare_reader(directory, 2, true);
}

/* The store itself is damaged where something is to be done again. */
static void test_damaged_store(void **state)
{
    const char *directory = *state;
    struct stage stage;
    OK(open_stage(&stage, directory));
    OK(work(&stage, 1, 1, 1));
    struct journal_batch batch = {0};
    batch.wall_ns = 1;
    for (uint64_t i = 2; i < 10; i++)
        batch_append(&batch, stage.queue, i, "text", 4);
    OK(log_batch(&stage, &batch));
    OK(write_batch(&stage, &batch));
    batch_clear(&batch);
    close_stage(&stage);

    char path[256];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/store.db", directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE chunks SET records = 'x' WHERE count = 8", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);

    OK(recovery_open(&stage.store, &stage.redo, directory, &error));
    batch_put(&batch, stage.state, "last", 4, "before", 6);
    OK(log_batch(&stage, &batch));
    batch_clear(&batch);
    batch_settle(&batch, stage.queue, 4, 2);
    OK(log_batch(&stage, &batch));
    batch_free(&batch);
    close_stage(&stage);
    assert_int_equal(recovery_open(&stage.store, &stage.redo, directory, &error), STATUS_CORRUPT);
    assert_non_null(strstr(error.text, "store.db is damaged"));
    close_stage(&stage);
    assert_true(has_file(directory, "redo.log"));
}

static void test_no_store(void **state)
{
    const char *directory = *state;
    struct store *reader;
    struct error missing;
    assert_int_equal(recovery_open_reader(&reader, directory, &missing, &error), STATUS_USAGE);
    assert_null(reader);
    assert_true(missing.text[0] == '\0');
    /* Not even where there is something that looks like a log. */
    run("echo something > redo.log", directory);
    assert_int_equal(recovery_open_reader(&reader, directory, &missing, &error), STATUS_USAGE);
    run("test \"$(ls)\" = redo.log", directory);
    char path[256];
    snprintf(path, sizeof path, "%s/none", directory);
    assert_int_equal(recovery_open_reader(&reader, path, &missing, &error), STATUS_USAGE);
    assert_false(has_file(directory, "none"));
}

/* With a disk that is full sooner or later: what could not be brought into the store is still in the log. */
static void test_full_disk(void **state)
{
    const char *directory = *state;
    work_and_die(directory, 1, 50, 2);
    run("mkdir kept && cp store.db* lock redo.log kept", directory);
    unsigned failed_count = 0;
    enum status status = STATUS_SYSTEM;
    for (uint64_t bytes = 4096; status != STATUS_OK; bytes += 4096) {
        struct stage stage;
        run("cp kept/* .", directory);
        supply = power_supply_new();
        power_supply_limit(supply, bytes);
        status = recovery_open(&stage.store, &stage.redo, directory, &error);
        if (status == STATUS_OK) {
            compare(stage.store, 50);
        } else {
            assert_int_equal(status, STATUS_SYSTEM);
            failed_count++;
        }
        power_supply_limit(supply, UINT64_MAX);
        close_stage(&stage);
        power_supply_free(supply);
        supply = NULL;
        if (status == STATUS_OK)
            break;
        assert_true(has_file(directory, "redo.log"));
        compare_reader(directory, 50, false);
        run("rm -f store.db* lock redo.log", directory);
    }
    assert_true(failed_count > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_reader_of_a_killed_one, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_reader_beside, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_damaged, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_damaged_store, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_no_store, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_full_disk, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
