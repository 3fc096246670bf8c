/*
 * far_queue.h: for tests of what talks to a queue outside: a node of its own, without a topology, and the queue at the
 * other end, which is a plain socket that the test answers from. All on one thread.
 */
#ifndef TESTS_SUPPORT_FAR_QUEUE_H
#define TESTS_SUPPORT_FAR_QUEUE_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/node.h"

enum { FAR_ROUNDS_MAX = 20000 }; /* of a millisecond at most: a condition that never comes fails the test */

struct far_queue {
    struct node node; /* with a log and a poller, and nothing else */
    struct idle idle;
    struct poller *poller;
    struct address address; /* where the far end is */
    int fd;
    struct sockaddr_in asker; /* who sent the last command */
    unsigned char datagram[1 << 17];
};

/* *far is zeroed. Binds to a port of the kernel's choice at 127.0.0.1. */
void far_open(struct far_queue *far);
void far_close(struct far_queue *far);

/* From now on the system refuses what comes to the port, as if nobody listened; what waits there is gone. The port
 * stays ours, so that it is there when the queue is back. */
void far_leave(struct far_queue *far);
void far_return(struct far_queue *far);

/* A datagram as it came, within far->datagram; NULL if there is none now. */
const void *far_take(struct far_queue *far, size_t *length);
/* The same, and waits for one. */
const void *far_receive(struct far_queue *far, size_t *length);
/* Waits for exactly this datagram. */
void far_expect(struct far_queue *far, const void *datagram, size_t length);
void far_expect_text(struct far_queue *far, const char *datagram);
/* Nothing has come. (A datagram that is late is not seen; the test then fails at its next far_expect.) */
void far_expect_nothing(struct far_queue *far);

/* Sends a datagram as it is, or a text with its header, to the last asker. */
void far_send(const struct far_queue *far, const void *data, size_t length);
void far_answer(const struct far_queue *far, const void *text, size_t length);
void far_answer_text(const struct far_queue *far, const char *text);

/* Lets the node see what has come until the condition holds. */
#define FAR_WAIT(far, condition)                                                                                       \
    do {                                                                                                               \
        int rounds_left = FAR_ROUNDS_MAX;                                                                              \
        while (!(condition)) {                                                                                         \
            poller_wait((far)->poller, 1000000);                                                                       \
            if (--rounds_left == 0)                                                                                    \
                fail_msg("never came: %s", #condition);                                                                \
        }                                                                                                              \
    } while (0)

#endif
