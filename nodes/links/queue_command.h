/*
 * queue_command.h: the words that a queue understands, and how it answers. Pure; shared by the queue and its clients.
 */
#ifndef NODES_LINKS_QUEUE_COMMAND_H
#define NODES_LINKS_QUEUE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_verb {
    QUEUE_PUT,
    QUEUE_GET,
    QUEUE_SIZE,
    QUEUE_PUTID,
    QUEUE_LEASE,
    QUEUE_ACK,
    QUEUE_NACK,
    QUEUE_EXTEND,
    QUEUE_STATS,
    QUEUE_SEEN,
    QUEUE_MALFORMED, /* a verb of the above whose arguments are none */
    QUEUE_UNKNOWN,
};

enum { QUEUE_ID_BYTES_MAX = 64, QUEUE_LEASE_SECONDS_MAX = 86400 };
/* Of SEEN: a nonce's hex digits, the ids of one, and so its longest text: far from a datagram's end. */
enum {
    QUEUE_NONCE_BYTES_MAX = 16,
    QUEUE_SEEN_IDS_MAX = 64,
    QUEUE_SEEN_BYTES_MAX = 5 + QUEUE_NONCE_BYTES_MAX + QUEUE_SEEN_IDS_MAX * (1 + QUEUE_ID_BYTES_MAX),
};

/* All pointers are into the text. */
struct queue_command {
    enum queue_verb verb;
    const void *message; /* PUT, PUTID; NACK: the reason, which may be empty; SEEN: the ids, see queue_next_id */
    size_t message_length;
    const void *name; /* PUTID: the id, 1 to QUEUE_ID_BYTES_MAX bytes; ACK, NACK, EXTEND: the lease;
                         SEEN: the nonce */
    size_t name_length;
    int64_t time_ns; /* EXTEND; LEASE: 0 if it names none. Above 0, at most QUEUE_LEASE_SECONDS_MAX seconds */
};

/*
 * The verb ends at the first colon; verbs are upper case; PUT alone puts the empty message.
 *
 *   PUT:MESSAGE  GET  SIZE  STATS  PUTID:ID:MESSAGE  LEASE  LEASE:SECONDS
 *   ACK:LEASE  NACK:LEASE  NACK:LEASE:REASON  EXTEND:LEASE:SECONDS
 *   SEEN:NONCE:ID,ID,...
 *
 * SEEN asks which ids of PUTID are known, and is ours: the answer to a PUTID names none, so where datagrams are lost,
 * doubled and reordered a sender cannot know which of its messages it is for. NONCE is 1 to 16 hex digits of the
 * sender's choice, and is in the answer; 1 to QUEUE_SEEN_IDS_MAX ids without comma and colon.
 *
 * SECONDS are decimal, with or without a fraction ("2", "0.25").
 */
struct queue_command queue_command_parse(const void *text, size_t length);

/* SEEN: takes the next id off the front of command->message. NULL: there is none left. */
const void *queue_next_id(struct queue_command *command, size_t *id_length);

/* Answers other than a message. `text` takes QUEUE_ANSWER_BYTES; each returns its length. No NUL ends it. */
enum { QUEUE_ANSWER_BYTES = 96 };
size_t queue_answer_put(char *text, size_t message_length);
size_t queue_answer_size(char *text, uint64_t message_count);
size_t queue_answer_unknown(char *text);
size_t queue_answer_full(char *text);
/* The disk has no room, not the queue. */
size_t queue_answer_full_disk(char *text);
size_t queue_answer_malformed(char *text);
size_t queue_answer_ok(char *text);
/* The lease is none of ours, or it ended too long ago to know. */
size_t queue_answer_unknown_lease(char *text);
/* It was one of ours, and the message is with somebody else now, or given up. */
size_t queue_answer_lease_over(char *text);
/* What goes before the message in the answer to a LEASE: "LEASE:DELIVERIES:". */
size_t queue_answer_lease_head(char *text, const void *lease, size_t lease_length, uint32_t deliveries);
/* To SEEN: NONCE and a colon, and of each id, in the order in which they were asked, 1: taken, or 0: not known. */
size_t queue_answer_seen(char *text, const void *nonce, size_t nonce_length, const bool *seen, size_t count);
size_t queue_answer_too_long(char *text, size_t message_length, uint64_t limit);
size_t queue_answer_needs_tcp(char *text, size_t message_length);

/* Whether the answer to a GET is one of the errors above and no message. */
bool queue_answer_is_error(const void *text, size_t length);
/* Whether a PUT was answered with ERR queue full (more may follow: ": disk"). */
bool queue_answer_is_full(const void *text, size_t length);
/* The answer to SEEN: its nonce, and `*count` digits, 0 or 1, within the text. False: it is not that. */
bool queue_answer_read_seen(const void *text, size_t length, uint64_t *nonce, const char **digits, size_t *count);
/* The answer that a message is above a limit: how long it is. *of_frame: that is the length of the whole command; a
 * stream ends then. False: it is not that. */
bool queue_answer_read_too_long(const void *text, size_t length, uint64_t *bytes, bool *of_frame);
bool queue_answer_is_unknown(const void *text, size_t length);
/* Whether it is the one that says that the oldest message needs TCP. */
bool queue_answer_is_needs_tcp(const void *text, size_t length);

#endif
