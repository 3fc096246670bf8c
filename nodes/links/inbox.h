/*
 * inbox.h: which messages of a queue elsewhere an exactly-once worker has done: a message that is delivered again,
 * because its acknowledgement came too late or was lost, is not done again. The durable thread.
 *
 * The names of done messages are put into the batch that has what came of them, and are remembered as a queue remembers
 * the ids of PUTID: the youngest INBOX_COUNT_MAX, for an hour. A queue delivers again what it has on lease, which is
 * far less.
 */
#ifndef NODES_LINKS_INBOX_H
#define NODES_LINKS_INBOX_H

#include "engine/node.h"

enum { INBOX_COUNT_MAX = 1000000 };

struct inbox;

/* Of the queue at `address`; `owner`: the node's name in the store (journal_find_box). Main thread; node->journal is
 * there. */
enum status inbox_open(struct inbox **inbox, struct node *node, const char *address, const char *owner,
                       struct error *error) MUST_USE;
void inbox_close(struct inbox **inbox);

/* Whether the message of this name (1 to 64 bytes) is done. */
bool inbox_has(const struct inbox *inbox, const void *name, size_t length, int64_t now_ns);
/* It is done, with the open batch. inbox_has has just said no. */
void inbox_add(struct inbox *inbox, const void *name, size_t length, int64_t now_ns);

#endif
