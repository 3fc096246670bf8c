/*
 * store_log.c: SQLite's write-ahead log: knowing how much of it there must be.
 *
 * SQLite takes the first frame whose checksum is wrong for the end of the log, since that is what a power cut leaves.
 * So a damaged frame would take away, without a word, what is in it and behind it, commits that were on the disk among
 * them. Therefore each commit notes how many frames the log has, behind the owner's number in the lock file:
 *
 *   - The note is never ahead of the log: it is written after the frames, and after their flush as to what is synced.
 * It is not flushed itself, so after a power cut it may be any older one. Then it names fewer frames, or a log that was
 *     begun anew since (another salt), or nothing; it misses damage then, but never sees any that is not there.
 *   - What was only written is lost in a power cut, but not with the process: it counts while the system runs that
 * wrote it.
 *   - A log without a whole head is damage, since SQLite writes another head over it in one sector, old or new and no
 *     mixture, unless it removes or empties the file. Before that the note says so, and is flushed. It goes on to
 * count: a cut may leave the file as it was, and of a log that is carried over SQLite would still let the first frames
 *     stand in front of younger pages.
 *   - Any other SQLite program that opens the file of a killed store, and closes it, carries the log over and removes
 *     it. So the note also has a checksum of the catalog as of the last commit: a file without a log that holds just
 *     that has lost nothing.
 *
 * The log's form: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
#include "engine/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/check.h"

enum {
    NOTE_OFFSET = 64, /* in the lock file */
    HEAD_BYTES = 32,
    HEAD_CHECKED_BYTES = 24,
    FRAME_HEAD_BYTES = 24,
    FRAME_CHECKED_BYTES = 8, /* of its head, and then the page */
    SALT_OFFSET = 16,        /* in the log's head */
    PAGE_BYTES_MAX = 65536,
    /* The log is carried over into the file when it has so many frames (16 MiB). */
    CARRY_OVER_FRAME_COUNT = 4096,
    /* That costs flushes; where somebody reads, and the log goes on growing, it is tried again after so many more. */
    CARRY_OVER_AGAIN_COUNT = 1024,
};

/* Its lowest bit says in which order the bytes of a number are when the checksum is made. */
#define LOG_MAGIC UINT32_C(0x377f0682)

/* NULL: there is none yet. */
static sqlite3_file *log_file(const struct store *store)
{
    sqlite3_file *log = NULL;
    int code = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    return code == SQLITE_OK && log != NULL && log->pMethods != NULL ? log : NULL;
}

/* ---- the note ---- */

static uint64_t note_checksum(const struct store_log_note *note)
{
    return store_hash_bytes((const char *)note + sizeof note->checksum, sizeof *note - sizeof note->checksum, 1);
}

/* Without a note that is whole: nothing is known, all is 0. */
static enum status read_note(const struct store *store, struct store_log_note *note, struct error *error)
{
    *note = (struct store_log_note){0};
    char *path;
    if (asprintf(&path, "%s/lock", store->directory) < 0)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct store_log_note read;
    enum status status = STATUS_OK;
    if (file < 0 && errno != ENOENT)
        status = error_set_errno(error, errno, "%s", path);
    if (file >= 0 && pread(file, &read, sizeof read, NOTE_OFFSET) == sizeof read &&
        read.checksum == note_checksum(&read))
        *note = read;
    if (file >= 0)
        close(file);
    free(path);
    return status;
}

/* What cannot be written is an older note then. */
static bool write_note(const struct store *store)
{
    return pwrite(store->lock_file, &store->log_note, sizeof store->log_note, NOTE_OFFSET) ==
           (ssize_t)sizeof store->log_note;
}

void store_note_log(struct store *store, bool synced)
{
    struct store_log_note *note = &store->log_note;
    sqlite3_file *log = log_file(store);
    unsigned char salt[sizeof note->salt];
    if (store->log_frame_count == 0 || log == NULL ||
        log->pMethods->xRead(log, salt, sizeof salt, SALT_OFFSET) != SQLITE_OK)
        return;
    if (memcmp(salt, note->salt, sizeof salt) != 0) {
        memcpy(note->salt, salt, sizeof salt);
        note->synced_count = 0;
    }
    note->boot = store->boot;
    note->written_count = store->log_frame_count;
    note->written_catalog = store_catalog_checksum(store);
    note->is_ending = 0;
    if (synced) {
        note->synced_count = note->written_count;
        note->synced_catalog = note->written_catalog;
    }
    note->checksum = note_checksum(note);
    (void)write_note(store);
}

enum status store_end_log_note(struct store *store, struct error *error)
{
    struct store_log_note *note = &store->log_note;
    if (note->written_count == 0)
        return STATUS_OK;
    note->is_ending = 1;
    note->checksum = note_checksum(note);
    if (!write_note(store) || fdatasync(store->lock_file) != 0)
        return error_set_errno(error, errno, "%s/lock", store->directory);
    return STATUS_OK;
}

