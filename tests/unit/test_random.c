/* random.c: the published sequence, and limits that hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"

/* The first numbers of splitmix64 from seed 1234567, as the rand_xoshiro and Java test vectors list them. */
static void test_seed_is_splitmix64(void **state)
{
    (void)state;
    struct random_state random;
    random_seed(&random, 1234567);
    assert_true(random.words[0] == UINT64_C(6457827717110365317));
    assert_true(random.words[1] == UINT64_C(3203168211198807973));
    assert_true(random.words[2] == UINT64_C(9817491932198370423));
    assert_true(random.words[3] == UINT64_C(4593380528125082431));
}

/* The test vector of xoshiro256** in the Rust crate rand_xoshiro, from the state 1, 2, 3, 4. */
static void test_next_is_xoshiro256_star_star(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    struct random_state random = {.words = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(random_next(&random) == expected[i]);
}

static void test_same_seed_same_numbers(void **state)
{
    (void)state;
    struct random_state a;
    struct random_state b;
    struct random_state other;
    random_seed(&a, 7);
    random_seed(&b, 7);
    random_seed(&other, 8);
    unsigned same_as_other = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t number = random_next(&a);
        assert_true(number == random_next(&b));
        same_as_other += number == random_next(&other);
    }
    assert_true(same_as_other == 0);
}

static void test_below_keeps_its_limit_and_reaches_all(void **state)
{
    (void)state;
    struct random_state random;
    random_seed(&random, 1);
    for (uint64_t limit = 1; limit <= 20; limit++) {
        unsigned counts[20] = {0};
        const unsigned rounds = 20000;
        for (unsigned i = 0; i < rounds; i++) {
            uint64_t number = random_below(&random, limit);
            assert_true(number < limit);
            counts[number]++;
        }
        for (uint64_t i = 0; i < limit; i++) /* five standard deviations and more */
            assert_in_range(counts[i], rounds / limit * 8 / 10, rounds / limit * 12 / 10);
    }
}

/* With a limit of 3/4 of 2^64, a plain modulo or an upper half without redrawing would favour one third of the results.
 */
static void test_below_favours_nobody_at_large_limits(void **state)
{
    (void)state;
    const uint64_t limit = UINT64_C(3) << 62;
    struct random_state random;
    random_seed(&random, 2);
    unsigned odd_thirds[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t number = random_below(&random, limit);
        assert_true(number < limit);
        odd_thirds[number % 3]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(odd_thirds[i], 9500, 10500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed_is_splitmix64),
        cmocka_unit_test(test_next_is_xoshiro256_star_star),
        cmocka_unit_test(test_same_seed_same_numbers),
        cmocka_unit_test(test_below_keeps_its_limit_and_reaches_all),
        cmocka_unit_test(test_below_favours_nobody_at_large_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
