/*
 * store.h: what survives a process, in one SQLite file: queues' messages, the ids that they have seen, workers' state.
 * Only its own files (store_*.c, and redo.c) know SQLite. Why that and not LMDB stands at the top of store.c.
 *
 * A store is a directory with one file, its redo log (redo.h) and a lock, and belongs to one process at a time. One
 * thread at a time may use a struct store; a second one, for reading (store_open_reader), may be used by another thread
 * meanwhile.
 *
 * Nothing is served that is not what was written: each row carries a checksum over its place and its contents; the
 * messages of a queue must follow each other without a gap; a state's rows must add up to a sum that is kept beside
 * them. What does not is STATUS_CORRUPT, with the place in the error's text.
 */
#ifndef ENGINE_STORE_STORE_H
#define ENGINE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/status.h"

struct store;

enum { STORE_NAME_BYTES_MAX = 200, STORE_ID_BYTES_MAX = 64, STORE_KEY_BYTES_MAX = 1024, STORE_IDENTITY_BYTES = 17 };

/* STATUS_USAGE: another process has it open, its format is newer, or it is no store. STATUS_SYSTEM: the system refuses.
 * STATUS_CORRUPT: it cannot be read. A store that was not closed recovers here, but for what is in its redo log only:
 * so in the program it is opened through recovery.h. */
enum status store_open(struct store **store, const char *directory, struct error *error) MUST_USE;
/* Beside the process that has it open, for reading what is written. STATUS_USAGE: there is no store. */
enum status store_open_reader(struct store **store, const char *directory, struct error *error) MUST_USE;
void store_close(struct store **store);

/* 16 hexadecimal digits and a NUL, made with the store and never twice: for ids that other hosts see. */
const char *store_identity(const struct store *store);

/* ---- recovery: reading ---- */

struct store_queue {
    uint32_t queue;         /* its number in this store */
    uint64_t settled_below; /* all sequences below are done with */
    uint64_t next_sequence; /* of the next message; starts at 1 */
    uint64_t message_count; /* not settled */
    uint64_t message_bytes; /* their texts */
};

/* Finds the queue of this name, or makes it. */
enum status store_find_queue(struct store *store, const char *name, struct store_queue *found,
                             struct error *error) MUST_USE;

/* What is known of a message. `text` is valid during the call. Returns false to stop. */
struct store_message {
    uint64_t sequence;
    int64_t wall_ns;     /* when it was put in, to the batch */
    uint32_t deliveries; /* as counted last; 0: none */
    uint32_t length;
    const void *text;
};
typedef bool store_message_visit(void *context, const struct store_message *message);

/* Messages that are not settled, oldest first, from `first_sequence` on, until about `bytes_max` of text were shown.
 * Visits, here and below, are made while the file is being read: they must not wait for anything, or the log grows
 * meanwhile, and must not call the store. */
enum status store_read_messages(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t bytes_max,
                                store_message_visit *visit, void *context, struct error *error) MUST_USE;

/* For saving what can be saved: all messages that are not settled, and on behind damage. Messages whose settling is
 * damaged may be shown. *lost_count: sequences that were skipped, settled ones among them: an upper bound. */
enum status store_salvage_messages(struct store *store, uint32_t queue, store_message_visit *visit, void *context,
                                   uint64_t *lost_count, struct error *error) MUST_USE;

/* The ids that the queue has seen, oldest first. */
typedef bool store_id_visit(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns);
enum status store_read_ids(struct store *store, uint32_t queue, store_id_visit *visit, void *context,
                           struct error *error) MUST_USE;

/* A worker's state: pairs, by key. */
enum status store_find_state(struct store *store, const char *name, uint32_t *state, struct error *error) MUST_USE;
typedef bool store_pair_visit(void *context, const void *key, size_t key_length, const void *value,
                              size_t value_length);
enum status store_read_state(struct store *store, uint32_t state, store_pair_visit *visit, void *context,
                             struct error *error) MUST_USE;

/* All names, for tools. */
typedef bool store_name_visit(void *context, const char *name, uint32_t number);
enum status store_list_queues(struct store *store, store_name_visit *visit, void *context,
                              struct error *error) MUST_USE;
enum status store_list_states(struct store *store, store_name_visit *visit, void *context,
                              struct error *error) MUST_USE;

