/*
 * Extendible hashing (Fagin, Nievergelt, Pippenger and Strong, "Extendible hashing: a fast access method for dynamic
 * files", 1979): a directory of 2^depth pointers to segments of one size, chosen by the upper bits of an id's place. A
 * segment that is full is split in two, alone; when its pointers no longer suffice for that, the directory doubles. So
 * growth never moves more than one segment.
 *
 * A segment is a small hash table: 1024 cache lines of four slots. Other bits of the hash choose a line and the step to
 * the next one, for an id that finds its line full (double hashing; with linear probing the lines on the way would be
 * about twice as many). A segment counts as full when an id would be the PROBE_LINE_COUNTth line from its own or
 * further.
 *
 * Slots are 16 bytes, two words. Byte 15 is a tag: 0 for an empty slot; else the kind, and the generation in the two
 * upper bits. Kinds 1 to 16 are ids of 0 to 15 bytes, which lie in front of the tag, zeros behind them. Of a long id
 * the first word is the hash and the second its place in the arena.
 *
 * Forgetting costs no time when it happens: two generations are alive, the slots of others count as free, and segments
 * are cleaned one after the other while the next generation grows. A generation's number comes again after four; by
 * then the last of its slots are gone.
 */
#include "nodes/functions/id_set.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "engine/check.h"
#include "nodes/functions/id_arena.h"
#include "nodes/functions/id_set_private.h"
#include "nodes/hash/siphash.h"

#define SET_MAGIC UINT32_C(0x69647365)

__extension__ typedef unsigned __int128 uint128;

enum {
    LINE_SLOT_COUNT = 4,
    LINE_BITS = 10,
    SEGMENT_LINE_COUNT = 1 << LINE_BITS,
    SEGMENT_SLOT_COUNT = SEGMENT_LINE_COUNT * LINE_SLOT_COUNT,
    SEGMENT_BYTES = SEGMENT_SLOT_COUNT * 16,
    PROBE_LINE_COUNT = 32,
    REGION_BYTES = 1 << 20,
    REGION_SEGMENT_COUNT = REGION_BYTES / SEGMENT_BYTES,
    DEPTH_MAX = 22, /* with the bits of a line these are the 32 good bits of the hash */
    GENERATION_COUNT = ID_ARENA_GENERATION_COUNT,
    SHORT_ID_BYTES_MAX = 15,
};

#define TAG_SHIFT        56
#define GENERATION_SHIFT 62
#define GENERATION_MASK  (UINT64_C(3) << GENERATION_SHIFT)
#define KIND_LONG        (UINT64_C(17) << TAG_SHIFT)
#define PLACE_MASK       ((UINT64_C(1) << TAG_SHIFT) - 1)

struct slot {
    uint64_t words[2];
};

_Static_assert(sizeof(struct slot) * LINE_SLOT_COUNT == 64, "a line of slots is a cache line");

/* The secret of the hash of short ids. */
struct hash_key {
    uint64_t sums[2];
    uint64_t factors[4];
    uint64_t start;
};

struct id_set {
    uint32_t magic;
    unsigned depth;         /* the directory has 2^depth entries */
    struct slot **segments; /* several entries may be of one segment */
    uint8_t *depths;        /* of each entry's segment: it has 2^(depth - that) entries */
    struct hash_key hash_key;
    uint64_t long_hash_key[2];

    struct id_set_settings settings;
    unsigned generation;                          /* the one that grows; the one before is known too */
    uint64_t generation_counts[GENERATION_COUNT]; /* 0 for those that are not alive */
    uint64_t forgotten_count;
    uint64_t generation_number; /* of the one that grows, counted without end */
    uint64_t added_generation;  /* that of the id that was added last */
    size_t clean_count; /* so many entries' segments have been cleaned since the last generation was forgotten */

    void **regions; /* what segments are cut from */
    size_t region_count, region_capacity;
    unsigned region_used_count; /* segments of the last region */
    struct slot *scratch;       /* of one segment */
    struct id_arena arena;      /* of long ids */
};

/* ---- memory ---- */

static size_t directory_count(const struct id_set *set)
{
    return (size_t)1 << set->depth;
}

static uint64_t directory_bytes(unsigned depth)
{
    return (uint64_t)(sizeof(struct slot *) + sizeof(uint8_t)) << depth;
}

uint64_t id_set_memory_bytes(const struct id_set *set)
{
    return (uint64_t)set->region_count * REGION_BYTES + directory_bytes(set->depth) + SEGMENT_BYTES +
           id_arena_memory_bytes(&set->arena);
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_SYSTEM, "no memory for another id");
}

