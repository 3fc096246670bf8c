/* store_catalog.c: the rows of queues and states, in memory and in the file. */
#include "engine/store/store_private.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"

/* Copies a text column; false: it is no text of the right length. */
static bool copy_text(sqlite3_stmt *statement, int index, char *text, size_t text_bytes)
{
    const unsigned char *found = sqlite3_column_text(statement, index);
    size_t length = (size_t)sqlite3_column_bytes(statement, index);
    if (found == NULL || length >= text_bytes || memchr(found, '\0', length) != NULL)
        return false;
    memcpy(text, found, length);
    text[length] = '\0';
    return true;
}

/* ---- checksums ---- */

static uint64_t hash_meta(const struct store *store)
{
    const struct redo_place *place = &store->redo_place;
    const uint64_t numbers[] = {STORE_FORMAT,  store->queue_count, store->state_count,
                                place->launch, place->number,      place->offset};
    return store_hash_bytes(store->identity, strlen(store->identity),
                            store_hash_numbers(numbers, sizeof numbers / sizeof *numbers));
}

static uint64_t hash_queue(const struct store_queue_row *row)
{
    const uint64_t numbers[] = {row->counts.queue,
                                row->counts.settled_below,
                                row->counts.next_sequence,
                                row->counts.message_count,
                                row->counts.message_bytes,
                                row->range_count,
                                row->delivery_count,
                                row->delivery_sum,
                                row->ids_first,
                                row->ids_next,
                                row->id_count};
    return store_hash_bytes(row->name, strlen(row->name),
                            store_hash_numbers(numbers, sizeof numbers / sizeof *numbers));
}

static uint64_t hash_state(const struct store_state_row *row)
{
    const uint64_t numbers[] = {row->state, row->pair_count, row->pair_sum};
    return store_hash_bytes(row->name, strlen(row->name), store_hash_numbers(numbers, 3));
}

uint64_t store_catalog_checksum(const struct store *store)
{
    const uint64_t numbers[] = {store->row_sum, hash_meta(store)};
    return store_hash_numbers(numbers, sizeof numbers / sizeof *numbers);
}

static void set_checksum(struct store *store, uint64_t *row_checksum, uint64_t checksum)
{
    store->row_sum += checksum - *row_checksum;
    *row_checksum = checksum;
}

/* ---- growing ---- */

/* Makes room for one more. Returns false without memory. */
static bool grow(void **rows, uint32_t count, size_t row_bytes)
{
    /* At 0 and at each power of two. */
    if ((count & (count - 1)) != 0)
        return true;
    void *grown = realloc(*rows, (count == 0 ? 1 : (size_t)count * 2) * row_bytes);
    if (grown == NULL)
        return false;
    *rows = grown;
    return true;
}

static struct store_queue_row *add_queue(struct store *store)
{
    if (!grow((void **)&store->queues, store->queue_count, sizeof *store->queues))
        return NULL;
    struct store_queue_row *row = &store->queues[store->queue_count++];
    *row = (struct store_queue_row){.counts.queue = store->queue_count};
    return row;
}

static struct store_state_row *add_state(struct store *store)
{
    if (!grow((void **)&store->states, store->state_count, sizeof *store->states))
        return NULL;
    struct store_state_row *row = &store->states[store->state_count++];
    *row = (struct store_state_row){.state = store->state_count};
    return row;
}

void store_free_catalog(struct store *store)
{
    free(store->queues);
    free(store->states);
    store->queues = NULL;
    store->states = NULL;
    store->queue_count = store->state_count = 0;
    store->row_sum = 0;
    store->meta_is_dirty = false;
}

/* ---- reading ---- */

