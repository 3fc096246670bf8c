/*
 * store.c: the store's file, its transactions, and what SQLite says put in our words.
 *
 * Why SQLite and not LMDB: a flipped page is an error and not a walk into it; the file shrinks again; who reads beside
 * the writer holds nobody up. How long a commit takes matters little, for what somebody waits for is in the redo log
 * (redo.h) before it is here.
 *
 * How the disk is brought in: the write-ahead log (WAL) with synchronous=NORMAL, so that SQLite itself flushes only
 * around a checkpoint: the log before the file is changed, the file before the log is begun anew
 * (https://www.sqlite.org/wal.html). A commit is then a write into the log, which survives the process; a commit that
 * shall survive a power cut, and store_sync, flush the log's file themselves, which puts all before it on the disk too.
 */
#include "engine/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "engine/check.h"
#include "engine/clock.h"

enum {
    /* A log that a long reading kept growing is cut back to this when it is begun anew. */
    LOG_BYTES_MAX = 64 * 1024 * 1024,
    CACHE_KIB = 64 * 1024,
    /* Other connections hold the file's locks for moments only (a checkpoint, a recovery). */
    BUSY_MS = 10000,
};

static const char *const sql_texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READING] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_META_READ] =
        "SELECT format, identity, queue_count, state_count, redo_launch, redo_number, redo_offset, checksum"
        " FROM meta WHERE id = 1",
    [SQL_META_WRITE] = "REPLACE INTO meta(id, format, identity, queue_count, state_count, redo_launch, redo_number,"
                       " redo_offset, checksum) VALUES(1, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_QUEUES_READ] = "SELECT queue, name, settled_below, next_sequence, message_count, message_bytes,"
                        " range_count, delivery_count, delivery_sum, ids_first, ids_next, id_count, checksum"
                        " FROM queues ORDER BY queue",
    [SQL_QUEUE_WRITE] = "REPLACE INTO queues(queue, name, settled_below, next_sequence, message_count, message_bytes,"
                        " range_count, delivery_count, delivery_sum, ids_first, ids_next, id_count, checksum)"
                        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_STATES_READ] = "SELECT state, name, pair_count, pair_sum, checksum FROM states ORDER BY state",
    [SQL_STATE_WRITE] = "REPLACE INTO states(state, name, pair_count, pair_sum, checksum) VALUES(?, ?, ?, ?, ?)",
    [SQL_CHUNK_ADD] = "INSERT INTO chunks(id, count, wall_ns, checksum, records) VALUES(?, ?, ?, ?, ?)",
    [SQL_CHUNK_AT] = "SELECT max(id) FROM chunks WHERE id >= ? AND id <= ?",
    [SQL_CHUNKS_FROM] = "SELECT id, count, wall_ns, checksum, records FROM chunks WHERE id >= ? AND id <= ?"
                        " ORDER BY id",
    [SQL_CHUNKS_SIZES] = "SELECT id, count, length(records) FROM chunks WHERE id >= ? AND id <= ? ORDER BY id",
    [SQL_CHUNKS_DELETE] = "DELETE FROM chunks WHERE id >= ? AND id <= ?",
    [SQL_RANGE_BEFORE] = "SELECT first, count, checksum FROM ranges WHERE queue = ? AND first < ?"
                         " ORDER BY first DESC LIMIT 1",
    [SQL_RANGE_FROM] = "SELECT first, count, checksum FROM ranges WHERE queue = ? AND first >= ?"
                       " ORDER BY first LIMIT 1",
    [SQL_RANGES_READ] = "SELECT first, count, checksum FROM ranges WHERE queue = ? ORDER BY first",
    [SQL_RANGE_WRITE] = "REPLACE INTO ranges(queue, first, count, checksum) VALUES(?, ?, ?, ?)",
    [SQL_RANGE_DELETE] = "DELETE FROM ranges WHERE queue = ? AND first = ?",
    [SQL_DELIVERY_READ] = "SELECT deliveries, checksum FROM deliveries WHERE queue = ? AND sequence = ?",
    [SQL_DELIVERIES_READ] = "SELECT sequence, deliveries, checksum FROM deliveries"
                            " WHERE queue = ? AND sequence >= ? AND sequence <= ? ORDER BY sequence",
    [SQL_DELIVERY_WRITE] = "REPLACE INTO deliveries(queue, sequence, deliveries, checksum) VALUES(?, ?, ?, ?)",
    [SQL_DELIVERIES_DELETE] = "DELETE FROM deliveries WHERE queue = ? AND sequence >= ? AND sequence <= ?",
    [SQL_IDS_ADD] = "INSERT INTO ids(id, count, wall_ns, checksum, records) VALUES(?, ?, ?, ?, ?)",
    [SQL_IDS_READ] = "SELECT id, count, wall_ns, checksum, records FROM ids WHERE id >= ? AND id <= ? ORDER BY id",
    [SQL_IDS_DELETE] = "DELETE FROM ids WHERE id >= ? AND id <= ?",
    [SQL_PAIR_SUM] = "SELECT checksum FROM pairs WHERE state = ? AND key = ?",
    [SQL_PAIR_WRITE] = "REPLACE INTO pairs(state, key, checksum, value) VALUES(?, ?, ?, ?)",
    [SQL_PAIR_DELETE] = "DELETE FROM pairs WHERE state = ? AND key = ?",
    [SQL_PAIRS_READ] = "SELECT key, value, checksum FROM pairs WHERE state = ? ORDER BY key",
};

