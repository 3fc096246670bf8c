#include "nodes/links/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/message_store.h"
#include "engine/store/journal.h"

/* Unsent; beyond, the worker waits. */
static const uint64_t unsent_bytes_max = 16 * 1024 * 1024;

/* Messages below `end_sequence`, and not below the mark before, are on the disk with `ticket`. */
struct mark {
    uint64_t ticket;
    uint64_t end_sequence;
};

/* An append asks for a sync, so of the batches that are not on the disk one is open, one is sealed, and one, which was
 * logged before that could be sealed, is being flushed. */
enum { MARK_COUNT = 3 };

struct outbox {
    struct node *node;
    struct journal *journal;
    uint32_t queue; /* of the store */
    char id_head[STORE_ID_BYTES_MAX];
    struct message_store unsent;
    uint64_t settled_below;
    uint64_t unsent_from; /* the sequence of the first in `unsent` */
    uint64_t next_sequence;
    uint64_t popped_from; /* of the first that was popped since the start */
    uint64_t kept_below;  /* sequences below are on the disk */
    struct mark marks[MARK_COUNT];
    unsigned mark_count;
};

static bool take_recovered(void *context, const struct store_message *message)
{
    struct outbox *outbox = context;
    if (outbox->unsent.message_count == 0)
        outbox->unsent_from = message->sequence;
    if (outbox->unsent_from + outbox->unsent.message_count != message->sequence)
        return false; /* they are settled in their order, but what was saved from a damaged store may have gaps */
    message_store_append(&outbox->unsent, message->text, message->length, clock_monotonic_ns());
    return true;
}

static enum status recover(struct outbox *outbox, const char *address, const char *owner, struct error *error)
{
    struct store *store = journal_store(outbox->journal);
    struct store_queue found;
    enum status status = journal_find_box(outbox->journal, "outbox", address, owner, &found, error);
    if (status != STATUS_OK)
        return status;
    outbox->queue = found.queue;
    outbox->settled_below = found.settled_below;
    outbox->next_sequence = outbox->kept_below = outbox->unsent_from = found.next_sequence;
    snprintf(outbox->id_head, sizeof outbox->id_head, "%s.%lx.", store_identity(store), (unsigned long)found.queue);
    status = store_read_messages(store, found.queue, found.settled_below, UINT64_MAX, take_recovered, outbox, error);
    outbox->popped_from = outbox->unsent_from;
    if (status == STATUS_OK && outbox->unsent_from + outbox->unsent.message_count != outbox->next_sequence)
        return error_set(error, STATUS_CORRUPT,
                         "the messages to %s in the store have a gap; they can be saved with millrace store "
                         "export",
                         address);
    if (status == STATUS_OK && outbox->unsent.message_count > 0)
        log_line(outbox->node->log, LOG_INFO, "%s: sending %llu messages again that were not confirmed", address,
                 (unsigned long long)outbox->unsent.message_count);
    return status;
}

enum status outbox_open(struct outbox **outbox_pointer, struct node *node, const char *address, const char *owner,
                        struct error *error)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);
    CHECK(outbox != NULL && node->journal != NULL);
    *outbox_pointer = outbox;
    outbox->node = node;
    outbox->journal = node->journal;
    return recover(outbox, address, owner, error);
}

void outbox_close(struct outbox **outbox_pointer)
{
    struct outbox *outbox = *outbox_pointer;
    if (outbox == NULL)
        return;
    message_store_free(&outbox->unsent);
    free(outbox);
    *outbox_pointer = NULL;
}

bool outbox_has_room(const struct outbox *outbox)
{
    return outbox->unsent.record_bytes < unsent_bytes_max;
}

static void see_what_is_kept(struct outbox *outbox)
{
    uint64_t synced = journal_synced_ticket(outbox->journal);
    unsigned passed = 0;
    while (passed < outbox->mark_count && outbox->marks[passed].ticket <= synced)
        outbox->kept_below = outbox->marks[passed++].end_sequence;
    outbox->mark_count -= passed;
    memmove(outbox->marks, outbox->marks + passed, outbox->mark_count * sizeof *outbox->marks);
}

void outbox_append(struct outbox *outbox, const void *text, uint32_t length, int64_t time_ns)
{
    uint64_t ticket = journal_ticket(outbox->journal);
    see_what_is_kept(outbox);
    if (outbox->mark_count == 0 || outbox->marks[outbox->mark_count - 1].ticket != ticket) {
        CHECK(outbox->mark_count < MARK_COUNT);
        outbox->marks[outbox->mark_count++].ticket = ticket;
    }
    journal_append(outbox->journal, outbox->queue, outbox->next_sequence++, text, length);
    journal_want_sync(outbox->journal);
    outbox->marks[outbox->mark_count - 1].end_sequence = outbox->next_sequence;
    message_store_append(&outbox->unsent, text, length, time_ns);
}

const struct message *outbox_peek(struct outbox *outbox)
{
    if (outbox->unsent.message_count == 0)
        return NULL;
    see_what_is_kept(outbox);
    return outbox->unsent_from < outbox->kept_below ? message_store_peek(&outbox->unsent) : NULL;
}

size_t outbox_write_id(const struct outbox *outbox, char id[STORE_ID_BYTES_MAX])
{
    int length = snprintf(id, STORE_ID_BYTES_MAX, "%s%llx", outbox->id_head, (unsigned long long)outbox->unsent_from);
    CHECK(length > 0 && length < STORE_ID_BYTES_MAX);
    return (size_t)length;
}

void outbox_pop(struct outbox *outbox)
{
    message_store_pop(&outbox->unsent);
    outbox->unsent_from++;
}

void outbox_confirm(struct outbox *outbox, uint64_t confirmed_count)
{
    uint64_t confirmed_below = outbox->popped_from + confirmed_count;
    CHECK(confirmed_below <= outbox->unsent_from);
    if (confirmed_below <= outbox->settled_below)
        return;
    journal_settle(outbox->journal, outbox->queue, outbox->settled_below, confirmed_below - outbox->settled_below);
    outbox->settled_below = confirmed_below;
}

uint64_t outbox_held_count(const struct outbox *outbox)
{
    return outbox->next_sequence - outbox->settled_below;
}
