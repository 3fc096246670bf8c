/*
 * placement.h: which nodes share a thread (--threads). Pure: a specification and its wiring in, threads out.
 *
 * A node that may block (its type says so), that the user pinned (--cpu-list), or that reports for the others has a
 * thread of its own. The rest share: neighbours sit on one thread, because a message that stays on its thread costs
 * neither a cache line's way to another processor nor a wake-up.
 *
 * Durable nodes (node.h) are all on one thread, the durable thread, whatever --threads says and whether they may block
 * or are pinned: what they do to each other has one order, which the journal keeps (journal.h). Nobody else is on it.
 * It is pinned if one of them has a --cpu-list: to what the first one of those, in the order of steps, was given.
 *
 *   - Nodes on a cycle wait for each other, so a strongly connected component is never divided.
 *   - The components are put in topological order, depth first, so that those that feed each other stand together.
 *   - That row is cut into contiguous runs, one a thread, such that the heaviest run is as light as it can be.
 */
#ifndef ENGINE_PLACEMENT_H
#define ENGINE_PLACEMENT_H

#include <stdio.h>

#include "engine/topology_spec.h"
#include "engine/wiring.h"

struct placement {
    /* All nodes, thread by thread, each thread's in the order in which it steps them: downstream. Thread t has
     * order[first[t]] to order[first[t + 1] - 1], at least one. Threads are numbered by their first node in the spec,
     * so that with a thread a node each has its node's number. */
    size_t *order;
    size_t *first;     /* thread_count + 1 of them */
    size_t *thread_of; /* of each node */
    size_t thread_count;
    size_t durable_thread; /* WIRING_NONE: no node is durable */
};

/* `processor_count`: usable ones, at least 1; what --threads auto goes by. The reporter, if there is one, is the
 * wiring's last node. Free it with placement_free. */
void placement_make(struct placement *placement, const struct topology_spec *spec, const struct wiring *wiring,
                    size_t processor_count);
void placement_free(struct placement *placement);

/* A line for each thread that has several nodes: who they are. */
void placement_print(FILE *out, const struct placement *placement, const struct topology_spec *spec);

#endif
