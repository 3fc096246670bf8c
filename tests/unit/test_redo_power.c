/*
 * redo.c and recovery.c under power cuts, kills and damage: what a flush promised is there, and what is there is a
 * prefix of the batches; what is not there is said to be missing. As in test_store_power.c, all that a batch does
 * follows from its number and the seed, and each batch puts its number into the state.
 *
 * The note of how much of the log there is (redo.c) is not flushed: a cut leaves the youngest or an older one. It must
 * find what is damaged behind a cut, and be silent otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/random.h"
#include "engine/store/journal_batch.h"
#include "engine/store/recovery.h"
#include "engine/store/redo.h"
#include "engine/store/store.h"
#include "tests/support/power_vfs.h"
#include "tests/support/store_model.h"

enum { SEED_COUNT = 110, CUTS_A_SEED = 5, KILL_SEED_COUNT = 40, KILLS_A_SEED = 4 };
enum { BATCH_COUNT = 1200, BATCH_MESSAGES_MAX = 8, KEY_COUNT = 32 };
enum { PAD_BYTES_MAX = 24 * 1024 };

_Static_assert(BATCH_COUNT *BATCH_MESSAGES_MAX <= STORE_MODEL_SEQUENCE_MAX &&
                   (int)KEY_COUNT <= (int)STORE_MODEL_KEY_COUNT,
               "they fit the model");

static struct error error;
static struct power_supply *supply;
static uint64_t boot = 1;

/* The system starts anew after each cut (see tests/CMakeLists.txt). */
uint64_t __wrap_store_boot(void);
uint64_t __wrap_store_boot(void)
{
    return boot;
}

/* ---- the model ---- */

struct stage {
    struct store *store;
    struct redo *redo;
    uint32_t queue;
    uint32_t state;
    uint64_t seed;
    struct store_model *model;
    struct journal_batch batch; /* the one that is made */
    struct journal_batch all;   /* what is in the log and not in the store */
    struct batch_buffer record;
    uint64_t promised; /* batches up to this must be there */
    /* Where the batches' records end, by the batch, and how long they are; 0: not in the log. */
    uint64_t ends[BATCH_COUNT];
    size_t lengths[BATCH_COUNT];
};

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("seed %d: %s: %d %s", (int)stage->seed, #call, (int)status_, error.text);                         \
    } while (0)

static void append(struct stage *stage, uint64_t count)
{
    unsigned char text[304];
    for (; count > 0; count--) {
        uint64_t sequence = stage->model->next++;
        memset(text, (int)(sequence & 255), sizeof text);
        batch_append(&stage->batch, stage->queue, sequence, text,
                     (uint32_t)store_model_text_bytes(stage->model, sequence));
    }
}

static void settle(struct stage *stage, struct random_state *random)
{
    struct store_model *model = stage->model;
    uint64_t first = 1 + random_below(random, model->next);
    if (random_below(random, 2) == 0)
        for (first = 1; first < model->next && model->settled[first];)
            first++;
    uint64_t limit = 1 + random_below(random, 20);
    uint64_t count = 0;
    while (first + count < model->next && count < limit && !model->settled[first + count])
        model->settled[first + count++] = true;
    if (count > 0)
        batch_settle(&stage->batch, stage->queue, first, count);
}

static void count_delivery(struct stage *stage, struct random_state *random)
{
    struct store_model *model = stage->model;
    uint64_t sequence = 1 + random_below(random, model->next);
    if (sequence < model->next && !model->settled[sequence] && model->deliveries[sequence] < 200)
        batch_count_delivery(&stage->batch, stage->queue, sequence, ++model->deliveries[sequence]);
}

static void put(struct stage *stage, uint64_t key, uint64_t value)
{
    stage->model->values[key] = value;
    if (value == 0)
        batch_delete(&stage->batch, stage->state, &key, sizeof key);
    else
        batch_put(&stage->batch, stage->state, &key, sizeof key, &value, sizeof value);
}

static void put_pad(struct stage *stage, size_t length)
{
    static const unsigned char pad[PAD_BYTES_MAX];
    stage->model->pad_bytes = length;
    batch_put(&stage->batch, stage->state, "pad", 3, pad, length);
}

static void add_id(struct stage *stage)
{
    uint64_t id = stage->model->id_count++;
    batch_remember_id(&stage->batch, stage->queue, &id, sizeof id, 1);
}

