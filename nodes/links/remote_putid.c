#include "nodes/links/remote_putid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/lhhttt.h"
#include "net/udp.h"
#include "nodes/links/queue_channel.h"
#include "nodes/links/queue_command.h"

/* Not confirmed at a time. Over UDP what a queue's socket holds by default (some 200 KiB with the kernel's overhead).
 */
static const uint64_t udp_window_count = 64;
static const uint64_t udp_window_bytes = 64 * 1024;
static const uint64_t tcp_window_count = 1024;
static const uint64_t tcp_window_bytes = 1024 * 1024;

/* What is kept, sent or not: the windows count messages, and a message may be long. */
static const uint64_t held_bytes_max = 16 * 1024 * 1024;

static const int64_t answer_timeout_min_ns = 250 * NS_PER_MS;
static const int64_t answer_timeout_max_ns = NS_PER_S;
static const int64_t backoff_min_ns = NS_PER_MS;
static const int64_t backoff_max_ns = 100 * NS_PER_MS;

enum held_state {
    HELD_DONE, /* confirmed or rejected; or new, from `unsent` on */
    HELD_SENT,
    HELD_ASKED, /* a SEEN that asks for it is under way */
    HELD_AGAIN, /* to be sent again */
};

/* "ID:MESSAGE". Slots are used again, and keep their memory if it is small. */
struct held {
    char *text;
    uint32_t capacity;
    uint32_t length;
    uint8_t id_length;
    enum held_state state;
};
enum { HELD_TEXT_KEPT_BYTES = 4096 };

/*
 * A SEEN under way. Its nonces are nonce_base + number * ATTEMPTS + attempt (mod ATTEMPTS). The answer to an earlier
 * attempt is as true as one to the last: what was taken then is taken now; what was not goes again, and the queue knows
 * its id should it have come meanwhile.
 */
struct ask {
    uint64_t number;
    unsigned attempt;
    unsigned count; /* of messages; 0: free */
    int64_t sent_ns;
    int64_t timeout_ns;
    uint64_t sequences[QUEUE_SEEN_IDS_MAX];
};
enum { ASK_COUNT_MAX = 32, ATTEMPTS = 256 };

/*
 * Sequence numbers from 0, first <= unsent <= next: below `first` all are done with; from `unsent` on none was sent.
 */
struct remote_putid {
    struct node *node;
    const struct address *address;
    struct queue_channel *channel;
    bool datagrams;
    struct queue_judge judge;
    bool knew; /* that the queue knows ids */
    bool told_prototype;
    struct held *slots;  /* a circular array */
    uint64_t slot_count; /* a power of two */
    uint64_t first, unsent, next;
    uint64_t held_bytes;            /* of all texts that are kept */
    uint64_t sent, asked, again;    /* how many are in that state */
    uint64_t sent_bytes, way_bytes; /* of those that are sent, and of those and the asked */
    uint64_t sent_from, again_from; /* none below is in that state */
    struct ask asks[ASK_COUNT_MAX];
    unsigned ask_count; /* that are under way */
    uint64_t nonce_base, ask_number;
    char question[40];     /* what one that knows ids can answer: a SEEN of the nonce nonce_base */
    uint64_t window_count; /* now: less than the most after the queue was full */
    bool draining;         /* it was: nothing more goes until it is known what it took */
    int64_t not_before_ns;
    int64_t backoff_ns;
    struct remote_putid_counts counts;
};

static uint64_t window_count_max(const struct remote_putid *putid)
{
    return putid->datagrams ? udp_window_count : tcp_window_count;
}

static uint64_t window_bytes(const struct remote_putid *putid)
{
    return putid->datagrams ? udp_window_bytes : tcp_window_bytes;
}

/* ---- messages ---- */

static struct held *slot(const struct remote_putid *putid, uint64_t sequence)
{
    return &putid->slots[sequence & (putid->slot_count - 1)];
}

