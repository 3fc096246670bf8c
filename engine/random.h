/*
 * random.h: repeatable random numbers.
 *
 * The same seed gives the same numbers on every machine. Not for secrets. A state belongs to one thread at a time and
 * holds no memory of its own.
 */
#ifndef ENGINE_RANDOM_H
#define ENGINE_RANDOM_H

#include <stdint.h>

struct random_state {
    uint64_t words[4];
};

/* Starts `state` from any seed, 0 included. */
void random_seed(struct random_state *state, uint64_t seed);

/* 64 random bits. */
uint64_t random_next(struct random_state *state);

/* A number from 0 to limit - 1, each as likely as the other. `limit` is not 0. */
uint64_t random_below(struct random_state *state, uint64_t limit);

#endif
