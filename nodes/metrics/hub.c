#include "nodes/metrics/hub.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/idle.h"
#include "engine/topology_spec.h"

static const int64_t settle_ns = 250 * NS_PER_MS;
static const int64_t close_grace_ns = 2 * NS_PER_S;

struct hub_change {
    int works;
    char reason[256];
};

/* The poster's thread. */
static void observe(void *context, int works, const char *reason)
{
    struct hub *hub = context;
    struct hub_change *change = malloc(sizeof *change);
    CHECK(change != NULL);
    change->works = works;
    snprintf(change->reason, sizeof change->reason, "%s", reason);
    free(atomic_exchange_explicit(&hub->change, change, memory_order_acq_rel));
    idle_wake(hub->node->idle);
}

enum status hub_open(struct hub *hub, struct node *node, const char *uri, unsigned first_counter, struct error *error)
{
    hub->node = node;
    hub->uri = uri;
    hub->first_counter = first_counter;
    return uri != NULL ? http_post_open(&hub->poster, uri, observe, hub, error) : STATUS_OK;
}

void hub_post(struct hub *hub, const struct text *body)
{
    if (hub->poster == NULL || text_failed(body))
        return;
    http_post_send(hub->poster, body->data, body->length);
    hub->posted_count++;
}

static void log_change(struct hub *hub)
{
    struct hub_change *change = atomic_exchange_explicit(&hub->change, NULL, memory_order_acq_rel);
    if (change == NULL)
        return;
    if (change->works)
        log_line(hub->node->log, LOG_INFO, "the monitoring hub at %s takes posts", hub->uri);
    else
        log_line(hub->node->log, LOG_WARN, "the monitoring hub at %s takes no posts: %s", hub->uri, change->reason);
    free(change);
}

static void count(struct hub *hub, const struct http_post_counts *counts)
{
    _Atomic uint64_t *counters = &hub->node->stats->counters[hub->first_counter];
    stats_set(&counters[0], counts->delivered_count);
    stats_set(&counters[1], counts->retried_count);
    stats_set(&counters[2], counts->dropped_count);
}

void hub_step(struct hub *hub)
{
    if (hub->poster == NULL)
        return;
    struct http_post_counts counts = http_post_counts(hub->poster);
    count(hub, &counts);
    log_change(hub);
}

bool hub_has_settled(struct hub *hub, int64_t now_ns)
{
    if (hub->poster == NULL)
        return true;
    struct http_post_counts counts = http_post_counts(hub->poster);
    if (counts.delivered_count + counts.dropped_count == hub->posted_count)
        return true;
    if (hub->settle_since_ns == 0)
        hub->settle_since_ns = now_ns;
    int64_t part_ns = hub->node->spec->launch.drain_timeout_ns / 4; /* the launch is to end within the whole of it */
    return now_ns - hub->settle_since_ns >= (settle_ns < part_ns ? settle_ns : part_ns);
}

void hub_close(struct hub *hub)
{
    if (hub->poster == NULL)
        return;
    struct http_post_counts counts;
    http_post_close(&hub->poster, close_grace_ns, &counts);
    count(hub, &counts);
    log_change(hub);
}
