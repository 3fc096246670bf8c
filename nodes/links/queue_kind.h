/*
 * queue_kind.h: whether a queue outside this launch knows a command that the prototype's does not. Part of what talks
 * to it, on the node's thread.
 *
 * It is asked that command, and SIZE beside it. The prototype's answers ERR unknown command, or is silent about the one
 * and not about the other, several times over. One that answers nothing is not there yet, and is asked on.
 */
#ifndef NODES_LINKS_QUEUE_KIND_H
#define NODES_LINKS_QUEUE_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/links/queue_channel.h"

enum queue_kind {
    QUEUE_KIND_UNKNOWN, /* not answered yet */
    QUEUE_KIND_KNOWS,
    QUEUE_KIND_PROTOTYPE,
};

/* All zero at first, and again after a break: the queue that comes back may be another. */
struct queue_judge {
    enum queue_kind kind;
    bool asked;
    unsigned silent_count;
    int64_t asked_ns;
};

/* Asks, if it is time; for one whose kind is unknown, between queue_channel_step and queue_channel_flush. Returns when
 * it wants to be called next. */
int64_t queue_judge_step(struct queue_judge *judge, struct queue_channel *channel, const char *question,
                         int64_t now_ns);

/* A reply came while the kind was unknown; `knows`: it is the answer of one that knows the command. */
void queue_judge_reply(struct queue_judge *judge, const void *text, size_t length, bool knows);

#endif
