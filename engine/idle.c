#include "engine/idle.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/probe.h"

/* A hand-over and back between two awake processors takes 0.3 to 3 us; a wake-up 8 to 10. So spinning pays for a few us
 * (not more: the partner may have been put on this very processor), and yielding for some tens; beyond that the
 * processor belongs to somebody else. */
static const int64_t spin_limit_ns = 4 * NS_PER_US;
static const int64_t yield_limit_ns = 100 * NS_PER_US;

static bool has_processor(const struct idle *idle)
{
    return atomic_load_explicit(&idle->crowd->awake_count, memory_order_relaxed) <= idle->crowd->processor_count;
}

static void relax_processor(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static void drain_event(struct poll_source *source, uint32_t events)
{
    (void)events;
    uint64_t count;
    while (read(source->fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

void idle_open(struct idle *idle, struct idle_crowd *crowd)
{
    *idle = (struct idle){.event_source = {.fd = -1, .ready = drain_event}, .crowd = crowd};
}

static void count_awake(struct idle *idle, int change)
{
    atomic_fetch_add_explicit(&idle->crowd->awake_count, change, memory_order_relaxed);
}

void idle_begin(struct idle *idle)
{
    idle->counted = true;
    count_awake(idle, 1);
}

void idle_end(struct idle *idle)
{
    idle->counted = false;
    count_awake(idle, -1);
}

void idle_close(struct idle *idle)
{
    if (idle->poller == NULL)
        return;
    poller_remove(idle->poller, &idle->event_source);
    close(idle->event_source.fd);
    poller_close(&idle->poller);
}

enum status idle_poller(struct idle *idle, struct poller **poller, struct error *error)
{
    if (idle->poller == NULL) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
            return error_set_errno(error, errno, "cannot make an event descriptor");
        enum status status = poller_open(&idle->poller, error);
        idle->event_source.fd = fd;
        if (status == STATUS_OK)
            poller_set_busy_poll(idle->poller, idle->busy_poll_ns);
        if (status == STATUS_OK)
            status = poller_add(idle->poller, &idle->event_source, EPOLLIN, error);
        if (status != STATUS_OK) {
            close(fd);
            idle->event_source.fd = -1;
            poller_close(&idle->poller);
            return status;
        }
    }
    *poller = idle->poller;
    return STATUS_OK;
}

void idle_busy(struct idle *idle)
{
    idle->resting_since_ns = 0;
    if (idle->armed) {
        idle->armed = false;
        atomic_store_explicit(&idle->state, IDLE_AWAKE, memory_order_relaxed);
    }
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static void sleep_on_futex(struct idle *idle, int64_t now_ns, int64_t deadline_ns)
{
    struct timespec timeout;
    const struct timespec *limit = NULL;
    if (deadline_ns != CLOCK_NEVER_NS) {
        int64_t left_ns = deadline_ns - now_ns;
        timeout = (struct timespec){.tv_sec = left_ns / NS_PER_S, .tv_nsec = (long)(left_ns % NS_PER_S)};
        limit = &timeout;
    }
    /* Returns at once if a waker has set the word in the meantime. */
    futex(&idle->state, FUTEX_WAIT, IDLE_PARKED_FUTEX, limit);
}

static size_t sleep_until_woken(struct idle *idle, int64_t now_ns, int64_t deadline_ns)
{
    size_t served = 0;
    if (idle_polls(idle)) {
        served = poller_wait(idle->poller, 0);
    } else if (deadline_ns > now_ns) {
        idle->park_count++;
        PROBE1(park, idle);
        count_awake(idle, idle->counted ? -1 : 0);
        if (idle->poller != NULL)
            served = poller_wait(idle->poller, deadline_ns == CLOCK_NEVER_NS ? -1 : deadline_ns - now_ns);
        else
            sleep_on_futex(idle, now_ns, deadline_ns);
        count_awake(idle, idle->counted ? 1 : 0);
    }
    idle_busy(idle);
    return served;
}

size_t idle_rest(struct idle *idle, int64_t now_ns, int64_t deadline_ns)
{
    if (idle->armed)
        return sleep_until_woken(idle, now_ns, deadline_ns);
    if (idle->resting_since_ns == 0)
        idle->resting_since_ns = now_ns;
    if (now_ns < idle->expects_until_ns && idle->poller != NULL) {
        sched_yield();
        return poller_wait(idle->poller, 0);
    }
    const int64_t rested_ns = now_ns - idle->resting_since_ns;
    const bool patient = (!idle->impatient || idle_polls(idle)) && rested_ns < yield_limit_ns;
    if (patient && rested_ns < spin_limit_ns && has_processor(idle)) {
        relax_processor();
    } else if (patient) {
        sched_yield();
    } else {
        idle->armed = true;
        atomic_store_explicit(&idle->state, idle->poller != NULL ? IDLE_PARKED_POLL : IDLE_PARKED_FUTEX,
                              memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst); /* fence C; pairs with D in idle_wake */
    }
    return 0;
}

void idle_wake_parked(struct idle *idle)
{
    uint32_t was = atomic_exchange_explicit(&idle->state, IDLE_AWAKE, memory_order_acq_rel);
    if (was != IDLE_AWAKE)
        PROBE1(wake, idle);
    if (was == IDLE_PARKED_FUTEX) {
        futex(&idle->state, FUTEX_WAKE, 1, NULL);
    } else if (was == IDLE_PARKED_POLL) {
        uint64_t one = 1;
        while (write(idle->event_source.fd, &one, sizeof one) < 0 && errno == EINTR)
            continue;
    }
}
