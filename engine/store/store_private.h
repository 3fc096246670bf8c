/*
 * store_private.h: what the store's files share. The only file that includes SQLite.
 *
 * Tables (numbers are SQLite's signed 64-bit ones; all checksums are XXH3, 64 bits):
 *   meta      one row: format, identity, how many queues and states there are, what of the redo log is in here.
 *   queues    a row a queue: its name, counters, and sums over what is kept elsewhere, so that a lost row is missed.
 *   chunks    messages that were appended together; the row's number is queue << 52 | first sequence, so that a queue's
 *             chunks lie in their order.
 *   ranges    what is settled above a queue's watermark: apart from each other, never touching.
 *   deliveries  of messages that were delivered and came back.
 *   ids       ids that were added together; the row's number is queue << 52 | a count from 1.
 *   states    a row a state: its name, the number of its pairs and the sum of their checksums.
 *   pairs     a state's keys and values.
 *
 * The rows of queues and states are held in memory (the catalog), changed there, and written when the transaction is
 * committed. After a rollback the catalog is read again.
 */
#ifndef ENGINE_STORE_STORE_PRIVATE_H
#define ENGINE_STORE_STORE_PRIVATE_H

#include <sqlite3.h>

#include "engine/store/store.h"

enum {
    STORE_FORMAT = 2,
    /* "mill" as a number: what SQLite keeps in the file's header for file(1). */
    STORE_APPLICATION_ID = 0x6d696c6c,
    STORE_PAGE_BYTES = 4096,
    STORE_QUEUE_BITS = 11,
    STORE_SEQUENCE_BITS = 52, /* 142 years at a million a second */
    STORE_QUEUE_COUNT_MAX = (1 << STORE_QUEUE_BITS) - 1,
    STORE_STATE_COUNT_MAX = 1 << 16,
    /* A longer append becomes several rows: what reading one message, or settling a part, costs at most. */
    STORE_CHUNK_BYTES_MAX = 256 * 1024,
};

#define STORE_MAGIC        UINT32_C(0x53746f72)
#define STORE_SEQUENCE_MAX ((UINT64_C(1) << STORE_SEQUENCE_BITS) - 1)

enum store_sql {
    SQL_BEGIN,
    SQL_BEGIN_READING,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_META_READ,
    SQL_META_WRITE,
    SQL_QUEUES_READ,
    SQL_QUEUE_WRITE,
    SQL_STATES_READ,
    SQL_STATE_WRITE,
    SQL_CHUNK_ADD,
    SQL_CHUNK_AT,
    SQL_CHUNKS_FROM,
    SQL_CHUNKS_SIZES,
    SQL_CHUNKS_DELETE,
    SQL_RANGE_BEFORE,
    SQL_RANGE_FROM,
    SQL_RANGES_READ,
    SQL_RANGE_WRITE,
    SQL_RANGE_DELETE,
    SQL_DELIVERY_READ,
    SQL_DELIVERIES_READ,
    SQL_DELIVERY_WRITE,
    SQL_DELIVERIES_DELETE,
    SQL_IDS_ADD,
    SQL_IDS_READ,
    SQL_IDS_DELETE,
    SQL_PAIR_SUM,
    SQL_PAIR_WRITE,
    SQL_PAIR_DELETE,
    SQL_PAIRS_READ,
    SQL_COUNT,
};

/* A row of `queues`. */
struct store_queue_row {
    struct store_queue counts;
    uint64_t range_count; /* of rows in `ranges` */
    uint64_t delivery_count;
    uint64_t delivery_sum; /* of the rows' checksums, modulo 2^64 */
    uint64_t ids_first;    /* the rows of `ids` that are there */
    uint64_t ids_next;
    uint64_t id_count;
    uint64_t checksum; /* of the row, as it was read or written last; 0: not yet */
    bool is_dirty;
    char name[STORE_NAME_BYTES_MAX + 1];
};

/* A row of `states`. */
struct store_state_row {
    uint32_t state;
    uint64_t pair_count;
    uint64_t pair_sum; /* of the rows' checksums, modulo 2^64 */
    uint64_t checksum; /* as above */
    bool is_dirty;
    char name[STORE_NAME_BYTES_MAX + 1];
};

/* Where the messages of a chunk end, counted in bytes of text: read when a part of a chunk is settled, and kept,
 * because the rest of it mostly comes next. */
