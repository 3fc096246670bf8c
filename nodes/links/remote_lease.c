#include "nodes/links/remote_lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "nodes/links/queue_channel.h"
#include "nodes/links/queue_kind.h"
#include "nodes/queue/lease_token.h"

static const int64_t answer_timeout_ns = 250 * NS_PER_MS;
static const int64_t error_delay_ns = 200 * NS_PER_MS;
enum { ASK_WINDOW = 32, TOKEN_BYTES_MAX = 80, RECENT_COUNT = 4 * REMOTE_LEASE_WINDOW };

enum record_state { RECORD_FREE, RECORD_ARRIVED, RECORD_TAKEN, RECORD_DONE, RECORD_REFUSED };

struct token {
    uint8_t length;
    char text[TOKEN_BYTES_MAX];
};

struct record {
    enum record_state state;
    struct token token;
    unsigned char *text;
    uint32_t length;
    uint32_t deliveries;
    uint64_t order; /* of arrival; from take on, the message's number */
    int64_t until_ns;
    bool told; /* ACK or NACK is under way */
    char reason[REMOTE_LEASE_REASON_BYTES_MAX + 1];
};

struct remote_lease {
    struct node *node;
    const struct address *address;
    struct queue_channel *channel;
    bool datagrams;
    int64_t delay_ns, lease_ns;
    struct queue_judge judge;
    struct record records[REMOTE_LEASE_WINDOW];
    uint64_t record_count, arrived_count;
    struct token recent[RECENT_COUNT]; /* tokens that came, the oldest overwritten */
    uint64_t recent_next;
    uint64_t arrival_count, number;
    uint64_t asked, window;
    int64_t asked_ns; /* when the first of those under way may have been sent */
    int64_t not_before_ns;
    uint64_t told, extended; /* under way: ACKs and NACKs; EXTENDs */
    int64_t told_ns;
    int64_t now_ns;
    struct remote_lease_counts counts;
};

/* ---- what the queue is ---- */

static void take_peer_answer(struct remote_lease *lease, const char *text, size_t length)
{
    queue_judge_reply(&lease->judge, text, length, length > 0 && text[0] == '{');
    if (lease->judge.kind == QUEUE_KIND_PROTOTYPE)
        log_line(lease->node->log, LOG_WARN,
                 "%s knows no leases: it is asked with GET, and a message whose answer is lost, or that this worker "
                 "dies with, is lost",
                 lease->address->text);
}

static void send_command(struct remote_lease *lease, const char *text, size_t length)
{
    enum status status = queue_channel_send(lease->channel, "", text, length);
    CHECK(status == STATUS_OK); /* it is short */
}

/* ---- records ---- */

static struct record *oldest(struct remote_lease *lease, enum record_state state, bool told)
{
    struct record *best = NULL;
    for (size_t i = 0; i < REMOTE_LEASE_WINDOW; i++) {
        struct record *record = &lease->records[i];
        if (record->state == state && record->told == told && (best == NULL || record->order < best->order))
            best = record;
    }
    return best;
}

static void forget(struct remote_lease *lease, struct record *record)
{
    lease->arrived_count -= record->state == RECORD_ARRIVED;
    lease->record_count--;
    free(record->text);
    *record = (struct record){0};
}

static bool seen(struct remote_lease *lease, const char *text, size_t length)
{
    for (size_t i = 0; i < RECENT_COUNT; i++)
        if (lease->recent[i].length == length && memcmp(lease->recent[i].text, text, length) == 0)
            return true;
    struct token *token = &lease->recent[lease->recent_next++ % RECENT_COUNT];
    token->length = (uint8_t)length;
    memcpy(token->text, text, length);
    return false;
}