static enum status read_queue(struct store *store, sqlite3_stmt *statement, struct error *error)
{
    struct store_queue_row *row = add_queue(store);
    if (row == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    row->counts.settled_below = store_column(statement, 2);
    row->counts.next_sequence = store_column(statement, 3);
    row->counts.message_count = store_column(statement, 4);
    row->counts.message_bytes = store_column(statement, 5);
    row->range_count = store_column(statement, 6);
    row->delivery_count = store_column(statement, 7);
    row->delivery_sum = store_column(statement, 8);
    row->ids_first = store_column(statement, 9);
    row->ids_next = store_column(statement, 10);
    row->id_count = store_column(statement, 11);
    if (store_column(statement, 0) != row->counts.queue || !copy_text(statement, 1, row->name, sizeof row->name) ||
        store_column(statement, 12) != hash_queue(row))
        return store_corrupt(store, error, "the row of queue %u", row->counts.queue);
    set_checksum(store, &row->checksum, hash_queue(row));
    return STATUS_OK;
}

static enum status read_state(struct store *store, sqlite3_stmt *statement, struct error *error)
{
    struct store_state_row *row = add_state(store);
    if (row == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    row->pair_count = store_column(statement, 2);
    row->pair_sum = store_column(statement, 3);
    if (store_column(statement, 0) != row->state || !copy_text(statement, 1, row->name, sizeof row->name) ||
        store_column(statement, 4) != hash_state(row))
        return store_corrupt(store, error, "the row of state %u", row->state);
    set_checksum(store, &row->checksum, hash_state(row));
    return STATUS_OK;
}

typedef enum status read_row(struct store *store, sqlite3_stmt *statement, struct error *error);

static enum status read_rows(struct store *store, enum store_sql sql, read_row *read, struct error *error)
{
    sqlite3_stmt *statement;
    bool has_row = true;
    enum status status = store_statement(store, sql, &statement, error);
    if (status != STATUS_OK)
        return status;
    while ((status = store_step(store, statement, &has_row, error)) == STATUS_OK && has_row)
        if ((status = read(store, statement, error)) != STATUS_OK)
            break;
    sqlite3_reset(statement);
    return status;
}

/* The rest must be there already: the row says how much there is of it. */
static enum status read_meta(struct store *store, sqlite3_stmt *statement, struct error *error)
{
    if (store_column(statement, 0) != STORE_FORMAT || !copy_text(statement, 1, store->identity, sizeof store->identity))
        return store_corrupt(store, error, "the row that describes the store");
    if (store_column(statement, 2) != store->queue_count || store_column(statement, 3) != store->state_count)
        return store_corrupt(store, error, "rows of queues or states are lost");
    store->redo_place = (struct redo_place){.launch = store_column(statement, 4),
                                            .number = store_column(statement, 5),
                                            .offset = store_column(statement, 6)};
    if (store_column(statement, 7) != hash_meta(store))
        return store_corrupt(store, error, "the row that describes the store");
    return STATUS_OK;
}

enum status store_load_catalog(struct store *store, struct error *error)
{
    store_free_catalog(store);
    store->identity[0] = '\0';
    enum status status = read_rows(store, SQL_QUEUES_READ, read_queue, error);
    if (status == STATUS_OK)
        status = read_rows(store, SQL_STATES_READ, read_state, error);
    if (status == STATUS_OK)
        status = read_rows(store, SQL_META_READ, read_meta, error);
    if (status == STATUS_OK && store->identity[0] == '\0')
        status = store_corrupt(store, error, "the row that describes the store is lost");
    store->catalog_failed = status != STATUS_OK;
    return status;
}

/* ---- writing ---- */

static enum status write_queue(struct store *store, struct store_queue_row *row, struct error *error)
{
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_QUEUE_WRITE, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->counts.queue);
    sqlite3_bind_text(statement, 2, row->name, -1, SQLITE_STATIC);
    store_bind(statement, 3, row->counts.settled_below);
    store_bind(statement, 4, row->counts.next_sequence);
    store_bind(statement, 5, row->counts.message_count);
    store_bind(statement, 6, row->counts.message_bytes);
    store_bind(statement, 7, row->range_count);
    store_bind(statement, 8, row->delivery_count);
    store_bind(statement, 9, row->delivery_sum);
    store_bind(statement, 10, row->ids_first);
    store_bind(statement, 11, row->ids_next);
    store_bind(statement, 12, row->id_count);
    set_checksum(store, &row->checksum, hash_queue(row));
    store_bind(statement, 13, row->checksum);
    return store_run(store, statement, error);
}

static enum status write_state(struct store *store, struct store_state_row *row, struct error *error)
{
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_STATE_WRITE, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, row->state);
    sqlite3_bind_text(statement, 2, row->name, -1, SQLITE_STATIC);
    store_bind(statement, 3, row->pair_count);
    store_bind(statement, 4, row->pair_sum);
    set_checksum(store, &row->checksum, hash_state(row));
    store_bind(statement, 5, row->checksum);
    return store_run(store, statement, error);
}

static enum status write_meta(struct store *store, struct error *error)
{
    sqlite3_stmt *statement;
    enum status status = store_statement(store, SQL_META_WRITE, &statement, error);
    if (status != STATUS_OK)
        return status;
    store_bind(statement, 1, STORE_FORMAT);
    sqlite3_bind_text(statement, 2, store->identity, -1, SQLITE_STATIC);
    store_bind(statement, 3, store->queue_count);
    store_bind(statement, 4, store->state_count);
    store_bind(statement, 5, store->redo_place.launch);
    store_bind(statement, 6, store->redo_place.number);
    store_bind(statement, 7, store->redo_place.offset);
    store_bind(statement, 8, hash_meta(store));
    return store_run(store, statement, error);
}

