/*
 * Why not ck_ht: measured on the libck 0.7.1 of Debian 12 with a million (eight million) 9-byte keys, an insertion
 * takes 1.2 (1.4) us, the longest one 0.4 (3.2) s, because a table that grows looks at every key again, and its index
 * takes 67 to 134 bytes a key. This table needs none of what that costs, which is readers beside the writer. uthash
 * spends 56 bytes and an allocation a key.
 *
 * The index is open addressing with linear probing. A slot is 64 bits: the key's 32-bit hash above and its record's
 * place below, 0 for an empty slot. The upper bits of the hash choose the slot, so that growth, which doubles the
 * index, walks both from front to back and never touches a key.
 *
 * A record is the value, the key's length and the key, in chunks that never move. Its place counts units of 8 bytes, 1
 * and up.
 */
#include "nodes/functions/keyed_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "engine/check.h"
#include "nodes/hash/siphash.h"

#define TABLE_MAGIC UINT32_C(0x6b746162)

enum {
    UNIT_BYTES = 8,
    CHUNK_BITS = 20,
    CHUNK_BYTES = 1 << CHUNK_BITS,
    CHUNK_UNITS = CHUNK_BYTES / UNIT_BYTES,
    FIRST_INDEX_BITS = 9, /* one page */
    LAST_INDEX_BITS = 32,
    LARGE_PAGE_BYTES = 2 << 20,
};

#define CHUNK_COUNT_MAX ((UINT64_C(1) << 32) / CHUNK_UNITS)

struct keyed_table {
    uint32_t magic;
    unsigned index_bits; /* the index has 2^index_bits slots */
    uint64_t *slots;
    uint64_t count;
    char **chunks;
    size_t chunk_count;
    size_t chunk_used_units; /* of the last chunk */
    size_t value_bytes;      /* rounded up to units */
    uint64_t count_max;
    uint64_t memory_bytes_max;
    uint64_t hash_key[2];
};

static uint32_t hash(const struct keyed_table *table, const void *key, size_t length)
{
    return (uint32_t)(siphash(table->hash_key, key, length) >> 32);
}

static uint64_t index_bytes(unsigned index_bits)
{
    return sizeof(uint64_t) << index_bits;
}

/*
 * An empty index, or NULL. Looks go all over it: large pages, where the system gives them, halve their time, and the
 * pause of a growing table, which is mostly the first touch of new pages.
 */
static uint64_t *index_make(unsigned index_bits)
{
    size_t bytes = (size_t)index_bytes(index_bits);
    void *slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED)
        return NULL;
    if (bytes >= LARGE_PAGE_BYTES)
        (void)madvise(slots, bytes, MADV_HUGEPAGE); /* a wish: without it, it only takes longer */
    return slots;
}

static void index_free(uint64_t *slots, unsigned index_bits)
{
    CHECK(munmap(slots, (size_t)index_bytes(index_bits)) == 0);
}

enum status keyed_table_open(struct keyed_table **table, const struct keyed_table_settings *settings,
                             struct error *error)
{
    CHECK(settings->value_bytes <= KEYED_TABLE_VALUE_BYTES_MAX);
    uint64_t hash_key[2];
    if (getrandom(hash_key, sizeof hash_key, 0) != (ssize_t)sizeof hash_key)
        return error_set(error, STATUS_SYSTEM, "the system gives no random bytes (getrandom)");
    struct keyed_table *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    *made = (struct keyed_table){
        .magic = TABLE_MAGIC,
        .index_bits = FIRST_INDEX_BITS,
        .slots = index_make(FIRST_INDEX_BITS),
        .value_bytes = (settings->value_bytes + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES,
        .count_max = settings->count_max,
        .memory_bytes_max = settings->memory_bytes_max,
        .hash_key = {hash_key[0], hash_key[1]},
    };
    CHECK(made->slots != NULL);
    *table = made;
    return STATUS_OK;
}

void keyed_table_close(struct keyed_table **table)
{
    struct keyed_table *gone = *table;
    if (gone == NULL)
        return;
    CHECK_MAGIC(gone, TABLE_MAGIC);
    for (size_t i = 0; i < gone->chunk_count; i++)
        free(gone->chunks[i]);
    free(gone->chunks);
    index_free(gone->slots, gone->index_bits);
    gone->magic = 0;
    free(gone);
    *table = NULL;
}

uint64_t keyed_table_count(const struct keyed_table *table)
{
    return table->count;
}

uint64_t keyed_table_memory_bytes(const struct keyed_table *table)
{
    return index_bytes(table->index_bits) + (uint64_t)table->chunk_count * CHUNK_BYTES;
}

static char *record_at(const struct keyed_table *table, uint32_t place)
{
    return table->chunks[place / CHUNK_UNITS] + (size_t)(place % CHUNK_UNITS) * UNIT_BYTES;
}

static bool record_has_key(const struct keyed_table *table, const char *record, const void *key, size_t length)
{
    uint16_t record_length;
    memcpy(&record_length, record + table->value_bytes, sizeof record_length);
    return record_length == length &&
           (length == 0 || memcmp(record + table->value_bytes + sizeof record_length, key, length) == 0);
}

/* The slot that holds the key, or the empty one where it belongs. There is always an empty one. */
static uint64_t *find_slot(const struct keyed_table *table, uint32_t key_hash, const void *key, size_t length)
{
    const uint64_t mask = (UINT64_C(1) << table->index_bits) - 1;
    uint64_t i = (uint64_t)key_hash >> (32 - table->index_bits);
    for (;; i = (i + 1) & mask) {
        uint64_t slot = table->slots[i];
        if (slot == 0)
            break;
        if (slot >> 32 == key_hash && record_has_key(table, record_at(table, (uint32_t)slot), key, length))
            break;
    }
    return &table->slots[i];
}

void *keyed_table_find(const struct keyed_table *table, const void *key, size_t length)
{
    CHECK_MAGIC(table, TABLE_MAGIC);
    if (length > KEYED_TABLE_KEY_BYTES_MAX)
        return NULL;
    uint64_t slot = *find_slot(table, hash(table, key, length), key, length);
    return slot != 0 ? record_at(table, (uint32_t)slot) : NULL;
}

static void insert_slot(uint64_t *slots, unsigned index_bits, uint64_t slot)
{
    const uint64_t mask = (UINT64_C(1) << index_bits) - 1;
    uint64_t i = (slot >> 32) >> (32 - index_bits);
    while (slots[i] != 0)
        i = (i + 1) & mask;
    slots[i] = slot;
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_SYSTEM, "no memory for another key");
}

