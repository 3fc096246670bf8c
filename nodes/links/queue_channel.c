#include "nodes/links/queue_channel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "net/tcp.h"
#include "net/udp.h"

enum channel_state {
    CHANNEL_UP,
    CHANNEL_DOWN,    /* refused; next try at try_ns */
    CHANNEL_PROBING, /* one command may go, or has gone, to see; up if nothing says no until try_ns */
};

struct queue_channel {
    struct poll_source source; /* first: a source is its channel */
    struct node *node;
    const struct address *address;
    struct queue_channel_handlers handlers;
    struct poller *poller;
    struct udp_socket *udp;
    struct tcp_client *tcp;
    enum channel_state state;
    bool told_down; /* the log's last word is that it is not there */
    bool probe_sent;
    bool unsent; /* the kernel's buffer was full */
    int64_t try_ns;
    int64_t backoff_ns;
    int64_t now_ns;
};

static const int64_t backoff_min_ns = 10 * NS_PER_MS;
static const int64_t backoff_max_ns = NS_PER_S;
/* How long after a probe "connection refused" would have come back. */
static const int64_t probe_wait_ns = 50 * NS_PER_MS;
enum { CHANNEL_UNSENT_BYTES_MAX = 1 << 20 };

static void tell(struct queue_channel *channel, bool there, const char *why)
{
    if (channel->told_down != there)
        return;
    channel->told_down = !there;
    if (there)
        log_line(channel->node->log, LOG_INFO, "%s: there again", channel->address->text);
    else
        log_line(channel->node->log, LOG_WARN, "%s: %s; trying again until it is there", channel->address->text, why);
    log_flush(channel->node->log);
}

/* ---- UDP ---- */

static void go_up(struct queue_channel *channel)
{
    channel->state = CHANNEL_UP;
    channel->backoff_ns = backoff_min_ns;
    tell(channel, true, "");
}

static void refused(struct queue_channel *channel)
{
    udp_discard(channel->udp);
    channel->unsent = false;
    channel->state = CHANNEL_DOWN;
    channel->try_ns = channel->now_ns + channel->backoff_ns;
    channel->backoff_ns = channel->backoff_ns * 2 < backoff_max_ns ? channel->backoff_ns * 2 : backoff_max_ns;
    tell(channel, false, "connection refused");
    channel->handlers.broken(channel->handlers.context, true);
}

static void take_datagram(void *context, const void *data, size_t length, const struct udp_peer *peer)
{
    (void)peer;
    struct queue_channel *channel = context;
    const void *text;
    size_t text_length;
    if (lhhttt_read_datagram(data, length, &text, &text_length) != STATUS_OK)
        return;
    if (channel->state != CHANNEL_UP)
        go_up(channel);
    channel->handlers.reply(channel->handlers.context, text, text_length);
}

/* Takes in what has come. A refusal is reported before replies that came earlier, so it is believed only when those are
 * taken. */
static void receive(struct queue_channel *channel, bool was_refused)
{
    struct error error = {0};
    enum status status;
    size_t count;
    do {
        count = 0;
        status = udp_receive(channel->udp, take_datagram, channel, &count, &error);
        was_refused = was_refused || status == STATUS_CLOSED;
    } while (status == STATUS_CLOSED || (status == STATUS_OK && count >= UDP_BATCH_COUNT));
    if (was_refused)
        refused(channel);
}

static void datagrams_ready(struct poll_source *source, uint32_t events)
{
    (void)events;
    struct queue_channel *channel = (struct queue_channel *)(void *)source;
    channel->now_ns = clock_monotonic_ns();
    receive(channel, false);
}

static enum status open_udp(struct queue_channel *channel, struct error *error)
{
    enum status status = udp_open_connected(&channel->udp, channel->address, error);
    if (status != STATUS_OK)
        return status;
    channel->source = (struct poll_source){.fd = udp_fd(channel->udp), .ready = datagrams_ready};
    status = poller_add(channel->poller, &channel->source, EPOLLIN, error);
    if (status != STATUS_OK)
        udp_close(&channel->udp);
    return status;
}

static int64_t step_udp(struct queue_channel *channel)
{
    if (channel->state == CHANNEL_UP)
        return channel->unsent ? channel->now_ns + NS_PER_MS / 10 : CLOCK_NEVER_NS;
    if (channel->now_ns < channel->try_ns)
        return channel->try_ns;
    if (channel->state == CHANNEL_DOWN) {
        channel->state = CHANNEL_PROBING;
        channel->probe_sent = false;
        return CLOCK_NEVER_NS;
    }
    if (channel->probe_sent)
        go_up(channel);
    return CLOCK_NEVER_NS;
}

