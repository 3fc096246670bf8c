/*
 * redo.h: the redo log: what was done is here before it is in the store's file.
 *
 * A record is one batch of the journal (journal_batch.h), as bytes. It is written in one piece behind the record before
 * it, and what many records hold is put on the disk by one flush; that is all that anybody waits for. What is in the
 * records comes into the store's file later, some of them at a time, and with them, in the same transaction, the place
 * up to which that is so (store_redo_place). After a crash the records behind that place are read and done again. When
 * the store's file is on the disk up to some place (store_sync), the room in front of it is written over.
 *
 * One thread at a time, whichever; a place may be asked for and kept by any.
 */
#ifndef ENGINE_STORE_REDO_H
#define ENGINE_STORE_REDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

struct redo;
struct redo_place;
struct store;

enum {
    /* The caller leaves so much room in front of a record's bytes. */
    REDO_HEAD_BYTES = 32,
    /* With its head. What is longer goes straight into the store. */
    REDO_RECORD_BYTES_MAX = 8 << 20,
    /* The file grows so large at most; by less where the store is synced in time. */
    REDO_BYTES_MAX = 32 << 20,
};

/* Opens the log of a store that is open, for writing, which stays open until the log is closed; makes one. */
enum status redo_open(struct redo **redo, struct store *store, struct error *error) MUST_USE;
/* Removes the log if all that is in it is free. */
void redo_close(struct redo **redo);
/* For a store that was opened for reading, and nobody writes into: whether there is something in its log, or was, that
 * is not in the store. Nothing is changed. */
bool redo_is_due(struct store *reader) MUST_USE;

/* ---- recovery: before anything is written ---- */

/* The bytes of a record, without its head, and the place behind it. Not STATUS_OK: replaying ends with that. */
typedef enum status redo_visit(void *context, const unsigned char *bytes, size_t length, const struct redo_place *place,
                               struct error *error);
/* Visits the whole records behind the store's place, oldest first. What comes behind a damaged one is none, as after a
 * power cut; STATUS_CORRUPT, after all were visited: more was on the disk before the process that wrote it ended. */
enum status redo_replay(struct redo *redo, redo_visit *visit, void *context, struct error *error) MUST_USE;
/* The place that the store must have, and be on the disk with, before redo_begin: of another launch, whose records no
 * older one is taken for. */
struct redo_place redo_first_place(const struct redo *redo);
/* Begins anew there. Up to here the log stays as it is, whatever fails, and redo_close leaves it. */
void redo_begin(struct redo *redo);

/* ---- in use ---- */

/* Whether a record of so many bytes, with its head, can be written before more is free. */
bool redo_has_room(const struct redo *redo, size_t length);
/* Writes a record: `length` bytes with the head, which is filled in. *place: behind it. STATUS_AGAIN: the log or the
 * disk is full, and nothing was done. */
enum status redo_append(struct redo *redo, unsigned char *record, size_t length, struct redo_place *place,
                        struct error *error) MUST_USE;
/* Puts on the disk what was appended. A failure is for good. */
enum status redo_flush(struct redo *redo, struct error *error) MUST_USE;
/* The store's file is on the disk up to this place: what is in front of it is free. */
void redo_free_up_to(struct redo *redo, const struct redo_place *place);
/* Of records that are not free, about. */
size_t redo_used_bytes(const struct redo *redo);

#endif