struct store_lengths {
    uint32_t queue; /* 0: nothing here */
    uint64_t first_sequence;
    uint64_t count;
    uint64_t *ends;
};

enum { STORE_LENGTHS_COUNT = 8 };

/* How much of the log there must be, as it lies in the lock file: see store_log.c. Frames; 0: not known. */
struct store_log_note {
    uint64_t checksum; /* of what follows */
    uint64_t boot;
    uint64_t written_count;
    uint64_t synced_count;
    uint64_t written_catalog; /* store_catalog_checksum with so many */
    uint64_t synced_catalog;
    uint64_t is_ending;    /* not 0: the file may be gone or empty, but if it is not, it is whole */
    unsigned char salt[8]; /* another one each time that the log is begun anew */
};

struct store {
    uint32_t magic;
    bool is_reader;
    bool is_open;        /* all of store_open was well */
    bool is_changed;     /* a transaction is open, and wrote */
    bool catalog_failed; /* it could not be read again after a rollback */
    int lock_file;
    uint64_t boot;               /* which start of the system this is; 0: not known */
    struct store_gather *gather; /* NULL in a reader */
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    char *directory;
    char *path;
    char identity[STORE_IDENTITY_BYTES];
    /* The queue with number n is at n - 1; as with states. */
    struct store_queue_row *queues;
    uint32_t queue_count;
    struct store_state_row *states;
    uint32_t state_count;
    uint64_t row_sum; /* of the checksums of all those rows, modulo 2^64 */
    struct redo_place redo_place;
    bool meta_is_dirty;
    struct store_lengths lengths[STORE_LENGTHS_COUNT];
    size_t lengths_next; /* which is replaced next */
    struct store_log_note log_note;
    uint64_t log_frame_count; /* after the last commit; 0: there was none */
    uint64_t log_frame_limit; /* at so many it is carried over */
};

/* ---- store.c ---- */

/* The statement, reset. */
enum status store_statement(struct store *store, enum store_sql sql, sqlite3_stmt **statement,
                            struct error *error) MUST_USE;
