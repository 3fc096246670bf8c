#include "net/tcp_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/check.h"
#include "net/lhhttt.h"

enum {
    STREAM_MAGIC = 0x74637073,
    BUFFER_FIRST_BYTES = 4096,
    /* What a peer may still send after we said our last word. The kernel throws it away without a copy. */
    LINGER_BYTES_MAX = 1 << 20,
    LINGERING_COUNT_MAX = 64,
};

/* ---- buffers ---- */

void tcp_buffer_reserve(struct tcp_buffer *buffer, size_t more)
{
    size_t needed = buffer->length + more;
    if (buffer->first + needed <= buffer->capacity)
        return;
    if (needed <= buffer->capacity - buffer->capacity / 4) {
        /* A quarter is free then, so that each appended byte pays for the move of three at most. */
        memmove(buffer->bytes, buffer->bytes + buffer->first, buffer->length);
        buffer->first = 0;
        return;
    }
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : BUFFER_FIRST_BYTES;
    while (capacity < needed)
        capacity *= 2;
    if (capacity == buffer->capacity)
        capacity *= 2;
    unsigned char *bytes = malloc(capacity);
    CHECK(bytes != NULL);
    if (buffer->length > 0)
        memcpy(bytes, buffer->bytes + buffer->first, buffer->length);
    free(buffer->bytes);
    buffer->bytes = bytes;
    buffer->first = 0;
    buffer->capacity = capacity;
}

void tcp_buffer_consume(struct tcp_buffer *buffer, size_t length)
{
    CHECK(length <= buffer->length);
    buffer->first += length;
    buffer->length -= length;
    if (buffer->length > 0)
        return;
    buffer->first = 0;
    if (buffer->capacity > TCP_BUFFER_KEPT_BYTES) {
        free(buffer->bytes);
        *buffer = (struct tcp_buffer){0};
    }
}

/* ---- the end of a stream ---- */

static void mark_dirty(struct tcp_stream *stream)
{
    if (stream->dirty)
        return;
    stream->dirty = true;
    TAILQ_INSERT_TAIL(&stream->set->dirty, stream, dirty_place);
}

static void unmark_dirty(struct tcp_stream *stream)
{
    if (!stream->dirty)
        return;
    stream->dirty = false;
    TAILQ_REMOVE(&stream->set->dirty, stream, dirty_place);
}

static void bury(struct tcp_stream *stream)
{
    stream->state = TCP_STREAM_DEAD;
    SLIST_INSERT_HEAD(&stream->set->dead, stream, dead_place);
}

void tcp_stream_begin_call(struct tcp_stream_set *set)
{
    set->depth++;
}

void tcp_stream_end_call(struct tcp_stream_set *set)
{
    CHECK(set->depth > 0);
    if (--set->depth > 0)
        return;
    while (!SLIST_EMPTY(&set->dead)) {
        struct tcp_stream *stream = SLIST_FIRST(&set->dead);
        SLIST_REMOVE_HEAD(&set->dead, dead_place);
        stream->magic = 0;
        free(stream->input.bytes);
        free(stream->output.bytes);
        free(stream);
    }
}

/* OPEN, ENDING or CONNECTING become `state`, and the owner is told. */
static void leave(struct tcp_stream *stream, enum tcp_stream_state state, enum tcp_end end, const char *why)
{
    struct tcp_stream_set *set = stream->set;
    char text[TCP_WHY_BYTES];
    snprintf(text, sizeof text, "%s", why);
    if (stream->state != TCP_STREAM_CONNECTING) {
        TAILQ_REMOVE(&set->open, stream, place);
        set->counts.open_count--;
    }
    unmark_dirty(stream);
    if (state == TCP_STREAM_DEAD)
        bury(stream);
    else
        stream->state = state;
    if (end == TCP_END_CUT)
        set->counts.cut_count++;
    if (set->ended != NULL)
        set->ended(set, stream, end);
    if (set->handlers.closed != NULL)
        set->handlers.closed(set->handlers.context, stream, end, text);
}

static void close_descriptor(struct tcp_stream *stream)
{
    if (stream->polled)
        poller_remove(stream->set->poller, &stream->source);
    stream->polled = false;
    if (stream->source.fd >= 0)
        close(stream->source.fd);
    stream->source.fd = -1;
}