/* ---- reading the log ---- */

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t little_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

struct log_reading {
    FILE *file;
    size_t page_bytes;
    bool is_big_endian;
    uint32_t sum[2];
    unsigned char salt[8];
};

/* `length`: a multiple of 8. */
static void add_to_sum(struct log_reading *reading, const unsigned char *bytes, size_t length)
{
    uint32_t first = reading->sum[0];
    uint32_t second = reading->sum[1];
    for (size_t at = 0; at < length; at += 8) {
        first += (reading->is_big_endian ? big_endian(bytes + at) : little_endian(bytes + at)) + second;
        second += (reading->is_big_endian ? big_endian(bytes + at + 4) : little_endian(bytes + at + 4)) + first;
    }
    reading->sum[0] = first;
    reading->sum[1] = second;
}

static bool is_sum(const struct log_reading *reading, const unsigned char stored[8])
{
    return reading->sum[0] == big_endian(stored) && reading->sum[1] == big_endian(stored + 4);
}

static bool read_head(struct log_reading *reading)
{
    unsigned char head[HEAD_BYTES];
    if (reading->file == NULL || fread(head, sizeof head, 1, reading->file) != 1 ||
        (big_endian(head) & ~UINT32_C(1)) != LOG_MAGIC)
        return false;
    reading->is_big_endian = (big_endian(head) & 1) != 0;
    reading->page_bytes = big_endian(head + 8);
    memcpy(reading->salt, head + SALT_OFFSET, sizeof reading->salt);
    add_to_sum(reading, head, HEAD_CHECKED_BYTES);
    return is_sum(reading, head + HEAD_CHECKED_BYTES) && reading->page_bytes <= PAGE_BYTES_MAX;
}

/* How many of the first `count_max` frames are whole. */
static uint64_t count_frames(struct log_reading *reading, uint64_t count_max)
{
    static const size_t frame_bytes_max = FRAME_HEAD_BYTES + PAGE_BYTES_MAX;
    unsigned char *frame = malloc(frame_bytes_max);
    uint64_t count = 0;
    for (; frame != NULL && count < count_max; count++) {
        if (fread(frame, FRAME_HEAD_BYTES + reading->page_bytes, 1, reading->file) != 1 ||
            memcmp(frame + 8, reading->salt, sizeof reading->salt) != 0)
            break;
        add_to_sum(reading, frame, FRAME_CHECKED_BYTES);
        add_to_sum(reading, frame + FRAME_HEAD_BYTES, reading->page_bytes);
        if (!is_sum(reading, frame + 16))
            break;
    }
    free(frame);
    return count;
}

static enum status open_log(const struct store *store, struct log_reading *reading, struct error *error)
{
    *reading = (struct log_reading){0};
    char *path;
    if (asprintf(&path, "%s-wal", store->path) < 0)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    reading->file = fopen(path, "rbe");
    enum status status =
        reading->file == NULL && errno != ENOENT ? error_set_errno(error, errno, "%s", path) : STATUS_OK;
    free(path);
    return status;
}

/* ---- missing what must be there ---- */

static enum status fault_in_log(const struct store *store, const char *what, struct error *error)
{
    return error_set(error, STATUS_CORRUPT,
                     "%s-wal is damaged: %s: what was written last is missing; millrace store export saves the rest",
                     store->path, what);
}

/* Whether the system that wrote the note still runs: what it wrote is there then, flushed or not. */
static bool is_same_boot(const struct store *store, const struct store_log_note *note)
{
    return note->boot == store->boot && store->boot != 0;
}

/* Compares what is there with the note; *is_gone: there is no log. */
static enum status compare_log(const struct store *store, const struct store_log_note *note, bool *is_gone,
                               struct error *error)
{
    uint64_t expected_count = is_same_boot(store, note) ? note->written_count : note->synced_count;
    *is_gone = false;
    if (expected_count == 0)
        return STATUS_OK;
    struct log_reading reading;
    enum status status = open_log(store, &reading, error);
    if (status != STATUS_OK)
        return status;
    uint64_t count = 0;
    bool has_head = read_head(&reading);
    bool is_other = has_head && memcmp(reading.salt, note->salt, sizeof note->salt) != 0;
    if (has_head && !is_other)
        count = count_frames(&reading, expected_count);
    *is_gone = reading.file == NULL || (fseek(reading.file, 0, SEEK_END) == 0 && ftell(reading.file) == 0);
    if (reading.file != NULL)
        fclose(reading.file);
    if (is_other || count == expected_count || (!has_head && note->is_ending != 0))
        return STATUS_OK;
    char what[128];
    snprintf(what, sizeof what, "%" PRIu64 " of %" PRIu64 " frames are whole", count, expected_count);
    return fault_in_log(store, has_head ? what : "it is not there, or its head is not whole", error);
}

