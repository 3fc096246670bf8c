/*
 * support.h: what the benchmarks share: clocks, medians, a launch by its flags, and the round trip of a cache line
 * between two processors, which tells in which regime a figure was taken (on a virtual machine it changes for minutes
 * at a time).
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <millrace/millrace.h>
#include <stddef.h>
#include <stdint.h>

int64_t bench_now_ns(void);

/* Waits for a while in which something else is measured. */
void bench_wait_ns(int64_t ns);

/* Sorts and returns the middle. */
double bench_median(double *values, size_t count);

/* Two threads on processors 0 and 1 (if there are two) hand one cache line to and fro; the median round trip. */
double bench_round_trip_ns(void);

/* Opens a launch; ends the program with the error's text if it cannot. */
millrace_launch *bench_open(int count, const char *const *flags);
void bench_start(millrace_launch *launch);

/* What a node (see millrace_launch_counts) has counted; it must exist. */
struct millrace_counts bench_counts(const millrace_launch *launch, const char *name);

/* Ends the program with `text` if `result` is no success. */
void bench_must(enum millrace_result result, const char *text);

#endif