/* All changes of state of what was sent go through here. */
static void set_state(struct remote_putid *putid, uint64_t sequence, enum held_state state)
{
    struct held *held = slot(putid, sequence);
    putid->sent -= held->state == HELD_SENT;
    putid->asked -= held->state == HELD_ASKED;
    putid->again -= held->state == HELD_AGAIN;
    if (held->state == HELD_SENT)
        putid->sent_bytes -= held->length;
    if (held->state == HELD_SENT || held->state == HELD_ASKED)
        putid->way_bytes -= held->length;
    held->state = state;
    putid->sent += state == HELD_SENT;
    putid->asked += state == HELD_ASKED;
    putid->again += state == HELD_AGAIN;
    if (state == HELD_SENT) {
        putid->sent_bytes += held->length;
        putid->sent_from = sequence < putid->sent_from ? sequence : putid->sent_from;
    }
    if (state == HELD_SENT || state == HELD_ASKED)
        putid->way_bytes += held->length;
    if (state == HELD_AGAIN)
        putid->again_from = sequence < putid->again_from ? sequence : putid->again_from;
}

static void finish(struct remote_putid *putid, uint64_t sequence)
{
    struct held *held = slot(putid, sequence);
    set_state(putid, sequence, HELD_DONE);
    putid->held_bytes -= held->length;
    if (held->capacity > HELD_TEXT_KEPT_BYTES) {
        free(held->text);
        held->text = NULL;
        held->capacity = 0;
    }
    while (putid->first < putid->unsent && slot(putid, putid->first)->state == HELD_DONE)
        putid->first++;
}

static uint64_t later(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

/* The first from `from` on that is in that state, or `unsent`. */
static uint64_t find_state(const struct remote_putid *putid, uint64_t from, enum held_state state)
{
    uint64_t sequence = later(from, putid->first);
    while (sequence < putid->unsent && slot(putid, sequence)->state != state)
        sequence++;
    return sequence;
}

/* ---- a full queue ---- */

/* A queue was full, or took hardly anything: what is sent at a time moves to what it takes, and order is kept as far as
 * it goes: nothing more is sent until it is known what was taken. */
static void slow_down(struct remote_putid *putid, int64_t now_ns)
{
    putid->not_before_ns = now_ns + putid->backoff_ns;
    if (!putid->draining && putid->window_count > 1)
        putid->window_count /= 2;
    putid->draining = true;
}

static void end_draining(struct remote_putid *putid)
{
    if (!putid->draining || putid->sent + putid->asked > 0)
        return;
    putid->draining = false;
    putid->backoff_ns = putid->backoff_ns * 2 < backoff_max_ns ? putid->backoff_ns * 2 : backoff_max_ns;
}

static void speed_up(struct remote_putid *putid, uint64_t taken_count)
{
    putid->backoff_ns = backoff_min_ns;
    putid->window_count += taken_count;
    if (putid->window_count > window_count_max(putid))
        putid->window_count = window_count_max(putid);
}

/* ---- replies ---- */

static void judged(struct remote_putid *putid)
{
    if (putid->judge.kind == QUEUE_KIND_KNOWS) {
        putid->knew = true;
        putid->told_prototype = false;
    }
    if (putid->judge.kind != QUEUE_KIND_PROTOTYPE)
        return;
    if (!putid->told_prototype)
        log_line(putid->node->log, LOG_WARN,
                 putid->knew ? "%s remembers no ids any more: messages wait for a queue that does"
                             : "%s remembers no ids: it gets PUTs, and a message whose answer is lost may be lost or, "
                               "after a crash, there twice",
                 putid->address->text);
    putid->told_prototype = true;
    if (putid->knew)
        putid->judge = (struct queue_judge){.asked = true, .asked_ns = putid->judge.asked_ns};
}

static void take_seen(struct remote_putid *putid, uint64_t nonce, const char *digits, size_t count, int64_t now_ns)
{
    uint64_t number = (nonce - putid->nonce_base) / ATTEMPTS;
    struct ask *ask = putid->asks;
    while (ask < putid->asks + ASK_COUNT_MAX && (ask->count == 0 || ask->number != number))
        ask++;
    if (ask == putid->asks + ASK_COUNT_MAX || ask->count != count)
        return; /* answered before */
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        if (digits[i] == '1') {
            finish(putid, ask->sequences[i]);
            taken++;
        } else {
            set_state(putid, ask->sequences[i], HELD_AGAIN);
        }
    }
    putid->counts.confirmed_count += taken;
    ask->count = 0;
    putid->ask_count--;
    if (2 * taken < count)
        slow_down(putid, now_ns);
    else
        speed_up(putid, taken);
}

