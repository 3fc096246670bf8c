/* The command that looks after a store. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/store/recovery.h"
#include "engine/store/store.h"
#include "nodes/commands/store_export.h"
#include "nodes/node_types.h"

static const char usage_line[] = "usage: millrace store check|export|import|compact DIRECTORY";

/* ---- check ---- */

static enum status check(const char *directory, struct error *error)
{
    struct store *store = NULL;
    struct error missing;
    uint64_t fault_count = 0;
    enum status status = recovery_open_reader(&store, directory, &missing, error);
    if (status == STATUS_OK)
        status = store_check(store, stdout, &fault_count, error);
    if (status == STATUS_OK && missing.text[0] != '\0') {
        puts(missing.text);
        fault_count++;
    }
    if (status == STATUS_OK && fault_count == 0)
        printf("%s: no faults in %" PRIu64 " bytes\n", directory, store_file_bytes(store));
    store_close(&store);
    if (status == STATUS_OK && fault_count > 0)
        status =
            error_set(error, STATUS_CORRUPT, "%s: %" PRIu64 " faults; millrace store export saves what can be read",
                      directory, fault_count);
    return status;
}

/* ---- export ---- */

static enum status export(const char *directory, struct error *error) {
    struct store *store = NULL; struct error missing; uint64_t lost_count = 0;
    enum status status = recovery_open_reader(&store, directory, &missing, error);
    if (status == STATUS_OK) status = store_export(store, &missing, stdout, stderr, &lost_count, error);
    store_close(&store);
    if (status == STATUS_OK && lost_count > 0)
        status = error_set(error, STATUS_CORRUPT, "%s: what could not be read is not in the export", directory);
    return status;
}

/* ---- import ---- */

static enum status import_into(const char *part, const char *directory, struct error *error)
{
    struct store *store = NULL;
    struct store_import_counts counts;
    enum status status = recovery_open_store(&store, part, error);
    if (status == STATUS_OK)
        status = store_import(store, stdin, &counts, error);
    store_close(&store);
    if (status != STATUS_OK)
        return status;
    /* Over an empty directory too. */
    if (rename(part, directory) != 0)
        return error_set_errno(error, errno, "cannot rename %s to %s", part, directory);
    printf("%s: %" PRIu64 " messages, %" PRIu64 " ids, %" PRIu64 " pairs of states%s\n", directory,
           counts.message_count, counts.id_count, counts.pair_count,
           counts.is_complete ? "" : "; the export says that it is not complete");
    return STATUS_OK;
}

/* Puts the directory's name on the disk too. */
static enum status sync_parent(const char *directory, struct error *error)
{
    char *path = NULL;
    if (asprintf(&path, "%s/..", directory) < 0)
        return error_set(error, STATUS_SYSTEM, "no memory for a name");
    int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;
    if (parent < 0 || fsync(parent) != 0)
        status = error_set_errno(error, errno, "cannot sync %s", path);
    if (parent >= 0)
        close(parent);
    free(path);
    return status;
}

/* What a failed import left: a directory of files. */
static void remove_part(const char *part)
{
    DIR *directory = opendir(part);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        (void)unlinkat(dirfd(directory), entry->d_name, 0); /* not "." and "..": they are directories */
    closedir(directory);
    (void)rmdir(part);
}

/* Made beside its place and then renamed: so DIRECTORY is never half a store. */
static enum status import(const char *directory, struct error *error)
{
    if (rmdir(directory) != 0 && errno != ENOENT)
        return error_set_errno(error, errno, "%s is in the way of a new store", directory);
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    char *part = NULL;
    if (asprintf(&part, "%.*s.part", (int)length, directory) < 0)
        return error_set(error, STATUS_SYSTEM, "no memory for a name");
    enum status status;
    if (access(part, F_OK) == 0) {
        status =
            error_set(error, STATUS_USAGE, "%s is there: another import makes it, or was killed; then remove it", part);
    } else {
        status = import_into(part, directory, error);
        if (status != STATUS_OK)
            remove_part(part);
    }
    if (status == STATUS_OK)
        status = sync_parent(directory, error);
    free(part);
    return status;
}

/* ---- compact ---- */

/* As recovery_open_store, but makes no new store. */
static enum status open_existing(struct store **store, const char *directory, struct error *error)
{
    struct error ignored; /* said again when it is opened for writing */
    enum status status = recovery_open_reader(store, directory, &ignored, error);
    store_close(store);
    return status == STATUS_OK ? recovery_open_store(store, directory, error) : status;
}

static enum status compact(const char *directory, struct error *error)
{
    struct store *store = NULL;
    enum status status = open_existing(&store, directory, error);
    if (status != STATUS_OK)
        return status;
    uint64_t before_bytes = store_file_bytes(store);
    status = store_compact(store, error);
    if (status == STATUS_OK)
        printf("%s: %" PRIu64 " bytes; they were %" PRIu64 "\n", directory, store_file_bytes(store), before_bytes);
    store_close(&store);
    return status;
}

/* ---- the command ---- */

static const struct verb {
    const char *name;
    enum status (*run)(const char *directory, struct error *error);
} verbs[] = {{"check", check}, {"export", export}, {"import", import}, {"compact", compact}};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static int run(int count, char **arguments)
{
    const struct verb *verb = verbs;
    while (count > 0 && verb < verbs + VERB_COUNT && strcmp(verb->name, arguments[0]) != 0)
        verb++;
    if (count != 2 || verb == verbs + VERB_COUNT) {
        fprintf(stderr, "millrace: store: needs one of four words and a directory\n%s\n", usage_line);
        return 2;
    }
    struct error error = {0};
    enum status status = verb->run(arguments[1], &error);
    if (status == STATUS_OK && fflush(stdout) != 0)
        status = error_set_errno(&error, errno, "the output cannot be written");
    if (status == STATUS_OK)
        return 0;
    fprintf(stderr, "millrace: store: %s\n", status == STATUS_AGAIN ? "the disk is full" : error.text);
    return status == STATUS_USAGE ? 2 : 1;
}

const struct command store_command = {
    .name = "store",
    .usage = "check|export|import|compact DIRECTORY",
    .summary = "look after a store: find faults, write it out, read it in, make it small",
    .run = run,
    .details =
        "  check     reads everything and says what is wrong; exit status 1 if something is\n"
        "  export    writes what can be read to standard output; says what cannot, then exit status 1\n"
        "  import    makes the new store DIRECTORY of an export at standard input\n"
        "  compact   gives back to the file system what is not used\n\n"
        "check and export work beside a launch that uses the store, the others do not. What a killed launch has left\n"
        "in the store's redo log is brought in first; check and export say so where it cannot be, exit status 1.\n\n"
        "An export is a row of records: a line of JSON, an object, and if that has a member \"bytes\", so many bytes\n"
        "of any kind and a newline. Kinds, in this order:\n"
        "  store     format, identity\n"
        "  queue     settled_below, next_sequence, bytes: its name; behind it what it holds:\n"
        "  message   sequence, time_us (since 1970), deliveries, bytes: the message\n"
        "  id        time_us, answered_bytes, bytes: an id of PUTID\n"
        "  state     bytes: its name; behind it what it holds:\n"
        "  pair      key_bytes, bytes: the key and the value\n"
        "  end       records: how many came before, complete: whether everything could be read\n",
};
