#include "nodes/links/bare_sender.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/message_store.h"
#include "net/tcp.h"
#include "net/udp.h"

struct bare_sender {
    struct poll_source source; /* first: a source is its sender */
    struct node *node;
    const struct address *address;
    struct poller *poller;
    struct udp_socket *udp;
    struct tcp_client *tcp;
    struct message_store waiting; /* TCP: while there is no connection, or it is slow */
    struct message_store sending; /* TCP: not wholly in the kernel's hands; time_ns: where in the stream each ends */
    uint64_t stream_bytes;        /* given to the present stream */
    bool told_absent;             /* the log's last word is that nobody listens */
    bool refused;                 /* since the last step */
    bool unsent;                  /* the kernel's buffer was full */
    uint64_t lost_count;
};

enum { TCP_UNSENT_BYTES_MAX = 1 << 20, TCP_WAITING_COUNT_MAX = 1024, TCP_WAITING_BYTES_MAX = 16 << 20 };
static const int64_t resend_interval_ns = 100 * NS_PER_US;

static void tell(struct bare_sender *sender, bool there, const char *why)
{
    if (sender->told_absent != there)
        return;
    sender->told_absent = !there;
    if (there)
        log_line(sender->node->log, LOG_INFO, "%s: there again", sender->address->text);
    else
        log_line(sender->node->log, LOG_WARN, "%s: %s%s", sender->address->text, why,
                 sender->udp != NULL ? "; messages to it are lost until somebody listens" : "; trying again");
}

/* ---- UDP ---- */

static void take_datagram(void *context, const void *data, size_t length, const struct udp_peer *peer)
{
    (void)context, (void)data, (void)length, (void)peer; /* a sink says nothing */
}

static void datagrams_ready(struct poll_source *source, uint32_t events)
{
    (void)events;
    struct bare_sender *sender = (struct bare_sender *)(void *)source;
    struct error error = {0};
    size_t count = 0;
    if (udp_receive(sender->udp, take_datagram, sender, &count, &error) == STATUS_CLOSED) {
        sender->refused = true;
        sender->lost_count++;
    }
}

static enum status open_udp(struct bare_sender *sender, struct error *error)
{
    enum status status = udp_open_connected(&sender->udp, sender->address, error);
    if (status != STATUS_OK)
        return status;
    sender->source = (struct poll_source){.fd = udp_fd(sender->udp), .ready = datagrams_ready};
    status = poller_add(sender->poller, &sender->source, EPOLLIN, error);
    if (status != STATUS_OK)
        udp_close(&sender->udp);
    return status;
}

/* The system says "refused" once for each datagram that nobody took, at the next call on the socket. */
static int64_t step_udp(struct bare_sender *sender, int64_t now_ns)
{
    enum status status = STATUS_OK;
    bool sent = udp_gathered_count(sender->udp) > 0;
    while (udp_gathered_count(sender->udp) > 0 && (status = udp_flush(sender->udp)) == STATUS_CLOSED) {
        sender->refused = true;
        sender->lost_count++;
    }
    sender->unsent = status == STATUS_AGAIN;
    if (sender->refused)
        tell(sender, false, "nobody listens");
    else if (sent && status == STATUS_OK && sender->told_absent)
        tell(sender, true, "");
    sender->refused = false;
    return sender->unsent ? now_ns + resend_interval_ns : CLOCK_NEVER_NS;
}

/* ---- TCP ---- */

static void stream_opened(void *context, struct tcp_stream *stream)
{
    (void)stream;
    tell(context, true, "");
}

static void stream_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    (void)context, (void)stream, (void)text, (void)length;
}

/* What the kernel has in full is sent. */
static void forget_sent(struct bare_sender *sender, const struct tcp_stream *stream)
{
    int64_t written = (int64_t)(sender->stream_bytes - tcp_unsent_bytes(stream));
    const struct message *message;
    while ((message = message_store_peek(&sender->sending)) != NULL && message->time_ns <= written)
        message_store_pop(&sender->sending);
}

