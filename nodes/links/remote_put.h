/*
 * remote_put.h: messages to a queue outside this launch, with PUT. The node's thread.
 *
 * The sender does not wait for a reply before it sends the next message, but it counts them: only so many messages and
 * bytes are unanswered at a time, so that a slow queue slows its senders down instead of losing datagrams. A message is
 * kept until it is answered, and sent again only where it was certainly not taken: the queue answered ERR queue full,
 * or nobody listened. Where an answer is just lost, the message may have been taken, and is not sent twice; it counts
 * as unconfirmed. A queue that never answers anything is sent to without waiting.
 */
#ifndef NODES_LINKS_REMOTE_PUT_H
#define NODES_LINKS_REMOTE_PUT_H

#include "engine/node.h"

struct remote_put;

struct remote_put_counts {
    uint64_t confirmed_count;
    uint64_t unconfirmed_count; /* no answer came; it may be there or not */
    uint64_t rejected_count;    /* the queue answered with an error other than full: not there */
    uint64_t full_count;        /* the queue was full; sent again */
};

enum status remote_put_open(struct remote_put **put, struct node *node, const struct address *address,
                            struct error *error) MUST_USE;
void remote_put_close(struct remote_put **put);

bool remote_put_has_room(const struct remote_put *put);
/* Takes a copy; where there was no room, too. False: the message is longer than a datagram holds, and is not taken. */
bool remote_put_emit(struct remote_put *put, const void *text, uint32_t length);
/* Sends what may be sent; returns when it wants to be called next. Call it each step. */
int64_t remote_put_step(struct remote_put *put, int64_t now_ns);
/* Messages that are not yet answered for. */
uint64_t remote_put_held_count(const struct remote_put *put);
struct remote_put_counts remote_put_counts(const struct remote_put *put);

#endif
