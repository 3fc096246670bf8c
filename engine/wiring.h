/*
 * wiring.h: a specification in, a graph out: which node's address is which other's, and what flows between them. Pure.
 */
#ifndef ENGINE_WIRING_H
#define ENGINE_WIRING_H

#include <stdio.h>

#include "engine/topology_spec.h"

#define WIRING_NONE SIZE_MAX

/* One end of a link, at a node or at the embedding program. */
struct wiring_port {
    const struct address *address; /* NULL at a listening end */
    enum link_kind kind;
    size_t edge; /* index, or WIRING_NONE: over the network */
    size_t peer; /* node index, or WIRING_NONE: outside this launch, or the embedding program */
};

struct wiring_node {
    struct wiring_port *inputs;
    size_t input_count;
    struct wiring_port *outputs;
    size_t output_count;
    bool on_cycle;
};

struct wiring_edge {
    size_t producer, consumer; /* node index, or WIRING_NONE: the embedding program */
    size_t application_port;   /* which of its ports, if one end is */
};

struct wiring {
    struct wiring_node *nodes; /* one a node of the spec; with a reporter, one more */
    size_t node_count;
    struct wiring_edge *edges;
    size_t edge_count;
    bool has_reporter;
};

/* STATUS_USAGE: two nodes at one address, a name that nobody offers, a link that the other end does not understand. */
enum status wiring_make(struct wiring *wiring, const struct topology_spec *spec, struct error *error) MUST_USE;
void wiring_free(struct wiring *wiring);

/* The graph as text, a line a link, or for Graphviz. */
void wiring_print(FILE *out, const struct wiring *wiring, const struct topology_spec *spec);
void wiring_print_dot(FILE *out, const struct wiring *wiring, const struct topology_spec *spec);

#endif