void tcp_stream_end(struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    CHECK(stream->state < TCP_STREAM_LINGERING);
    close_descriptor(stream);
    leave(stream, TCP_STREAM_DEAD, end, why);
}

void tcp_stream_destroy(struct tcp_stream *stream)
{
    struct tcp_stream_set *set = stream->set;
    CHECK(stream->state == TCP_STREAM_LINGERING || stream->state == TCP_STREAM_CONNECTING);
    if (stream->state == TCP_STREAM_LINGERING) {
        TAILQ_REMOVE(&set->lingering, stream, place);
        set->lingering_count--;
    }
    close_descriptor(stream);
    bury(stream);
}

void tcp_stream_broke(struct tcp_stream *stream, int error_number)
{
    if (stream->state == TCP_STREAM_ENDING) {
        tcp_stream_end(stream, stream->end, stream->why);
        return;
    }
    bool within_frame = stream->input.length > 0 || stream->output.length > 0;
    tcp_stream_end(stream, within_frame ? TCP_END_CUT : TCP_END_PEER, strerror(error_number));
}

void tcp_stream_finish(struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    CHECK(stream->state == TCP_STREAM_OPEN);
    stream->state = TCP_STREAM_ENDING;
    stream->end = end;
    snprintf(stream->why, sizeof stream->why, "%s", why);
}

static void poll_events(struct tcp_stream *stream, uint32_t events)
{
    if (events != stream->events)
        poller_change(stream->set->poller, &stream->source, events);
    stream->events = events;
}

/* Everything is sent. The peer's end first, if it is still to come. */
static void complete(struct tcp_stream *stream)
{
    struct tcp_stream_set *set = stream->set;
    if (stream->end == TCP_END_PEER || stream->end == TCP_END_CUT || shutdown(stream->source.fd, SHUT_WR) != 0) {
        tcp_stream_end(stream, stream->end, stream->why);
        return;
    }
    leave(stream, TCP_STREAM_LINGERING, stream->end, stream->why);
    if (set->depth == 1) { /* else a handler may still be reading a frame in there */
        free(stream->input.bytes);
        stream->input = (struct tcp_buffer){0};
    }
    stream->linger_bytes = LINGER_BYTES_MAX;
    TAILQ_INSERT_TAIL(&set->lingering, stream, place);
    if (++set->lingering_count > LINGERING_COUNT_MAX)
        tcp_stream_destroy(TAILQ_FIRST(&set->lingering));
    poll_events(stream, EPOLLIN);
}

/* Throws away what came. Returns whether more may come. */
static bool discard(struct tcp_stream *stream)
{
    while (stream->linger_bytes > 0) {
        size_t length = stream->linger_bytes < TCP_SCRATCH_BYTES ? stream->linger_bytes : TCP_SCRATCH_BYTES;
        /* tcp(7): MSG_TRUNC throws the bytes away instead of copying them. */
        ssize_t result = recv(stream->source.fd, stream->set->scratch, length, MSG_DONTWAIT | MSG_TRUNC);
        if (result > 0)
            stream->linger_bytes -= (size_t)result;
        else if (result < 0 && errno == EINTR)
            continue;
        else
            return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
    return false;
}

/* ---- output ---- */

/* The peer has closed its direction only, and its owner holds back answers for it. Behind a last word of ours none goes
 * out. */
static bool awaits_answers(const struct tcp_stream *stream)
{
    return stream->state == TCP_STREAM_ENDING && stream->end == TCP_END_PEER && stream->owed_bytes > 0;
}

static bool may_send(const struct tcp_stream *stream)
{
    return stream->state == TCP_STREAM_OPEN || awaits_answers(stream);
}

void tcp_send(struct tcp_stream *stream, const void *head, size_t head_length, const void *body, size_t body_length)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    if (!may_send(stream))
        return;
    struct tcp_buffer *output = &stream->output;
    tcp_buffer_reserve(output, LHHTTT_HEADER_BYTES_MAX + head_length + body_length);
    unsigned char *start = output->bytes + output->first + output->length;
    unsigned char *place = start + lhhttt_write_header(head_length + body_length, (char *)start);
    if (head_length > 0)
        memcpy(place, head, head_length);
    place += head_length;
    if (body_length > 0)
        memcpy(place, body, body_length);
    place += body_length;
    output->length += (size_t)(place - start);
    mark_dirty(stream);
}

