/*
 * store_export.h: a store as a stream of records that anything can read, and back. Main thread.
 *
 * A record is a line of JSON, an object; where it has a member "bytes", so many bytes follow the line, whatever they
 * are, and a newline. Times are microseconds since 1970. In this order:
 *
 *   {"kind": "store", "format": 1, "identity": "..."}
 *   for each queue   {"kind": "queue", "settled_below": N, "next_sequence": N, "bytes": L}              its name
 *     its messages   {"kind": "message", "sequence": N, "time_us": T, "deliveries": N, "bytes": L}      the message
 *     its ids        {"kind": "id", "time_us": T, "answered_bytes": N, "bytes": L}                      an id of PUTID
 *   for each state   {"kind": "state", "bytes": L}                                                      its name
 *     its pairs      {"kind": "pair", "key_bytes": K, "bytes": L}                                       key and value
 *   {"kind": "end", "records": N, "complete": true}     N: those before it; false: something could not be read
 *
 * Sequences that do not come are of messages that are done with, or lost.
 */
#ifndef NODES_COMMANDS_STORE_EXPORT_H
#define NODES_COMMANDS_STORE_EXPORT_H

#include <stdint.h>
#include <stdio.h>

#include "engine/status.h"
#include "engine/store/store.h"

enum { STORE_EXPORT_FORMAT = 1 };

/* The longest line of JSON, newline included. */
enum { STORE_EXPORT_LINE_BYTES_MAX = 256 };

/*
 * Writes the whole store to `out`. What cannot be read is left out and told in a line on `complaints`; *lost_count:
 * how many lines. `missing`: recovery_open_reader's word on what is not in the store, told in the same way.
 * STATUS_SYSTEM: `out` cannot be written, or the store's files cannot be read.
 */
enum status store_export(struct store *store, const struct error *missing, FILE *out, FILE *complaints,
                         uint64_t *lost_count, struct error *error) MUST_USE;

struct store_import_counts {
    uint64_t message_count;
    uint64_t id_count;
    uint64_t pair_count;
    bool is_complete; /* of the export, by its own word */
};

/*
 * Puts what store_export wrote into a store that has nothing yet. Sequences stay; the store's identity does not, since
 * the store that was exported may still be used. STATUS_INPUT: that is no export, or one cut short; the line's number
 * is in the text. The store is on the disk when this returns STATUS_OK, and of no use otherwise.
 */
enum status store_import(struct store *store, FILE *in, struct store_import_counts *counts,
                         struct error *error) MUST_USE;

#endif
