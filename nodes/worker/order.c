#include "nodes/worker/order.h"

#include "nodes/message_key.h"
#include "nodes/node_types.h"

/* The node of the launch that listens there, or NULL. */
static const struct node_spec *find_queue(const struct topology_spec *spec, const struct address *address)
{
    for (size_t i = 0; i < spec->node_count; i++) {
        const struct node_spec *node = &spec->nodes[i];
        for (const struct option *option = node->type->options; option->name != NULL; option++) {
            const struct address_list *list = (const void *)((const char *)node->config + option->offset);
            for (size_t j = 0; option->role == ROLE_LISTEN && j < list->count; j++)
                if (address_reaches(address, &list->items[j]))
                    return node;
        }
    }
    return NULL;
}

/* How many in the launch take from this queue, by whichever of its addresses. */
static uint64_t count_takers(const struct topology_spec *spec, const struct node_spec *queue)
{
    uint64_t count = 0;
    for (size_t i = 0; i < spec->node_count; i++) {
        const struct worker_config *config = spec->nodes[i].config;
        for (size_t j = 0; spec->nodes[i].type == &worker_type && j < config->input_address.count; j++)
            count += find_queue(spec, &config->input_address.items[j]) == queue;
    }
    for (size_t i = 0; i < spec->application_port_count; i++)
        count += spec->application_ports[i].kind == LINK_GET &&
                 find_queue(spec, &spec->application_ports[i].address) == queue;
    return count;
}

enum status worker_check_order(const struct worker_config *config, const struct topology_spec *spec,
                               struct error *error)
{
    struct message_key key;
    if (config->order == ORDER_KEY && message_key_open(&key, config->order_key, error) != STATUS_OK)
        return STATUS_USAGE;
    if (config->order == ORDER_NONE || config->replica_count == 1)
        return STATUS_OK;
    const char *order = config->order == ORDER_KEY ? "key" : "fifo";
    if (spec->launch.join == JOIN_SOCKETS)
        return error_set(error, STATUS_USAGE,
                         "--order %s: with --join sockets each replica asks for itself; use --join rings or --count 1",
                         order);
    for (size_t i = 0; i < config->input_address.count; i++) {
        const char *text = config->input_address.items[i].text;
        const struct node_spec *queue = find_queue(spec, &config->input_address.items[i]);
        if (queue == NULL)
            return error_set(error, STATUS_USAGE,
                             "--order %s: the queue %s is not in this launch, so each replica asks for itself; put it "
                             "into this launch or use --count 1",
                             order, text);
        if (count_takers(spec, queue) != config->replica_count)
            return error_set(error, STATUS_USAGE,
                             "--order %s: others take from %s, too; give it a queue of its own or use --order none",
                             order, text);
    }
    return STATUS_OK;
}
