#include "nodes/metrics/metrics_output.h"

#include "engine/check.h"
#include "engine/clock.h"

/* Of reports that a TCP peer does not read. */
enum { UNSENT_BYTES_MAX = 1 << 20 };

static void set_state(struct metrics_output *output, enum metrics_output_state state, const char *why)
{
    if (output->state == state)
        return;
    if (state == METRICS_OUTPUT_UNHEARD)
        log_line(output->node->log, LOG_WARN, "nobody takes metrics at %s: %s", output->port->address->text, why);
    else if (output->state == METRICS_OUTPUT_UNHEARD)
        log_line(output->node->log, LOG_INFO, "metrics are taken at %s again", output->port->address->text);
    output->state = state;
}

/* ---- TCP ---- */

static void connected(void *context, struct tcp_stream *stream)
{
    (void)stream;
    set_state(context, METRICS_OUTPUT_HEARD, "");
}

static void ignore_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    (void)context;
    (void)stream;
    (void)text;
    (void)length;
}

static void disconnected(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    (void)stream;
    if (end != TCP_END_LOCAL)
        set_state(context, METRICS_OUTPUT_UNHEARD, why);
}

static enum status open_tcp(struct metrics_output *output, struct error *error)
{
    struct poller *poller;
    enum status status = node_poller(output->node, &poller, error);
    if (status != STATUS_OK)
        return status;
    struct tcp_limits limits = {.frame_bytes_max = 4096, .unsent_bytes_max = UNSENT_BYTES_MAX};
    struct tcp_handlers handlers = {
        .opened = connected, .frame = ignore_frame, .closed = disconnected, .context = output};
    return tcp_client_open(&output->tcp, output->port->address, poller, &limits, &handlers, error);
}

static bool send_tcp(struct metrics_output *output, const struct text *report)
{
    struct tcp_stream *stream = tcp_client_stream(output->tcp);
    if (stream == NULL || tcp_unsent_bytes(stream) > UNSENT_BYTES_MAX)
        return false;
    tcp_send(stream, report->data, report->length, NULL, 0);
    tcp_client_flush(output->tcp);
    return true;
}

/* ---- UDP ---- */

static void ignore_datagram(void *context, const void *data, size_t length, const struct udp_peer *peer)
{
    (void)context;
    (void)data;
    (void)length;
    (void)peer;
}

/* What became of the last report: only with the next one, or at the end, is it known that nobody listened. Asking also
 * takes the error from the socket, which would otherwise cost the next datagram. */
static void ask_udp(struct metrics_output *output)
{
    struct error error = {0};
    size_t count = 0;
    enum status status = udp_receive(output->udp, ignore_datagram, NULL, &count, &error);
    if (output->unconfirmed_count == 0)
        return;
    if (status == STATUS_OK) {
        set_state(output, METRICS_OUTPUT_HEARD, "");
    } else {
        output->unheard_count++;
        set_state(output, METRICS_OUTPUT_UNHEARD, status == STATUS_CLOSED ? "nobody listens there" : error.text);
    }
    output->unconfirmed_count = 0;
}

static bool send_udp(struct metrics_output *output, const struct text *report)
{
    ask_udp(output);
    if (udp_send(output->udp, NULL, report->data, report->length, NULL, 0) != STATUS_OK)
        return false;
    uint64_t failed = udp_counts(output->udp)->send_failed_count;
    enum status status = udp_flush(output->udp);
    if (status == STATUS_AGAIN) { /* the kernel's buffer is full: nobody waits for it to empty */
        udp_discard(output->udp);
        return false;
    }
    if (udp_counts(output->udp)->send_failed_count > failed) {
        set_state(output, METRICS_OUTPUT_UNHEARD, "the system refuses to send there");
        return false;
    }
    output->unconfirmed_count++;
    return true;
}

/* ---- a ring ---- */

static bool send_ring(struct metrics_output *output, const struct text *report, int64_t now_ns)
{
    struct edge *edge = output->port->edge;
    if (!edge_has_room(edge))
        return false;
    edge_emit(edge, report->data, (uint32_t)report->length, now_ns);
    (void)edge_flush(edge); /* what stays behind goes with the next step */
    return true;
}

/* ---- all ---- */

enum status metrics_output_open(struct metrics_output *output, struct node *node, const struct port *port,
                                struct error *error)
{
    output->node = node;
    output->port = port;
    if (port->edge != NULL || node->rehearsal)
        return STATUS_OK;
    CHECK(port->address->scheme != ADDRESS_NAME);
    if (port->address->scheme == ADDRESS_TCP)
        return open_tcp(output, error);
    return udp_open_connected(&output->udp, port->address, error);
}

bool metrics_output_send(struct metrics_output *output, const struct text *report, int64_t now_ns)
{
    if (text_failed(report))
        return false;
    if (output->tcp != NULL)
        return send_tcp(output, report);
    if (output->udp != NULL)
        return send_udp(output, report);
    return send_ring(output, report, now_ns);
}

int64_t metrics_output_step(struct metrics_output *output, int64_t now_ns)
{
    if (output->tcp != NULL) {
        tcp_client_flush(output->tcp);
        return tcp_client_step(output->tcp, now_ns);
    }
    if (output->udp == NULL)
        (void)edge_flush(output->port->edge);
    return CLOCK_NEVER_NS;
}

void metrics_output_close(struct metrics_output *output)
{
    tcp_client_close(&output->tcp);
    udp_close(&output->udp);
}
