#include "nodes/links/remote_put.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "net/udp.h"
#include "nodes/links/queue_channel.h"
#include "nodes/links/queue_command.h"

/* Unanswered at a time. Over UDP what a queue's socket holds by default (some 200 KiB with the kernel's overhead). */
static const uint64_t udp_window_count = 64;
static const uint64_t udp_window_bytes = 64 * 1024;
static const uint64_t tcp_window_count = 1024;
static const uint64_t tcp_window_bytes = 1024 * 1024;

/* What is kept, sent or not: the windows count messages, and a message may be long. */
static const uint64_t held_bytes_max = 16 * 1024 * 1024;

static const int64_t answer_timeout_ns = 250 * NS_PER_MS;
/* Within this time of sending, "connection refused" is there. */
static const int64_t refusal_ns = 50 * NS_PER_MS;
/* So long after a message was given up its answer may still come, and must not be taken for another's. */
static const int64_t late_answer_ns = NS_PER_S;
static const int64_t full_backoff_min_ns = NS_PER_MS;
static const int64_t full_backoff_max_ns = 100 * NS_PER_MS;

/* A message that is kept until it is answered for. Slots are used again, and keep their memory if it is small. */
struct held {
    unsigned char *text;
    uint32_t capacity;
    uint32_t length;
    int64_t sent_ns;
    bool again; /* certainly not taken: goes again */
};
enum { HELD_TEXT_KEPT_BYTES = 4096 };

/*
 * Sequence numbers, first <= awaiting <= unsent <= next:
 *   [first, awaiting)  answered, kept only where `again` is set
 *   [awaiting, unsent) sent, unanswered
 *   [unsent, next)     not sent yet
 * While something is to go again nothing new is sent; when all answers are there, those messages move, in their order,
 * to the front of the unsent ones.
 */
struct remote_put {
    struct queue_channel *channel;
    bool datagrams;
    struct held *slots;  /* a circular array */
    uint64_t slot_count; /* a power of two */
    uint64_t first, awaiting, unsent, next;
    uint64_t again_count;
    uint64_t unanswered_bytes;
    uint64_t held_bytes;    /* of all texts that are kept */
    int64_t doubt_until_ns; /* late answers may come until then */
    uint64_t late_count;    /* how many */
    bool answers;           /* the queue has answered something, once */
    uint64_t window_count;  /* unanswered at a time, now: less than the most after the queue was full */
    int64_t not_before_ns;  /* the queue was full */
    int64_t full_backoff_ns;
    struct remote_put_counts counts;
};

/* ---- a full queue ---- */

static uint64_t window_count_max(const struct remote_put *put)
{
    return put->datagrams ? udp_window_count : tcp_window_count;
}

/* A message was refused. The window moves to what the queue takes at a time, so that little is sent in vain. */
static void slow_down(struct remote_put *put, int64_t now_ns)
{
    put->not_before_ns = now_ns + put->full_backoff_ns;
    if (put->again_count == 0)
        put->window_count = put->window_count > 1 ? put->window_count / 2 : 1;
}

/* Once a window, however many of it were refused: a queue that takes ten of a thousand is not waited for longer than
 * one that takes ten of eleven. */
static void lengthen_backoff(struct remote_put *put)
{
    put->full_backoff_ns *= 2;
    if (put->full_backoff_ns > full_backoff_max_ns)
        put->full_backoff_ns = full_backoff_max_ns;
}

static void speed_up(struct remote_put *put)
{
    put->full_backoff_ns = full_backoff_min_ns;
    if (put->window_count < window_count_max(put))
        put->window_count++;
}

/* ---- messages ---- */

static struct held *slot(const struct remote_put *put, uint64_t sequence)
{
    return &put->slots[sequence & (put->slot_count - 1)];
}

static void forget(struct held *held)
{
    if (held->capacity > HELD_TEXT_KEPT_BYTES) {
        free(held->text);
        *held = (struct held){0};
    }
    held->again = false;
}

/* The oldest unanswered message is answered for. */
static void settle_first(struct remote_put *put, bool again)
{
    struct held *held = slot(put, put->awaiting++);
    put->unanswered_bytes -= held->length;
    if (again) {
        held->again = true;
        put->again_count++;
    } else {
        put->held_bytes -= held->length;
        forget(held);
    }
    if (put->again_count == 0)
        put->first = put->awaiting;
}

/* When all answers are there: what goes again moves up to the unsent ones. */
static void line_up_again(struct remote_put *put)
{
    if (put->again_count == 0 || put->awaiting != put->unsent)
        return;
    uint64_t target = put->unsent;
    for (uint64_t sequence = put->unsent; sequence-- > put->first;) {
        if (!slot(put, sequence)->again)
            continue;
        struct held moved = *slot(put, sequence);
        *slot(put, sequence) = *slot(put, --target);
        *slot(put, target) = moved;
        slot(put, target)->again = false;
    }
    put->first = put->awaiting = put->unsent = target;
    put->again_count = 0;
    lengthen_backoff(put);
}

