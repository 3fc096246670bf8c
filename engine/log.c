#include "engine/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"

enum { LOG_BUFFER_BYTES = 128 * 1024, LOG_LINE_BYTES_MAX = 64 * 1024, LOG_PATH_BYTES = 512 };

/* Where lines go: a descriptor with a buffer. */
struct log_sink {
    int fd; /* -1: none */
    size_t used_bytes;
    uint64_t line_count; /* in the buffer */
    bool failing;
    char *buffer;
};

struct log {
    struct log_sink console;
    struct log_sink file;
    enum log_level console_level;
    enum log_level file_level;
    uint64_t file_bytes;
    uint64_t file_bytes_max;
    char path[LOG_PATH_BYTES];
    char name[64];
    /* Writer: the log's thread. */
    _Atomic uint64_t lost_line_count;
};

static const char *const level_names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};

/* ---- opening ---- */

static void random_uuid(char text[37])
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        memset(bytes, 0, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* RFC 4122: version 4, variant 1 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    static const char digits[] = "0123456789abcdef";
    char *out = text;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static enum status open_file(struct log *log, struct error *error)
{
    log->file.fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log->file.fd < 0)
        return error_set_errno(error, errno, "cannot open the log file %s", log->path);
    struct stat information;
    log->file_bytes = fstat(log->file.fd, &information) == 0 ? (uint64_t)information.st_size : 0;
    return STATUS_OK;
}

enum status log_open(struct log **log_pointer, const struct log_settings *settings, struct error *error)
{
    struct log *log = calloc(1, sizeof *log);
    CHECK(log != NULL);
    log->console = (struct log_sink){.fd = STDERR_FILENO, .buffer = malloc(LOG_BUFFER_BYTES)};
    log->file = (struct log_sink){.fd = -1};
    CHECK(log->console.buffer != NULL);
    /* With a log of its own a node keeps stderr for what somebody should see at once. */
    log->console_level = settings->console ? settings->level
                         : settings->file  ? (enum log_level)(LOG_ERROR + 1)
                                           : (settings->level > LOG_WARN ? settings->level : LOG_WARN);
    log->file_level = settings->level;
    log->file_bytes_max = settings->file_bytes_max;
    snprintf(log->name, sizeof log->name, "%s", settings->node_name);
    *log_pointer = log;
    if (!settings->file)
        return STATUS_OK;
    log->file.buffer = malloc(LOG_BUFFER_BYTES);
    CHECK(log->file.buffer != NULL);
    char uuid[37];
    random_uuid(uuid);
    snprintf(log->path, sizeof log->path, "logs/%s.%s.%s.log", settings->node_name, settings->address, uuid);
    for (char *c = log->path + strlen("logs/"); *c != '\0'; c++)
        if (*c == '/')
            *c = '_';
    if (mkdir("logs", 0755) != 0 && errno != EEXIST)
        return error_set_errno(error, errno, "cannot make the directory logs");
    return open_file(log, error);
}

void log_close(struct log **log_pointer)
{
    struct log *log = *log_pointer;
    if (log == NULL)
        return;
    log_flush(log);
    if (log->file.fd >= 0)
        close(log->file.fd);
    free(log->console.buffer);
    free(log->file.buffer);
    free(log);
    *log_pointer = NULL;
}

/* ---- writing ---- */

static bool write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data += written;
        length -= (size_t)written;
    }
    return true;
}

static void tell_failure(struct log *log, struct log_sink *sink, int errno_value)
{
    if (sink->failing)
        return;
    sink->failing = true;
    if (sink == &log->file)
        fprintf(stderr, "millrace: cannot write the log file %s: %s; lines are lost until it can\n", log->path,
                strerror(errno_value));
}

static void rotate(struct log *log)
{
    char old[LOG_PATH_BYTES + 4];
    snprintf(old, sizeof old, "%s.1", log->path);
    struct error error = {0};
    close(log->file.fd);
    log->file.fd = -1;
    if (rename(log->path, old) != 0 || open_file(log, &error) != STATUS_OK)
        tell_failure(log, &log->file, errno);
}

