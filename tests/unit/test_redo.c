/* redo.c: what is behind the store's place comes back, in order and whole, and nothing else; and a batch as bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cmocka.h>

#include "engine/random.h"
#include "engine/store/journal_batch.h"
#include "engine/store/redo.h"
#include "engine/store/store.h"
#include "tests/support/power_vfs.h"

enum { KIB = 1 << 10, MIB = 1 << 20, RECORD_COUNT_MAX = 1 << 16 };

static struct error error;
static struct power_supply *supply;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("%s: %d %s", #call, (int)status_, error.text);                                                    \
    } while (0)

/* ---- a directory, a store and a log for each test; and what must be in the log ---- */

struct stage {
    char directory[40];
    struct store *store;
    struct redo *redo;
    unsigned char *record; /* REDO_RECORD_BYTES_MAX */
    uint64_t launch;
    uint64_t written;                           /* records of this launch */
    uint64_t kept;                              /* as many of them are in the store */
    struct redo_place places[RECORD_COUNT_MAX]; /* behind each: its number is the index */
    uint32_t lengths[RECORD_COUNT_MAX];         /* with the head */
};

static int make_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    *state = stage;
    if (stage == NULL || (stage->record = malloc(REDO_RECORD_BYTES_MAX)) == NULL)
        return 1;
    snprintf(stage->directory, sizeof stage->directory, "/tmp/test_redo.XXXXXX");
    return mkdtemp(stage->directory) == NULL;
}

static int free_stage(void **state)
{
    struct stage *stage = *state;
    redo_close(&stage->redo);
    store_close(&stage->store);
    if (supply != NULL)
        power_supply_free(supply);
    supply = NULL;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", stage->directory);
    free(stage->record);
    free(stage);
    return system(command);
}

