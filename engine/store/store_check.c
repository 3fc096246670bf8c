/* store_check.c: upkeep: reading everything, and giving back what is not used. */
#include "engine/store/store_private.h"

#include <inttypes.h>

#include "engine/check.h"

struct checking {
    FILE *out; /* NULL: nothing is printed */
    uint64_t fault_count;
    uint64_t message_count;
    uint64_t message_bytes;
    uint64_t id_count;
};

/* Counts a fault; any other failure goes on to the caller. */
static enum status note(struct checking *checking, enum status status, const struct error *error)
{
    if (status != STATUS_CORRUPT)
        return status;
    if (checking->out != NULL)
        fprintf(checking->out, "%s\n", error->text);
    checking->fault_count++;
    return STATUS_OK;
}

static bool count_message(void *context, const struct store_message *message)
{
    struct checking *checking = context;
    checking->message_count++;
    checking->message_bytes += message->length;
    return true;
}

static bool count_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    (void)id, (void)id_length, (void)message_bytes, (void)wall_ns;
    struct checking *checking = context;
    checking->id_count++;
    return true;
}

static bool pass_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    (void)context, (void)key, (void)key_length, (void)value, (void)value_length;
    return true;
}

static enum status check_messages(struct store *store, const struct store_queue_row *row, struct checking *checking,
                                  struct error *error)
{
    uint32_t queue = row->counts.queue;
    checking->message_count = checking->message_bytes = 0;
    enum status status = store_read_messages(store, queue, 0, UINT64_MAX, count_message, checking, error);
    if (status == STATUS_OK &&
        (checking->message_count != row->counts.message_count || checking->message_bytes != row->counts.message_bytes))
        status = store_corrupt(store, error, "queue '%s', %" PRIu64 " messages of %" PRIu64 " do not add up", row->name,
                               checking->message_count, row->counts.message_count);
    return status;
}

static enum status check_ids(struct store *store, const struct store_queue_row *row, struct checking *checking,
                             struct error *error)
{
    checking->id_count = 0;
    enum status status = store_read_ids(store, row->counts.queue, count_id, checking, error);
    if (status == STATUS_OK && checking->id_count != row->id_count)
        status = store_corrupt(store, error, "queue '%s', %" PRIu64 " ids of %" PRIu64, row->name, checking->id_count,
                               row->id_count);
    return status;
}

static enum status check_rows(struct store *store, struct checking *checking, struct error *error)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < store->queue_count && status == STATUS_OK; i++) {
        status = note(checking, store_check_queue(store, &store->queues[i], error), error);
        if (status == STATUS_OK)
            status = note(checking, check_messages(store, &store->queues[i], checking, error), error);
        if (status == STATUS_OK)
            status = note(checking, check_ids(store, &store->queues[i], checking, error), error);
    }
    for (uint32_t i = 0; i < store->state_count && status == STATUS_OK; i++)
        status = note(checking, store_read_state(store, store->states[i].state, pass_pair, NULL, error), error);
    return status;
}

/* SQLite's own look at its trees and its list of free pages. */
static enum status check_pages(struct store *store, struct checking *checking, struct error *error)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->db, "PRAGMA integrity_check(100)", -1, &statement, NULL) != SQLITE_OK)
        return note(checking, store_sql_failed(store, sqlite3_extended_errcode(store->db), error), error);
    bool has_row;
    enum status status;
    while ((status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        const char *line = (const char *)sqlite3_column_text(statement, 0);
        if (line == NULL || sqlite3_stricmp(line, "ok") == 0)
            continue;
        if (checking->out != NULL)
            fprintf(checking->out, "%s: %s\n", store->path, line);
        checking->fault_count++;
    }
    sqlite3_finalize(statement);
    return note(checking, status, error);
}

static enum status check(struct store *store, bool with_log, struct checking *checking, struct error *error)
{
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    if (status != STATUS_OK)
        return status;
    if (with_log)
        status = note(checking, store_check_log(store, error), error);
    if (status == STATUS_OK)
        status = check_rows(store, checking, error);
    if (status == STATUS_OK)
        status = check_pages(store, checking, error);
    store_end_reading(store, begun);
    return status;
}

enum status store_check_contents(struct store *store, FILE *out, uint64_t *fault_count, struct error *error)
{
    struct checking checking = {.out = out};
    enum status status = check(store, false, &checking, error);
    *fault_count = checking.fault_count;
    return status;
}

enum status store_check(struct store *store, FILE *out, uint64_t *fault_count, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct checking checking = {.out = out};
    enum status status = check(store, true, &checking, error);
    *fault_count = checking.fault_count;
    return status;
}

enum status store_compact(struct store *store, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    CHECK(!store->is_reader && sqlite3_get_autocommit(store->db) != 0);
    /* All is copied: into a file that is gone afterwards, through the log into the store's file, which is cut. */
    int code = sqlite3_exec(store->db, "PRAGMA temp_store = FILE; VACUUM", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        bool is_all;
        enum status status = store_sync(store, error);
        if (status == STATUS_OK)
            status = store_carry_over_log(store, &is_all, error);
        if (status == STATUS_OK)
            status = store_end_log_note(store, error);
        if (status != STATUS_OK)
            return status;
        code = sqlite3_exec(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
        store_note_log(store, false); /* a reader may have kept it as it was */
    }
    return code == SQLITE_OK ? STATUS_OK : store_sql_failed(store, sqlite3_extended_errcode(store->db), error);
}