/* "LEASE:DELIVERIES:MESSAGE". False: it is not that. */
static bool take_message(struct remote_lease *lease, const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    size_t token_length = colon != NULL ? (size_t)(colon - text) : 0;
    if (token_length == 0 || token_length > TOKEN_BYTES_MAX)
        return false;
    size_t at = token_length + 1;
    uint64_t deliveries = 0;
    while (at < length && text[at] >= '0' && text[at] <= '9' && deliveries <= UINT32_MAX / 16)
        deliveries = deliveries * 10 + (uint64_t)(text[at++] - '0');
    if (at == token_length + 1 || at == length || text[at] != ':')
        return false;
    at++;
    if (seen(lease, text, token_length)) {
        lease->counts.repeated_count++;
        return true;
    }
    if (lease->record_count == REMOTE_LEASE_WINDOW) { /* late answers beyond the window: delivered again */
        lease->counts.stale_count++;
        return true;
    }
    struct record *record = lease->records;
    while (record->state != RECORD_FREE)
        record++;
    *record = (struct record){.state = RECORD_ARRIVED,
                              .length = (uint32_t)(length - at),
                              .deliveries = (uint32_t)deliveries,
                              .order = ++lease->arrival_count,
                              .until_ns = lease->asked_ns + lease->lease_ns};
    record->token.length = (uint8_t)token_length;
    memcpy(record->token.text, text, token_length);
    record->text = malloc(record->length + 1);
    CHECK(record->text != NULL);
    memcpy(record->text, text + at, record->length);
    lease->record_count++;
    lease->arrived_count++;
    lease->counts.again_count += deliveries > 1;
    return true;
}

/* ---- answers ---- */

/* The answer to an EXTEND, or to an ACK or NACK: which of the two, and of which message, it does not say. */
static void take_told(struct remote_lease *lease)
{
    if (lease->extended > 0) {
        lease->extended--;
        return;
    }
    struct record *record = oldest(lease, RECORD_DONE, true);
    struct record *refused = oldest(lease, RECORD_REFUSED, true);
    if (record == NULL || (refused != NULL && refused->order < record->order))
        record = refused;
    if (record == NULL)
        return;
    forget(lease, record);
    lease->told--;
}

static void take_reply(void *context, const void *text, size_t length)
{
    static const char over[] = "ERR lease is over";
    static const char none[] = "ERR unknown lease";
    struct remote_lease *lease = context;
    lease->now_ns = clock_monotonic_ns();
    if (lease->judge.kind == QUEUE_KIND_UNKNOWN) {
        take_peer_answer(lease, text, length);
        return;
    }
    if (lease->judge.kind == QUEUE_KIND_PROTOTYPE)
        return;
    if ((length == 2 && memcmp(text, "OK", 2) == 0) || (length == strlen(over) && memcmp(text, over, length) == 0) ||
        (length == strlen(none) && memcmp(text, none, length) == 0)) {
        take_told(lease);
    } else if (length == 0) {
        lease->asked -= lease->asked > 0;
        lease->window = 1;
        lease->not_before_ns = lease->now_ns + lease->delay_ns;
    } else if (take_message(lease, text, length)) {
        lease->asked -= lease->asked > 0;
        lease->window = lease->window * 2 < ASK_WINDOW ? lease->window * 2 : ASK_WINDOW;
    } else if (length >= 3 && memcmp(text, "ERR", 3) == 0) {
        lease->asked -= lease->asked > 0;
        lease->window = 1;
        lease->counts.error_count++;
        lease->not_before_ns = lease->now_ns + error_delay_ns;
    } /* else: a late answer to STATS or SIZE */
}

static void untell(struct remote_lease *lease)
{
    for (size_t i = 0; i < REMOTE_LEASE_WINDOW; i++)
        lease->records[i].told = false;
    lease->told = lease->extended = 0;
}

static void take_break(void *context, bool refused)
{
    struct remote_lease *lease = context;
    (void)refused; /* all of it may be asked and told again */
    lease->asked = 0;
    lease->window = 1;
    untell(lease);
    if (lease->judge.kind != QUEUE_KIND_PROTOTYPE)
        lease->judge = (struct queue_judge){0};
}

/* ---- sending ---- */

