#include "tests/support/power_vfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "engine/check.h"
#include "engine/random.h"

enum { FILE_COUNT_MAX = 16, SECTOR_BYTES = 512 };

/* A write that was not synced yet, or with `is_cut` a change of size. */
struct pending {
    struct pending *next;
    uint64_t offset;
    size_t length;
    bool is_cut;
    unsigned char bytes[];
};

struct disk_file {
    char path[512]; /* empty: no file */
    bool is_there;
    unsigned char *synced;
    uint64_t synced_bytes;
    uint64_t synced_room; /* what is allocated */
    struct pending *first;
    struct pending **last;
    uint64_t bytes; /* as it is now, for the limit */
};

struct power_supply {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    struct disk_file files[FILE_COUNT_MAX];
    uint64_t operations_left;
    uint64_t bytes_max;
};

/* The real file lies in front, so that all methods that are not replaced (locks, shared memory) work as they are. */
struct wrapped {
    struct power_supply *supply;
    struct disk_file *disk;
    const sqlite3_io_methods *real;
    sqlite3_io_methods methods;
};

static struct wrapped *wrapped_of(sqlite3_file *file)
{
    /* The VFS is found through the one that SQLite knows as the default. */
    struct power_supply *supply = sqlite3_vfs_find(NULL)->pAppData;
    return (struct wrapped *)(void *)((char *)file + supply->real->szOsFile);
}

/* ---- the disk ---- */

static void forget_pending(struct disk_file *disk)
{
    while (disk->first != NULL) {
        struct pending *next = disk->first->next;
        free(disk->first);
        disk->first = next;
    }
    disk->last = &disk->first;
}

static void resize_synced(struct disk_file *disk, uint64_t bytes)
{
    if (bytes > disk->synced_room) {
        disk->synced_room = bytes * 2;
        disk->synced = realloc(disk->synced, disk->synced_room);
        CHECK(disk->synced != NULL);
    }
    if (bytes > disk->synced_bytes)
        memset(disk->synced + disk->synced_bytes, 0, bytes - disk->synced_bytes);
    disk->synced_bytes = bytes;
}

static void put_synced(struct disk_file *disk, uint64_t offset, const unsigned char *bytes, size_t length)
{
    if (offset + length > disk->synced_bytes)
        resize_synced(disk, offset + length);
    memcpy(disk->synced + offset, bytes, length);
}

static void put_pending(struct disk_file *disk, const struct pending *pending)
{
    if (pending->is_cut)
        resize_synced(disk, pending->offset);
    else
        put_synced(disk, pending->offset, pending->bytes, pending->length);
}

static void sync_disk(struct disk_file *disk)
{
    for (const struct pending *pending = disk->first; pending != NULL; pending = pending->next)
        put_pending(disk, pending);
    forget_pending(disk);
}

static void remember(struct disk_file *disk, uint64_t offset, const void *bytes, size_t length, bool is_cut)
{
    struct pending *pending = malloc(sizeof *pending + length);
    CHECK(pending != NULL);
    *pending = (struct pending){.offset = offset, .length = length, .is_cut = is_cut};
    if (length > 0)
        memcpy(pending->bytes, bytes, length);
    *disk->last = pending;
    disk->last = &pending->next;
}

static struct disk_file *find_disk(struct power_supply *supply, const char *path)
{
    struct disk_file *free_one = NULL;
    for (size_t i = 0; i < FILE_COUNT_MAX; i++) {
        if (strcmp(supply->files[i].path, path) == 0)
            return &supply->files[i];
        if (free_one == NULL && supply->files[i].path[0] == '\0')
            free_one = &supply->files[i];
    }
    CHECK(free_one != NULL && strlen(path) < sizeof free_one->path);
    *free_one = (struct disk_file){0};
    free_one->last = &free_one->first;
    memcpy(free_one->path, path, strlen(path) + 1);
    return free_one;
}

/* ---- the methods ---- */

static bool has_power(struct power_supply *supply)
{
    if (supply->operations_left == 0)
        return false;
    if (supply->operations_left != UINT64_MAX)
        supply->operations_left--;
    return true;
}

uint64_t power_supply_used_bytes(const struct power_supply *supply)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < FILE_COUNT_MAX; i++)
        bytes += supply->files[i].is_there ? supply->files[i].bytes : 0;
    return bytes;
}

static int power_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 offset)
{
    struct wrapped *wrapped = wrapped_of(file);
    struct power_supply *supply = wrapped->supply;
    struct disk_file *disk = wrapped->disk;
    if (!has_power(supply))
        return SQLITE_IOERR_WRITE;
    uint64_t end = (uint64_t)offset + (uint64_t)length;
    if (end > disk->bytes && supply->bytes_max != UINT64_MAX &&
        power_supply_used_bytes(supply) + (end - disk->bytes) > supply->bytes_max)
        return SQLITE_FULL;
    disk->bytes = end > disk->bytes ? end : disk->bytes;
    remember(disk, (uint64_t)offset, bytes, (size_t)length, false);
    return wrapped->real->xWrite(file, bytes, length, offset);
}

static int power_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    struct wrapped *wrapped = wrapped_of(file);
    if (!has_power(wrapped->supply))
        return SQLITE_IOERR_TRUNCATE;
    remember(wrapped->disk, (uint64_t)bytes, NULL, 0, true);
    wrapped->disk->bytes = (uint64_t)bytes;
    return wrapped->real->xTruncate(file, bytes);
}

