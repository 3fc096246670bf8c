#include "nodes/worker/worker_private.h"

#include <stdio.h>

#include "engine/store/journal.h"
#include "engine/topology_spec.h"

bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec)
{
    const struct worker_config *config = node->config;
    return spec->launch.store != NULL && config->guarantee != GUARANTEE_AT_MOST_ONCE;
}

static bool is_kept(const struct worker *worker)
{
    return worker->node->durable && worker->node->journal != NULL;
}

enum status worker_durable_outbox_name(const struct worker *worker, const struct port *port, char *name, bool *boxed,
                                       struct error *error)
{
    char own[STORE_NAME_BYTES_MAX + 1];
    *boxed = is_kept(worker) && port->edge == NULL;
    if (!*boxed)
        return STATUS_OK;
    enum status status = worker_kept_state_name(worker->node, own, error);
    if (status != STATUS_OK)
        return status;
    int length = snprintf(name, STORE_NAME_BYTES_MAX + 1, "outbox %s of %s", port->address->text, own);
    return length <= STORE_NAME_BYTES_MAX
               ? STATUS_OK
               : error_set(error, STATUS_USAGE, "the store needs a shorter name for it; give it a short --vuid");
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
    if (!is_kept(worker))
        return;
    struct journal_member member = {.is_clean = is_clean, .context = worker};
    journal_join(worker->node->journal, &member);
}

bool worker_durable_may_take(const struct worker *worker)
{
    const struct node *node = worker->node;
    if (!is_kept(worker))
        return true;
    /* Without room (a full disk) what it did would pile up in the open batch. */
    if (journal_is_cutting(node->journal) || !journal_has_room(node->journal))
        return false;
    for (size_t i = 0; i < node->output_count; i++)
        if (leads_to_durable(&node->outputs[i]) && node->outputs[i].peer->refuses_input)
            return false;
    return true;
}