static const char schema[] =
    "CREATE TABLE meta(id INTEGER PRIMARY KEY, format, identity, queue_count, state_count, redo_launch, redo_number,"
    " redo_offset, checksum);"
    "CREATE TABLE queues(queue INTEGER PRIMARY KEY, name, settled_below, next_sequence, message_count, message_bytes,"
    " range_count, delivery_count, delivery_sum, ids_first, ids_next, id_count, checksum);"
    "CREATE TABLE chunks(id INTEGER PRIMARY KEY, count, wall_ns, checksum, records);"
    "CREATE TABLE ranges(queue, first, count, checksum, PRIMARY KEY(queue, first)) WITHOUT ROWID;"
    "CREATE TABLE deliveries(queue, sequence, deliveries, checksum, PRIMARY KEY(queue, sequence)) WITHOUT ROWID;"
    "CREATE TABLE ids(id INTEGER PRIMARY KEY, count, wall_ns, checksum, records);"
    "CREATE TABLE states(state INTEGER PRIMARY KEY, name, pair_count, pair_sum, checksum);"
    "CREATE TABLE pairs(state, key, checksum, value, PRIMARY KEY(state, key)) WITHOUT ROWID;";

/* ---- errors ---- */

enum status store_corrupt(const struct store *store, struct error *error, const char *format, ...)
{
    char place[ERROR_TEXT_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(place, sizeof place, format, arguments);
    va_end(arguments);
    return error_set(error, STATUS_CORRUPT, "%s is damaged: %s", store->path, place);
}

static bool is_no_room(const struct store *store, int code)
{
    if ((code & 0xff) == SQLITE_FULL)
        return true;
    if ((code & 0xff) != SQLITE_IOERR)
        return false;
    int errno_value = sqlite3_system_errno(store->db);
    /* SQLite asks for errno late: after a write that the system cut short it may say nothing. */
    if (errno_value == 0 && sqlite3_extended_errcode(store->db) == SQLITE_IOERR_WRITE)
        return true;
    return errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG;
}

enum status store_sql_failed(const struct store *store, int code, struct error *error)
{
    int primary = code & 0xff;
    if (is_no_room(store, code))
        return error_set(error, STATUS_AGAIN, "%s: no room on the disk", store->path);
    if (primary == SQLITE_NOTADB)
        return error_set(error, STATUS_CORRUPT, "%s is damaged or no store: %s", store->path,
                         sqlite3_errmsg(store->db));
    /* SQLITE_ERROR: the statements are right, so the tables are not; SQLITE_CONSTRAINT: a row is there that must not.*/
    if (primary == SQLITE_CORRUPT || primary == SQLITE_ERROR || primary == SQLITE_CONSTRAINT ||
        primary == SQLITE_MISMATCH || primary == SQLITE_TOOBIG || code == SQLITE_IOERR_SHORT_READ)
        return store_corrupt(store, error, "%s", sqlite3_errmsg(store->db));
    int errno_value = sqlite3_system_errno(store->db);
    if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && errno_value != 0)
        return error_set_errno(error, errno_value, "%s: %s", store->path, sqlite3_errstr(code));
    return error_set(error, STATUS_SYSTEM, "%s: %s", store->path, sqlite3_errstr(code));
}

/* ---- statements ---- */

