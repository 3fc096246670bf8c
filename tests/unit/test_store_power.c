/*
 * store.c under power cuts and on a full disk: what a synced commit promised is there, the rest is a prefix of the
 * batches, and no batch is there in part.
 *
 * The note of how much of the log there is (store_log.c) is not flushed: a cut leaves the youngest or an older one. It
 * must find what is damaged behind a cut, and be silent otherwise.
 *
 * All that a batch does follows from its number and the seed, and each batch puts its number into the state: so what
 * the store must hold is known from the number that is found in it.
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
#include "engine/store/store.h"
#include "tests/support/power_vfs.h"
#include "tests/support/store_model.h"

enum { SEED_COUNT = 110, CUTS_A_SEED = 5, BATCH_COUNT = 400, KEY_COUNT = 64 };

_Static_assert(BATCH_COUNT * 40 <= STORE_MODEL_SEQUENCE_MAX && (int)KEY_COUNT <= (int)STORE_MODEL_KEY_COUNT,
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

/* A batch, as calls: to the store, and to the model, which goes on alone when `store` is NULL. */
struct stage {
    struct store *store;
    uint32_t queue;
    uint32_t state;
    uint64_t seed;
    struct store_model *model;
};

static enum status append(struct stage *stage, uint64_t count)
{
    static unsigned char records[64 * 1024];
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)store_model_text_bytes(stage->model, stage->model->next + i);
        memcpy(records + at, &length, 4);
        memset(records + at + 4, (int)((stage->model->next + i) & 255), length);
        at += 4 + length;
    }
    uint64_t first = stage->model->next;
    stage->model->next += count;
    if (stage->store == NULL || count == 0)
        return STATUS_OK;
    return store_append(stage->store, stage->queue, first, count, records, at, 1, &error);
}

static enum status settle(struct stage *stage, struct random_state *random)
{
    struct store_model *model = stage->model;
    uint64_t first = 1 + random_below(random, model->next);
    if (random_below(random, 2) == 0)
        for (first = 1; first < model->next && model->settled[first];)
            first++;
    uint64_t limit = 1 + random_below(random, 60);
    uint64_t count = 0;
    while (first + count < model->next && count < limit && !model->settled[first + count])
        model->settled[first + count++] = true;
    return stage->store == NULL || count == 0 ? STATUS_OK
                                              : store_settle(stage->store, stage->queue, first, count, &error);
}

static enum status put(struct stage *stage, uint64_t key, uint64_t value)
{
    stage->model->values[key] = value;
    if (stage->store == NULL)
        return STATUS_OK;
    return value == 0 ? store_delete(stage->store, stage->state, &key, sizeof key, &error)
                      : store_put(stage->store, stage->state, &key, sizeof key, &value, sizeof value, &error);
}

static enum status add_id(struct stage *stage)
{
    unsigned char id[13] = {8};
    memcpy(id + 5, &stage->model->id_count, 8);
    stage->model->id_count++;
    return stage->store == NULL ? STATUS_OK : store_add_ids(stage->store, stage->queue, id, sizeof id, 1, 1, &error);
}

static enum status do_batch(struct stage *stage)
{
    struct random_state random;
    random_seed(&random, stage->seed * 1000000 + ++stage->model->batch);
    enum status status = append(stage, random_below(&random, 40));
    for (uint64_t i = random_below(&random, 4); i > 0 && status == STATUS_OK; i--)
        status = settle(stage, &random);
    for (uint64_t i = random_below(&random, 8); i > 0 && status == STATUS_OK; i--)
        status = put(stage, 1 + random_below(&random, KEY_COUNT - 1), random_below(&random, 3));
    if (status == STATUS_OK)
        status = add_id(stage);
    return status == STATUS_OK ? put(stage, 0, stage->model->batch) : status;
}

static void model_at(struct store_model *model, uint64_t seed, uint64_t batch)
{
    memset(model, 0, sizeof *model);
    model->next = 1;
    model->text_bytes_limit = 900;
    struct stage stage = {.seed = seed, .model = model};
    while (model->batch < batch)
        assert_int_equal(do_batch(&stage), STATUS_OK);
}

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("seed %d: %s: %d %s", (int)stage->seed, #call, (int)status_, error.text);                         \
    } while (0)