/* The next batch, into stage->batch. */
static void make_batch(struct stage *stage)
{
    struct random_state random;
    random_seed(&random, stage->seed * 1000000 + ++stage->model->batch);
    batch_clear(&stage->batch);
    stage->batch.wall_ns = 1;
    append(stage, random_below(&random, BATCH_MESSAGES_MAX + 1));
    for (uint64_t i = random_below(&random, 3); i > 0; i--)
        count_delivery(stage, &random);
    for (uint64_t i = random_below(&random, 3); i > 0; i--)
        settle(stage, &random);
    for (uint64_t i = random_below(&random, 6); i > 0; i--)
        put(stage, 1 + random_below(&random, KEY_COUNT - 1), random_below(&random, 3));
    if (random_below(&random, 4) == 0)
        put_pad(stage, random_below(&random, PAD_BYTES_MAX));
    add_id(stage);
    put(stage, 0, stage->model->batch);
}

static void model_at(struct stage *stage, uint64_t batch)
{
    memset(stage->model, 0, sizeof *stage->model);
    stage->model->next = 1;
    stage->model->text_bytes_limit = 300;
    while (stage->model->batch < batch)
        make_batch(stage);
    batch_clear(&stage->batch);
}

static uint64_t batch_in_store(struct stage *stage)
{
    uint64_t batch;
    OK(store_model_find_batch(stage->store, stage->state, &batch, &error));
    return batch;
}

/* ---- at work ---- */

static enum status open_all(struct stage *stage, const char *directory)
{
    struct store_queue found;
    batch_clear(&stage->all);
    enum status status = recovery_open(&stage->store, &stage->redo, directory, &error);
    if (status == STATUS_OK) {
        memset(stage->lengths, 0, sizeof stage->lengths);
        status = store_find_queue(stage->store, "orders", &found, &error);
    }
    if (status == STATUS_OK)
        status = store_find_state(stage->store, "market", &stage->state, &error);
    if (status == STATUS_OK)
        stage->queue = found.queue;
    return status;
}

static void close_all(struct stage *stage)
{
    redo_close(&stage->redo);
    store_close(&stage->store);
}

static enum status log_batch(struct stage *stage, struct random_state *random)
{
    make_batch(stage);
    batch_join_settled(&stage->batch);
    batch_encode(&stage->batch, REDO_HEAD_BYTES, &stage->record);
    enum status status =
        redo_append(stage->redo, stage->record.bytes, stage->record.length, &stage->batch.place, &error);
    if (status != STATUS_OK)
        return status;
    stage->ends[stage->model->batch] = stage->batch.place.offset;
    stage->lengths[stage->model->batch] = stage->record.length;
    batch_add(&stage->all, &stage->batch);
    if (random_below(random, 3) != 0)
        return STATUS_OK;
    status = redo_flush(stage->redo, &error);
    if (status == STATUS_OK)
        stage->promised = stage->model->batch;
    return status;
}

static enum status write_all(struct stage *stage)
{
    if (batch_is_empty(&stage->all))
        return STATUS_OK;
    batch_join_settled(&stage->all);
    enum status status = store_begin(stage->store, &error);
    if (status == STATUS_OK)
        status = batch_apply(&stage->all, stage->store, &error);
    if (status != STATUS_OK)
        return status;
    store_set_redo_place(stage->store, &stage->all.place);
    status = store_commit(stage->store, false, &error);
    batch_clear(&stage->all);
    return status;
}

static enum status free_log(struct stage *stage)
{
    enum status status = store_sync(stage->store, &error);
    if (status != STATUS_OK)
        return status;
    struct redo_place place = store_redo_place(stage->store);
    redo_free_up_to(stage->redo, &place);
    if (batch_is_empty(&stage->all))
        stage->promised = stage->model->batch;
    return STATUS_OK;
}

static enum status end(struct stage *stage)
{
    enum status status = write_all(stage);
    return status == STATUS_OK ? free_log(stage) : status;
}

static enum status start_anew(struct stage *stage, const char *directory)
{
    char path[128];
    snprintf(path, sizeof path, "%s/redo.log", directory);
    enum status status = end(stage);
    if (status != STATUS_OK)
        return status;
    close_all(stage);
    assert_true(supply != NULL || access(path, F_OK) != 0);
    status = open_all(stage, directory);
    if (status == STATUS_OK)
        assert_int_equal(batch_in_store(stage), stage->model->batch);
    return status;
}

/* ---- files that the power supply does not know, and damage ---- */

struct image {
    bool is_there;
    size_t bytes;
    unsigned char *contents;
};

enum { IMAGE_LOG, IMAGE_STORE, IMAGE_WAL, IMAGE_LOCK, IMAGE_COUNT };
static const char *const image_names[IMAGE_COUNT] = {"redo.log", "store.db", "store.db-wal", "lock"};

static void load(const char *directory, size_t index, struct image *image)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, image_names[index]);
    FILE *file = fopen(path, "rb");
    free(image->contents);
    *image = (struct image){.is_there = file != NULL};
    if (file == NULL)
        return;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    image->bytes = (size_t)ftell(file);
    rewind(file);
    image->contents = malloc(image->bytes + 1);
    assert_non_null(image->contents);
    assert_true(fread(image->contents, 1, image->bytes, file) == image->bytes);
    fclose(file);
}

