#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/tcp_input.h"
#include "net/tcp_stream.h"

enum {
    SERVER_MAGIC = 0x74637076,
    ACCEPT_BATCH_COUNT = 64,
};

/* How long the listener rests when there is no descriptor for another connection, unless one becomes free before. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

struct tcp_server {
    struct tcp_stream_set set; /* first: its callback gets its address */
    int magic;
    struct poll_source listener; /* fd -1: quiet */
    /* Given up for a moment when descriptors run out, to accept and close the connection that would else wait in the
     * listener and be reported for ever. -1: could not be had. */
    int spare_fd;
    bool paused;
    int64_t paused_until_ns;
    char local_text[SOCKET_TEXT_BYTES];
};

static void pause_listener(struct tcp_server *server)
{
    server->paused = true;
    server->paused_until_ns = clock_monotonic_ns() + ACCEPT_PAUSE_NS;
    poller_change(server->set.poller, &server->listener, 0);
}

static void resume_listener(struct tcp_server *server)
{
    if (!server->paused)
        return;
    server->paused = false;
    if (server->listener.fd >= 0)
        poller_change(server->set.poller, &server->listener, EPOLLIN);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void stream_ended(struct tcp_stream_set *set, struct tcp_stream *stream, enum tcp_end end)
{
    (void)stream;
    (void)end;
    resume_listener((struct tcp_server *)set);
}

/* Out of descriptors or of memory for one: closes the connection that comes next. */
static void turn_away(struct tcp_server *server)
{
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    int fd = accept4(server->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        server->set.counts.refused_count++;
    }
    server->spare_fd = open_spare();
    if (fd < 0 || server->spare_fd < 0)
        pause_listener(server);
}

static void start_stream(struct tcp_server *server, int fd, const struct sockaddr_storage *peer, socklen_t peer_bytes)
{
    struct tcp_counts *counts = &server->set.counts;
    if (counts->open_count >= server->set.limits.connection_count_max) {
        close(fd);
        counts->refused_count++;
        return;
    }
    struct tcp_stream *stream = tcp_stream_new(&server->set, fd, peer, peer_bytes);
    struct error error = {0};
    counts->accepted_count++;
    if (tcp_stream_start(stream, &error) != STATUS_OK) {
        counts->accepted_count--;
        counts->refused_count++;
        tcp_stream_destroy(stream);
    }
}

static void listener_ready(struct poll_source *source, uint32_t events)
{
    struct tcp_server *server = (struct tcp_server *)((char *)source - offsetof(struct tcp_server, listener));
    CHECK_MAGIC(server, SERVER_MAGIC);
    (void)events;
    /* A handler may make the server quiet, hence the test of fd. */
    for (int i = 0; i < ACCEPT_BATCH_COUNT && source->fd >= 0 && !server->paused; i++) {
        struct sockaddr_storage peer;
        socklen_t peer_bytes = sizeof peer;
        int fd = accept4(source->fd, (struct sockaddr *)&peer, &peer_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            start_stream(server, fd, &peer, peer_bytes);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            turn_away(server);
        /* Else: this connection failed before it was accepted (accept(2)); the next one need not. */
    }
}

/* Returns a listening descriptor, or -1 with errno set. */
static int listen_at(const struct address *address)
{
    int fd = socket_open(address, SOCK_STREAM);
    if (fd < 0)
        return -1;
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address->socket_address, address->socket_address_bytes) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    int error_number = errno;
    close(fd);
    errno = error_number;
    return -1;
}

enum status tcp_server_open_at(struct tcp_server **server, int listening_fd, const char *name, struct poller *poller,
                               const struct tcp_limits *limits, const struct tcp_handlers *handlers,
                               struct error *error)
{
    struct tcp_server *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->listener.fd = listening_fd;
    made->listener.ready = listener_ready;
    enum status status = poller_add(poller, &made->listener, EPOLLIN, error);
    if (status != STATUS_OK) {
        error_prefix(error, "%s", name);
        close(listening_fd);
        free(made);
        return status;
    }
    made->magic = SERVER_MAGIC;
    tcp_stream_set_init(&made->set, poller, limits, handlers, tcp_input_ready);
    made->set.ended = stream_ended;
    made->spare_fd = open_spare();
    snprintf(made->local_text, sizeof made->local_text, "%s", name);
    *server = made;
    return STATUS_OK;
}

enum status tcp_server_open(struct tcp_server **server, const struct address *address, struct poller *poller,
                            const struct tcp_limits *limits, const struct tcp_handlers *handlers, struct error *error)
{
    int fd = listen_at(address);
    if (fd < 0)
        return error_set_errno(error, errno, "%s", address->text);
    char name[SOCKET_TEXT_BYTES];
    socket_local_text(fd, name, sizeof name);
    return tcp_server_open_at(server, fd, name, poller, limits, handlers, error);
}

static void close_listener(struct tcp_server *server)
{
    if (server->listener.fd < 0)
        return;
    poller_remove(server->set.poller, &server->listener);
    close(server->listener.fd);
    server->listener.fd = -1;
}

void tcp_server_close(struct tcp_server **server)
{
    if (*server == NULL)
        return;
    CHECK_MAGIC(*server, SERVER_MAGIC);
    close_listener(*server);
    tcp_stream_set_clear(&(*server)->set);
    if ((*server)->spare_fd >= 0)
        close((*server)->spare_fd);
    (*server)->magic = 0;
    free(*server);
    *server = NULL;
}

void tcp_server_quiet(struct tcp_server *server)
{
    CHECK_MAGIC(server, SERVER_MAGIC);
    close_listener(server);
    tcp_stream_set_quiet(&server->set);
}

void tcp_server_flush(struct tcp_server *server)
{
    CHECK_MAGIC(server, SERVER_MAGIC);
    tcp_stream_set_flush(&server->set);
    if (server->paused && clock_monotonic_ns() >= server->paused_until_ns)
        resume_listener(server);
}

size_t tcp_server_unsent_bytes(const struct tcp_server *server)
{
    CHECK_MAGIC(server, SERVER_MAGIC);
    const struct tcp_stream *stream;
    size_t bytes = 0;
    TAILQ_FOREACH(stream, &server->set.open, place)
    {
        bytes += stream->output.length;
    }
    return bytes;
}

const struct tcp_counts *tcp_server_counts(const struct tcp_server *server)
{
    CHECK_MAGIC(server, SERVER_MAGIC);
    return &server->set.counts;
}

void tcp_server_local_text(const struct tcp_server *server, char *text, size_t text_bytes)
{
    CHECK_MAGIC(server, SERVER_MAGIC);
    snprintf(text, text_bytes, "%s", server->local_text);
}
