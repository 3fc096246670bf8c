/* store_settle.c: messages that are done with: the watermark, the ranges above it, and the rows that go. */
#include "engine/store/store_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/check.h"

enum { LENGTH_BYTES = 4 };

/* ---- the lengths of a chunk's texts ---- */

void store_forget_lengths(struct store *store)
{
    for (size_t i = 0; i < STORE_LENGTHS_COUNT; i++) {
        free(store->lengths[i].ends);
        store->lengths[i] = (struct store_lengths){0};
    }
}

static enum status load_lengths(uint32_t queue, const struct store_chunk *chunk, struct store_lengths *lengths,
                                struct error *error)
{
    uint64_t *ends = calloc(chunk->count, sizeof *ends);
    if (ends == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    const unsigned char *record = chunk->records;
    uint64_t end = 0;
    for (uint64_t i = 0; i < chunk->count; i++) {
        uint32_t length =
            (uint32_t)record[0] | (uint32_t)record[1] << 8 | (uint32_t)record[2] << 16 | (uint32_t)record[3] << 24;
        end += length;
        ends[i] = end;
        record += LENGTH_BYTES + length;
    }
    free(lengths->ends);
    *lengths = (struct store_lengths){queue, chunk->first, chunk->count, ends};
    return STATUS_OK;
}

static enum status find_lengths(struct store *store, uint32_t queue, uint64_t first,
                                const struct store_lengths **lengths, struct error *error)
{
    for (size_t i = 0; i < STORE_LENGTHS_COUNT; i++)
        if (store->lengths[i].queue == queue && store->lengths[i].first_sequence == first) {
            *lengths = &store->lengths[i];
            return STATUS_OK;
        }
    struct store_lengths *replaced = &store->lengths[store->lengths_next++ % STORE_LENGTHS_COUNT];
    *lengths = replaced;
    sqlite3_stmt *statement;
    bool has_row = false;
    enum status status = store_chunks_from(store, SQL_CHUNKS_FROM, queue, first, &statement, error);
    if (status == STATUS_OK)
        status = store_step(store, statement, &has_row, error);
    struct store_chunk chunk = {0};
    if (status == STATUS_OK && has_row)
        status = store_take_chunk(store, queue, statement, &chunk, error);
    if (status == STATUS_OK && (!has_row || chunk.first != first))
        status = store_corrupt(store, error, "queue '%s', the messages from %" PRIu64 " on are lost",
                               store_queue_row(store, queue)->name, first);
    if (status == STATUS_OK)
        status = load_lengths(queue, &chunk, replaced, error);
    sqlite3_reset(store->statements[SQL_CHUNKS_FROM]);
    return status;
}

/* ---- what is settled, joined with its neighbours ---- */

static enum status delete_range(struct store *store, struct store_queue_row *row, uint64_t first, struct error *error)
{
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_RANGE_DELETE, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->counts.queue);
    store_bind(statement, 2, first);
    row->range_count--;
    return store_run(store, statement, error);
}

/* Grows `range` by those that touch it, whose rows go. */
static enum status join_neighbours(struct store *store, struct store_queue_row *row, struct store_range *range,
                                   struct error *error)
{
    if (row->range_count == 0)
        return STATUS_OK;
    uint32_t queue = row->counts.queue;
    uint64_t first = range->first;
    struct store_range before = {0};
    struct store_range after = {0};
    bool has_before = false;
    bool has_after = false;
    enum status status = store_find_range(store, SQL_RANGE_BEFORE, queue, first, &has_before, &before, error);
    if (status == STATUS_OK)
        status = store_find_range(store, SQL_RANGE_FROM, queue, first, &has_after, &after, error);
    if (status != STATUS_OK)
        return status;
    if ((has_before && before.end > first) || (has_after && after.first < range->end))
        return store_corrupt(store, error, "queue '%s', messages from %" PRIu64 " on are settled already", row->name,
                             first);
    if (has_before && before.end == first) {
        range->first = before.first;
        status = delete_range(store, row, before.first, error);
    }
    if (status == STATUS_OK && has_after && after.first == range->end) {
        range->end = after.end;
        status = delete_range(store, row, after.first, error);
    }
    return status;
}

static enum status write_range(struct store *store, struct store_queue_row *row, const struct store_range *range,
                               struct error *error)
{
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_RANGE_WRITE, &statement, error);
    if (status != STATUS_OK)
        return status;
    uint64_t count = range->end - range->first;
    store_bind(statement, 1, row->counts.queue);
    store_bind(statement, 2, range->first);
    store_bind(statement, 3, count);
    store_bind(statement, 4, store_hash_range(row->counts.queue, range->first, count));
    row->range_count++;
    return store_run(store, statement, error);
}

/* ---- the rows ---- */

/* A part of a queue: what is settled now, and of which rows nothing is left. */
struct settling {
    struct store_range now;
    struct store_range whole; /* `now` and all that is settled around it */
    uint64_t text_bytes;      /* of `now` */
    uint64_t delete_first;    /* chunks from this one to that one go; 0: none */
    uint64_t delete_last;
};

