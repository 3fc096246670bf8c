#include "engine/node_loop.h"

#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"

/* While rings keep a node busy, its sockets are looked at this often: often enough for a client (a datagram's way takes
 * 10 us anyhow), rarely enough that the system call does not show. While sockets bring work they are looked at each
 * turn; with --busy-poll always. */
static const int64_t poll_interval_ns = 20 * NS_PER_US;
/* The same where no node has any, and a process is answered there now and then (control.h). */
static const int64_t rare_poll_interval_ns = NS_PER_MS;

/* A busy node's log lines reach the terminal or the file after this at the latest. */
static const int64_t log_flush_interval_ns = 100 * NS_PER_MS;

static void finish(struct node_loop *loop, struct node *node)
{
    if (node->type->reports)
        node_log_latency(node);
    log_flush(node->log);
    atomic_store_explicit(&node->ended, true, memory_order_release);
    loop->node_ended(node);
}

static bool has_news(const struct node *node)
{
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].edge != NULL && edge_has_news(node->inputs[i].edge))
            return true;
    return false;
}

/* Nothing can come to it but what node_loop.h names, and it waits for nobody. */
static bool is_out_of_work(const struct node *node)
{
    return !node->has_descriptors && node_in_flight(node->outputs, node->output_count) == 0 && !has_news(node);
}

static bool stays_quiet(const struct node *node, int64_t now_ns)
{
    return node->quiet && now_ns < node->deadline_ns && !has_news(node);
}

/* `may_rest`: the loop leaves quiet nodes alone. A node that still works is not looked at from outside: that would read
 * what its consumers write. */
static size_t step(struct node *node, int64_t now_ns, bool may_rest)
{
    bool was_out_of_work = may_rest && node->rested && is_out_of_work(node);
    size_t done = node->type->step(node, now_ns);
    if (done > 0)
        stats_add(&node->stats->step_count, 1);
    node->rested = done == 0;
    node->quiet = was_out_of_work && node->rested && node_in_flight(node->outputs, node->output_count) == 0;
    node->settled = false;
    return done;
}

static size_t look_at_descriptors(struct node_loop *loop, int64_t now_ns, int64_t *next_poll_ns)
{
    if (loop->idle.poller == NULL || now_ns < *next_poll_ns)
        return 0;
    size_t served = poller_wait(loop->idle.poller, 0);
    if (served > 0 || idle_polls(&loop->idle))
        *next_poll_ns = now_ns;
    else
        *next_poll_ns = now_ns + (loop->polls_rarely ? rare_poll_interval_ns : poll_interval_ns);
    return served;
}

/* Whether the next turn would find every node quiet. Its nodes' edges among themselves need no look: whoever moves
 * something there is not quiet. */
static bool may_skip_turn(const struct node_loop *loop, int64_t now_ns)
{
    if (!loop->all_quiet || now_ns >= loop->quiet_until_ns)
        return false;
    for (size_t i = 0; i < loop->outer_input_count; i++)
        if (edge_has_news(loop->outer_inputs[i]))
            return false;
    return true;
}

static size_t step_nodes(struct node_loop *loop, int64_t now_ns, int64_t *next_poll_ns, int64_t *deadline_ns,
                         bool *all_done)
{
    /* Relaxed: a step asks again. A stop that comes after this look wakes the loop for one more. */
    const _Atomic int *stop_phase = loop->nodes[0]->stop_phase;
    bool may_rest = loop->prepared && stop_phase != NULL && loop->node_count > 1 &&
                    atomic_load_explicit(stop_phase, memory_order_relaxed) == STOP_NOT;
    size_t work = look_at_descriptors(loop, now_ns, next_poll_ns);
    *deadline_ns = CLOCK_NEVER_NS;
    *all_done = true;
    if (may_rest && work == 0 && may_skip_turn(loop, now_ns)) {
        *deadline_ns = loop->quiet_until_ns;
        *all_done = false;
        return 0;
    }
    loop->all_quiet = true;
    for (size_t i = 0; i < loop->node_count; i++) {
        struct node *node = loop->nodes[i];
        if (node->done)
            continue;
        if (!may_rest || !stays_quiet(node, now_ns)) {
            size_t done = step(node, now_ns, may_rest);
            work += done;
            if (node->done) {
                finish(loop, node);
                work++;
                continue;
            }
            if (done > 0 && loop->reads_clock && i + 1 < loop->node_count) {
                now_ns = clock_monotonic_ns();
                work += look_at_descriptors(loop, now_ns, next_poll_ns);
            }
        }
        *all_done = false;
        loop->all_quiet = loop->all_quiet && node->quiet;
        if (node->deadline_ns < *deadline_ns)
            *deadline_ns = node->deadline_ns;
    }
    loop->quiet_until_ns = *deadline_ns;
    return work;
}