/* Those that it asks for are to be asked for anew. */
static void cancel_ask_of(struct remote_putid *putid, uint64_t sequence)
{
    for (size_t i = 0; i < ASK_COUNT_MAX; i++) {
        struct ask *ask = &putid->asks[i];
        bool is_in = false;
        for (size_t k = 0; k < ask->count; k++)
            is_in = is_in || ask->sequences[k] == sequence;
        if (!is_in)
            continue;
        for (size_t k = 0; k < ask->count; k++)
            set_state(putid, ask->sequences[k], HELD_SENT);
        ask->count = 0;
        putid->ask_count--;
    }
}

/* Of the messages that were sent those of that length, or of a frame of that length: what holds for one holds for all,
 * so it does not matter which of them was meant, or whether the answer comes twice. */
static void reject(struct remote_putid *putid, uint64_t bytes, bool of_frame)
{
    for (uint64_t sequence = putid->first; sequence < putid->unsent; sequence++) {
        const struct held *held = slot(putid, sequence);
        uint64_t length = of_frame ? strlen("PUTID:") + held->length : held->length - (held->id_length + 1U);
        if (held->state == HELD_DONE || length != bytes)
            continue;
        if (putid->counts.rejected_count++ == 0)
            log_line(putid->node->log, LOG_WARN, "a message of %llu bytes is too long for %s and is dropped",
                     (unsigned long long)bytes, putid->address->text);
        if (held->state == HELD_ASKED)
            cancel_ask_of(putid, sequence);
        finish(putid, sequence);
    }
}

static void take_reply(void *context, const void *text, size_t length)
{
    struct remote_putid *putid = context;
    uint64_t nonce, bytes;
    const char *digits;
    size_t count;
    bool of_frame;
    int64_t now_ns = clock_monotonic_ns();
    bool seen = queue_answer_read_seen(text, length, &nonce, &digits, &count);
    if (putid->judge.kind == QUEUE_KIND_UNKNOWN) {
        queue_judge_reply(&putid->judge, text, length, seen && nonce == putid->nonce_base);
        judged(putid);
    }
    if (seen) {
        take_seen(putid, nonce, digits, count, now_ns);
    } else if (queue_answer_is_full(text, length)) {
        putid->counts.full_count++;
        slow_down(putid, now_ns);
    } else if (queue_answer_read_too_long(text, length, &bytes, &of_frame)) {
        reject(putid, bytes, of_frame);
    }
}

static void take_break(void *context, bool refused)
{
    struct remote_putid *putid = context;
    (void)refused; /* all of it may go again: the queue knows its ids */
    for (uint64_t sequence = putid->first; sequence < putid->unsent; sequence++)
        if (slot(putid, sequence)->state != HELD_DONE)
            set_state(putid, sequence, HELD_AGAIN);
    for (size_t i = 0; i < ASK_COUNT_MAX; i++)
        putid->asks[i].count = 0;
    putid->ask_count = 0;
    putid->draining = false;
    if (putid->judge.kind != QUEUE_KIND_PROTOTYPE)
        putid->judge = (struct queue_judge){0};
}

/* ---- sending ---- */

/* The oldest that goes again, or else the next new one; `next`: there is none. */
static uint64_t next_to_send(const struct remote_putid *putid)
{
    return putid->again > 0 ? find_state(putid, putid->again_from, HELD_AGAIN) : putid->unsent;
}

static bool may_send(const struct remote_putid *putid, int64_t now_ns)
{
    if (putid->draining || now_ns < putid->not_before_ns || !queue_channel_can_send(putid->channel))
        return false;
    uint64_t sequence = next_to_send(putid);
    if (sequence == putid->next || sequence - putid->first >= 2 * window_count_max(putid))
        return false;
    uint64_t on_way = putid->sent + putid->asked;
    return on_way == 0 ||
           (on_way < putid->window_count && putid->way_bytes + slot(putid, sequence)->length <= window_bytes(putid));
}

static void send_one(struct remote_putid *putid)
{
    uint64_t sequence = next_to_send(putid);
    struct held *held = slot(putid, sequence);
    putid->again_from = sequence;
    if (sequence == putid->unsent) {
        putid->unsent++;
    } else {
        putid->counts.resent_count++;
    }
    set_state(putid, sequence, HELD_SENT);
    enum status status = queue_channel_send(putid->channel, "PUTID:", held->text, held->length);
    CHECK(status == STATUS_OK); /* its length was looked at when it came */
}

