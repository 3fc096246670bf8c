/*
 * key_log.h: byte strings, first in, first out, close together: 2 bytes each beside the bytes. For one thread.
 */
#ifndef NODES_FUNCTIONS_KEY_LOG_H
#define NODES_FUNCTIONS_KEY_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum { KEY_LOG_KEY_BYTES_MAX = 1024 };

/* Starts as {0}. */
struct key_log {
    struct key_chunk *first, *last;
    size_t first_at; /* where the oldest is in the first chunk */
    uint64_t count;
};

void key_log_free(struct key_log *log);

/* STATUS_SYSTEM: no memory. */
enum status key_log_append(struct key_log *log, const void *key, size_t length, struct error *error) MUST_USE;

/* The oldest; there must be one. Valid until it is popped. */
const void *key_log_peek(const struct key_log *log, size_t *length);
void key_log_pop(struct key_log *log);

#endif
