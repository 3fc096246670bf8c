/*
 * kept_state.h: a keyed state that the launch's journal keeps. For the durable thread.
 */
#ifndef NODES_WORKER_KEPT_STATE_H
#define NODES_WORKER_KEPT_STATE_H

#include "engine/node.h"
#include "engine/store/journal.h"
#include "nodes/worker/keyed_state.h"

/* What its keeper has for context. */
struct worker_kept_state {
    struct journal *journal;
    uint32_t number; /* of the state, in the store */
};

/*
 * The name of a worker's state in the store, `name` having STORE_NAME_BYTES_MAX + 1: the --vuid that the user gave
 * (with the replica's number behind it, from the second on); else FUNCTION@INPUT,INPUT#N, the worker being the Nth with
 * such flags in the launch, from 1. So the state is found again as long as these stay. STATUS_USAGE: that is too long,
 * and the worker needs a --vuid. Pure.
 */
enum status worker_kept_state_name(const struct node *node, char *name, struct error *error) MUST_USE;

/* Finds the state of this name, or makes it; `keeper` has `kept` for its context, which must stay. While nodes are
 * opened. */
enum status worker_kept_state_open(struct worker_kept_state *kept, struct journal *journal, const char *name,
                                   struct worker_state_keeper *keeper, struct error *error) MUST_USE;

#endif
