/*
 * redo.c: the redo log's file.
 *
 * It is a ring. A record lies in one piece: where it does not fit in front of the end, or the file would have to grow
 * while there is much room at its beginning, it lies there. So who reads looks for the next record behind the last one,
 * and then at the beginning. A record has its own number and its launch's, which no other record of the store ever has,
 * and a checksum, which the store's identity is part of; so none that was left over from an earlier round, from before
 * a crash, or by another store, is taken for the next one.
 *
 * As in other logs, the first record that is not whole is taken for the end, since that is what a power cut leaves. So
 * that damage is not taken for the end, it is noted how far the log was written, and flushed, behind the owner's number
 * and the other log's note in the lock file, in the same way as there (store_log.c): the note is never ahead of the
 * log, is not flushed itself, and what was only written counts while the system runs that wrote it.
 *
 * A file that grows costs the disk a second write with each flush, of its length and of where its new blocks lie: a log
 * that had been written once took half the time. So zeros are written ahead of the records.
 *
 * The file is SQLite's to the system (its VFS), so that the tests of power cuts and of full disks cover both files in
 * one way. It writes less than 128 KiB at a time (https://www.sqlite.org/c3ref/io_methods.html; os_unix.c).
 */
#include "engine/store/redo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/store/store_private.h"

enum {
    MAGIC = 0x5245444f,
    NOTE_OFFSET = 512, /* in the lock file: behind that of store_log.c */
    WRITE_BYTES_MAX = 64 << 10,
    AHEAD_BYTES = 1 << 20,
};

/* In the machine's order of bytes: on another machine it is no record. */
static const uint32_t record_magic = 0x6f646572;

struct head {
    uint64_t checksum; /* of all that follows */
    uint32_t magic;
    uint32_t bytes; /* with the head */
    uint64_t launch;
    uint64_t number;
};

_Static_assert(sizeof(struct head) == REDO_HEAD_BYTES, "without holes");

/* How much of the log there must be; all 0: nothing is known. */
struct note {
    uint64_t checksum; /* of what follows */
    uint64_t boot;
    uint64_t launch;
    uint64_t written_number;
    uint64_t synced_number;
};

struct redo {
    uint32_t magic;
    struct store *store; /* not owned */
    uint64_t identity;   /* the store's: launches of other stores have the same numbers */
    char *path;
    sqlite3_vfs *vfs;
    sqlite3_file *file; /* without methods: it could not be opened */
    bool has_begun;
    struct redo_place next; /* of the last record, and where the next one goes */
    struct redo_place free; /* what is in front of this is free */
    uint64_t file_bytes;    /* written so far */
    size_t used_bytes;
    struct note note;
};

/* ---- the file ---- */

static enum status file_failed(const struct redo *redo, int code, const char *what, struct error *error)
{
    int errno_value = errno;
    if ((code & 0xff) == SQLITE_FULL || errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG)
        return error_set(error, STATUS_AGAIN, "%s: no room on the disk", redo->path);
    return error_set_errno(error, errno_value != 0 ? errno_value : EIO, "cannot %s %s", what, redo->path);
}

static enum status write_bytes(struct redo *redo, const unsigned char *bytes, size_t length, uint64_t offset,
                               struct error *error)
{
    for (size_t done = 0; done < length;) {
        size_t part = length - done < WRITE_BYTES_MAX ? length - done : WRITE_BYTES_MAX;
        sqlite3_int64 at = (sqlite3_int64)offset + (sqlite3_int64)done;
        errno = 0;
        int code = redo->file->pMethods->xWrite(redo->file, bytes + done, (int)part, at);
        if (code != SQLITE_OK)
            return file_failed(redo, code, "write", error);
        done += part;
    }
    return STATUS_OK;
}

/* *is_there: false if the file ends before. */
static enum status read_bytes(const struct redo *redo, unsigned char *bytes, size_t length, uint64_t offset,
                              bool *is_there, struct error *error)
{
    errno = 0;
    int code = redo->file->pMethods->xRead(redo->file, bytes, (int)length, (sqlite3_int64)offset);
    *is_there = code == SQLITE_OK;
    return *is_there || code == SQLITE_IOERR_SHORT_READ ? STATUS_OK : file_failed(redo, code, "read", error);
}

/* ---- the note ---- */

