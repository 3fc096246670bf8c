/*
 * journal.h: what the durable nodes of a launch have done and the store does not know yet.
 *
 * All durable nodes of a launch (queues with a --durability, workers with a --guarantee and a store) live on one
 * thread, the durable thread, so what they do to each other needs no locks and has one order. What of it must survive
 * they write here, into the open batch. At the end of a turn of the durable thread's loop the batch is sealed (a cut),
 * and becomes a record of the redo log (redo.h): with that it is kept. Records come into the store's file (store.h)
 * some milliseconds later, together, in one transaction; what came and went between two of these is never written
 * there. So
 *   - a batch is kept whole or not at all: a worker's acknowledged inputs, its outputs in a durable queue and its state
 *     are one record because they are put into one batch;
 *   - batches are kept in their order, so a crash leaves the launch as it was at some cut;
 *   - what many nodes did while the disk was busy shares one flush (group commit);
 *   - nobody who waits for the disk waits for the store's file.
 * A node lets nobody outside see what is not kept yet: it holds back answers until their ticket is kept.
 *
 * A member that ends must be clean, also when it is abandoned (STOP_ABANDON): what was put in since the last cut is
 * lost else. So a durable queue ends only after it has taken all that durable workers have put on its rings.
 *
 * A cut needs that nothing is between two durable nodes: a worker's outputs that a durable queue has not taken yet are
 * in neither. Members say so (is_clean); while the journal wants to cut (journal_is_cutting), workers take no more
 * input and queues take all that is on the rings from durable workers, whatever their capacity. At most a turn or two.
 *
 * Calls are for the durable thread unless they say otherwise (before the start and after the end, for the main
 * thread).
 */
#ifndef ENGINE_STORE_JOURNAL_H
#define ENGINE_STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/idle.h"
#include "engine/status.h"
#include "engine/store/store.h"

struct journal;
struct log;

struct journal_settings {
    const char *directory;    /* of the store; made if it is not there */
    int64_t sync_interval_ns; /* what was put in is on the disk after this, and the flush itself, at the latest */
    struct log *log;          /* the journal's from the start to the finish; not owned; NULL: none */
    /* Called once, on any of the journal's threads or the durable one, when the store has failed for good: nothing is
     * kept from then on, no ticket goes up, and there is no room. The launch is to end with journal_failure's text.
     * NULL: nobody is told. */
    void (*failed)(void *context);
    void *context;
};

/* Opens the store (recovery.h). The durable thread rests on `idle`, which is woken when something was kept. Copies the
 * settings, and the directory's name. */
enum status journal_open(struct journal **journal, const struct journal_settings *settings, struct idle *idle,
                         struct error *error) MUST_USE;
/* Whether journal_open could succeed, as far as can be seen without touching anything. STATUS_USAGE: not a directory;
 * STATUS_SYSTEM: it may not be written to. Any thread. */
enum status journal_rehearse(const char *directory, struct error *error) MUST_USE;
/* Starts the threads that log and write. Of stored queues that have messages and that no node has found, the log is
 * told. */
enum status journal_start(struct journal *journal, struct error *error) MUST_USE;
/* After the durable thread's end, and before its nodes are closed: cuts a last time, puts all of it on the disk and
 * into the store's file, joins the threads. The counts stay. A disk that is full gets some seconds, then STATUS_SYSTEM
 * says that something was not kept; what is in the log is, and comes into the file at the next start. So does a member
 * that is not clean (it was abandoned): the store is then as it was at the last cut. Nothing to do if nothing was
 * started, or the second time. */
enum status journal_finish(struct journal *journal, struct error *error) MUST_USE;
/* Finishes if that was not done, and closes the store. */
void journal_close(struct journal **journal);

/* Any thread: STATUS_OK, or what failed for good, with its text. */
enum status journal_failure(const struct journal *journal, struct error *error) MUST_USE;

/* ---- members: while nodes are opened ---- */

struct journal_member {
    /* Whether nothing that it emitted is on the way to another durable node. NULL: always. */
    bool (*is_clean)(void *context);
    /* Puts what it has settled since the last cut into the open batch. NULL: nothing. */
    void (*cut)(void *context);
    void *context;
};

void journal_join(struct journal *journal, const struct journal_member *member);

/* For recovery, while nodes are opened: the store itself, not to be kept. */
struct store *journal_store(struct journal *journal);

/* The same: a node finds, or makes, the stored queue or state of this name (store_find_queue, store_find_state). It is
 * that node's alone then: STATUS_USAGE if another one has found it. */
enum status journal_find_queue(struct journal *journal, const char *name, struct store_queue *found,
                               struct error *error) MUST_USE;
