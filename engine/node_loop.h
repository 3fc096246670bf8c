/*
 * node_loop.h: the one thread loop. A loop owns a thread and runs the steps of its nodes in turn; when none of them
 * found work it rests (idle.h).
 */
#ifndef ENGINE_NODE_LOOP_H
#define ENGINE_NODE_LOOP_H

#include <pthread.h>

#include "engine/idle.h"
#include "engine/node.h"

struct node_loop {
    struct idle idle;
    struct node **nodes;
    size_t node_count;
    pthread_t thread;
    bool started;
    char thread_name[16];
    /* Called on the loop's thread each time a node has ended. */
    void (*node_ended)(struct node *node);
};

/* Starts the thread. All its nodes are open. */
enum status node_loop_start(struct node_loop *loop, struct error *error) MUST_USE;

/* Waits for the thread's end, if it was started. */
void node_loop_join(struct node_loop *loop);

/* One turn: looks at descriptors if it is time, then steps each node that has not ended. Returns the work done;
 * *deadline_ns is when a node wants to be called at the latest; *all_done: there is none left. For the loop itself, and
 * for tests that run a topology from one thread. */
size_t node_loop_turn(struct node_loop *loop, int64_t now_ns, int64_t *next_poll_ns, int64_t *deadline_ns,
                      bool *all_done);

#endif
