/*
 * listener.h: the sockets at which a node listens: one a UDP or TCP address of its --address; plain names have none.
 *
 * Belongs to the node's thread. Datagrams and frames are handed over from the thread's poller, between steps.
 */
#ifndef NODES_LINKS_LISTENER_H
#define NODES_LINKS_LISTENER_H

#include "engine/node.h"
#include "net/tcp.h"
#include "net/udp.h"

struct listener;

struct listener_handlers {
    /* What is handed over from now on, up to the next call, has been read at once. NULL: not wanted. */
    void (*batch)(void *context);
    /* A datagram as it came; answers go out with udp_send(socket, peer, ...). */
    void (*datagram)(void *context, struct udp_socket *socket, const struct udp_peer *peer, const void *data,
                     size_t length);
    /* The text of a frame that came over TCP; answers go out with tcp_send. */
    void (*frame)(void *context, struct tcp_stream *stream, const void *text, size_t length);
    /* A stream was ended because what came was no frame (TCP_END_MALFORMED), or was cut off within a frame or before
     * its answers (TCP_END_CUT). */
    void (*stream_fault)(void *context, enum tcp_end end, const char *peer, const char *why);
    /* The stream is gone after this call, for whatever reason: an answer that is still owed to it is not to be sent.
     * NULL: not wanted. */
    void (*stream_closed)(void *context, struct tcp_stream *stream);
    /* So many connections were turned away: there are --max-connections already, or no descriptor is left. */
    void (*refused)(void *context, uint64_t count);
    void *context;
};

/* Opens all; STATUS_SYSTEM names the address that cannot be had. In a rehearsal they are bound and closed again. */
enum status listener_open(struct listener **listener, struct node *node, const struct address_list *addresses,
                          uint64_t message_bytes_max, uint64_t connection_count_max,
                          const struct listener_handlers *handlers, struct error *error) MUST_USE;

/* Sends answers that were given outside of the handlers, or could not go out at once. Call it each step; returns when
 * it wants to be called again. */
int64_t listener_step(struct listener *listener, int64_t now_ns);

/* How many answers over UDP the system did not send. */
uint64_t listener_send_failed_count(const struct listener *listener);

/* Takes in what waits in the UDP sockets, then stops reading everywhere. */
void listener_quiet(struct listener *listener);

/* Whether answers wait for room in the kernel. */
bool listener_has_unsent(const struct listener *listener);

void listener_close(struct listener **listener);

#endif
