/*
 * tcp_stream.h: what a TCP server and a TCP client have in common: a set of streams. Private to net/tcp_*.c.
 *
 * Everything runs on the thread of the set's poller.
 *
 * A stream's life: CONNECTING (a client's only), OPEN, ENDING (reads no more, sends the rest), LINGERING, DEAD.
 * `closed` is called once, when the stream leaves OPEN or ENDING (or CONNECTING: a failed try); after that the owner
 * never sees it again. Calls nest (a handler may flush), so a DEAD stream is only buried; it is freed at the end of the
 * outermost call.
 */
#ifndef NET_TCP_STREAM_H
#define NET_TCP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "engine/poller.h"
#include "net/socket.h"
#include "net/tcp.h"

enum {
    /* How much one read takes at most: many small frames share a system call. */
    TCP_SCRATCH_BYTES = 256 << 10,
    /* A buffer of a stream that is empty and larger than this is freed. */
    TCP_BUFFER_KEPT_BYTES = 64 << 10,
    TCP_WHY_BYTES = 128,
};

enum tcp_stream_state {
    TCP_STREAM_CONNECTING,
    TCP_STREAM_OPEN,
    TCP_STREAM_ENDING,
    /* Closed for its owner, and our direction is shut. A socket that is closed with unread bytes sends a reset, which
     * would take our last words from the peer; so what still comes is read and thrown away, within bounds. */
    TCP_STREAM_LINGERING,
    TCP_STREAM_DEAD, /* without a descriptor, in set->dead */
};

/* Bytes [first, first + length) of `bytes` are in use. */
struct tcp_buffer {
    unsigned char *bytes;
    size_t first, length, capacity;
};

struct tcp_stream_set;

struct tcp_stream {
    struct poll_source source; /* first: the poller's callback gets its address; fd -1: none */
    int magic;
    struct tcp_stream_set *set;
    TAILQ_ENTRY(tcp_stream) place; /* in set->open or set->lingering */
    TAILQ_ENTRY(tcp_stream) dirty_place;
    SLIST_ENTRY(tcp_stream) dead_place;
    enum tcp_stream_state state;
    bool polled;     /* the poller knows it */
    bool dirty;      /* in set->dirty */
    bool blocked;    /* reads nothing until the peer has taken half of what it may leave unsent */
    uint32_t events; /* what the poller was asked for */
    void *user;

    /* Received and not yet handed on: the beginning of a frame, or (blocked) whatever one read brought. */
    struct tcp_buffer input;
    /* Header and text of the frame that `input` begins with; 0: not known yet. */
    uint64_t frame_bytes;
    struct tcp_buffer output;
    size_t owed_bytes; /* that the owner holds back */

    size_t linger_bytes; /* LINGERING: how much may still be thrown away */
    enum tcp_end end;    /* ENDING: what `closed` will say */
    char why[TCP_WHY_BYTES];
    char peer_text[SOCKET_TEXT_BYTES];
};

TAILQ_HEAD(tcp_stream_list, tcp_stream);
SLIST_HEAD(tcp_stream_grave, tcp_stream);

/* How an OPEN stream reads when `events` say that it may: tcp_input_ready. */
typedef void tcp_stream_reader(struct tcp_stream *stream, uint32_t events);

struct tcp_stream_set {
    struct poller *poller;
    struct tcp_limits limits;
    struct tcp_handlers handlers;
    struct tcp_counts counts;
    struct tcp_stream_list open, lingering, dirty;
    struct tcp_stream_grave dead;
    unsigned depth; /* of calls that use a stream after a handler was called */
    size_t lingering_count;
    bool quiet; /* no stream reads */
    unsigned char *scratch;
    tcp_stream_reader *read;
    /* Called when a stream is about to be reported as closed; may be NULL. Must not free the set. */
    void (*ended)(struct tcp_stream_set *set, struct tcp_stream *stream, enum tcp_end end);
};

void tcp_stream_set_init(struct tcp_stream_set *set, struct poller *poller, const struct tcp_limits *limits,
                         const struct tcp_handlers *handlers, tcp_stream_reader *read);
/* Ends all streams (TCP_END_LOCAL), after an attempt to send what is queued, and frees what the set owns. Not to be
 * called from a handler. */
void tcp_stream_set_clear(struct tcp_stream_set *set);
/* Writes what is queued; ends the streams that were shut. */
void tcp_stream_set_flush(struct tcp_stream_set *set);
void tcp_stream_set_quiet(struct tcp_stream_set *set);

/* A stream in CONNECTING that owns `fd` (-1: none). Never fails. */
struct tcp_stream *tcp_stream_new(struct tcp_stream_set *set, int fd, const struct sockaddr_storage *peer,
                                  socklen_t peer_bytes);
/* CONNECTING to OPEN: watches the descriptor and calls `opened`. When the poller refuses (no memory), the stream is
 * unchanged. */
enum status tcp_stream_start(struct tcp_stream *stream, struct error *error) MUST_USE;
/* Between the two no stream is freed, nor may the set be cleared. They nest; the outermost end frees the DEAD. */
void tcp_stream_begin_call(struct tcp_stream_set *set);
void tcp_stream_end_call(struct tcp_stream_set *set);
/* To DEAD, by way of `closed`. */
void tcp_stream_end(struct tcp_stream *stream, enum tcp_end end, const char *why);
/* To DEAD, without `closed`: of a stream that its owner does not know. */
void tcp_stream_destroy(struct tcp_stream *stream);

/* ---- for the reader ---- */

/* OPEN to ENDING. */
void tcp_stream_finish(struct tcp_stream *stream, enum tcp_end end, const char *why);
/* The connection broke: to DEAD at once. */
void tcp_stream_broke(struct tcp_stream *stream, int error_number);
/* Writes what is queued, as far as the peer takes it. May leave the stream DEAD. */
void tcp_stream_write(struct tcp_stream *stream);

/* What was not given to the kernel, or is not even queued. */
static inline size_t tcp_stream_unsent(const struct tcp_stream *stream)
{
    return stream->output.length + stream->owed_bytes;
}

/* Makes room for `more` bytes behind what is in use. */
void tcp_buffer_reserve(struct tcp_buffer *buffer, size_t more);
/* Takes `length` bytes off the front; an empty buffer goes back to its start and, when large, is freed. */
void tcp_buffer_consume(struct tcp_buffer *buffer, size_t length);

#endif