static void send_named(struct remote_lease *lease, const char *verb, const struct token *token, const char *rest)
{
    char text[16 + TOKEN_BYTES_MAX + REMOTE_LEASE_REASON_BYTES_MAX];
    int length = snprintf(text, sizeof text, "%s:%.*s%s%s", verb, (int)token->length, token->text,
                          rest[0] != '\0' ? ":" : "", rest);
    CHECK(length > 0 && (size_t)length < sizeof text);
    send_command(lease, text, (size_t)length);
    lease->told_ns = lease->now_ns;
}

static void write_seconds(const struct remote_lease *lease, char *text, size_t bytes)
{
    snprintf(text, bytes, "%lld.%03lld", (long long)(lease->lease_ns / NS_PER_S),
             (long long)(lease->lease_ns % NS_PER_S / NS_PER_MS));
}

static void extend(struct remote_lease *lease, struct record *record, int64_t now_ns)
{
    char seconds[40];
    write_seconds(lease, seconds, sizeof seconds);
    send_named(lease, "EXTEND", &record->token, seconds);
    record->until_ns = now_ns + lease->lease_ns;
    lease->extended++;
}

/* Tells what is to be told of the messages held. Returns when the next lease is to be extended. */
static int64_t tell(struct remote_lease *lease, int64_t now_ns)
{
    int64_t when_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < REMOTE_LEASE_WINDOW && queue_channel_can_send(lease->channel); i++) {
        struct record *record = &lease->records[i];
        if (record->state == RECORD_ARRIVED || record->state == RECORD_TAKEN) {
            if (now_ns >= record->until_ns - lease->lease_ns / 2 && now_ns < record->until_ns)
                extend(lease, record, now_ns);
            int64_t next_ns = record->until_ns - lease->lease_ns / 2;
            when_ns = next_ns > now_ns && next_ns < when_ns ? next_ns : when_ns;
        } else if (record->state != RECORD_FREE && !record->told) {
            send_named(lease, record->state == RECORD_DONE ? "ACK" : "NACK", &record->token, record->reason);
            record->told = true;
            lease->told++;
        }
    }
    return when_ns;
}

static void ask(struct remote_lease *lease, int64_t now_ns)
{
    char text[64] = "LEASE:";
    write_seconds(lease, text + strlen(text), sizeof text - strlen(text));
    while (lease->asked < lease->window && lease->record_count + lease->asked < REMOTE_LEASE_WINDOW &&
           queue_channel_can_send(lease->channel)) {
        send_command(lease, text, strlen(text));
        if (lease->asked++ == 0)
            lease->asked_ns = now_ns;
    }
}

static void give_up_late(struct remote_lease *lease, int64_t now_ns)
{
    if (!lease->datagrams)
        return;
    if (lease->asked > 0 && now_ns >= lease->asked_ns + answer_timeout_ns) {
        lease->counts.timeout_count++;
        lease->asked = 0;
        lease->window = 1;
    }
    if (lease->told + lease->extended > 0 && now_ns >= lease->told_ns + answer_timeout_ns)
        untell(lease);
}

int64_t remote_lease_step(struct remote_lease *lease, bool wanted, int64_t now_ns)
{
    lease->now_ns = now_ns;
    int64_t when_ns = queue_channel_step(lease->channel, now_ns);
    int64_t next_ns = CLOCK_NEVER_NS;
    if (lease->judge.kind == QUEUE_KIND_UNKNOWN) {
        next_ns = queue_judge_step(&lease->judge, lease->channel, "STATS", now_ns);
    } else if (lease->judge.kind == QUEUE_KIND_KNOWS) {
        give_up_late(lease, now_ns);
        next_ns = tell(lease, now_ns);
        if (wanted && now_ns >= lease->not_before_ns)
            ask(lease, now_ns);
        else if (wanted && lease->not_before_ns < when_ns)
            when_ns = lease->not_before_ns;
        if (lease->datagrams && lease->asked > 0 && lease->asked_ns + answer_timeout_ns < when_ns)
            when_ns = lease->asked_ns + answer_timeout_ns;
        if (lease->datagrams && lease->told + lease->extended > 0 && lease->told_ns + answer_timeout_ns < when_ns)
            when_ns = lease->told_ns + answer_timeout_ns;
    }
    queue_channel_flush(lease->channel, now_ns);
    return next_ns < when_ns ? next_ns : when_ns;
}

