#include "engine/node.h"

#include "engine/clock.h"
#include "engine/idle.h"
#include "engine/probe.h"

enum status node_poller(struct node *node, struct poller **poller, struct error *error)
{
    node->has_descriptors = true;
    return idle_poller(node->idle, poller, error);
}

enum stop_phase node_stop_phase(const struct node *node)
{
    return (enum stop_phase)atomic_load_explicit(node->stop_phase, memory_order_acquire);
}

bool node_end_outputs(struct node *node)
{
    bool all = true;
    for (size_t i = 0; i < node->output_count; i++) {
        struct edge *edge = node->outputs[i].edge;
        if (edge != NULL)
            all = edge_flush(edge) && all;
    }
    if (!all)
        return false;
    for (size_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].edge != NULL)
            edge_end(node->outputs[i].edge);
    return true;
}

bool node_inputs_ended(struct node *node)
{
    bool stopping = node_stop_phase(node) != STOP_NOT;
    for (size_t i = 0; i < node->input_count; i++) {
        const struct port *port = &node->inputs[i];
        bool program_left = port->peer == NULL && stopping && edge_peek(port->edge) == NULL;
        if (!program_left && !edge_has_ended(port->edge))
            return false;
    }
    return true;
}

void node_log_latency(const struct node *node)
{
    struct histogram_copy latency;
    histogram_read(&node->stats->latency, &latency);
    log_line(node->log, LOG_INFO, "latency totals: %llu messages", (unsigned long long)histogram_count(&latency));
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++) {
        uint64_t count = histogram_decade_count(&latency, decade);
        if (count > 0)
            log_line(node->log, LOG_INFO, "latency below %.09f s: %llu messages, %.9f s in all",
                     (double)histogram_decade_bound_ns(decade) / (double)NS_PER_S, (unsigned long long)count,
                     (double)latency.sum_ns[decade] / (double)NS_PER_S);
    }
}

void node_drop(struct node *node, unsigned counter, uint64_t count)
{
    PROBE3(drop, node->name, node->stats->definitions[counter].name, count);
    stats_add(&node->stats->counters[counter], count);
}

uint64_t node_in_flight(const struct port *ports, size_t count)
{
    uint64_t in_flight = 0;
    for (size_t i = 0; i < count; i++)
        if (ports[i].edge != NULL)
            in_flight += edge_in_flight(ports[i].edge);
    return in_flight;
}
