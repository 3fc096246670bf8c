/*
 * leases.h: the messages of a queue that have left its FIFO and are not done with. Each is in one of three places:
 *   - out: given to somebody, hidden from others until its deadline;
 *   - returned: it was refused, or its time ran out, and it is to be delivered again, in order of the numbers, before
 *     the FIFO, since all in the FIFO are younger;
 *   - given up: delivered as often as it may be; it waits until somebody takes the dead letter, in the order in which
 *     that happened.
 *
 * One thread. No clock is read: times are the caller's, of one clock, and a deadline is over when now is not before it.
 * Memory: 72 bytes, the text and the reason for each message; 64 to 128 bytes of indexes for each of the most that
 * there were at once; 2.5 MiB at most for the tokens that are remembered. Who adds is to bound that (leases_count,
 * leases_text_bytes). Each call is O(log n) at most, but for a copy when an index doubles.
 */
#ifndef NODES_QUEUE_LEASES_H
#define NODES_QUEUE_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"
#include "nodes/queue/lease_token.h"
#include "nodes/queue/sequence_heap.h"

/* Of so many messages that ended (acknowledged or given up) the last token is remembered, so that a repeated ACK or
 * NACK whose answer was lost is known for what it is. */
enum { LEASES_ENDED_COUNT_MAX = 65536 };

/* A longer reason is cut. */
enum { LEASE_REASON_BYTES_MAX = 255 };

enum lease_place { LEASE_OUT, LEASE_RETURNED, LEASE_GIVEN_UP };

/* A message. To be read by all, to be changed by leases.c only. */
struct lease {
    struct heap_member member; /* its number */
    struct lease *next;        /* given up after it */
    enum lease_place place;
    uint32_t deliveries;   /* so far, the one that it is out for included */
    int64_t put_ns;        /* when the queue took it */
    int64_t first_wall_ns; /* when it was delivered for the first time, for the dead letter */
    int64_t deadline_ns;   /* while it is out */
    char *reason;          /* why it was returned or given up last: reason_length bytes, no NUL; may be NULL */
    uint32_t reason_length;
    uint32_t length;
    char text[];
};

struct leases;

/* What is known of a message that enters. */
struct lease_message {
    uint64_t sequence; /* not 0, and not here */
    uint32_t deliveries;
    uint32_t length;
    const void *text; /* copied */
    int64_t put_ns;
    int64_t first_wall_ns;
};

/* `epoch`: random, other than that of any earlier life of the queue whose tokens may still come. */
enum status leases_open(struct leases **leases, uint32_t epoch, struct error *error) MUST_USE;

/* Frees all messages too and sets *leases to NULL; nothing for NULL. */
void leases_close(struct leases **leases);

/* ---- a message comes ---- */

/* It is given out until the deadline, for the first time or after a restart: `deliveries` counts that, so it is not 0.
 * STATUS_SYSTEM: no memory, nothing was added. */
enum status leases_add_out(struct leases *leases, const struct lease_message *message, int64_t deadline_ns,
                           struct lease **lease, struct error *error) MUST_USE;

/* It was delivered in an earlier life, and waits in its old place. `deliveries` may be 0. */
enum status leases_add_returned(struct leases *leases, const struct lease_message *message, struct lease **lease,
                                struct error *error) MUST_USE;

/* ---- tokens ---- */

/* Writes the token of a message's last delivery to `text`, which takes LEASE_TOKEN_BYTES_MAX; returns its length. */
size_t leases_write_token(const struct leases *leases, const struct lease *lease, char *text);

enum lease_find {
    LEASE_FIND_OUT,          /* it is out under this token */
    LEASE_FIND_RETURNED,     /* it was the last one to have it, has it no longer, and nobody else has got it since */
    LEASE_FIND_GIVEN_UP,     /* the same, and nobody will get it; perhaps it is a dead letter already */
    LEASE_FIND_STALE,        /* it was delivered again since */
    LEASE_FIND_ACKNOWLEDGED, /* done with under this token, not long ago */
    LEASE_FIND_UNKNOWN,      /* no token, of another life, never given out, or ended too long ago */
};

/* What has become of it. *lease: the message, for the first three, or NULL: it is not here any more (or, of
 * LEASE_FIND_STALE, under another token). */
enum lease_find leases_find(const struct leases *leases, const void *token, size_t length, struct lease **lease);

/* The message with this number, in whatever place it is; NULL: it is not here. */
struct lease *leases_at(const struct leases *leases, uint64_t sequence);

/* ---- it moves ---- */

/* Out: its deadline becomes another. */
void leases_extend(struct leases *leases, struct lease *lease, int64_t deadline_ns);

/* Out -> returned. The reason is copied and cut; where there is no memory for it, it is empty. */
void leases_return(struct leases *leases, struct lease *lease, const void *reason, size_t reason_length);

/* Returned -> out; one delivery more, and so another token. */
void leases_lease_again(struct leases *leases, struct lease *lease, int64_t deadline_ns, int64_t wall_ns);

/* Out or returned -> given up, behind those that were before. */
void leases_give_up(struct leases *leases, struct lease *lease, const void *reason, size_t reason_length);

/* The first message that is out and whose deadline is over, or NULL. Until it is extended, returned, given up or ended
 * it is the first again. In order of the deadlines, then of the numbers. */
struct lease *leases_first_expired(const struct leases *leases, int64_t now_ns);

/* The next deadline; INT64_MAX where nothing is out. */
int64_t leases_next_deadline_ns(const struct leases *leases);

/* The returned message with the lowest number, or NULL. */
struct lease *leases_first_returned(const struct leases *leases);

/* The one that was given up first, or NULL. */
struct lease *leases_first_given_up(const struct leases *leases);

/* ---- it goes ---- */

enum lease_end {
    LEASE_END_ACKNOWLEDGED, /* its token is remembered */
    LEASE_END_GIVEN_UP, /* the dead letter was taken; its token is remembered; of what was given up, the first only */
    LEASE_END_TAKEN,    /* it was delivered for good otherwise, or dropped; its token is forgotten */
};

/* From whatever place it is in. Frees it and sets *lease to NULL. */
void leases_end(struct leases *leases, struct lease **lease, enum lease_end how);

/* ---- counts ---- */

/* Of all three places. */
uint64_t leases_count(const struct leases *leases);
uint64_t leases_place_count(const struct leases *leases, enum lease_place place);
/* The texts. */
uint64_t leases_text_bytes(const struct leases *leases);
uint64_t leases_place_text_bytes(const struct leases *leases, enum lease_place place);

#endif
