#include "bench/limits/bounce.h"

#include <ck_ring.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/support.h"

/* ---- over rings ---- */

enum { RING_SLOTS = 64, TEXT_BYTES = 128 };

struct wall {
    ck_ring_t to;
    ck_ring_t fro;
    ck_ring_buffer_t to_slots[RING_SLOTS];
    ck_ring_buffer_t fro_slots[RING_SLOTS];
    _Alignas(64) _Atomic bool stop; /* writer: the server, relaxed */
    _Alignas(64) char text[TEXT_BYTES];
};

static void *return_messages(void *argument)
{
    struct wall *wall = argument;
    void *message;
    bench_bind(1);
    while (!atomic_load_explicit(&wall->stop, memory_order_relaxed)) {
        if (ck_ring_dequeue_spsc(&wall->to, wall->to_slots, &message))
            ck_ring_enqueue_spsc(&wall->fro, wall->fro_slots, message);
    }
    return NULL;
}

static void exchange_over_rings(void *context)
{
    struct wall *wall = context;
    void *message;
    wall->text[0]++;
    ck_ring_enqueue_spsc(&wall->to, wall->to_slots, wall->text);
    while (!ck_ring_dequeue_spsc(&wall->fro, wall->fro_slots, &message))
        continue;
}

struct server {
    struct latency_run *run;
    struct wall *wall;
};

static void *serve_messages(void *argument)
{
    struct server *server = argument;
    bench_bind(0);
    latency_exchange(server->run, exchange_over_rings, server->wall);
    return NULL;
}

void bounce_rings_run(struct latency_run *run)
{
    struct wall *wall = aligned_alloc(64, sizeof *wall);
    if (wall == NULL)
        bench_fail("no memory");
    ck_ring_init(&wall->to, RING_SLOTS);
    ck_ring_init(&wall->fro, RING_SLOTS);
    atomic_init(&wall->stop, false);
    wall->text[0] = 0;
    struct server server = {.run = run, .wall = wall};
    pthread_t returner = bench_thread(return_messages, wall);
    pthread_t serving = bench_thread(serve_messages, &server);
    pthread_join(serving, NULL);
    atomic_store_explicit(&wall->stop, true, memory_order_relaxed);
    pthread_join(returner, NULL);
    free(wall);
}

/* ---- over futexes ---- */

enum { WORD_STOP = 1 };

/* Each word is counted up by two by one side, which wakes the other. Release and acquire pair with each other on each
 * word; the futex itself compares once more, in the system, so no wake-up is lost. */
struct words {
    _Alignas(64) _Atomic uint32_t to;
    _Alignas(64) _Atomic uint32_t fro;
    uint32_t answered; /* the server's */
};

static void wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static uint32_t wait_for_change(_Atomic uint32_t *word, uint32_t old)
{
    uint32_t now;
    while ((now = atomic_load_explicit(word, memory_order_acquire)) == old)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    return now;
}

static void *answer_words(void *argument)
{
    struct words *words = argument;
    for (uint32_t seen = 0; ((seen = wait_for_change(&words->to, seen)) & WORD_STOP) == 0;) {
        atomic_fetch_add_explicit(&words->fro, 2, memory_order_release);
        wake(&words->fro);
    }
    return NULL;
}

static void exchange_words(void *context)
{
    struct words *words = context;
    atomic_fetch_add_explicit(&words->to, 2, memory_order_release);
    wake(&words->to);
    words->answered = wait_for_change(&words->fro, words->answered);
}

void bounce_futex_run(struct latency_run *run)
{
    struct words words = {.answered = 0};
    pthread_t answering = bench_thread(answer_words, &words);
    latency_exchange(run, exchange_words, &words);
    atomic_fetch_or_explicit(&words.to, WORD_STOP, memory_order_release);
    wake(&words.to);
    pthread_join(answering, NULL);
}
