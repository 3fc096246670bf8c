/*
 * store_gather.c: few writes where SQLite makes many.
 *
 * SQLite writes a page into its log with two calls of the system, one for the frame's head and one for the page, and
 * again with one when the log is carried over; a thousand messages make a hundred. Here, in a VFS between SQLite and
 * the one that it would have used (https://www.sqlite.org/vfs.html), writes that lie one behind the other are gathered
 * and made as one. Nobody sees a difference:
 *   - Of a commit's frames SQLite tells others (in store.db-shm) only after the call that wrote the last of them, whose
 *     head says that it is the last; with that call all are written, and it has the error if they cannot be. Frames
 *     before it are nobody's but the writer's.
 *   - Of what is carried over it tells others only after the file's flush.
 *   - Any other call for the file writes first what is gathered.
 * What cannot be written is forgotten: SQLite takes the transaction back then, or carries over again.
 *
 * One store's connection for writing has a VFS of its own, for which SQLite is asked by its name.
 */
#include "engine/store/store_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"

enum {
    /* SQLite's VFS for Unix writes at most 128 KiB less one byte at once. */
    GATHERED_BYTES_MAX = 120 * 1024,
    FRAME_HEAD_BYTES = 24,
    /* In a frame's head: how many pages the file has after the commit; not 0 only in a commit's last frame. */
    COMMIT_OFFSET = 4,
    COMMIT_BYTES = 4,
};

struct store_gather {
    sqlite3_vfs vfs; /* first: SQLite hands it back */
    sqlite3_vfs *real;
    char name[32];
};

struct gathered;

/* What SQLite finds with a file. */
struct gathered_methods {
    sqlite3_io_methods methods; /* first */
    struct gathered *gathered;
};

/* Lies behind the real file, which is first, so that all methods that are not replaced work as they are. */
struct gathered {
    struct gathered_methods found;
    const sqlite3_io_methods *real;
    bool is_log;
    bool ends_commit;     /* the page that comes next is a commit's last */
    sqlite3_int64 offset; /* in the file, of what is gathered */
    sqlite3_int64 end;    /* behind what was written last */
    size_t length;
    char *bytes; /* GATHERED_BYTES_MAX */
};

static struct gathered *gathered_of(const sqlite3_file *file)
{
    return ((const struct gathered_methods *)file->pMethods)->gathered;
}

static int write_gathered(sqlite3_file *file, struct gathered *gathered)
{
    size_t length = gathered->length;
    gathered->length = 0;
    return length == 0 ? SQLITE_OK : gathered->real->xWrite(file, gathered->bytes, (int)length, gathered->offset);
}

static bool is_last_head(const struct gathered *gathered, const void *bytes, int length)
{
    static const char zeros[COMMIT_BYTES];
    return gathered->is_log && length == FRAME_HEAD_BYTES &&
           memcmp((const char *)bytes + COMMIT_OFFSET, zeros, COMMIT_BYTES) != 0;
}

/* What is written over is written at once: nothing says when it ends. */
static int gather_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 offset)
{
    struct gathered *gathered = gathered_of(file);
    bool ends_commit = gathered->ends_commit;
    bool follows = offset == gathered->end;
    gathered->ends_commit = follows && is_last_head(gathered, bytes, length);
    gathered->end = offset + length;
    size_t added = (size_t)length;
    int code = SQLITE_OK;
    if (!follows || added > GATHERED_BYTES_MAX - gathered->length)
        code = write_gathered(file, gathered);
    if (code != SQLITE_OK)
        return code;
    if (!follows || added > STORE_PAGE_BYTES)
        return gathered->real->xWrite(file, bytes, length, offset);
    if (gathered->length == 0)
        gathered->offset = offset;
    memcpy(gathered->bytes + gathered->length, bytes, added);
    gathered->length += added;
    return ends_commit ? write_gathered(file, gathered) : SQLITE_OK;
}

static int gather_close(sqlite3_file *file)
{
    struct gathered *gathered = gathered_of(file);
    int code = write_gathered(file, gathered);
    free(gathered->bytes);
    int close_code = gathered->real->xClose(file);
    return code != SQLITE_OK ? code : close_code;
}

static int gather_read(sqlite3_file *file, void *bytes, int length, sqlite3_int64 offset)
{
    struct gathered *gathered = gathered_of(file);
    int code = write_gathered(file, gathered);
    return code == SQLITE_OK ? gathered->real->xRead(file, bytes, length, offset) : code;
}

static int gather_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct gathered *gathered = gathered_of(file);
    int code = write_gathered(file, gathered);
    return code == SQLITE_OK ? gathered->real->xTruncate(file, size) : code;
}

static int gather_sync(sqlite3_file *file, int flags)
{
    struct gathered *gathered = gathered_of(file);
    int code = write_gathered(file, gathered);
    return code == SQLITE_OK ? gathered->real->xSync(file, flags) : code;
}

static int gather_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct gathered *gathered = gathered_of(file);
    int code = write_gathered(file, gathered);
    return code == SQLITE_OK ? gathered->real->xFileSize(file, size) : code;
}

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *flags_given)
{
    struct store_gather *gather = (struct store_gather *)vfs;
    int code = gather->real->xOpen(gather->real, path, file, flags, flags_given);
    if (code != SQLITE_OK || (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)) == 0)
        return code;
    struct gathered *gathered = (struct gathered *)(void *)((char *)file + gather->real->szOsFile);
    *gathered = (struct gathered){.found = {.methods = *file->pMethods, .gathered = gathered},
                                  .real = file->pMethods,
                                  .is_log = (flags & SQLITE_OPEN_WAL) != 0,
                                  .end = -1,
                                  .bytes = malloc(GATHERED_BYTES_MAX)};
    if (gathered->bytes == NULL) {
        file->pMethods->xClose(file);
        file->pMethods = NULL;
        return SQLITE_NOMEM;
    }
    sqlite3_io_methods *methods = &gathered->found.methods;
    methods->xWrite = gather_write;
    methods->xClose = gather_close;
    methods->xRead = gather_read;
    methods->xTruncate = gather_truncate;
    methods->xSync = gather_sync;
    methods->xFileSize = gather_size;
    file->pMethods = methods;
    return SQLITE_OK;
}

enum status store_gather_open(struct store_gather **gather, const char **vfs_name, struct error *error)
{
    struct store_gather *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    opened->real = sqlite3_vfs_find(NULL);
    CHECK(opened->real != NULL);
    snprintf(opened->name, sizeof opened->name, "millrace %p", (void *)opened);
    opened->vfs = *opened->real;
    opened->vfs.pNext = NULL;
    opened->vfs.zName = opened->name;
    opened->vfs.szOsFile = opened->real->szOsFile + (int)sizeof(struct gathered);
    opened->vfs.xOpen = open_file;
    if (sqlite3_vfs_register(&opened->vfs, 0) != SQLITE_OK) {
        free(opened);
        return error_set(error, STATUS_SYSTEM, "out of memory");
    }
    *gather = opened;
    *vfs_name = opened->name;
    return STATUS_OK;
}

void store_gather_close(struct store_gather **gather)
{
    if (*gather == NULL)
        return;
    sqlite3_vfs_unregister(&(*gather)->vfs);
    free(*gather);
    *gather = NULL;
}
