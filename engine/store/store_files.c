/* store_files.c: the store's directory and its lock, and which start of the system this is. */
#include "engine/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the directory ---- */

/* A new entry is on the disk when the directory that holds it is. */
static enum status sync_directory(const char *path, struct error *error)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set_errno(error, errno, "%s", path);
    enum status status = STATUS_OK;
    /* Some file systems have no such call for directories. */
    if (fsync(directory) != 0 && errno != EINVAL && errno != EROFS)
        status = error_set_errno(error, errno, "cannot sync %s", path);
    close(directory);
    return status;
}

/* The directory that `path` lies in; the caller frees it. */
static char *parent_of(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    return length == 0 ? strdup(".") : strndup(path, length);
}

enum status store_make_directory(const char *directory, struct error *error)
{
    if (mkdir(directory, 0777) != 0) {
        if (errno == EEXIST) {
            struct stat about;
            if (stat(directory, &about) == 0 && !S_ISDIR(about.st_mode))
                return error_set(error, STATUS_USAGE, "%s is no directory", directory);
            return STATUS_OK;
        }
        if (errno != ENOENT || directory[0] == '\0')
            return error_set_errno(error, errno, "cannot make the directory %s", directory);
        char *missing = parent_of(directory);
        enum status status =
            missing == NULL ? error_set(error, STATUS_SYSTEM, "out of memory") : store_make_directory(missing, error);
        free(missing);
        if (status != STATUS_OK)
            return status;
        if (mkdir(directory, 0777) != 0 && errno != EEXIST)
            return error_set_errno(error, errno, "cannot make the directory %s", directory);
    }
    char *parent = parent_of(directory);
    enum status status =
        parent == NULL ? error_set(error, STATUS_SYSTEM, "out of memory") : sync_directory(parent, error);
    free(parent);
    return status;
}

/* ---- the lock ---- */

static enum status refuse_locked(const char *directory, int lock_file, struct error *error)
{
    char owner[32] = {0};
    ssize_t length = pread(lock_file, owner, sizeof owner - 1, 0);
    char *end = owner;
    long pid = length > 0 ? strtol(owner, &end, 10) : 0;
    if (pid > 0)
        return error_set(error, STATUS_USAGE, "the store %s is in use by the process %ld", directory, pid);
    return error_set(error, STATUS_USAGE, "the store %s is in use by another process", directory);
}

static enum status write_owner(int lock_file)
{
    char owner[32] = {0};
    (void)snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    /* For people and for the error text above: nothing depends on it, so a full disk does no harm. The file is not cut
     * first: behind it lie the notes of store_log.c and redo.c. */
    return pwrite(lock_file, owner, sizeof owner, 0) == (ssize_t)sizeof owner ? STATUS_OK : STATUS_AGAIN;
}

enum status store_lock(const char *directory, int *lock_file, struct error *error)
{
    char *path;
    if (asprintf(&path, "%s/lock", directory) < 0)
        return error_set(error, STATUS_SYSTEM, "out of memory");
    /* flock and not fcntl: the lock belongs to the open file, so that two stores in one process exclude each other too.
     * The file is never removed: a lock on a removed file excludes nobody. */
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    enum status status = STATUS_OK;
    if (file < 0)
        status = error_set_errno(error, errno, "cannot open %s", path);
    else if (flock(file, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK ? refuse_locked(directory, file, error)
                                      : error_set_errno(error, errno, "cannot lock %s", path);
    free(path);
    if (status != STATUS_OK) {
        if (file >= 0)
            close(file);
        return status;
    }
    (void)write_owner(file);
    *lock_file = file;
    return STATUS_OK;
}

/* ---- the system ---- */

uint64_t store_boot(void)
{
    char text[64];
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
    if (file >= 0)
        close(file);
    return length > 0 ? store_hash_bytes(text, (size_t)length, 0) : 0;
}