/* ---- writing: a transaction ---- */

/* STATUS_AGAIN from any of these: the disk is full, and the transaction is rolled back; the whole may be tried again.
 * Other failures are fatal for the store. */
enum status store_begin(struct store *store, struct error *error) MUST_USE;

/* `records`: of each message its length as 4 bytes, little-endian, and its text. */
enum status store_append(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t count,
                         const void *records, size_t record_bytes, int64_t wall_ns, struct error *error) MUST_USE;
enum status store_settle(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t count,
                         struct error *error) MUST_USE;
/* So many messages from the next sequence on came and are settled: as store_append and store_settle, without them. */
enum status store_pass(struct store *store, uint32_t queue, uint64_t first_sequence, uint64_t count,
                       struct error *error) MUST_USE;
enum status store_count_delivery(struct store *store, uint32_t queue, uint64_t sequence, uint32_t deliveries,
                                 struct error *error) MUST_USE;
/* `ids`: of each its length (1 byte), the message's bytes (4, little-endian), and the id. */
enum status store_add_ids(struct store *store, uint32_t queue, const void *ids, size_t ids_bytes, uint64_t count,
                          int64_t wall_ns, struct error *error) MUST_USE;
/* Keeps the youngest `count_max` ids, give or take a batch, and none that is older than `wall_ns`. */
enum status store_trim_ids(struct store *store, uint32_t queue, uint64_t count_max, int64_t wall_ns,
                           struct error *error) MUST_USE;
enum status store_put(struct store *store, uint32_t state, const void *key, size_t key_length, const void *value,
                      size_t value_length, struct error *error) MUST_USE;
enum status store_delete(struct store *store, uint32_t state, const void *key, size_t key_length,
                         struct error *error) MUST_USE;

/* Up to where what is in the redo log (redo.h) is in the store too: of which launch, behind how many records, and at
 * which byte of the log's file the next one is looked for. */
struct redo_place {
    uint64_t launch;
    uint64_t number;
    uint64_t offset;
};
/* As of the last commit. */
struct redo_place store_redo_place(const struct store *store);
/* In a transaction. */
void store_set_redo_place(struct store *store, const struct redo_place *place);

/* `sync`: returns when it is on the disk, and everything before it. */
enum status store_commit(struct store *store, bool sync, struct error *error) MUST_USE;
/* Puts everything that was committed on the disk. */
enum status store_sync(struct store *store, struct error *error) MUST_USE;

/* ---- upkeep, for tools ---- */

/* STATUS_CORRUPT: of what was committed last before the process that had the store open ended, something is missing in
 * the log. store_open does the same, before it changes anything; a reader reads what is left. */
enum status store_check_log(struct store *store, struct error *error) MUST_USE;

/* All reading up to store_end_snapshot sees the store as it is now, whatever another process does to it meanwhile.
 * While a snapshot lasts, the store's log grows: not for long. */
enum status store_begin_snapshot(struct store *store, struct error *error) MUST_USE;
void store_end_snapshot(struct store *store);

/* A queue's counts, as store_find_queue gives them, but without a look at whether its rows fit together. */
void store_count_queue(struct store *store, uint32_t queue, struct store_queue *counts);

/* In a transaction: lets a queue that has had no message begin at another sequence than 1. STATUS_INPUT: it cannot, or
 * what is to come up to `next_sequence` is more than a queue may have. */
enum status store_start_queue(struct store *store, uint32_t queue, uint64_t settled_below, uint64_t next_sequence,
                              struct error *error) MUST_USE;

/* Reads everything and says what is wrong, a line each. *fault_count: how many. */
enum status store_check(struct store *store, FILE *out, uint64_t *fault_count, struct error *error) MUST_USE;
/* Gives back to the file system what is not used. Takes time and room for a copy or two of what is used; STATUS_AGAIN
 * without that room: nothing has changed. Between transactions. */
enum status store_compact(struct store *store, struct error *error) MUST_USE;
/* Bytes of its files; any thread. Not on a message's way: since 6.13 Linux notes the next change of a file that was
 * asked about to the nanosecond, and the flush after it writes that as well, a third more of a small one
 * (https://docs.kernel.org/filesystems/multigrain-ts.html). */
uint64_t store_file_bytes(const struct store *store);

#endif
