/*
 * keyed_table.h: a table from byte strings to values of one size, for one thread.
 *
 * Keys are copied in; nothing is ever removed. A value stays where it is as long as the table lives. A table has limits
 * on the count of its keys and on its memory; at a limit an addition fails with a text and the table stays sound.
 *
 * Size, for each key: the value, two bytes and the key, rounded up to 8, and 11 to 22 bytes of index; 34 bytes for a
 * set of a million 9-byte keys. Adding and finding take two cache misses, 0.2 to 0.4 us in a table of a million. Growth
 * doubles the index in one go: the longest addition on the way to a million keys takes 8 ms, to eight million 0.3 s.
 */
#ifndef NODES_FUNCTIONS_KEYED_TABLE_H
#define NODES_FUNCTIONS_KEYED_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum { KEYED_TABLE_KEY_BYTES_MAX = 65535, KEYED_TABLE_VALUE_BYTES_MAX = 4096 };

struct keyed_table_settings {
    size_t value_bytes; /* 0 for a set */
    uint64_t count_max;
    uint64_t memory_bytes_max; /* of keys, values and index; less than 2 MiB is no use */
};

struct keyed_table;

/* STATUS_SYSTEM where the system gives no random bytes (the hash is keyed, so that no sender can aim at one slot). */
enum status keyed_table_open(struct keyed_table **table, const struct keyed_table_settings *settings,
                             struct error *error) MUST_USE;

/* Frees all and sets *table to NULL; nothing for NULL. */
void keyed_table_close(struct keyed_table **table);

/*
 * The value of `key`, or NULL where there is none. Of a set: not NULL where the key is there, and not to be followed.
 * Any length may be asked for; the empty key is a key.
 */
void *keyed_table_find(const struct keyed_table *table, const void *key, size_t length);

/*
 * Finds `key`, or adds it with a value of zero bytes, and says which in `added`. `value` may be NULL. STATUS_INPUT
 * where the key is longer than KEYED_TABLE_KEY_BYTES_MAX; STATUS_SYSTEM at a limit or where there is no memory.
 */
enum status keyed_table_add(struct keyed_table *table, const void *key, size_t length, void **value, bool *added,
                            struct error *error) MUST_USE;

uint64_t keyed_table_count(const struct keyed_table *table);
uint64_t keyed_table_memory_bytes(const struct keyed_table *table);

#endif