static void send_ask(struct remote_putid *putid, struct ask *ask, int64_t now_ns)
{
    char text[QUEUE_SEEN_BYTES_MAX];
    uint64_t nonce = putid->nonce_base + ask->number * ATTEMPTS + ask->attempt % ATTEMPTS;
    size_t length = (size_t)snprintf(text, sizeof text, "%llx", (unsigned long long)nonce);
    for (size_t i = 0; i < ask->count; i++) {
        const struct held *held = slot(putid, ask->sequences[i]);
        text[length++] = i == 0 ? ':' : ',';
        memcpy(text + length, held->text, held->id_length);
        length += held->id_length;
    }
    enum status status = queue_channel_send(putid->channel, "SEEN:", text, length);
    CHECK(status == STATUS_OK); /* it is short */
    ask->sent_ns = now_ns;
}

/* Takes those that were sent and not asked for, the oldest first. */
static void ask_anew(struct remote_putid *putid, int64_t now_ns)
{
    struct ask *ask = putid->asks;
    while (ask->count > 0)
        ask++;
    ask->number = ++putid->ask_number;
    ask->attempt = 0;
    ask->timeout_ns = answer_timeout_min_ns;
    uint64_t sequence = putid->sent_from;
    while (putid->sent > 0 && ask->count < QUEUE_SEEN_IDS_MAX) {
        sequence = find_state(putid, sequence, HELD_SENT);
        set_state(putid, sequence, HELD_ASKED);
        ask->sequences[ask->count++] = sequence;
    }
    putid->sent_from = sequence;
    putid->ask_count++;
    send_ask(putid, ask, now_ns);
}

/* When half a window is there, so that the other half is on its way meanwhile; and when nothing else is to be done. */
static bool may_ask(const struct remote_putid *putid, bool at_rest)
{
    uint64_t half = (putid->window_count + 1) / 2;
    if (putid->sent == 0 || putid->ask_count == ASK_COUNT_MAX || !queue_channel_can_send(putid->channel))
        return false;
    return putid->sent >= (half < QUEUE_SEEN_IDS_MAX ? half : QUEUE_SEEN_IDS_MAX) ||
           putid->sent_bytes >= window_bytes(putid) / 2 || (at_rest && putid->ask_count == 0);
}

static void send_messages(struct remote_putid *putid, int64_t now_ns)
{
    end_draining(putid);
    while (may_send(putid, now_ns)) {
        send_one(putid);
        if (may_ask(putid, false))
            ask_anew(putid, now_ns);
    }
    while (may_ask(putid, true))
        ask_anew(putid, now_ns);
}

/* A question or its answer was lost. Returns when the next one counts as lost. */
static int64_t repeat_asks(struct remote_putid *putid, int64_t now_ns)
{
    int64_t when_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < ASK_COUNT_MAX && putid->datagrams; i++) {
        struct ask *ask = &putid->asks[i];
        if (ask->count == 0)
            continue;
        if (now_ns >= ask->sent_ns + ask->timeout_ns && queue_channel_can_send(putid->channel)) {
            ask->attempt++;
            ask->timeout_ns *= 2;
            if (ask->timeout_ns > answer_timeout_max_ns)
                ask->timeout_ns = answer_timeout_max_ns;
            send_ask(putid, ask, now_ns);
        }
        int64_t due_ns = ask->sent_ns + ask->timeout_ns;
        if (due_ns > now_ns && due_ns < when_ns) /* else the channel cannot send, and knows when */
            when_ns = due_ns;
    }
    return when_ns;
}

int64_t remote_putid_step(struct remote_putid *putid, int64_t now_ns)
{
    int64_t when_ns = queue_channel_step(putid->channel, now_ns);
    int64_t next_ns = CLOCK_NEVER_NS;
    if (putid->judge.kind == QUEUE_KIND_UNKNOWN) {
        next_ns = queue_judge_step(&putid->judge, putid->channel, putid->question, now_ns);
    } else if (putid->judge.kind == QUEUE_KIND_KNOWS) {
        send_messages(putid, now_ns);
        next_ns = repeat_asks(putid, now_ns);
        if (next_to_send(putid) < putid->next && now_ns < putid->not_before_ns && putid->not_before_ns < next_ns)
            next_ns = putid->not_before_ns;
    }
    queue_channel_flush(putid->channel, now_ns);
    if (putid->judge.kind == QUEUE_KIND_UNKNOWN && !putid->judge.asked) { /* it was refused just now */
        int64_t try_ns = queue_channel_step(putid->channel, now_ns);
        next_ns = try_ns < next_ns ? try_ns : next_ns;
    }
    return next_ns < when_ns ? next_ns : when_ns;
}

/* ---- for the caller ---- */

