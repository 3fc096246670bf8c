/* store_queue.c: a queue's messages, appended and read; how often they were delivered. */
#include "engine/store/store_private.h"

#include <inttypes.h>
#include <string.h>

#include "engine/check.h"

/* A record is a length and a text. */
enum { LENGTH_BYTES = 4 };

static uint32_t read_length(const unsigned char *record)
{
    return (uint32_t)record[0] | (uint32_t)record[1] << 8 | (uint32_t)record[2] << 16 | (uint32_t)record[3] << 24;
}

/* ---- checksums ---- */

static uint64_t hash_chunk(uint32_t queue, const struct store_chunk *chunk)
{
    const uint64_t numbers[] = {queue, chunk->first, chunk->count, (uint64_t)chunk->wall_ns, chunk->record_bytes};
    return store_hash_bytes(chunk->records, chunk->record_bytes, store_hash_numbers(numbers, 5));
}

uint64_t store_hash_range(uint32_t queue, uint64_t first, uint64_t count)
{
    const uint64_t numbers[] = {queue, first, count};
    return store_hash_numbers(numbers, 3);
}

static uint64_t hash_delivery(uint32_t queue, uint64_t sequence, uint64_t deliveries)
{
    const uint64_t numbers[] = {queue, sequence, deliveries, 0};
    return store_hash_numbers(numbers, 4);
}

/* ---- appending ---- */

static enum status add_chunk(struct store *store, uint32_t queue, const struct store_chunk *chunk, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, SQL_CHUNK_ADD, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, store_row_id(queue, chunk->first));
    store_bind(statement, 2, chunk->count);
    sqlite3_bind_int64(statement, 3, chunk->wall_ns);
    store_bind(statement, 4, hash_chunk(queue, chunk));
    store_bind_bytes(statement, 5, chunk->records, chunk->record_bytes);
    return store_run(store, statement, error);
}

/* As many of the records as make one row: at least one. */
static struct store_chunk cut_chunk(uint64_t first, const unsigned char *records, size_t record_bytes, int64_t wall_ns)
{
    struct store_chunk chunk = {.first = first, .wall_ns = wall_ns, .records = records};
    while (chunk.record_bytes < record_bytes) {
        size_t left = record_bytes - chunk.record_bytes;
        CHECK(left >= LENGTH_BYTES && left - LENGTH_BYTES >= read_length(records + chunk.record_bytes));
        size_t bytes = LENGTH_BYTES + read_length(records + chunk.record_bytes);
        if (chunk.count > 0 && chunk.record_bytes + bytes > STORE_CHUNK_BYTES_MAX)
            break;
        chunk.record_bytes += bytes;
        chunk.count++;
    }
    return chunk;
}

enum status store_append(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t count,
                         const void *records, size_t record_bytes, int64_t wall_ns, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_queue_row *row = store_queue_row(store, queue);
    CHECK(first_sequence == row->counts.next_sequence);
    CHECK(STORE_SEQUENCE_MAX - first_sequence > count);
    const unsigned char *rest = records;
    uint64_t sequence = first_sequence;
    enum status status = STATUS_OK;
    while (record_bytes > 0 && status == STATUS_OK) {
        struct store_chunk chunk = cut_chunk(sequence, rest, record_bytes, wall_ns);
        status = add_chunk(store, queue, &chunk, error);
        sequence += chunk.count;
        rest += chunk.record_bytes;
        record_bytes -= chunk.record_bytes;
        row->counts.message_bytes += chunk.record_bytes - chunk.count * LENGTH_BYTES;
    }
    CHECK(status != STATUS_OK || sequence - first_sequence == count);
    row->counts.message_count += count;
    row->counts.next_sequence += count;
    row->is_dirty = true;
    return store_end_writing(store, status);
}

/* ---- deliveries ---- */

static enum status find_delivery(struct store *store, uint32_t queue, uint64_t sequence, uint64_t *checksum,
                                 bool *found, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, SQL_DELIVERY_READ, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, queue);
    store_bind(statement, 2, sequence);
    status = store_step(store, statement, found, error);
    if (status == STATUS_OK && *found)
        *checksum = store_column(statement, 1);
    sqlite3_reset(statement);
    return status;
}

static enum status count_delivery(struct store *store, struct store_queue_row *row, uint64_t sequence,
                                  uint32_t deliveries, struct error *error)
{
    uint32_t queue = row->counts.queue;
    uint64_t old_sum = 0;
    bool found = false;
    sqlite3_stmt *statement = NULL;
    enum status status = find_delivery(store, queue, sequence, &old_sum, &found, error);
    if (status == STATUS_OK)
        status = store_statement(store, SQL_DELIVERY_WRITE, &statement, error);
    if (status != STATUS_OK)
        return status;
    uint64_t sum = hash_delivery(queue, sequence, deliveries);
    row->delivery_count += found ? 0 : 1;
    row->delivery_sum += sum - (found ? old_sum : 0);
    row->is_dirty = true;
    store_bind(statement, 1, queue);
    store_bind(statement, 2, sequence);
    store_bind(statement, 3, deliveries);
    store_bind(statement, 4, sum);
    return store_run(store, statement, error);
}