static enum status check_memory(const struct id_set *set, uint64_t more_bytes, struct error *error)
{
    if (id_set_memory_bytes(set) + more_bytes > set->settings.memory_bytes_max)
        return error_set(error, STATUS_SYSTEM, "the ids are at their limit of %llu bytes",
                         (unsigned long long)set->settings.memory_bytes_max);
    return STATUS_OK;
}

static enum status add_region(struct id_set *set, struct error *error)
{
    enum status status = check_memory(set, REGION_BYTES, error);
    if (status != STATUS_OK)
        return status;
    if (set->region_count == set->region_capacity) {
        size_t capacity = set->region_capacity > 0 ? set->region_capacity * 2 : 16;
        void **regions = realloc((void *)set->regions, capacity * sizeof *regions);
        if (regions == NULL)
            return no_memory(error);
        set->regions = regions;
        set->region_capacity = capacity;
    }
    void *region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return no_memory(error);
    set->regions[set->region_count++] = region;
    set->region_used_count = 0;
    return STATUS_OK;
}

/* An empty segment. */
static enum status make_segment(struct id_set *set, struct slot **segment, struct error *error)
{
    if (set->region_count == 0 || set->region_used_count == REGION_SEGMENT_COUNT) {
        enum status status = add_region(set, error);
        if (status != STATUS_OK)
            return status;
    }
    char *region = set->regions[set->region_count - 1];
    *segment = (struct slot *)(void *)(region + (size_t)set->region_used_count++ * SEGMENT_BYTES);
    /* All its pages will be written to at once: one call is quicker than as many faults. A wish. Large pages would make
     * looks some 5 % quicker, but each takes 0.2 ms to clear, and 4 ms where a host has to find it first. */
    (void)madvise(*segment, SEGMENT_BYTES, MADV_POPULATE_WRITE);
    return STATUS_OK;
}

/* ---- hash ---- */

/*
 * Of the two words of a short id's slot, without its generation. Two steps with proofs, for ids that were chosen
 * without knowing the secret (answers do not show it): the product of NH (Black, Halevi, Krawczyk, Krovetz and Rogaway,
 * "UMAC: fast and secure message authentication", 1999), which two ids share with a probability of at most 2^-64; then
 * the multilinear hash of its four parts (Lemire and Kaser, "Strongly universal string hashing is fast", 2014), whose
 * upper 32 bits are strongly universal. Five multiplications, where SipHash has
 * five rounds.
 */
static uint64_t hash_short(const struct id_set *set, uint64_t low, uint64_t high)
{
    const struct hash_key *key = &set->hash_key;
    uint128 product = (uint128)(low + key->sums[0]) * (high + key->sums[1]);
    uint64_t product_low = (uint64_t)product;
    uint64_t product_high = (uint64_t)(product >> 64);
    return key->start + key->factors[0] * (uint32_t)product_low + key->factors[1] * (product_low >> 32) +
           key->factors[2] * (uint32_t)product_high + key->factors[3] * (product_high >> 32);
}

/*
 * Where in the directory. Spread evenly, all segments would be full at nearly the same time; the set would double in
 * one go, and its memory swing by two. So places are more and more crowded towards the end of the directory, steadily,
 * by two in all: u -> u * (4 - u) / 3 for u from 0 to 1, whose slope falls from 4/3 to 2/3. Then at any time segments
 * of all loads are there, and one after the other is split. (Spiral storage, by Martin, 1979, has the idea, with an
 * exponential function.)
 */
static uint64_t place_of(uint64_t hash)
{
    return hash + (hash - (uint64_t)((uint128)hash * hash >> 64)) / 3;
}

static size_t entry_of(const struct id_set *set, uint64_t hash)
{
    return (size_t)(place_of(hash) >> 1 >> (63 - set->depth)); /* twice: there is no shift by 64 */
}

/* Not the bits that chose the segment: the upper 22 of the 32 good ones. */
static size_t line_of(uint64_t hash)
{
    return (size_t)(hash >> 32) % SEGMENT_LINE_COUNT;
}

/* How far it is to the next line. Odd, so that all lines are met. */
static size_t step_of(uint64_t hash)
{
    return (size_t)(hash >> (32 - LINE_BITS)) | 1;
}

static void prefetch_line(const struct slot *segment, size_t line)
{
    __builtin_prefetch(&segment[line % SEGMENT_LINE_COUNT * LINE_SLOT_COUNT]);
}

