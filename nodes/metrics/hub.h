/*
 * hub.h: a node's way to the monitoring hub: posts, their counters, and a log line each time the hub's state changes.
 *
 * The node's thread, but for hub_open and hub_close (main thread, from the node's open and close).
 */
#ifndef NODES_METRICS_HUB_H
#define NODES_METRICS_HUB_H

#include "engine/node.h"
#include "net/http_post.h"
#include "nodes/text/json_text.h"

struct hub_change;

struct hub {
    struct http_poster *poster; /* NULL: no hub */
    struct node *node;
    const char *uri;
    unsigned first_counter;
    uint64_t posted_count;
    int64_t settle_since_ns; /* 0: not ending */
    /* The latest change of state that is not logged yet. Writer: the poster's thread, which puts a new one; who takes
     * one out by exchange owns and frees it. */
    struct hub_change *_Atomic change;
};

/* The rows that `first_counter` of the node's table begins with. */
enum { HUB_COUNTER_COUNT = 3 };
#define HUB_COUNTERS                                                                                                   \
    {"posts_delivered", "posts that the monitoring hub took", false},                                                  \
        {"posts_retried", "tries after the first", false},                                                             \
    {                                                                                                                  \
        "posts_dropped", "posts given up because the hub did not take them", false                                     \
    }

/* `uri` NULL: no hub; then the other calls do nothing. STATUS_USAGE: it is no URI. */
enum status hub_open(struct hub *hub, struct node *node, const char *uri, unsigned first_counter,
                     struct error *error) MUST_USE;

/* Hands over a copy of the text. Never blocks. */
void hub_post(struct hub *hub, const struct text *body);

/* Logs, counts. Call it each step. */
void hub_step(struct hub *hub);

/* Before the node ends: whether all posts have come to their end, or have had a moment for it. So that the counts in
 * the last line are right when the hub works; one that hangs costs the stop no more than that. */
bool hub_has_settled(struct hub *hub, int64_t now_ns);

/* Gives the rest of the posts 2 s. */
void hub_close(struct hub *hub);

#endif
