#include "engine/node_loop.h"

#include "engine/clock.h"

/* While rings keep a node busy, its sockets are looked at this often: often enough for a client (a datagram's way takes
 * 10 us anyhow), rarely enough that the system call does not show. While sockets bring work they are looked at each
 * turn. */
static const int64_t poll_interval_ns = 20 * NS_PER_US;

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

size_t node_loop_turn(struct node_loop *loop, int64_t now_ns, int64_t *next_poll_ns, int64_t *deadline_ns,
                      bool *all_done)
{
    size_t work = 0;
    *deadline_ns = CLOCK_NEVER_NS;
    *all_done = true;
    if (loop->idle.poller != NULL && now_ns >= *next_poll_ns) {
        size_t served = poller_wait(loop->idle.poller, 0);
        *next_poll_ns = served > 0 ? now_ns : now_ns + poll_interval_ns;
        work += served;
    }
    for (size_t i = 0; i < loop->node_count; i++) {
        struct node *node = loop->nodes[i];
        if (node->done)
            continue;
        size_t done = node->type->step(node, now_ns);
        if (done > 0)
            stats_add(&node->stats->step_count, 1);
        work += done;
        if (node->done) {
            finish(loop, node);
            work++;
            continue;
        }
        *all_done = false;
        if (node->deadline_ns < *deadline_ns)
            *deadline_ns = node->deadline_ns;
    }
    return work;
}

static void flush_logs(struct node_loop *loop)
{
    for (size_t i = 0; i < loop->node_count; i++)
        log_flush(loop->nodes[i]->log);
}

/* Before sleeping: what others wait for is given to them. */
static void settle(struct node_loop *loop)
{
    flush_logs(loop);
    for (size_t i = 0; i < loop->node_count; i++) {
        struct node *node = loop->nodes[i];
        for (size_t j = 0; j < node->input_count; j++)
            if (node->inputs[j].edge != NULL)
                edge_consumer_rests(node->inputs[j].edge);
    }
}

static bool has_rings(const struct node_loop *loop)
{
    for (size_t i = 0; i < loop->node_count; i++) {
        const struct node *node = loop->nodes[i];
        for (size_t j = 0; j < node->input_count; j++)
            if (node->inputs[j].edge != NULL)
                return true;
        for (size_t j = 0; j < node->output_count; j++)
            if (node->outputs[j].edge != NULL)
                return true;
    }
    return false;
}

static void *run(void *argument)
{
    struct node_loop *loop = argument;
    int64_t next_poll_ns = 0;
    int64_t next_log_flush_ns = 0;
    pthread_setname_np(pthread_self(), loop->thread_name);
    loop->idle.impatient = !has_rings(loop);
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
}