static enum status add_chunk(struct store *store, struct store_queue_row *row, struct settling *settling,
                             const struct store_range *chunk, uint64_t record_bytes, struct error *error)
{
    if (chunk->first >= settling->whole.first && chunk->end <= settling->whole.end) {
        settling->delete_first = settling->delete_first == 0 ? chunk->first : settling->delete_first;
        settling->delete_last = chunk->first;
    }
    uint64_t begin = chunk->first > settling->now.first ? chunk->first : settling->now.first;
    uint64_t end = chunk->end < settling->now.end ? chunk->end : settling->now.end;
    if (begin == chunk->first && end == chunk->end) {
        settling->text_bytes += record_bytes - (end - begin) * LENGTH_BYTES;
        return STATUS_OK;
    }
    const struct store_lengths *lengths;
    enum status status = find_lengths(store, row->counts.queue, chunk->first, &lengths, error);
    if (status == STATUS_OK)
        settling->text_bytes += lengths->ends[end - 1 - chunk->first] -
                                (begin == chunk->first ? 0 : lengths->ends[begin - 1 - chunk->first]);
    return status;
}

/* Goes through the chunks that hold what is settled now. */
static enum status measure(struct store *store, struct store_queue_row *row, struct settling *settling,
                           struct error *error)
{
    sqlite3_stmt *statement;
    uint64_t position = settling->now.first;
    bool has_row = true;
    enum status status = store_chunks_from(store, SQL_CHUNKS_SIZES, row->counts.queue, position, &statement, error);
    while (status == STATUS_OK && position < settling->now.end &&
           (status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        struct store_range chunk = {.first = store_column(statement, 0) & STORE_SEQUENCE_MAX};
        chunk.end = chunk.first + store_column(statement, 1);
        uint64_t record_bytes = store_column(statement, 2);
        if (chunk.first > position || chunk.end <= position || chunk.end > row->counts.next_sequence ||
            record_bytes / LENGTH_BYTES < chunk.end - chunk.first)
            break;
        status = add_chunk(store, row, settling, &chunk, record_bytes, error);
        position = chunk.end;
    }
    sqlite3_reset(store->statements[SQL_CHUNKS_SIZES]);
    if (status == STATUS_OK && position < settling->now.end)
        status = store_corrupt(store, error, "queue '%s', messages from %" PRIu64 " on are lost", row->name, position);
    return status;
}

static enum status delete_chunks(struct store *store, const struct store_queue_row *row,
                                 const struct settling *settling, struct error *error)
{
    sqlite3_stmt *statement;
    if (settling->delete_first == 0)
        return STATUS_OK;
    enum status status = store_statement(store, SQL_CHUNKS_DELETE, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, store_row_id(row->counts.queue, settling->delete_first));
    store_bind(statement, 2, store_row_id(row->counts.queue, settling->delete_last));
    return store_run(store, statement, error);
}

static enum status delete_deliveries(struct store *store, struct store_queue_row *row, const struct store_range *range,
                                     struct error *error)
{
    if (row->delivery_count == 0)
        return STATUS_OK;
    sqlite3_stmt *statement;
    bool has_row;
    enum status status = store_statement(store, SQL_DELIVERIES_READ, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->counts.queue);
    store_bind(statement, 2, range->first);
    store_bind(statement, 3, range->end - 1);
    uint64_t count = 0;
    while ((status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        count++;
        row->delivery_sum -= store_column(statement, 2);
    }
    sqlite3_reset(statement);
    row->delivery_count -= count;
    if (status != STATUS_OK || count == 0)
        return status;
    status = store_statement(store, SQL_DELIVERIES_DELETE, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->counts.queue);
    store_bind(statement, 2, range->first);
    store_bind(statement, 3, range->end - 1);
    return store_run(store, statement, error);
}

/* Notes that `now` is settled, together with what is around it. */
static enum status note_settled(struct store *store, struct store_queue_row *row, struct settling *settling,
                                struct error *error)
{
    settling->whole = settling->now;
    row->is_dirty = true;
    enum status status = join_neighbours(store, row, &settling->whole, error);
    if (status != STATUS_OK)
        return status;
    if (settling->whole.first != row->counts.settled_below)
        return write_range(store, row, &settling->whole, error);
    row->counts.settled_below = settling->whole.end;
    settling->whole.first = 0; /* all below is settled */
    return STATUS_OK;
}

static enum status settle(struct store *store, struct store_queue_row *row, struct settling *settling,
                          struct error *error)
{
    enum status status = note_settled(store, row, settling, error);
    if (status == STATUS_OK)
        status = measure(store, row, settling, error);
    if (status == STATUS_OK)
        status = delete_chunks(store, row, settling, error);
    if (status == STATUS_OK)
        status = delete_deliveries(store, row, &settling->now, error);
    row->counts.message_count -= settling->now.end - settling->now.first;
    row->counts.message_bytes -= settling->text_bytes;
    return status;
}

enum status store_settle(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t count,
                         struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_queue_row *row = store_queue_row(store, queue);
    CHECK(count > 0 && first_sequence >= row->counts.settled_below);
    CHECK(first_sequence < row->counts.next_sequence && count <= row->counts.next_sequence - first_sequence);
    struct settling settling = {.now = {first_sequence, first_sequence + count}};
    return store_end_writing(store, settle(store, row, &settling, error));
}

enum status store_pass(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t count,
                       struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_queue_row *row = store_queue_row(store, queue);
    CHECK(count > 0 && first_sequence == row->counts.next_sequence);
    CHECK(STORE_SEQUENCE_MAX - first_sequence > count);
    row->counts.next_sequence += count;
    struct settling settling = {.now = {first_sequence, first_sequence + count}};
    return store_end_writing(store, note_settled(store, row, &settling, error));
}
