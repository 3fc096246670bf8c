#include "bench/latency.h"

#include <stdlib.h>

#include "bench/measure.h"
#include "bench/support.h"

/* A sleeping thread is woken late; the rest of the way to a message's due time is spent awake. */
static const int64_t awake_ns = 100000;

static void exchange_some(struct latency_run *run, int64_t length_ns, void (*exchange)(void *context), void *context)
{
    int64_t begin_ns = bench_now_ns();
    run->sample_count = 0;
    for (int64_t due_ns = begin_ns; due_ns - begin_ns < length_ns && run->sample_count < LATENCY_SAMPLE_MAX;) {
        exchange(context);
        int64_t now_ns = bench_now_ns();
        run->samples_ns[run->sample_count++] = (double)(now_ns - due_ns);
        due_ns = run->period_ns == 0 ? now_ns : due_ns + run->period_ns;
        if (run->period_ns > 0)
            bench_wait_until_ns(due_ns, awake_ns);
    }
}

void latency_exchange(struct latency_run *run, void (*exchange)(void *context), void *context)
{
    int64_t length_ns = (int64_t)(run->seconds * 1e9);
    exchange_some(run, length_ns / 10, exchange, context);
    exchange_some(run, length_ns, exchange, context);
}

void latency_figures(void (*contestant)(struct latency_run *run), int64_t period_ns, double seconds, double *figures,
                     size_t percentile_count)
{
    static const double fractions[LATENCY_PERCENTILE_COUNT] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    struct latency_run run = {.period_ns = period_ns, .seconds = seconds};
    run.samples_ns = malloc(LATENCY_SAMPLE_MAX * sizeof *run.samples_ns);
    if (run.samples_ns == NULL)
        bench_fail("no memory");
    contestant(&run);
    for (size_t i = 0; i < percentile_count; i++)
        figures[i] = measure_percentile(run.samples_ns, run.sample_count, fractions[i]);
    free(run.samples_ns);
}
