#include "nodes/worker_durable.h"

#include <stdio.h>
#include <string.h>

#include "engine/journal.h"
#include "engine/topology_spec.h"
#include "nodes/node_types.h"

bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec)
{
    const struct worker_config *config = node->config;
    return spec->launch.store != NULL && config->guarantee != GUARANTEE_AT_MOST_ONCE;
}

/* ---- its name ---- */

static bool same_inputs(const struct worker_config *one, const struct worker_config *other)
{
    if (one->input_address.count != other->input_address.count)
        return false;
    for (size_t i = 0; i < one->input_address.count; i++)
        if (strcmp(one->input_address.items[i].text, other->input_address.items[i].text) != 0)
            return false;
    return true;
}

/* How many workers with this function and these inputs the launch has before this one: replicas and others. */
static unsigned count_alike_before(const struct node *node)
{
    const struct worker_config *own = node->config;
    unsigned count = 0;
    for (size_t i = 0; i < node->spec->node_count && node->spec->nodes[i].config != own; i++) {
        const struct worker_config *other = node->spec->nodes[i].config;
        if (node->spec->nodes[i].type == &worker_type && strcmp(other->function, own->function) == 0 &&
            same_inputs(own, other))
            count++;
    }
    return count;
}

enum status worker_durable_name(const struct node *node, char name[WORKER_NAME_BYTES], struct error *error)
{
    const struct worker_config *config = node->config;
    if (node->common->vuid != NULL) {
        snprintf(name, WORKER_NAME_BYTES, "%s", node->vuid);
        return STATUS_OK;
    }
    size_t length = (size_t)snprintf(name, WORKER_NAME_BYTES, "%s", config->function);
    for (size_t i = 0; i < config->input_address.count && length < WORKER_NAME_BYTES; i++)
        length += (size_t)snprintf(name + length, WORKER_NAME_BYTES - length, "%s%s", i == 0 ? "@" : ",",
                                   config->input_address.items[i].text);
    if (length < WORKER_NAME_BYTES)
        length += (size_t)snprintf(name + length, WORKER_NAME_BYTES - length, "#%u", count_alike_before(node) + 1);
    if (length < WORKER_NAME_BYTES)
        return STATUS_OK;
    return error_set(error, STATUS_USAGE,
                     "the store needs a shorter name for it than its inputs make; give it a --vuid");
}

/* ---- its state ---- */

static void put_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    const struct worker *worker = context;
    journal_put(worker->node->journal, worker->stored_state, key, key_length, value, value_length);
}

static void remove_pair(void *context, const void *key, size_t key_length)
{
    const struct worker *worker = context;
    journal_delete(worker->node->journal, worker->stored_state, key, key_length);
}

/* A visit that ends at 0 as one that goes on while it is true. */
struct shown_pairs {
    millrace_pair_visit *visit;
    void *context;
};

static bool show_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    const struct shown_pairs *pairs = context;
    return pairs->visit(pairs->context, key, key_length, value, value_length) == 0;
}

static enum status read_state(void *context, millrace_pair_visit *visit, void *visit_context, struct error *error)
{
    const struct worker *worker = context;
    struct shown_pairs pairs = {visit, visit_context};
    return store_read_state(journal_store(worker->node->journal), worker->stored_state, show_pair, &pairs, error);
}

static bool is_kept(const struct worker *worker)
{
    return worker->node->durable && worker->node->journal != NULL;
}

enum status worker_durable_keep_state(struct worker *worker, struct error *error)
{
    char name[WORKER_NAME_BYTES];
    if (!is_kept(worker))
        return STATUS_OK;
    enum status status = worker_durable_name(worker->node, name, error);
    if (status == STATUS_OK)
        status = store_find_state(journal_store(worker->node->journal), name, &worker->stored_state, error);
    worker->state_keeper =
        (struct worker_state_keeper){.read = read_state, .put = put_pair, .remove = remove_pair, .context = worker};
    return status;
}

/* ---- its cuts ---- */

static bool leads_to_durable(const struct port *port)
{
    return port->edge != NULL && port->peer != NULL && port->peer->durable;
}

/*
 * What it emitted to durable queues of the launch is with them, and what goes out by other ways has left: a message is
 * settled at the cut, and must not be while its outputs are only here. A ring to a node that is not durable is left at
 * once; what is on it lives as long as that node's own messages do.
 */
static bool is_clean(void *context)
{
    const struct worker *worker = context;
    const struct node *node = worker->node;
    for (size_t i = 0; i < node->output_count; i++)
        if (leads_to_durable(&node->outputs[i]) && edge_in_flight(node->outputs[i].edge) > 0)
            return false;
    return outlets_counts(worker->outlets, worker->outlet_count).held_count == 0;
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
    if (journal_is_cutting(node->journal))
        return false;
    for (size_t i = 0; i < node->output_count; i++)
        if (leads_to_durable(&node->outputs[i]) && node->outputs[i].peer->refuses_input)
            return false;
    return true;
}
