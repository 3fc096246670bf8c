/*
 * Ids lie one behind the other, in the order in which they came, in a list of chunks: the oldest is the first of the
 * first chunk. A hash table chains them. Of those that hash alike the youngest is the first of its chain, so the oldest
 * of all is the last of its own. The table has its final size from the start, since a table that grows stops its queue
 * for as long as it copies; the system gives memory for it only where it is used.
 *
 * keyed_table.h and nodes/functions/id_set.h do not fit: the one forgets nothing, the other forgets half of its ids at
 * once, by count alone, and keeps no answers.
 */
#include "nodes/queue/recent_ids.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "engine/check.h"
#include "nodes/hash/siphash.h"

#define RECENT_IDS_MAGIC UINT32_C(0x72636964)

enum { CHUNK_BYTES = 64 << 10, BUCKET_COUNT_MIN = 16, BUCKET_COUNT_MAX = 1 << 27, RECORD_ALIGNMENT = 8 };

struct record {
    struct record *next; /* an older one with the same bucket */
    int64_t time_ns;
    uint64_t hash;
    uint32_t message_bytes;
    uint8_t length;
    char id[]; /* from byte 29 on; the next record begins at a multiple of RECORD_ALIGNMENT */
};

struct chunk {
    struct chunk *next;
    size_t used_bytes; /* of `records` */
    _Alignas(RECORD_ALIGNMENT) unsigned char records[CHUNK_BYTES - 2 * sizeof(void *)];
};

_Static_assert(sizeof(struct chunk) == CHUNK_BYTES, "a chunk is as large as it says");

struct recent_ids {
    uint32_t magic;
    uint64_t hash_key[2];
    uint64_t count_max;
    int64_t age_ns;
    struct record **buckets;
    size_t bucket_count; /* a power of two */
    uint64_t count;
    struct chunk *oldest, *youngest; /* `oldest` is NULL when there are none */
    size_t oldest_offset;            /* of the oldest record in its chunk */
    struct chunk *spare;             /* one that was emptied; NULL: none */
    uint64_t chunk_count;
};

static size_t choose_bucket_count(uint64_t count_max)
{
    size_t count = BUCKET_COUNT_MIN;
    while (count < count_max && count < BUCKET_COUNT_MAX)
        count *= 2;
    return count;
}

