#include "bench/round_trip.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "bench/support.h"

/* A clock costs half of what a near round trip does, so it is read once for so many. */
enum { BATCH_COUNT = 1000, BATCH_TRIPS = 20 };

struct court {
    /* Writers: both, in turn. Release and acquire on both sides pair with each other; nothing is handed over but the
     * line itself. */
    _Alignas(64) _Atomic int ball;
    double batch_ns[BATCH_COUNT]; /* the server's */
};

static void *return_ball(void *argument)
{
    struct court *court = argument;
    bench_bind(1);
    for (int i = 0; i < BATCH_COUNT * BATCH_TRIPS; i++) {
        while (atomic_load_explicit(&court->ball, memory_order_acquire) != 1)
            continue;
        atomic_store_explicit(&court->ball, 0, memory_order_release);
    }
    return NULL;
}

static void *serve_ball(void *argument)
{
    struct court *court = argument;
    bench_bind(0);
    for (int i = 0; i < BATCH_COUNT; i++) {
        int64_t start_ns = bench_now_ns();
        for (int j = 0; j < BATCH_TRIPS; j++) {
            atomic_store_explicit(&court->ball, 1, memory_order_release);
            while (atomic_load_explicit(&court->ball, memory_order_acquire) != 0)
                continue;
        }
        court->batch_ns[i] = (double)(bench_now_ns() - start_ns) / BATCH_TRIPS;
    }
    return NULL;
}

double bench_round_trip_ns(void)
{
    struct court court = {.ball = 0};
    if (bench_processor_count() < 2)
        return 0;
    pthread_t returner = bench_thread(return_ball, &court);
    pthread_t server = bench_thread(serve_ball, &court);
    pthread_join(server, NULL);
    pthread_join(returner, NULL);
    return bench_median(court.batch_ns, BATCH_COUNT);
}
