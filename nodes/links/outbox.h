/*
 * outbox.h: messages that a durable worker has emitted to somewhere outside the launch, in the store until they were
 * taken there. The durable thread.
 *
 * They are appended to a stored queue of their own in the batch that also settles the worker's input and has its state;
 * are sent when that batch is on the disk; and are settled when their receiver has taken them. What a start finds there
 * is sent again. To a queue each goes with an id that is always its own (outbox_write_id), so that a queue which
 * remembers ids takes it once, however often it is sent.
 */
#ifndef NODES_LINKS_OUTBOX_H
#define NODES_LINKS_OUTBOX_H

#include "engine/block.h"
#include "engine/node.h"
#include "engine/store/store.h"

struct outbox;

/* For what goes to `address`; `owner`: the node's name in the store (journal_find_box). Main thread; node->journal is
 * there. */
enum status outbox_open(struct outbox **outbox, struct node *node, const char *address, const char *owner,
                        struct error *error) MUST_USE;
void outbox_close(struct outbox **outbox);

/* Whether its node may take more input for it. */
bool outbox_has_room(const struct outbox *outbox);

/* Takes a copy, with or without room. */
void outbox_append(struct outbox *outbox, const void *text, uint32_t length, int64_t time_ns);

/* The oldest message that was not sent yet and is on the disk, or NULL. Valid until outbox_pop. */
const struct message *outbox_peek(struct outbox *outbox);
/* Its id. Returns the length; no NUL ends it. */
size_t outbox_write_id(const struct outbox *outbox, char id[STORE_ID_BYTES_MAX]);
/* It is with the sender now. */
void outbox_pop(struct outbox *outbox);
/* Of those that were popped so many, the oldest, are taken, all in all since the start. */
void outbox_confirm(struct outbox *outbox, uint64_t confirmed_count);

/* Not taken yet. */
uint64_t outbox_held_count(const struct outbox *outbox);

#endif
