/*
 * recovery.h: opening a store with all that is in its redo log.
 *
 * What a process did last, before it was killed or the power was cut, may be in the log only (redo.h): here it is done
 * again. Everybody in the program opens stores in these ways. One thread a store.
 */
#ifndef ENGINE_STORE_RECOVERY_H
#define ENGINE_STORE_RECOVERY_H

#include "engine/status.h"

struct redo;
struct store;

/* For who goes on to write through a log. As store_open; STATUS_CORRUPT also if the log is damaged: what comes before
 * the damage is in the store then. Both are to be closed, the log first, also after a failure. */
enum status recovery_open(struct store **store, struct redo **redo, const char *directory,
                          struct error *error) MUST_USE;

/* For who writes into the store itself: the log is empty, and closed. */
enum status recovery_open_store(struct store **store, const char *directory, struct error *error) MUST_USE;

/* For who reads: as store_open_reader, after the recovery if it is due, that is, if nobody has the store open.
 * *missing: with a text if it was due and could not be made: what it says about the log is not in what is read. */
enum status recovery_open_reader(struct store **store, const char *directory, struct error *missing,
                                 struct error *error) MUST_USE;

#endif
