/*
 * udp.h: datagrams in batches (recvmmsg, sendmmsg). Knows nothing of frames.
 *
 * Runs of equal datagrams cross the kernel as one, in both directions, where it knows how (UDP_SEGMENT, UDP_GRO); the
 * caller sees datagrams only.
 *
 * A socket belongs to one thread. Never blocks.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine/address.h"
#include "engine/status.h"

/* What a datagram over IPv4 holds at most. */
enum { UDP_DATAGRAM_BYTES_MAX = 65507 };

/* How many datagrams are gathered at most, and how many messages one system call moves: a received one may be a run. */
enum { UDP_BATCH_COUNT = 64 };

struct udp_socket;

struct udp_peer {
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

/* Counts since the socket was opened; read by its thread. */
struct udp_counts {
    uint64_t received_count, received_bytes;
    uint64_t sent_count, sent_bytes;
    uint64_t send_failed_count; /* refused by the system, other than "connection refused" of a connected socket */
    uint64_t run_refused_count; /* runs that the system would not take as one; their datagrams were sent one by one */
};

/* Bound to `address` (port 0: the kernel's choice), for many peers. Asks for large kernel buffers. STATUS_SYSTEM names
 * the address: "127.0.0.1:10000: Address already in use". */
enum status udp_open_listener(struct udp_socket **socket, const struct address *address, struct error *error) MUST_USE;

/* Connected to `address`, at a local port of the kernel's choice; only this peer's datagrams are received, and that
 * nobody listens there is reported (STATUS_CLOSED below). */
enum status udp_open_connected(struct udp_socket **socket, const struct address *address, struct error *error) MUST_USE;

void udp_close(struct udp_socket **socket);

int udp_fd(const struct udp_socket *socket);
const struct udp_counts *udp_counts(const struct udp_socket *socket);

/* The local address as text, "127.0.0.1:40123". */
void udp_local_text(const struct udp_socket *socket, char *text, size_t text_bytes);

/* `data` is valid during the call only. `peer` may be copied. */
typedef void udp_datagram_handler(void *context, const void *data, size_t length, const struct udp_peer *peer);

/*
 * Receives one batch and hands each datagram to `handler`; *count says how many there were. Fewer than UDP_BATCH_COUNT:
 * no others waited; but it may also be more, a run counts as its datagrams. Empty datagrams are handed on too.
 * STATUS_CLOSED (connected sockets only): nobody listens at the peer; the socket stays usable. STATUS_SYSTEM: something
 * else.
 */
enum status udp_receive(struct udp_socket *socket, udp_datagram_handler *handler, void *context, size_t *count,
                        struct error *error) MUST_USE;

/*
 * Adds a datagram (copied: `head` and then `body`, either may be empty) to the batch that is going out; the batch is
 * sent when it is full or at udp_flush. `peer` NULL: the connected peer. STATUS_INPUT: longer than a datagram can be;
 * nothing was added.
 */
enum status udp_send(struct udp_socket *socket, const struct udp_peer *peer, const void *head, size_t head_length,
                     const void *body, size_t body_length) MUST_USE;

/*
 * Sends what is gathered. STATUS_AGAIN: the kernel's buffer is full; the rest stays gathered: wait for EPOLLOUT or try
 * later (udp_send then flushes first, and drops and counts the oldest when there is no room at all). STATUS_CLOSED as
 * for udp_receive: the datagram that met it counts as sent, the rest stays gathered.
 */
enum status udp_flush(struct udp_socket *socket);

/* How many datagrams are gathered and not yet sent; whether udp_send has room for another without a system call. */
size_t udp_gathered_count(const struct udp_socket *socket);
/* Forgets what is gathered. Returns how many datagrams that were. */
size_t udp_discard(struct udp_socket *socket);

#endif
