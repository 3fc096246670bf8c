/*
 * support.h: what the benchmarks share: time, threads, and launches by their flags. What goes wrong ends the program
 * with a text: a benchmark without its figures is worth nothing.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <millrace/millrace.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Says what went wrong (printf form) and ends the program, status 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- time ---- */

/* Monotonic. */
int64_t bench_now_ns(void);

/* Waits, off the processor, for a while in which something else is measured. */
void bench_wait_ns(int64_t ns);

/* Waits until bench_now_ns() is `time_ns`; the last `spin_ns` of it on the processor, because the system wakes a
 * thread late. */
void bench_wait_until_ns(int64_t time_ns, int64_t spin_ns);

/* How often a second something happens: lets it run for a fifth of `seconds`, then looks at `read(context)`, which only
 * grows, twice, `seconds` apart. */
double bench_rate(uint64_t (*read)(void *context), void *context, double seconds);

/* Sorts and returns the middle. */
double bench_median(double *values, size_t count);

/* ---- threads ---- */

/* How many processors the calling thread may use. */
unsigned bench_processor_count(void);

/* Binds the calling thread to the processor at `index`, modulo their number, of those that it may use. Once a thread,
 * and not the first one: those made later would be bound with it. */
void bench_bind(unsigned index);

pthread_t bench_thread(void *(*run)(void *), void *argument);

/* What a thread of a limit or peer has done, and whether it shall go on. Each member has a line of its own. */
struct bench_tally {
    /* Writer: one thread, relaxed. Reader: whoever measures; the figure stands for itself. */
    _Alignas(64) _Atomic uint64_t count;
    /* Writer: whoever measures, once, relaxed. Readers: the threads; a late look does no harm. */
    _Alignas(64) _Atomic bool stop;
};

/* bench_rate of a tally; sets its `stop` at the end. */
double bench_tally_rate(struct bench_tally *tally, double seconds);

/* ---- launches ---- */

/* Opens a launch by the flags of `millrace run`, which must stay. */
millrace_launch *bench_open(int count, const char *const *flags);
void bench_start(millrace_launch *launch);

/* What a node (see millrace_launch_counts) has counted; it must exist. */
struct millrace_counts bench_counts(const millrace_launch *launch, const char *name);

/* How many messages the nodes of a launch have taken, all together: each is one move of a message over an edge. `names`
 * as above; ended by NULL. */
uint64_t bench_moved_count(const millrace_launch *launch, const char *const *names);

/* Ends the program with `text` if `result` is no success. */
void bench_must(enum millrace_result result, const char *text);

/* Flags of a launch, put together one node at a time. */
struct bench_flags {
    const char **words; /* each a copy */
    int count;
    int room;
};

/* Appends the words of `format` (printf form), which blanks separate. */
void bench_flags_add(struct bench_flags *flags, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bench_flags_free(struct bench_flags *flags);

/* A thread of the program that feeds: puts messages of `bytes` bytes, each with its number in it, as fast as the launch
 * takes them. */
struct bench_feeder {
    millrace_producer *producer;
    size_t bytes;
    pthread_t thread;
    _Atomic bool stop; /* writer: bench_feeder_stop; relaxed */
};

void bench_feeder_start(struct bench_feeder *feeder, millrace_producer *producer, size_t bytes);

/* Ends it; before millrace_launch_close, which frees the producer. */
void bench_feeder_stop(struct bench_feeder *feeder);

#endif
