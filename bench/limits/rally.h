/*
 * rally.h: the limit of pong: two threads that hand messages to and fro over two rings, as many at a time as there are,
 * and each of which turns "ping" into "pong" or back.
 */
#ifndef BENCH_LIMITS_RALLY_H
#define BENCH_LIMITS_RALLY_H

#include <stdbool.h>

/* A contestant's run (bench/measure.h); `context` is how many balls (unsigned, at most 4096). A rally is one ball's way
 * there and back: the figure is rallies a second. The threads are bound to the first two processors and spin. */
bool rally_run(void *context, double seconds, double *figures);

#endif
