#include "bench/support.h"

#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

/* ---- time ---- */

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_wait_ns(int64_t ns)
{
    bench_wait_until_ns(bench_now_ns() + ns, 0);
}

void bench_wait_until_ns(int64_t time_ns, int64_t spin_ns)
{
    for (;;) {
        int64_t left_ns = time_ns - spin_ns - bench_now_ns();
        if (left_ns <= 0)
            break;
        struct timespec timeout = {.tv_sec = left_ns / 1000000000, .tv_nsec = (long)(left_ns % 1000000000)};
        ppoll(NULL, 0, &timeout, NULL);
    }
    while (bench_now_ns() < time_ns)
        continue;
}

double bench_rate(uint64_t (*read)(void *context), void *context, double seconds)
{
    bench_wait_ns((int64_t)(seconds * 1e9 / 5));
    int64_t start_ns = bench_now_ns();
    uint64_t start = read(context);
    bench_wait_ns((int64_t)(seconds * 1e9));
    uint64_t count = read(context) - start;
    return (double)count / ((double)(bench_now_ns() - start_ns) / 1e9);
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

/* ---- threads ---- */

/* Those of the calling thread. */
static cpu_set_t usable_processors(void)
{
    cpu_set_t usable;
    CPU_ZERO(&usable);
    if (sched_getaffinity(0, sizeof usable, &usable) != 0)
        bench_fail("the system does not say which processors there are");
    return usable;
}

unsigned bench_processor_count(void)
{
    cpu_set_t usable = usable_processors();
    return (unsigned)CPU_COUNT(&usable);
}

void bench_bind(unsigned index)
{
    cpu_set_t usable = usable_processors();
    cpu_set_t one;
    unsigned left = index % (unsigned)CPU_COUNT(&usable);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &usable) || left-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

pthread_t bench_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        bench_fail("no thread could be made");
    return thread;
}

static uint64_t read_tally(void *context)
{
    struct bench_tally *tally = context;
    return atomic_load_explicit(&tally->count, memory_order_relaxed);
}

double bench_tally_rate(struct bench_tally *tally, double seconds)
{
    double rate = bench_rate(read_tally, tally, seconds);
    atomic_store_explicit(&tally->stop, true, memory_order_relaxed);
    return rate;
}

/* ---- launches ---- */

void bench_must(enum millrace_result result, const char *text)
{
    if (result != MILLRACE_OK)
        bench_fail("%s", text);
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

uint64_t bench_moved_count(const millrace_launch *launch, const char *const *names)
{
    uint64_t count = 0;
    for (; *names != NULL; names++)
        count += bench_counts(launch, *names).in_count;
    return count;
}

void bench_flags_add(struct bench_flags *flags, const char *format, ...)
{
    char *text;
    char *rest;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        bench_fail("no memory");
    va_end(arguments);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (flags->count == flags->room) {
            flags->room = flags->room > 0 ? flags->room * 2 : 32;
            flags->words = realloc((void *)flags->words, (size_t)flags->room * sizeof *flags->words);
            if (flags->words == NULL)
                bench_fail("no memory");
        }
        flags->words[flags->count] = strdup(word);
        if (flags->words[flags->count++] == NULL)
            bench_fail("no memory");
    }
    free(text);
}

void bench_flags_free(struct bench_flags *flags)
{
    for (int i = 0; i < flags->count; i++)
        free((void *)flags->words[i]);
    free((void *)flags->words);
    *flags = (struct bench_flags){0};
}

static void *feed(void *argument)
{
    struct bench_feeder *feeder = argument;
    char *text = calloc(1, feeder->bytes > 0 ? feeder->bytes : 1);
    if (text == NULL)
        bench_fail("no memory");
    memset(text, 'm', feeder->bytes); /* a sink would try to read what begins like JSON */
    for (uint64_t number = 0; !atomic_load_explicit(&feeder->stop, memory_order_relaxed);) {
        if (feeder->bytes >= 16)
            memcpy(text + 8, &number, sizeof number);
        enum millrace_result result = millrace_put(feeder->producer, text, feeder->bytes);
        if (result == MILLRACE_OK)
            number++;
        else if (result == MILLRACE_AGAIN)
            millrace_put_wait(feeder->producer, 10000000); /* ends now and then, to look at `stop` */
        else
            bench_fail("a message of %zu bytes could not be put", feeder->bytes);
    }
    free(text);
    return NULL;
}

void bench_feeder_start(struct bench_feeder *feeder, millrace_producer *producer, size_t bytes)
{
    feeder->producer = producer;
    feeder->bytes = bytes;
    atomic_init(&feeder->stop, false);
    feeder->thread = bench_thread(feed, feeder);
}

void bench_feeder_stop(struct bench_feeder *feeder)
{
    atomic_store_explicit(&feeder->stop, true, memory_order_relaxed);
    pthread_join(feeder->thread, NULL);
}