static void save(const char *directory, size_t index, const struct image *image)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, image_names[index]);
    unlink(path);
    if (!image->is_there)
        return;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fwrite(image->contents, 1, image->bytes, file) == image->bytes);
    fclose(file);
}

static void load_all(const char *directory, struct image images[IMAGE_COUNT])
{
    for (size_t i = 0; i < IMAGE_COUNT; i++)
        load(directory, i, &images[i]);
}

static void save_all(const char *directory, struct image images[IMAGE_COUNT])
{
    char index[128];
    snprintf(index, sizeof index, "%s/store.db-shm", directory);
    unlink(index);
    for (size_t i = 0; i < IMAGE_COUNT; i++)
        save(directory, i, &images[i]);
}

static void free_images(struct image images[IMAGE_COUNT])
{
    for (size_t i = 0; i < IMAGE_COUNT; i++)
        free(images[i].contents);
}

static struct image older_lock;
static uint64_t damaged_count;
static uint64_t named_count;

/* In the record of a batch: a bit is turned, or the file ends there, or is gone. */
static void damage(const char *directory, const struct stage *stage, uint64_t batch, struct random_state *random)
{
    struct image log = {0};
    load(directory, IMAGE_LOG, &log);
    size_t at = stage->ends[batch] - 1 - random_below(random, stage->lengths[batch]);
    uint64_t how = random_below(random, 8);
    if (how == 0)
        log.is_there = false;
    else if (how == 1)
        log.bytes = at < log.bytes ? at : log.bytes;
    else if (at < log.bytes)
        log.contents[at] ^= (unsigned char)(1 << random_below(random, 8));
    save(directory, IMAGE_LOG, &log);
    free(log.contents);
}

/* One of the batches that are in the log, of some the later one; 0: none is. */
static uint64_t pick_batch(const struct stage *stage, struct random_state *random)
{
    uint64_t last = stage->model->batch;
    while (last > 0 && stage->lengths[last] == 0)
        last--;
    uint64_t count = 1 + random_below(random, 12);
    for (uint64_t i = random_below(random, count); i > 0 && last > 1 && stage->lengths[last - 1] != 0; i--)
        last--;
    return last;
}

/* Opens the store with its log damaged: no batch that was promised is missing, or that is named. Puts back what was. */
static void open_damaged(struct stage *stage, const char *directory, struct random_state *random)
{
    uint64_t picked = pick_batch(stage, random);
    if (picked == 0)
        return;
    static struct image images[IMAGE_COUNT];
    load_all(directory, images);
    damage(directory, stage, picked, random);
    damaged_count++;
    enum status status = open_all(stage, directory);
    if (status == STATUS_OK) {
        uint64_t batch = batch_in_store(stage);
        if (batch < stage->promised)
            fail_msg("seed %d: damage to batch %d takes promised ones away: %d of %d", (int)stage->seed, (int)picked,
                     (int)batch, (int)stage->promised);
    } else {
        assert_int_equal(status, STATUS_CORRUPT);
        named_count++;
    }
    close_all(stage);
    save_all(directory, images);
    free_images(images);
    memset(images, 0, sizeof images);
}

/* ---- power cuts ---- */

/* Works until the power is cut. */
static enum status work(struct stage *stage, const char *directory, struct random_state *random)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && stage->model->batch < BATCH_COUNT - 1) {
        bool is_anew = false;
        status = log_batch(stage, random);
        if (status == STATUS_OK && random_below(random, 6) == 0)
            status = write_all(stage);
        if (status == STATUS_OK && random_below(random, 20) == 0)
            status = free_log(stage);
        if (status == STATUS_OK && random_below(random, 60) == 0) {
            status = start_anew(stage, directory);
            is_anew = true; /* a note that was cleared is on the disk */
        }
        if (is_anew || random_below(random, 10) == 0)
            load(directory, IMAGE_LOCK, &older_lock);
    }
    return status;
}

/* And again, before it is all done again. */
static void cut_in_recovery(struct stage *stage, const char *directory, struct random_state *random)
{
    power_supply_cut_after(supply, random_below(random, 30));
    (void)(open_all(stage, directory) == STATUS_OK);
    close_all(stage);
    load(directory, IMAGE_LOCK, &older_lock); /* a note that was cleared is on the disk */
    power_supply_restore(supply, random_next(random));
    boot++;
}

