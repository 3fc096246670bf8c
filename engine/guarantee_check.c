#include "engine/guarantee_check.h"

#include <string.h>

/* ---- what nodes say of themselves ---- */

enum guarantee guarantee_of(const struct topology_spec *spec, size_t node)
{
    if (node >= spec->node_count || spec->nodes[node].type->promises == NULL)
        return GUARANTEE_AT_MOST_ONCE;
    return spec->nodes[node].type->promises(spec->nodes[node].config);
}

bool guarantee_carriage(const struct topology_spec *spec, size_t node, struct carriage *carriage)
{
    *carriage = (struct carriage){0};
    if (node >= spec->node_count || spec->nodes[node].type->carries == NULL)
        return false;
    *carriage = spec->nodes[node].type->carries(spec->nodes[node].config);
    return true;
}

static bool is_durable_queue(const struct topology_spec *spec, size_t node)
{
    struct carriage carriage;
    return guarantee_carriage(spec, node, &carriage) && carriage.durability != DURABILITY_MEMORY;
}

static const struct address_list *option_addresses(const struct node_spec *node, const struct option *option)
{
    return (const struct address_list *)(const void *)((const char *)node->config + option->offset);
}

const char *guarantee_node_name(char text[GUARANTEE_NAME_BYTES], const struct topology_spec *spec, size_t index)
{
    const struct node_spec *node = &spec->nodes[index];
    const struct option *option = node->type->options;
    while (option != NULL && option->name != NULL && option->role != ROLE_LISTEN)
        option++;
    if (option == NULL || option->name == NULL || option_addresses(node, option)->count == 0)
        snprintf(text, GUARANTEE_NAME_BYTES, "%s", node->name);
    else
        snprintf(text, GUARANTEE_NAME_BYTES, "%s at %s", node->name, option_addresses(node, option)->items[0].text);
    return text;
}

/* ---- links ---- */

/* Whether the address is one of the node's --dead-letter: the wiring knows outputs only. */
static bool is_dead_letter(const struct topology_spec *spec, size_t index, const struct address *address)
{
    const struct node_spec *node = &spec->nodes[index];
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++) {
        if (option->role != ROLE_OUTPUT || strcmp(option->name, "dead-letter") != 0)
            continue;
        const struct address_list *list = option_addresses(node, option);
        for (size_t i = 0; i < list->count; i++)
            if (address == &list->items[i])
                return true;
    }
    return false;
}

static const struct wiring_port *port_of_edge(const struct wiring_port *ports, size_t count, size_t edge)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i].edge == edge)
            return &ports[i];
    return NULL;
}

static struct guarantee_link ring_link(const struct topology_spec *spec, const struct wiring *wiring, size_t index)
{
    const struct wiring_edge *edge = &wiring->edges[index];
    struct guarantee_link link = {.from = edge->producer, .to = edge->consumer, .by_ring = true};
    const struct wiring_port *port = NULL;
    if (edge->consumer != WIRING_NONE) {
        const struct wiring_node *to = &wiring->nodes[edge->consumer];
        port = port_of_edge(to->inputs, to->input_count, index);
    }
    if (edge->producer != WIRING_NONE && (port == NULL || port->address == NULL)) {
        const struct wiring_node *from = &wiring->nodes[edge->producer];
        port = port_of_edge(from->outputs, from->output_count, index);
    }
    if (port != NULL) {
        link.address = port->address;
        link.kind = port->kind;
        link.dead_letter = edge->producer < spec->node_count && is_dead_letter(spec, edge->producer, port->address);
    }
    return link;
}

/* The one after `skip` others over the network. */
static bool network_link(const struct topology_spec *spec, const struct wiring *wiring, size_t skip,
                         struct guarantee_link *link)
{
    for (size_t i = 0; i < spec->node_count; i++) {
        const struct wiring_node *node = &wiring->nodes[i];
        for (size_t j = 0; j < node->input_count + node->output_count; j++) {
            bool takes = j < node->input_count;
            const struct wiring_port *port = takes ? &node->inputs[j] : &node->outputs[j - node->input_count];
            if (port->edge != WIRING_NONE || skip-- > 0)
                continue;
            *link = (struct guarantee_link){
                .from = takes ? port->peer : i,
                .to = takes ? i : port->peer,
                .address = port->address,
                .kind = port->kind,
                .dead_letter = !takes && is_dead_letter(spec, i, port->address),
            };
            return true;
        }
    }
    return false;
}

/* An edge from the reporter, the node behind those of the spec, carries metrics. */
bool guarantee_next_link(const struct topology_spec *spec, const struct wiring *wiring, size_t *index,
                         struct guarantee_link *link)
{
    while (*index < wiring->edge_count) {
        *link = ring_link(spec, wiring, (*index)++);
        if (link->from == WIRING_NONE || link->from < spec->node_count)
            return true;
    }
    return network_link(spec, wiring, (*index)++ - wiring->edge_count, link);
}

/* ---- weak links ---- */

/* Over the network to a node of this launch (--join sockets) is as good as by ring: how that one keeps is known. */
static bool is_below(const struct topology_spec *spec, const struct guarantee_link *link, size_t other)
{
    return (link->by_ring || other != WIRING_NONE) && !is_durable_queue(spec, other);
}

