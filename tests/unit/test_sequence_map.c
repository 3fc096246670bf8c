/* sequence_map.c and sequence_heap.c: random operations against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/queue/sequence_heap.h"
#include "nodes/queue/sequence_map.h"

enum { NUMBER_COUNT = 512, ROUND_COUNT = 200000 };

/* Few numbers, far apart and close together, so that clusters form, also around the table's end. */
static uint64_t number_of(uint64_t index)
{
    return index % 2 == 0 ? index + 1 : (index + 1) << 40;
}

static void test_map(void **state)
{
    (void)state;
    struct sequence_map map = {0};
    uint64_t expected[NUMBER_COUNT] = {0};
    size_t count = 0;
    struct random_state random;
    random_seed(&random, 2);
    for (uint64_t round = 1; round <= ROUND_COUNT; round++) {
        uint64_t index = random_below(&random, NUMBER_COUNT);
        union sequence_word value = {0};
        bool found = sequence_map_find(&map, number_of(index), &value);
        assert_int_equal(found, expected[index] != 0);
        assert_true(!found || value.number == expected[index]);
        if (found) {
            sequence_map_remove(&map, number_of(index));
            expected[index] = 0;
            count--;
        } else {
            assert_true(sequence_map_reserve(&map));
            sequence_map_add(&map, number_of(index), (union sequence_word){.number = round});
            expected[index] = round;
            count++;
        }
        assert_int_equal(map.count, count);
    }
    union sequence_word value;
    assert_false(sequence_map_find(&map, 0, &value));
    sequence_map_free(&map);
}

/* Takes out all, in order, which shows mistakes anywhere below the first. */
static void drain(struct sequence_heap *heap)
{
    int64_t key = INT64_MIN;
    int64_t before = INT64_MIN;
    for (struct heap_member *first; (first = sequence_heap_first(heap, &key)) != NULL; before = key) {
        assert_true(key >= before);
        sequence_heap_remove(heap, first);
    }
}

static void test_heap(void **state)
{
    (void)state;
    struct heap_member members[NUMBER_COUNT];
    int64_t keys[NUMBER_COUNT];
    bool is_in[NUMBER_COUNT] = {false};
    struct sequence_heap heap = {0};
    struct random_state random;
    random_seed(&random, 3);
    int64_t key;
    assert_null(sequence_heap_first(&heap, &key));
    assert_true(sequence_heap_reserve(&heap, NUMBER_COUNT));
    for (int round = 0; round < 20000; round++) {
        size_t index = (size_t)random_below(&random, NUMBER_COUNT);
        if (is_in[index]) {
            sequence_heap_remove(&heap, &members[index]);
        } else {
            members[index].sequence = index + 1;
            keys[index] = (int64_t)random_below(&random, 100) - 50;
            sequence_heap_add(&heap, keys[index], &members[index]);
        }
        is_in[index] = !is_in[index];
        const struct heap_member *best = NULL;
        for (size_t i = 0; i < NUMBER_COUNT; i++) {
            if (is_in[i] && (best == NULL || keys[i] < keys[best - members]))
                best = &members[i];
        }
        assert_ptr_equal(sequence_heap_first(&heap, &key), best);
        assert_true(best == NULL || key == keys[best - members]);
        if (round % 997 == 0) {
            drain(&heap);
            memset(is_in, 0, sizeof is_in);
        }
    }
    sequence_heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