/* ---- power cuts ---- */

static enum status open_all(struct stage *stage, const char *directory)
{
    struct store_queue found;
    enum status status = store_open(&stage->store, directory, &error);
    if (status == STATUS_OK)
        status = store_find_queue(stage->store, "orders", &found, &error);
    if (status == STATUS_OK)
        status = store_find_state(stage->store, "market", &stage->state, &error);
    if (status == STATUS_OK)
        stage->queue = found.queue;
    return status;
}

/* ---- files that the power supply does not know, and damage ---- */

struct image {
    size_t bytes;
    unsigned char contents[8 * 1024 * 1024];
};

/* Returns false if there is no such file. */
static bool load(const char *directory, const char *name, struct image *image)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    image->bytes = fread(image->contents, 1, sizeof image->contents, file);
    assert_true(image->bytes < sizeof image->contents);
    fclose(file);
    return true;
}

static void save(const char *directory, const char *name, const struct image *image)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fwrite(image->contents, 1, image->bytes, file) == image->bytes);
    fclose(file);
}

/* The lock file with an older note, as the disk may have it. */
static struct image *older_lock;
static uint64_t damaged_count;
static uint64_t named_count;

/* Works until the power is cut. *synced_batch: which batch is promised. */
static void work(struct stage *stage, const char *directory, struct random_state *random, uint64_t *synced_batch)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && stage->model->batch < BATCH_COUNT - 1) {
        bool sync = random_below(random, 3) == 0;
        status = store_begin(stage->store, &error);
        if (status == STATUS_OK)
            status = do_batch(stage);
        if (status == STATUS_OK)
            status = store_commit(stage->store, sync, &error);
        if (status == STATUS_OK && (sync || random_below(random, 20) == 0)) {
            status = sync ? STATUS_OK : store_sync(stage->store, &error);
            if (status == STATUS_OK)
                *synced_batch = stage->model->batch;
        }
        bool is_cleared = random_below(random, 8) == 0; /* a note that was cleared is on the disk */
        if (status == STATUS_OK && is_cleared)
            status = store_compact(stage->store, &error);
        if (status == STATUS_OK && random_below(random, 30) == 0) {
            store_close(&stage->store);
            status = open_all(stage, directory);
            is_cleared = true;
        }
        if (is_cleared || random_below(random, 10) == 0)
            (void)load(directory, "lock", older_lock);
    }
}

/* Opens the store with a bit of its log turned: no synced batch is missing, or that is named. Puts back what was. */
static void open_damaged(struct stage *stage, const char *directory, struct random_state *random, uint64_t synced_batch)
{
    static struct image log;
    static struct image file;
    static struct image lock;
    if (!load(directory, "store.db-wal", &log) || log.bytes == 0 || !load(directory, "store.db", &file))
        return;
    (void)load(directory, "lock", &lock);
    struct image *damaged = malloc(sizeof *damaged);
    assert_non_null(damaged);
    memcpy(damaged, &log, sizeof log);
    size_t at = random_below(random, 4) == 0 ? random_below(random, 32) : random_below(random, log.bytes);
    damaged->contents[at] ^= (unsigned char)(1 << random_below(random, 8));
    save(directory, "store.db-wal", damaged);
    free(damaged);
    damaged_count++;
    enum status status = open_all(stage, directory);
    uint64_t batch = 0;
    if (status == STATUS_OK)
        status = store_model_find_batch(stage->store, stage->state, &batch, &error);
    if (status == STATUS_OK && batch < synced_batch)
        fail_msg("seed %d: a bit at %d of the log takes synced batches away", (int)stage->seed, (int)at);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_CORRUPT);
        named_count++;
    }
    store_close(&stage->store);
    char index[128];
    snprintf(index, sizeof index, "%s/store.db-shm", directory);
    unlink(index);
    save(directory, "store.db-wal", &log);
    save(directory, "store.db", &file);
    save(directory, "lock", &lock);
}

