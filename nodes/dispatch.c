#include "nodes/dispatch.h"

#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "nodes/node_types.h"
#include "nodes/worker/worker_config.h"

enum { DISPATCH_BATCH_MAX = 2048 }; /* messages a step */
static const int64_t ahead_ns = 20 * NS_PER_MS;

/* Which order the consumers keep: replicas of one worker if any does. */
static void take_order(struct dispatch *dispatch, const struct node *node)
{
    const struct port *first = NULL; /* consumer */
    for (size_t i = node->output_count; i-- > 0;)
        first = node->outputs[i].address == NULL ? &node->outputs[i] : first;
    const struct node *peer = dispatch->target_count > 1 && first != NULL ? first->peer : NULL;
    const struct worker_config *config = peer != NULL && peer->type == &worker_type ? peer->config : NULL;
    if (config == NULL || config->order == ORDER_NONE)
        return;
    if (config->order == ORDER_FIFO) {
        dispatch->active_count = 1;
        return;
    }
    struct error error = {0};
    dispatch->key = malloc(sizeof *dispatch->key);
    CHECK(dispatch->key != NULL);
    CHECK(message_key_open(dispatch->key, config->order_key, &error) == STATUS_OK); /* the worker's check did it, too */
}

void dispatch_open(struct dispatch *dispatch, struct node *node)
{
    *dispatch = (struct dispatch){.node = node, .targets = calloc(node->output_count + 1, sizeof *dispatch->targets)};
    CHECK(dispatch->targets != NULL);
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].address == NULL)
            dispatch->targets[dispatch->target_count++] = (struct dispatch_target){
                .edge = node->outputs[i].edge, .credit = DISPATCH_AHEAD_MIN, .ahead_max = DISPATCH_AHEAD_MIN};
    dispatch->active_count = dispatch->target_count;
    take_order(dispatch, node);
}

void dispatch_close(struct dispatch *dispatch)
{
    free(dispatch->targets);
    free(dispatch->key);
    *dispatch = (struct dispatch){0};
}

/* Looks at a worker's progress when its credit is used up or old. One that had nothing to do begins anew. */
static void renew_credit(struct dispatch_target *target, int64_t now_ns)
{
    uint64_t released = atomic_load_explicit(&target->edge->released_count, memory_order_acquire);
    uint64_t emitted = atomic_load_explicit(&target->edge->emitted_count, memory_order_relaxed);
    uint64_t progress = released - target->released_count;
    int64_t elapsed_ns = now_ns > target->looked_ns ? now_ns - target->looked_ns : 1;
    if (progress > 0 || elapsed_ns >= ahead_ns) {
        double expected = (double)progress * (double)ahead_ns / (double)elapsed_ns;
        target->ahead_max = expected < DISPATCH_AHEAD_MIN ? DISPATCH_AHEAD_MIN
                            : expected > 1e9              ? UINT64_C(1000000000)
                                                          : (uint64_t)expected;
        target->released_count = released;
        target->looked_ns = now_ns;
    }
    uint64_t held = emitted - released;
    target->credit = held < target->ahead_max ? target->ahead_max - held : 0;
}

static bool may_take(struct dispatch_target *target, int64_t now_ns)
{
    if (target->credit == 0 || now_ns - target->looked_ns >= ahead_ns)
        renew_credit(target, now_ns);
    if (target->credit > 0)
        return edge_has_room(target->edge);
    edge_want_room(target->edge); /* its progress wakes us */
    return false;
}

/* How long they were here: their own times, in runs, for messages put by one batch share one. */
static void record_run(struct node_stats *stats, struct block_cursor from, uint64_t count, int64_t now_ns)
{
    int64_t run_time_ns = 0;
    uint64_t run_count = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct message *message = block_cursor_peek(&from);
        int64_t time_ns = block_message_time_ns(from.block, message);
        if (time_ns != run_time_ns) {
            histogram_record(&stats->latency, now_ns - run_time_ns, run_count);
            run_time_ns = time_ns;
            run_count = 0;
        }
        run_count++;
        block_cursor_pop(&from);
    }
    histogram_record(&stats->latency, now_ns - run_time_ns, run_count);
}

/* The same for a whole block. Where its times ascend and first and last differ by less than the histogram's bins do (a
 * tenth of the latency), all count with their middle, and the messages need not be looked at. */
static void record_block(struct node_stats *stats, struct block *block, int64_t now_ns)
{
    int64_t first_ns = block_message_time_ns(block, block_message_at(block, 0));
    int64_t spread_ns = block->time_ns - first_ns;
    int64_t latency_ns = now_ns - first_ns - spread_ns / 2;
    if (block->times != BLOCK_TIMES_MIXED && spread_ns <= latency_ns / 10)
        histogram_record(&stats->latency, latency_ns, block->message_count);
    else
        record_run(stats, (struct block_cursor){.block = block}, block->message_count, now_ns);
}

