#include "nodes/queue/letters.h"

#include "engine/clock.h"
#include "nodes/node_types.h"
#include "nodes/queue/queue_private.h"

uint32_t queue_stored_number(const struct node *node)
{
    const struct queue *queue = node->state;
    return node->type == &queue_type ? queue->kept.queue : 0;
}

bool queue_has_room(const struct node *node, uint32_t length)
{
    const struct queue *queue = node->state;
    return contents_has_room(queue, length) && kept_has_room(queue);
}

void queue_put_back(struct node *node, const void *text, uint32_t length)
{
    contents_add(node->state, text, length, clock_monotonic_ns());
}

bool queue_withdraw(struct node *node, uint64_t sequence, uint32_t length, bool is_replayed)
{
    if (!kept_withdraw(node->state, sequence, length))
        return false;
    if (is_replayed) {
        stats_add(&node->stats->out_count, 1);
        stats_count(node->stats, COUNTER_REPLAYED);
    } else {
        node_drop(node, COUNTER_LETTERS_DROPPED, 1);
    }
    return true;
}
