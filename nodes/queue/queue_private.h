/*
 * queue_private.h: the parts of a queue, for its own files.
 *
 *   queue.c     the node type: options, counters, rings, the end
 *   commands.c  what comes over sockets
 *   contents.c  what is in the queue: putting, taking, capacity, age; the ledger
 *   leasing.c   what is out on leases, and dead letters
 *   answers.c   answers that wait until the disk has something, and PUTs that wait for room
 *   kept.c      the same in the store: the only one that talks to the journal
 *   letters.c   dead letters that leave it, and messages that come back from there, by order of another process
 *
 * The messages of a queue are numbered 1, 2, 3... in the order in which it took them. They are, lowest numbers first:
 *   - in `leases`: given to somebody, or come back from there, to be delivered again before all others;
 *   - handed to durable workers of the launch, and not settled by a cut of the journal (kept.h's `handed`);
 *   - in `store`, in memory: numbers without a gap, up to resident_next - 1;
 *   - beyond: in the journal's store only, because the memory window is full. All later ones are put there until the
 *     last of them was read back.
 *
 * All belongs to the node's thread.
 */
#ifndef NODES_QUEUE_QUEUE_PRIVATE_H
#define NODES_QUEUE_QUEUE_PRIVATE_H

#include "engine/guarantee.h"
#include "engine/message_store.h"
#include "engine/node.h"
#include "nodes/dispatch.h"
#include "nodes/links/listener.h"
#include "nodes/links/outlet.h"
#include "nodes/links/queue_command.h"
#include "nodes/queue/leases.h"
#include "nodes/queue/queue_config.h"
#include "nodes/queue/recent_ids.h"
#include "nodes/queue/sequence_ranges.h"
#include "nodes/text/json_text.h"

enum queue_counter {
    COUNTER_REJECTED_FULL,
    COUNTER_REJECTED_DISK,
    COUNTER_REJECTED_LONG,
    COUNTER_MALFORMED,
    COUNTER_CUT,
    COUNTER_UNKNOWN,
    COUNTER_NEEDS_TCP,
    COUNTER_EMPTY_GETS,
    COUNTER_REPLIES_FAILED,
    COUNTER_UNHEARD,
    COUNTER_REFUSED,
    COUNTER_RECOVERED,
    COUNTER_DUPLICATES,
    COUNTER_LEASED,
    COUNTER_REDELIVERED,
    COUNTER_ACKNOWLEDGED,
    COUNTER_NACKS,
    COUNTER_LEASES_EXPIRED,
    COUNTER_DEAD_LETTERED,
    COUNTER_EXPIRED,
    COUNTER_DROPPED_OLDEST,
    COUNTER_DROPPED_NEWEST,
    COUNTER_UNDELIVERABLE,
    COUNTER_REPLAYED,
    COUNTER_LETTERS_DROPPED,
};

/* How an answer goes back: over a datagram or a stream. */
struct answer_way {
    struct udp_socket *udp;
    const struct udp_peer *peer;
    struct tcp_stream *stream;
};

/* Answers and commands that wait; see answers.c. */
struct waiting;
struct waiting_list {
    struct waiting *first, *last;
    uint64_t count;
    uint64_t bytes;
};

/* Messages below `end` were put in up to this ticket of the journal. */
struct kept_mark {
    uint64_t ticket;
    uint64_t end;
};

/* What is in the journal's store of a queue; all zero for one in memory. */
struct kept {
    struct journal *journal; /* NULL: the queue keeps nothing there */
    uint32_t queue;          /* its number there */
    uint32_t epoch;          /* for the tokens of its leases, if it persists */
    bool persists;           /* every message is there from when it is taken; else only what is beyond */
    bool sync;               /* nobody outside sees what is not on the disk */
    /* Of the store's own numbering. With `persists` it is the queue's. */
    uint64_t next_sequence;
    uint64_t read_sequence; /* of the first that is beyond */
    uint64_t beyond_count;
    uint64_t beyond_bytes;     /* their texts, and a record's head each */
    uint64_t window_bytes;     /* of records in memory */
    uint64_t withdrawn_ticket; /* what is beyond is not read before: something of it is settled with this ticket */
    uint64_t read_ticket;      /* ... since there was nothing when it was read last, before this one is written */
    /* Which of these are kept already (with `sync`: on the disk). */
    struct kept_mark *marks; /* oldest first */
    size_t mark_count;
    size_t mark_capacity;
    uint64_t kept_next;
    uint64_t put_ticket;            /* of the last append */
    struct sequence_ranges *handed; /* one a target of `dispatch`: what is on the ring to a durable worker */
    uint64_t *handed_released;      /* the edge's released count that was settled */
    uint64_t handed_count;
    uint64_t handing_sequence; /* while a message that had come back is handed over: its number. Else 0 */
    uint64_t new_id_count;     /* since the store's ids were trimmed */
    bool failed;               /* reading failed; said once */
};