static uint64_t hash_of_slot(const struct id_set *set, const struct slot *slot)
{
    uint64_t high = slot->words[1] & ~GENERATION_MASK;
    return (high & ~PLACE_MASK) == KIND_LONG ? slot->words[0] : hash_short(set, slot->words[0], high);
}

/* The first and second word of a slot for these bytes, without the kind. The least significant byte is the first: of
 * the machine's order only so much matters that different ids give different words. */
static void load_short(const unsigned char *data, size_t length, uint64_t words[2])
{
    words[0] = words[1] = 0;
    if (length >= 8) {
        memcpy(&words[0], data, 8);
        if (length > 8) {
            memcpy(&words[1], data + length - 8, 8);
            words[1] >>= 8 * (16 - length);
        }
    } else if (length >= 4) {
        uint32_t first;
        uint32_t last;
        memcpy(&first, data, 4);
        memcpy(&last, data + length - 4, 4);
        words[0] = first | (uint64_t)last << 8 * (length - 4);
    } else if (length > 0) {
        words[0] =
            data[0] | (uint64_t)data[length / 2] << 8 * (length / 2) | (uint64_t)data[length - 1] << 8 * (length - 1);
    }
}

void id_set_key(const struct id_set *set, const void *data, size_t length, struct id_key *key)
{
    CHECK_MAGIC(set, SET_MAGIC);
    key->data = data;
    key->length = length;
    if (length <= SHORT_ID_BYTES_MAX) {
        load_short(data, length, key->words);
        key->words[1] |= (uint64_t)(length + 1) << TAG_SHIFT;
        key->hash = hash_short(set, key->words[0], key->words[1]);
    } else {
        key->hash = siphash(set->long_hash_key, data, length);
        key->words[0] = key->hash;
        key->words[1] = KIND_LONG;
    }
    const struct slot *segment = set->segments[entry_of(set, key->hash)];
    prefetch_line(segment, line_of(key->hash));
    prefetch_line(segment, line_of(key->hash) + step_of(key->hash));
}

/* ---- finding ---- */

static unsigned generation_of(const struct slot *slot)
{
    return (unsigned)(slot->words[1] >> GENERATION_SHIFT);
}

static bool is_alive(const struct id_set *set, const struct slot *slot)
{
    return (set->generation - generation_of(slot)) % GENERATION_COUNT < 2;
}

static bool slot_has(const struct id_set *set, const struct slot *slot, const struct id_key *key)
{
    if (slot->words[0] != key->words[0])
        return false;
    uint64_t high = slot->words[1] & ~GENERATION_MASK;
    if (key->length <= SHORT_ID_BYTES_MAX)
        return high == key->words[1] && is_alive(set, slot);
    return (high & ~PLACE_MASK) == KIND_LONG && is_alive(set, slot) &&
           id_arena_equals(&set->arena, high & PLACE_MASK, key->data, key->length);
}

/* What a look found. */
struct look {
    struct slot *found;
    struct slot *room;      /* the first free slot on the way; NULL: none in the segment */
    size_t room_line_count; /* so many lines from the id's own */
};

/* The id among the slots of a line, or NULL. */
static struct slot *find_in_line(const struct id_set *set, struct slot *line, const struct id_key *key)
{
    for (unsigned i = 0; i < LINE_SLOT_COUNT; i++)
        if (slot_has(set, &line[i], key))
            return &line[i];
    return NULL;
}

/* The first free slot of a line, or NULL. Before anything was forgotten only empty slots are free. */
static struct slot *free_in_line(const struct id_set *set, struct slot *line)
{
    if (set->forgotten_count == 0 && line[LINE_SLOT_COUNT - 1].words[1] != 0)
        return NULL;
    for (unsigned i = 0; i < LINE_SLOT_COUNT; i++)
        if (line[i].words[1] == 0 || !is_alive(set, &line[i]))
            return &line[i];
    return NULL;
}

/* Slots of a line are filled from its front, and never emptied one by one: an id is in no line behind one whose last
 * slot is empty. */
