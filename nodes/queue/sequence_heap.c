#include "nodes/queue/sequence_heap.h"

#include <stdlib.h>

#include "engine/check.h"

enum { CAPACITY_MIN = 16 };

static bool is_before(const struct heap_slot *a, const struct heap_slot *b)
{
    return a->key != b->key ? a->key < b->key : a->member->sequence < b->member->sequence;
}

static void put(struct sequence_heap *heap, size_t place, struct heap_slot slot)
{
    heap->slots[place] = slot;
    slot.member->place = place;
}

/* Puts the slot at `place` or nearer to the top. */
static void sift_up(struct sequence_heap *heap, size_t place, struct heap_slot slot)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (!is_before(&slot, &heap->slots[parent]))
            break;
        put(heap, place, heap->slots[parent]);
        place = parent;
    }
    put(heap, place, slot);
}

/* Puts the slot at `place` or further from the top. */
static void sift_down(struct sequence_heap *heap, size_t place, struct heap_slot slot)
{
    for (size_t child = 2 * place + 1; child < heap->count; child = 2 * place + 1) {
        if (child + 1 < heap->count && is_before(&heap->slots[child + 1], &heap->slots[child]))
            child++;
        if (!is_before(&heap->slots[child], &slot))
            break;
        put(heap, place, heap->slots[child]);
        place = child;
    }
    put(heap, place, slot);
}

void sequence_heap_free(struct sequence_heap *heap)
{
    free(heap->slots);
    *heap = (struct sequence_heap){0};
}

bool sequence_heap_reserve(struct sequence_heap *heap, size_t count)
{
    if (count <= heap->capacity)
        return true;
    size_t capacity = heap->capacity == 0 ? CAPACITY_MIN : heap->capacity;
    while (capacity < count)
        capacity *= 2;
    struct heap_slot *slots = reallocarray(heap->slots, capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    heap->slots = slots;
    heap->capacity = capacity;
    return true;
}

void sequence_heap_add(struct sequence_heap *heap, int64_t key, struct heap_member *member)
{
    CHECK(heap->count < heap->capacity);
    sift_up(heap, heap->count++, (struct heap_slot){.key = key, .member = member});
}

struct heap_member *sequence_heap_first(const struct sequence_heap *heap, int64_t *key)
{
    if (heap->count == 0)
        return NULL;
    *key = heap->slots[0].key;
    return heap->slots[0].member;
}

void sequence_heap_remove(struct sequence_heap *heap, struct heap_member *member)
{
    size_t place = member->place;
    CHECK(place < heap->count && heap->slots[place].member == member);
    struct heap_slot last = heap->slots[--heap->count];
    if (place == heap->count)
        return;
    /* The last one takes its place; it may belong further up, under another branch, or further down. */
    if (place > 0 && is_before(&last, &heap->slots[(place - 1) / 2]))
        sift_up(heap, place, last);
    else
        sift_down(heap, place, last);
}