static uint64_t note_checksum(const struct note *note)
{
    return store_hash_bytes((const char *)note + sizeof note->checksum, sizeof *note - sizeof note->checksum, 2);
}

/* Without a note that is whole: nothing is known, all is 0. A reader has not opened the lock file. */
static void read_note(const struct redo *redo, struct note *note)
{
    char *path = NULL;
    int file = redo->store->lock_file;
    if (file < 0 && asprintf(&path, "%s/lock", redo->store->directory) >= 0)
        file = open(path, O_RDONLY | O_CLOEXEC);
    if (pread(file, note, sizeof *note, NOTE_OFFSET) != (ssize_t)sizeof *note || note->checksum != note_checksum(note))
        *note = (struct note){0};
    if (file >= 0 && file != redo->store->lock_file)
        close(file);
    free(path);
}

/* What cannot be written is an older note then. */
static void write_note(struct redo *redo)
{
    redo->note.checksum = note_checksum(&redo->note);
    (void)!pwrite(redo->store->lock_file, &redo->note, sizeof redo->note, NOTE_OFFSET);
}

/* The log and the store are all there: the note says at most what they have. */
static enum status compare_with_note(const struct redo *redo, struct error *error)
{
    struct note note;
    read_note(redo, &note);
    bool is_same_boot = note.boot == redo->store->boot && note.boot != 0;
    uint64_t expected = is_same_boot ? note.written_number : note.synced_number;
    if (note.launch < redo->next.launch || (note.launch == redo->next.launch && expected <= redo->next.number))
        return STATUS_OK;
    if (note.launch > redo->next.launch)
        return error_set(error, STATUS_CORRUPT,
                         "%s is older than its %s: what was written last is missing; millrace store export saves the "
                         "rest",
                         redo->store->path, redo->path);
    return error_set(error, STATUS_CORRUPT,
                     "%s is damaged: batch %" PRIu64 " of %" PRIu64
                     " is not whole: what was written last is missing; millrace store export saves the rest",
                     redo->path, redo->next.number + 1, expected);
}

/* ---- open and close ---- */