enum status store_count_delivery(struct store *store, uint32_t queue, uint64_t sequence, uint32_t deliveries,
                                 struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_queue_row *row = store_queue_row(store, queue);
    CHECK(sequence >= row->counts.settled_below && sequence < row->counts.next_sequence);
    return store_end_writing(store, count_delivery(store, row, sequence, deliveries, error));
}

/* ---- what is settled ---- */

static enum status take_range(struct store *store, uint32_t queue, sqlite3_stmt *statement, struct store_range *range,
                              struct error *error)
{
    uint64_t first = store_column(statement, 0);
    uint64_t count = store_column(statement, 1);
    if (store_column(statement, 2) != store_hash_range(queue, first, count))
        return store_corrupt(store, error, "queue '%s', what is settled from %" PRIu64 " on",
                             store_queue_row(store, queue)->name, first);
    *range = (struct store_range){first, first + count};
    return STATUS_OK;
}

enum status store_find_range(struct store *store, enum store_sql sql, uint32_t queue, uint64_t sequence, bool *found,
                             struct store_range *range, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, sql, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, queue);
    store_bind(statement, 2, sequence);
    status = store_step(store, statement, found, error);
    if (status == STATUS_OK && *found)
        status = take_range(store, queue, statement, range, error);
    sqlite3_reset(statement);
    return status;
}

/* The first sequence from `sequence` on that is not settled; `next_sequence` if none is. */
static enum status skip_settled(struct store *store, const struct store_queue_row *row, uint64_t sequence,
                                uint64_t *unsettled, struct error *error)
{
    *unsettled = sequence < row->counts.settled_below ? row->counts.settled_below : sequence;
    if (row->range_count == 0)
        return STATUS_OK;
    bool found;
    struct store_range range = {0};
    enum status status =
        store_find_range(store, SQL_RANGE_BEFORE, row->counts.queue, *unsettled + 1, &found, &range, error);
    if (status == STATUS_OK && found && range.end > *unsettled)
        *unsettled = range.end;
    return status;
}

/* Sums the ranges: apart from each other, between the watermark and the next sequence. */
static enum status check_ranges(struct store *store, const struct store_queue_row *row, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, SQL_RANGES_READ, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->counts.queue);
    uint64_t below = row->counts.settled_below;
    uint64_t range_count = 0;
    uint64_t settled_count = 0;
    bool has_row;
    while ((status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        struct store_range range = {0};
        status = take_range(store, row->counts.queue, statement, &range, error);
        if (status == STATUS_OK && (range.first <= below || range.end > row->counts.next_sequence))
            status =
                store_corrupt(store, error, "queue '%s', what is settled from %" PRIu64 " on", row->name, range.first);
        if (status != STATUS_OK)
            break;
        settled_count += range.end - range.first;
        below = range.end;
        range_count++;
    }
    sqlite3_reset(statement);
    if (status == STATUS_OK &&
        (range_count != row->range_count || row->counts.settled_below > row->counts.next_sequence ||
         row->counts.next_sequence - row->counts.settled_below - settled_count != row->counts.message_count))
        status = store_corrupt(store, error, "queue '%s', what is settled does not add up", row->name);
    return status;
}

static enum status check_deliveries(struct store *store, const struct store_queue_row *row, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, SQL_DELIVERIES_READ, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->counts.queue);
    store_bind(statement, 2, 0);
    store_bind(statement, 3, STORE_SEQUENCE_MAX);
    uint64_t count = 0;
    uint64_t sum = 0;
    bool has_row;
    while ((status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        count++;
        sum += hash_delivery(row->counts.queue, store_column(statement, 0), store_column(statement, 1));
    }
    sqlite3_reset(statement);
    if (status == STATUS_OK && (count != row->delivery_count || sum != row->delivery_sum))
        status = store_corrupt(store, error, "queue '%s', the counts of deliveries do not add up", row->name);
    return status;
}

enum status store_check_queue(struct store *store, const struct store_queue_row *row, struct error *error)
{
    enum status status = check_ranges(store, row, error);
    return status == STATUS_OK ? check_deliveries(store, row, error) : status;
}

/* ---- chunks ---- */

