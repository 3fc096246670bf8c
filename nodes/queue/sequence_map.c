/*
 * Open addressing with linear probing, and deletion without tombstones (Knuth, The Art of Computer Programming, volume
 * 3, 6.4, algorithm R): what stands behind the gap moves into it, unless it would come to stand before its home. The
 * hash is Knuth's multiplicative one: numbers that follow each other are spread evenly.
 */
#include "nodes/queue/sequence_map.h"

#include <stdlib.h>

#include "engine/check.h"

enum { CAPACITY_MIN = 16 };

/* 2^64 divided by the golden ratio. */
static const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);

static size_t home_of(size_t capacity, uint64_t sequence)
{
    return (size_t)((sequence * factor) >> (64 - __builtin_ctzll(capacity)));
}

/* Where the number is, or would be put. */
static size_t place_of(const struct sequence_map *map, uint64_t sequence)
{
    size_t at = home_of(map->capacity, sequence);
    while (map->slots[at].sequence != 0 && map->slots[at].sequence != sequence)
        at = (at + 1) & (map->capacity - 1);
    return at;
}

void sequence_map_free(struct sequence_map *map)
{
    free(map->slots);
    *map = (struct sequence_map){0};
}

bool sequence_map_reserve(struct sequence_map *map)
{
    if (2 * (map->count + 1) <= map->capacity)
        return true;
    struct sequence_map larger = {.capacity = map->capacity == 0 ? CAPACITY_MIN : 2 * map->capacity};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].sequence != 0)
            sequence_map_add(&larger, map->slots[i].sequence, map->slots[i].value);
    }
    free(map->slots);
    *map = larger;
    return true;
}

void sequence_map_add(struct sequence_map *map, uint64_t sequence, union sequence_word value)
{
    CHECK(sequence != 0 && 2 * (map->count + 1) <= map->capacity);
    size_t at = place_of(map, sequence);
    CHECK(map->slots[at].sequence == 0);
    map->slots[at] = (struct sequence_slot){.sequence = sequence, .value = value};
    map->count++;
}

bool sequence_map_find(const struct sequence_map *map, uint64_t sequence, union sequence_word *value)
{
    if (map->count == 0 || sequence == 0)
        return false;
    const struct sequence_slot *slot = &map->slots[place_of(map, sequence)];
    if (slot->sequence == 0)
        return false;
    *value = slot->value;
    return true;
}

void sequence_map_remove(struct sequence_map *map, uint64_t sequence)
{
    CHECK(sequence != 0 && map->count > 0);
    size_t mask = map->capacity - 1;
    size_t gap = place_of(map, sequence);
    CHECK(map->slots[gap].sequence == sequence);
    for (size_t at = (gap + 1) & mask; map->slots[at].sequence != 0; at = (at + 1) & mask) {
        /* How far it stands behind its home, and behind the gap. */
        size_t from_home = (at - home_of(map->capacity, map->slots[at].sequence)) & mask;
        if (from_home >= ((at - gap) & mask)) {
            map->slots[gap] = map->slots[at];
            gap = at;
        }
    }
    map->slots[gap].sequence = 0;
    map->count--;
}
