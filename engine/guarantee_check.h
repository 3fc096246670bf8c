/*
 * guarantee_check.h: whether a graph can keep what its workers promise, and in words what each way through it survives.
 * Pure: a specification and its wiring in, texts out.
 *
 * What an exactly-once worker takes, emits and remembers is one transaction of the launch's store. So each queue of the
 * launch at its ends must be in that store (--durability async or sync), and so must the queue where messages go that
 * failed too often. Queues elsewhere are reached with leases and ids; how they keep messages cannot be seen from here.
 * Bare messages are acknowledged by nobody: they carry at most once. At-least-once is carried by every link: a message
 * in memory is tried again as long as the process lives, and an output counts as taken where its receiver takes it.
 */
#ifndef ENGINE_GUARANTEE_CHECK_H
#define ENGINE_GUARANTEE_CHECK_H

#include "engine/wiring.h"

enum weakness {
    WEAK_INPUT,       /* it takes from a queue in memory */
    WEAK_OUTPUT,      /* it puts to a queue in memory */
    WEAK_BARE,        /* it sends bare messages */
    WEAK_DEAD_LETTER, /* the queue that it takes from puts failed messages to a queue in memory */
};

/* A directed link: messages flow from one end to the other, whoever asks for them. */
struct guarantee_link {
    size_t from, to;               /* node index; WIRING_NONE: elsewhere, or with a ring the embedding program */
    const struct address *address; /* by which one end knows the other; NULL: the embedding program's */
    enum link_kind kind;
    bool by_ring;
    bool dead_letter; /* only failed messages take it */
};

struct weak_link {
    size_t worker; /* whose promise is above it */
    enum weakness why;
    struct guarantee_link link;
};

/* All links but those of the reporter, `*index` from 0 on: first the rings, then those over the network. False: no
 * more. Both counts are small; nothing is allocated. */
bool guarantee_next_link(const struct topology_spec *spec, const struct wiring *wiring, size_t *index,
                         struct guarantee_link *link);

/* The next link, from *from on, that is below its worker's promise. False: no more. */
bool guarantee_next_weak(const struct topology_spec *spec, const struct wiring *wiring, size_t *from,
                         struct weak_link *weak);

/* "worker promises exactly-once, but ...": the link's two ends, the flag, and the two ways to mend it. */
void guarantee_weak_text(char *text, size_t text_bytes, const struct topology_spec *spec, const struct weak_link *weak);

/* STATUS_USAGE: a link is below a promise and --allow-weaker is not given; or what needs a store has none, which
 * nothing can allow. The error names the first. */
enum status guarantee_check(const struct topology_spec *spec, const struct wiring *wiring,
                            struct error *error) MUST_USE;

/* For each way from where messages come in to where they leave: what a lost datagram, a killed worker, a killed engine
 * and a power cut do to them. Ways beyond a bound are counted only. */
void guarantee_explain(FILE *out, const struct topology_spec *spec, const struct wiring *wiring);

/* ---- shared by check and explanation ---- */

enum { GUARANTEE_NAME_BYTES = NODE_NAME_BYTES + ADDRESS_TEXT_MAX + 8 };

/* "mq 2 at orders": a node as the user knows it. Returns `text`. */
const char *guarantee_node_name(char text[GUARANTEE_NAME_BYTES], const struct topology_spec *spec, size_t node);

/* What the node promises. At most once if it says nothing, or is none. */
enum guarantee guarantee_of(const struct topology_spec *spec, size_t node);

/* Whether messages rest in the node, and how. */
bool guarantee_carriage(const struct topology_spec *spec, size_t node, struct carriage *carriage);

#endif
