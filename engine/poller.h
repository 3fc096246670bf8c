/*
 * poller.h: file descriptors and who wants to know that they are ready. One epoll instance, one owner thread.
 *
 * All calls but poller_open come from the thread that runs the poller's nodes, or from the main thread before that
 * thread starts and after it has ended.
 */
#ifndef ENGINE_POLLER_H
#define ENGINE_POLLER_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

struct poller;

/* Embedded by whoever owns the descriptor; must stay where it is until poller_remove. */
struct poll_source {
    int fd;
    /* Called from poller_wait when `events` (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP) are there. Must not block. It may
     * remove (and close and free) its own source, but no other: another's event may be next in the same batch. Level
     * triggered: what it leaves unread is reported again. */
    void (*ready)(struct poll_source *source, uint32_t events);
};

enum status poller_open(struct poller **poller, struct error *error) MUST_USE;
void poller_close(struct poller **poller);

/* Sockets that are added from now on have the system ask their network card itself, for so long, when a receive finds
 * nothing (SO_BUSY_POLL). A wish: not every card can, and more than the system's net.core.busy_read takes a privilege.
 */
void poller_set_busy_poll(struct poller *poller, int64_t busy_poll_ns);

/* `events`: EPOLLIN and/or EPOLLOUT, or 0 for none for now. */
enum status poller_add(struct poller *poller, struct poll_source *source, uint32_t events,
                       struct error *error) MUST_USE;
void poller_change(struct poller *poller, struct poll_source *source, uint32_t events);
void poller_remove(struct poller *poller, struct poll_source *source);

/* How many sources there are now. */
size_t poller_source_count(const struct poller *poller);

/* Waits at most `timeout_ns` (0: only looks; negative: for ever), calls `ready` of each source that is. Returns how
 * many were. Does not return early for a signal. */
size_t poller_wait(struct poller *poller, int64_t timeout_ns);

#endif
