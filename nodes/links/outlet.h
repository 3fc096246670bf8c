/*
 * outlet.h: where a worker's or feeder's messages go: a ring to a node of the launch, PUTs to a queue elsewhere, bare
 * datagrams or frames to a sink elsewhere. One interface over the four; the node's thread.
 */
#ifndef NODES_LINKS_OUTLET_H
#define NODES_LINKS_OUTLET_H

#include "engine/node.h"

struct outlet;

struct outlet_counts {
    uint64_t held_count;        /* emitted and not yet on their way; 0 for rings: they are in flight on the edge */
    uint64_t kept_count;        /* ... of these, in the store: there after a restart */
    uint64_t lost_count;        /* certainly not delivered: refused by the system or the queue, or too long for UDP */
    uint64_t unconfirmed_count; /* PUTs whose answer did not come */
    uint64_t resent_count;      /* PUTs that found the queue full and went again */
};

/* For a worker that promises more than at most once; of what goes out of the launch. */
struct outlet_promise {
    bool confirms; /* a queue gets each message with an id, until it says that it has it (remote_putid.h) */
    const char
        *outbox_owner; /* not NULL: it is kept in the store until it was taken, for the node of this stored name */
};

/* `promise` NULL: none. */
enum status outlet_open(struct outlet **outlet, struct node *node, const struct port *port,
                        const struct outlet_promise *promise, struct error *error) MUST_USE;
void outlet_close(struct outlet **outlet);

/* Whether the node may take more input for this outlet. */
bool outlet_has_room(struct outlet *outlet);

/* The edge, if a ring leads there; else NULL. For those who write their messages straight into its blocks. */
struct edge *outlet_edge(const struct outlet *outlet);

/* Takes a copy, with or without room. */
void outlet_emit(struct outlet *outlet, const void *text, uint32_t length, int64_t time_ns);

/* What was ever emitted to somewhere outside the launch, and how much of it, in that order, its receiver has taken: the
 * system, what goes bare; a queue elsewhere, what it has answered for. What is lost counts as taken. A ring takes at
 * once, and both are 0. */
uint64_t outlet_emitted_count(const struct outlet *outlet);
uint64_t outlet_taken_count(const struct outlet *outlet);

/* Sends on what was emitted. A step ends with it. Returns when it wants to be called again (CLOCK_NEVER_NS: when
 * something happens). */
int64_t outlet_flush(struct outlet *outlet, int64_t now_ns);

/* The sums over outlets. */
struct outlet_counts outlets_counts(struct outlet *const *outlets, size_t count);

/* A node's "out": of what it emitted to these outlets, what is on its way, neither held nor lost. Only goes up: a loss
 * over UDP is known when the message has been counted. */
void outlets_show_out(struct outlet *const *outlets, size_t count, uint64_t emitted_count, struct node_stats *stats);

#endif
