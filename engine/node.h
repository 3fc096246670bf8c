/*
 * node.h: what a node is.
 *
 * A node type is one const struct in one file: its options, its counters, its callbacks. A node is one of that type in
 * a launch. The engine knows nothing else of it; a program learns its node types from one table (struct catalog).
 *
 * A node is a step: it takes what its inputs and sockets have, does a bounded batch, emits, and says how much it did.
 * It never loops, sleeps or spins; the thread loop (node_loop.h) does.
 */
#ifndef ENGINE_NODE_H
#define ENGINE_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/address.h"
#include "engine/edge.h"
#include "engine/guarantee.h"
#include "engine/log.h"
#include "engine/options.h"
#include "engine/stats.h"
#include "engine/status.h"

struct node;
struct node_spec;
struct topology_spec;
struct topology;
struct journal;
struct control_type;

/* What flows over a link, seen from the side that knows the other's address. */
enum link_kind {
    LINK_NONE = 0,
    LINK_PUT = 1,  /* sends messages to a queue */
    LINK_GET = 2,  /* takes messages from a queue */
    LINK_BARE = 4, /* sends bare messages to a sink or a metrics receiver */
};

/* One end of a link. Either `edge` is set (both ends are in this launch), or `address` is where the other end is. */
struct port {
    struct edge *edge;
    const struct address *address; /* as the user gave it; NULL at the listening end */
    enum link_kind kind;
    const struct node *peer; /* with an edge: the node at the other end; NULL: the embedding program */
};

/* How far a stop has come. Set by the main thread, read by all; only goes up. */
enum stop_phase {
    STOP_NOT,
    STOP_DRAIN,   /* sources stop; what is in flight goes on to its end */
    STOP_ABANDON, /* the time is over: end now and count what remains */
};

struct node_type {
    const char *name;    /* as on the command line: "mq" */
    const char *title;   /* as in metrics and log files: "Messagequeue" */
    const char *summary; /* one line for the help */

    const struct option *options; /* parsed into config_bytes; ended by a row without a name */
    size_t config_bytes;
    const struct counter *counters; /* ended by a row without a name */
    size_t state_bytes;             /* zeroed before open */

    unsigned serves; /* link kinds that its ROLE_LISTEN addresses understand, or'ed */
    bool reports;    /* sends metrics */
    bool is_source;  /* feeds a launch: --exit-when-drained waits for its end */

    /* For the placement on threads. `may_block`: a step may wait for a file or somebody's code, or something else than
     * an edge, a descriptor or a deadline wakes it: it gets a thread of its own. `weight`: what a message costs it,
     * very roughly, 1 being a queue; 0 counts as 1. */
    bool may_block;
    unsigned weight;
    /* Whether this node may block, where it depends on its config. Pure; after `check`. May be NULL. */
    bool (*this_may_block)(const struct node_spec *node, const struct topology_spec *spec);
    /* The weight, where it depends on its config. Pure; after `check`. May be NULL: `weight`. */
    unsigned (*this_weight)(const struct node_spec *node, const struct topology_spec *spec);

    /* Whether it lives on the durable thread, its deeds kept by the launch's journal (journal.h). Pure; after `check`.
     * NULL: no. */
    bool (*is_durable)(const struct node_spec *node, const struct topology_spec *spec);

    /* What it promises for each message that it takes. Pure. NULL: at most once. */
    enum guarantee (*promises)(const void *config);

    /* How messages rest in it. Pure. NULL: none do. */
    struct carriage (*carries)(const void *config);

    /* Whether what the node holds knows this option, one of ROLE_SETTING: as a default it goes only to those that do.
     * Pure. NULL: it has no such options. */
    bool (*knows_setting)(const void *config, const struct option *option);

    /* Writes what its help has beside its options. May be NULL. */
    void (*print_more_help)(FILE *out);

    /* Which kind of link the addresses of its ROLE_OUTPUT option are; LINK_NONE: what the other end understands, or
     * LINK_PUT if that is not known. Pure. NULL: LINK_PUT. */
    enum link_kind (*output_kind)(const void *config, const struct option *option);

    /* Adds to the node's config what follows from other nodes of the launch. Main thread, once, when all are parsed,
     * before `check`; what it adds is wired like what the user gave. May be NULL. */
    enum status (*complete)(struct node_spec *node, const struct topology_spec *spec, struct error *error);

    /* Refuses what the option table cannot: pure, main thread, before anything is opened. May be NULL. */
    enum status (*check)(const struct node_spec *node, const struct topology_spec *spec, struct error *error);

    /* Acquires sockets and files; all nodes are opened before any starts. Main thread; may block; may fail, and then
     * close is called. In a rehearsal (node->rehearsal) nothing that others would notice is done. */
    enum status (*open)(struct node *node, struct error *error);

    /* One bounded batch on the node's thread; must not block unless the type says may_block. `now_ns` is monotonic.
     * Sets node->deadline_ns to when it wants to be called again though nothing arrives, and node->done when it has
     * ended: then everything it had is emitted and flushed or counted. Returns the work done, 0 for none. A node that
     * can have nothing to do is not always called; node_loop.h says when. */
    size_t (*step)(struct node *node, int64_t now_ns);

