#include "nodes/links/queue_kind.h"

#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "nodes/links/queue_command.h"

static const int64_t answer_timeout_ns = 250 * NS_PER_MS;
/* So many answers to SIZE while the question stays unanswered: a loss of 30 % both ways does that once in 10,000
 * times. */
enum { SILENT_MAX = 14 };

static bool is_number(const char *text, size_t length)
{
    size_t digits = 0;
    while (digits < length && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    return length > 0 && digits == length;
}

static void ask(struct queue_channel *channel, const char *question)
{
    enum status status = queue_channel_send(channel, "", question, strlen(question));
    CHECK(status == STATUS_OK); /* it is short */
}

int64_t queue_judge_step(struct queue_judge *judge, struct queue_channel *channel, const char *question, int64_t now_ns)
{
    if (!judge->asked || now_ns >= judge->asked_ns + answer_timeout_ns) {
        if (!queue_channel_can_send(channel))
            return CLOCK_NEVER_NS; /* the channel knows when */
        ask(channel, question);
        if (queue_channel_can_send(channel))
            ask(channel, "SIZE");
        judge->asked = true;
        judge->asked_ns = now_ns;
    }
    return judge->asked_ns + answer_timeout_ns;
}

void queue_judge_reply(struct queue_judge *judge, const void *text, size_t length, bool knows)
{
    if (knows)
        judge->kind = QUEUE_KIND_KNOWS;
    else if (queue_answer_is_unknown(text, length) || (is_number(text, length) && ++judge->silent_count >= SILENT_MAX))
        judge->kind = QUEUE_KIND_PROTOTYPE;
}