enum status store_chunks_from(struct store *store, enum store_sql sql, uint32_t queue, uint64_t sequence,
                              sqlite3_stmt **statement, struct error *error)
{
    sqlite3_stmt *at;
    enum status status = store_statement(store, SQL_CHUNK_AT, &at, error);
    if (status != STATUS_OK)
        return status;
    store_bind(at, 1, store_row_id(queue, 0));
    store_bind(at, 2, store_row_id(queue, sequence));
    bool has_row;
    status = store_step(store, at, &has_row, error);
    if (status != STATUS_OK)
        return status;
    uint64_t from =
        has_row && sqlite3_column_type(at, 0) == SQLITE_INTEGER ? store_column(at, 0) : store_row_id(queue, 0);
    sqlite3_reset(at);
    status = store_statement(store, sql, statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(*statement, 1, from);
    store_bind(*statement, 2, store_row_id(queue, STORE_SEQUENCE_MAX));
    return STATUS_OK;
}

/* Whether the records are as many as the chunk says, to the byte. */
static bool records_fit(const struct store_chunk *chunk)
{
    size_t at = 0;
    for (uint64_t i = 0; i < chunk->count; i++) {
        if (chunk->record_bytes - at < LENGTH_BYTES)
            return false;
        size_t length = read_length(chunk->records + at);
        at += LENGTH_BYTES;
        if (chunk->record_bytes - at < length)
            return false;
        at += length;
    }
    return at == chunk->record_bytes;
}

enum status store_take_chunk(struct store *store, uint32_t queue, sqlite3_stmt *statement, struct store_chunk *chunk,
                             struct error *error)
{
    *chunk = (struct store_chunk){
        .first = store_column(statement, 0) & STORE_SEQUENCE_MAX,
        .count = store_column(statement, 1),
        .wall_ns = sqlite3_column_int64(statement, 2),
        .records = sqlite3_column_blob(statement, 4),
        .record_bytes = (size_t)sqlite3_column_bytes(statement, 4),
    };
    if (chunk->records == NULL && sqlite3_errcode(store->db) == SQLITE_NOMEM)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    const struct store_queue_row *row = store_queue_row(store, queue);
    /* A page that cannot be read gives an empty blob here and its error at the next step. */
    if (chunk->records == NULL || store_column(statement, 3) != hash_chunk(queue, chunk) || !records_fit(chunk) ||
        chunk->count > row->counts.next_sequence - chunk->first)
        return store_corrupt(store, error, "queue '%s', the messages from %" PRIu64 " on", row->name, chunk->first);
    return STATUS_OK;
}

/* ---- reading ---- */

struct reading {
    struct store *store;
    const struct store_queue_row *row;
    store_message_visit *visit;
    void *context;
    uint64_t bytes_left;
    uint64_t position; /* the next sequence that is not settled */
    bool is_stopped;
};

static enum status read_deliveries(const struct reading *reading, uint64_t sequence, uint32_t *deliveries,
                                   struct error *error)
{
    *deliveries = 0;
    if (reading->row->delivery_count == 0)
        return STATUS_OK;
    struct store *store = reading->store;
    uint32_t queue = reading->row->counts.queue;
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, SQL_DELIVERY_READ, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, queue);
    store_bind(statement, 2, sequence);
    bool has_row;
    status = store_step(store, statement, &has_row, error);
    if (status == STATUS_OK && has_row) {
        *deliveries = (uint32_t)store_column(statement, 0);
        if (store_column(statement, 1) != hash_delivery(queue, sequence, *deliveries))
            status = store_corrupt(store, error, "queue '%s', the deliveries of message %" PRIu64, reading->row->name,
                                   sequence);
    }
    sqlite3_reset(statement);
    return status;
}

/* Where the settled range behind `sequence` begins: up to there all are to be shown. */
static enum status next_range(const struct reading *reading, uint64_t sequence, uint64_t *begin, struct error *error)
{
    *begin = UINT64_MAX;
    if (reading->row->range_count == 0)
        return STATUS_OK;
    bool found;
    struct store_range range = {0};
    enum status status =
        store_find_range(reading->store, SQL_RANGE_FROM, reading->row->counts.queue, sequence, &found, &range, error);
    if (status == STATUS_OK && found)
        *begin = range.first;
    return status;
}

/* Shows those that are not settled. */
static enum status visit_chunk(struct reading *reading, const struct store_chunk *chunk, struct error *error)
{
    const unsigned char *record = chunk->records;
    uint64_t range_begin;
    enum status status = next_range(reading, reading->position, &range_begin, error);
    for (uint64_t sequence = chunk->first; sequence < chunk->first + chunk->count && status == STATUS_OK; sequence++) {
        uint32_t length = read_length(record);
        const unsigned char *text = record + LENGTH_BYTES;
        record = text + length;
        if (sequence < reading->position)
            continue;
        if (sequence == range_begin) {
            status = skip_settled(reading->store, reading->row, sequence, &reading->position, error);
            if (status == STATUS_OK)
                status = next_range(reading, reading->position, &range_begin, error);
            continue;
        }
        struct store_message message = {
            .sequence = sequence, .wall_ns = chunk->wall_ns, .length = length, .text = text};
        status = read_deliveries(reading, sequence, &message.deliveries, error);
        if (status != STATUS_OK)
            break;
        reading->position = sequence + 1;
        reading->is_stopped = !reading->visit(reading->context, &message) || reading->bytes_left <= length;
        if (reading->is_stopped)
            break;
        reading->bytes_left -= length;
    }
    if (status != STATUS_OK || reading->is_stopped)
        return status;
    return skip_settled(reading->store, reading->row, reading->position, &reading->position, error);
}