enum status store_statement(struct store *store, enum store_sql sql, sqlite3_stmt **statement, struct error *error)
{
    sqlite3_stmt **kept = &store->statements[sql];
    if (*kept == NULL) {
        int code = sqlite3_prepare_v3(store->db, sql_texts[sql], -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
        if (code != SQLITE_OK)
            return store_sql_failed(store, code, error);
    }
    sqlite3_reset(*kept);
    *statement = *kept;
    return STATUS_OK;
}

enum status store_step(struct store *store, sqlite3_stmt *statement, bool *has_row, struct error *error)
{
    int code = sqlite3_step(statement);
    *has_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return STATUS_OK;
    code = sqlite3_extended_errcode(store->db);
    enum status status = store_sql_failed(store, code, error);
    sqlite3_reset(statement);
    return status;
}

enum status store_run(struct store *store, sqlite3_stmt *statement, struct error *error)
{
    bool has_row;
    enum status status;
    do
        status = store_step(store, statement, &has_row, error);
    while (status == STATUS_OK && has_row);
    sqlite3_reset(statement);
    return status;
}

static enum status run(struct store *store, enum store_sql sql, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    enum status status = store_statement(store, sql, &statement, error);
    return status == STATUS_OK ? store_run(store, statement, error) : status;
}

static enum status execute(struct store *store, const char *sql, struct error *error)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : store_sql_failed(store, sqlite3_extended_errcode(store->db), error);
}

/* ---- checksums ---- */

uint64_t store_hash_numbers(const uint64_t *numbers, size_t count)
{
    return XXH3_64bits(numbers, count * sizeof *numbers);
}

uint64_t store_hash_bytes(const void *bytes, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, length, seed);
}

/* ---- opening ---- */

static enum status read_number(struct store *store, const char *sql, int64_t *number, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    bool has_row;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return store_sql_failed(store, sqlite3_extended_errcode(store->db), error);
    enum status status = store_step(store, statement, &has_row, error);
    *number = status == STATUS_OK && has_row ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return status;
}

static enum status make_schema(struct store *store, struct error *error)
{
    sqlite3_randomness(0, NULL); /* a fork of this process must not make the same identity */
    uint64_t random;
    sqlite3_randomness(sizeof random, &random);
    uint64_t mix[2] = {random, (uint64_t)clock_wall_ns()};
    snprintf(store->identity, sizeof store->identity, "%016" PRIx64, store_hash_numbers(mix, 2));
    store->meta_is_dirty = true;

    char version[96];
    snprintf(version, sizeof version, "PRAGMA application_id = %d; PRAGMA user_version = %d", STORE_APPLICATION_ID,
             STORE_FORMAT);
    enum status status = run(store, SQL_BEGIN, error);
    if (status == STATUS_OK)
        status = execute(store, schema, error);
    if (status == STATUS_OK)
        status = execute(store, version, error);
    if (status == STATUS_OK)
        status = store_write_catalog(store, error);
    return status == STATUS_OK ? store_commit(store, true, error) : status;
}

static enum status check_format(struct store *store, bool *is_new, struct error *error)
{
    int64_t table_count = 0;
    int64_t application = 0;
    int64_t format = 0;
    enum status status = read_number(store, "SELECT count(*) FROM sqlite_schema", &table_count, error);
    if (status == STATUS_OK)
        status = read_number(store, "PRAGMA application_id", &application, error);
    if (status == STATUS_OK)
        status = read_number(store, "PRAGMA user_version", &format, error);
    if (status != STATUS_OK)
        return status;
    *is_new = table_count == 0 && application == 0 && format == 0;
    if (*is_new)
        return STATUS_OK;
    if (application != STORE_APPLICATION_ID)
        return error_set(error, STATUS_USAGE, "%s is no store of millrace", store->path);
    if (format > STORE_FORMAT)
        return error_set(error, STATUS_USAGE, "%s has the format %" PRId64 "; this millrace knows formats up to %d",
                         store->path, format, STORE_FORMAT);
    if (format >= 1 && format < STORE_FORMAT)
        return error_set(error, STATUS_USAGE,
                         "%s has the format %" PRId64 " of an earlier millrace: store export with that one, and store "
                         "import with this one, bring it to the format %d",
                         store->path, format, STORE_FORMAT);
    return format == STORE_FORMAT ? STATUS_OK
                                  : store_corrupt(store, error, "it says that its format is %" PRId64, format);
}