enum status store_write_catalog(struct store *store, struct error *error)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < store->queue_count && status == STATUS_OK; i++)
        if (store->queues[i].is_dirty) {
            status = write_queue(store, &store->queues[i], error);
            store->queues[i].is_dirty = false;
        }
    for (uint32_t i = 0; i < store->state_count && status == STATUS_OK; i++)
        if (store->states[i].is_dirty) {
            status = write_state(store, &store->states[i], error);
            store->states[i].is_dirty = false;
        }
    if (status == STATUS_OK && store->meta_is_dirty) {
        status = write_meta(store, error);
        store->meta_is_dirty = false;
    }
    return status;
}

/* ---- finding ---- */

struct store_queue_row *store_queue_row(struct store *store, uint32_t queue)
{
    CHECK(queue >= 1 && queue <= store->queue_count);
    return &store->queues[queue - 1];
}

struct store_state_row *store_state_row(struct store *store, uint32_t state)
{
    CHECK(state >= 1 && state <= store->state_count);
    return &store->states[state - 1];
}

/* A transaction of its own, unless one is open: then the caller commits. */
static enum status keep_new(struct store *store, bool begun, struct error *error)
{
    store->meta_is_dirty = true;
    return begun ? store_commit(store, true, error) : store_end_writing(store, store_write_catalog(store, error));
}

static enum status begin_new(struct store *store, const char *name, uint32_t count, uint32_t count_max, bool *begun,
                             struct error *error)
{
    if (store->is_reader)
        return error_set(error, STATUS_USAGE, "%s has no '%s'", store->path, name);
    if (name[0] == '\0' || strlen(name) > STORE_NAME_BYTES_MAX)
        return error_set(error, STATUS_USAGE, "the name '%.40s' has not 1 to %d bytes", name, STORE_NAME_BYTES_MAX);
    if (count >= count_max)
        return error_set(error, STATUS_USAGE, "%s has room for %u queues or states", store->path, count_max);
    *begun = sqlite3_get_autocommit(store->db) != 0;
    return *begun ? store_begin(store, error) : STATUS_OK;
}

static enum status new_queue(struct store *store, const char *name, struct store_queue_row **row, struct error *error)
{
    bool begun;
    enum status status = begin_new(store, name, store->queue_count, STORE_QUEUE_COUNT_MAX, &begun, error);
    if (status != STATUS_OK)
        return status;
    struct store_queue_row *made = add_queue(store);
    if (made == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    memcpy(made->name, name, strlen(name) + 1);
    made->counts.settled_below = made->counts.next_sequence = 1;
    made->ids_first = made->ids_next = 1;
    made->is_dirty = true;
    *row = made;
    return keep_new(store, begun, error);
}

static enum status find_queue(struct store *store, const char *name, struct store_queue *found, struct error *error)
{
    struct store_queue_row *row = NULL;
    for (uint32_t i = 0; i < store->queue_count && row == NULL; i++)
        if (strcmp(store->queues[i].name, name) == 0)
            row = &store->queues[i];
    enum status status = row != NULL ? store_check_queue(store, row, error) : new_queue(store, name, &row, error);
    if (status == STATUS_OK)
        *found = row->counts;
    return status;
}

enum status store_find_queue(struct store *store, const char *name, struct store_queue *found, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    if (!store->is_reader)
        return find_queue(store, name, found, error);
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    if (status != STATUS_OK)
        return status;
    status = find_queue(store, name, found, error);
    store_end_reading(store, begun);
    return status;
}

static enum status new_state(struct store *store, const char *name, uint32_t *state, struct error *error)
{
    bool begun;
    enum status status = begin_new(store, name, store->state_count, STORE_STATE_COUNT_MAX, &begun, error);
    if (status != STATUS_OK)
        return status;
    struct store_state_row *made = add_state(store);
    if (made == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    memcpy(made->name, name, strlen(name) + 1);
    made->is_dirty = true;
    *state = made->state;
    return keep_new(store, begun, error);
}

enum status store_find_state(struct store *store, const char *name, uint32_t *state, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    bool begun = false;
    enum status status = store->is_reader ? store_begin_reading(store, &begun, error) : STATUS_OK;
    store_end_reading(store, begun);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < store->state_count; i++)
        if (strcmp(store->states[i].name, name) == 0) {
            *state = store->states[i].state;
            return STATUS_OK;
        }
    return new_state(store, name, state, error);
}

/* ---- listing ---- */

enum status store_list_queues(struct store *store, store_name_visit *visit, void *context, struct error *error)
{
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    store_end_reading(store, begun);
    if (status == STATUS_OK)
        for (uint32_t i = 0; i < store->queue_count; i++)
            if (!visit(context, store->queues[i].name, store->queues[i].counts.queue))
                break;
    return status;
}

enum status store_list_states(struct store *store, store_name_visit *visit, void *context, struct error *error)
{
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    store_end_reading(store, begun);
    if (status == STATUS_OK)
        for (uint32_t i = 0; i < store->state_count; i++)
            if (!visit(context, store->states[i].name, store->states[i].state))
                break;
    return status;
}