size_t tcp_unsent_bytes(const struct tcp_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    return stream->output.length;
}

void tcp_owe(struct tcp_stream *stream, size_t bytes)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    stream->owed_bytes += bytes;
}

void tcp_unowe(struct tcp_stream *stream, size_t bytes)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    CHECK(bytes <= stream->owed_bytes);
    stream->owed_bytes -= bytes;
    if (stream->blocked || stream->state == TCP_STREAM_ENDING)
        mark_dirty(stream);
}

void tcp_stream_write(struct tcp_stream *stream)
{
    struct tcp_buffer *output = &stream->output;
    while (output->length > 0) {
        size_t length = output->length;
        ssize_t sent = send(stream->source.fd, output->bytes + output->first, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            tcp_buffer_consume(output, (size_t)sent);
            if ((size_t)sent < length)
                return; /* the kernel's buffer is full */
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            tcp_stream_broke(stream, errno);
            return;
        }
    }
}

/* What the poller is to report in this state. */
static uint32_t wanted_events(struct tcp_stream *stream)
{
    const struct tcp_stream_set *set = stream->set;
    bool reads = stream->state == TCP_STREAM_OPEN && !set->quiet;
    if (reads && tcp_stream_unsent(stream) > set->limits.unsent_bytes_max)
        stream->blocked = true;
    uint32_t events = 0;
    if (reads && !stream->blocked)
        events |= EPOLLIN;
    /* A blocked stream goes on in its ready, also when another call has sent everything by then; but not as long as it
     * is blocked for what is held back. */
    bool goes_on = stream->blocked && tcp_stream_unsent(stream) <= set->limits.unsent_bytes_max / 2;
    if (stream->output.length > 0 || (reads && goes_on))
        events |= EPOLLOUT;
    return events;
}

/* Brings an OPEN or ENDING stream to rest: sends, ends it if it is to end, asks the poller for what it waits for.
 * Within begin_call and end_call. */
static void settle(struct tcp_stream *stream)
{
    unmark_dirty(stream);
    tcp_stream_write(stream);
    if (stream->state == TCP_STREAM_ENDING && stream->output.length == 0 && !awaits_answers(stream))
        complete(stream);
    else if (stream->state != TCP_STREAM_DEAD)
        poll_events(stream, wanted_events(stream));
}

/* ---- events ---- */

static int socket_error(int fd)
{
    int error_number = 0;
    socklen_t bytes = sizeof error_number;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &bytes) != 0 || error_number == 0)
        return ECONNRESET;
    return error_number;
}

static bool is_alive(const struct tcp_stream *stream)
{
    return stream->state == TCP_STREAM_OPEN || stream->state == TCP_STREAM_ENDING;
}

static void live_stream_ready(struct tcp_stream *stream, uint32_t events)
{
    if ((events & EPOLLOUT) != 0)
        tcp_stream_write(stream);
    if (stream->state == TCP_STREAM_OPEN)
        stream->set->read(stream, events);
    if (is_alive(stream))
        settle(stream);
    /* Who reads finds out by reading; who does not must not be told again and again. */
    if (is_alive(stream) && (stream->events & EPOLLIN) == 0 && (events & (EPOLLERR | EPOLLHUP)) != 0)
        tcp_stream_broke(stream, socket_error(stream->source.fd));
}

static void stream_ready(struct poll_source *source, uint32_t events)
{
    struct tcp_stream *stream = (struct tcp_stream *)source;
    CHECK_MAGIC(stream, STREAM_MAGIC);
    struct tcp_stream_set *set = stream->set;
    tcp_stream_begin_call(set);
    if (stream->state != TCP_STREAM_LINGERING)
        live_stream_ready(stream, events);
    else if (!discard(stream) || (events & (EPOLLERR | EPOLLHUP)) != 0)
        tcp_stream_destroy(stream);
    tcp_stream_end_call(set);
}