static enum status set_up(struct store *store, struct error *error)
{
    char pragmas[512];
    /* cell_size_check: a damaged page is seen when it is read. mmap off: a page that cannot be read is an error and not
     * SIGBUS. page_size has an effect on a new file only. No auto_vacuum: its maps of pages would be written with every
     * commit (a sixth of the time at 512 messages a commit), for what store_compact does as well. */
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA page_size = %d; PRAGMA cell_size_check = ON;"
             "PRAGMA mmap_size = 0; PRAGMA cache_size = -%d;"
             "PRAGMA journal_size_limit = %d; PRAGMA temp_store = MEMORY;"
             "PRAGMA trusted_schema = OFF;",
             STORE_PAGE_BYTES, CACHE_KIB, LOG_BYTES_MAX);
    enum status status = execute(store, pragmas, error);
    /* The change to the log is made in the old way, with a rollback journal, which only EXTRA keeps whole through a
     * power cut at every moment. */
    if (status == STATUS_OK && !store->is_reader)
        status =
            execute(store, "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", error);
    if (status == STATUS_OK && store->is_reader)
        status = execute(store, "PRAGMA query_only = ON", error);
    return status;
}

static enum status open_file(struct store *store, struct error *error)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (!store->is_reader)
        flags |= SQLITE_OPEN_CREATE;
    const char *vfs_name = NULL;
    if (!store->is_reader) {
        enum status status = store_gather_open(&store->gather, &vfs_name, error);
        if (status != STATUS_OK)
            return status;
    }
    int code = sqlite3_open_v2(store->path, &store->db, flags, vfs_name);
    if (code != SQLITE_OK)
        return store->db == NULL ? error_set(error, STATUS_SYSTEM, "out of memory")
                                 : store_sql_failed(store, code, error);
    sqlite3_busy_timeout(store->db, BUSY_MS);
    /* The file comes from outside: it may not make SQLite run what a bad schema says. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (store->is_reader)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    else
        store_watch_log(store);
    return STATUS_OK;
}

/* A file that SQLite would call read-only only when something is written. */
static enum status check_writable(const struct store *store, struct error *error)
{
    if (sqlite3_db_readonly(store->db, "main") == 1)
        return error_set(error, STATUS_SYSTEM, "%s may not be written", store->path);
    return STATUS_OK;
}

static enum status open_all(struct store *store, struct error *error)
{
    bool is_new = false;
    enum status status = open_file(store, error);
    if (status == STATUS_OK && !store->is_reader)
        status = check_writable(store, error);
    /* Before anything is set: what is no store of ours stays as it is. */
    if (status == STATUS_OK)
        status = check_format(store, &is_new, error);
    if (status == STATUS_OK && is_new && store->is_reader)
        status = error_set(error, STATUS_USAGE, "%s is empty", store->path);
    if (status == STATUS_OK && !store->is_reader)
        status = store_open_log(store, error);
    if (status == STATUS_OK)
        status = set_up(store, error);
    if (status == STATUS_OK && is_new)
        status = make_schema(store, error);
    if (status == STATUS_OK)
        status = store_load_catalog(store, error);
    store->is_open = status == STATUS_OK;
    return status;
}

static struct store *new_store(const char *directory, bool is_reader)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->magic = STORE_MAGIC;
    store->is_reader = is_reader;
    store->lock_file = -1;
    store->boot = store_boot();
    store->directory = strdup(directory);
    if (store->directory == NULL || asprintf(&store->path, "%s/store.db", directory) < 0) {
        free(store->directory);
        free(store);
        return NULL;
    }
    return store;
}