static void cut_and_compare(struct stage *stage, const char *directory, struct random_state *random)
{
    uint64_t synced_batch = stage->model->batch;
    older_lock->bytes = 0;
    (void)load(directory, "lock", older_lock);
    power_supply_cut_after(supply, random_below(random, 2) == 0 ? random_below(random, 40) : random_below(random, 200));
    enum status status = open_all(stage, directory);
    if (status == STATUS_OK)
        work(stage, directory, random, &synced_batch);
    uint64_t tried_batch = stage->model->batch;
    store_close(&stage->store);
    if (tried_batch == BATCH_COUNT - 1) /* no cut came, and a note that was cleared is on the disk */
        (void)load(directory, "lock", older_lock);
    power_supply_restore(supply, random_next(random));
    boot++;
    if (random_below(random, 2) == 0)
        open_damaged(stage, directory, random, synced_batch);
    if (random_below(random, 2) == 0)
        save(directory, "lock", older_lock);
    OK(open_all(stage, directory));
    uint64_t batch = 0;
    OK(store_model_find_batch(stage->store, stage->state, &batch, &error));
    if (batch < synced_batch || batch > tried_batch)
        fail_msg("seed %d: batch %d is there; %d was synced, %d was tried", (int)stage->seed, (int)batch,
                 (int)synced_batch, (int)tried_batch);
    model_at(stage->model, stage->seed, batch);
    store_model_compare(stage->model, stage->store, stage->queue, stage->state);
    store_close(&stage->store);
}

static void remove_all(const char *directory)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static void test_power_cuts(void **state)
{
    (void)state;
    struct store_model *model = calloc(1, sizeof *model);
    older_lock = calloc(1, sizeof *older_lock);
    assert_non_null(older_lock);
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        char directory[] = "/tmp/test_store_power.XXXXXX";
        assert_non_null(mkdtemp(directory));
        supply = power_supply_new();
        struct random_state random;
        random_seed(&random, seed);
        struct stage stage = {.seed = seed, .model = model};
        model_at(model, seed, 0);
        for (int i = 0; i < CUTS_A_SEED; i++)
            cut_and_compare(&stage, directory, &random);
        power_supply_free(supply);
        supply = NULL;
        remove_all(directory);
    }
    assert_true(damaged_count > 100 && named_count > 50 && named_count < damaged_count);
    free(older_lock);
    free(model);
}

/* ---- a full disk ---- */

static void test_full_disk(void **state)
{
    (void)state;
    struct store_model *model = calloc(1, sizeof *model);
    char directory[] = "/tmp/test_store_power.XXXXXX";
    assert_non_null(mkdtemp(directory));
    supply = power_supply_new();
    struct stage at = {.seed = 7, .model = model};
    struct stage *stage = &at;
    model_at(model, stage->seed, 0);
    OK(open_all(stage, directory));
    uint64_t full_count = 0;
    while (model->batch < BATCH_COUNT - 1) {
        uint64_t batch = model->batch;
        power_supply_limit(supply, power_supply_used_bytes(supply) + (batch % 3) * 4000);
        OK(store_begin(stage->store, &error));
        enum status status = do_batch(stage);
        if (status == STATUS_OK)
            status = store_commit(stage->store, batch % 2 == 0, &error);
        power_supply_limit(supply, UINT64_MAX);
        if (status == STATUS_OK)
            continue;
        assert_int_equal(status, STATUS_AGAIN);
        full_count++;
        model_at(model, stage->seed, batch);
        if (full_count % 16 == 0)
            store_model_compare(stage->model, stage->store, stage->queue, stage->state);
        OK(store_begin(stage->store, &error));
        OK(do_batch(stage));
        OK(store_commit(stage->store, true, &error));
    }
    assert_true(full_count > 50);
    store_close(&stage->store);
    OK(open_all(stage, directory));
    store_model_compare(stage->model, stage->store, stage->queue, stage->state);
    store_close(&stage->store);
    power_supply_free(supply);
    supply = NULL;
    remove_all(directory);
    free(model);
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
        cmocka_unit_test_teardown(test_full_disk, free_supply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