/* ---- TCP ---- */

static void stream_opened(void *context, struct tcp_stream *stream)
{
    (void)stream;
    tell(context, true, "");
}

static void stream_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    (void)stream;
    struct queue_channel *channel = context;
    channel->handlers.reply(channel->handlers.context, text, length);
}

static void stream_closed(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    (void)stream;
    struct queue_channel *channel = context;
    if (end == TCP_END_LOCAL)
        return;
    tell(channel, false, why);
    channel->handlers.broken(channel->handlers.context, false);
}

static enum status open_tcp(struct queue_channel *channel, uint64_t message_bytes_max, struct error *error)
{
    struct tcp_limits limits = {.frame_bytes_max = message_bytes_max, .unsent_bytes_max = CHANNEL_UNSENT_BYTES_MAX};
    struct tcp_handlers handlers = {
        .opened = stream_opened, .frame = stream_frame, .closed = stream_closed, .context = channel};
    return tcp_client_open(&channel->tcp, channel->address, channel->poller, &limits, &handlers, error);
}

/* ---- both ---- */

enum status queue_channel_open(struct queue_channel **channel_pointer, struct node *node, const struct address *address,
                               uint64_t message_bytes_max, const struct queue_channel_handlers *handlers,
                               struct error *error)
{
    struct queue_channel *channel = calloc(1, sizeof *channel);
    CHECK(channel != NULL);
    *channel_pointer = channel;
    channel->node = node;
    channel->address = address;
    channel->handlers = *handlers;
    channel->backoff_ns = backoff_min_ns;
    enum status status = node_poller(node, &channel->poller, error);
    if (status != STATUS_OK || node->rehearsal)
        return status;
    return address->scheme == ADDRESS_TCP ? open_tcp(channel, message_bytes_max, error) : open_udp(channel, error);
}

void queue_channel_close(struct queue_channel **channel_pointer)
{
    struct queue_channel *channel = *channel_pointer;
    if (channel == NULL)
        return;
    if (channel->udp != NULL)
        poller_remove(channel->poller, &channel->source);
    udp_close(&channel->udp);
    tcp_client_close(&channel->tcp);
    free(channel);
    *channel_pointer = NULL;
}

bool queue_channel_can_send(const struct queue_channel *channel)
{
    if (channel->tcp != NULL) {
        struct tcp_stream *stream = tcp_client_stream(channel->tcp);
        return stream != NULL && tcp_unsent_bytes(stream) < CHANNEL_UNSENT_BYTES_MAX;
    }
    if (channel->state == CHANNEL_PROBING)
        return !channel->probe_sent;
    return channel->state == CHANNEL_UP && !channel->unsent;
}

enum status queue_channel_send(struct queue_channel *channel, const char *verb, const void *body, size_t body_length)
{
    size_t verb_length = strlen(verb);
    if (channel->tcp != NULL) {
        tcp_send(tcp_client_stream(channel->tcp), verb, verb_length, body, body_length);
        return STATUS_OK;
    }
    char head[LHHTTT_HEADER_BYTES_MAX + 8];
    size_t header_length = lhhttt_write_header(verb_length + body_length, head);
    CHECK(verb_length <= 8);
    memcpy(head + header_length, verb, verb_length);
    enum status status = udp_send(channel->udp, NULL, head, header_length + verb_length, body, body_length);
    if (status == STATUS_OK && channel->state == CHANNEL_PROBING) {
        channel->probe_sent = true;
        channel->try_ns = channel->now_ns + probe_wait_ns;
    }
    return status;
}

void queue_channel_flush(struct queue_channel *channel, int64_t now_ns)
{
    channel->now_ns = now_ns;
    if (channel->tcp != NULL) {
        tcp_client_flush(channel->tcp);
    } else if (channel->udp != NULL && udp_gathered_count(channel->udp) > 0) {
        enum status status = udp_flush(channel->udp);
        channel->unsent = status == STATUS_AGAIN;
        if (status == STATUS_CLOSED)
            receive(channel, true);
    }
}

int64_t queue_channel_step(struct queue_channel *channel, int64_t now_ns)
{
    channel->now_ns = now_ns;
    if (channel->tcp != NULL)
        return tcp_client_step(channel->tcp, now_ns);
    queue_channel_flush(channel, now_ns);
    return step_udp(channel);
}