/* A receiver cannot have taken a frame of which a part is still here: those go again, before the others. */
static void stream_closed(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    struct bare_sender *sender = context;
    if (end == TCP_END_LOCAL)
        return;
    tell(sender, false, why);
    forget_sent(sender, stream);
    sender->stream_bytes = 0;
    if (sender->sending.message_count == 0)
        return;
    const struct message *message;
    while ((message = message_store_peek(&sender->waiting)) != NULL) {
        message_store_append(&sender->sending, message->text, message->length, 0);
        message_store_pop(&sender->waiting);
    }
    struct message_store empty = sender->waiting;
    sender->waiting = sender->sending;
    sender->sending = empty;
}

static enum status open_tcp(struct bare_sender *sender, struct error *error)
{
    struct tcp_limits limits = {.frame_bytes_max = UDP_DATAGRAM_BYTES_MAX, .unsent_bytes_max = TCP_UNSENT_BYTES_MAX};
    struct tcp_handlers handlers = {
        .opened = stream_opened, .frame = stream_frame, .closed = stream_closed, .context = sender};
    return tcp_client_open(&sender->tcp, sender->address, sender->poller, &limits, &handlers, error);
}

static int64_t step_tcp(struct bare_sender *sender, int64_t now_ns)
{
    int64_t when_ns = tcp_client_step(sender->tcp, now_ns);
    struct tcp_stream *stream = tcp_client_stream(sender->tcp);
    const struct message *message;
    while (stream != NULL && tcp_unsent_bytes(stream) < TCP_UNSENT_BYTES_MAX &&
           (message = message_store_peek(&sender->waiting)) != NULL) {
        size_t unsent_bytes = tcp_unsent_bytes(stream);
        tcp_send(stream, message->text, message->length, NULL, 0);
        sender->stream_bytes += tcp_unsent_bytes(stream) - unsent_bytes;
        message_store_append(&sender->sending, message->text, message->length, (int64_t)sender->stream_bytes);
        message_store_pop(&sender->waiting);
    }
    tcp_client_flush(sender->tcp);
    if ((stream = tcp_client_stream(sender->tcp)) != NULL)
        forget_sent(sender, stream);
    return when_ns;
}

/* ---- both ---- */

enum status bare_sender_open(struct bare_sender **sender_pointer, struct node *node, const struct address *address,
                             struct error *error)
{
    struct bare_sender *sender = calloc(1, sizeof *sender);
    CHECK(sender != NULL);
    *sender_pointer = sender;
    sender->node = node;
    sender->address = address;
    enum status status = node_poller(node, &sender->poller, error);
    if (status != STATUS_OK || node->rehearsal)
        return status;
    return address->scheme == ADDRESS_TCP ? open_tcp(sender, error) : open_udp(sender, error);
}

void bare_sender_close(struct bare_sender **sender_pointer)
{
    struct bare_sender *sender = *sender_pointer;
    if (sender == NULL)
        return;
    if (sender->udp != NULL)
        poller_remove(sender->poller, &sender->source);
    udp_close(&sender->udp);
    tcp_client_close(&sender->tcp);
    message_store_free(&sender->waiting);
    message_store_free(&sender->sending);
    free(sender);
    *sender_pointer = NULL;
}

bool bare_sender_has_room(const struct bare_sender *sender)
{
    if (sender->tcp != NULL)
        return sender->waiting.message_count < TCP_WAITING_COUNT_MAX &&
               sender->waiting.record_bytes < TCP_WAITING_BYTES_MAX;
    return !sender->unsent;
}

bool bare_sender_emit(struct bare_sender *sender, const void *text, uint32_t length)
{
    if (sender->tcp != NULL) {
        message_store_append(&sender->waiting, text, length, 0);
        return true;
    }
    return udp_send(sender->udp, NULL, NULL, 0, text, length) == STATUS_OK;
}

int64_t bare_sender_step(struct bare_sender *sender, int64_t now_ns)
{
    return sender->tcp != NULL ? step_tcp(sender, now_ns) : step_udp(sender, now_ns);
}

uint64_t bare_sender_held_count(const struct bare_sender *sender)
{
    return sender->waiting.message_count + sender->sending.message_count +
           (sender->udp != NULL ? udp_gathered_count(sender->udp) : 0);
}

uint64_t bare_sender_lost_count(const struct bare_sender *sender)
{
    return sender->lost_count + (sender->udp != NULL ? udp_counts(sender->udp)->send_failed_count : 0);
}