static enum status open_log(struct redo **redo_pointer, struct store *store, int flags, struct error *error)
{
    CHECK_MAGIC(store, STORE_MAGIC);
    struct redo *redo = calloc(1, sizeof *redo);
    *redo_pointer = redo;
    if (redo == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    redo->magic = MAGIC;
    redo->store = store;
    redo->next = redo->free = store_redo_place(store);
    redo->identity = store_hash_bytes(store_identity(store), STORE_IDENTITY_BYTES, 3);
    redo->vfs = sqlite3_vfs_find(NULL);
    CHECK(redo->vfs != NULL);
    redo->file = calloc(1, (size_t)redo->vfs->szOsFile);
    if (redo->file == NULL || asprintf(&redo->path, "%s/redo.log", store->directory) < 0)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    /* That kind of file is SQLite's to open alone, without locks, and its name is put on the disk with the first flush.
     */
    int opened_flags = 0;
    errno = 0;
    int code = redo->vfs->xOpen(redo->vfs, redo->path, redo->file, flags | SQLITE_OPEN_SUPER_JOURNAL, &opened_flags);
    if (code == SQLITE_OK && (flags & ~opened_flags & SQLITE_OPEN_READWRITE) != 0) {
        code = SQLITE_READONLY;
        errno = EROFS;
    }
    sqlite3_int64 bytes = 0;
    if (code == SQLITE_OK)
        code = redo->file->pMethods->xFileSize(redo->file, &bytes);
    redo->file_bytes = (uint64_t)bytes;
    return code == SQLITE_OK ? STATUS_OK : file_failed(redo, code, "open", error);
}

enum status redo_open(struct redo **redo, struct store *store, struct error *error)
{
    return open_log(redo, store, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, error);
}

static bool is_all_free(const struct redo *redo)
{
    return redo->free.launch == redo->next.launch && redo->free.number == redo->next.number;
}

/* It does no harm if it stays. */
static void remove_log(struct redo *redo)
{
    (void)redo->vfs->xDelete(redo->vfs, redo->path, 0);
    redo->note = (struct note){0};
    write_note(redo);
}

void redo_close(struct redo **redo_pointer)
{
    struct redo *redo = *redo_pointer;
    if (redo == NULL)
        return;
    CHECK_MAGIC(redo, MAGIC);
    if (redo->file != NULL && redo->file->pMethods != NULL)
        redo->file->pMethods->xClose(redo->file);
    if (redo->has_begun && is_all_free(redo))
        remove_log(redo);
    redo->magic = 0;
    free(redo->file);
    free(redo->path);
    free(redo);
    *redo_pointer = NULL;
}

/* ---- recovery ---- */

static uint64_t record_checksum(const struct redo *redo, const unsigned char *record, size_t length)
{
    return store_hash_bytes(record + sizeof(uint64_t), length - sizeof(uint64_t), redo->identity);
}

static bool is_next_head(const struct redo *redo, const struct head *head)
{
    return head->magic == record_magic && head->launch == redo->next.launch && head->number == redo->next.number + 1 &&
           head->bytes >= REDO_HEAD_BYTES && head->bytes <= REDO_RECORD_BYTES_MAX;
}

/* Reads the next record if it is at `offset`; the caller frees it. *record NULL: it is not. What cannot be read is not
 * the end: it would be written over. */
static enum status read_record(const struct redo *redo, uint64_t offset, struct head *head, unsigned char **record,
                               struct error *error)
{
    *record = NULL;
    bool is_there;
    unsigned char bytes[REDO_HEAD_BYTES] = {0};
    enum status status = read_bytes(redo, bytes, sizeof bytes, offset, &is_there, error);
    memcpy(head, bytes, sizeof *head);
    if (status != STATUS_OK || !is_there || !is_next_head(redo, head))
        return status;
    unsigned char *read = malloc(head->bytes);
    if (read == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    status = read_bytes(redo, read, head->bytes, offset, &is_there, error);
    if (status == STATUS_OK && is_there && head->checksum == record_checksum(redo, read, head->bytes))
        *record = read;
    else
        free(read);
    return status;
}

/* Behind the last one, or at the beginning. *offset: where it is. */
static enum status find_record(const struct redo *redo, uint64_t *offset, struct head *head, unsigned char **record,
                               struct error *error)
{
    *offset = redo->next.offset;
    enum status status = read_record(redo, *offset, head, record, error);
    if (status != STATUS_OK || *record != NULL || *offset == 0)
        return status;
    *offset = 0;
    return read_record(redo, 0, head, record, error);
}

bool redo_is_due(struct store *reader)
{
    struct redo *redo;
    struct head head;
    uint64_t offset;
    unsigned char *record = NULL;
    struct error ignored = {0};
    /* There may be none, which the note knows. */
    bool is_open = open_log(&redo, reader, SQLITE_OPEN_READONLY, &ignored) == STATUS_OK;
    bool is_due = redo == NULL || (is_open && find_record(redo, &offset, &head, &record, &ignored) != STATUS_OK) ||
                  record != NULL || compare_with_note(redo, &ignored) != STATUS_OK;
    free(record);
    redo_close(&redo);
    return is_due;
}

enum status redo_replay(struct redo *redo, redo_visit *visit, void *context, struct error *error)
{
    CHECK_MAGIC(redo, MAGIC);
    for (;;) {
        struct head head;
        uint64_t offset;
        unsigned char *record;
        enum status status = find_record(redo, &offset, &head, &record, error);
        if (status != STATUS_OK)
            return status;
        if (record == NULL)
            return compare_with_note(redo, error);
        redo->next.number++;
        redo->next.offset = offset + head.bytes;
        status = visit(context, record + REDO_HEAD_BYTES, head.bytes - REDO_HEAD_BYTES, &redo->next, error);
        free(record);
        if (status != STATUS_OK)
            return status;
    }
}

struct redo_place redo_first_place(const struct redo *redo)
{
    CHECK_MAGIC(redo, MAGIC);
    return (struct redo_place){.launch = redo->next.launch + 1};
}

void redo_begin(struct redo *redo)
{
    CHECK_MAGIC(redo, MAGIC);
    redo->next = redo->free = redo_first_place(redo);
    CHECK(store_redo_place(redo->store).launch == redo->next.launch);
    redo->used_bytes = 0;
    redo->has_begun = true;
    redo->note = (struct note){.boot = redo->store->boot, .launch = redo->next.launch};
}

/* ---- in use ---- */

/* Where a record of this length goes. False: nowhere yet. */
static bool find_room(const struct redo *redo, size_t length, uint64_t *offset)
{
    uint64_t head = redo->next.offset;
    uint64_t tail = redo->free.offset;
    bool is_empty = is_all_free(redo);
    /* In front of what is not free; one byte stays, so that full is not empty. */
    if (!is_empty && head <= tail) {
        *offset = head;
        return head + length < tail;
    }
    bool fits_behind = head + length <= REDO_BYTES_MAX;
    /* Also when all is free: a record across `tail` would look as if there were room in front of that. */
    bool fits_at_start = length < tail;
    /* Not for a little room, or the log would be full soon that might have grown. */
    bool spares_growing = head + length > redo->file_bytes && length + AHEAD_BYTES < tail;
    *offset = fits_behind && !spares_growing ? head : 0;
    return fits_behind || fits_at_start;
}

bool redo_has_room(const struct redo *redo, size_t length)
{
    uint64_t offset;
    CHECK_MAGIC(redo, MAGIC);
    return find_room(redo, length, &offset);
}

/* What cannot be written is left: the record itself says whether there is room. */
static void write_ahead(struct redo *redo, uint64_t end)
{
    static const unsigned char zeros[WRITE_BYTES_MAX];
    struct error ignored = {0};
    uint64_t target = end + AHEAD_BYTES < REDO_BYTES_MAX ? end + AHEAD_BYTES : REDO_BYTES_MAX;
    while (redo->file_bytes < target) {
        size_t part = target - redo->file_bytes < sizeof zeros ? (size_t)(target - redo->file_bytes) : sizeof zeros;
        if (write_bytes(redo, zeros, part, redo->file_bytes, &ignored) != STATUS_OK)
            return;
        redo->file_bytes += part;
    }
}

enum status redo_append(struct redo *redo, unsigned char *record, size_t length, struct redo_place *place,
                        struct error *error)
{
    CHECK_MAGIC(redo, MAGIC);
    CHECK(length >= REDO_HEAD_BYTES && length <= REDO_RECORD_BYTES_MAX);
    uint64_t offset;
    if (!find_room(redo, length, &offset))
        return error_set(error, STATUS_AGAIN, "%s: no room in front of what is not in the store yet", redo->path);
    struct head head = {
        .magic = record_magic, .bytes = (uint32_t)length, .launch = redo->next.launch, .number = redo->next.number + 1};
    memcpy(record, &head, sizeof head);
    head.checksum = record_checksum(redo, record, length);
    memcpy(record, &head.checksum, sizeof head.checksum);
    if (offset + length > redo->file_bytes)
        write_ahead(redo, offset + length);
    enum status status = write_bytes(redo, record, length, offset, error);
    if (status != STATUS_OK)
        return status;
    if (offset + length > redo->file_bytes)
        redo->file_bytes = offset + length;
    redo->next.number++;
    redo->next.offset = offset + length;
    redo->used_bytes += length;
    redo->note.written_number = redo->next.number;
    write_note(redo);
    *place = redo->next;
    return STATUS_OK;
}

enum status redo_flush(struct redo *redo, struct error *error)
{
    CHECK_MAGIC(redo, MAGIC);
    errno = 0;
    /* After a failed flush the system may have dropped what it could not write and say yes the next time: no retry. */
    if (redo->file->pMethods->xSync(redo->file, SQLITE_SYNC_NORMAL) != SQLITE_OK)
        return error_set_errno(error, errno != 0 ? errno : EIO, "cannot sync %s", redo->path);
    redo->note.synced_number = redo->next.number;
    write_note(redo);
    return STATUS_OK;
}

void redo_free_up_to(struct redo *redo, const struct redo_place *place)
{
    CHECK_MAGIC(redo, MAGIC);
    CHECK(place->launch == redo->next.launch && place->number <= redo->next.number);
    redo->free = *place;
    if (is_all_free(redo))
        redo->used_bytes = 0;
    else if (redo->next.offset > place->offset)
        redo->used_bytes = redo->next.offset - place->offset;
    else
        redo->used_bytes = redo->file_bytes - place->offset + redo->next.offset;
}

size_t redo_used_bytes(const struct redo *redo)
{
    CHECK_MAGIC(redo, MAGIC);
    return redo->used_bytes;
}