    /* Gives back what open acquired. Main thread, after the node's thread has ended, or after a failed open. */
    void (*close)(struct node *node);
};

/* Options that every node knows. */
struct node_common {
    struct address_list metrics_address;
    int64_t stats_period_ns;
    const char *vuid;
    bool console_log;
    bool file_log;
    unsigned log_level; /* enum log_level */
    uint64_t log_max_bytes;
    const char *cpu_list;
};

extern const struct option node_common_options[];

enum { NODE_NAME_BYTES = 96, NODE_VUID_BYTES = 64, NODE_NOTE_BYTES = 96 };

struct node {
    const struct node_type *type;
    char name[NODE_NAME_BYTES]; /* for people: "worker NODE_2" */
    char vuid[NODE_VUID_BYTES];
    const char *function_title; /* the "func" of its metrics; type->title unless open sets another */
    const struct node_common *common;
    const void *config;
    const struct topology_spec *spec;
    void *state;
    struct node_stats *stats;
    struct log *log;
    struct idle *idle; /* its thread's */
    struct topology *topology;
    /* The topology's: an enum stop_phase. NULL: it knows of no stop, and its loop never leaves it alone (node_loop.h).
     */
    const _Atomic int *stop_phase;
    bool rehearsal;
    bool on_cycle;            /* what it emits may come back to it through rings */
    bool durable;             /* its type says is_durable: on the thread of `journal` */
    struct journal *journal;  /* the launch's; NULL: it has no store */
    size_t weaker_link_count; /* links that carry less than it promises, allowed by --allow-weaker */
    /* The durable thread's: it holds what it may hold, and durable workers that feed it are to take no input. */
    bool refuses_input;
    /* The same thread's, at a stop: it is full and nobody takes from it any more, so what it refuses now it refuses for
     * good. */
    bool takes_no_more;

    struct port *inputs; /* in the order of its ROLE_INPUT addresses; a listener's: one a producer in the launch */
    size_t input_count;
    struct port *outputs; /* in the order of its ROLE_OUTPUT addresses; a queue's: one a consumer in the launch */
    size_t output_count;

    /* Set by step; read by the thread loop. */
    int64_t deadline_ns;
    bool done;
    bool has_descriptors; /* asked for its thread's poller */

    /* The thread loop's. */
    bool rested;  /* the last step did nothing */
    bool quiet;   /* steps would do nothing until something comes */
    bool settled; /* not called since its thread last prepared to sleep */

    /* Read after its end. */
    char note[NODE_NOTE_BYTES]; /* what it has to say in its last line, beside its numbers */
    /* Messages that it ended with though it is not their place, as a queue is: they are nowhere then, and the launch
     * has not ended well. It has told its log. */
    uint64_t left_over_count;

    /* Writer: the node's thread, at its end. Readers: the main thread. Release / acquire. */
    _Atomic bool ended;
};

/* ---- for callbacks ---- */

/* Any thread. */
enum stop_phase node_stop_phase(const struct node *node);

/* Whether all nodes of this launch that reach this one over sockets (--join sockets) have ended. Until then a node that
 * listens must go on at a stop: their last messages are on the way, or wait for an answer. Any thread. */
bool node_callers_ended(const struct node *node);

/* The node's thread's poller (see idle_poller). */
enum status node_poller(struct node *node, struct poller **poller, struct error *error) MUST_USE;

/* Says goodbye on all output edges, after flushing them. False: an edge still has messages to flush. */
bool node_end_outputs(struct node *node);

/* Whether nothing more will come by rings, and everything that came is popped. An end that the embedding program holds
 * counts as ended when a stop has begun and it is empty. */
bool node_inputs_ended(struct node *node);

/* Logs the node's latency totals: count and summed seconds of each decade. */
void node_log_latency(const struct node *node);

/* `count` messages ended here, for the cause that the counter (one that is_drop) names. The node's thread. */
void node_drop(struct node *node, unsigned counter, uint64_t count);

/* The same, where somebody else counts and has come to `total`. */
static inline void node_show_drops(struct node *node, unsigned counter, uint64_t total)
{
    uint64_t shown = stats_get(&node->stats->counters[counter]);
    if (total > shown)
        node_drop(node, counter, total - shown);
}

/* The sum of what is in flight on the node's edges. */
uint64_t node_in_flight(const struct port *ports, size_t count);

/* What the program adds to the engine: one const object, defined where the node types are. */
struct command {
    const char *name;
    const char *usage; /* behind the name: "HOST:PORT COMMAND..." */
    const char *summary;
    const struct option *options; /* for the help; may be NULL */
    const char *details;          /* more lines for the help, ended by a newline; may be NULL */
    /* `arguments` are those behind the command's name. Returns the exit status. */
    int (*run)(int count, char **arguments);
};

struct catalog {
    const struct node_type *const *node_types; /* ended by NULL */
    const struct command *const *commands;     /* ended by NULL */
    const struct node_type *reporter;   /* the node that sends everybody's metrics; added when one has an address */
    const struct control_type *control; /* for launches with a store; NULL: they answer to nobody */
};

#endif