static int power_sync(sqlite3_file *file, int flags)
{
    (void)flags; /* the real disk need not be synced */
    struct wrapped *wrapped = wrapped_of(file);
    if (!has_power(wrapped->supply))
        return SQLITE_IOERR_FSYNC;
    sync_disk(wrapped->disk);
    return SQLITE_OK;
}

static int power_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags)
{
    struct power_supply *supply = vfs->pAppData;
    if (path == NULL) /* a temporary file does not survive anyway */
        return supply->real->xOpen(supply->real, path, file, flags, out_flags);
    bool was_there = access(path, F_OK) == 0;
    int code = supply->real->xOpen(supply->real, path, file, flags, out_flags);
    if (code != SQLITE_OK)
        return code;
    struct wrapped *wrapped = wrapped_of(file);
    *wrapped = (struct wrapped){
        .supply = supply, .disk = find_disk(supply, path), .real = file->pMethods, .methods = *file->pMethods};
    if (!was_there) {
        /* Its name is on the disk at once, its contents are not: the worse case of the two. */
        forget_pending(wrapped->disk);
        wrapped->disk->synced_bytes = 0;
        wrapped->disk->bytes = 0;
    }
    wrapped->disk->is_there = true;
    wrapped->methods.xWrite = power_write;
    wrapped->methods.xTruncate = power_truncate;
    wrapped->methods.xSync = power_sync;
    file->pMethods = &wrapped->methods;
    return SQLITE_OK;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    struct power_supply *supply = vfs->pAppData;
    if (!has_power(supply))
        return SQLITE_IOERR_DELETE;
    struct disk_file *disk = find_disk(supply, path);
    disk->is_there = false;
    if (sync != 0) {
        forget_pending(disk);
        disk->synced_bytes = 0;
    }
    return supply->real->xDelete(supply->real, path, 0);
}

/* ---- the supply ---- */

struct power_supply *power_supply_new(void)
{
    struct power_supply *supply = calloc(1, sizeof *supply);
    CHECK(supply != NULL);
    supply->real = sqlite3_vfs_find(NULL);
    supply->vfs = *supply->real;
    supply->vfs.zName = "power";
    supply->vfs.pNext = NULL;
    supply->vfs.pAppData = supply;
    supply->vfs.szOsFile = supply->real->szOsFile + (int)sizeof(struct wrapped);
    supply->vfs.xOpen = power_open;
    supply->vfs.xDelete = power_delete;
    supply->operations_left = UINT64_MAX;
    supply->bytes_max = UINT64_MAX;
    CHECK(sqlite3_vfs_register(&supply->vfs, 1) == SQLITE_OK);
    return supply;
}

void power_supply_free(struct power_supply *supply)
{
    sqlite3_vfs_unregister(&supply->vfs);
    CHECK(sqlite3_vfs_register(supply->real, 1) == SQLITE_OK);
    for (size_t i = 0; i < FILE_COUNT_MAX; i++) {
        if (supply->files[i].path[0] != '\0')
            forget_pending(&supply->files[i]);
        free(supply->files[i].synced);
    }
    free(supply);
}

void power_supply_cut_after(struct power_supply *supply, uint64_t operation_count)
{
    supply->operations_left = operation_count;
}

void power_supply_limit(struct power_supply *supply, uint64_t bytes_max)
{
    supply->bytes_max = bytes_max;
}

/* How many of four writes are kept whole, dropped, torn differs from cut to cut. */
static void choose(struct disk_file *disk, struct random_state *random)
{
    uint64_t kept_percent = random_below(random, 3) * 50;
    for (const struct pending *pending = disk->first; pending != NULL; pending = pending->next) {
        if (random_below(random, 100) < kept_percent) {
            put_pending(disk, pending);
            continue;
        }
        if (pending->is_cut || random_below(random, 2) == 0)
            continue;
        for (size_t at = 0; at < pending->length; at += SECTOR_BYTES) {
            size_t rest = pending->length - at;
            if (random_below(random, 2) == 0)
                put_synced(disk, pending->offset + at, pending->bytes + at, rest < SECTOR_BYTES ? rest : SECTOR_BYTES);
        }
    }
    forget_pending(disk);
}

static void write_file(const struct disk_file *disk)
{
    FILE *file = fopen(disk->path, "w");
    CHECK(file != NULL);
    if (disk->synced_bytes > 0)
        CHECK(fwrite(disk->synced, 1, disk->synced_bytes, file) == disk->synced_bytes);
    CHECK(fclose(file) == 0);
}

static void remove_index(const char *path)
{
    char index[600];
    snprintf(index, sizeof index, "%s-shm", path);
    unlink(index);
}

void power_supply_restore(struct power_supply *supply, uint64_t seed)
{
    struct random_state random;
    random_seed(&random, seed);
    for (size_t i = 0; i < FILE_COUNT_MAX; i++) {
        struct disk_file *disk = &supply->files[i];
        if (disk->path[0] == '\0')
            continue;
        choose(disk, &random);
        if (!disk->is_there)
            disk->is_there = disk->synced_bytes > 0 && random_below(&random, 2) == 0;
        if (disk->is_there)
            write_file(disk);
        else
            unlink(disk->path);
        if (!disk->is_there)
            disk->synced_bytes = 0;
        disk->bytes = disk->synced_bytes;
        remove_index(disk->path);
    }
    supply->operations_left = UINT64_MAX;
}
