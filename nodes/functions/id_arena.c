/*
 * A string is its length in two bytes and its bytes, not aligned. Its place is the chunk's number times the size of a
 * chunk, and the offset in it.
 */
#include "nodes/functions/id_arena.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"

#define NONE UINT32_MAX /* no chunk */

static const struct id_arena_list empty_list = {.first = NONE, .last = NONE};

void id_arena_open(struct id_arena *arena)
{
    *arena = (struct id_arena){.spare = empty_list};
    for (unsigned i = 0; i < ID_ARENA_GENERATION_COUNT; i++)
        arena->generations[i] = empty_list;
}

void id_arena_close(struct id_arena *arena)
{
    for (uint32_t i = 0; i < arena->chunk_count; i++)
        free(arena->chunks[i].bytes);
    free(arena->chunks);
    *arena = (struct id_arena){0};
}

uint64_t id_arena_memory_bytes(const struct id_arena *arena)
{
    return (uint64_t)arena->chunk_count * ID_ARENA_CHUNK_BYTES;
}

/* Moves all of `from` to the end of `to`. */
static void append_list(struct id_arena *arena, struct id_arena_list *to, struct id_arena_list *from)
{
    if (from->first == NONE)
        return;
    if (to->first == NONE)
        to->first = from->first;
    else
        arena->chunks[to->last].next = from->first;
    to->last = from->last;
    to->used_bytes = 0;
    *from = empty_list;
}

/* Makes one more spare chunk. */
static bool make_chunk(struct id_arena *arena, uint64_t memory_bytes_max)
{
    if (id_arena_memory_bytes(arena) + ID_ARENA_CHUNK_BYTES > memory_bytes_max || arena->chunk_count == NONE)
        return false;
    if (arena->chunk_count == arena->chunk_capacity) {
        uint32_t capacity = arena->chunk_capacity > 0 ? arena->chunk_capacity * 2 : 16;
        struct id_arena_chunk *chunks = realloc(arena->chunks, capacity * sizeof *chunks);
        if (chunks == NULL)
            return false;
        arena->chunks = chunks;
        arena->chunk_capacity = capacity;
    }
    char *bytes = malloc(ID_ARENA_CHUNK_BYTES);
    if (bytes == NULL)
        return false;
    uint32_t made = arena->chunk_count++;
    arena->chunks[made] = (struct id_arena_chunk){.bytes = bytes, .next = NONE};
    append_list(arena, &arena->spare, &(struct id_arena_list){.first = made, .last = made});
    return true;
}

/* Gives `list` an empty last chunk. */
static bool add_chunk(struct id_arena *arena, struct id_arena_list *list, uint64_t memory_bytes_max)
{
    if (arena->spare.first == NONE && !make_chunk(arena, memory_bytes_max))
        return false;
    struct id_arena_list one = {.first = arena->spare.first, .last = arena->spare.first};
    arena->spare.first = arena->chunks[one.first].next;
    if (arena->spare.first == NONE)
        arena->spare = empty_list;
    arena->chunks[one.first].next = NONE;
    append_list(arena, list, &one);
    return true;
}

bool id_arena_add(struct id_arena *arena, unsigned generation, const void *data, size_t length,
                  uint64_t memory_bytes_max, uint64_t *place)
{
    CHECK(generation < ID_ARENA_GENERATION_COUNT && length <= ID_ARENA_ID_BYTES_MAX);
    struct id_arena_list *list = &arena->generations[generation];
    const uint16_t stored_length = (uint16_t)length;
    size_t bytes = sizeof stored_length + length;
    if ((list->last == NONE || list->used_bytes + bytes > ID_ARENA_CHUNK_BYTES) &&
        !add_chunk(arena, list, memory_bytes_max))
        return false;
    *place = (uint64_t)list->last * ID_ARENA_CHUNK_BYTES + list->used_bytes;
    char *at = arena->chunks[list->last].bytes + list->used_bytes;
    memcpy(at, &stored_length, sizeof stored_length);
    if (length > 0)
        memcpy(at + sizeof stored_length, data, length);
    list->used_bytes += bytes;
    return true;
}

bool id_arena_equals(const struct id_arena *arena, uint64_t place, const void *data, size_t length)
{
    const char *at = arena->chunks[place / ID_ARENA_CHUNK_BYTES].bytes + place % ID_ARENA_CHUNK_BYTES;
    uint16_t stored_length;
    memcpy(&stored_length, at, sizeof stored_length);
    return stored_length == length && (length == 0 || memcmp(at + sizeof stored_length, data, length) == 0);
}

void id_arena_forget(struct id_arena *arena, unsigned generation)
{
    CHECK(generation < ID_ARENA_GENERATION_COUNT);
    append_list(arena, &arena->spare, &arena->generations[generation]);
}
