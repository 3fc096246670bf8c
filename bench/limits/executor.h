/*
 * executor.h: the limit of a chain of steps on two processors: pointers through steps that do nothing, in the two ways
 * that are best for such a chain: two threads that run half of the steps each, in batches of 256; and a thread a step,
 * in batches of 64, which spins a little and then gives its processor to the next.
 */
#ifndef BENCH_LIMITS_EXECUTOR_H
#define BENCH_LIMITS_EXECUTOR_H

#include <stdbool.h>

enum { EXECUTOR_STEP_MAX = 64 };

/* A contestant's run (bench/measure.h); `context` is how many steps (unsigned; 2 to EXECUTOR_STEP_MAX), the one that
 * makes the pointers and the one that ends them among them. Each way gets half of `seconds`. The figure is pointers a
 * second at the end, of the better way. */
bool executor_run(void *context, double seconds, double *figures);

#endif
