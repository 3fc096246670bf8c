#include "nodes/functions/key_log.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"

enum { CHUNK_BYTES = 64 * 1024 };

struct key_chunk {
    struct key_chunk *next;
    size_t used_bytes;
    unsigned char bytes[]; /* of each its length, 2 bytes in the machine's order, and itself */
};

enum { ROOM_BYTES = CHUNK_BYTES - sizeof(struct key_chunk) };

static void drop_first(struct key_log *log)
{
    struct key_chunk *gone = log->first;
    log->first = gone->next;
    log->first_at = 0;
    if (log->first == NULL)
        log->last = NULL;
    free(gone);
}

void key_log_free(struct key_log *log)
{
    while (log->first != NULL)
        drop_first(log);
    *log = (struct key_log){0};
}

enum status key_log_append(struct key_log *log, const void *key, size_t length, struct error *error)
{
    CHECK(length <= KEY_LOG_KEY_BYTES_MAX);
    const uint16_t length16 = (uint16_t)length;
    struct key_chunk *chunk = log->last;
    if (chunk == NULL || chunk->used_bytes + sizeof length16 + length > ROOM_BYTES) {
        struct key_chunk *made = malloc(CHUNK_BYTES);
        if (made == NULL)
            return error_set(error, STATUS_SYSTEM, "no memory for another key");
        made->next = NULL;
        made->used_bytes = 0;
        if (chunk != NULL)
            chunk->next = made;
        else
            log->first = made;
        log->last = chunk = made;
    }
    memcpy(chunk->bytes + chunk->used_bytes, &length16, sizeof length16);
    memcpy(chunk->bytes + chunk->used_bytes + sizeof length16, key, length);
    chunk->used_bytes += sizeof length16 + length;
    log->count++;
    return STATUS_OK;
}

const void *key_log_peek(const struct key_log *log, size_t *length)
{
    CHECK(log->count > 0);
    uint16_t length16;
    memcpy(&length16, log->first->bytes + log->first_at, sizeof length16);
    *length = length16;
    return log->first->bytes + log->first_at + sizeof length16;
}

void key_log_pop(struct key_log *log)
{
    size_t length;
    (void)key_log_peek(log, &length);
    log->first_at += sizeof(uint16_t) + length;
    log->count--;
    if (log->first_at == log->first->used_bytes)
        drop_first(log);
}
