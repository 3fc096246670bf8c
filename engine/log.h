/*
 * log.h: one node's log.
 *
 * A line starts with the UTC time to the microsecond. Lines go to stderr (--console-log) and to
 * logs/<NODE>.<address>.<uuid>.log (--file-log); with neither, only warnings and errors go to stderr. Lines are
 * gathered and written when the buffer is full or at log_flush, which the thread loop calls before it goes idle.
 *
 * A log belongs to one thread at a time. A write that fails (disk full) costs lines, which are counted, and nothing
 * else; the log says so once on stderr and tries again with each flush.
 */
#ifndef ENGINE_LOG_H
#define ENGINE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log;

struct log_settings {
    const char *node_name; /* for the file's name: "MQ" */
    const char *address;   /* for the file's name; may be "" */
    bool console;
    bool file;
    enum log_level level;
    uint64_t file_bytes_max; /* the file is rotated (one predecessor kept, as .1) before it grows beyond this */
};

enum status log_open(struct log **log, const struct log_settings *settings, struct error *error) MUST_USE;
void log_close(struct log **log);

/* Whether a line of `level` would go anywhere: ask before making an expensive one. */
bool log_wants(const struct log *log, enum log_level level);

/* A line longer than 64 KiB is cut. Bytes that are not printable (but UTF-8 is) are the caller's business: see
 * log_quote. */
void log_line(struct log *log, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As log_line with "%s", for `length` bytes that are known to be fit to print; no formatting, for hot paths. */
void log_text(struct log *log, enum log_level level, const char *text, size_t length);

void log_flush(struct log *log);

/* Lines lost because a write failed. Any thread. */
uint64_t log_lost_line_count(const struct log *log);

/* Writes data as text fit for a log line into `text` (NUL-ended): printable ASCII and well-formed UTF-8 as they are,
 * other bytes as \xNN, cut with "..." when `text_bytes` (4 at least) is not enough. Returns `text`. */
const char *log_quote(const void *data, size_t length, char *text, size_t text_bytes);

/* To stderr with "millrace: ", as one line whatever the user's values hold. */
void error_print(const struct error *error);

#endif