static enum status check_memory(const struct keyed_table *table, uint64_t more_bytes, struct error *error)
{
    if (keyed_table_memory_bytes(table) + more_bytes > table->memory_bytes_max)
        return error_set(error, STATUS_SYSTEM, "the table is at its limit of %llu bytes",
                         (unsigned long long)table->memory_bytes_max);
    return STATUS_OK;
}

static enum status grow_index(struct keyed_table *table, struct error *error)
{
    if (table->index_bits == LAST_INDEX_BITS)
        return error_set(error, STATUS_SYSTEM, "the table's index cannot grow any more");
    unsigned index_bits = table->index_bits + 1;
    enum status status = check_memory(table, index_bytes(index_bits), error);
    if (status != STATUS_OK)
        return status;
    uint64_t *slots = index_make(index_bits);
    if (slots == NULL)
        return no_memory(error);
    const uint64_t slot_count = UINT64_C(1) << table->index_bits;
    for (uint64_t i = 0; i < slot_count; i++) {
        if (table->slots[i] != 0)
            insert_slot(slots, index_bits, table->slots[i]);
    }
    index_free(table->slots, table->index_bits);
    table->slots = slots;
    table->index_bits = index_bits;
    return STATUS_OK;
}

static enum status add_chunk(struct keyed_table *table, struct error *error)
{
    if (table->chunk_count == CHUNK_COUNT_MAX)
        return error_set(error, STATUS_SYSTEM, "the table is full of keys");
    enum status status = check_memory(table, CHUNK_BYTES, error);
    if (status != STATUS_OK)
        return status;
    /* The array doubles whenever its count is a power of two. */
    if ((table->chunk_count & (table->chunk_count - 1)) == 0) {
        size_t capacity = table->chunk_count > 0 ? table->chunk_count * 2 : 1;
        char **chunks = realloc(table->chunks, capacity * sizeof *chunks);
        if (chunks == NULL)
            return no_memory(error);
        table->chunks = chunks;
    }
    char *chunk = malloc(CHUNK_BYTES);
    if (chunk == NULL)
        return no_memory(error);
    /* Place 0 means an empty slot: the first unit of all stays unused. */
    table->chunk_used_units = table->chunk_count == 0 ? 1 : 0;
    table->chunks[table->chunk_count++] = chunk;
    return STATUS_OK;
}

static enum status add_record(struct keyed_table *table, const void *key, size_t length, uint32_t *place,
                              struct error *error)
{
    const uint16_t key_length = (uint16_t)length;
    size_t units = (table->value_bytes + sizeof key_length + length + UNIT_BYTES - 1) / UNIT_BYTES;
    if (table->chunk_count == 0 || table->chunk_used_units + units > CHUNK_UNITS) {
        enum status status = add_chunk(table, error);
        if (status != STATUS_OK)
            return status;
    }
    *place = (uint32_t)((table->chunk_count - 1) * CHUNK_UNITS + table->chunk_used_units);
    table->chunk_used_units += units;
    char *record = record_at(table, *place);
    memset(record, 0, table->value_bytes);
    memcpy(record + table->value_bytes, &key_length, sizeof key_length);
    if (length > 0)
        memcpy(record + table->value_bytes + sizeof key_length, key, length);
    return STATUS_OK;
}

enum status keyed_table_add(struct keyed_table *table, const void *key, size_t length, void **value, bool *added,
                            struct error *error)
{
    CHECK_MAGIC(table, TABLE_MAGIC);
    if (length > KEYED_TABLE_KEY_BYTES_MAX)
        return error_set(error, STATUS_INPUT, "a key of %zu bytes is longer than %d", length,
                         KEYED_TABLE_KEY_BYTES_MAX);
    uint32_t key_hash = hash(table, key, length);
    uint64_t *slot = find_slot(table, key_hash, key, length);
    *added = *slot == 0;
    if (*added) {
        if (table->count >= table->count_max)
            return error_set(error, STATUS_SYSTEM, "the table is at its limit of %llu keys",
                             (unsigned long long)table->count_max);
        enum status status = STATUS_OK;
        if (table->count >= (UINT64_C(3) << table->index_bits) / 4) {
            status = grow_index(table, error);
            slot = find_slot(table, key_hash, key, length);
        }
        uint32_t place = 0;
        if (status == STATUS_OK)
            status = add_record(table, key, length, &place, error);
        if (status != STATUS_OK)
            return status;
        *slot = (uint64_t)key_hash << 32 | place;
        table->count++;
    }
    if (value != NULL)
        *value = record_at(table, (uint32_t)*slot);
    return STATUS_OK;
}
