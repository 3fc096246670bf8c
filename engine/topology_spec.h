/*
 * topology_spec.h: flags in, a specification out. Pure: opens nothing, starts nothing.
 *
 * Arguments are flags of the launch (known anywhere), defaults (before the first node: for all nodes that know them),
 * and nodes: --TYPE opens one, the flags behind it are its own.
 */
#ifndef ENGINE_TOPOLOGY_SPEC_H
#define ENGINE_TOPOLOGY_SPEC_H

#include <millrace/function.h>

#include "engine/node.h"

enum join { JOIN_RINGS, JOIN_SOCKETS };

/* struct launch_options.threads: what is no number of threads. */
#define THREADS_AUTO     ((size_t)0)
#define THREADS_PER_NODE SIZE_MAX

struct launch_options {
    unsigned join; /* enum join */
    bool exit_when_drained;
    bool table;
    int64_t drain_timeout_ns;
    const char *metrics_uri;
    const char *store; /* the directory; NULL: none */
    int64_t sync_interval_ns;
    bool allow_weaker;
    int64_t busy_poll_ns; /* 0: threads with sockets rest as others do; see idle.h */
    const char *threads_text;
    size_t threads; /* what threads_text says: THREADS_AUTO, THREADS_PER_NODE, or so many for nodes that may share */
};

extern const struct option launch_option_table[];

struct node_spec {
    const struct node_type *type;
    char name[NODE_NAME_BYTES];
    char vuid[NODE_VUID_BYTES];
    struct node_common common;
    void *config;
    unsigned cpu_index; /* which entry of its --cpu-list is its own */
};

/* An end of an edge that the embedding program holds. */
struct application_port {
    struct address address; /* the node to reach */
    enum link_kind kind;
};

struct topology_spec {
    struct launch_options launch;
    struct node_spec *nodes;
    size_t node_count;
    struct application_port *application_ports;
    size_t application_port_count;
    /* Functions that the embedding program brings, beside the built-in ones. Not owned. */
    const struct millrace_function *const *functions;
    size_t function_count;
};

/*
 * `single` NULL: `arguments` are a launch's. Else they are the flags of one node of this type. The strings must outlive
 * the spec. On failure the spec is empty and the error names the flag and the node.
 */
enum status topology_spec_parse(struct topology_spec *spec, const struct catalog *catalog,
                                const struct node_type *single, int count, const char *const *arguments,
                                struct error *error) MUST_USE;

/* A further end for the embedding program. */
void topology_spec_add_port(struct topology_spec *spec, const struct address *address, enum link_kind kind);

/* Each node type's own check. Apart from parsing, because the embedding program's functions come in between. */
enum status topology_spec_check(const struct topology_spec *spec, struct error *error) MUST_USE;

/* What the node's type says to is_durable; after the check. */
bool node_spec_is_durable(const struct node_spec *node, const struct topology_spec *spec);

void topology_spec_free(struct topology_spec *spec);

/* A random VUID: url-safe base64 of a six-digit decimal, as the prototype makes it. */
void topology_spec_random_vuid(char *text, size_t text_bytes);

#endif
