/*
 * order.h: what the replicas of a worker keep in order (--order), and whether a launch can.
 *
 * The order is kept by the queue that hands the messages out (dispatch.h): it must be in the launch, joined by rings,
 * and hand out to these replicas only. Who takes messages with GET from outside takes them out of the order.
 */
#ifndef NODES_WORKER_ORDER_H
#define NODES_WORKER_ORDER_H

#include "engine/topology_spec.h"
#include "nodes/worker/worker_config.h"

/* STATUS_USAGE, with the remedy: the launch cannot keep it, or the key is none. Pure. */
enum status worker_check_order(const struct worker_config *config, const struct topology_spec *spec,
                               struct error *error) MUST_USE;

#endif