/* ---- for the worker ---- */

static size_t name_length(const struct token *token)
{
    struct lease_token read;
    if (!lease_token_read(token->text, token->length, &read))
        return token->length;
    return (size_t)((const char *)memrchr(token->text, '.', token->length) - token->text);
}

bool remote_lease_take(struct remote_lease *lease, int64_t now_ns, struct remote_lease_message *message)
{
    struct record *record;
    while ((record = lease->arrived_count > 0 ? oldest(lease, RECORD_ARRIVED, false) : NULL) != NULL) {
        if (now_ns >= record->until_ns) {
            lease->counts.stale_count++;
            forget(lease, record);
            continue;
        }
        record->state = RECORD_TAKEN;
        record->order = ++lease->number;
        lease->arrived_count--;
        *message = (struct remote_lease_message){.text = record->text,
                                                 .length = record->length,
                                                 .deliveries = record->deliveries,
                                                 .number = record->order,
                                                 .name = record->token.text,
                                                 .name_length = name_length(&record->token)};
        return true;
    }
    return false;
}

static struct record *taken(struct remote_lease *lease, uint64_t number)
{
    for (size_t i = 0; i < REMOTE_LEASE_WINDOW; i++)
        if (lease->records[i].state == RECORD_TAKEN && lease->records[i].order == number)
            return &lease->records[i];
    CHECK(false); /* the number of none that was taken and not settled */
    return NULL;
}

void remote_lease_acknowledge(struct remote_lease *lease, uint64_t number)
{
    taken(lease, number)->state = RECORD_DONE;
}

void remote_lease_refuse(struct remote_lease *lease, uint64_t number, const char *reason)
{
    struct record *record = taken(lease, number);
    record->state = RECORD_REFUSED;
    snprintf(record->reason, sizeof record->reason, "%s", reason);
}

uint64_t remote_lease_arrived_count(const struct remote_lease *lease)
{
    return lease->arrived_count;
}

uint64_t remote_lease_unsettled_count(const struct remote_lease *lease)
{
    return lease->record_count - lease->arrived_count;
}

uint64_t remote_lease_asked_count(const struct remote_lease *lease)
{
    return lease->asked;
}

enum remote_lease_peer remote_lease_peer(const struct remote_lease *lease)
{
    switch (lease->judge.kind) {
    case QUEUE_KIND_UNKNOWN:
        break;
    case QUEUE_KIND_KNOWS:
        return REMOTE_LEASE_KNOWS;
    case QUEUE_KIND_PROTOTYPE:
        return REMOTE_LEASE_PROTOTYPE;
    }
    return REMOTE_LEASE_UNKNOWN;
}

struct remote_lease_counts remote_lease_counts(const struct remote_lease *lease)
{
    return lease->counts;
}

enum status remote_lease_open(struct remote_lease **lease_pointer, struct node *node, const struct address *address,
                              int64_t delay_ns, int64_t lease_ns, uint64_t message_bytes_max, struct error *error)
{
    struct remote_lease *lease = calloc(1, sizeof *lease);
    CHECK(lease != NULL);
    *lease_pointer = lease;
    lease->node = node;
    lease->address = address;
    lease->datagrams = address->scheme != ADDRESS_TCP;
    lease->delay_ns = delay_ns;
    lease->lease_ns = lease_ns;
    lease->window = 1;
    struct queue_channel_handlers handlers = {.reply = take_reply, .broken = take_break, .context = lease};
    return queue_channel_open(&lease->channel, node, address, message_bytes_max, &handlers, error);
}

void remote_lease_close(struct remote_lease **lease_pointer)
{
    struct remote_lease *lease = *lease_pointer;
    if (lease == NULL)
        return;
    queue_channel_close(&lease->channel);
    for (size_t i = 0; i < REMOTE_LEASE_WINDOW; i++)
        free(lease->records[i].text);
    free(lease);
    *lease_pointer = NULL;
}
