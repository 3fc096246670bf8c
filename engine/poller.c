#include "engine/poller.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"

/* epoll_pwait2 takes nanoseconds: Linux 5.11, glibc 2.35. */
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 35)
#define POLLER_HAS_EPOLL_PWAIT2 1
#endif
#endif

enum { POLLER_EVENT_COUNT = 64, POLLER_MAGIC = 0x706f6c6c };

struct poller {
    int magic;
    int epoll_fd;
    size_t source_count;
    int busy_poll_us; /* 0: off */
    bool counts_ms;   /* the kernel knows no epoll_pwait2 */
    /* The batch that is being handed out: events[next_event .. event_count) are still to come. */
    size_t next_event, event_count;
    struct epoll_event events[POLLER_EVENT_COUNT];
};

enum status poller_open(struct poller **poller, struct error *error)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        return error_set_errno(error, errno, "epoll_create1");
    struct poller *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->magic = POLLER_MAGIC;
    made->epoll_fd = epoll_fd;
#ifndef POLLER_HAS_EPOLL_PWAIT2
    made->counts_ms = true;
#endif
    *poller = made;
    return STATUS_OK;
}

void poller_close(struct poller **poller)
{
    if (*poller == NULL)
        return;
    CHECK_MAGIC(*poller, POLLER_MAGIC);
    close((*poller)->epoll_fd);
    (*poller)->magic = 0;
    free(*poller);
    *poller = NULL;
}

void poller_set_busy_poll(struct poller *poller, int64_t busy_poll_ns)
{
    CHECK_MAGIC(poller, POLLER_MAGIC);
    poller->busy_poll_us = (int)((busy_poll_ns + NS_PER_US - 1) / NS_PER_US);
}

enum status poller_add(struct poller *poller, struct poll_source *source, uint32_t events, struct error *error)
{
    CHECK_MAGIC(poller, POLLER_MAGIC);
    CHECK(source->ready != NULL);
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) != 0)
        return error_set_errno(error, errno, "cannot watch a file descriptor (epoll_ctl)");
    poller->source_count++;
    if (poller->busy_poll_us > 0) /* fails for what is no socket, which is as well */
        (void)setsockopt(source->fd, SOL_SOCKET, SO_BUSY_POLL, &poller->busy_poll_us, sizeof poller->busy_poll_us);
    return STATUS_OK;
}

void poller_change(struct poller *poller, struct poll_source *source, uint32_t events)
{
    CHECK_MAGIC(poller, POLLER_MAGIC);
    struct epoll_event event = {.events = events, .data.ptr = source};
    CHECK(epoll_ctl(poller->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) == 0);
}

void poller_remove(struct poller *poller, struct poll_source *source)
{
    CHECK_MAGIC(poller, POLLER_MAGIC);
    CHECK(poller->source_count > 0);
    CHECK(epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL) == 0);
    poller->source_count--;
    /* Within a batch an event of this source may be still to come; its owner is free to free it now. */
    for (size_t i = poller->next_event; i < poller->event_count; i++)
        if (poller->events[i].data.ptr == source)
            poller->events[i].data.ptr = NULL;
}

size_t poller_source_count(const struct poller *poller)
{
    CHECK_MAGIC(poller, POLLER_MAGIC);
    return poller->source_count;
}

/* Rounded up: a wait that ends too early would make its caller spin until the time has come. */
static int wait_ms(struct poller *poller, int64_t timeout_ns)
{
    int64_t timeout_ms = -1;
    if (timeout_ns >= 0) {
        timeout_ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
        if (timeout_ms > INT_MAX)
            timeout_ms = INT_MAX;
    }
    return epoll_wait(poller->epoll_fd, poller->events, POLLER_EVENT_COUNT, (int)timeout_ms);
}

static int wait_once(struct poller *poller, int64_t timeout_ns)
{
#ifdef POLLER_HAS_EPOLL_PWAIT2
    if (!poller->counts_ms && timeout_ns > 0) {
        struct timespec timeout = {.tv_sec = timeout_ns / NS_PER_S, .tv_nsec = (long)(timeout_ns % NS_PER_S)};
        int count = epoll_pwait2(poller->epoll_fd, poller->events, POLLER_EVENT_COUNT, &timeout, NULL);
        /* EPERM: what sandboxes say for a system call that they do not know. */
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        poller->counts_ms = true;
    }
#endif
    return wait_ms(poller, timeout_ns);
}

/* As poller_wait, without the calls of ready. A signal does not end it, nor lengthen it. */
static size_t wait_events(struct poller *poller, int64_t timeout_ns)
{
    int count = wait_once(poller, timeout_ns);
    if (count >= 0)
        return (size_t)count;
    int64_t start_ns = clock_monotonic_ns();
    int64_t left_ns = timeout_ns;
    while (count < 0) {
        CHECK(errno == EINTR);
        if (timeout_ns > 0) {
            left_ns = timeout_ns - (clock_monotonic_ns() - start_ns);
            if (left_ns < 0)
                left_ns = 0;
        }
        count = wait_once(poller, left_ns);
    }
    return (size_t)count;
}

size_t poller_wait(struct poller *poller, int64_t timeout_ns)
{
    CHECK_MAGIC(poller, POLLER_MAGIC);
    CHECK(poller->next_event == poller->event_count); /* not called from a ready */
    size_t count = wait_events(poller, timeout_ns);
    poller->next_event = 0;
    poller->event_count = count;
    while (poller->next_event < poller->event_count) {
        struct epoll_event event = poller->events[poller->next_event++];
        struct poll_source *source = event.data.ptr;
        if (source != NULL)
            source->ready(source, event.events);
    }
    return count;
}