/* -1: there is none. */
static int64_t file_bytes(const struct stage *stage)
{
    char path[80];
    struct stat about;
    snprintf(path, sizeof path, "%s/redo.log", stage->directory);
    return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

static void set_place(struct stage *stage, const struct redo_place *place)
{
    OK(store_begin(stage->store, &error));
    store_set_redo_place(stage->store, place);
    OK(store_commit(stage->store, false, &error));
}

static unsigned char byte_of(uint64_t launch, uint64_t number)
{
    return (unsigned char)(launch * 101 + number * 7 + 1);
}

/* Of the next number. Leaves *place as it is where there is no room. */
static enum status append(struct stage *stage, size_t length)
{
    struct redo_place place;
    uint64_t number = stage->written + 1;
    assert_true(number < RECORD_COUNT_MAX);
    memset(stage->record, 0xee, REDO_HEAD_BYTES);
    memset(stage->record + REDO_HEAD_BYTES, byte_of(stage->launch, number), length - REDO_HEAD_BYTES);
    bool has_room = redo_has_room(stage->redo, length);
    enum status status = redo_append(stage->redo, stage->record, length, &place, &error);
    if (status != STATUS_OK)
        return status;
    assert_true(has_room);
    assert_true(place.launch == stage->launch && place.number == number && place.offset <= REDO_BYTES_MAX);
    stage->written = number;
    stage->places[number] = place;
    stage->lengths[number] = (uint32_t)length;
    return STATUS_OK;
}

/* So many records are in the store, whose file is on the disk: they are free. */
static void keep(struct stage *stage, uint64_t number)
{
    set_place(stage, &stage->places[number]);
    stage->kept = number;
    redo_free_up_to(stage->redo, &stage->places[number]);
}

struct replayed {
    struct stage *stage;
    uint64_t number; /* of the last one */
};

static enum status compare(void *context, const unsigned char *bytes, size_t length, const struct redo_place *place,
                           struct error *ignored)
{
    (void)ignored;
    struct replayed *replayed = context;
    struct stage *stage = replayed->stage;
    uint64_t number = ++replayed->number;
    assert_true(number <= stage->written);
    assert_int_equal(length + REDO_HEAD_BYTES, stage->lengths[number]);
    assert_memory_equal(place, &stage->places[number], sizeof *place);
    unsigned char byte = byte_of(stage->launch, number);
    assert_true(length == 0 || (bytes[0] == byte && memcmp(bytes, bytes + 1, length - 1) == 0));
    return STATUS_OK;
}

static void replay(struct stage *stage, struct redo *redo)
{
    struct replayed replayed = {.stage = stage, .number = stage->kept};
    OK(redo_replay(redo, compare, &replayed, &error));
    assert_int_equal(replayed.number, stage->written);
}

static void begin(struct stage *stage)
{
    struct redo_place place = redo_first_place(stage->redo);
    assert_true(place.launch > stage->launch && place.number == 0);
    set_place(stage, &place);
    redo_begin(stage->redo);
    stage->launch = place.launch;
    stage->written = stage->kept = 0;
    stage->places[0] = place;
}

/* Looks at what is in the log now, as after a kill, beside the log that is in use. */
static void look(struct stage *stage)
{
    struct redo *redo;
    OK(redo_open(&redo, stage->store, &error));
    replay(stage, redo);
    redo_close(&redo);
}

static void open_both(struct stage *stage)
{
    OK(store_open(&stage->store, stage->directory, &error));
    OK(redo_open(&stage->redo, stage->store, &error));
    replay(stage, stage->redo);
    begin(stage);
}

static void close_both(struct stage *stage)
{
    redo_close(&stage->redo);
    store_close(&stage->store);
}

/* ---- tests ---- */

static void test_in_order(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    for (uint64_t i = 1; i <= 100; i++) {
        OK(append(stage, i == 1 ? REDO_HEAD_BYTES : REDO_HEAD_BYTES + i * i));
        if (i % 10 == 0)
            OK(redo_flush(stage->redo, &error));
        look(stage);
    }
    for (uint64_t i = 7; i <= 100; i += 31) {
        keep(stage, i);
        look(stage);
    }
    close_both(stage);
    open_both(stage);
    OK(append(stage, REDO_RECORD_BYTES_MAX));
    close_both(stage);
    open_both(stage);
}

static enum status stop(void *context, const unsigned char *bytes, size_t length, const struct redo_place *place,
                        struct error *stopped)
{
    (void)bytes, (void)length, (void)place;
    return --*(int *)context == 0 ? error_set(stopped, STATUS_INPUT, "enough") : STATUS_OK;
}

static void test_visit_stops(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    for (int i = 0; i < 4; i++)
        OK(append(stage, 100));
    struct redo *redo;
    int left = 2;
    OK(redo_open(&redo, stage->store, &error));
    assert_int_equal(redo_replay(redo, stop, &left, &error), STATUS_INPUT);
    assert_string_equal(error.text, "enough");
    assert_int_equal(left, 0);
    redo_close(&redo);
    look(stage);
}

/* How the lengths of a while are dealt out, and how often some of it is freed. */
struct habit {
    size_t small_bytes;
    size_t large_bytes;
    unsigned large_percent;
    unsigned free_percent;
    unsigned all_percent; /* of what is freed, all */
};

static const struct habit habits[] = {
    {.small_bytes = 60 * KIB, .large_bytes = 4 * MIB, .large_percent = 3, .free_percent = 1, .all_percent = 10},
    {.small_bytes = 300, .large_bytes = 2 * MIB, .large_percent = 1, .free_percent = 10, .all_percent = 50},
    {.small_bytes = 500 * KIB, .large_bytes = REDO_RECORD_BYTES_MAX, .large_percent = 10, .free_percent = 20},
    {.small_bytes = 20 * KIB, .large_bytes = 300 * KIB, .large_percent = 20, .free_percent = 30, .all_percent = 60},
};

static void free_some(struct stage *stage, const struct habit *habit, struct random_state *random)
{
    bool all = random_below(random, 100) < habit->all_percent;
    uint64_t count = stage->written - stage->kept;
    if (count > 0)
        keep(stage, all ? stage->written : stage->kept + 1 + random_below(random, count));
    /* The same place again is nothing new. */
    if (random_below(random, 4) == 0)
        redo_free_up_to(stage->redo, &stage->places[stage->kept]);
}

static void step(struct stage *stage, const struct habit *habit, struct random_state *random, uint64_t *bytes)
{
    bool is_large = random_below(random, 100) < habit->large_percent;
    size_t bytes_max = is_large ? habit->large_bytes : habit->small_bytes;
    size_t length = REDO_HEAD_BYTES + random_below(random, bytes_max - REDO_HEAD_BYTES + 1);
    enum status status = append(stage, length);
    if (status == STATUS_OK)
        *bytes += length;
    else
        assert_int_equal(status, STATUS_AGAIN);
    if (status != STATUS_OK && random_below(random, 8) == 0)
        look(stage);
    /* When all is free there is always room. */
    assert_true(status == STATUS_OK || stage->kept < stage->written);
    if (status != STATUS_OK || random_below(random, 100) < habit->free_percent)
        free_some(stage, habit, random);
}

static void test_rounds(void **state)
{
    struct stage *stage = *state;
    uint64_t round_count = 0;
    for (uint64_t seed = 0; seed < 16; seed++) {
        const struct habit *habit = &habits[seed % (sizeof habits / sizeof *habits)];
        struct random_state random;
        random_seed(&random, seed);
        open_both(stage);
        uint64_t bytes = 0;
        unsigned look_in = 500;
        for (unsigned i = 0; i < 6000 && bytes < (uint64_t)3 * REDO_BYTES_MAX; i++) {
            uint64_t offset = stage->places[stage->written].offset;
            step(stage, habit, &random, &bytes);
            round_count += stage->places[stage->written].offset < offset;
            if (--look_in == 0 || random_below(&random, 200) == 0) {
                look(stage);
                look_in = 500;
            }
            assert_true(file_bytes(stage) <= REDO_BYTES_MAX);
        }
        look(stage);
        close_both(stage);
    }
    assert_true(round_count > 20);
}

/* Larger than all in front of it, when all is free: it must not be written over by what comes later. */
static void test_larger_than_what_is_free(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    OK(append(stage, 1000));
    keep(stage, 1);
    OK(append(stage, 3 * MIB));
    for (int i = 0; i < 1600; i++)
        OK(append(stage, 900));
    look(stage);
}

/* To the byte. */
static void test_full(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    OK(append(stage, 5000));
    for (int i = 0; i < 31; i++)
        OK(append(stage, MIB));
    size_t left = REDO_BYTES_MAX - 31 * MIB - 5000;
    assert_true(redo_has_room(stage->redo, left) && !redo_has_room(stage->redo, left + 1));
    assert_int_equal(append(stage, left + 1), STATUS_AGAIN);
    assert_true(error.text[0] != '\0');
    OK(append(stage, left));
    assert_int_equal(file_bytes(stage), REDO_BYTES_MAX);
    assert_false(redo_has_room(stage->redo, REDO_HEAD_BYTES));
    assert_int_equal(append(stage, REDO_HEAD_BYTES), STATUS_AGAIN);
    look(stage);

    /* At the beginning a byte stays, so that full is not empty. */
    keep(stage, 1);
    assert_true(redo_has_room(stage->redo, 4999) && !redo_has_room(stage->redo, 5000));
    assert_int_equal(append(stage, 5000), STATUS_AGAIN);
    OK(append(stage, 4000));
    assert_true(redo_has_room(stage->redo, 999) && !redo_has_room(stage->redo, 1000));
    assert_int_equal(append(stage, 1000), STATUS_AGAIN);
    OK(append(stage, 999));
    assert_false(redo_has_room(stage->redo, REDO_HEAD_BYTES));
    look(stage);
    keep(stage, 2);
    OK(append(stage, MIB));
    look(stage);
    keep(stage, stage->written);
    assert_int_equal(redo_used_bytes(stage->redo), 0);
    assert_true(redo_has_room(stage->redo, REDO_RECORD_BYTES_MAX));
}

/* Of an earlier launch, and of an earlier round; all of one length, so that they lie where the next one would. */
static void test_left_over(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    for (uint64_t launch = 0; launch < 4; launch++) {
        for (uint64_t i = 0; i < 6 - launch; i++)
            OK(append(stage, 64 * KIB));
        OK(redo_flush(stage->redo, &error));
        close_both(stage);
        open_both(stage);
    }
    for (uint64_t i = 1; i <= 100; i++) {
        OK(append(stage, MIB));
        if (i >= 20)
            keep(stage, i - 10);
        look(stage);
    }
    close_both(stage);
    open_both(stage);
    /* It was not whole when it was written over: nobody may ever see what is left of it. */
    look(stage);
}

/* A log that is left where another store is made. */
static void test_other_store(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    for (int i = 0; i < 3; i++)
        OK(append(stage, 1000));
    close_both(stage);
    char command[160];
    snprintf(command, sizeof command, "rm '%s'/store.db* '%s'/lock", stage->directory, stage->directory);
    assert_int_equal(system(command), 0);
    stage->launch = stage->written = stage->kept = 0;
    open_both(stage);
    look(stage);
    OK(append(stage, 1000));
    look(stage);
}

static void test_removed_when_free(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    close_both(stage);
    assert_int_equal(file_bytes(stage), -1);

    open_both(stage);
    for (int i = 0; i < 3; i++)
        OK(append(stage, 1000));
    OK(redo_flush(stage->redo, &error));
    keep(stage, 2);
    close_both(stage);
    assert_true(file_bytes(stage) > 0);

    OK(store_open(&stage->store, stage->directory, &error));
    OK(redo_open(&stage->redo, stage->store, &error));
    close_both(stage);
    assert_true(file_bytes(stage) > 0);

    open_both(stage);
    OK(append(stage, 1000));
    keep(stage, 1);
    close_both(stage);
    assert_int_equal(file_bytes(stage), -1);
    open_both(stage);
}

/* The system knows of a last record, or of a log, that is not there any more. */
static void test_missing(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    for (int i = 0; i < 3; i++)
        OK(append(stage, 1000));
    close_both(stage);
    char path[80];
    snprintf(path, sizeof path, "%s/redo.log", stage->directory);
    assert_int_equal(truncate(path, 2999), 0);
    struct replayed replayed = {.stage = stage};
    OK(store_open(&stage->store, stage->directory, &error));
    OK(redo_open(&stage->redo, stage->store, &error));
    assert_int_equal(redo_replay(stage->redo, compare, &replayed, &error), STATUS_CORRUPT);
    assert_int_equal(replayed.number, 2);
    close_both(stage);
    assert_true(file_bytes(stage) > 0);

    assert_int_equal(unlink(path), 0);
    OK(store_open(&stage->store, stage->directory, &error));
    OK(redo_open(&stage->redo, stage->store, &error));
    assert_int_equal(redo_replay(stage->redo, compare, &replayed, &error), STATUS_CORRUPT);
    close_both(stage);

    /* The store is of an earlier launch than the log. */
    snprintf(path, sizeof path, "%s/store.db", stage->directory);
    assert_int_equal(unlink(path), 0);
    OK(store_open(&stage->store, stage->directory, &error));
    OK(redo_open(&stage->redo, stage->store, &error));
    assert_int_equal(redo_replay(stage->redo, compare, &replayed, &error), STATUS_CORRUPT);
}

/* A disk that does not read is not the end of the log. */

static sqlite3_vfs failing_vfs;
static sqlite3_io_methods failing_methods;

static int fail_to_read(sqlite3_file *file, void *bytes, int length, sqlite3_int64 offset)
{
    (void)file, (void)bytes, (void)length, (void)offset;
    errno = EIO;
    return SQLITE_IOERR_READ;
}

static int open_failing(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *flags_given)
{
    sqlite3_vfs *real = vfs->pAppData;
    int code = real->xOpen(real, path, file, flags, flags_given);
    if (code == SQLITE_OK) {
        failing_methods = *file->pMethods;
        failing_methods.xRead = fail_to_read;
        file->pMethods = &failing_methods;
    }
    return code;
}

static void test_cannot_be_read(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    OK(append(stage, 1000));
    close_both(stage);
    OK(store_open(&stage->store, stage->directory, &error));
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    failing_vfs = *real;
    failing_vfs.zName = "failing";
    failing_vfs.pAppData = real;
    failing_vfs.xOpen = open_failing;
    assert_int_equal(sqlite3_vfs_register(&failing_vfs, 1), SQLITE_OK);
    enum status status = redo_open(&stage->redo, stage->store, &error);
    assert_int_equal(sqlite3_vfs_unregister(&failing_vfs), SQLITE_OK);
    assert_int_equal(sqlite3_vfs_register(real, 1), SQLITE_OK);
    struct replayed replayed = {.stage = stage};
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(redo_replay(stage->redo, compare, &replayed, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "cannot read"));
    close_both(stage);
    open_both(stage);
}

static void test_writes_ahead(void **state)
{
    struct stage *stage = *state;
    open_both(stage);
    OK(append(stage, 1000));
    int64_t bytes = file_bytes(stage);
    assert_true(bytes >= 1000 + 256 * KIB);
    uint64_t grown_count = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        OK(append(stage, 1000));
        grown_count += file_bytes(stage) != bytes;
        bytes = file_bytes(stage);
    }
    assert_true(grown_count <= 4);
    look(stage);
    /* While there is much room at the beginning it does not grow. */
    for (uint64_t i = 0; i < 5000; i++) {
        keep(stage, stage->written - 300);
        OK(append(stage, 1000));
    }
    assert_true(file_bytes(stage) <= 3 * MIB);
    look(stage);
}

