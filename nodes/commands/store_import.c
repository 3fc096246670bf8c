/*
 * Messages and ids are gathered as long as they came in at the same time and follow each other, and go into the store
 * by the hundred: so the rows are about those of the store that was exported.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clock.h"
#include "nodes/commands/store_export.h"

/* Gathered at once; written in one transaction. */
enum { GATHERED_BYTES_MAX = 256 << 10, TRANSACTION_BYTES_MAX = 32 << 20 };

/* In front of a gathered message, and of a gathered id. */
enum { LENGTH_BYTES = 4, ID_FRONT_BYTES = 5 };

/* Placeholders for messages that are done with, so many at once. */
static const uint64_t filler_count_max = 64 << 10;

/* Whole numbers below this are exact in JSON's numbers. */
static const double number_limit = 9007199254740992.0;

/* A buffer that grows and is used again. Unlike a struct text it takes the longest message. */
struct bytes {
    char *data; /* NULL until something was put in */
    size_t length, capacity;
};

struct import {
    struct store *store;
    FILE *in;
    struct store_import_counts *counts;
    uint64_t line_number; /* of the record's line; bytes behind a line are not looked into */
    uint64_t record_count;
    cJSON *head;       /* the record's line */
    struct bytes body; /* the record's bytes */
    size_t written_bytes;

    bool has_queue, has_state;
    struct store_queue queue;
    uint64_t end_sequence; /* the queue's next_sequence, at the export */
    uint32_t state;

    /* Gathered: of the queue, put in at the same time. */
    struct bytes messages, ids;
    uint64_t gathered_count, gathered_id_count;
    uint64_t first_sequence;
    int64_t wall_ns, id_wall_ns;
};

static enum status bad_record(const struct import *import, struct error *error, const char *what)
{
    return error_set(error, STATUS_INPUT, "line %" PRIu64 ": %s", import->line_number, what);
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_SYSTEM, "no memory for a record");
}

/* Room for so many bytes more, or NULL. */
static char *reserve(struct bytes *bytes, size_t more)
{
    if (more > bytes->capacity - bytes->length) {
        size_t capacity = bytes->capacity + bytes->capacity / 2 + more;
        char *data = realloc(bytes->data, capacity);
        if (data == NULL)
            return NULL;
        bytes->data = data;
        bytes->capacity = capacity;
    }
    return bytes->data + bytes->length;
}

static bool append(struct bytes *bytes, const void *data, size_t length)
{
    char *place = length == 0 ? NULL : reserve(bytes, length);
    if (place != NULL)
        memcpy(place, data, length);
    bytes->length += place == NULL ? 0 : length;
    return place != NULL || length == 0;
}

/* ---- reading a record ---- */

static enum status read_count(const struct import *import, const char *name, uint64_t *count, struct error *error)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(import->head, name);
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(value >= 0 && value < number_limit) || floor(value) < value)
        return error_set(error, STATUS_INPUT, "line %" PRIu64 ": there is no number \"%s\" in it", import->line_number,
                         name);
    *count = (uint64_t)value;
    return STATUS_OK;
}

/* A count that a uint32_t holds. */
static enum status read_count32(const struct import *import, const char *name, uint32_t *count, struct error *error)
{
    uint64_t value = 0;
    enum status status = read_count(import, name, &value, error);
    if (status == STATUS_OK && value > UINT32_MAX)
        return bad_record(import, error, "a number is too large");
    *count = (uint32_t)value;
    return status;
}

static enum status read_time(const struct import *import, int64_t *wall_ns, struct error *error)
{
    uint64_t us = 0;
    enum status status = read_count(import, "time_us", &us, error);
    if (status == STATUS_OK && us > INT64_MAX / (uint64_t)NS_PER_US)
        return bad_record(import, error, "a time is too late");
    *wall_ns = (int64_t)us * NS_PER_US;
    return status;
}