/* One step. *has_row: false at the end. On failure the statement is reset. */
enum status store_step(struct store *store, sqlite3_stmt *statement, bool *has_row, struct error *error) MUST_USE;
/* All steps of a statement without rows. */
enum status store_run(struct store *store, sqlite3_stmt *statement, struct error *error) MUST_USE;
/* The error for what SQLite said last. */
enum status store_sql_failed(const struct store *store, int code, struct error *error);
/* STATUS_CORRUPT, with the file's name in front of the printf-formed place. */
enum status store_corrupt(const struct store *store, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Around what only reads: one state of the file from the first to the last read. Inside a transaction they do nothing.
 * `status` is what the reading came to, and is returned, unless ending fails. */
enum status store_begin_reading(struct store *store, bool *begun, struct error *error) MUST_USE;
void store_end_reading(struct store *store, bool begun);

/* Rolls back what is open, if `status` is a failure; returns it. The catalog's rows may have moved then. */
enum status store_end_writing(struct store *store, enum status status);

/* Chained checksums: of numbers, and of bytes behind what `seed` stands for. */
uint64_t store_hash_numbers(const uint64_t *numbers, size_t count);
uint64_t store_hash_bytes(const void *bytes, size_t length, uint64_t seed);

/* ---- store_files.c ---- */

/* Makes the directory and its parents, each entry synced. */
enum status store_make_directory(const char *directory, struct error *error) MUST_USE;
/* Takes the lock file; *lock_file is closed to give it back. */
enum status store_lock(const char *directory, int *lock_file, struct error *error) MUST_USE;

/* Differs from one start of the system to the next; 0: the system does not say. */
uint64_t store_boot(void);

/* ---- store_gather.c ---- */

/* What SQLite is to open the store's file through, by this name, which lives as long. */
enum status store_gather_open(struct store_gather **gather, const char **vfs_name, struct error *error) MUST_USE;
/* After SQLite has closed the file. */
void store_gather_close(struct store_gather **gather);

/* ---- store_log.c ---- */

/* From now on store_note_log can count. Not for readers. */
void store_watch_log(struct store *store);
/* Compares the log with the note (see store_check_log), and takes the note over. Before anything is changed. Where the
 * log is gone and said to be carried over, all that is in the file is read and checked first. */
enum status store_open_log(struct store *store, struct error *error) MUST_USE;
/* After a commit, or with `synced` after a flush of the log. */
void store_note_log(struct store *store, bool synced);
/* Carries over into the store's file what is in the log. *is_all: false if something is left, because it is being read.
 * After store_sync: SQLite would flush the log as well, but it must be noted too before the file is changed, since
 * without its log a file that is changed in part is damaged. */
enum status store_carry_over_log(struct store *store, bool *is_all, struct error *error) MUST_USE;
/* After a commit: both when it is time. STATUS_SYSTEM: the log cannot be flushed. */
enum status store_mind_log(struct store *store, struct error *error) MUST_USE;
/* Before the log's file is removed or emptied, and after store_carry_over_log. */
enum status store_end_log_note(struct store *store, struct error *error) MUST_USE;
/* Carries the log over and lets it be removed; if that fails it stays. */
void store_close_log(struct store *store);

/* ---- store_catalog.c ---- */

enum status store_load_catalog(struct store *store, struct error *error) MUST_USE;
/* Writes what has changed of it. */
enum status store_write_catalog(struct store *store, struct error *error) MUST_USE;
void store_free_catalog(struct store *store);
/* Stands for all that the store holds as of the last commit, or reading: each thing that is kept changes a row's
 * counters or sums, and none of them comes back to what it was with other contents. Not within a transaction. */
uint64_t store_catalog_checksum(const struct store *store);
/* A bug if there is no such number. */
struct store_queue_row *store_queue_row(struct store *store, uint32_t queue);
struct store_state_row *store_state_row(struct store *store, uint32_t state);

/* ---- store_queue.c ---- */

/* Whether what is settled out of order, what is not, and the counts fit together. */
enum status store_check_queue(struct store *store, const struct store_queue_row *row, struct error *error) MUST_USE;

/* A settled range: a row of `ranges`. */
struct store_range {
    uint64_t first;
    uint64_t end;
};

/* `sql`: SQL_RANGE_BEFORE or SQL_RANGE_FROM. *found: false if there is none. */
enum status store_find_range(struct store *store, enum store_sql sql, uint32_t queue, uint64_t sequence, bool *found,
                             struct store_range *range, struct error *error) MUST_USE;
uint64_t store_hash_range(uint32_t queue, uint64_t first, uint64_t count);

/* A row of `chunks`; `records` is valid until the statement's next step. */
struct store_chunk {
    uint64_t first;
    uint64_t count;
    int64_t wall_ns;
    const unsigned char *records;
    size_t record_bytes;
};

/* Takes the chunk out of the statement's row (SQL_CHUNKS_FROM) and checks it. */
enum status store_take_chunk(struct store *store, uint32_t queue, sqlite3_stmt *statement, struct store_chunk *chunk,
                             struct error *error) MUST_USE;
/* Starts SQL_CHUNKS_FROM or SQL_CHUNKS_SIZES at the chunk that holds `sequence`, or at the first behind it. */
enum status store_chunks_from(struct store *store, enum store_sql sql, uint32_t queue, uint64_t sequence,
                              sqlite3_stmt **statement, struct error *error) MUST_USE;

/* ---- store_settle.c ---- */

void store_forget_lengths(struct store *store);

/* ---- store_check.c ---- */

/* store_check without the log. `out`: NULL: nothing is printed. */
enum status store_check_contents(struct store *store, FILE *out, uint64_t *fault_count, struct error *error) MUST_USE;

/* ---- small helpers ---- */

static inline uint64_t store_row_id(uint32_t queue, uint64_t number)
{
    return (uint64_t)queue << STORE_SEQUENCE_BITS | number;
}

static inline uint64_t store_column(sqlite3_stmt *statement, int index)
{
    return (uint64_t)sqlite3_column_int64(statement, index);
}

static inline void store_bind(sqlite3_stmt *statement, int index, uint64_t number)
{
    sqlite3_bind_int64(statement, index, (sqlite3_int64)number);
}

/* The bytes stay the caller's and must live until the statement is reset. */
static inline void store_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t length)
{
    /* A NULL pointer would be SQL's NULL. */
    sqlite3_bind_blob64(statement, index, length == 0 ? "" : bytes, length, SQLITE_STATIC);
}

#endif