static void test_full_disk(void **state)
{
    struct stage *stage = *state;
    supply = power_supply_new();
    open_both(stage);
    for (int i = 0; i < 3; i++)
        OK(append(stage, 1000));
    unsigned full_count = 0;
    for (unsigned i = 0; i < 40; i++) {
        size_t length = (size_t)(1 + i % 3) * 400 * KIB;
        if (!redo_has_room(stage->redo, MIB + length))
            keep(stage, stage->written - i % 2);
        power_supply_limit(supply, power_supply_used_bytes(supply) + i * 10 * KIB);
        enum status status = append(stage, length);
        power_supply_limit(supply, UINT64_MAX);
        look(stage);
        if (status == STATUS_OK)
            continue;
        assert_int_equal(status, STATUS_AGAIN);
        full_count++;
        /* Another one in its place, which may be shorter or longer. */
        OK(append(stage, (size_t)(1 + (i + 1) % 3) * 300 * KIB));
        OK(redo_flush(stage->redo, &error));
        look(stage);
    }
    assert_true(full_count > 10);
    close_both(stage);
    open_both(stage);
    close_both(stage);
}

/* ---- batches as bytes ---- */

static void fill(struct journal_batch *batch, struct random_state *random)
{
    static unsigned char text[3000];
    uint64_t next[8] = {1, 1000, 5, 9, 100000, 3, 77, 2};
    random_next(random);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 13);
    batch->wall_ns = (int64_t)random_next(random);
    for (uint64_t i = random_below(random, 60); i > 0; i--) {
        uint32_t queue = 1 + (uint32_t)random_below(random, 8);
        size_t length = random_below(random, 10) == 0 ? random_below(random, sizeof text) : random_below(random, 20);
        switch (random_below(random, 7)) {
        case 0:
        case 1:
            batch_append(batch, queue, next[queue - 1]++, text, (uint32_t)length);
            break;
        case 2:
            batch_settle(batch, queue, random_below(random, 1000), 1 + random_below(random, 9));
            break;
        case 3:
            batch_count_delivery(batch, queue, random_below(random, 1000), 1 + (uint32_t)random_below(random, 5));
            break;
        case 4:
            batch_remember_id(batch, queue, text, 1 + random_below(random, STORE_ID_BYTES_MAX), (uint32_t)length);
            break;
        case 5:
            batch_trim_ids(batch, queue, 1 + random_below(random, 100), (int64_t)random_next(random));
            break;
        default:
            if (random_below(random, 3) == 0)
                batch_delete(batch, queue, text, length % STORE_KEY_BYTES_MAX);
            else
                batch_put(batch, queue, text, length % STORE_KEY_BYTES_MAX, text, length);
        }
    }
    if (random_below(random, 2) == 0)
        batch_join_settled(batch);
}

