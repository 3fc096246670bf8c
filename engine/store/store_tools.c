/* store_tools.c: what the program's tools need of a store and a running launch does not. */
#include "engine/check.h"
#include "engine/store/store_private.h"

enum status store_begin_snapshot(struct store *store, struct error *error)
{
    bool begun;
    enum status status = store_begin_reading(store, &begun, error);
    CHECK(status != STATUS_OK || begun);
    return status;
}

void store_end_snapshot(struct store *store)
{
    store_end_reading(store, true);
}

void store_count_queue(struct store *store, uint32_t queue, struct store_queue *counts)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    *counts = store_queue_row(store, queue)->counts;
}

enum status store_start_queue(struct store *store, uint32_t queue, uint64_t settled_below, uint64_t next_sequence,
                              struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    CHECK(!store->is_reader && sqlite3_get_autocommit(store->db) == 0);
    struct store_queue_row *row = store_queue_row(store, queue);
    CHECK(row->counts.next_sequence == 1);
    if (settled_below == 0 || settled_below > next_sequence || next_sequence >= STORE_SEQUENCE_MAX)
        return error_set(error, STATUS_INPUT, "a queue's sequences cannot be those");
    row->counts.settled_below = row->counts.next_sequence = settled_below;
    row->is_dirty = true;
    return STATUS_OK;
}