/* An exactly-once worker that takes from this queue. */
static size_t exact_taker(const struct topology_spec *spec, const struct wiring *wiring, size_t queue)
{
    struct guarantee_link link;
    for (size_t i = 0; guarantee_next_link(spec, wiring, &i, &link);)
        if (link.from == queue && guarantee_of(spec, link.to) == GUARANTEE_EXACTLY_ONCE)
            return link.to;
    return WIRING_NONE;
}

static bool judge(const struct topology_spec *spec, const struct wiring *wiring, const struct guarantee_link *link,
                  struct weak_link *weak)
{
    *weak = (struct weak_link){.worker = link->to, .why = WEAK_INPUT, .link = *link};
    if (guarantee_of(spec, link->to) == GUARANTEE_EXACTLY_ONCE && is_below(spec, link, link->from))
        return true;
    if (guarantee_of(spec, link->from) == GUARANTEE_EXACTLY_ONCE) {
        weak->worker = link->from;
        weak->why = link->kind == LINK_BARE ? WEAK_BARE : WEAK_OUTPUT;
        return link->kind == LINK_BARE || is_below(spec, link, link->to);
    }
    struct carriage carriage;
    if (!link->dead_letter || !guarantee_carriage(spec, link->from, &carriage) || !is_below(spec, link, link->to))
        return false;
    weak->why = WEAK_DEAD_LETTER;
    weak->worker = exact_taker(spec, wiring, link->from);
    return weak->worker != WIRING_NONE;
}

bool guarantee_next_weak(const struct topology_spec *spec, const struct wiring *wiring, size_t *from,
                         struct weak_link *weak)
{
    struct guarantee_link link;
    while (guarantee_next_link(spec, wiring, from, &link))
        if (judge(spec, wiring, &link, weak))
            return true;
    return false;
}

static void end_name(char text[GUARANTEE_NAME_BYTES], const struct topology_spec *spec, size_t node,
                     const struct guarantee_link *link)
{
    if (node != WIRING_NONE)
        guarantee_node_name(text, spec, node);
    else
        snprintf(text, GUARANTEE_NAME_BYTES, "%s", link->address != NULL ? link->address->text : "the program");
}

void guarantee_weak_text(char *text, size_t text_bytes, const struct topology_spec *spec, const struct weak_link *weak)
{
    static const char *const what[] = {"input gives", "output gives", "output gives", "input's dead letters give"};
    char from[GUARANTEE_NAME_BYTES];
    char to[GUARANTEE_NAME_BYTES];
    end_name(from, spec, weak->link.from, &weak->link);
    end_name(to, spec, weak->link.to, &weak->link);
    const char *worker = spec->nodes[weak->worker].name;
    char why[GUARANTEE_NAME_BYTES + 128];
    char remedy[GUARANTEE_NAME_BYTES + 64];
    size_t queue = weak->why == WEAK_INPUT ? weak->link.from : weak->link.to;
    if (weak->why == WEAK_BARE) {
        snprintf(why, sizeof why, "nobody acknowledges bare messages (--output-type socket)");
        snprintf(remedy, sizeof remedy, "let it put to a queue, one with --durability sync or async if of this launch");
    } else {
        snprintf(why, sizeof why, "%s is in memory (--durability memory)", spec->nodes[queue].name);
        snprintf(remedy, sizeof remedy, "give %s --durability sync or async", spec->nodes[queue].name);
    }
    snprintf(text, text_bytes,
             "%s promises exactly-once, but its %s '%s -> %s' less: %s; raise the link: %s; or lower the promise: give "
             "%s --guarantee at-least-once",
             worker, what[weak->why], from, to, why, remedy, worker);
}

/* ---- check ---- */

static enum status check_store(const struct topology_spec *spec, struct error *error)
{
    for (size_t i = 0; i < spec->node_count && spec->launch.store == NULL; i++) {
        struct carriage carriage;
        const char *name = spec->nodes[i].name;
        if (guarantee_of(spec, i) == GUARANTEE_EXACTLY_ONCE)
            return error_set(
                error, STATUS_USAGE,
                "%s: --guarantee exactly-once needs --store DIRECTORY, where its inputs, outputs and state "
                "are kept as one; name one, or lower it to --guarantee at-least-once",
                name);
        guarantee_carriage(spec, i, &carriage);
        if (carriage.durability != DURABILITY_MEMORY)
            return error_set(error, STATUS_USAGE, "%s: --durability %s needs --store DIRECTORY", name,
                             carriage.durability == DURABILITY_SYNC ? "sync" : "async");
        if (carriage.spills)
            return error_set(error, STATUS_USAGE, "%s: --overflow spill needs --store DIRECTORY", name);
    }
    return STATUS_OK;
}

enum status guarantee_check(const struct topology_spec *spec, const struct wiring *wiring, struct error *error)
{
    struct weak_link weak;
    struct weak_link first;
    size_t count = 0;
    enum status status = check_store(spec, error);
    if (status != STATUS_OK || spec->launch.allow_weaker)
        return status;
    for (size_t i = 0; guarantee_next_weak(spec, wiring, &i, &weak); count++)
        if (count == 0)
            first = weak;
    if (count == 0)
        return STATUS_OK;
    char text[ERROR_TEXT_BYTES];
    char more[64] = "";
    guarantee_weak_text(text, sizeof text, spec, &first);
    if (count > 1)
        snprintf(more, sizeof more, " (and %zu more)", count - 1);
    return error_set(error, STATUS_USAGE, "%s; --allow-weaker starts it as it is%s", text, more);
}