struct queue {
    struct node *node;
    const struct queue_config *config;
    struct message_store store;
    uint64_t resident_next; /* one above the last number in `store` */
    struct listener *listener;
    struct dispatch dispatch;
    int64_t now_ns;         /* of this step, or of the commands between steps */
    unsigned trusted_count; /* so many more commands may take now_ns for their time */
    bool outputs_ended;
    int64_t answers_since_ns; /* since when the end waits for answers to leave; 0: not yet */
    size_t next_input;
    bool is_plain; /* in memory, without ages, rejecting: its PUTs and GETs take the short way */

    /* Made at the first lease or id. */
    struct leases *leases;
    struct recent_ids *ids;
    /* What counts towards the capacity beside `store`: leases and what is beyond. */
    uint64_t aside_count;
    uint64_t aside_bytes;
    struct outlet *dead_letter; /* NULL: there is none */
    struct text text;           /* for STATS and dead letters */

    struct kept kept;
    struct waiting_list held;     /* answers, in order of their tickets */
    uint64_t held_datagram_count; /* of them, over UDP */
    struct waiting_list waiting;  /* commands that wait for room in the queue, and those behind them */
    bool replaying;               /* the command at hand is the first of `waiting` */
};

/* ---- contents.c ---- */

enum put_result {
    PUT_TAKEN, /* or dropped as the newest: it is done with */
    PUT_FULL,
    PUT_FULL_DISK,
};

/* Whether a text of this length has room now, without dropping anything. */
bool contents_has_room(const struct queue *queue, uint32_t length);

/* Whether only somebody who takes makes room: it is full, and drops nothing for a newer one. */
bool contents_is_full(const struct queue *queue);

/* Puts a message, which has come at `put_ns`; applies --overflow but for `block`, which is PUT_FULL. */
enum put_result contents_put(struct queue *queue, const void *text, uint32_t length, int64_t put_ns);

/* The same whatever the capacity: from a durable worker, and on a cycle that stops. */
void contents_add(struct queue *queue, const void *text, uint32_t length, int64_t put_ns);

/* How many GET could take now. */
uint64_t contents_takeable_count(const struct queue *queue);
/* How many of `store` may leave now. */
uint64_t contents_ready_count(const struct queue *queue);

/* The oldest message that may leave, or NULL; `lease` is set where it has come back. Valid until something changes. */
struct oldest {
    const void *text; /* NULL: there is none */
    uint32_t length;
    int64_t put_ns;
    uint64_t sequence;
    struct lease *lease;
};
struct oldest contents_oldest(struct queue *queue);

/* It has left the queue for good, or into a lease (`forgotten` false: the store still has it). */
void contents_remove(struct queue *queue, struct oldest *oldest, bool forgotten);

/* Drops what is above --max-age. Returns how many. */
uint64_t contents_expire(struct queue *queue, int64_t now_ns);
/* When the oldest will be. */
int64_t contents_expiry_ns(struct queue *queue);

/* Renews aside_count and aside_bytes. */
void contents_look_aside(struct queue *queue);

/* Not queued and not done with: out, given up, or handed to durable workers. */
uint64_t contents_in_flight_count(const struct queue *queue);

/* in - (all that it can have become). 0, or there is a bug. */
int64_t contents_imbalance(const struct queue *queue);

/* STATS: one JSON object. */
void contents_write_stats(const struct queue *queue, struct text *text);

/* ---- leasing.c ---- */

/* A message of an earlier life of the queue waits in its old place, or is given up, if it was delivered as often as it
 * may be. STATUS_SYSTEM: no memory. */
enum status leasing_recover(struct queue *queue, const struct lease_message *message, struct error *error) MUST_USE;