static struct look look_for(const struct id_set *set, const struct id_key *key)
{
    struct look look = {0};
    struct slot *segment = set->segments[entry_of(set, key->hash)];
    const uint64_t low = key->words[0];
    size_t number = line_of(key->hash);
    const size_t step = step_of(key->hash);
    for (size_t i = 0; i < SEGMENT_LINE_COUNT; i++, number = (number + step) % SEGMENT_LINE_COUNT) {
        struct slot *line = &segment[number * LINE_SLOT_COUNT];
        bool may_be = (line[0].words[0] == low) | (line[1].words[0] == low) | (line[2].words[0] == low) |
                      (line[3].words[0] == low);
        if (may_be && (look.found = find_in_line(set, line, key)) != NULL)
            return look;
        if (look.room == NULL && (look.room = free_in_line(set, line)) != NULL)
            look.room_line_count = i;
        if (line[LINE_SLOT_COUNT - 1].words[1] == 0)
            return look;
        prefetch_line(segment, number + 2 * step);
        prefetch_line(segment, number + 3 * step);
    }
    return look;
}

bool id_set_has(const struct id_set *set, const struct id_key *key)
{
    CHECK_MAGIC(set, SET_MAGIC);
    return key->length <= ID_SET_ID_BYTES_MAX && look_for(set, key).found != NULL;
}

/* ---- growth ---- */

/* The first entry of the segment that `entry` is of, and how many there are. */
static size_t first_entry(const struct id_set *set, size_t entry, size_t *count)
{
    *count = (size_t)1 << (set->depth - set->depths[entry]);
    return entry & ~(*count - 1);
}

/* Puts a slot into the first free place of `segment`, which has one. `fill` counts each line's slots. */
static inline void put_slot(struct slot *segment, uint8_t *fill, uint64_t hash, const struct slot *slot)
{
    size_t line = line_of(hash);
    while (fill[line] == LINE_SLOT_COUNT)
        line = (line + step_of(hash)) % SEGMENT_LINE_COUNT;
    segment[line * LINE_SLOT_COUNT + fill[line]++] = *slot;
}

/* Sorts the ids of a segment anew and drops those that are forgotten. Those whose place has the bit `upper_shift` go to
 * `upper`, which is empty, the others stay; all stay where `upper` is NULL. */
static void sort_segment(struct id_set *set, struct slot *segment, struct slot *upper, unsigned upper_shift)
{
    uint8_t fill[2][SEGMENT_LINE_COUNT] = {0};
    struct slot *targets[2] = {segment, upper != NULL ? upper : segment};
    const uint64_t upper_mask = upper != NULL;
    memcpy(set->scratch, segment, SEGMENT_BYTES);
    memset(segment, 0, SEGMENT_BYTES);
    for (size_t i = 0; i < SEGMENT_SLOT_COUNT; i++) {
        const struct slot *slot = &set->scratch[i];
        if (slot->words[1] == 0 || !is_alive(set, slot))
            continue;
        uint64_t hash = hash_of_slot(set, slot);
        size_t side = (size_t)(place_of(hash) >> upper_shift & upper_mask); /* not an if: it would be a guess */
        put_slot(targets[side], fill[side], hash, slot);
    }
}

static size_t forgotten_in(const struct id_set *set, const struct slot *segment)
{
    size_t count = 0;
    for (size_t i = 0; i < SEGMENT_SLOT_COUNT; i++)
        count += segment[i].words[1] != 0 && !is_alive(set, &segment[i]);
    return count;
}

static enum status double_directory(struct id_set *set, struct error *error)
{
    const size_t count = directory_count(set);
    enum status status = check_memory(set, directory_bytes(set->depth + 1), error); /* both at a time */
    if (status != STATUS_OK)
        return status;
    struct slot **segments = malloc(2 * count * sizeof *segments);
    uint8_t *depths = malloc(2 * count * sizeof *depths);
    if (segments == NULL || depths == NULL) {
        free((void *)segments);
        free(depths);
        return no_memory(error);
    }
    for (size_t i = 0; i < 2 * count; i++) {
        segments[i] = set->segments[i / 2];
        depths[i] = set->depths[i / 2];
    }
    free((void *)set->segments);
    free(set->depths);
    set->segments = segments;
    set->depths = depths;
    set->depth++;
    set->clean_count *= 2;
    return STATUS_OK;
}

/*
 * How deep a segment may be. With random hashes the deepest is that of the most crowded places, within two of the mean;
 * 6 more than would do for segments a quarter full are out of the question. Only if ids collide although they should
 * not is this reached, and bounds the directory.
 */
static unsigned depth_max(const struct id_set *set)
{
    uint64_t segments = id_set_count(set) / (SEGMENT_SLOT_COUNT / 4);
    unsigned depth = 6;
    for (; segments > 0 && depth < DEPTH_MAX; segments /= 2)
        depth++;
    return depth;
}

