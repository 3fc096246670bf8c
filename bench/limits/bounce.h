/*
 * bounce.h: the limits of one message at a time: to another thread and back, over two bare rings with both threads
 * spinning, and over futexes with both asleep in between.
 */
#ifndef BENCH_LIMITS_BOUNCE_H
#define BENCH_LIMITS_BOUNCE_H

#include "bench/latency.h"

/* Over two ck rings of pointers; the threads are bound to the first two processors. */
void bounce_rings_run(struct latency_run *run);

/* Over two words and futexes: each side writes, wakes the other, and sleeps until its own word changes. */
void bounce_futex_run(struct latency_run *run);

#endif
