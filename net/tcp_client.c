#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/tcp_input.h"
#include "net/tcp_stream.h"

enum { CLIENT_MAGIC = 0x74637063 };

#define RETRY_FIRST_NS (10 * NS_PER_MS)
#define RETRY_MAX_NS   (1 * NS_PER_S)
/* The kernel would give a host that does not answer some two minutes. */
#define TRY_NS (5 * NS_PER_S)

struct tcp_client {
    struct tcp_stream_set set; /* first: its callbacks get its address */
    int magic;
    struct address address;
    struct tcp_stream *stream; /* connecting or up; NULL: waits for the next try */
    int failed_errno;          /* the try failed at once: the next step says so */
    int64_t retry_ns;          /* how long to wait before the next try */
    int64_t due_ns;            /* the end of that wait, or of the try; CLOCK_NEVER_NS: the next step sets it */
};

static void stream_ended(struct tcp_stream_set *set, struct tcp_stream *stream, enum tcp_end end)
{
    struct tcp_client *client = (struct tcp_client *)set;
    (void)end;
    CHECK(client->stream == stream);
    client->stream = NULL;
    client->due_ns = CLOCK_NEVER_NS;
}

/* A port that the kernel may give to connecting sockets can be given to the one that tries to reach it; then, with
 * nobody listening, the socket is connected to itself (TCP's simultaneous open). */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage local, peer;
    socklen_t local_bytes = sizeof local, peer_bytes = sizeof peer;
    memset(&local, 0, sizeof local);
    memset(&peer, 0, sizeof peer);
    return getsockname(fd, (struct sockaddr *)&local, &local_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0 && local_bytes == peer_bytes &&
           memcmp(&local, &peer, local_bytes) == 0;
}

static void fail_try(struct tcp_client *client, const char *why)
{
    client->failed_errno = 0;
    tcp_stream_begin_call(&client->set);
    tcp_stream_end(client->stream, TCP_END_REFUSED, why);
    tcp_stream_end_call(&client->set);
}

static void connect_ready(struct poll_source *source, uint32_t events)
{
    struct tcp_stream *stream = (struct tcp_stream *)source;
    struct tcp_client *client = (struct tcp_client *)stream->set;
    CHECK_MAGIC(client, CLIENT_MAGIC);
    int error_number = 0;
    socklen_t bytes = sizeof error_number;
    if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error_number, &bytes) != 0)
        error_number = errno;
    if (error_number == 0 && ((events & EPOLLOUT) == 0 || is_connected_to_itself(source->fd)))
        error_number = ECONNREFUSED;
    if (error_number != 0) {
        fail_try(client, strerror(error_number));
        return;
    }
    client->retry_ns = RETRY_FIRST_NS;
    client->due_ns = CLOCK_NEVER_NS;
    struct error error = {0};
    CHECK(tcp_stream_start(stream, &error) == STATUS_OK); /* the poller knows the descriptor already */
}

/* Makes client->stream. Returns 0: on its way; else the errno of a try that failed at once. */
static int start_try(struct tcp_client *client)
{
    const struct address *address = &client->address;
    int fd = socket_open(address, SOCK_STREAM);
    int error_number = fd < 0 ? errno : 0;
    struct tcp_stream *stream =
        tcp_stream_new(&client->set, fd, &address->socket_address, address->socket_address_bytes);
    client->stream = stream;
    if (fd < 0)
        return error_number;
    if (connect(fd, (const struct sockaddr *)&address->socket_address, address->socket_address_bytes) != 0 &&
        errno != EINPROGRESS && errno != EINTR)
        return errno;
    stream->source.ready = connect_ready;
    struct error error = {0};
    if (poller_add(client->set.poller, &stream->source, EPOLLOUT, &error) != STATUS_OK)
        return ENOMEM;
    stream->polled = true;
    stream->events = EPOLLOUT;
    return 0;
}

enum status tcp_client_open(struct tcp_client **client, const struct address *address, struct poller *poller,
                            const struct tcp_limits *limits, const struct tcp_handlers *handlers, struct error *error)
{
    (void)error;
    struct tcp_client *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->magic = CLIENT_MAGIC;
    made->address = *address;
    made->retry_ns = RETRY_FIRST_NS;
    made->due_ns = CLOCK_NEVER_NS;
    tcp_stream_set_init(&made->set, poller, limits, handlers, tcp_input_ready);
    made->set.ended = stream_ended;
    made->failed_errno = start_try(made);
    *client = made;
    return STATUS_OK;
}

void tcp_client_close(struct tcp_client **client)
{
    if (*client == NULL)
        return;
    CHECK_MAGIC(*client, CLIENT_MAGIC);
    struct tcp_stream *stream = (*client)->stream;
    if (stream != NULL && stream->state == TCP_STREAM_CONNECTING)
        tcp_stream_destroy(stream);
    tcp_stream_set_clear(&(*client)->set);
    (*client)->magic = 0;
    free(*client);
    *client = NULL;
}

struct tcp_stream *tcp_client_stream(struct tcp_client *client)
{
    CHECK_MAGIC(client, CLIENT_MAGIC);
    return client->stream != NULL && client->stream->state == TCP_STREAM_OPEN ? client->stream : NULL;
}

void tcp_client_flush(struct tcp_client *client)
{
    CHECK_MAGIC(client, CLIENT_MAGIC);
    tcp_stream_set_flush(&client->set);
}

static bool is_due(struct tcp_client *client, int64_t now_ns, int64_t wait_ns)
{
    if (client->due_ns == CLOCK_NEVER_NS)
        client->due_ns = now_ns + wait_ns;
    return now_ns >= client->due_ns;
}

int64_t tcp_client_step(struct tcp_client *client, int64_t now_ns)
{
    CHECK_MAGIC(client, CLIENT_MAGIC);
    if (client->failed_errno != 0)
        fail_try(client, strerror(client->failed_errno));
    if (client->stream != NULL) {
        if (client->stream->state != TCP_STREAM_CONNECTING)
            return CLOCK_NEVER_NS;
        if (is_due(client, now_ns, TRY_NS))
            fail_try(client, "no answer in time");
    }
    if (client->stream == NULL && is_due(client, now_ns, client->retry_ns)) {
        client->retry_ns = client->retry_ns * 2 < RETRY_MAX_NS ? client->retry_ns * 2 : RETRY_MAX_NS;
        client->due_ns = CLOCK_NEVER_NS;
        int error_number = start_try(client);
        if (error_number != 0)
            fail_try(client, strerror(error_number));
        (void)is_due(client, now_ns, error_number != 0 ? client->retry_ns : TRY_NS);
    }
    return client->due_ns;
}