static enum status split_segment(struct id_set *set, uint64_t hash, struct error *error)
{
    size_t entry = entry_of(set, hash);
    const unsigned depth = set->depths[entry];
    if (depth >= depth_max(set))
        return error_set(error, STATUS_SYSTEM, "too many ids have hashes alike");
    if (depth == set->depth) {
        enum status status = double_directory(set, error);
        if (status != STATUS_OK)
            return status;
        entry = entry_of(set, hash);
    }
    struct slot *upper;
    enum status status = make_segment(set, &upper, error);
    if (status != STATUS_OK)
        return status;
    size_t count;
    size_t first = first_entry(set, entry, &count);
    sort_segment(set, set->segments[first], upper, 63 - depth);
    for (size_t i = 0; i < count; i++) {
        set->depths[first + i] = (uint8_t)(depth + 1);
        if (i >= count / 2)
            set->segments[first + i] = upper;
    }
    return STATUS_OK;
}

/* Looks for a slot for a new id, growing if need be. The loop is bounded: a segment is cleaned once, and split until it
 * is as deep as may be. */
static enum status make_room(struct id_set *set, const struct id_key *key, struct look *look, struct error *error)
{
    for (bool cleaned = set->forgotten_count == 0; look->room == NULL || look->room_line_count >= PROBE_LINE_COUNT;
         *look = look_for(set, key)) {
        struct slot *segment = set->segments[entry_of(set, key->hash)];
        if (!cleaned && forgotten_in(set, segment) >= SEGMENT_SLOT_COUNT / 16) {
            sort_segment(set, segment, NULL, 0);
        } else {
            enum status status = split_segment(set, key->hash, error);
            if (status != STATUS_OK)
                return look->room != NULL ? STATUS_OK : status; /* far away, but there */
        }
        cleaned = true;
    }
    return STATUS_OK;
}

/* ---- generations ---- */

static unsigned generation_before(unsigned generation, unsigned count)
{
    return (generation + GENERATION_COUNT - count) % GENERATION_COUNT;
}

static uint64_t generation_count_max(const struct id_set *set)
{
    return set->settings.count_max / 2;
}

/* Cleans the segments that are due, so that all are done when the generation has `added_count` = its limit. */
static void clean_segments(struct id_set *set, uint64_t added_count)
{
    while (set->clean_count < directory_count(set) &&
           set->clean_count * generation_count_max(set) < added_count * directory_count(set)) {
        size_t count;
        size_t first = first_entry(set, set->clean_count, &count);
        struct slot *segment = set->segments[first];
        if (forgotten_in(set, segment) > 0)
            sort_segment(set, segment, NULL, 0);
        set->clean_count = first + count;
    }
}

/* Forgets the older generation and begins a new one. */
static void turn_generation(struct id_set *set)
{
    if (set->forgotten_count > 0) /* else there is nothing to clean; with 20 million ids the look alone takes 60 ms */
        clean_segments(set, generation_count_max(set)); /* the rest: none, unless memory ended the generation early */
    unsigned forgotten = generation_before(set->generation, 1);
    set->forgotten_count += set->generation_counts[forgotten];
    set->generation_counts[forgotten] = 0;
    id_arena_forget(&set->arena, forgotten);
    set->generation = (set->generation + 1) % GENERATION_COUNT;
    set->generation_number++;
    set->clean_count = 0;
}

uint64_t id_set_added_generation(const struct id_set *set)
{
    return set->added_generation;
}

void id_set_begin_generation(struct id_set *set, uint64_t generation)
{
    CHECK_MAGIC(set, SET_MAGIC);
    if (generation <= set->generation_number)
        return;
    /* Two forget all that is known. */
    for (uint64_t i = generation - set->generation_number < 2 ? 1 : 0; i < 2; i++)
        turn_generation(set);
    set->generation_number = generation;
}

/* What each added id owes: its share of the cleaning, and a new generation when its own is full. */
static void age(struct id_set *set)
{
    uint64_t added_count = set->generation_counts[set->generation];
    if (set->forgotten_count > 0)
        clean_segments(set, added_count);
    if (added_count >= generation_count_max(set))
        turn_generation(set);
}

/* ---- adding ---- */

static enum status check_count(const struct id_set *set, struct error *error)
{
    if (set->settings.full == ID_SET_REFUSE && id_set_count(set) >= set->settings.count_max)
        return error_set(error, STATUS_SYSTEM, "the ids are at their limit of %llu",
                         (unsigned long long)set->settings.count_max);
    return STATUS_OK;
}

