/* store_ids.c: the ids that a queue has seen, in the rows in which they came. */
#include "engine/store/store_private.h"

#include <inttypes.h>

#include "engine/check.h"

/* Before each id: its length, and its message's bytes. */
enum { FRONT_BYTES = 5 };

struct id_row {
    uint64_t number;
    uint64_t count;
    int64_t wall_ns;
    const unsigned char *records;
    size_t record_bytes;
};

static uint64_t hash_row(uint32_t queue, const struct id_row *row)
{
    const uint64_t numbers[] = {queue, row->number, row->count, (uint64_t)row->wall_ns, row->record_bytes, 0};
    return store_hash_bytes(row->records, row->record_bytes, store_hash_numbers(numbers, 6));
}

static enum status lost(const struct store *store, const struct store_queue_row *row, uint64_t number,
                        struct error *error)
{
    return store_corrupt(store, error, "queue '%s', row %" PRIu64 " of the ids that it has seen", row->name, number);
}

/* ---- writing ---- */

enum status store_add_ids(struct store *store, uint32_t queue, const void *ids, size_t ids_bytes, uint64_t count,
                          int64_t wall_ns, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_queue_row *row = store_queue_row(store, queue);
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_IDS_ADD, &statement, error);
    if (status == STATUS_OK) {
        struct id_row added = {row->ids_next, count, wall_ns, ids, ids_bytes};
        store_bind(statement, 1, store_row_id(queue, added.number));
        store_bind(statement, 2, count);
        sqlite3_bind_int64(statement, 3, wall_ns);
        store_bind(statement, 4, hash_row(queue, &added));
        store_bind_bytes(statement, 5, ids, ids_bytes);
        status = store_run(store, statement, error);
        row->ids_next++;
        row->id_count += count;
        row->is_dirty = true;
    }
    return store_end_writing(store, status);
}

static enum status start_rows(struct store *store, const struct store_queue_row *row, sqlite3_stmt **statement,
                              struct error *error)
{
    enum status status = store_statement(store, SQL_IDS_READ, statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(*statement, 1, store_row_id(row->counts.queue, 0));
    store_bind(*statement, 2, store_row_id(row->counts.queue, STORE_SEQUENCE_MAX));
    return STATUS_OK;
}

/* Counts from the oldest those that may go. */
static enum status find_trimmed(struct store *store, struct store_queue_row *row, uint64_t count_max, int64_t wall_ns,
                                struct error *error)
{
    sqlite3_stmt *statement;
    bool has_row;
    enum status status = start_rows(store, row, &statement, error);
    if (status != STATUS_OK)
        return status;
    while (row->ids_first < row->ids_next && (status = store_step(store, statement, &has_row, error)) == STATUS_OK) {
        uint64_t count = has_row ? store_column(statement, 1) : 0;
        if (!has_row || store_column(statement, 0) != store_row_id(row->counts.queue, row->ids_first) ||
            count > row->id_count) {
            status = lost(store, row, row->ids_first, error);
            break;
        }
        bool is_old = sqlite3_column_int64(statement, 2) < wall_ns;
        if (!is_old && row->id_count - count < count_max)
            break;
        row->ids_first++;
        row->id_count -= count;
        row->is_dirty = true;
    }
    sqlite3_reset(statement);
    return status;
}

enum status store_trim_ids(struct store *store, uint32_t queue, uint64_t count_max, int64_t wall_ns,
                           struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_queue_row *row = store_queue_row(store, queue);
    uint64_t first = row->ids_first;
    sqlite3_stmt *statement;
    enum status status = find_trimmed(store, row, count_max, wall_ns, error);
    if (status == STATUS_OK && row->ids_first > first) {
        status = store_statement(store, SQL_IDS_DELETE, &statement, error);
        if (status == STATUS_OK) {
            store_bind(statement, 1, store_row_id(queue, first));
            store_bind(statement, 2, store_row_id(queue, row->ids_first - 1));
            status = store_run(store, statement, error);
        }
    }
    return store_end_writing(store, status);
}

/* ---- reading ---- */

/* Returns false if the records are not what the row says. *goes_on: what the visit answered. */
static bool visit_row(const struct id_row *row, store_id_visit *visit, void *context, bool *goes_on)
{
    size_t at = 0;
    for (uint64_t i = 0; i < row->count && *goes_on; i++) {
        const unsigned char *record = row->records + at;
        if (row->record_bytes - at < FRONT_BYTES || row->record_bytes - at - FRONT_BYTES < record[0])
            return false;
        uint32_t message_bytes =
            (uint32_t)record[1] | (uint32_t)record[2] << 8 | (uint32_t)record[3] << 16 | (uint32_t)record[4] << 24;
        *goes_on = visit(context, record + FRONT_BYTES, record[0], message_bytes, row->wall_ns);
        at += FRONT_BYTES + (size_t)record[0];
    }
    return !*goes_on || at == row->record_bytes;
}

static enum status read_rows(struct store *store, const struct store_queue_row *queue, store_id_visit *visit,
                             void *context, struct error *error)
{
    sqlite3_stmt *statement;
    bool has_row;
    bool goes_on = true;
    uint64_t number = queue->ids_first;
    enum status status = start_rows(store, queue, &statement, error);
    if (status != STATUS_OK)
        return status;
    while (goes_on && number < queue->ids_next &&
           (status = store_step(store, statement, &has_row, error)) == STATUS_OK) {
        struct id_row row = {number, 0, 0, NULL, 0};
        if (has_row) {
            row.count = store_column(statement, 1);
            row.wall_ns = sqlite3_column_int64(statement, 2);
            row.records = sqlite3_column_blob(statement, 4);
            row.record_bytes = (size_t)sqlite3_column_bytes(statement, 4);
        }
        if (row.records == NULL || store_column(statement, 0) != store_row_id(queue->counts.queue, number) ||
            store_column(statement, 3) != hash_row(queue->counts.queue, &row) ||
            !visit_row(&row, visit, context, &goes_on)) {
            status = lost(store, queue, number, error);
            break;
        }
        number++;
    }
    sqlite3_reset(statement);
    return status;
}

enum status store_read_ids(struct store *store, uint32_t queue, store_id_visit *visit, void *context,
                           struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    if (status != STATUS_OK)
        return status;
    status = read_rows(store, store_queue_row(store, queue), visit, context, error);
    store_end_reading(store, begun);
    return status;
}
