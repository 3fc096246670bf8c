/*
 * bare_sender.h: messages to a sink or metrics receiver outside this launch: bare datagrams over UDP, frames over TCP.
 * The node's thread.
 *
 * UDP is fire and forget, as in the prototype: nothing comes back, but that nobody listens; then the message is lost
 * and counted, and the log says so once until somebody listens again. Over TCP messages wait until the connection is
 * there.
 */
#ifndef NODES_LINKS_BARE_SENDER_H
#define NODES_LINKS_BARE_SENDER_H

#include "engine/node.h"

struct bare_sender;

enum status bare_sender_open(struct bare_sender **sender, struct node *node, const struct address *address,
                             struct error *error) MUST_USE;
void bare_sender_close(struct bare_sender **sender);

bool bare_sender_has_room(const struct bare_sender *sender);
/* False: longer than a datagram can be, and not taken. */
bool bare_sender_emit(struct bare_sender *sender, const void *text, uint32_t length);
/* Returns when it wants to be called next. */
int64_t bare_sender_step(struct bare_sender *sender, int64_t now_ns);
/* Emitted, and not yet given to the system. */
uint64_t bare_sender_held_count(const struct bare_sender *sender);
uint64_t bare_sender_lost_count(const struct bare_sender *sender);

#endif
