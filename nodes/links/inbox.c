#include "nodes/links/inbox.h"

#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/store/journal.h"
#include "nodes/queue/recent_ids.h"

static const int64_t age_ns = 3600 * NS_PER_S;
/* The store's rows are trimmed once in so many. */
enum { TRIM_INTERVAL_COUNT = 65536 };

struct inbox {
    struct node *node;
    struct journal *journal;
    uint32_t queue; /* of the store */
    struct recent_ids *names;
    uint64_t added_count; /* since the last trim */
    /* While it is opened: */
    int64_t now_ns, wall_ns;
    enum status status;
    struct error *error;
};

static bool take_recovered(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    struct inbox *inbox = context;
    int64_t old_ns = inbox->wall_ns > wall_ns ? inbox->wall_ns - wall_ns : 0;
    uint32_t known;
    (void)message_bytes;
    if (old_ns > age_ns || recent_ids_find(inbox->names, id, id_length, inbox->now_ns - old_ns, &known))
        return true;
    inbox->status = recent_ids_add(inbox->names, id, id_length, inbox->now_ns - old_ns, 0, inbox->error);
    return inbox->status == STATUS_OK;
}

enum status inbox_open(struct inbox **inbox_pointer, struct node *node, const char *address, const char *owner,
                       struct error *error)
{
    struct inbox *inbox = calloc(1, sizeof *inbox);
    struct store_queue found;
    CHECK(inbox != NULL && node->journal != NULL);
    *inbox_pointer = inbox;
    inbox->node = node;
    inbox->journal = node->journal;
    inbox->now_ns = clock_monotonic_ns();
    inbox->wall_ns = clock_wall_ns();
    inbox->error = error;
    enum status status = recent_ids_open(&inbox->names, INBOX_COUNT_MAX, age_ns, error);
    if (status == STATUS_OK)
        status = journal_find_box(inbox->journal, "inbox", address, owner, &found, error);
    if (status != STATUS_OK)
        return status;
    inbox->queue = found.queue;
    status = store_read_ids(journal_store(inbox->journal), found.queue, take_recovered, inbox, error);
    return status == STATUS_OK ? inbox->status : status;
}

void inbox_close(struct inbox **inbox_pointer)
{
    struct inbox *inbox = *inbox_pointer;
    if (inbox == NULL)
        return;
    recent_ids_close(&inbox->names);
    free(inbox);
    *inbox_pointer = NULL;
}

bool inbox_has(const struct inbox *inbox, const void *name, size_t length, int64_t now_ns)
{
    uint32_t known;
    return recent_ids_find(inbox->names, name, length, now_ns, &known);
}

void inbox_add(struct inbox *inbox, const void *name, size_t length, int64_t now_ns)
{
    struct error error = {0};
    journal_remember_id(inbox->journal, inbox->queue, name, length, 0);
    if (recent_ids_add(inbox->names, name, length, now_ns, 0, &error) != STATUS_OK)
        log_line(inbox->node->log, LOG_ERROR, "%s: a message that is delivered again would be done again", error.text);
    if (++inbox->added_count < TRIM_INTERVAL_COUNT)
        return;
    inbox->added_count = 0;
    journal_trim_ids(inbox->journal, inbox->queue, INBOX_COUNT_MAX, clock_wall_ns() - age_ns);
}
