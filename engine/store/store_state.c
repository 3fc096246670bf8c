/* store_state.c: a worker's state: pairs, and the sum that tells whether all are there. */
#include "engine/store/store_private.h"

#include <inttypes.h>

#include "engine/check.h"

static uint64_t hash_pair(uint32_t state, const void *key, size_t key_length, const void *value, size_t value_length)
{
    const uint64_t numbers[] = {state, key_length, value_length};
    uint64_t hash = store_hash_numbers(numbers, 3);
    return store_hash_bytes(value, value_length, store_hash_bytes(key, key_length, hash));
}

/* ---- writing ---- */

static void bind_key(sqlite3_stmt *statement, uint32_t state, const void *key, size_t key_length)
{
    store_bind(statement, 1, state);
    store_bind_bytes(statement, 2, key, key_length);
}

/* Takes the pair that is there, if one is, out of the counts. */
static enum status forget_pair(struct store *store, struct store_state_row *row, const void *key, size_t key_length,
                               bool *was_there, struct error *error)
{
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_PAIR_SUM, &statement, error);
    if (status != STATUS_OK)
        return status;
    bind_key(statement, row->state, key, key_length);
    status = store_step(store, statement, was_there, error);
    if (status == STATUS_OK && *was_there) {
        row->pair_sum -= store_column(statement, 0);
        row->pair_count--;
        row->is_dirty = true;
    }
    sqlite3_reset(statement);
    return status;
}

static enum status put(struct store *store, struct store_state_row *row, const void *key, size_t key_length,
                       const void *value, size_t value_length, struct error *error)
{
    sqlite3_stmt *statement;
    bool was_there;
    enum status status = forget_pair(store, row, key, key_length, &was_there, error);
    if (status == STATUS_OK)
        status = store_statement(store, SQL_PAIR_WRITE, &statement, error);
    if (status != STATUS_OK)
        return status;
    uint64_t hash = hash_pair(row->state, key, key_length, value, value_length);
    bind_key(statement, row->state, key, key_length);
    store_bind(statement, 3, hash);
    store_bind_bytes(statement, 4, value, value_length);
    row->pair_sum += hash;
    row->pair_count++;
    row->is_dirty = true;
    return store_run(store, statement, error);
}

enum status store_put(struct store *store, uint32_t state, const void *key, size_t key_length, const void *value,
                      size_t value_length, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    CHECK(key_length <= STORE_KEY_BYTES_MAX);
    struct store_state_row *row = store_state_row(store, state);
    return store_end_writing(store, put(store, row, key, key_length, value, value_length, error));
}

enum status store_delete(struct store *store, uint32_t state, const void *key, size_t key_length, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    sqlite3_stmt *statement;
    bool was_there = false;
    enum status status = forget_pair(store, store_state_row(store, state), key, key_length, &was_there, error);
    if (status == STATUS_OK && was_there) {
        status = store_statement(store, SQL_PAIR_DELETE, &statement, error);
        if (status == STATUS_OK) {
            bind_key(statement, state, key, key_length);
            status = store_run(store, statement, error);
        }
    }
    return store_end_writing(store, status);
}

/* ---- reading ---- */

static enum status read_pairs(struct store *store, const struct store_state_row *row, store_pair_visit *visit,
                              void *context, struct error *error)
{
    sqlite3_stmt *statement;
    bool has_row = true;
    uint64_t count = 0;
    uint64_t sum = 0;
    enum status status = store_statement(store, SQL_PAIRS_READ, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->state);
    while ((status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row) {
        const void *key = sqlite3_column_blob(statement, 0);
        size_t key_length = (size_t)sqlite3_column_bytes(statement, 0);
        const void *value = sqlite3_column_blob(statement, 1);
        size_t value_length = (size_t)sqlite3_column_bytes(statement, 1);
        uint64_t hash = hash_pair(row->state, key, key_length, value, value_length);
        if (hash != store_column(statement, 2)) {
            status = store_corrupt(store, error, "state '%s', pair %" PRIu64, row->name, count + 1);
            break;
        }
        sum += hash;
        count++;
        if (!visit(context, key != NULL ? key : "", key_length, value != NULL ? value : "", value_length))
            break;
    }
    sqlite3_reset(statement);
    if (status == STATUS_OK && !has_row && (count != row->pair_count || sum != row->pair_sum))
        status = store_corrupt(store, error, "state '%s', %" PRIu64 " pairs of %" PRIu64 " do not add up", row->name,
                               count, row->pair_count);
    return status;
}

enum status store_read_state(struct store *store, uint32_t state, store_pair_visit *visit, void *context,
                             struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    if (status != STATUS_OK)
        return status;
    status = read_pairs(store, store_state_row(store, state), visit, context, error);
    store_end_reading(store, begun);
    return status;
}
