#include "nodes/links/outlet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "net/udp.h"
#include "nodes/links/bare_sender.h"
#include "nodes/links/outbox.h"
#include "nodes/links/remote_put.h"
#include "nodes/links/remote_putid.h"

struct outlet {
    struct edge *edge; /* exactly one of the four is set, but in a rehearsal */
    struct remote_put *put;
    struct remote_putid *putid;
    struct bare_sender *bare;
    struct outbox *outbox; /* before the putid, the put or the bare; NULL: none */
    struct node *node;
    const struct address *address;
    uint64_t emitted_count; /* but for rings */
    uint64_t sent_count;    /* to the putid, or from the outbox */
    uint64_t id_head;       /* of ids that are not the outbox's: random */
    uint64_t too_long_count;
};

/* What an id and a frame add to a message at most. */
enum { ENVELOPE_BYTES_MAX = LHHTTT_HEADER_BYTES_MAX + 8 + STORE_ID_BYTES_MAX };

static enum status open_sender(struct outlet *outlet, const struct port *port, bool confirms, struct error *error)
{
    if (port->kind == LINK_PUT && confirms) {
        if (getrandom(&outlet->id_head, sizeof outlet->id_head, 0) != (ssize_t)sizeof outlet->id_head)
            return error_set(error, STATUS_SYSTEM, "the system gives no random bytes");
        return remote_putid_open(&outlet->putid, outlet->node, port->address, error);
    }
    if (port->kind == LINK_PUT)
        return remote_put_open(&outlet->put, outlet->node, port->address, error);
    return bare_sender_open(&outlet->bare, outlet->node, port->address, error);
}

enum status outlet_open(struct outlet **outlet_pointer, struct node *node, const struct port *port,
                        const struct outlet_promise *promise, struct error *error)
{
    struct outlet *outlet = calloc(1, sizeof *outlet);
    CHECK(outlet != NULL);
    *outlet_pointer = outlet;
    outlet->edge = port->edge;
    outlet->node = node;
    outlet->address = port->address;
    if (port->edge != NULL)
        return STATUS_OK;
    enum status status = open_sender(outlet, port, promise != NULL && promise->confirms, error);
    if (status == STATUS_OK && promise != NULL && promise->outbox_owner != NULL)
        status = outbox_open(&outlet->outbox, node, port->address->text, promise->outbox_owner, error);
    return status;
}

void outlet_close(struct outlet **outlet_pointer)
{
    struct outlet *outlet = *outlet_pointer;
    if (outlet == NULL)
        return;
    outbox_close(&outlet->outbox);
    remote_put_close(&outlet->put);
    remote_putid_close(&outlet->putid);
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
    if (outlet->putid != NULL)
        return remote_putid_has_room(outlet->putid);
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

/* False: longer than a datagram holds. */
static bool emit_with_id(struct outlet *outlet, const void *text, uint32_t length)
{
    char id[STORE_ID_BYTES_MAX];
    size_t id_length = outlet->outbox != NULL ? outbox_write_id(outlet->outbox, id)
                                              : (size_t)snprintf(id, sizeof id, "%016" PRIx64 ".%" PRIx64,
                                                                 outlet->id_head, outlet->sent_count);
    bool taken = remote_putid_emit(outlet->putid, id, id_length, text, length);
    outlet->sent_count += taken;
    return taken;
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
    else if (outlet->putid != NULL ? !emit_with_id(outlet, text, length)
             : outlet->put != NULL ? !remote_put_emit(outlet->put, text, length)
                                   : !bare_sender_emit(outlet->bare, text, length))
        drop_too_long(outlet, length);
}

/* Given to the sender and not taken, nor before one that is not. */
static uint64_t sender_held_count(const struct outlet *outlet)
{
    if (outlet->putid != NULL)
        return outlet->sent_count - remote_putid_confirmed_count(outlet->putid);
    return outlet->put != NULL ? remote_put_held_count(outlet->put) : bare_sender_held_count(outlet->bare);
}

static void send_from_outbox(struct outlet *outlet)
{
    const struct message *message;
    while (sender_has_room(outlet) && (message = outbox_peek(outlet->outbox)) != NULL) {
        bool fits = outlet->putid != NULL ? emit_with_id(outlet, message->text, message->length)
                    : outlet->put != NULL ? remote_put_emit(outlet->put, message->text, message->length)
                                          : bare_sender_emit(outlet->bare, message->text, message->length);
        CHECK(fits); /* see emit_to_outbox */
        outlet->sent_count += outlet->putid == NULL;
        outbox_pop(outlet->outbox);
    }
}

/* A queue that knows no ids gets plain PUTs from now on. It has got nothing yet. Returns when to come back. */
static int64_t fall_back(struct outlet *outlet, int64_t now_ns)
{
    struct error error = {0};
    if (remote_put_open(&outlet->put, outlet->node, outlet->address, &error) == STATUS_OK) {
        remote_putid_close(&outlet->putid);
        return now_ns;
    }
    log_line(outlet->node->log, LOG_ERROR, "%s", error.text);
    remote_put_close(&outlet->put);
    return now_ns + NS_PER_S;
}

static int64_t step_putid(struct outlet *outlet, int64_t now_ns)
{
    int64_t when_ns = remote_putid_step(outlet->putid, now_ns);
    bool falls_back = remote_putid_kind(outlet->putid) == QUEUE_KIND_PROTOTYPE && outlet->sent_count == 0;
    return falls_back ? fall_back(outlet, now_ns) : when_ns;
}

int64_t outlet_flush(struct outlet *outlet, int64_t now_ns)
{
    if (outlet->edge != NULL) {
        edge_flush(outlet->edge);
        return CLOCK_NEVER_NS;
    }
    if (outlet->outbox != NULL)
        send_from_outbox(outlet);
    int64_t when_ns = outlet->putid != NULL ? step_putid(outlet, now_ns)
                      : outlet->put != NULL ? remote_put_step(outlet->put, now_ns)
                                            : bare_sender_step(outlet->bare, now_ns);
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
    if (outlet->putid != NULL) {
        struct remote_putid_counts putid = remote_putid_counts(outlet->putid);
        sum->lost_count += putid.rejected_count;
        sum->resent_count += putid.resent_count;
    } else if (outlet->put != NULL) {
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