/* In memory of just that length, so that a read behind it is seen. */
static bool decodes(struct journal_batch *batch, const unsigned char *bytes, size_t length)
{
    unsigned char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    bool decoded = batch_decode(batch, copy, length);
    free(copy);
    return decoded;
}

static void test_batch_bytes(void **state)
{
    (void)state;
    struct journal_batch batch = {0};
    struct journal_batch decoded = {0};
    struct batch_buffer bytes = {0};
    struct batch_buffer again = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct random_state random;
        random_seed(&random, seed);
        fill(&batch, &random);
        size_t head = random_below(&random, 40);
        batch_encode(&batch, head, &bytes);
        assert_int_equal(bytes.length, head + batch_encoded_bytes(&batch));
        assert_true(decodes(&decoded, bytes.bytes + head, bytes.length - head));
        assert_true(decoded.wall_ns == batch.wall_ns);
        batch_encode(&decoded, head, &again);
        assert_int_equal(again.length, bytes.length);
        assert_memory_equal(again.bytes + head, bytes.bytes + head, bytes.length - head);
        batch_clear(&decoded);
        size_t stride = bytes.length > 4000 ? 1 + random_below(&random, 11) : 1;
        for (size_t length = 0; length < bytes.length - head; length += stride) {
            assert_false(decodes(&decoded, bytes.bytes + head, length));
            batch_clear(&decoded);
        }
        bytes.bytes = realloc(bytes.bytes, bytes.length + 1);
        assert_non_null(bytes.bytes);
        bytes.bytes[bytes.length] = 0;
        bytes.capacity = bytes.length + 1;
        assert_false(decodes(&decoded, bytes.bytes + head, bytes.length - head + 1));
        batch_clear(&decoded);
        batch_clear(&batch);
    }
    batch_free(&batch);
    batch_free(&decoded);
    free(bytes.bytes);
    free(again.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_visit_stops, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_rounds, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_larger_than_what_is_free, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_full, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_left_over, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_other_store, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_removed_when_free, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_missing, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_cannot_be_read, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_writes_ahead, make_stage, free_stage),
        cmocka_unit_test_setup_teardown(test_full_disk, make_stage, free_stage),
        cmocka_unit_test(test_batch_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
