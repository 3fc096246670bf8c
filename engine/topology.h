/*
 * topology.h: a graph of nodes, from specification to end.
 *
 *   open    wires, makes edges, opens every node (sockets, files): all mistakes show here, before anything runs
 *   start   the threads: one a node, or one for several (placement.h)
 *   stop    sources stop, the rest flows to its end (STOP_DRAIN); or everything ends now (STOP_ABANDON)
 *   finish  joins the threads; with a --store, the journal (journal.h) keeps what is left
 *   close   closes the nodes
 *
 * All calls from one thread (the one that opened it), unless said otherwise.
 */
#ifndef ENGINE_TOPOLOGY_H
#define ENGINE_TOPOLOGY_H

#include <stdio.h>

#include "engine/node.h"
#include "engine/placement.h"
#include "engine/topology_spec.h"
#include "engine/wiring.h"

/* `spec` and `catalog` must outlive the topology. `rehearsal`: only to see whether it could start. */
enum status topology_open(struct topology **topology, const struct topology_spec *spec, const struct catalog *catalog,
                          bool rehearsal, struct error *error) MUST_USE;
enum status topology_start(struct topology *topology, struct error *error) MUST_USE;

/* Any thread. Asking for less than what was asked before changes nothing. */
void topology_stop(struct topology *topology, enum stop_phase phase);
enum stop_phase topology_stop_phase(const struct topology *topology);

/* Readable (poll) when a node has ended since the last topology_all_ended. */
int topology_event_fd(const struct topology *topology);
bool topology_all_ended(struct topology *topology);

/* Whether the sources are done and everything they fed has left the graph. Exact where nodes are joined by rings: ask
 * twice, at least 10 ms apart; it compares with what it saw the last time. Where they are joined by sockets, nothing
 * must have moved for a second. */
bool topology_has_drained(struct topology *topology, int64_t now_ns);

/* After all have ended: joins the threads, and what the durable nodes have done is on the disk when it returns, or the
 * error says why not. Then it stays as it is, for looking at. The second time it does nothing. Blocks. */
enum status topology_finish(struct topology *topology, struct error *error) MUST_USE;

/* After all have ended: the sum of what nodes had left over (node.h). */
uint64_t topology_left_over_count(const struct topology *topology);

/* What the store's failure was, if it has failed (the nodes then end by themselves: STOP_ABANDON). Any thread. */
enum status topology_failure(const struct topology *topology, struct error *error) MUST_USE;

/* Finishes and closes; ends what has not ended. */
void topology_close(struct topology **topology);

/* ---- for looking at ---- */

const struct wiring *topology_wiring(const struct topology *topology);
const struct placement *topology_placement(const struct topology *topology);
/* All nodes, the reporter (if any) last. */
struct node *const *topology_nodes(const struct topology *topology, size_t *count);
/* NULL: no --store, nothing durable, or a rehearsal. */
const struct journal *topology_journal(const struct topology *topology);
/* Monotonic and wall time of the start. */
int64_t topology_start_ns(const struct topology *topology);
int64_t topology_start_wall_ns(const struct topology *topology);

/* The edge that ends at the embedding program's port `index`, and the idle that the program rests on there. */
struct edge *topology_application_edge(const struct topology *topology, size_t index);
struct idle *topology_application_idle(const struct topology *topology, size_t index);

#endif
