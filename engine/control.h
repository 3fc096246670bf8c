/*
 * control.h: how a launch with a store does for other processes what they cannot do themselves while the store is its
 * own. The program supplies it through its catalog, as it does the node types; the engine knows only when it is called.
 */
#ifndef ENGINE_CONTROL_H
#define ENGINE_CONTROL_H

#include <stddef.h>

struct control;
struct idle;
struct journal;
struct log;
struct node;

/* What it may use; all of it outlives it. */
struct control_site {
    const char *directory; /* of the store */
    struct journal *journal;
    struct idle *idle; /* the durable thread's: for its poller */
    struct node *const *nodes;
    size_t node_count;
    struct log *log; /* for `open` only: while threads run it is the journal's writer's */
};

struct control_type {
    /* Main thread, when all nodes are open. What hinders it is a line in the log and no failure: then NULL. */
    struct control *(*open)(const struct control_site *site);
    /* Durable thread, at the end of each turn, before the journal's: what it does to the nodes and puts into the open
     * batch is kept whole or not at all. Returns the work done, which makes all nodes look what there is. */
    size_t (*step)(struct control *control);
    /* Main thread, after the durable thread's end and the journal's finish, while the store is still the launch's own.
     * Sets *control to NULL; nothing for NULL. */
    void (*close)(struct control **control);
};

#endif