static enum status lost(const struct reading *reading, uint64_t end, struct error *error)
{
    return store_corrupt(reading->store, error, "queue '%s', the messages from %" PRIu64 " to %" PRIu64 " are lost",
                         reading->row->name, reading->position, end - 1);
}

static enum status read_chunks(struct reading *reading, struct error *error)
{
    struct store *store = reading->store;
    uint32_t queue = reading->row->counts.queue;
    sqlite3_stmt *statement = NULL;
    enum status status = store_chunks_from(store, SQL_CHUNKS_FROM, queue, reading->position, &statement, error);
    bool has_row = false;
    while (status == STATUS_OK && !reading->is_stopped &&
           (status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        struct store_chunk chunk;
        status = store_take_chunk(store, queue, statement, &chunk, error);
        if (status != STATUS_OK || chunk.first + chunk.count <= reading->position)
            continue;
        status =
            chunk.first > reading->position ? lost(reading, chunk.first, error) : visit_chunk(reading, &chunk, error);
    }
    sqlite3_reset(store->statements[SQL_CHUNKS_FROM]);
    if (status == STATUS_OK && !reading->is_stopped && reading->position < reading->row->counts.next_sequence)
        status = lost(reading, reading->row->counts.next_sequence, error);
    return status;
}

enum status store_read_messages(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t bytes_max,
                                store_message_visit *visit, void *context, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    if (status != STATUS_OK)
        return status;
    struct reading reading = {.store = store,
                              .row = store_queue_row(store, queue),
                              .visit = visit,
                              .context = context,
                              .bytes_left = bytes_max};
    status = skip_settled(store, reading.row, first_sequence, &reading.position, error);
    if (status == STATUS_OK && reading.position < reading.row->counts.next_sequence)
        status = read_chunks(&reading, error);
    store_end_reading(store, begun);
    return status;
}

/* ---- salvage ---- */

/* Where to go on after `position` could not be read: `step` further, but not beyond the beginning of a chunk. */
static uint64_t skip_damage(struct store *store, uint32_t queue, uint64_t position, uint64_t step)
{
    struct error ignored = {0};
    sqlite3_stmt *statement = NULL;
    bool has_row = false;
    if (store_statement(store, SQL_CHUNK_AT, &statement, &ignored) != STATUS_OK)
        return position + step;
    store_bind(statement, 1, store_row_id(queue, position + 1));
    store_bind(statement, 2, store_row_id(queue, position + step));
    if (store_step(store, statement, &has_row, &ignored) == STATUS_OK && has_row &&
        sqlite3_column_type(statement, 0) == SQLITE_INTEGER)
        step = (store_column(statement, 0) & STORE_SEQUENCE_MAX) - position;
    sqlite3_reset(statement);
    return position + step;
}

/* Reads as store_read_messages does; what it stumbles over is skipped in growing steps, so that a long hole costs few
 * tries. */
enum status store_salvage_messages(struct store *store, uint32_t queue, store_message_visit *visit, void *context,
                                   uint64_t *lost_count, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    bool begun;
    *lost_count = 0;
    enum status status = store_begin_reading(store, &begun, error);
    if (status != STATUS_OK)
        return status;
    const struct store_queue_row *row = store_queue_row(store, queue);
    struct reading reading = {.store = store,
                              .row = row,
                              .visit = visit,
                              .context = context,
                              .bytes_left = UINT64_MAX,
                              .position = row->counts.settled_below};
    uint64_t tried = 0;
    uint64_t step = 1;
    while (reading.position < row->counts.next_sequence && !reading.is_stopped) {
        status = read_chunks(&reading, error);
        if (status != STATUS_CORRUPT)
            break;
        step = reading.position == tried ? step * 2 : 1;
        uint64_t left = row->counts.next_sequence - reading.position;
        tried = step < left ? skip_damage(store, queue, reading.position, step) : row->counts.next_sequence;
        *lost_count += tried - reading.position;
        reading.position = tried;
        status = skip_settled(store, row, tried, &reading.position, error);
        tried = reading.position;
    }
    store_end_reading(store, begun);
    return status == STATUS_CORRUPT ? STATUS_OK : status;
}
