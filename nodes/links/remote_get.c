#include "nodes/links/remote_get.h"

#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/message_store.h"
#include "nodes/links/queue_channel.h"
#include "nodes/links/queue_command.h"

static const int64_t answer_timeout_ns = 250 * NS_PER_MS;
/* A message at the head that this way cannot carry, or a queue that answers with errors, is asked for again this often.
 */
static const int64_t error_delay_ns = 200 * NS_PER_MS;

struct remote_get {
    struct node *node;
    const struct address *address;
    struct queue_channel *channel;
    bool datagrams;
    int64_t delay_ns;
    struct message_store arrived;
    uint64_t asked;   /* GETs without an answer */
    uint64_t window;  /* how many there may be */
    int64_t asked_ns; /* when the last GET went out, or the last answer came */
    int64_t not_before_ns;
    int64_t now_ns;
    bool told_error;  /* the log's last word is that it answers with an error */
    bool told_silent; /* ... that it does not answer */
    uint64_t timeout_count;
    uint64_t error_count;
};

static void take_error(struct remote_get *get, const void *text, size_t length)
{
    char quoted[128];
    get->error_count++;
    get->window = 1;
    get->not_before_ns = get->now_ns + error_delay_ns;
    if (!get->told_error)
        log_line(get->node->log, LOG_WARN, "%s answers a GET with '%s'; asking again%s", get->address->text,
                 log_quote(text, length, quoted, sizeof quoted),
                 queue_answer_is_needs_tcp(text, length) ? ", but only a tcp:// address can fetch it" : "");
    get->told_error = true;
}

static void take_reply(void *context, const void *text, size_t length)
{
    struct remote_get *get = context;
    get->now_ns = get->asked_ns = clock_monotonic_ns();
    if (get->told_silent)
        log_line(get->node->log, LOG_INFO, "%s: answers again", get->address->text);
    get->told_silent = false;
    if (get->asked > 0)
        get->asked--;
    if (length == 0) {
        get->window = 1;
        get->not_before_ns = get->now_ns + get->delay_ns;
    } else if (queue_answer_is_error(text, length)) {
        take_error(get, text, length);
        return;
    } else {
        message_store_append(&get->arrived, text, (uint32_t)length, get->now_ns);
        get->window = get->window * 2 < REMOTE_GET_WINDOW ? get->window * 2 : REMOTE_GET_WINDOW;
    }
    get->told_error = false;
}

static void take_break(void *context, bool refused)
{
    struct remote_get *get = context;
    (void)refused; /* a GET that was not taken and one whose answer is lost: both are asked again */
    get->asked = 0;
    get->window = 1;
}

enum status remote_get_open(struct remote_get **get_pointer, struct node *node, const struct address *address,
                            int64_t delay_ns, uint64_t message_bytes_max, struct error *error)
{
    struct remote_get *get = calloc(1, sizeof *get);
    CHECK(get != NULL);
    *get_pointer = get;
    get->node = node;
    get->address = address;
    get->datagrams = address->scheme != ADDRESS_TCP;
    get->delay_ns = delay_ns;
    get->window = 1;
    struct queue_channel_handlers handlers = {.reply = take_reply, .broken = take_break, .context = get};
    return queue_channel_open(&get->channel, node, address, message_bytes_max, &handlers, error);
}

void remote_get_close(struct remote_get **get_pointer)
{
    struct remote_get *get = *get_pointer;
    if (get == NULL)
        return;
    queue_channel_close(&get->channel);
    message_store_free(&get->arrived);
    free(get);
    *get_pointer = NULL;
}

int64_t remote_get_step(struct remote_get *get, bool wanted, int64_t now_ns)
{
    get->now_ns = now_ns;
    int64_t when_ns = queue_channel_step(get->channel, now_ns);
    if (get->datagrams && get->asked > 0 && now_ns >= get->asked_ns + answer_timeout_ns) {
        get->timeout_count++;
        if (!get->told_silent)
            log_line(get->node->log, LOG_WARN, "%s: no answer to GET; asking again until there is one",
                     get->address->text);
        get->told_silent = true;
        get->asked = 0;
        get->window = 1;
    }
    bool may_ask = wanted && now_ns >= get->not_before_ns;
    while (may_ask && get->asked < get->window && queue_channel_can_send(get->channel)) {
        enum status status = queue_channel_send(get->channel, "GET", NULL, 0);
        CHECK(status == STATUS_OK);
        get->asked++;
        get->asked_ns = now_ns;
    }
    queue_channel_flush(get->channel, now_ns);
    if (get->datagrams && get->asked > 0 && get->asked_ns + answer_timeout_ns < when_ns)
        when_ns = get->asked_ns + answer_timeout_ns;
    if (wanted && get->asked == 0 && now_ns < get->not_before_ns && get->not_before_ns < when_ns)
        when_ns = get->not_before_ns;
    return when_ns;
}

const struct message *remote_get_peek(struct remote_get *get)
{
    return message_store_peek(&get->arrived);
}

void remote_get_pop(struct remote_get *get)
{
    message_store_pop(&get->arrived);
}

uint64_t remote_get_arrived_count(const struct remote_get *get)
{
    return get->arrived.message_count;
}

uint64_t remote_get_asked_count(const struct remote_get *get)
{
    return get->asked;
}

uint64_t remote_get_timeout_count(const struct remote_get *get)
{
    return get->timeout_count;
}

uint64_t remote_get_error_count(const struct remote_get *get)
{
    return get->error_count;
}
