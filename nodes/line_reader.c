#include "nodes/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/check.h"

enum {
    READ_BYTES = 256 * 1024,
    READ_COUNT_MAX = 16, /* a call: who leaves out long lines must hear of a stop */
};

struct line_reader {
    int fd;
    const char *path;
    size_t line_bytes_max;
    char *buffer; /* [start, end) is read and not yet handed out */
    size_t capacity;
    size_t start, end;
    size_t searched;    /* from start: no line end up to here */
    bool awaits_writer; /* a pipe that nobody has written to yet: its end is none */
    bool at_end;
    bool skipping; /* within a line that is too long */
    uint64_t too_long_count;
};

enum status line_reader_open(struct line_reader **reader_pointer, const char *path, size_t line_bytes_max,
                             struct error *error)
{
    /* O_NONBLOCK: a pipe without a writer must hold up neither a check nor a stop. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(error, errno, "cannot read %s", path);
    struct stat information;
    bool known = fstat(fd, &information) == 0;
    if (known && S_ISDIR(information.st_mode)) {
        close(fd);
        return error_set(error, STATUS_SYSTEM, "cannot read %s: it is a directory", path);
    }
    struct line_reader *reader = calloc(1, sizeof *reader);
    CHECK(reader != NULL);
    *reader = (struct line_reader){.fd = fd,
                                   .path = path,
                                   .line_bytes_max = line_bytes_max,
                                   .capacity = READ_BYTES,
                                   .awaits_writer = known && S_ISFIFO(information.st_mode)};
    reader->buffer = malloc(reader->capacity);
    CHECK(reader->buffer != NULL);
    *reader_pointer = reader;
    return STATUS_OK;
}

void line_reader_close(struct line_reader **reader)
{
    if (*reader == NULL)
        return;
    close((*reader)->fd);
    free((*reader)->buffer);
    free(*reader);
    *reader = NULL;
}

/* Moves what is left to the front and reads more behind it. */
static enum status fill(struct line_reader *reader, struct error *error)
{
    size_t left = reader->end - reader->start;
    if (reader->start > 0 && left > 0)
        memmove(reader->buffer, reader->buffer + reader->start, left);
    reader->start = 0;
    reader->end = left;
    if (left == reader->capacity) {
        reader->capacity *= 2;
        char *more = realloc(reader->buffer, reader->capacity);
        CHECK(more != NULL);
        reader->buffer = more;
    }
    ssize_t got;
    do
        got = read(reader->fd, reader->buffer + reader->end, reader->capacity - reader->end);
    while (got < 0 && errno == EINTR);
    if ((got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) || (got == 0 && reader->awaits_writer))
        return STATUS_AGAIN;
    if (got < 0)
        return error_set_errno(error, errno, "cannot read %s", reader->path);
    reader->awaits_writer = false;
    reader->at_end = got == 0;
    reader->end += (size_t)got;
    return STATUS_OK;
}

/* Hands out [start, start + length) and goes on behind it and `gap` bytes more. False: it belongs to a line too long.
 */
static bool hand_out(struct line_reader *reader, size_t length, size_t gap, const char **line, size_t *line_length)
{
    *line = reader->buffer + reader->start;
    *line_length = length;
    reader->start += length + gap;
    reader->searched = 0;
    bool too_long = reader->skipping || length > reader->line_bytes_max;
    reader->too_long_count += too_long && !reader->skipping;
    reader->skipping = false;
    return !too_long;
}

enum status line_reader_next(struct line_reader *reader, const char **line, size_t *length, struct error *error)
{
    for (unsigned read_count = 0;;) {
        size_t available = reader->end - reader->start;
        const char *from = reader->buffer + reader->start + reader->searched;
        const char *newline = available > reader->searched ? memchr(from, '\n', available - reader->searched) : NULL;
        if (newline != NULL) {
            size_t line_length = (size_t)(newline - (reader->buffer + reader->start));
            if (hand_out(reader, line_length, 1, line, length))
                return STATUS_OK;
            continue;
        }
        if (reader->at_end) {
            if (available == 0 || !hand_out(reader, available, 0, line, length))
                return STATUS_CLOSED;
            return STATUS_OK;
        }
        reader->searched = available;
        if (available > reader->line_bytes_max) { /* too long already: let go of it as it comes */
            reader->too_long_count += !reader->skipping;
            reader->skipping = true;
            reader->start = reader->end = reader->searched = 0;
        }
        bool enough = read_count++ == READ_COUNT_MAX;
        enum status status = enough ? STATUS_AGAIN : fill(reader, error);
        *length = enough;
        if (status != STATUS_OK)
            return status;
    }
}

uint64_t line_reader_too_long_count(const struct line_reader *reader)
{
    return reader->too_long_count;
}
