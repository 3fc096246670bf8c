/*
 * remote_lease.h: messages from a queue outside this launch, with LEASE and ACK: none is lost, whatever crashes or is
 * lost on the way; one may come again. The node's thread.
 *
 * First the queue is asked what it is (STATS; SIZE beside it). One that knows no leases is the prototype's: it answers
 * ERR unknown command, or is silent about STATS and not about SIZE, several times over. One that answers nothing is
 * not there yet, and is asked on. After a lost connection it is asked anew.
 *
 * An answer to LEASE may be lost (the message comes again when the lease is over), doubled (its token tells) or late (a
 * message whose lease is likely to be over is not handed out). The answer to ACK names no lease. So it is counted, not
 * matched: all ACKs go again until as many answers came as there are ACKs under way. A doubled answer may hide a lost
 * ACK; then the message is delivered again, which is what at-least-once allows, and it is the only harm.
 */
#ifndef NODES_LINKS_REMOTE_LEASE_H
#define NODES_LINKS_REMOTE_LEASE_H

#include "engine/node.h"

/* Held at a time: arrived, taken, or not acknowledged yet. */
enum { REMOTE_LEASE_WINDOW = 256, REMOTE_LEASE_REASON_BYTES_MAX = 200 };

enum remote_lease_peer {
    REMOTE_LEASE_UNKNOWN,   /* not answered yet */
    REMOTE_LEASE_KNOWS,     /* leases are to be had */
    REMOTE_LEASE_PROTOTYPE, /* only GET; nothing more is sent to it */
};

struct remote_lease;

struct remote_lease_counts {
    uint64_t timeout_count;  /* LEASEs without an answer */
    uint64_t error_count;    /* ... answered with an error */
    uint64_t repeated_count; /* answers that came twice */
    uint64_t stale_count;    /* messages that came too late to be sure of their lease, or waited too long */
    uint64_t again_count;    /* messages that the queue delivers not for the first time */
};

struct remote_lease_message {
    const void *text;
    uint32_t length;
    uint32_t deliveries; /* this one included */
    uint64_t number;     /* 1, 2, 3... in the order of remote_lease_take */
    /* The same at each delivery of the message, where the queue is one of ours (their leases end with a dot and the
     * count of deliveries, see lease_token.h); else the lease. */
    const char *name;
    size_t name_length;
};

/* `lease_ns`: how long a message is hidden; longer use is announced with EXTEND, at half time, by remote_lease_step. */
enum status remote_lease_open(struct remote_lease **lease, struct node *node, const struct address *address,
                              int64_t delay_ns, int64_t lease_ns, uint64_t message_bytes_max,
                              struct error *error) MUST_USE;
void remote_lease_close(struct remote_lease **lease);

/* Asks for more, if `wanted`; acknowledges; extends. Returns when it wants to be called next. Call it each step. */
int64_t remote_lease_step(struct remote_lease *lease, bool wanted, int64_t now_ns);

enum remote_lease_peer remote_lease_peer(const struct remote_lease *lease);

/* The oldest message that arrived and was not taken: false if there is none. It is the caller's to read until it is
 * acknowledged or refused. */
bool remote_lease_take(struct remote_lease *lease, int64_t now_ns, struct remote_lease_message *message);

/* All that was to come of the message has been taken by its receivers. Once a number. */
void remote_lease_acknowledge(struct remote_lease *lease, uint64_t number);
/* The message was not done; the queue delivers it again, or gives it up. A long reason is cut. Once a number. */
void remote_lease_refuse(struct remote_lease *lease, uint64_t number, const char *reason);

uint64_t remote_lease_arrived_count(const struct remote_lease *lease);   /* and not taken */
uint64_t remote_lease_unsettled_count(const struct remote_lease *lease); /* taken; the queue has not said OK */
uint64_t remote_lease_asked_count(const struct remote_lease *lease);     /* LEASEs that may still bring a message */
struct remote_lease_counts remote_lease_counts(const struct remote_lease *lease);

#endif
