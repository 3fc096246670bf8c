/*
 * xoshiro256** 1.0 by David Blackman and Sebastiano Vigna (public domain,
 * https://prng.di.unimi.it/xoshiro256starstar.c), seeded, as its authors advise, by SplitMix64
 * (https://prng.di.unimi.it/splitmix64.c, Steele, Lea and Flood: "Fast splittable pseudorandom number generators",
 * 2014). The constants are theirs.
 */
#include "engine/random.h"

#include "engine/check.h"

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

void random_seed(struct random_state *state, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        state->words[i] = splitmix64(&seed);
}

uint64_t random_next(struct random_state *state)
{
    uint64_t *s = state->words;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/*
 * Daniel Lemire, "Fast random integer generation in an interval", 2019: the upper half of a 64 x 64 bit product, where
 * the few lower halves that would favour some results are drawn again.
 */
uint64_t random_below(struct random_state *state, uint64_t limit)
{
    __extension__ typedef unsigned __int128 uint128;
    CHECK(limit > 0);
    uint128 product = (uint128)random_next(state) * limit;
    if ((uint64_t)product < limit) {
        uint64_t threshold = (0 - limit) % limit;
        while ((uint64_t)product < threshold)
            product = (uint128)random_next(state) * limit;
    }
    return (uint64_t)(product >> 64);
}
