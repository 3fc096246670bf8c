#include "bench/support.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_wait_ns(int64_t ns)
{
    int64_t end_ns = bench_now_ns() + ns;
    for (int64_t left_ns = ns; left_ns > 0; left_ns = end_ns - bench_now_ns()) {
        struct timespec timeout = {.tv_sec = left_ns / 1000000000, .tv_nsec = (long)(left_ns % 1000000000)};
        ppoll(NULL, 0, &timeout, NULL);
    }
}

static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return difference < 0 ? -1 : difference > 0;
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

/* ---- the regime ---- */

enum { ROUND_TRIPS = 20000 };

static _Alignas(64) _Atomic int ball;

static void bind_to(int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static void *return_ball(void *argument)
{
    (void)argument;
    bind_to(1);
    for (int i = 0; i < ROUND_TRIPS; i++) {
        while (atomic_load_explicit(&ball, memory_order_acquire) != 1)
            continue;
        atomic_store_explicit(&ball, 0, memory_order_release);
    }
    return NULL;
}

static void *serve_ball(void *argument)
{
    double *round_trip_ns = argument;
    static double trips[ROUND_TRIPS];
    bind_to(0);
    for (int i = 0; i < ROUND_TRIPS; i++) {
        int64_t start_ns = bench_now_ns();
        atomic_store_explicit(&ball, 1, memory_order_release);
        while (atomic_load_explicit(&ball, memory_order_acquire) != 0)
            continue;
        trips[i] = (double)(bench_now_ns() - start_ns);
    }
    *round_trip_ns = bench_median(trips, ROUND_TRIPS);
    return NULL;
}

double bench_round_trip_ns(void)
{
    double round_trip_ns = 0;
    pthread_t threads[2];
    if (pthread_create(&threads[0], NULL, return_ball, NULL) != 0)
        return 0;
    if (pthread_create(&threads[1], NULL, serve_ball, &round_trip_ns) != 0)
        abort();
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    return round_trip_ns;
}

/* ---- launches ---- */

void bench_must(enum millrace_result result, const char *text)
{
    if (result == MILLRACE_OK)
        return;
    fprintf(stderr, "bench: %s\n", text);
    exit(EXIT_FAILURE);
}

millrace_launch *bench_open(int count, const char *const *flags)
{
    millrace_launch *launch;
    struct millrace_error error = {""};
    bench_must(millrace_launch_open(&launch, count, flags, &error), error.text);
    return launch;
}

void bench_start(millrace_launch *launch)
{
    struct millrace_error error = {""};
    bench_must(millrace_launch_start(launch, &error), error.text);
}

struct millrace_counts bench_counts(const millrace_launch *launch, const char *name)
{
    struct millrace_counts counts;
    bench_must(millrace_launch_counts(launch, name, &counts), name);
    return counts;
}