enum status store_open(struct store **store, const char *directory, struct error *error)
{
    struct store *opened = new_store(directory, false);
    if (opened == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    enum status status = store_make_directory(directory, error);
    if (status == STATUS_OK)
        status = store_lock(directory, &opened->lock_file, error);
    if (status == STATUS_OK)
        status = open_all(opened, error);
    if (status != STATUS_OK)
        store_close(&opened);
    *store = opened;
    /* STATUS_AGAIN is for transactions: here nobody can wait. */
    return status == STATUS_AGAIN ? STATUS_SYSTEM : status;
}

enum status store_open_reader(struct store **store, const char *directory, struct error *error)
{
    struct store *opened = new_store(directory, true);
    if (opened == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    struct stat about;
    enum status status = STATUS_OK;
    if (stat(opened->path, &about) != 0)
        status = errno == ENOENT || errno == ENOTDIR
                     ? error_set(error, STATUS_USAGE, "there is no store in %s", directory)
                     : error_set_errno(error, errno, "%s", opened->path);
    if (status == STATUS_OK)
        status = open_all(opened, error);
    if (status != STATUS_OK)
        store_close(&opened);
    *store = opened;
    return status == STATUS_AGAIN ? STATUS_SYSTEM : status;
}

void store_close(struct store **store)
{
    struct store *closed = *store;
    if (closed == NULL)
        return;
    CHECK_MAGIC(closed, STORE_MAGIC);
    store_end_reading(closed, closed->is_open); /* what is open is rolled back */
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(closed->statements[i]);
    /* What could not be opened whole stays as it is, for those who look at it next. */
    if (closed->is_open && !closed->is_reader)
        store_close_log(closed);
    int code = sqlite3_close(closed->db);
    CHECK(code == SQLITE_OK);
    store_gather_close(&closed->gather);
    if (closed->lock_file >= 0)
        close(closed->lock_file);
    store_free_catalog(closed);
    store_forget_lengths(closed);
    free(closed->path);
    free(closed->directory);
    closed->magic = 0;
    free(closed);
    *store = NULL;
}

const char *store_identity(const struct store *store)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    return store->identity;
}

struct redo_place store_redo_place(const struct store *store)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    return store->redo_place;
}

void store_set_redo_place(struct store *store, const struct redo_place *place)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    CHECK(sqlite3_get_autocommit(store->db) == 0);
    store->redo_place = *place;
    store->meta_is_dirty = true;
}

/* ---- transactions ---- */

static bool is_in_transaction(const struct store *store)
{
    return sqlite3_get_autocommit(store->db) == 0;
}

enum status store_begin(struct store *store, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    CHECK(!store->is_reader && !is_in_transaction(store));
    if (store->catalog_failed) {
        enum status status = store_load_catalog(store, error);
        if (status != STATUS_OK)
            return status;
    }
    return run(store, SQL_BEGIN, error);
}

/* Whatever failed in a transaction, nothing of it stays. */
static void roll_back(struct store *store)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct error ignored = {0};
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_reset(store->statements[i]);
    if (is_in_transaction(store))
        (void)(run(store, SQL_ROLLBACK, &ignored) == STATUS_OK);
    store_forget_lengths(store);
    store->catalog_failed = store_load_catalog(store, &ignored) != STATUS_OK;
}

enum status store_end_writing(struct store *store, enum status status)
{
    if (status != STATUS_OK)
        roll_back(store);
    return status;
}

enum status store_commit(struct store *store, bool sync, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    CHECK(!store->is_reader && is_in_transaction(store));
    enum status status = store_write_catalog(store, error);
    if (status == STATUS_OK)
        status = run(store, SQL_COMMIT, error);
    if (store_end_writing(store, status) != STATUS_OK)
        return status;
    if (sync)
        status = store_sync(store, error);
    else
        store_note_log(store, false);
    return status == STATUS_OK ? store_mind_log(store, error) : status;
}

enum status store_sync(struct store *store, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    sqlite3_file *log = NULL;
    int code = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (code == SQLITE_OK && log != NULL && log->pMethods != NULL)
        code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
    /* After a failed flush the system may have dropped what it could not write and say yes the next time: no retry. */
    if (code == SQLITE_OK) {
        store_note_log(store, true);
        return STATUS_OK;
    }
    int errno_value = sqlite3_system_errno(store->db);
    return error_set_errno(error, errno_value != 0 ? errno_value : EIO, "cannot sync %s", store->path);
}

enum status store_begin_reading(struct store *store, bool *begun, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    *begun = !is_in_transaction(store);
    if (!*begun)
        return STATUS_OK;
    enum status status = run(store, SQL_BEGIN_READING, error);
    if (status == STATUS_OK && store->is_reader)
        status = store_load_catalog(store, error);
    if (status != STATUS_OK)
        store_end_reading(store, true);
    return status;
}

void store_end_reading(struct store *store, bool begun)
{
    /* Ending a reading changes nothing, so it cannot fail. */
    struct error ignored = {0};
    if (begun && is_in_transaction(store))
        (void)(run(store, SQL_ROLLBACK, &ignored) == STATUS_OK);
}

/* ---- sizes ---- */

uint64_t store_file_bytes(const struct store *store)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm", "redo.log"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path;
        struct stat about;
        if (asprintf(&path, "%s/%s", store->directory, names[i]) < 0)
            return bytes;
        if (stat(path, &about) == 0)
            bytes += (uint64_t)about.st_size;
        free(path);
    }
    return bytes;
}