static void cut_and_compare(struct stage *stage, const char *directory, struct random_state *random)
{
    load(directory, IMAGE_LOCK, &older_lock);
    power_supply_cut_after(supply, random_below(random, 3) == 0 ? random_below(random, 40) : random_below(random, 700));
    if (open_all(stage, directory) == STATUS_OK)
        (void)work(stage, directory, random);
    uint64_t tried = stage->model->batch;
    close_all(stage);
    if (tried == BATCH_COUNT - 1) /* no cut came, and a note that was cleared is on the disk */
        load(directory, IMAGE_LOCK, &older_lock);
    power_supply_restore(supply, random_next(random));
    boot++;
    if (random_below(random, 2) == 0)
        cut_in_recovery(stage, directory, random);
    if (random_below(random, 2) == 0)
        open_damaged(stage, directory, random);
    if (random_below(random, 2) == 0)
        save(directory, IMAGE_LOCK, &older_lock);
    OK(open_all(stage, directory));
    uint64_t batch = batch_in_store(stage);
    if (batch < stage->promised || batch > tried)
        fail_msg("seed %d: batch %d is there; %d was promised, %d was tried", (int)stage->seed, (int)batch,
                 (int)stage->promised, (int)tried);
    model_at(stage, batch);
    store_model_compare(stage->model, stage->store, stage->queue, stage->state);
    stage->promised = batch;
    close_all(stage);
}

static void remove_all(const char *directory)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static struct stage *new_stage(void)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->model = calloc(1, sizeof *stage->model);
    assert_non_null(stage->model);
    return stage;
}

static void free_stage(struct stage *stage)
{
    batch_free(&stage->batch);
    batch_free(&stage->all);
    free(stage->record.bytes);
    free(stage->model);
    free(stage);
}

static void test_power_cuts(void **state)
{
    (void)state;
    struct stage *stage = new_stage();
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        char directory[] = "/tmp/test_redo_power.XXXXXX";
        assert_non_null(mkdtemp(directory));
        supply = power_supply_new();
        struct random_state random;
        random_seed(&random, seed);
        stage->seed = seed;
        stage->promised = 0;
        model_at(stage, 0);
        for (int i = 0; i < CUTS_A_SEED; i++)
            cut_and_compare(stage, directory, &random);
        power_supply_free(supply);
        supply = NULL;
        remove_all(directory);
    }
    assert_true(damaged_count > 100 && named_count > 50 && named_count < damaged_count);
    free(older_lock.contents);
    free_stage(stage);
}

/* ---- kills: what was written is there, flushed or not ---- */

/* Of a process that was killed: its files, as they were. */
static void work_and_kill(struct stage *stage, const char *directory, struct random_state *random,
                          struct image images[IMAGE_COUNT])
{
    OK(open_all(stage, directory));
    for (uint64_t i = 1 + random_below(random, 60); i > 0; i--) {
        OK(log_batch(stage, random));
        if (random_below(random, 8) == 0)
            OK(write_all(stage));
        if (random_below(random, 12) == 0)
            OK(free_log(stage));
        if (random_below(random, 40) == 0)
            OK(start_anew(stage, directory));
    }
    load_all(directory, images);
    close_all(stage);
    save_all(directory, images);
}

/* The last record is damaged, whether it was flushed or not. What comes before it is in the store then. */
static void damage_last(struct stage *stage, const char *directory, struct random_state *random)
{
    uint64_t last = stage->model->batch;
    if (batch_is_empty(&stage->all) || stage->lengths[last] == 0)
        return;
    damage(directory, stage, last, random);
    for (int i = 0; i < 2; i++) {
        struct redo *redo;
        struct store *store;
        assert_int_equal(recovery_open(&store, &redo, directory, &error), STATUS_CORRUPT);
        assert_non_null(strstr(error.text, "redo.log is damaged"));
        redo_close(&redo);
        store_close(&store);
    }
    damaged_count++;
}

static void test_kills(void **state)
{
    (void)state;
    struct stage *stage = new_stage();
    struct image images[IMAGE_COUNT] = {0};
    damaged_count = 0;
    for (uint64_t seed = 1; seed <= KILL_SEED_COUNT; seed++) {
        char directory[] = "/tmp/test_redo_power.XXXXXX";
        assert_non_null(mkdtemp(directory));
        struct random_state random;
        random_seed(&random, seed);
        stage->seed = seed;
        model_at(stage, 0);
        for (int i = 0; i < KILLS_A_SEED; i++) {
            work_and_kill(stage, directory, &random, images);
            damage_last(stage, directory, &random);
            save_all(directory, images);
            OK(open_all(stage, directory));
            assert_int_equal(batch_in_store(stage), stage->model->batch);
            store_model_compare(stage->model, stage->store, stage->queue, stage->state);
            close_all(stage);
        }
        remove_all(directory);
    }
    assert_true(damaged_count > 50);
    free_images(images);
    free_stage(stage);
}

/* A test that fails leaves its supply. */
static int free_supply(void **state)
{
    (void)state;
    if (supply != NULL)
        power_supply_free(supply);
    supply = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_power_cuts, free_supply),
        cmocka_unit_test_teardown(test_kills, free_supply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
