#include "nodes/links/listener.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "engine/check.h"
#include "engine/clock.h"

struct listener_socket {
    struct poll_source source; /* first: a source is its socket */
    struct udp_socket *udp;
    struct tcp_server *tcp;
    struct listener *listener;
    bool unsent;            /* answers wait for room in the kernel */
    uint64_t refused_count; /* connections turned away that the node knows of */
};

struct listener {
    struct node *node;
    struct poller *poller;
    struct listener_handlers handlers;
    struct listener_socket *sockets;
    size_t socket_count;
    bool quiet;
};

enum {
    RECEIVE_COUNT_MAX = 4 * UDP_BATCH_COUNT, /* datagrams, and the rest of a batch, before the rings get their turn */
    /* At the end: more than a socket's buffer holds, though it were full of runs; senders may go on. */
    RECEIVE_LAST_COUNT_MAX = 1 << 20,
    UNSENT_BYTES_MAX = 4 << 20, /* of answers that a TCP peer does not read */
};
static const int64_t resend_interval_ns = 100 * NS_PER_US;

/* ---- UDP ---- */

struct datagram_target {
    struct listener *listener;
    struct udp_socket *udp;
    bool begun; /* the batch */
};

static void begin_batch(const struct listener *listener)
{
    if (listener->handlers.batch != NULL)
        listener->handlers.batch(listener->handlers.context);
}

static void take_datagram(void *context, const void *data, size_t length, const struct udp_peer *peer)
{
    struct datagram_target *target = context;
    const struct listener_handlers *handlers = &target->listener->handlers;
    if (!target->begun)
        begin_batch(target->listener);
    target->begun = true;
    handlers->datagram(handlers->context, target->udp, peer, data, length);
}

static void receive(struct listener_socket *socket, size_t count_max)
{
    struct datagram_target target = {.listener = socket->listener, .udp = socket->udp};
    struct error error = {0};
    size_t count = UDP_BATCH_COUNT;
    for (size_t taken = 0; taken < count_max && count >= UDP_BATCH_COUNT; taken += count) {
        target.begun = false;
        if (udp_receive(socket->udp, take_datagram, &target, &count, &error) != STATUS_OK)
            count = 0;
        socket->unsent = udp_flush(socket->udp) == STATUS_AGAIN;
    }
}

static void datagrams_ready(struct poll_source *source, uint32_t events)
{
    (void)events;
    receive((struct listener_socket *)(void *)source, RECEIVE_COUNT_MAX);
}

/* ---- TCP ---- */

static void begin_frames(void *context)
{
    begin_batch(context);
}

static void take_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    const struct listener *listener = context;
    listener->handlers.frame(listener->handlers.context, stream, text, length);
}

static void stream_closed(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    const struct listener *listener = context;
    if (listener->handlers.stream_closed != NULL)
        listener->handlers.stream_closed(listener->handlers.context, stream);
    if (end == TCP_END_MALFORMED || end == TCP_END_CUT)
        listener->handlers.stream_fault(listener->handlers.context, end, tcp_peer_text(stream), why);
}

/* ---- all ---- */

static enum status open_udp(struct listener_socket *socket, const struct address *address, struct error *error)
{
    enum status status = udp_open_listener(&socket->udp, address, error);
    if (status != STATUS_OK)
        return status;
    socket->source = (struct poll_source){.fd = udp_fd(socket->udp), .ready = datagrams_ready};
    return poller_add(socket->listener->poller, &socket->source, EPOLLIN, error);
}

static enum status open_tcp(struct listener_socket *socket, const struct address *address, uint64_t message_bytes_max,
                            uint64_t connection_count_max, struct error *error)
{
    struct tcp_limits limits = {
        .frame_bytes_max = message_bytes_max,
        .unsent_bytes_max = UNSENT_BYTES_MAX,
        .connection_count_max = connection_count_max,
    };
    struct tcp_handlers handlers = {
        .batch = begin_frames, .frame = take_frame, .closed = stream_closed, .context = socket->listener};
    return tcp_server_open(&socket->tcp, address, socket->listener->poller, &limits, &handlers, error);
}

static void log_address(struct node *node, const struct listener_socket *socket)
{
    char text[128];
    if (socket->udp != NULL)
        udp_local_text(socket->udp, text, sizeof text);
    else
        tcp_server_local_text(socket->tcp, text, sizeof text);
    if (!node->rehearsal)
        log_line(node->log, LOG_INFO, "listens at %s%s", socket->udp != NULL ? "udp://" : "tcp://", text);
}

