/*
 * worker_durable.h: a worker that promises more than at most once, in a launch with a store.
 *
 * It lives on the durable thread (journal.h) between the queues whose messages it takes and those that take its
 * outputs. It keeps nothing itself: at a cut its input queues settle what it has released, its output queues have
 * taken and appended what it emitted, and its state is in the batch already. All it does is to stand still while a cut
 * waits for the rings behind it to be empty.
 */
#ifndef NODES_WORKER_DURABLE_H
#define NODES_WORKER_DURABLE_H

#include "nodes/worker_private.h"

/* The node type's is_durable. */
bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec);

/* Joins the journal, if the worker is durable. When its outlets are open. */
void worker_durable_join(struct worker *worker);

/* Whether it may take input now: no cut is waited for, and no queue that it feeds is full. */
bool worker_durable_may_take(const struct worker *worker);

#endif
