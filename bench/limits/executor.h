/*
 * executor.h: the limit of a chain of steps on two processors: messages of a pool, which the first step writes and the
 * last one reads, go as pointers through steps that do nothing, in the two ways that are best for such a chain: two
 * threads that run half of the steps each, in batches of 256; and a thread a step, in batches of 64, which spins a
 * little and then gives its processor to the next.
 */
#ifndef BENCH_LIMITS_EXECUTOR_H
#define BENCH_LIMITS_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>

struct executor_chain {
    unsigned step_count; /* 2 to EXECUTOR_STEP_MAX, the one that makes the messages and the one that ends them too */
    size_t bytes;        /* of a message: a multiple of 8 */
};

enum { EXECUTOR_STEP_MAX = 64 };

/* A contestant's run (bench/measure.h); `context` is a struct executor_chain. Each way gets half of `seconds`. The
 * figure is messages a second at the end, of the better way. */
bool executor_run(void *context, double seconds, double *figures);

#endif
