/*
 * id_arena.h: byte strings of any length, packed into chunks, in four generations that are each given up as a whole.
 * For one thread.
 *
 * What a generation held is used again by later ones and goes back to the system when the arena is closed: giving up
 * millions of strings costs nothing.
 */
#ifndef NODES_FUNCTIONS_ID_ARENA_H
#define NODES_FUNCTIONS_ID_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID_ARENA_GENERATION_COUNT = 4, ID_ARENA_CHUNK_BYTES = 256 * 1024, ID_ARENA_ID_BYTES_MAX = 65535 };

/* The chunks of one generation, or the spare ones: a list by index. */
struct id_arena_list {
    uint32_t first, last; /* ID_ARENA_NONE: empty */
    size_t used_bytes;    /* of the last chunk */
};

struct id_arena_chunk {
    char *bytes;
    uint32_t next;
};

/* Starts zeroed and passed to id_arena_open. */
struct id_arena {
    struct id_arena_chunk *chunks;
    uint32_t chunk_count, chunk_capacity;
    struct id_arena_list generations[ID_ARENA_GENERATION_COUNT];
    struct id_arena_list spare;
};

void id_arena_open(struct id_arena *arena);
void id_arena_close(struct id_arena *arena);

/*
 * Copies `length` bytes (at most ID_ARENA_ID_BYTES_MAX) into `generation` and says where in *place (below 2^50). False
 * where there is no memory, or no more than `memory_bytes_max` is allowed: nothing has changed then.
 */
bool id_arena_add(struct id_arena *arena, unsigned generation, const void *data, size_t length,
                  uint64_t memory_bytes_max, uint64_t *place);

/* Whether these bytes are at `place`, which must be of a generation that has not been given up. */
bool id_arena_equals(const struct id_arena *arena, uint64_t place, const void *data, size_t length);

/* Gives up all strings of `generation`. */
void id_arena_forget(struct id_arena *arena, unsigned generation);

/* What the chunks take. */
uint64_t id_arena_memory_bytes(const struct id_arena *arena);

#endif
