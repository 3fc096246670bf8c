#include "engine/store/recovery.h"

#include "engine/store/journal_batch.h"
#include "engine/store/redo.h"
#include "engine/store/store.h"

/* So many batches are done again in one transaction: many are small. */
enum { BATCHES_A_TRANSACTION = 256 };

struct recovery {
    struct store *store;
    struct journal_batch batch;
    unsigned begun_count; /* batches in the transaction that is open; 0: none is */
};

static enum status commit(struct recovery *recovery, struct error *error)
{
    if (recovery->begun_count == 0)
        return STATUS_OK;
    recovery->begun_count = 0;
    return store_commit(recovery->store, false, error);
}

static enum status apply(struct recovery *recovery, const struct redo_place *place, struct error *error)
{
    enum status status = recovery->begun_count == 0 ? store_begin(recovery->store, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = batch_apply(&recovery->batch, recovery->store, error);
    if (status != STATUS_OK) {
        recovery->begun_count = 0; /* it was rolled back */
        return status;
    }
    store_set_redo_place(recovery->store, place);
    return ++recovery->begun_count < BATCHES_A_TRANSACTION ? STATUS_OK : commit(recovery, error);
}

static enum status take_record(void *context, const unsigned char *bytes, size_t length, const struct redo_place *place,
                               struct error *error)
{
    struct recovery *recovery = context;
    enum status status = batch_decode(&recovery->batch, bytes, length)
                             ? apply(recovery, place, error)
                             : error_set(error, STATUS_CORRUPT, "a batch of the redo log is not one of millrace");
    batch_clear(&recovery->batch);
    return status;
}

/* What comes before damage is kept all the same. */
static enum status replay(struct store *store, struct redo *redo, struct error *error)
{
    struct recovery recovery = {.store = store};
    struct error commit_error = {0};
    enum status status = redo_replay(redo, take_record, &recovery, error);
    enum status committed = STATUS_OK;
    if (recovery.begun_count > 0 && (status == STATUS_OK || status == STATUS_CORRUPT))
        committed = commit(&recovery, &commit_error);
    batch_free(&recovery.batch);
    if (status == STATUS_OK && committed != STATUS_OK)
        *error = commit_error;
    return status == STATUS_OK ? committed : status;
}

/* What an earlier process wrote and did not live to flush is believed from here on: a repeated id is answered, a
 * message given away. So it is on the disk after this. */
static enum status begin(struct store *store, struct redo *redo, struct error *error)
{
    enum status status = store_begin(store, error);
    if (status != STATUS_OK)
        return status;
    struct redo_place place = redo_first_place(redo);
    store_set_redo_place(store, &place);
    status = store_commit(store, true, error);
    if (status == STATUS_OK)
        redo_begin(redo);
    return status;
}

enum status recovery_open(struct store **store, struct redo **redo, const char *directory, struct error *error)
{
    *redo = NULL;
    enum status status = store_open(store, directory, error);
    if (status == STATUS_OK)
        status = redo_open(redo, *store, error);
    if (status == STATUS_OK)
        status = replay(*store, *redo, error);
    if (status == STATUS_OK)
        status = begin(*store, *redo, error);
    /* STATUS_AGAIN is for transactions: here nobody can wait. */
    return status == STATUS_AGAIN ? STATUS_SYSTEM : status;
}

enum status recovery_open_store(struct store **store, const char *directory, struct error *error)
{
    struct redo *redo;
    enum status status = recovery_open(store, &redo, directory, error);
    redo_close(&redo);
    if (status != STATUS_OK)
        store_close(store);
    return status;
}

enum status recovery_open_reader(struct store **store, const char *directory, struct error *missing,
                                 struct error *error)
{
    *missing = (struct error){0};
    /* First as a reader, which makes no store. */
    enum status status = store_open_reader(store, directory, error);
    if (status != STATUS_OK || !redo_is_due(*store))
        return status;
    store_close(store);
    struct store *recovered;
    enum status recovery = recovery_open_store(&recovered, directory, missing);
    /* STATUS_USAGE: somebody has it open, and will bring into it what is in the log. */
    if (recovery == STATUS_OK || recovery == STATUS_USAGE)
        *missing = (struct error){0}; /* what went well may have left a text too */
    else
        error_prefix(missing, "%s: not all of its redo log could be brought in", directory);
    store_close(&recovered);
    return store_open_reader(store, directory, error);
}