void leasing_lease(struct queue *queue, const struct queue_command *command, const struct answer_way *way);
/* These return the length of the answer in `text`. */
size_t leasing_ack(struct queue *queue, const struct queue_command *command, char *text);
size_t leasing_nack(struct queue *queue, const struct queue_command *command, char *text);
size_t leasing_extend(struct queue *queue, const struct queue_command *command, char *text);

/* Takes back what was not acknowledged in time, and sends dead letters. Returns the work done; lowers *deadline_ns. */
uint64_t leasing_step(struct queue *queue, int64_t now_ns, int64_t *deadline_ns);

/* ---- commands.c ---- */

void command_handle(struct queue *queue, const struct answer_way *way, const void *text, size_t length);
void command_batch_begins(void *context);
void command_datagram(void *context, struct udp_socket *socket, const struct udp_peer *peer, const void *data,
                      size_t length);
void command_frame(void *context, struct tcp_stream *stream, const void *text, size_t length);

/* ---- answers.c ---- */

/* Sends head and body, behind what is held for the same stream. */
void answer_now(struct queue *queue, const struct answer_way *way, const void *head, size_t head_length,
                const void *body, size_t body_length);
/* The same, not before the ticket (0: none) is on the disk. */
void answer_when_synced(struct queue *queue, const struct answer_way *way, uint64_t ticket, const void *head,
                        size_t head_length, const void *body, size_t body_length);
/* Sends what may leave. Returns how many. */
uint64_t answers_step(struct queue *queue);

/* Whether the command must wait (a PUT that has no room, or one behind such). It is then taken into `waiting`, or
 * refused where there are too many. */
bool command_must_wait(struct queue *queue, const struct answer_way *way, const struct queue_command *command,
                       const void *text, size_t length);
/* Handles those that need not wait any more. Returns how many. */
uint64_t waiting_step(struct queue *queue);

void answers_stream_closed(void *context, struct tcp_stream *stream);
void answers_close(struct queue *queue);

/* ---- kept.c ---- */

/* Finds the queue in the store and what it has. Nothing for a queue in memory. */
enum status kept_open(struct queue *queue, struct error *error) MUST_USE;
void kept_close(struct queue *queue);

bool kept_has_room(const struct queue *queue);
/* A message is put in; returns whether it is beyond, in the store only. */
bool kept_append(struct queue *queue, const void *text, uint32_t length);
/* These are done with. */
void kept_settle(struct queue *queue, uint64_t first, uint64_t count);
/* Takes a message out, wherever in the queue it is: settles the number, which is one of the store's numbering and of a
 * message of `length` bytes that is in the store's file. False: it is not free: on a lease, with a worker, or not here
 * any more; of a queue that does not persist also what is in memory. */
bool kept_withdraw(struct queue *queue, uint64_t sequence, uint32_t length);
void kept_count_delivery(struct queue *queue, uint64_t sequence, uint32_t deliveries);
void kept_remember_id(struct queue *queue, const void *id, size_t id_length, uint32_t message_bytes);

/* What an answer has to wait for: the open batch, or the last append. 0: for nothing. */
uint64_t kept_ticket(struct queue *queue);
uint64_t kept_put_ticket(struct queue *queue);
/* What the answer to a LEASE has to wait for: a number that has been seen outside with its message must not become
 * another message's, whatever crashes. */
uint64_t kept_lease_ticket(struct queue *queue);
bool kept_is_synced(const struct queue *queue, uint64_t ticket);

/* Renews kept_next, reads back what is beyond, and says whether the queue is full. Returns the work done. */
uint64_t kept_step(struct queue *queue);

/* At a stop: what may not leave before it is on the disk is not to wait for the sync interval. */
void kept_hurry(struct queue *queue);

/* At a stop: whether all workers that take from the queue have ended before it, as durable workers do that cannot go on
 * (worker.c). What it has, and what was handed to them and they have not done, is in the store then and stays there. */
bool kept_gives_no_more(const struct queue *queue);
/* Whether all that was handed to durable workers is settled, but for what such a one has left. */
bool kept_has_settled(const struct queue *queue);

/* Whether nothing more may be given to other durable nodes, for a cut waits for the rings to them to be empty. */
bool kept_cutting(const struct queue *queue);

#endif