static enum status read_body(struct import *import, struct error *error)
{
    import->body.length = 0;
    if (cJSON_GetObjectItemCaseSensitive(import->head, "bytes") == NULL)
        return STATUS_OK;
    uint64_t length = 0;
    enum status status = read_count(import, "bytes", &length, error);
    if (status != STATUS_OK)
        return status;
    /* Piece by piece, so that a wrong length takes no more memory than there are bytes. */
    while (import->body.length < length) {
        size_t left = (size_t)(length - import->body.length);
        size_t piece = left < GATHERED_BYTES_MAX ? left : GATHERED_BYTES_MAX;
        char *place = reserve(&import->body, piece);
        if (place == NULL)
            return no_memory(error);
        if (fread(place, 1, piece, import->in) != piece)
            return bad_record(import, error, "the export ends within a record");
        import->body.length += piece;
    }
    if (getc(import->in) != '\n')
        return bad_record(import, error, "no newline follows the record's bytes");
    return STATUS_OK;
}

static const char *kind_of(const struct import *import)
{
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(import->head, "kind"));
    return kind == NULL ? "" : kind;
}

static enum status read_record(struct import *import, struct error *error)
{
    char line[STORE_EXPORT_LINE_BYTES_MAX];
    import->line_number++;
    if (fgets(line, sizeof line, import->in) == NULL)
        return ferror(import->in) != 0 ? error_set_errno(error, errno, "the export cannot be read")
                                       : bad_record(import, error, "the export ends before its end");
    cJSON_Delete(import->head);
    const char *end = NULL;
    import->head = cJSON_ParseWithOpts(line, &end, 0);
    if (import->head == NULL || !cJSON_IsObject(import->head) || *end != '\n')
        return bad_record(import, error, "this is no record of an export");
    import->record_count++;
    return read_body(import, error);
}

/* ---- writing what was gathered ---- */

static enum status flush_ids(struct import *import, struct error *error)
{
    if (import->gathered_id_count == 0)
        return STATUS_OK;
    enum status status = store_add_ids(import->store, import->queue.queue, import->ids.data, import->ids.length,
                                       import->gathered_id_count, import->id_wall_ns, error);
    import->ids.length = 0;
    import->gathered_id_count = 0;
    return status;
}

static enum status flush_messages(struct import *import, struct error *error)
{
    if (import->gathered_count == 0)
        return STATUS_OK;
    enum status status =
        store_append(import->store, import->queue.queue, import->first_sequence, import->gathered_count,
                     import->messages.data, import->messages.length, import->wall_ns, error);
    import->messages.length = 0;
    import->gathered_count = 0;
    return status;
}

static enum status flush(struct import *import, struct error *error)
{
    enum status status = flush_messages(import, error);
    return status == STATUS_OK ? flush_ids(import, error) : status;
}

/* Commits when there is much. */
static enum status count_written(struct import *import, size_t bytes, struct error *error)
{
    import->written_bytes += bytes;
    if (import->written_bytes < TRANSACTION_BYTES_MAX)
        return STATUS_OK;
    import->written_bytes = 0;
    enum status status = flush(import, error);
    if (status == STATUS_OK)
        status = store_commit(import->store, false, error);
    return status == STATUS_OK ? store_begin(import->store, error) : status;
}

/* ---- records ---- */

/* Messages up to `sequence` that were done with: they are put in empty, and settled, since a queue has no gaps. */
static enum status fill_gap(struct import *import, uint64_t sequence, struct error *error)
{
    uint64_t first = import->queue.next_sequence;
    enum status status = first < sequence ? flush_messages(import, error) : STATUS_OK;
    while (first < sequence && status == STATUS_OK) {
        uint64_t count = sequence - first < filler_count_max ? sequence - first : filler_count_max;
        size_t bytes = (size_t)count * LENGTH_BYTES;
        void *fillers = calloc(1, bytes);
        if (fillers == NULL)
            return no_memory(error);
        status = store_append(import->store, import->queue.queue, first, count, fillers, bytes, 0, error);
        if (status == STATUS_OK)
            status = store_settle(import->store, import->queue.queue, first, count, error);
        free(fillers);
        first += count;
        import->queue.next_sequence = first;
        if (status == STATUS_OK)
            status = count_written(import, bytes, error);
    }
    return status;
}

