/*
 * id_set.h: an exact set of byte strings, for one thread: made for many millions of short ids that come once.
 *
 * An id of at most 15 bytes takes one slot of 16 bytes and one cache miss to find or add; a longer one takes a slot,
 * its own bytes and two more elsewhere, and a second cache miss where it is found. Ids may hold any bytes; the empty id
 * is one. Nothing is removed one by one.
 *
 * Memory of ids of up to 15 bytes, beyond some 200,000 of them: 23.7 to 28 bytes each, 24.7 in the mean. It grows by
 * one segment of 64 KiB at a time: that takes some 60 us, half of it for the system to clear new pages; when the
 * directory doubles (with 5 million ids it has 4096 entries), 9 bytes of each entry are copied.
 *
 * At its limits a set either refuses what is new or forgets what is oldest, as its owner chose.
 */
#ifndef NODES_FUNCTIONS_ID_SET_H
#define NODES_FUNCTIONS_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

/* The longest id. COUNT_MAX is the greatest limit. Less memory than MEMORY_BYTES_MIN is no use. */
enum { ID_SET_ID_BYTES_MAX = 65535, ID_SET_MEMORY_BYTES_MIN = 4 << 20 };
#define ID_SET_COUNT_MAX UINT64_C(1000000000)

/* What happens to a new id when the set is full. */
enum id_set_full {
    /* It is not added. */
    ID_SET_REFUSE,
    /*
     * Ids are kept in two generations of at most count_max / 2. When the younger is full, the older is forgotten as a
     * whole and a new one begins. So the last count_max / 2 ids that were added are always known, and at most count_max
     * are. To be found again makes an id no younger. Where the limit of memory comes first, a generation ends early,
     * and fewer are known.
     */
    ID_SET_FORGET,
};

struct id_set_settings {
    uint64_t count_max; /* 2 to ID_SET_COUNT_MAX */
    uint64_t memory_bytes_max;
    enum id_set_full full;
};

struct id_set;

/* An id that is made ready to be looked for: id_set_key makes it, the caller holds it. */
struct id_key {
    uint64_t words[2]; /* what its slot would hold */
    uint64_t hash;     /* 64 bits */
    const void *data;  /* the id itself */
    size_t length;
};

/* STATUS_SYSTEM where the system gives no random bytes (the hash is keyed, so that no sender can aim at one place) or
 * no memory. */
enum status id_set_open(struct id_set **set, const struct id_set_settings *settings, struct error *error) MUST_USE;

/* Frees all and sets *set to NULL; nothing for NULL. Takes some 0.1 s a gigabyte. */
void id_set_close(struct id_set **set);

/*
 * Makes `key` of an id of any length and starts to fetch what the next two calls will need, for a caller with other
 * work to do first. The key is good for this set only, as long as `data` stays; the set may grow in between.
 */
void id_set_key(const struct id_set *set, const void *data, size_t length, struct id_key *key);

/* Whether the id is known. */
bool id_set_has(const struct id_set *set, const struct id_key *key);

/*
 * Adds the id if it is not known, and says whether that was so in *added. STATUS_INPUT where it is longer than
 * ID_SET_ID_BYTES_MAX; STATUS_SYSTEM where it must be refused (ID_SET_REFUSE, and a limit is reached), or the system
 * gives no memory. The set stays sound, and a later call may succeed.
 */
enum status id_set_add(struct id_set *set, const struct id_key *key, bool *added, struct error *error) MUST_USE;

/*
 * For who keeps the ids elsewhere. Generations are numbered from 0, one after the other; a set that refuses begins
 * none by itself. id_set_added_generation: of the id that was added last. id_set_begin_generation: ends the one that
 * grows, and as many as it takes, until `generation` does; nothing where it is that one or an older one. So ids that
 * are added again by the order of their generations leave the set as it was.
 */
uint64_t id_set_added_generation(const struct id_set *set);
void id_set_begin_generation(struct id_set *set, uint64_t generation);

/* How many ids are known, how many have been forgotten since the set was opened, and what the set has from the system:
 * slots, directory, long ids. */
uint64_t id_set_count(const struct id_set *set);
uint64_t id_set_forgotten_count(const struct id_set *set);
uint64_t id_set_memory_bytes(const struct id_set *set);

#endif
