/*
 * line_reader.h: the lines of a file, one after another, with one buffer.
 */
#ifndef NODES_LINE_READER_H
#define NODES_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

struct line_reader;

/* STATUS_SYSTEM names the path: not there, a directory, not permitted. Lines longer than `line_bytes_max` are left out.
 */
enum status line_reader_open(struct line_reader **reader, const char *path, size_t line_bytes_max,
                             struct error *error) MUST_USE;
void line_reader_close(struct line_reader **reader);

/*
 * The next line without its end, valid until the next call. A last line without an end is a line. STATUS_CLOSED: the
 * file is at its end. STATUS_AGAIN: with *length 0, a pipe or terminal that has nothing now, or whose writer is still
 * to come; with 1, much was read, all of it of a long line or of lines too long: come again at once. STATUS_SYSTEM: it
 * cannot be read. Never waits for a writer.
 */
enum status line_reader_next(struct line_reader *reader, const char **line, size_t *length,
                             struct error *error) MUST_USE;

/* Lines left out because they were too long. */
uint64_t line_reader_too_long_count(const struct line_reader *reader);

#endif