static size_t end_turn(struct node_loop *loop, int64_t now_ns, int64_t *deadline_ns)
{
    size_t work = loop->turn_end(loop->turn_end_context, now_ns, deadline_ns);
    if (work > 0) {
        loop->all_quiet = false;
        for (size_t i = 0; i < loop->node_count; i++)
            loop->nodes[i]->quiet = false;
    }
    return work;
}

size_t node_loop_turn(struct node_loop *loop, int64_t now_ns, int64_t *next_poll_ns, int64_t *deadline_ns,
                      bool *all_done)
{
    size_t work = step_nodes(loop, now_ns, next_poll_ns, deadline_ns, all_done);
    if (loop->turn_end != NULL)
        work += end_turn(loop, now_ns, deadline_ns);
    return work;
}

static void flush_logs(struct node_loop *loop)
{
    for (size_t i = 0; i < loop->node_count; i++)
        log_flush(loop->nodes[i]->log);
}

/*
 * Before sleeping: what others wait for is given to them. A node that was not called since has nothing more to give: a
 * producer that has come to want room meanwhile found it, for it looks again behind its own fence (idle.h).
 */
static void settle(struct node_loop *loop)
{
    for (size_t i = 0; i < loop->node_count; i++) {
        struct node *node = loop->nodes[i];
        if (node->settled)
            continue;
        node->settled = true;
        log_flush(node->log);
        for (size_t j = 0; j < node->input_count; j++)
            if (node->inputs[j].edge != NULL)
                edge_consumer_rests(node->inputs[j].edge);
    }
}

static bool is_outer(const struct node_loop *loop, const struct idle *other_end)
{
    return other_end != &loop->idle;
}

/* Whether other threads hand over to it by rings, or it to them. */
static bool has_outer_rings(const struct node_loop *loop)
{
    for (size_t i = 0; i < loop->node_count; i++) {
        const struct node *node = loop->nodes[i];
        for (size_t j = 0; j < node->output_count; j++)
            if (node->outputs[j].edge != NULL && is_outer(loop, node->outputs[j].edge->consumer_idle))
                return true;
    }
    return loop->outer_input_count > 0;
}

void node_loop_prepare(struct node_loop *loop)
{
    loop->prepared = true;
    loop->polls_rarely = true;
    for (size_t i = 0; i < loop->node_count; i++) {
        const struct node *node = loop->nodes[i];
        loop->polls_rarely = loop->polls_rarely && !node->has_descriptors;
        for (size_t j = 0; j < node->input_count; j++) {
            struct edge *edge = node->inputs[j].edge;
            if (edge == NULL || !is_outer(loop, edge->producer_idle))
                continue;
            size_t count = loop->outer_input_count++;
            loop->outer_inputs = realloc(loop->outer_inputs, (count + 1) * sizeof *loop->outer_inputs);
            CHECK(loop->outer_inputs != NULL);
            loop->outer_inputs[count] = edge;
        }
    }
}

static void *run(void *argument)
{
    struct node_loop *loop = argument;
    int64_t next_poll_ns = 0;
    int64_t next_log_flush_ns = 0;
    pthread_setname_np(pthread_self(), loop->thread_name);
    loop->idle.impatient = !has_outer_rings(loop);
    loop->reads_clock = true;
    idle_begin(&loop->idle);
    for (;;) {
        int64_t deadline_ns;
        bool all_done;
        int64_t now_ns = clock_monotonic_ns();
        size_t work = node_loop_turn(loop, now_ns, &next_poll_ns, &deadline_ns, &all_done);
        if (all_done)
            break;
        if (now_ns >= next_log_flush_ns) {
            flush_logs(loop);
            next_log_flush_ns = now_ns + log_flush_interval_ns;
        }
        if (work > 0) {
            idle_busy(&loop->idle);
            continue;
        }
        if (idle_is_armed(&loop->idle))
            settle(loop);
        if (idle_rest(&loop->idle, now_ns, deadline_ns) > 0)
            next_poll_ns = 0;
    }
    idle_end(&loop->idle);
    return NULL;
}

enum status node_loop_start(struct node_loop *loop, struct error *error)
{
    node_loop_prepare(loop);
    int result = pthread_create(&loop->thread, NULL, run, loop);
    if (result != 0)
        return error_set_errno(error, result, "cannot start the thread %s", loop->thread_name);
    loop->started = true;
    return STATUS_OK;
}

void node_loop_join(struct node_loop *loop)
{
    if (loop->started)
        pthread_join(loop->thread, NULL);
    loop->started = false;
    free(loop->outer_inputs);
    loop->outer_inputs = NULL;
    loop->outer_input_count = 0;
    loop->prepared = false;
}
