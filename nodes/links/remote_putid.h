/*
 * remote_putid.h: messages to a queue outside this launch, with PUTID: each is there once, whatever is lost, doubled or
 * reordered on the way, and whatever crashes, as long as the queue remembers its id. The node's thread.
 *
 * The answer to a PUTID names no id, so no count of answers is safe over UDP. They are not looked at, but for what they
 * say of a queue that is full, or refuses a message for good. Instead the queue is asked with SEEN which of the ids it
 * has taken; that answer carries a nonce of its question's. What it has is confirmed (a sync queue says so only of what
 * is on its disk); what it has not is sent again. Messages go on while it is being asked.
 *
 * Order: as they were emitted, as far as the network keeps it. A message that was lost, or that a full queue refused,
 * comes behind those that were under way with it. After a lost connection, and when nobody listened, all that is not
 * confirmed goes again, in order.
 *
 * First the queue is asked what it is (queue_kind.h), and again after a break. A prototype's remembers no ids: nothing
 * is sent to it from here, the log says so, and the caller may use remote_put.h. Where one takes the place of a queue
 * that knew ids, the messages wait for that queue to come back.
 */
#ifndef NODES_LINKS_REMOTE_PUTID_H
#define NODES_LINKS_REMOTE_PUTID_H

#include "engine/node.h"
#include "nodes/links/queue_kind.h"

struct remote_putid;

struct remote_putid_counts {
    uint64_t confirmed_count; /* the queue has them */
    uint64_t rejected_count;  /* it refuses them for good, as too long: lost; the first has a line in the log */
    uint64_t resent_count;    /* sent again, each time */
    uint64_t full_count;      /* answers that the queue is full */
};

/* STATUS_SYSTEM: no socket, no random bytes. */
enum status remote_putid_open(struct remote_putid **putid, struct node *node, const struct address *address,
                              struct error *error) MUST_USE;
void remote_putid_close(struct remote_putid **putid);

/* False also as long as it was never known that the queue knows ids: so nothing is held for a prototype's. */
bool remote_putid_has_room(const struct remote_putid *putid);

/* Takes a copy; where there was no room, too. The id is 1 to QUEUE_ID_BYTES_MAX bytes without colon and comma, and
 * never another message's. False: the message is longer than a datagram holds, and is not taken. */
bool remote_putid_emit(struct remote_putid *putid, const void *id, size_t id_length, const void *text, uint32_t length);

/* Sends and asks what may be; returns when it wants to be called next. Call it each step. */
int64_t remote_putid_step(struct remote_putid *putid, int64_t now_ns);

/* Of the messages emitted since the start so many, the oldest, are done with: the queue has them, or has refused them
 * for good. */
uint64_t remote_putid_confirmed_count(const struct remote_putid *putid);
/* Messages that are not done with. */
uint64_t remote_putid_held_count(const struct remote_putid *putid);
struct remote_putid_counts remote_putid_counts(const struct remote_putid *putid);
enum queue_kind remote_putid_kind(const struct remote_putid *putid);

#endif