/* Whether the catalog is that of the last commit; after a power cut, of the last that was flushed or of the last. */
static bool has_last_catalog(const struct store *store, const struct store_log_note *note)
{
    uint64_t checksum = store_catalog_checksum(store);
    return checksum == note->written_catalog || (!is_same_boot(store, note) && checksum == note->synced_catalog);
}

/* `fault` says that the log is gone. STATUS_OK: what was in it is in the file, as the catalog says. */
static enum status look_for_log_in_file(struct store *store, const struct store_log_note *note, enum status fault)
{
    struct error ignored = {0};
    bool begun;
    if (store_begin_reading(store, &begun, &ignored) != STATUS_OK)
        return fault;
    bool is_loaded = store->identity[0] != '\0' || store_load_catalog(store, &ignored) == STATUS_OK;
    bool is_there = is_loaded && has_last_catalog(store, note);
    store_end_reading(store, begun);
    return is_there ? STATUS_OK : fault;
}

static enum status check_log(struct store *store, const struct store_log_note *note, bool *is_gone, struct error *error)
{
    enum status status = compare_log(store, note, is_gone, error);
    return status == STATUS_CORRUPT && *is_gone ? look_for_log_in_file(store, note, status) : status;
}

enum status store_check_log(struct store *store, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct store_log_note note;
    enum status status = read_note(store, &note, error);
    if (status != STATUS_OK)
        return status;
    bool is_gone;
    status = check_log(store, &note, &is_gone, error);
    if (status != STATUS_CORRUPT || !store->is_reader)
        return status;
    /* Another process that writes may have begun the log anew, or removed it, while it was read. */
    struct store_log_note now;
    struct error ignored = {0};
    if (read_note(store, &now, &ignored) != STATUS_OK || memcmp(now.salt, note.salt, sizeof note.salt) != 0 ||
        check_log(store, &now, &is_gone, &ignored) != STATUS_CORRUPT)
        return STATUS_OK;
    return status;
}

/* The catalog says that what was in the log is in the file; here all of it is read, for who carried it over is not
 * known. It may have been stopped, and the log have been removed by hand. */
static enum status check_carried_over(struct store *store, struct error *error)
{
    uint64_t fault_count = 0;
    enum status status = store_check_contents(store, NULL, &fault_count, error);
    if (status == STATUS_OK && fault_count > 0)
        status = fault_in_log(store, "it is not there, and not all of it is in the file", error);
    return status;
}

enum status store_open_log(struct store *store, struct error *error)
{
    struct store_log_note note;
    enum status status = read_note(store, &note, error);
    if (status != STATUS_OK)
        return status;
    bool is_gone;
    status = check_log(store, &note, &is_gone, error);
    if (status == STATUS_OK && is_gone && note.is_ending == 0)
        status = check_carried_over(store, error);
    if (status == STATUS_OK)
        store->log_note = note;
    return status;
}

/* ---- in use ---- */

/* After each commit, with the frames that the log has. */
static int after_commit(void *context, sqlite3 *db, const char *name, int frame_count)
{
    (void)db, (void)name;
    struct store *store = context;
    store->log_frame_count = (uint64_t)frame_count;
    return SQLITE_OK;
}

void store_watch_log(struct store *store)
{
    /* A log that shall be read again is not removed by the way: store_close_log allows it. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* This stands in the place of SQLite's own hook, which would carry the log over. */
    sqlite3_wal_hook(store->db, after_commit, store);
}

enum status store_carry_over_log(struct store *store, bool *is_all, struct error *error)
{
    int frame_count = 0;
    int moved_count = -1;
    int code = sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frame_count, &moved_count);
    *is_all = code == SQLITE_OK && frame_count == moved_count;
    if (code != SQLITE_OK)
        return store_sql_failed(store, code, error);
    if (frame_count > 0) {
        /* What was found at the start and never noted as synced, it has flushed. */
        store->log_frame_count = (uint64_t)frame_count;
        store_note_log(store, true);
    }
    return STATUS_OK;
}

enum status store_mind_log(struct store *store, struct error *error)
{
    bool is_all;
    struct error ignored = {0};
    if (store->log_frame_count < CARRY_OVER_FRAME_COUNT)
        store->log_frame_limit = CARRY_OVER_FRAME_COUNT;
    if (store->log_frame_count < store->log_frame_limit)
        return STATUS_OK;
    store->log_frame_limit = store->log_frame_count + CARRY_OVER_AGAIN_COUNT;
    enum status status = store_sync(store, error);
    /* What fails now is tried again; nothing is lost meanwhile. */
    if (status == STATUS_OK)
        (void)(store_carry_over_log(store, &is_all, &ignored) == STATUS_OK);
    return status;
}

void store_close_log(struct store *store)
{
    struct error ignored = {0};
    bool is_all;
    if (store_sync(store, &ignored) == STATUS_OK && store_carry_over_log(store, &is_all, &ignored) == STATUS_OK &&
        is_all && store_end_log_note(store, &ignored) == STATUS_OK)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}