/* ---- doubt ---- */

/* Answers to messages that were given up may still come. They stand before all others; and until they are there, or
 * will not come, nothing new is sent: else a queue that was held up for a moment and is full then would be sent message
 * upon message whose refusals are not believed. */
static bool in_doubt(const struct remote_put *put, int64_t now_ns)
{
    return now_ns < put->doubt_until_ns;
}

static void end_doubt(struct remote_put *put)
{
    put->doubt_until_ns = 0;
    put->late_count = 0;
}

/* Takes the reply for a late one, if one is due. */
static bool take_late(struct remote_put *put, int64_t now_ns)
{
    if (!in_doubt(put, now_ns) || put->late_count == 0)
        return false;
    if (--put->late_count == 0 && put->awaiting == put->unsent)
        end_doubt(put);
    return true;
}

/* ---- replies ---- */

/* The n of "PUT <n> bytes"; false if the text is not that. */
static bool read_put_answer(const char *text, size_t length, uint64_t *bytes)
{
    static const char start[] = "PUT ";
    static const char end[] = " bytes";
    size_t frame = strlen(start) + strlen(end);
    if (length <= frame || memcmp(text, start, strlen(start)) != 0 ||
        memcmp(text + length - strlen(end), end, strlen(end)) != 0)
        return false;
    *bytes = 0;
    for (size_t i = strlen(start); i < length - strlen(end); i++) {
        if (text[i] < '0' || text[i] > '9' || *bytes > UINT32_MAX)
            return false;
        *bytes = *bytes * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

/* Replies come in the order of the messages, but over UDP some may be lost. The reply's length tells where one was:
 * then it is for a later message of that length, if there is one. A prototype counts code points, so a length may match
 * none. */
static void confirm(struct remote_put *put, uint64_t bytes)
{
    uint64_t match = put->awaiting;
    while (match < put->unsent && slot(put, match)->length != bytes)
        match++;
    if (match == put->unsent)
        match = put->awaiting;
    while (put->awaiting < match) {
        put->counts.unconfirmed_count++;
        settle_first(put, false);
    }
    put->counts.confirmed_count++;
    settle_first(put, false);
}

static void take_reply(void *context, const void *text, size_t length)
{
    struct remote_put *put = context;
    uint64_t bytes;
    int64_t now_ns = clock_monotonic_ns();
    put->answers = true;
    if (take_late(put, now_ns) || put->awaiting == put->unsent)
        return;
    if (read_put_answer(text, length, &bytes)) {
        speed_up(put);
        confirm(put, bytes);
    } else if (queue_answer_is_full(text, length)) {
        put->counts.full_count++;
        if (in_doubt(put, now_ns))
            return; /* perhaps the answer to one that was given up; sending this one again might double it */
        slow_down(put, now_ns);
        settle_first(put, true);
    } else {
        put->counts.rejected_count++;
        settle_first(put, false);
    }
}

/* A refusal comes back at once, so what was sent long before it went to a queue that was still there. */
static void take_break(void *context, bool refused)
{
    struct remote_put *put = context;
    int64_t now_ns = clock_monotonic_ns();
    while (put->awaiting < put->unsent) {
        bool again = refused && now_ns - slot(put, put->awaiting)->sent_ns < refusal_ns;
        put->counts.unconfirmed_count += !again;
        settle_first(put, again);
    }
    end_doubt(put); /* what has not been answered by now will not be */
}

/* ---- sending ---- */

enum status remote_put_open(struct remote_put **put_pointer, struct node *node, const struct address *address,
                            struct error *error)
{
    struct remote_put *put = calloc(1, sizeof *put);
    CHECK(put != NULL);
    *put_pointer = put;
    put->datagrams = address->scheme != ADDRESS_TCP;
    put->window_count = window_count_max(put);
    put->slot_count = 4 * window_count_max(put);
    put->slots = calloc(put->slot_count, sizeof *put->slots);
    CHECK(put->slots != NULL);
    put->full_backoff_ns = full_backoff_min_ns;
    struct queue_channel_handlers handlers = {.reply = take_reply, .broken = take_break, .context = put};
    return queue_channel_open(&put->channel, node, address, UDP_DATAGRAM_BYTES_MAX, &handlers, error);
}

void remote_put_close(struct remote_put **put_pointer)
{
    struct remote_put *put = *put_pointer;
    if (put == NULL)
        return;
    queue_channel_close(&put->channel);
    for (uint64_t i = 0; i < put->slot_count; i++)
        free(put->slots[i].text);
    free(put->slots);
    free(put);
    *put_pointer = NULL;
}

uint64_t remote_put_held_count(const struct remote_put *put)
{
    return put->next - put->awaiting + put->again_count;
}

bool remote_put_has_room(const struct remote_put *put)
{
    return put->next - put->first < put->slot_count / 2 && put->held_bytes < held_bytes_max;
}

static void grow(struct remote_put *put)
{
    struct held *slots = calloc(2 * put->slot_count, sizeof *slots);
    CHECK(slots != NULL);
    for (uint64_t sequence = put->first; sequence != put->next; sequence++) {
        slots[sequence & (2 * put->slot_count - 1)] = *slot(put, sequence);
        *slot(put, sequence) = (struct held){0};
    }
    for (uint64_t i = 0; i < put->slot_count; i++)
        free(put->slots[i].text);
    free(put->slots);
    put->slots = slots;
    put->slot_count *= 2;
}

bool remote_put_emit(struct remote_put *put, const void *text, uint32_t length)
{
    char header[LHHTTT_HEADER_BYTES_MAX];
    uint64_t framed = strlen("PUT:") + (uint64_t)length;
    if (put->datagrams && lhhttt_write_header(framed, header) + framed > UDP_DATAGRAM_BYTES_MAX)
        return false;
    if (put->next - put->first == put->slot_count)
        grow(put);
    struct held *held = slot(put, put->next);
    if (held->capacity < length) {
        free(held->text);
        held->text = malloc(length);
        CHECK(held->text != NULL);
        held->capacity = length;
    }
    if (length > 0)
        memcpy(held->text, text, length);
    held->length = length;
    put->held_bytes += length;
    put->next++;
    return true;
}

/* Not for a queue that has never answered anything: it may be one that does not. */
static bool waits_for_late(const struct remote_put *put, int64_t now_ns)
{
    return put->answers && in_doubt(put, now_ns);
}

static bool may_send(const struct remote_put *put, int64_t now_ns)
{
    if (put->unsent == put->next || put->again_count > 0 || now_ns < put->not_before_ns ||
        waits_for_late(put, now_ns) || !queue_channel_can_send(put->channel))
        return false;
    uint64_t unanswered = put->unsent - put->awaiting;
    uint64_t window_bytes = put->datagrams ? udp_window_bytes : tcp_window_bytes;
    return unanswered == 0 ||
           (unanswered < put->window_count && put->unanswered_bytes + slot(put, put->unsent)->length <= window_bytes);
}

/* A queue that has never answered anything may be one that does not. */
static int64_t answer_wait_ns(const struct remote_put *put)
{
    return put->answers ? answer_timeout_ns : answer_timeout_ns / 5;
}

/* An answer that has not come after the time-out was lost, or its question was. */
static void give_up_late(struct remote_put *put, int64_t now_ns)
{
    if (!put->datagrams)
        return;
    while (put->awaiting < put->unsent && now_ns >= slot(put, put->awaiting)->sent_ns + answer_wait_ns(put)) {
        put->counts.unconfirmed_count++;
        put->doubt_until_ns = now_ns + late_answer_ns;
        put->late_count++;
        settle_first(put, false);
    }
}

int64_t remote_put_step(struct remote_put *put, int64_t now_ns)
{
    int64_t when_ns = queue_channel_step(put->channel, now_ns);
    if (!in_doubt(put, now_ns))
        end_doubt(put);
    give_up_late(put, now_ns);
    line_up_again(put);
    while (may_send(put, now_ns)) {
        struct held *held = slot(put, put->unsent++);
        held->sent_ns = now_ns;
        put->unanswered_bytes += held->length;
        enum status status = queue_channel_send(put->channel, "PUT:", held->text, held->length);
        CHECK(status == STATUS_OK); /* its length was looked at when it came */
    }
    queue_channel_flush(put->channel, now_ns);
    if (put->datagrams && put->awaiting < put->unsent) {
        int64_t timeout_ns = slot(put, put->awaiting)->sent_ns + answer_wait_ns(put);
        when_ns = timeout_ns < when_ns ? timeout_ns : when_ns;
    }
    if (put->unsent < put->next && now_ns < put->not_before_ns && put->not_before_ns < when_ns)
        when_ns = put->not_before_ns;
    if (put->unsent < put->next && waits_for_late(put, now_ns) && put->doubt_until_ns < when_ns)
        when_ns = put->doubt_until_ns;
    return when_ns;
}

struct remote_put_counts remote_put_counts(const struct remote_put *put)
{
    return put->counts;
}