/* ---- the stream as its owner sees it ---- */

struct tcp_stream *tcp_stream_new(struct tcp_stream_set *set, int fd, const struct sockaddr_storage *peer,
                                  socklen_t peer_bytes)
{
    struct tcp_stream *stream = calloc(1, sizeof *stream);
    CHECK(stream != NULL);
    stream->magic = STREAM_MAGIC;
    stream->source.fd = fd;
    stream->set = set;
    stream->state = TCP_STREAM_CONNECTING;
    socket_address_text(peer, peer_bytes, stream->peer_text, sizeof stream->peer_text);
    if (fd >= 0) {
        int on = 1;
        /* Frames are gathered here; the kernel must not wait for more. Best effort, both. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    return stream;
}

enum status tcp_stream_start(struct tcp_stream *stream, struct error *error)
{
    struct tcp_stream_set *set = stream->set;
    CHECK(stream->state == TCP_STREAM_CONNECTING);
    stream->source.ready = stream_ready;
    if (stream->polled) {
        poll_events(stream, EPOLLIN);
    } else {
        enum status status = poller_add(set->poller, &stream->source, EPOLLIN, error);
        if (status != STATUS_OK)
            return status;
        stream->polled = true;
        stream->events = EPOLLIN;
    }
    stream->state = TCP_STREAM_OPEN;
    TAILQ_INSERT_TAIL(&set->open, stream, place);
    set->counts.open_count++;
    tcp_stream_begin_call(set);
    if (set->handlers.opened != NULL)
        set->handlers.opened(set->handlers.context, stream);
    if (is_alive(stream))
        settle(stream);
    tcp_stream_end_call(set);
    return STATUS_OK;
}

void tcp_shut(struct tcp_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    if (stream->state != TCP_STREAM_OPEN)
        return;
    tcp_stream_finish(stream, TCP_END_LOCAL, "closed from this side");
    mark_dirty(stream);
}

void **tcp_user(struct tcp_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    return &stream->user;
}

const char *tcp_peer_text(const struct tcp_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    return stream->peer_text;
}

/* ---- the set ---- */

void tcp_stream_set_init(struct tcp_stream_set *set, struct poller *poller, const struct tcp_limits *limits,
                         const struct tcp_handlers *handlers, tcp_stream_reader *read)
{
    *set = (struct tcp_stream_set){.poller = poller, .limits = *limits, .handlers = *handlers, .read = read};
    TAILQ_INIT(&set->open);
    TAILQ_INIT(&set->lingering);
    TAILQ_INIT(&set->dirty);
    SLIST_INIT(&set->dead);
    set->scratch = malloc(TCP_SCRATCH_BYTES);
    CHECK(set->scratch != NULL);
}

void tcp_stream_set_flush(struct tcp_stream_set *set)
{
    struct tcp_stream *stream;
    tcp_stream_begin_call(set);
    while ((stream = TAILQ_FIRST(&set->dirty)) != NULL)
        settle(stream);
    tcp_stream_end_call(set);
}

void tcp_stream_set_quiet(struct tcp_stream_set *set)
{
    struct tcp_stream *stream;
    set->quiet = true;
    TAILQ_FOREACH(stream, &set->open, place)
    {
        poll_events(stream, wanted_events(stream));
    }
}

void tcp_stream_set_clear(struct tcp_stream_set *set)
{
    struct tcp_stream *stream;
    CHECK(set->depth == 0);
    tcp_stream_begin_call(set);
    while ((stream = TAILQ_FIRST(&set->open)) != NULL) {
        tcp_stream_write(stream);
        if (!is_alive(stream))
            continue;
        /* As for a lingering stream, as far as it goes without waiting. */
        stream->linger_bytes = LINGER_BYTES_MAX;
        (void)shutdown(stream->source.fd, SHUT_WR);
        (void)discard(stream);
        tcp_stream_end(stream, TCP_END_LOCAL, "closed from this side");
    }
    while ((stream = TAILQ_FIRST(&set->lingering)) != NULL)
        tcp_stream_destroy(stream);
    tcp_stream_end_call(set);
    free(set->scratch);
    set->scratch = NULL;
}
