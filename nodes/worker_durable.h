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

#include "nodes/worker.h"

/* The node type's is_durable. */
bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec);

/*
 * Before the function is opened: its keyed state will be kept in the store, if the worker is durable.
 *
 * The store knows it by the worker's --vuid, if the user gave one; else by function, inputs and which of those alike it
 * is, so that a start with the same flags finds the same state. STATUS_USAGE: that makes too long a name.
 */
enum status worker_durable_keep_state(struct worker *worker, struct error *error) MUST_USE;

/* What the store knows the worker by. */
enum { WORKER_NAME_BYTES = 160 };
enum status worker_durable_name(const struct node *node, char name[WORKER_NAME_BYTES], struct error *error) MUST_USE;

/* Joins the journal, if the worker is durable. When its outlets are open. */
void worker_durable_join(struct worker *worker);

/* Whether it may take input now: no cut is waited for, and no queue that it feeds is full. */
bool worker_durable_may_take(const struct worker *worker);

#endif