static enum status end_queue(struct import *import, struct error *error)
{
    enum status status = import->has_queue ? fill_gap(import, import->end_sequence, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = flush(import, error);
    import->has_queue = false;
    return status;
}

static enum status read_name(const struct import *import, char name[STORE_NAME_BYTES_MAX + 1], struct error *error)
{
    size_t length = import->body.length;
    if (length == 0 || length > STORE_NAME_BYTES_MAX || memchr(import->body.data, '\0', length) != NULL)
        return bad_record(import, error, "a name is empty, too long, or has a NUL in it");
    memcpy(name, import->body.data, length);
    name[length] = '\0';
    return STATUS_OK;
}

static enum status import_queue(struct import *import, struct error *error)
{
    char name[STORE_NAME_BYTES_MAX + 1];
    uint64_t settled_below = 0;
    enum status status = end_queue(import, error);
    if (status == STATUS_OK)
        status = read_name(import, name, error);
    if (status == STATUS_OK)
        status = read_count(import, "settled_below", &settled_below, error);
    if (status == STATUS_OK)
        status = read_count(import, "next_sequence", &import->end_sequence, error);
    if (status == STATUS_OK)
        status = store_find_queue(import->store, name, &import->queue, error);
    if (status == STATUS_OK && import->queue.next_sequence != 1)
        return bad_record(import, error, "the queue comes twice");
    if (status == STATUS_OK)
        status = store_start_queue(import->store, import->queue.queue, settled_below, import->end_sequence, error);
    import->queue.next_sequence = settled_below;
    import->has_queue = status == STATUS_OK;
    return status;
}

static bool append_number(struct bytes *bytes, uint32_t number)
{
    const unsigned char digits[LENGTH_BYTES] = {(unsigned char)(number & 0xff), (unsigned char)(number >> 8 & 0xff),
                                                (unsigned char)(number >> 16 & 0xff), (unsigned char)(number >> 24)};
    return append(bytes, digits, sizeof digits);
}

static enum status gather_message(struct import *import, int64_t wall_ns, struct error *error)
{
    struct bytes *messages = &import->messages;
    enum status status = STATUS_OK;
    if (import->gathered_count > 0 &&
        (wall_ns != import->wall_ns || messages->length + import->body.length > GATHERED_BYTES_MAX))
        status = flush_messages(import, error);
    if (status != STATUS_OK)
        return status;
    if (import->gathered_count == 0)
        import->first_sequence = import->queue.next_sequence;
    import->wall_ns = wall_ns;
    if (!append_number(messages, (uint32_t)import->body.length) ||
        !append(messages, import->body.data, import->body.length))
        return no_memory(error);
    import->gathered_count++;
    import->queue.next_sequence++;
    return STATUS_OK;
}

static enum status import_message(struct import *import, struct error *error)
{
    uint64_t sequence = 0;
    uint32_t deliveries = 0;
    int64_t wall_ns = 0;
    enum status status = read_count(import, "sequence", &sequence, error);
    if (status == STATUS_OK)
        status = read_count32(import, "deliveries", &deliveries, error);
    if (status == STATUS_OK)
        status = read_time(import, &wall_ns, error);
    if (status == STATUS_OK &&
        (!import->has_queue || sequence < import->queue.next_sequence || sequence >= import->end_sequence))
        return bad_record(import, error, "the message is of no queue, or out of order");
    if (status == STATUS_OK && import->body.length > UINT32_MAX)
        return bad_record(import, error, "the message is too long");
    if (status == STATUS_OK)
        status = fill_gap(import, sequence, error);
    if (status == STATUS_OK)
        status = gather_message(import, wall_ns, error);
    if (status == STATUS_OK && deliveries > 0) {
        status = flush_messages(import, error);
        if (status == STATUS_OK)
            status = store_count_delivery(import->store, import->queue.queue, sequence, deliveries, error);
    }
    if (status != STATUS_OK)
        return status;
    import->counts->message_count++;
    return count_written(import, import->body.length + LENGTH_BYTES, error);
}

static enum status import_id(struct import *import, struct error *error)
{
    uint32_t answered_bytes = 0;
    int64_t wall_ns = 0;
    enum status status = read_count32(import, "answered_bytes", &answered_bytes, error);
    if (status == STATUS_OK)
        status = read_time(import, &wall_ns, error);
    if (status != STATUS_OK)
        return status;
    size_t length = import->body.length;
    if (!import->has_queue || length == 0 || length > STORE_ID_BYTES_MAX)
        return bad_record(import, error, "the id is of no queue, or none");
    if (import->gathered_id_count > 0 && (wall_ns != import->id_wall_ns || import->ids.length > GATHERED_BYTES_MAX))
        status = flush_ids(import, error);
    if (status != STATUS_OK)
        return status;
    import->id_wall_ns = wall_ns;
    const unsigned char length_byte = (unsigned char)length;
    if (!append(&import->ids, &length_byte, 1) || !append_number(&import->ids, answered_bytes) ||
        !append(&import->ids, import->body.data, length))
        return no_memory(error);
    import->gathered_id_count++;
    import->counts->id_count++;
    return count_written(import, length + ID_FRONT_BYTES, error);
}

static enum status import_state(struct import *import, struct error *error)
{
    char name[STORE_NAME_BYTES_MAX + 1];
    enum status status = end_queue(import, error);
    if (status == STATUS_OK)
        status = read_name(import, name, error);
    if (status == STATUS_OK)
        status = store_find_state(import->store, name, &import->state, error);
    import->has_state = status == STATUS_OK;
    return status;
}

static enum status import_pair(struct import *import, struct error *error)
{
    uint64_t key_length = 0;
    enum status status = read_count(import, "key_bytes", &key_length, error);
    if (status != STATUS_OK)
        return status;
    size_t length = import->body.length;
    if (!import->has_state || key_length > STORE_KEY_BYTES_MAX || key_length > length)
        return bad_record(import, error, "the pair is of no state, or its key is too long");
    const char *key = import->body.data == NULL ? "" : import->body.data;
    status = store_put(import->store, import->state, key, (size_t)key_length, key + key_length,
                       length - (size_t)key_length, error);
    if (status != STATUS_OK)
        return status;
    import->counts->pair_count++;
    return count_written(import, length, error);
}

static enum status import_end(struct import *import, struct error *error)
{
    uint64_t record_count = 0;
    enum status status = read_count(import, "records", &record_count, error);
    if (status == STATUS_OK && record_count != import->record_count - 1)
        return bad_record(import, error, "records are missing");
    const cJSON *complete = cJSON_GetObjectItemCaseSensitive(import->head, "complete");
    import->counts->is_complete = cJSON_IsTrue(complete) != 0;
    return status == STATUS_OK ? end_queue(import, error) : status;
}

/* ---- the whole ---- */

static const struct record_kind {
    const char *name;
    enum status (*import)(struct import *import, struct error *error);
} kinds[] = {
    {"queue", import_queue}, {"message", import_message}, {"id", import_id},
    {"state", import_state}, {"pair", import_pair},       {"end", import_end},
};

enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static enum status import_front(struct import *import, struct error *error)
{
    uint64_t format = 0;
    enum status status = read_record(import, error);
    if (status == STATUS_OK && strcmp(kind_of(import), "store") != 0)
        return bad_record(import, error, "this is no export of a store");
    if (status == STATUS_OK)
        status = read_count(import, "format", &format, error);
    if (status == STATUS_OK && format != STORE_EXPORT_FORMAT)
        return error_set(error, STATUS_INPUT, "this is an export of format %" PRIu64 "; known is %d", format,
                         STORE_EXPORT_FORMAT);
    return status;
}

static enum status import_records(struct import *import, struct error *error)
{
    enum status status = import_front(import, error);
    bool is_end = false;
    while (status == STATUS_OK && !is_end) {
        status = read_record(import, error);
        if (status != STATUS_OK)
            break;
        const struct record_kind *kind = kinds;
        while (kind < kinds + KIND_COUNT && strcmp(kind->name, kind_of(import)) != 0)
            kind++;
        if (kind == kinds + KIND_COUNT)
            return bad_record(import, error, "a record of an unknown kind");
        status = kind->import(import, error);
        is_end = kind->import == import_end;
    }
    return status;
}

enum status store_import(struct store *store, FILE *in, struct store_import_counts *counts, struct error *error)
{
    struct import import = {.store = store, .in = in, .counts = counts};
    *counts = (struct store_import_counts){0};
    enum status status = store_begin(store, error);
    if (status == STATUS_OK)
        status = import_records(&import, error);
    if (status == STATUS_OK)
        status = store_commit(store, true, error);
    cJSON_Delete(import.head);
    free(import.body.data);
    free(import.messages.data);
    free(import.ids.data);
    return status;
}
