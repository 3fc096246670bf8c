#include "nodes/queue/sequence_ranges.h"

#include <stdlib.h>

#include "engine/check.h"

enum { CAPACITY_MIN = 16 };

static struct sequence_range *range_at(const struct sequence_ranges *ranges, size_t index)
{
    return &ranges->ring[(ranges->head + index) & (ranges->capacity - 1)];
}

void sequence_ranges_free(struct sequence_ranges *ranges)
{
    free(ranges->ring);
    *ranges = (struct sequence_ranges){0};
}

static enum status grow(struct sequence_ranges *ranges, struct error *error)
{
    size_t capacity = ranges->capacity == 0 ? CAPACITY_MIN : 2 * ranges->capacity;
    struct sequence_range *ring = calloc(capacity, sizeof *ring);
    if (ring == NULL)
        return error_set(error, STATUS_SYSTEM, "no memory for %zu ranges of messages", capacity);
    for (size_t i = 0; i < ranges->range_count; i++)
        ring[i] = *range_at(ranges, i);
    free(ranges->ring);
    ranges->ring = ring;
    ranges->capacity = capacity;
    ranges->head = 0;
    return STATUS_OK;
}

enum status sequence_ranges_append(struct sequence_ranges *ranges, uint64_t first, uint64_t count, struct error *error)
{
    CHECK(count <= UINT64_MAX - first && count <= UINT64_MAX - ranges->count);
    if (count == 0)
        return STATUS_OK;
    if (ranges->range_count > 0) {
        struct sequence_range *last = range_at(ranges, ranges->range_count - 1);
        if (last->first + last->count == first) {
            last->count += count;
            ranges->count += count;
            return STATUS_OK;
        }
    }
    if (ranges->range_count == ranges->capacity) {
        enum status status = grow(ranges, error);
        if (status != STATUS_OK)
            return status;
    }
    *range_at(ranges, ranges->range_count++) = (struct sequence_range){.first = first, .count = count};
    ranges->count += count;
    return STATUS_OK;
}

uint64_t sequence_ranges_take(struct sequence_ranges *ranges, uint64_t count_max, uint64_t *first)
{
    if (ranges->range_count == 0 || count_max == 0)
        return 0;
    struct sequence_range *range = range_at(ranges, 0);
    uint64_t count = range->count < count_max ? range->count : count_max;
    *first = range->first;
    range->first += count;
    range->count -= count;
    ranges->count -= count;
    if (range->count == 0) {
        ranges->head++;
        ranges->range_count--;
    }
    return count;
}