enum status listener_open(struct listener **listener_pointer, struct node *node, const struct address_list *addresses,
                          uint64_t message_bytes_max, uint64_t connection_count_max,
                          const struct listener_handlers *handlers, struct error *error)
{
    struct listener *listener = calloc(1, sizeof *listener);
    CHECK(listener != NULL);
    *listener_pointer = listener;
    listener->node = node;
    listener->handlers = *handlers;
    listener->sockets = calloc(addresses->count + 1, sizeof *listener->sockets);
    CHECK(listener->sockets != NULL);
    for (size_t i = 0; i < addresses->count; i++) {
        const struct address *address = &addresses->items[i];
        if (address->scheme == ADDRESS_NAME)
            continue;
        enum status status = node_poller(node, &listener->poller, error);
        if (status != STATUS_OK)
            return status;
        struct listener_socket *socket = &listener->sockets[listener->socket_count++];
        socket->listener = listener;
        status = address->scheme == ADDRESS_UDP
                     ? open_udp(socket, address, error)
                     : open_tcp(socket, address, message_bytes_max, connection_count_max, error);
        if (status != STATUS_OK) {
            error_prefix(error, "--address");
            return status;
        }
        log_address(node, socket);
    }
    return STATUS_OK;
}

/* The first is named, with the remedy; all are counted. */
static void tell_refused(struct listener_socket *socket)
{
    struct listener *listener = socket->listener;
    const struct tcp_counts *counts = tcp_server_counts(socket->tcp);
    uint64_t count = counts->refused_count - socket->refused_count;
    if (count == 0)
        return;
    if (socket->refused_count == 0) {
        char text[128];
        tcp_server_local_text(socket->tcp, text, sizeof text);
        log_line(listener->node->log, LOG_WARN,
                 "tcp://%s: a connection was turned away with %llu open: --max-connections, or the system's limit of "
                 "open files (ulimit -n), allows no more",
                 text, (unsigned long long)counts->open_count);
    }
    socket->refused_count = counts->refused_count;
    listener->handlers.refused(listener->handlers.context, count);
}

int64_t listener_step(struct listener *listener, int64_t now_ns)
{
    int64_t when_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < listener->socket_count; i++) {
        struct listener_socket *socket = &listener->sockets[i];
        if (socket->tcp != NULL) {
            tcp_server_flush(socket->tcp);
            tell_refused(socket);
        } else if (socket->unsent || udp_gathered_count(socket->udp) > 0) {
            socket->unsent = udp_flush(socket->udp) == STATUS_AGAIN;
            if (socket->unsent)
                when_ns = now_ns + resend_interval_ns;
        }
    }
    return when_ns;
}

uint64_t listener_send_failed_count(const struct listener *listener)
{
    uint64_t count = 0;
    for (size_t i = 0; i < listener->socket_count; i++)
        if (listener->sockets[i].udp != NULL)
            count += udp_counts(listener->sockets[i].udp)->send_failed_count;
    return count;
}

void listener_quiet(struct listener *listener)
{
    if (listener->quiet)
        return;
    listener->quiet = true;
    for (size_t i = 0; i < listener->socket_count; i++) {
        struct listener_socket *socket = &listener->sockets[i];
        if (socket->udp != NULL) {
            receive(socket, RECEIVE_LAST_COUNT_MAX);
            poller_remove(listener->poller, &socket->source);
        } else if (socket->tcp != NULL) {
            tcp_server_quiet(socket->tcp);
        }
    }
}

bool listener_has_unsent(const struct listener *listener)
{
    for (size_t i = 0; i < listener->socket_count; i++) {
        const struct listener_socket *socket = &listener->sockets[i];
        if (socket->udp != NULL ? socket->unsent : socket->tcp != NULL && tcp_server_unsent_bytes(socket->tcp) > 0)
            return true;
    }
    return false;
}

void listener_close(struct listener **listener_pointer)
{
    struct listener *listener = *listener_pointer;
    if (listener == NULL)
        return;
    for (size_t i = 0; i < listener->socket_count; i++) {
        struct listener_socket *socket = &listener->sockets[i];
        if (socket->udp != NULL && socket->source.fd > 0 && !listener->quiet)
            poller_remove(listener->poller, &socket->source);
        udp_close(&socket->udp);
        tcp_server_close(&socket->tcp);
    }
    free(listener->sockets);
    free(listener);
    *listener_pointer = NULL;
}
