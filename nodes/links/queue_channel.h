/*
 * queue_channel.h: commands to a queue outside this launch, and its replies; over UDP or TCP. A worker's inputs and
 * outputs and a feeder's output stand on it. Belongs to the node's thread; replies come from the thread's poller.
 *
 * A queue that is not there is tried again, 10 ms later, then twice as long each time, up to 1 s. The log gets one line
 * when it goes and one when it comes back. Over UDP "not there" means that the system says so (connection refused);
 * silence is the caller's business, who knows what it waits for.
 */
#ifndef NODES_LINKS_QUEUE_CHANNEL_H
#define NODES_LINKS_QUEUE_CHANNEL_H

#include "engine/node.h"

struct queue_channel;

struct queue_channel_handlers {
    /* The text of a reply. */
    void (*reply)(void *context, const void *text, size_t length);
    /* The queue is gone: replies to what was sent will not come. `refused`: what was sent since the last reply has not
     * been taken by anybody (UDP); else it may have been. */
    void (*broken)(void *context, bool refused);
    void *context;
};

enum status queue_channel_open(struct queue_channel **channel, struct node *node, const struct address *address,
                               uint64_t message_bytes_max, const struct queue_channel_handlers *handlers,
                               struct error *error) MUST_USE;
void queue_channel_close(struct queue_channel **channel);

/* Whether a command may be sent now. While the queue is not known to be there that is one command a try. */
bool queue_channel_can_send(const struct queue_channel *channel);

/* Sends one framed command, `verb` ("PUT:", "GET") and then `body`; gathered until queue_channel_flush. STATUS_INPUT:
 * it is longer than a datagram can be. */
enum status queue_channel_send(struct queue_channel *channel, const char *verb, const void *body,
                               size_t body_length) MUST_USE;
void queue_channel_flush(struct queue_channel *channel, int64_t now_ns);

/* Tries again if it is time. Returns when it wants to be called next. Call it each step, before anything else. */
int64_t queue_channel_step(struct queue_channel *channel, int64_t now_ns);

#endif