bool remote_putid_has_room(const struct remote_putid *putid)
{
    return putid->knew && putid->next - putid->first < putid->slot_count / 2 && putid->held_bytes < held_bytes_max;
}

static void grow(struct remote_putid *putid)
{
    struct held *slots = calloc(2 * putid->slot_count, sizeof *slots);
    CHECK(slots != NULL);
    for (uint64_t sequence = putid->first; sequence != putid->next; sequence++) {
        slots[sequence & (2 * putid->slot_count - 1)] = *slot(putid, sequence);
        *slot(putid, sequence) = (struct held){0};
    }
    for (uint64_t i = 0; i < putid->slot_count; i++)
        free(putid->slots[i].text);
    free(putid->slots);
    putid->slots = slots;
    putid->slot_count *= 2;
}

bool remote_putid_emit(struct remote_putid *putid, const void *id, size_t id_length, const void *text, uint32_t length)
{
    CHECK(id_length > 0 && id_length <= QUEUE_ID_BYTES_MAX);
    CHECK(memchr(id, ':', id_length) == NULL && memchr(id, ',', id_length) == NULL);
    char header[LHHTTT_HEADER_BYTES_MAX];
    uint64_t whole = id_length + 1 + (uint64_t)length;
    uint64_t framed = strlen("PUTID:") + whole;
    CHECK(framed <= UINT32_MAX);
    if (putid->datagrams && lhhttt_write_header(framed, header) + framed > UDP_DATAGRAM_BYTES_MAX)
        return false;
    if (putid->next - putid->first == putid->slot_count)
        grow(putid);
    struct held *held = slot(putid, putid->next++);
    if (held->text == NULL || held->capacity < whole) {
        free(held->text);
        held->text = malloc(whole);
        CHECK(held->text != NULL);
        held->capacity = (uint32_t)whole;
    }
    CHECK(held->text != NULL);
    memcpy(held->text, id, id_length);
    held->text[id_length] = ':';
    if (length > 0)
        memcpy(held->text + id_length + 1, text, length);
    held->length = (uint32_t)whole;
    held->id_length = (uint8_t)id_length;
    held->state = HELD_DONE;
    putid->held_bytes += whole;
    return true;
}

uint64_t remote_putid_confirmed_count(const struct remote_putid *putid)
{
    return putid->first;
}

uint64_t remote_putid_held_count(const struct remote_putid *putid)
{
    return putid->sent + putid->asked + putid->again + (putid->next - putid->unsent);
}

struct remote_putid_counts remote_putid_counts(const struct remote_putid *putid)
{
    return putid->counts;
}

enum queue_kind remote_putid_kind(const struct remote_putid *putid)
{
    return putid->judge.kind;
}

enum status remote_putid_open(struct remote_putid **putid_pointer, struct node *node, const struct address *address,
                              struct error *error)
{
    struct remote_putid *putid = calloc(1, sizeof *putid);
    CHECK(putid != NULL);
    *putid_pointer = putid;
    putid->node = node;
    putid->address = address;
    putid->datagrams = address->scheme != ADDRESS_TCP;
    putid->window_count = window_count_max(putid);
    putid->slot_count = 4 * window_count_max(putid);
    putid->slots = calloc(putid->slot_count, sizeof *putid->slots);
    CHECK(putid->slots != NULL);
    putid->backoff_ns = backoff_min_ns;
    /* An answer to an earlier sender at the same port must not be taken for one to this. */
    if (getrandom(&putid->nonce_base, sizeof putid->nonce_base, 0) != (ssize_t)sizeof putid->nonce_base)
        return error_set(error, STATUS_SYSTEM, "no random bytes: %s", strerror(errno));
    snprintf(putid->question, sizeof putid->question, "SEEN:%llx:0", (unsigned long long)putid->nonce_base);
    struct queue_channel_handlers handlers = {.reply = take_reply, .broken = take_break, .context = putid};
    return queue_channel_open(&putid->channel, node, address, UDP_DATAGRAM_BYTES_MAX, &handlers, error);
}

void remote_putid_close(struct remote_putid **putid_pointer)
{
    struct remote_putid *putid = *putid_pointer;
    if (putid == NULL)
        return;
    queue_channel_close(&putid->channel);
    for (uint64_t i = 0; i < putid->slot_count; i++)
        free(putid->slots[i].text);
    free(putid->slots);
    free(putid);
    *putid_pointer = NULL;
}
