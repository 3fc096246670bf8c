/*
 * tcp.h: LHHTTT frames over TCP. A stream is one connection; a server accepts streams, a client keeps one up.
 *
 * Everything runs on the thread of the poller it was opened with; nothing blocks.
 *
 * Bounds: a receiver refuses a frame by its header when the text is longer than `frame_bytes_max`, buffers only what
 * has arrived (never what a header announced), and stops reading from a peer while more than `unsent_bytes_max` of
 * answers wait for it (a peer that never reads costs that much memory and no more).
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/address.h"
#include "engine/poller.h"
#include "engine/status.h"

struct tcp_stream;

enum tcp_end {
    TCP_END_PEER,      /* the peer closed, at a frame's end */
    TCP_END_CUT,       /* the peer closed within a frame; or the connection broke within one, or with output unsent */
    TCP_END_MALFORMED, /* what came is no frame, or a frame beyond the limit; an ERR frame said so */
    TCP_END_LOCAL,     /* closed from this side */
    TCP_END_REFUSED,   /* client only: could not connect; it will try again */
};

struct tcp_handlers {
    /* A stream is there. *user (initially NULL) is the owner's, per stream; may be NULL. */
    void (*opened)(void *context, struct tcp_stream *stream);
    /* The frames from now on, up to the next call, have been read at once; may be NULL. */
    void (*batch)(void *context);
    /* A frame's text, valid during the call only. The handler may call tcp_send on this stream, and tcp_shut. */
    void (*frame)(void *context, struct tcp_stream *stream, const void *text, size_t length);
    /* The stream is gone after this call. `why` is a short text for a log line ("length above the limit of ..."). */
    void (*closed)(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why);
    void *context;
};

struct tcp_limits {
    uint64_t frame_bytes_max;
    size_t unsent_bytes_max;
    size_t connection_count_max; /* server: further ones are accepted and closed at once, and counted */
};

struct tcp_counts {
    uint64_t accepted_count, refused_count, malformed_count, cut_count;
    uint64_t open_count; /* now */
};

/* ---- a stream ---- */

/* Queues one frame with the text `head` then `body` (copied). Sent at the end of the current poll round or at
 * tcp_server_flush / tcp_client_flush, whichever is first; many frames share a write. */
void tcp_send(struct tcp_stream *stream, const void *head, size_t head_length, const void *body, size_t body_length);
size_t tcp_unsent_bytes(const struct tcp_stream *stream);
/* The owner holds back answers that take so many bytes of its memory. They count as unsent, so that no more is read
 * from a peer that asks on and on; and a stream whose peer has closed its direction stays for them. tcp_unowe when they
 * were sent. */
void tcp_owe(struct tcp_stream *stream, size_t bytes);
void tcp_unowe(struct tcp_stream *stream, size_t bytes);
/* Sends what is queued, as far as the peer takes it, then closes. */
void tcp_shut(struct tcp_stream *stream);
void **tcp_user(struct tcp_stream *stream);
/* The peer's address as text. Valid as long as the stream. */
const char *tcp_peer_text(const struct tcp_stream *stream);

/* ---- a server ---- */

struct tcp_server;

enum status tcp_server_open(struct tcp_server **server, const struct address *address, struct poller *poller,
                            const struct tcp_limits *limits, const struct tcp_handlers *handlers,
                            struct error *error) MUST_USE;
/* The same at a descriptor that listens already, of whatever kind of stream; taken over, and closed on failure too.
 * `name` is for texts. */
enum status tcp_server_open_at(struct tcp_server **server, int listening_fd, const char *name, struct poller *poller,
                               const struct tcp_limits *limits, const struct tcp_handlers *handlers,
                               struct error *error) MUST_USE;
/* Closes all streams too (TCP_END_LOCAL). */
void tcp_server_close(struct tcp_server **server);
/* Stops accepting and reading; what is queued still goes out with tcp_server_flush. */
void tcp_server_quiet(struct tcp_server *server);
/* Writes what is queued on every stream that has something. Call it once a step. */
void tcp_server_flush(struct tcp_server *server);
/* What is queued on all streams and not yet given to the kernel. */
size_t tcp_server_unsent_bytes(const struct tcp_server *server);
const struct tcp_counts *tcp_server_counts(const struct tcp_server *server);
void tcp_server_local_text(const struct tcp_server *server, char *text, size_t text_bytes);

/* ---- a client ---- */

struct tcp_client;

/* Starts to connect; when the connection fails or ends it tries again by itself, first after 10 ms, then twice as long
 * each time up to 1 s. `opened` is called at each connect, `closed` at each end and each failed try. */
enum status tcp_client_open(struct tcp_client **client, const struct address *address, struct poller *poller,
                            const struct tcp_limits *limits, const struct tcp_handlers *handlers,
                            struct error *error) MUST_USE;
void tcp_client_close(struct tcp_client **client);
/* The stream if it is up, else NULL. */
struct tcp_stream *tcp_client_stream(struct tcp_client *client);
void tcp_client_flush(struct tcp_client *client);
/* Tries to connect again if it is time; returns when it wants to be called next (monotonic; CLOCK_NEVER_NS: need not
 * be). Call it each step. */
int64_t tcp_client_step(struct tcp_client *client, int64_t now_ns);

#endif