static void flush_sink(struct log *log, struct log_sink *sink)
{
    if (sink->used_bytes == 0)
        return;
    if (sink == &log->file) {
        if (log->file_bytes > 0 && log->file_bytes + sink->used_bytes > log->file_bytes_max)
            rotate(log);
        struct error error = {0};
        if (log->file.fd < 0 && open_file(log, &error) != STATUS_OK)
            tell_failure(log, sink, errno);
    }
    if (sink->fd >= 0 && write_all(sink->fd, sink->buffer, sink->used_bytes)) {
        sink->failing = false;
        if (sink == &log->file)
            log->file_bytes += sink->used_bytes;
    } else {
        tell_failure(log, sink, errno);
        uint64_t lost = atomic_load_explicit(&log->lost_line_count, memory_order_relaxed) + sink->line_count;
        atomic_store_explicit(&log->lost_line_count, lost, memory_order_relaxed);
    }
    sink->used_bytes = 0;
    sink->line_count = 0;
}

void log_flush(struct log *log)
{
    flush_sink(log, &log->console);
    flush_sink(log, &log->file);
}

/* The largest batch that is written at once, so that a file's limit is kept to a line. */
static size_t sink_limit(const struct log *log, const struct log_sink *sink)
{
    return sink == &log->file && log->file_bytes_max < LOG_BUFFER_BYTES ? (size_t)log->file_bytes_max
                                                                        : (size_t)LOG_BUFFER_BYTES;
}

static void append_line(struct log *log, struct log_sink *sink, const char *head, size_t head_length, const char *text,
                        size_t length)
{
    if (sink->used_bytes + head_length + length + 1 > sink_limit(log, sink))
        flush_sink(log, sink);
    char *out = sink->buffer + sink->used_bytes;
    memcpy(out, head, head_length);
    memcpy(out + head_length, text, length);
    out[head_length + length] = '\n';
    sink->used_bytes += head_length + length + 1;
    sink->line_count++;
}

bool log_wants(const struct log *log, enum log_level level)
{
    return level >= log->console_level || (log->file.buffer != NULL && level >= log->file_level);
}

void log_text(struct log *log, enum log_level level, const char *text, size_t length)
{
    if (!log_wants(log, level))
        return;
    char head[128];
    clock_format_utc(clock_wall_ns(), head);
    int head_length = CLOCK_TEXT_BYTES - 1;
    head_length +=
        snprintf(head + head_length, sizeof head - (size_t)head_length, " %s %s: ", log->name, level_names[level]);
    if (length > LOG_LINE_BYTES_MAX)
        length = LOG_LINE_BYTES_MAX;
    if (level >= log->console_level)
        append_line(log, &log->console, head, (size_t)head_length, text, length);
    if (log->file.buffer != NULL && level >= log->file_level)
        append_line(log, &log->file, head, (size_t)head_length, text, length);
    if (level >= LOG_WARN)
        log_flush(log);
}

void log_line(struct log *log, enum log_level level, const char *format, ...)
{
    if (!log_wants(log, level))
        return;
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length < sizeof text) {
        log_text(log, level, text, (size_t)length);
        return;
    }
    size_t long_bytes = ((size_t)length < LOG_LINE_BYTES_MAX ? (size_t)length : (size_t)LOG_LINE_BYTES_MAX) + 1;
    char *long_text = malloc(long_bytes);
    CHECK(long_text != NULL);
    va_start(arguments, format);
    vsnprintf(long_text, long_bytes, format, arguments);
    va_end(arguments);
    log_text(log, level, long_text, long_bytes - 1);
    free(long_text);
}

uint64_t log_lost_line_count(const struct log *log)
{
    return atomic_load_explicit(&log->lost_line_count, memory_order_relaxed);
}
