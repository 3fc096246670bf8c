/*
 * idle.h: how a thread waits, and how it is woken. The one idle policy of the program.
 *
 * A thread that found nothing to do calls idle_rest, again and again until it finds something; idle_rest spins a
 * little, then yields, then parks: on a futex, or in epoll when its nodes have descriptors. Spinning is for a partner
 * on another processor that answers within a microsecond or two, so there is none while more threads are awake than
 * there are processors. Yielding is what lets several threads on one processor hand over at the price of a system call
 * instead of a wake-up.
 *
 * With --busy-poll a thread with descriptors never sleeps. It spins and yields as others do (who only spun would keep
 * a client that was put on its processor waiting for milliseconds), and where they would sleep, it does all the same
 * but sleep, so that what is done before sleeping is done.
 *
 * Parking loses no wake-up:
 *   sleeper  sets `state` to parked; fence C (full); looks at everything again; sleeps if there is still nothing
 *   waker    publishes its work; fence D (full); reads `state`; if parked, sets it to awake and wakes
 * C and D are partners: either the sleeper sees the work, or the waker sees that it sleeps. "Looks again" is one more
 * turn of the thread's loop: idle_rest returns between the two.
 */
#ifndef ENGINE_IDLE_H
#define ENGINE_IDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block.h"
#include "engine/poller.h"
#include "engine/status.h"

enum idle_state {
    IDLE_AWAKE,
    IDLE_PARKED_FUTEX, /* asleep on `state`, or about to look again and sleep */
    IDLE_PARKED_POLL,  /* the same, in the poller */
};

/* Threads that hand over to each other. */
struct idle_crowd {
    /* How many of them are awake. Writers: each when it falls asleep and wakes up. Relaxed: a hint. */
    _Alignas(CACHE_LINE_BYTES) _Atomic int awake_count;
    int processor_count; /* constant */
};

struct idle {
    /* Writers: the owner (any state), wakers (to awake only). Readers: all. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t state;

    /* From here on the owner's alone, but for event_source.fd, which is constant after the poller was asked for. */
    _Alignas(CACHE_LINE_BYTES) struct poller *poller; /* NULL until idle_poller */
    struct poll_source event_source;                  /* the eventfd that wakes the poller; fd -1: none */
    struct idle_crowd *crowd;
    bool counted;
    bool impatient;           /* parks at once: nobody hands over to it within microseconds */
    int64_t busy_poll_ns;     /* --busy-poll; set before the first idle_poller. 0: off */
    int64_t resting_since_ns; /* 0: not resting */
    int64_t expects_until_ns; /* see idle_expect */
    bool armed;               /* parked is announced; one more look, then sleep */
    uint64_t park_count;
};

_Static_assert(offsetof(struct idle, poller) == CACHE_LINE_BYTES, "who wakes does not touch what the owner writes");

/* From idle_begin to idle_end the thread counts in its crowd while it is awake. One that does other things between its
 * rests, such as the embedding program's, need not be counted. */
void idle_open(struct idle *idle, struct idle_crowd *crowd);
void idle_begin(struct idle *idle);
void idle_end(struct idle *idle);
void idle_close(struct idle *idle);

/* The thread's poller, made at the first call (before the thread starts, or by it). */
enum status idle_poller(struct idle *idle, struct poller **poller, struct error *error) MUST_USE;

/* Whether the thread never sleeps: it has descriptors, and is to poll them. */
static inline bool idle_polls(const struct idle *idle)
{
    return idle->busy_poll_ns > 0 && idle->poller != NULL;
}

/* The owner found work. */
void idle_busy(struct idle *idle);

/* The owner found none. May spin, yield, announce, or sleep until woken, until a descriptor is ready, or until
 * `deadline_ns` (monotonic). Returns how many descriptors were served. */
size_t idle_rest(struct idle *idle, int64_t now_ns, int64_t deadline_ns);

/* The owner: somebody outside is likely to answer through the poller before then; until then idle_rest looks there, and
 * yields, but does not sleep. */
static inline void idle_expect(struct idle *idle, int64_t until_ns)
{
    idle->expects_until_ns = until_ns;
}

/* Whether the next idle_rest may sleep: what should be done before sleeping (flush a log) is done now. */
static inline bool idle_is_armed(const struct idle *idle)
{
    return idle->armed;
}

/* The slow half of idle_wake. */
void idle_wake_parked(struct idle *idle);

/* Any thread: after publishing work. One fence and one load while the other is awake. */
static inline void idle_wake(struct idle *idle)
{
    atomic_thread_fence(memory_order_seq_cst); /* fence D; pairs with C in idle.c */
    if (atomic_load_explicit(&idle->state, memory_order_relaxed) != IDLE_AWAKE)
        idle_wake_parked(idle);
}

#endif
