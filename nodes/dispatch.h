/*
 * dispatch.h: from a queue's store to the workers that take from it by rings. The queue's thread.
 *
 * Workers ask for messages by having room. How much a worker may hold in advance follows how fast it has been: what it
 * does in some 20 ms, at least DISPATCH_AHEAD_MIN messages. So a fast worker gets full blocks, a slow one does not sit
 * on messages that another could do, and a stop finds little under way.
 *
 * Where the consumers are replicas that keep an order (--order of a worker): `key`: each message goes to the replica
 * that its key chooses (message_key.h), one by one, copied; while that one has no room, those behind it wait as well,
 * for the queue stays a FIFO. `fifo`: one replica, the first, gets all; the others stand by. A worker's check has seen
 * to it that nobody else in the launch takes from the queue.
 */
#ifndef NODES_DISPATCH_H
#define NODES_DISPATCH_H

#include "engine/message_store.h"
#include "engine/node.h"
#include "nodes/message_key.h"

enum { DISPATCH_AHEAD_MIN = 32 };

struct dispatch_target {
    struct edge *edge;
    uint64_t credit;         /* messages it may get before its progress is looked at again */
    uint64_t ahead_max;      /* what it may hold in advance */
    uint64_t released_count; /* its progress when last looked at */
    int64_t looked_ns;
};

/* So many messages, the oldest, have just gone to this target (and are counted by this function). */
typedef void dispatch_handed(void *context, size_t target, uint64_t count);

struct dispatch {
    struct node *node;
    struct dispatch_target *targets; /* one a consumer in the launch: the node's outputs that have no address */
    size_t target_count;
    size_t active_count;     /* so many of them, the first, get messages */
    struct message_key *key; /* chooses the target; NULL: whoever has room */
    dispatch_handed *handed; /* NULL: what was handed over counts as out at once */
    void *context;
    size_t next_target;
};

void dispatch_open(struct dispatch *dispatch, struct node *node);
void dispatch_close(struct dispatch *dispatch);

/* Hands out a bounded batch, at most `count_max`, oldest first, evenly among those that have room; counts it and its
 * latency (from when a message was put to now), and publishes it. Returns how many. */
uint64_t dispatch_messages(struct dispatch *dispatch, struct message_store *store, uint64_t count_max, int64_t now_ns);

/* Hands out one message that is not in the store, before those of the store. False: nobody has room. */
bool dispatch_message(struct dispatch *dispatch, const void *text, uint32_t length, int64_t put_ns, int64_t now_ns);

#endif
