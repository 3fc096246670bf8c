#include "nodes/worker/worker_private.h"

#include "engine/store/journal.h"
#include "engine/topology_spec.h"

bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec)
{
    const struct worker_config *config = node->config;
    return spec->launch.store != NULL && config->guarantee != GUARANTEE_AT_MOST_ONCE;
}

static bool leads_to_durable(const struct port *port)
{
    return port->edge != NULL && port->peer != NULL && port->peer->durable;
}

/*
 * What it emitted to durable queues of the launch is with them: a message is settled at the cut, and must not be while
 * its outputs are only here. What goes out of the launch is in an outbox, in the batch. A ring to a node that is not
 * durable is left at once; what is on it lives as long as that node's own messages do.
 */
static bool is_clean(void *context)
{
    const struct worker *worker = context;
    const struct node *node = worker->node;
    for (size_t i = 0; i < node->output_count; i++)
        if (leads_to_durable(&node->outputs[i]) && edge_in_flight(node->outputs[i].edge) > 0)
            return false;
    return true;
}

void worker_durable_join(struct worker *worker)
{
    if (!worker->is_kept)
        return;
    struct journal_member member = {.is_clean = is_clean, .context = worker};
    journal_join(worker->node->journal, &member);
}

bool worker_durable_is_shut_out(const struct worker *worker)
{
    const struct node *node = worker->node;
    for (size_t i = 0; worker->is_kept && i < node->output_count; i++)
        if (leads_to_durable(&node->outputs[i]) && node->outputs[i].peer->takes_no_more)
            return true;
    return false;
}

bool worker_durable_input_stays(const struct worker *worker, size_t input)
{
    const struct node *peer = worker->node->inputs[input].peer;
    if (!worker->is_kept || peer == NULL || !peer->durable || peer->type->carries == NULL)
        return false;
    return peer->type->carries(peer->config).durability != DURABILITY_MEMORY;
}

bool worker_durable_may_take(const struct worker *worker)
{
    const struct node *node = worker->node;
    if (!worker->is_kept)
        return true;
    /* Without room (a full disk) what it did would pile up in the open batch. */
    if (journal_is_cutting(node->journal) || !journal_has_room(node->journal))
        return false;
    for (size_t i = 0; i < node->output_count; i++)
        if (leads_to_durable(&node->outputs[i]) && node->outputs[i].peer->refuses_input)
            return false;
    return true;
}
