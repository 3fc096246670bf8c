#include "nodes/commands/store_export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clock.h"

struct export
{
    struct store *store;
    FILE *out;
    FILE *complaints;
    uint64_t record_count;
    uint64_t lost_count;
    const char *queue_name;
    uint64_t next_sequence; /* of the queue: the one behind the last that was written */
};

/* ---- records ---- */

static void end_record(struct export *export)
{
    (void)putc('\n', export->out);
    export->record_count++;
}

static void write_bytes(struct export *export, const void *data, size_t length)
{
    if (length > 0)
        (void)fwrite(data, 1, length, export->out);
}

static bool write_message(void *context, const struct store_message *message)
{
    struct export *export = context;
    fprintf(export->out,
            "{\"kind\": \"message\", \"sequence\": %" PRIu64 ", \"time_us\": %" PRId64 ", \"deliveries\": %" PRIu32
            ", \"bytes\": %" PRIu32 "}\n",
            message->sequence, message->wall_ns / NS_PER_US, message->deliveries, message->length);
    write_bytes(export, message->text, message->length);
    end_record(export);
    export->next_sequence = message->sequence + 1;
    return ferror(export->out) == 0;
}

static bool write_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    struct export *export = context;
    fprintf(export->out,
            "{\"kind\": \"id\", \"time_us\": %" PRId64 ", \"answered_bytes\": %" PRIu32 ", \"bytes\": %zu}\n",
            wall_ns / NS_PER_US, message_bytes, id_length);
    write_bytes(export, id, id_length);
    end_record(export);
    return ferror(export->out) == 0;
}

static bool write_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct export *export = context;
    fprintf(export->out, "{\"kind\": \"pair\", \"key_bytes\": %zu, \"bytes\": %zu}\n", key_length,
            key_length + value_length);
    write_bytes(export, key, key_length);
    write_bytes(export, value, value_length);
    end_record(export);
    return ferror(export->out) == 0;
}

/* ---- what cannot be read ---- */

static void complain(struct export *export, const char *text)
{
    fprintf(export->complaints, "%s\n", text);
    export->lost_count++;
}

/* A fault in what is kept is told, and the rest goes on. */
static enum status pass_over(struct export *export, enum status status, const struct error *error)
{
    if (status != STATUS_CORRUPT)
        return status;
    complain(export, error->text);
    return STATUS_OK;
}

static void complain_of_gap(struct export *export, uint64_t end)
{
    if (export->next_sequence >= end)
        return;
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text,
                   "queue '%s': the messages from %" PRIu64 " to %" PRIu64 " are lost, save those that were done with",
                   export->queue_name, export->next_sequence, end - 1);
    complain(export, text);
}

/* Writes those that were not written yet. */
static bool salvage_message(void *context, const struct store_message *message)
{
    struct export *export = context;
    if (message->sequence < export->next_sequence)
        return true;
    complain_of_gap(export, message->sequence);
    return write_message(export, message);
}

/* Messages from where something cannot be read on. */
static enum status salvage_messages(struct export *export, const struct store_queue *queue, struct error *error)
{
    uint64_t lost_count;
    enum status status =
        store_salvage_messages(export->store, queue->queue, salvage_message, export, &lost_count, error);
    if (status == STATUS_OK)
        complain_of_gap(export, queue->next_sequence);
    return status;
}

static enum status export_messages(struct export *export, const char *name, const struct store_queue *queue,
                                   struct error *error)
{
    export->queue_name = name;
    export->next_sequence = queue->settled_below;
    enum status status = store_read_messages(export->store, queue->queue, queue->settled_below, UINT64_MAX,
                                             write_message, export, error);
    if (status != STATUS_CORRUPT)
        return status;
    complain(export, error->text);
    return salvage_messages(export, queue, error);
}

/* ---- names ---- */

struct names {
    char (*items)[STORE_NAME_BYTES_MAX + 1];
    uint32_t *numbers;
    size_t count;
    bool failed;
};