/* Fills a free slot. */
static enum status fill_slot(struct id_set *set, struct slot *slot, const struct id_key *key, struct error *error)
{
    uint64_t place = 0;
    if (key->length > SHORT_ID_BYTES_MAX) {
        uint64_t others_bytes = id_set_memory_bytes(set) - id_arena_memory_bytes(&set->arena);
        uint64_t bytes_max = set->settings.memory_bytes_max;
        if (!id_arena_add(&set->arena, set->generation, key->data, key->length,
                          bytes_max > others_bytes ? bytes_max - others_bytes : 0, &place)) {
            enum status status = check_memory(set, ID_ARENA_CHUNK_BYTES, error);
            return status != STATUS_OK ? status : no_memory(error);
        }
    }
    slot->words[0] = key->words[0];
    slot->words[1] = key->words[1] | place | (uint64_t)set->generation << GENERATION_SHIFT;
    set->generation_counts[set->generation]++;
    set->added_generation = set->generation_number;
    return STATUS_OK;
}

static enum status add_new(struct id_set *set, const struct id_key *key, struct look *look, struct error *error)
{
    enum status status = make_room(set, key, look, error);
    return status == STATUS_OK ? fill_slot(set, look->room, key, error) : status;
}

enum status id_set_add(struct id_set *set, const struct id_key *key, bool *added, struct error *error)
{
    CHECK_MAGIC(set, SET_MAGIC);
    *added = false;
    if (key->length > ID_SET_ID_BYTES_MAX)
        return error_set(error, STATUS_INPUT, "an id of %zu bytes is longer than %d", key->length, ID_SET_ID_BYTES_MAX);
    struct look look = look_for(set, key);
    if (look.found != NULL)
        return STATUS_OK;
    enum status status = check_count(set, error);
    if (status == STATUS_OK)
        status = add_new(set, key, &look, error);
    /* No memory: two turns forget everything. */
    for (unsigned i = 0; i < 2 && status != STATUS_OK && set->settings.full == ID_SET_FORGET; i++) {
        turn_generation(set);
        look = look_for(set, key);
        status = add_new(set, key, &look, error);
    }
    if (status != STATUS_OK)
        return status;
    *added = true;
    if (set->settings.full == ID_SET_FORGET)
        age(set);
    return STATUS_OK;
}

uint64_t id_set_count(const struct id_set *set)
{
    return set->generation_counts[0] + set->generation_counts[1] + set->generation_counts[2] +
           set->generation_counts[3];
}

uint64_t id_set_forgotten_count(const struct id_set *set)
{
    return set->forgotten_count;
}

/* ---- opening and closing ---- */

enum status id_set_open(struct id_set **set, const struct id_set_settings *settings, struct error *error)
{
    CHECK(settings->count_max >= 2 && settings->count_max <= ID_SET_COUNT_MAX);
    struct id_set *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->magic = SET_MAGIC;
    made->settings = *settings;
    made->segments = calloc(1, sizeof(struct slot *));
    made->depths = calloc(1, sizeof *made->depths);
    made->scratch = aligned_alloc(sizeof(struct slot) * LINE_SLOT_COUNT, SEGMENT_BYTES);
    CHECK(made->segments != NULL && made->depths != NULL && made->scratch != NULL);
    id_arena_open(&made->arena);
    enum status status = make_segment(made, &made->segments[0], error);
    if (status == STATUS_OK &&
        (getrandom(&made->hash_key, sizeof made->hash_key, 0) != sizeof made->hash_key ||
         getrandom(made->long_hash_key, sizeof made->long_hash_key, 0) != sizeof made->long_hash_key))
        status = error_set(error, STATUS_SYSTEM, "the system gives no random bytes (getrandom)");
    if (status != STATUS_OK)
        id_set_close(&made);
    *set = made;
    return status;
}

void id_set_close(struct id_set **set)
{
    struct id_set *gone = *set;
    if (gone == NULL)
        return;
    CHECK_MAGIC(gone, SET_MAGIC);
    for (size_t i = 0; i < gone->region_count; i++)
        CHECK(munmap(gone->regions[i], REGION_BYTES) == 0);
    free((void *)gone->regions);
    free((void *)gone->segments);
    free(gone->depths);
    free(gone->scratch);
    id_arena_close(&gone->arena);
    gone->magic = 0;
    free(gone);
    *set = NULL;
}

void id_set_break_hash(struct id_set *set)
{
    CHECK_MAGIC(set, SET_MAGIC);
    CHECK(id_set_count(set) == 0);
    set->hash_key = (struct hash_key){0};
}