enum status journal_find_state(struct journal *journal, const char *name, uint32_t *state,
                               struct error *error) MUST_USE;
/* What the node of the stored name `owner` keeps for an address outside the launch, `what` being "inbox" or "outbox": a
 * stored queue too. Of several for one address each call gets the next, in the order of the calls. STATUS_USAGE: the
 * name would be too long. */
enum status journal_find_box(struct journal *journal, const char *what, const char *address, const char *owner,
                             struct store_queue *found, struct error *error) MUST_USE;

/* Whether a node has found this stored queue: it is that node's alone. */
bool journal_has_found(const struct journal *journal, uint32_t queue);

/* ---- the open batch ---- */

/* The bytes of what is passed are copied. */

/* A message; the sequences of a stored queue go up by one. */
void journal_append(struct journal *journal, uint32_t queue, uint64_t sequence, const void *text, uint32_t length);
/* `count` messages from `first` on are done with: they will not come back. Each once. */
void journal_settle(struct journal *journal, uint32_t queue, uint64_t first, uint64_t count);
/* A message's deliveries so far, which a restart shall know of. */
void journal_count_delivery(struct journal *journal, uint32_t queue, uint64_t sequence, uint32_t deliveries);
/* The queue has seen this id (1 to 64 bytes), whose PUT was answered with so many bytes. */
void journal_remember_id(struct journal *journal, uint32_t queue, const void *id, size_t id_length,
                         uint32_t message_bytes);
/* The queue remembers this many ids at most, and none that came before this time: see store_trim_ids. Now and then. */
void journal_trim_ids(struct journal *journal, uint32_t queue, uint64_t count_max, int64_t oldest_wall_ns);
/* A worker's state. */
void journal_put(struct journal *journal, uint32_t state, const void *key, size_t key_length, const void *value,
                 size_t value_length);
void journal_delete(struct journal *journal, uint32_t state, const void *key, size_t key_length);

/* The open batch's ticket: what is put in now is kept when the ticket is. Tickets go up by one a batch from 1. */
uint64_t journal_ticket(const struct journal *journal);
/* All batches up to this one are kept: they survive the process. */
uint64_t journal_logged_ticket(const struct journal *journal);
/* ... are in the store's file too, and can be read there. */
uint64_t journal_written_ticket(const struct journal *journal);
/* Somebody waits for more of them. Any thread. */
void journal_want_written(struct journal *journal);
/* ... are on the disk: they survive a power cut. Not all of them need be written. */
uint64_t journal_synced_ticket(const struct journal *journal);
/* Somebody waits for the open batch, though it were empty, to be on the disk: the log is flushed with it, and not only
 * at the interval. */
void journal_want_sync(struct journal *journal);

/* Whether more may be put in. False: the disk is full, or so slow that the open batch has become large; then queues
 * answer ERR queue full: disk. Acknowledgements and state may be put in all the same. */
bool journal_has_room(const struct journal *journal);

/* Whether the disk takes less than is put in: the open batch is some milliseconds' worth ahead of it. Then queues hold
 * back the answers to PUT, also those that do not wait for the disk otherwise, so that their senders slow down. */
bool journal_is_behind(const struct journal *journal);

/* See above. */
bool journal_is_cutting(const struct journal *journal);

/* The end of a turn of the durable thread's loop (node_loop.h, turn_end): cuts if it is time and everything is clean.
 * Returns the work done, which is something for the nodes to look at: a ticket was kept, a cut is wanted, or was made.
 * *deadline_ns: lowered to when it wants to be called again at the latest. */
size_t journal_end_turn(struct journal *journal, int64_t now_ns, int64_t *deadline_ns);

/* Reads messages of a stored queue that are written and not settled, from `first_sequence` on, about `bytes_max` of
 * text. Blocks while the file is read. */
enum status journal_read(struct journal *journal, uint32_t queue, uint64_t first_sequence, uint64_t bytes_max,
                         store_message_visit *visit, void *context, struct error *error) MUST_USE;

/* The store as journal_read reads it: what is written. Opened at the first call, and the journal's. */
enum status journal_reader(struct journal *journal, struct store **reader, struct error *error) MUST_USE;

/* ---- counts, for anybody ---- */

struct journal_counts {
    uint64_t batch_count;  /* kept */
    uint64_t sync_count;   /* flushes of the disk */
    uint64_t retry_count;  /* times that the disk refused something, which was tried again */
    uint64_t stored_bytes; /* size of the store's files now: asked of the system, for now and then */
};

struct journal_counts journal_counts(const struct journal *journal);

#endif
