/*
 * metrics_output.h: one place that the reporter sends to: a ring to a receiver in the launch, a UDP socket, or a TCP
 * connection.
 *
 * The reporter's thread, but for open and close. Nothing blocks, and nothing waits: a report that cannot go out now is
 * lost, since the next one comes soon.
 */
#ifndef NODES_METRICS_METRICS_OUTPUT_H
#define NODES_METRICS_METRICS_OUTPUT_H

#include "engine/node.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "nodes/text/json_text.h"

enum metrics_output_state { METRICS_OUTPUT_NEW, METRICS_OUTPUT_HEARD, METRICS_OUTPUT_UNHEARD };

struct metrics_output {
    struct node *node;
    const struct port *port;
    struct udp_socket *udp; /* at most one of these; neither: a ring */
    struct tcp_client *tcp;
    enum metrics_output_state state;
    /* UDP: what was sent and may yet turn out to have met nobody. */
    uint64_t unconfirmed_count;
    uint64_t unheard_count;
};

/* `output` is zeroed and stays where it is. In a rehearsal nothing is opened. */
enum status metrics_output_open(struct metrics_output *output, struct node *node, const struct port *port,
                                struct error *error) MUST_USE;

/* False: the report is lost. */
bool metrics_output_send(struct metrics_output *output, const struct text *report, int64_t now_ns);

/* Call it each step; returns when it wants to be called again (monotonic). */
int64_t metrics_output_step(struct metrics_output *output, int64_t now_ns);

void metrics_output_close(struct metrics_output *output);

#endif
