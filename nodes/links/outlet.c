#include "nodes/links/outlet.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "net/udp.h"
#include "nodes/links/bare_sender.h"
#include "nodes/links/outbox.h"
#include "nodes/links/remote_put.h"

struct outlet {
    struct edge *edge; /* exactly one of the three is set, but in a rehearsal */
    struct remote_put *put;
    struct bare_sender *bare;
    struct outbox *outbox; /* before the put or the bare; NULL: none */
    struct node *node;
    const struct address *address;
    uint64_t emitted_count; /* but for rings */
    uint64_t sent_count;    /* from the outbox to the put or the bare */
    uint64_t too_long_count;
};

/* What an id and a frame add to a message at most. */
enum { ENVELOPE_BYTES_MAX = LHHTTT_HEADER_BYTES_MAX + 8 + STORE_ID_BYTES_MAX };

static enum status open_sender(struct outlet *outlet, const struct port *port, struct error *error)
{
    if (port->kind == LINK_PUT)
        return remote_put_open(&outlet->put, outlet->node, port->address, error);
    return bare_sender_open(&outlet->bare, outlet->node, port->address, error);
}

enum status outlet_open(struct outlet **outlet_pointer, struct node *node, const struct port *port,
                        const char *outbox_name, struct error *error)
{
    struct outlet *outlet = calloc(1, sizeof *outlet);
    CHECK(outlet != NULL);
    *outlet_pointer = outlet;
    outlet->edge = port->edge;
    outlet->node = node;
    outlet->address = port->address;
    if (port->edge != NULL)
        return STATUS_OK;
    enum status status = open_sender(outlet, port, error);
    if (status == STATUS_OK && outbox_name != NULL)
        status = outbox_open(&outlet->outbox, node, outbox_name, error);
    return status;
}

void outlet_close(struct outlet **outlet_pointer)
{
    struct outlet *outlet = *outlet_pointer;
    if (outlet == NULL)
        return;
    outbox_close(&outlet->outbox);
    remote_put_close(&outlet->put);
    bare_sender_close(&outlet->bare);
    free(outlet);
    *outlet_pointer = NULL;
}

struct edge *outlet_edge(const struct outlet *outlet)
{
    return outlet->edge;
}

static bool sender_has_room(const struct outlet *outlet)
{
    return outlet->put != NULL ? remote_put_has_room(outlet->put) : bare_sender_has_room(outlet->bare);
}

bool outlet_has_room(struct outlet *outlet)
{
    if (outlet->edge != NULL)
        return edge_has_room(outlet->edge);
    return outlet->outbox != NULL ? outbox_has_room(outlet->outbox) : sender_has_room(outlet);
}

/* Each is counted; the first is named, with the remedy. */
static void drop_too_long(struct outlet *outlet, uint32_t length)
{
    if (outlet->too_long_count++ == 0)
        log_line(outlet->node->log, LOG_WARN,
                 "a message of %lu bytes is too long for a datagram to %s and is dropped; a "
                 "tcp:// address takes it",
                 (unsigned long)length, outlet->address->text);
}

static void emit_to_outbox(struct outlet *outlet, const void *text, uint32_t length, int64_t time_ns)
{
    if (outlet->address->scheme != ADDRESS_TCP && length > UDP_DATAGRAM_BYTES_MAX - ENVELOPE_BYTES_MAX)
        drop_too_long(outlet, length);
    else
        outbox_append(outlet->outbox, text, length, time_ns);
}

void outlet_emit(struct outlet *outlet, const void *text, uint32_t length, int64_t time_ns)
{
    if (outlet->edge != NULL) {
        edge_emit(outlet->edge, text, length, time_ns);
        return;
    }
    outlet->emitted_count++;
    if (outlet->outbox != NULL)
        emit_to_outbox(outlet, text, length, time_ns);
    else if (outlet->put != NULL ? !remote_put_emit(outlet->put, text, length)
                                 : !bare_sender_emit(outlet->bare, text, length))
        drop_too_long(outlet, length);
}

static uint64_t sender_held_count(const struct outlet *outlet)
{
    return outlet->put != NULL ? remote_put_held_count(outlet->put) : bare_sender_held_count(outlet->bare);
}

static void send_from_outbox(struct outlet *outlet)
{
    const struct message *message;
    while (sender_has_room(outlet) && (message = outbox_peek(outlet->outbox)) != NULL) {
        bool fits = outlet->put != NULL ? remote_put_emit(outlet->put, message->text, message->length)
                                        : bare_sender_emit(outlet->bare, message->text, message->length);
        CHECK(fits); /* see emit_to_outbox */
        outbox_pop(outlet->outbox);
        outlet->sent_count++;
    }
}

int64_t outlet_flush(struct outlet *outlet, int64_t now_ns)
{
    if (outlet->edge != NULL) {
        edge_flush(outlet->edge);
        return CLOCK_NEVER_NS;
    }
    if (outlet->outbox != NULL)
        send_from_outbox(outlet);
    int64_t when_ns =
        outlet->put != NULL ? remote_put_step(outlet->put, now_ns) : bare_sender_step(outlet->bare, now_ns);
    if (outlet->outbox != NULL)
        outbox_confirm(outlet->outbox, outlet->sent_count - sender_held_count(outlet));
    return when_ns;
}

uint64_t outlet_emitted_count(const struct outlet *outlet)
{
    return outlet->emitted_count;
}

uint64_t outlet_taken_count(const struct outlet *outlet)
{
    return outlet->edge != NULL ? 0 : outlet->emitted_count - sender_held_count(outlet);
}

static void add_counts(const struct outlet *outlet, struct outlet_counts *sum)
{
    sum->lost_count += outlet->too_long_count;
    if (outlet->outbox != NULL) {
        sum->held_count += outbox_held_count(outlet->outbox);
        sum->kept_count += outbox_held_count(outlet->outbox);
    } else if (outlet->edge == NULL) {
        sum->held_count += sender_held_count(outlet);
    }
    if (outlet->put != NULL) {
        struct remote_put_counts put = remote_put_counts(outlet->put);
        sum->lost_count += put.rejected_count;
        sum->unconfirmed_count += put.unconfirmed_count;
        sum->resent_count += put.full_count;
    } else if (outlet->bare != NULL) {
        sum->lost_count += bare_sender_lost_count(outlet->bare);
    }
}

struct outlet_counts outlets_counts(struct outlet *const *outlets, size_t count)
{
    struct outlet_counts sum = {0};
    for (size_t i = 0; i < count; i++)
        add_counts(outlets[i], &sum);
    return sum;
}

void outlets_show_out(struct outlet *const *outlets, size_t count, uint64_t emitted_count, struct node_stats *stats)
{
    struct outlet_counts counts = outlets_counts(outlets, count);
    uint64_t not_out = counts.held_count + counts.lost_count;
    if (emitted_count > not_out && emitted_count - not_out > stats_get(&stats->out_count))
        stats_set(&stats->out_count, emitted_count - not_out);
}