enum status recent_ids_open(struct recent_ids **ids, uint64_t count_max, int64_t age_ns, struct error *error)
{
    CHECK(count_max > 0 && age_ns >= 0);
    struct recent_ids *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(error, STATUS_SYSTEM, "no memory for ids");
    *made = (struct recent_ids){.magic = RECENT_IDS_MAGIC,
                                .count_max = count_max,
                                .age_ns = age_ns,
                                .bucket_count = choose_bucket_count(count_max)};
    if (getrandom(made->hash_key, sizeof made->hash_key, 0) != (ssize_t)sizeof made->hash_key) {
        free(made);
        return error_set(error, STATUS_SYSTEM, "the system gives no random bytes");
    }
    void *buckets = mmap(NULL, made->bucket_count * sizeof(struct record *), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (buckets == MAP_FAILED) {
        free(made);
        return error_set(error, STATUS_SYSTEM, "no memory for a window of %llu ids", (unsigned long long)count_max);
    }
    made->buckets = buckets;
    *ids = made;
    return STATUS_OK;
}

void recent_ids_close(struct recent_ids **ids)
{
    struct recent_ids *closed = *ids;
    if (closed == NULL)
        return;
    CHECK_MAGIC(closed, RECENT_IDS_MAGIC);
    while (closed->oldest != NULL) {
        struct chunk *chunk = closed->oldest;
        closed->oldest = chunk->next;
        free(chunk);
    }
    free(closed->spare);
    CHECK(munmap(closed->buckets, closed->bucket_count * sizeof(struct record *)) == 0);
    closed->magic = 0;
    free(closed);
    *ids = NULL;
}

static struct record **bucket_of(const struct recent_ids *ids, uint64_t hash)
{
    return &ids->buckets[hash & (ids->bucket_count - 1)];
}

static bool is_old(const struct recent_ids *ids, const struct record *record, int64_t now_ns)
{
    int64_t age_ns;
    /* A difference that no int64_t holds comes from a clock that is far off; what is from the future is not old. */
    if (__builtin_sub_overflow(now_ns, record->time_ns, &age_ns))
        return now_ns > record->time_ns;
    return age_ns > ids->age_ns;
}

static size_t record_bytes(size_t length)
{
    size_t bytes = offsetof(struct record, id) + length;
    return (bytes + RECORD_ALIGNMENT - 1) & ~(size_t)(RECORD_ALIGNMENT - 1);
}

/* ---- forgetting ---- */

static struct record *oldest_record(const struct recent_ids *ids)
{
    return (struct record *)(void *)(ids->oldest->records + ids->oldest_offset);
}

static void drop_chunk(struct recent_ids *ids)
{
    struct chunk *empty = ids->oldest;
    ids->oldest = empty->next;
    ids->oldest_offset = 0;
    if (ids->oldest == NULL)
        ids->youngest = NULL;
    if (ids->spare == NULL) {
        ids->spare = empty;
        return;
    }
    free(empty);
    ids->chunk_count--;
}

static void forget_oldest(struct recent_ids *ids)
{
    struct record *record = oldest_record(ids);
    struct record **link = bucket_of(ids, record->hash);
    while (*link != record)
        link = &(*link)->next;
    *link = record->next;
    ids->count--;
    ids->oldest_offset += record_bytes(record->length);
    if (ids->oldest_offset == ids->oldest->used_bytes)
        drop_chunk(ids);
}

uint64_t recent_ids_trim(struct recent_ids *ids, int64_t now_ns, uint64_t count_max)
{
    CHECK_MAGIC(ids, RECENT_IDS_MAGIC);
    uint64_t count = 0;
    while (count < count_max && ids->count > 0 && is_old(ids, oldest_record(ids), now_ns)) {
        forget_oldest(ids);
        count++;
    }
    return count;
}

/* ---- finding and adding ---- */

bool recent_ids_find(const struct recent_ids *ids, const void *id, size_t length, int64_t now_ns,
                     uint32_t *message_bytes)
{
    CHECK_MAGIC(ids, RECENT_IDS_MAGIC);
    CHECK(length > 0 && length <= RECENT_ID_BYTES_MAX);
    if (ids->count == 0)
        return false;
    uint64_t hash = siphash(ids->hash_key, id, length);
    const struct record *record = *bucket_of(ids, hash);
    while (record != NULL && (record->hash != hash || record->length != length || memcmp(record->id, id, length) != 0))
        record = record->next;
    if (record == NULL || is_old(ids, record, now_ns))
        return false;
    *message_bytes = record->message_bytes;
    return true;
}

static struct record *make_record(struct recent_ids *ids, size_t bytes)
{
    struct chunk *chunk = ids->youngest;
    if (chunk == NULL || sizeof chunk->records - chunk->used_bytes < bytes) {
        struct chunk *fresh = ids->spare;
        ids->spare = NULL;
        if (fresh == NULL) {
            fresh = malloc(sizeof *fresh);
            if (fresh == NULL)
                return NULL;
            ids->chunk_count++;
        }
        fresh->next = NULL;
        fresh->used_bytes = 0;
        if (chunk == NULL)
            ids->oldest = fresh;
        else
            chunk->next = fresh;
        ids->youngest = fresh;
        chunk = fresh;
    }
    struct record *record = (struct record *)(void *)(chunk->records + chunk->used_bytes);
    chunk->used_bytes += bytes;
    return record;
}

enum status recent_ids_add(struct recent_ids *ids, const void *id, size_t length, int64_t now_ns,
                           uint32_t message_bytes, struct error *error)
{
    CHECK_MAGIC(ids, RECENT_IDS_MAGIC);
    CHECK(length > 0 && length <= RECENT_ID_BYTES_MAX);
    /* Two for each that comes, so that a window that has become too old empties while new ids come, and no call takes
     * long. */
    (void)recent_ids_trim(ids, now_ns, 2);
    struct record *record = make_record(ids, record_bytes(length));
    if (record == NULL)
        return error_set(error, STATUS_SYSTEM, "no memory for another id");
    uint64_t hash = siphash(ids->hash_key, id, length);
    struct record **bucket = bucket_of(ids, hash);
    record->next = *bucket;
    record->time_ns = now_ns;
    record->hash = hash;
    record->message_bytes = message_bytes;
    record->length = (uint8_t)length;
    memcpy(record->id, id, length);
    *bucket = record;
    if (++ids->count > ids->count_max)
        forget_oldest(ids);
    return STATUS_OK;
}

uint64_t recent_ids_count(const struct recent_ids *ids)
{
    CHECK_MAGIC(ids, RECENT_IDS_MAGIC);
    return ids->count;
}

uint64_t recent_ids_chunk_bytes(const struct recent_ids *ids)
{
    CHECK_MAGIC(ids, RECENT_IDS_MAGIC);
    return ids->chunk_count * CHUNK_BYTES;
}
