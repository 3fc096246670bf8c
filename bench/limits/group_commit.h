/*
 * group_commit.h: the least that keeping messages on the disk costs: a file that grows by one write and one fdatasync a
 * batch.
 */
#ifndef BENCH_LIMITS_GROUP_COMMIT_H
#define BENCH_LIMITS_GROUP_COMMIT_H

#include <stddef.h>

/* Appends batches of `count` messages of `message_bytes` for about `seconds`; returns messages a second. */
double group_commit_rate(size_t count, size_t message_bytes, double seconds);

#endif