static bool add_name(void *context, const char *name, uint32_t number)
{
    struct names *names = context;
    void *items = reallocarray(names->items, names->count + 1, sizeof *names->items);
    if (items != NULL)
        names->items = items;
    void *numbers = reallocarray(names->numbers, names->count + 1, sizeof *names->numbers);
    if (numbers != NULL)
        names->numbers = numbers;
    names->failed = items == NULL || numbers == NULL;
    if (names->failed)
        return false;
    (void)snprintf(names->items[names->count], sizeof *names->items, "%s", name);
    names->numbers[names->count++] = number;
    return true;
}

static void free_names(struct names *names)
{
    free(names->items);
    free(names->numbers);
}

/* ---- the whole ---- */

static enum status export_queue(struct export *export, const char *name, uint32_t number, struct error *error)
{
    struct store_queue queue;
    store_count_queue(export->store, number, &queue);
    fprintf(export->out,
            "{\"kind\": \"queue\", \"settled_below\": %" PRIu64 ", \"next_sequence\": %" PRIu64 ", \"bytes\": %zu}\n",
            queue.settled_below, queue.next_sequence, strlen(name));
    write_bytes(export, name, strlen(name));
    end_record(export);
    enum status status = export_messages(export, name, &queue, error);
    if (status != STATUS_OK)
        return status;
    return pass_over(export, store_read_ids(export->store, queue.queue, write_id, export, error), error);
}

static enum status export_state(struct export *export, const char *name, uint32_t state, struct error *error)
{
    fprintf(export->out, "{\"kind\": \"state\", \"bytes\": %zu}\n", strlen(name));
    write_bytes(export, name, strlen(name));
    end_record(export);
    return pass_over(export, store_read_state(export->store, state, write_pair, export, error), error);
}

static enum status export_all(struct export *export, const struct names *queues, const struct names *states,
                              struct error *error)
{
    fprintf(export->out, "{\"kind\": \"store\", \"format\": %d, \"identity\": \"%s\"}", STORE_EXPORT_FORMAT,
            store_identity(export->store));
    end_record(export);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < queues->count && status == STATUS_OK; i++)
        status = export_queue(export, queues->items[i], queues->numbers[i], error);
    for (size_t i = 0; i < states->count && status == STATUS_OK; i++)
        status = export_state(export, states->items[i], states->numbers[i], error);
    if (status != STATUS_OK)
        return status;
    fprintf(export->out, "{\"kind\": \"end\", \"records\": %" PRIu64 ", \"complete\": %s}\n", export->record_count,
            export->lost_count == 0 ? "true" : "false");
    if (fflush(export->out) != 0 || ferror(export->out) != 0)
        return error_set_errno(error, errno, "the export cannot be written");
    return STATUS_OK;
}

enum status store_export(struct store *store, const struct error *missing, FILE *out, FILE *complaints,
                         uint64_t *lost_count, struct error *error)
{
    struct export export = {.store = store, .out = out, .complaints = complaints};
    struct names queues = {0};
    struct names states = {0};
    enum status status = store_begin_snapshot(store, error);
    if (status != STATUS_OK)
        return status;
    if (missing->text[0] != '\0')
        complain(&export, missing->text);
    status = pass_over(&export, store_check_log(store, error), error);
    if (status == STATUS_OK)
        status = store_list_queues(store, add_name, &queues, error);
    if (status == STATUS_OK)
        status = store_list_states(store, add_name, &states, error);
    if (status == STATUS_OK && (queues.failed || states.failed))
        status = error_set(error, STATUS_SYSTEM, "no memory for the names of queues and states");
    if (status == STATUS_OK)
        status = export_all(&export, &queues, &states, error);
    store_end_snapshot(store);
    free_names(&queues);
    free_names(&states);
    *lost_count = export.lost_count;
    return status;
}