/* A whole block, uncopied: when its messages are within the worker's share, or so near it that cutting the block costs
 * more than the inequality. */
static uint64_t give_block(struct dispatch *dispatch, struct dispatch_target *target, struct message_store *store,
                           uint64_t share, uint64_t most, int64_t now_ns)
{
    struct block *block = message_store_peek_block(store);
    if (block == NULL || block->inline_bytes != target->edge->block_bytes || block->message_count > target->credit ||
        block->message_count > share + share / 4 || block->message_count > most || !edge_can_give_block(target->edge))
        return 0;
    uint32_t count = block->message_count;
    record_block(dispatch->node->stats, block, now_ns);
    message_store_keep(store, edge_give_block(target->edge, message_store_remove_block(store)));
    return count;
}

static uint64_t copy_messages(struct dispatch *dispatch, struct dispatch_target *target, struct message_store *store,
                              uint64_t share, int64_t now_ns)
{
    uint64_t most = share < target->credit ? share : target->credit;
    struct block_cursor *cursor = message_store_cursor(store);
    struct block_cursor before = *cursor;
    uint32_t given = edge_emit_run(target->edge, cursor, most < UINT32_MAX ? (uint32_t)most : UINT32_MAX);
    if (given == 0)
        return 0;
    uint32_t bytes = cursor->offset - before.offset;
    record_run(dispatch->node->stats, before, given, now_ns);
    message_store_taken(store, given, bytes);
    return given;
}

static void count_given(struct dispatch *dispatch, size_t index, uint64_t given)
{
    dispatch->targets[index].credit -= given;
    if (dispatch->handed == NULL)
        stats_add(&dispatch->node->stats->out_count, given);
    else if (given > 0)
        dispatch->handed(dispatch->context, index, given);
}

/* Its share, or somewhat more, but not more than `most`. */
static uint64_t give(struct dispatch *dispatch, size_t index, struct message_store *store, uint64_t share,
                     uint64_t most, int64_t now_ns)
{
    struct dispatch_target *target = &dispatch->targets[index];
    uint64_t given = give_block(dispatch, target, store, share, most, now_ns);
    if (given == 0)
        given = copy_messages(dispatch, target, store, share < most ? share : most, now_ns);
    count_given(dispatch, index, given);
    return given;
}

static size_t next_target(struct dispatch *dispatch)
{
    size_t index = dispatch->next_target;
    dispatch->next_target = index + 1 < dispatch->active_count ? index + 1 : 0;
    return index;
}

/* One round: each worker that has room gets its share of the `left` oldest. */
static uint64_t give_round(struct dispatch *dispatch, struct message_store *store, uint64_t left, int64_t now_ns)
{
    size_t count = dispatch->active_count;
    uint64_t share = (left + count - 1) / count;
    uint64_t given = 0;
    for (size_t i = 0; i < count && given < left; i++) {
        size_t index = next_target(dispatch);
        if (may_take(&dispatch->targets[index], now_ns))
            given += give(dispatch, index, store, share, left - given, now_ns);
    }
    return given;
}

static void flush(struct dispatch *dispatch)
{
    for (size_t i = 0; i < dispatch->target_count; i++)
        edge_flush(dispatch->targets[i].edge);
}

/* The oldest message, if its replica has room. */
static uint64_t give_by_key(struct dispatch *dispatch, struct message_store *store, int64_t now_ns)
{
    const struct message *message = message_store_peek(store);
    size_t index = message_key_choose(dispatch->key, message->text, message->length, dispatch->active_count);
    return may_take(&dispatch->targets[index], now_ns) ? give(dispatch, index, store, 1, 1, now_ns) : 0;
}

uint64_t dispatch_messages(struct dispatch *dispatch, struct message_store *store, uint64_t count_max, int64_t now_ns)
{
    uint64_t given = 0;
    uint64_t round = 1;
    while (round > 0 && given < DISPATCH_BATCH_MAX && dispatch->target_count > 0) {
        uint64_t left = count_max - given < store->message_count ? count_max - given : store->message_count;
        if (left == 0)
            break;
        round =
            dispatch->key == NULL ? give_round(dispatch, store, left, now_ns) : give_by_key(dispatch, store, now_ns);
        given += round;
    }
    flush(dispatch);
    return given;
}

bool dispatch_message(struct dispatch *dispatch, const void *text, uint32_t length, int64_t put_ns, int64_t now_ns)
{
    for (size_t i = 0; i < dispatch->active_count; i++) {
        size_t index = dispatch->key == NULL ? next_target(dispatch)
                                             : message_key_choose(dispatch->key, text, length, dispatch->active_count);
        if (!may_take(&dispatch->targets[index], now_ns))
            continue;
        edge_emit(dispatch->targets[index].edge, text, length, put_ns);
        edge_flush(dispatch->targets[index].edge);
        histogram_record(&dispatch->node->stats->latency, now_ns - put_ns, 1);
        count_given(dispatch, index, 1);
        return true;
    }
    return false;
}
