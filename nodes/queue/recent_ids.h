/*
 * recent_ids.h: the ids of PUTID that a queue has seen not long ago, and what it answered: so that a repeat gets the
 * same answer and adds nothing. One thread.
 *
 * The youngest count_max ids are known, none that is older than age_ns. Exactly so where the times that are handed in
 * never go back; where they do, an id may count as old only when those before it do.
 *
 * Memory: of each id 29 bytes and its own, rounded up to 8, in chunks of 64 KiB that are used again; and one table of 8
 * to 16 bytes for each of count_max ids (of the first 2^27), which costs nothing before the first id and takes its
 * pages one by one as ids come. So nothing is ever moved or copied. With ids of 32 bytes and a window of a million: 72
 * MB. Adding, finding and forgetting take one or two cache misses each. The hash is keyed (siphash.h): no sender can
 * aim many ids at one place.
 */
#ifndef NODES_QUEUE_RECENT_IDS_H
#define NODES_QUEUE_RECENT_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum { RECENT_ID_BYTES_MAX = 64 };

struct recent_ids;

/* count_max: at least 1; age_ns: at least 0. STATUS_SYSTEM where the system gives no random bytes or no memory. */
enum status recent_ids_open(struct recent_ids **ids, uint64_t count_max, int64_t age_ns, struct error *error) MUST_USE;

/* Frees all and sets *ids to NULL; nothing for NULL. */
void recent_ids_close(struct recent_ids **ids);

/* Whether the id (1 to RECENT_ID_BYTES_MAX bytes of any kind) is known at now_ns; then *message_bytes is what was
 * handed in with it. */
bool recent_ids_find(const struct recent_ids *ids, const void *id, size_t length, int64_t now_ns,
                     uint32_t *message_bytes);

/* Adds an id that recent_ids_find has just not found, and forgets what is too much or too old. STATUS_SYSTEM: no
 * memory, it was not added. */
enum status recent_ids_add(struct recent_ids *ids, const void *id, size_t length, int64_t now_ns,
                           uint32_t message_bytes, struct error *error) MUST_USE;

/* Forgets what is too old, for a caller that has time: else that happens when ids are added. At most `count_max` of
 * them; returns how many. */
uint64_t recent_ids_trim(struct recent_ids *ids, int64_t now_ns, uint64_t count_max);

/* How many are held (some may be too old already), and the bytes of all chunks. */
uint64_t recent_ids_count(const struct recent_ids *ids);
uint64_t recent_ids_chunk_bytes(const struct recent_ids *ids);

#endif
