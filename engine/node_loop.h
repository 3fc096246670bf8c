/*
 * node_loop.h: the one thread loop. A loop owns a thread and runs the steps of its nodes in turn; when none of them
 * found work it rests (idle.h).
 *
 * A step is bounded, so a busy node holds its neighbours up for a batch at most, and descriptors are looked at between
 * steps when it is time.
 *
 * A node among several is quiet, and not called, from when a step found nothing to do with all inputs empty and nothing
 * in flight on any output, until
 *   - something is published on an input, or an input ends (edge_has_news),
 *   - its deadline has come,
 *   - the loop's turn_end did something (the journal kept something that the node may wait for), or
 *   - a stop is under way.
 * So it cannot wait for room, or for what it published to be read. A node with descriptors is never quiet. What else
 * could give a node work, such as a thread of its own, is not seen here: its type says may_block and so it is alone.
 *
 * An edge between two nodes of one loop wakes as any other does. Mostly its wake-up finds the loop awake; but when the
 * loop has announced that it will sleep and looks around once more, what one node then publishes, or gives back, to
 * another calls the sleep off.
 */
#ifndef ENGINE_NODE_LOOP_H
#define ENGINE_NODE_LOOP_H

#include <pthread.h>

#include "engine/idle.h"
#include "engine/node.h"

struct node_loop {
    struct idle idle;
    struct node **nodes; /* in the order of their steps: best downstream, so that a message passes all in one turn */
    size_t node_count;
    pthread_t thread;
    bool started;
    char thread_name[16];
    /* Called on the loop's thread each time a node has ended. */
    void (*node_ended)(struct node *node);
    /* Called on the loop's thread at the end of each turn, also of one that called no node. Returns the work done: if
     * there is any, the next turn calls all nodes, quiet or not. May lower *deadline_ns. NULL: nothing. */
    size_t (*turn_end)(void *context, int64_t now_ns, int64_t *deadline_ns);
    void *turn_end_context;

    /* The loop's own. */
    bool prepared;              /* node_loop_prepare was called; before, no node is ever quiet */
    bool polls_rarely;          /* no node has descriptors: only what is no node's may come there */
    bool reads_clock;           /* a turn's time goes on with the clock; else it is what the caller says */
    bool all_quiet;             /* as of the last turn */
    int64_t quiet_until_ns;     /* then: the earliest deadline */
    struct edge **outer_inputs; /* edges from other threads to its nodes */
    size_t outer_input_count;
};

/* Looks at its nodes' edges: which come from other threads. Once, before the first turn; the start does it, and a test
 * that takes turns itself. Undone by node_loop_join. */
void node_loop_prepare(struct node_loop *loop);

/* Starts the thread. All its nodes are open. */
enum status node_loop_start(struct node_loop *loop, struct error *error) MUST_USE;

/* Waits for the thread's end, if it was started. */
void node_loop_join(struct node_loop *loop);

/* One turn: looks at descriptors if it is time, then steps each node that has not ended and is not quiet. Returns the
 * work done; *deadline_ns is when a node wants to be called at the latest; *all_done: there is none left. For the loop
 * itself, and for tests that run a topology from one thread. */
size_t node_loop_turn(struct node_loop *loop, int64_t now_ns, int64_t *next_poll_ns, int64_t *deadline_ns,
                      bool *all_done);

#endif
