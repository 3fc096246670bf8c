#include "engine/wiring.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"

static const struct address_list *addresses(const struct node_spec *node, const struct option *option)
{
    return (const struct address_list *)(const void *)((const char *)node->config + option->offset);
}

/* ---- who listens where ---- */

/* Calls for each address of a role; stops at the first that `visit` returns true for. */
typedef bool address_visitor(void *context, size_t node, const struct option *option, const struct address *address);

static bool each_address(const struct node_spec *node, size_t index, enum option_role role, address_visitor *visit,
                         void *context)
{
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++) {
        if (option->role != role || option->kind != OPTION_ADDRESSES)
            continue;
        const struct address_list *list = addresses(node, option);
        for (size_t i = 0; i < list->count; i++)
            if (visit(context, index, option, &list->items[i]))
                return true;
    }
    return false;
}

struct listener_search {
    const struct address *wanted;
    bool same; /* looks for a listener that wants the same place, not one that is reached */
    size_t found_node;
    const struct address *found_address;
};

static bool match_listener(void *context, size_t node, const struct option *option, const struct address *address)
{
    (void)option;
    struct listener_search *search = context;
    bool matches = search->same ? address_same(search->wanted, address) : address_reaches(search->wanted, address);
    if (!matches || search->wanted == address)
        return false;
    search->found_node = node;
    search->found_address = address;
    return true;
}

static size_t find_listener(const struct topology_spec *spec, const struct address *target)
{
    struct listener_search search = {.wanted = target, .found_node = WIRING_NONE};
    for (size_t i = 0; i < spec->node_count; i++)
        if (each_address(&spec->nodes[i], i, ROLE_LISTEN, match_listener, &search))
            break;
    return search.found_node;
}

struct duplicate_search {
    const struct topology_spec *spec;
    struct error *error;
};

static bool is_duplicate(void *context, size_t node, const struct option *option, const struct address *address)
{
    (void)option;
    struct duplicate_search *duplicates = context;
    const struct topology_spec *spec = duplicates->spec;
    struct listener_search search = {.wanted = address, .same = true, .found_node = WIRING_NONE};
    for (size_t i = 0; i <= node; i++)
        if (each_address(&spec->nodes[i], i, ROLE_LISTEN, match_listener, &search))
            break;
    if (search.found_node == WIRING_NONE)
        return false;
    if (search.found_node == node) {
        error_set_text(duplicates->error, "%s: --address: it listens at %s twice; once is enough",
                       spec->nodes[node].name, address->text);
        return true;
    }
    error_set_text(duplicates->error, "%s and %s both listen at %s", spec->nodes[search.found_node].name,
                   spec->nodes[node].name, address->text);
    return true;
}

static enum status check_listeners(const struct topology_spec *spec, struct error *error)
{
    struct duplicate_search duplicates = {.spec = spec, .error = error};
    for (size_t i = 0; i < spec->node_count; i++)
        if (each_address(&spec->nodes[i], i, ROLE_LISTEN, is_duplicate, &duplicates))
            return STATUS_USAGE;
    return STATUS_OK;
}

/* ---- links ---- */

static struct wiring_port *add_port(struct wiring_port **ports, size_t *count)
{
    *ports = realloc(*ports, (*count + 1) * sizeof **ports);
    CHECK(*ports != NULL);
    struct wiring_port *port = &(*ports)[(*count)++];
    *port = (struct wiring_port){.edge = WIRING_NONE, .peer = WIRING_NONE};
    return port;
}

static size_t add_edge(struct wiring *wiring, size_t producer, size_t consumer, size_t application_port)
{
    wiring->edges = realloc(wiring->edges, (wiring->edge_count + 1) * sizeof *wiring->edges);
    CHECK(wiring->edges != NULL);
    wiring->edges[wiring->edge_count] =
        (struct wiring_edge){.producer = producer, .consumer = consumer, .application_port = application_port};
    return wiring->edge_count++;
}

struct linker {
    struct wiring *wiring;
    const struct topology_spec *spec;
    struct error *error;
    enum link_kind kind; /* of the link being made; LINK_NONE: whatever the other end understands */
};

static const char *kind_text(unsigned kinds)
{
    switch (kinds) {
    case LINK_PUT:
    case LINK_PUT | LINK_GET:
        return "PUT commands (--output-type queue)";
    case LINK_BARE:
        return "bare messages (--output-type socket)";
    default:
        return "GET commands";
    }
}

/* Finds the node behind `address` and the kind of link; STATUS_USAGE if they do not fit. */
static enum status resolve(struct linker *linker, const char *who, const struct address *address, size_t *peer,
                           enum link_kind *kind)
{
    const struct topology_spec *spec = linker->spec;
    *kind = linker->kind;
    *peer = find_listener(spec, address);
    if (*peer == WIRING_NONE) {
        if (address->scheme == ADDRESS_NAME)
            return error_set(linker->error, STATUS_USAGE,
                             "%s: no node of this launch listens at '%s'; give one --address %s, or write HOST:PORT",
                             who, address->text, address->text);
        if (address_port(address) == 0)
            return error_set(linker->error, STATUS_USAGE,
                             "%s: '%s': nobody can be reached at port 0; write the port, 1 to 65535", who,
                             address->text);
        if (*kind == LINK_NONE)
            *kind = LINK_PUT;
        return STATUS_OK;
    }
    const struct node_spec *node = &spec->nodes[*peer];
    if (*kind == LINK_NONE)
        *kind = (node->type->serves & LINK_PUT) != 0 ? LINK_PUT : LINK_BARE;
    if ((node->type->serves & *kind) == 0)
        return error_set(linker->error, STATUS_USAGE, "%s: %s at %s does not take %s", who, node->name, address->text,
                         kind_text(*kind));
    if (spec->launch.join == JOIN_SOCKETS && address->scheme == ADDRESS_NAME)
        return error_set(linker->error, STATUS_USAGE,
                         "%s: '%s' has no socket: --join sockets needs HOST:PORT addresses", who, address->text);
    return STATUS_OK;
}

/* Links one outgoing address of `node` (index in the wiring). */
static enum status link_address(struct linker *linker, size_t index, const char *who, const struct address *address)
{
    struct wiring *wiring = linker->wiring;
    size_t peer;
    enum link_kind kind;
    enum status status = resolve(linker, who, address, &peer, &kind);
    if (status != STATUS_OK)
        return status;
    struct wiring_node *node = &wiring->nodes[index];
    bool takes = kind == LINK_GET;
    struct wiring_port *port =
        takes ? add_port(&node->inputs, &node->input_count) : add_port(&node->outputs, &node->output_count);
    port->address = address;
    port->kind = kind;
    port->peer = peer;
    if (peer == WIRING_NONE || linker->spec->launch.join == JOIN_SOCKETS)
        return STATUS_OK;
    port->edge = takes ? add_edge(wiring, peer, index, WIRING_NONE) : add_edge(wiring, index, peer, WIRING_NONE);
    size_t edge = port->edge;
    struct wiring_node *other = &wiring->nodes[peer];
    struct wiring_port *far_port =
        takes ? add_port(&other->outputs, &other->output_count) : add_port(&other->inputs, &other->input_count);
    *far_port = (struct wiring_port){.kind = kind, .edge = edge, .peer = index};
    return STATUS_OK;
}

static bool link_visitor(void *context, size_t index, const struct option *option, const struct address *address)
{
    struct linker *linker = context;
    const struct node_spec *node = &linker->spec->nodes[index];
    if (option->role == ROLE_INPUT)
        linker->kind = LINK_GET;
    else
        linker->kind = node->type->output_kind != NULL ? node->type->output_kind(node->config, option) : LINK_PUT;
    return link_address(linker, index, node->name, address) != STATUS_OK;
}

static enum status link_node(struct linker *linker, size_t index)
{
    const struct node_spec *node = &linker->spec->nodes[index];
    bool failed = each_address(node, index, ROLE_INPUT, link_visitor, linker) ||
                  each_address(node, index, ROLE_OUTPUT, link_visitor, linker);
    return failed ? STATUS_USAGE : STATUS_OK;
}

/* The reporter is the last node: one output for each distinct metrics address. */
static enum status link_reporter(struct linker *linker)
{
    const struct topology_spec *spec = linker->spec;
    size_t reporter = spec->node_count;
    struct wiring_node *node = &linker->wiring->nodes[reporter];
    linker->kind = LINK_BARE;
    for (size_t i = 0; i < spec->node_count; i++) {
        const struct address_list *list = &spec->nodes[i].common.metrics_address;
        for (size_t j = 0; j < list->count && spec->nodes[i].type->reports; j++) {
            bool known = false;
            for (size_t k = 0; k < node->output_count; k++)
                known = known || address_same(node->outputs[k].address, &list->items[j]);
            enum status status = known ? STATUS_OK : link_address(linker, reporter, "metrics", &list->items[j]);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

static enum status link_application(struct linker *linker)
{
    const struct topology_spec *spec = linker->spec;
    struct wiring *wiring = linker->wiring;
    for (size_t i = 0; i < spec->application_port_count; i++) {
        const struct application_port *port = &spec->application_ports[i];
        linker->kind = port->kind;
        size_t peer;
        enum link_kind kind;
        enum status status = resolve(linker, "program", &port->address, &peer, &kind);
        if (status != STATUS_OK)
            return status;
        if (peer == WIRING_NONE)
            return error_set(linker->error, STATUS_USAGE, "program: no node of this launch listens at '%s'",
                             port->address.text);
        struct wiring_node *node = &wiring->nodes[peer];
        bool takes = kind == LINK_GET;
        size_t edge = takes ? add_edge(wiring, peer, WIRING_NONE, i) : add_edge(wiring, WIRING_NONE, peer, i);
        struct wiring_port *far_port =
            takes ? add_port(&node->outputs, &node->output_count) : add_port(&node->inputs, &node->input_count);
        *far_port = (struct wiring_port){.kind = kind, .edge = edge, .peer = WIRING_NONE};
    }
    return STATUS_OK;
}

/* ---- cycles ---- */

static void mark_reachable(const struct wiring *wiring, size_t from, bool *seen, size_t *stack)
{
    size_t depth = 0;
    stack[depth++] = from;
    while (depth > 0) {
        const struct wiring_node *node = &wiring->nodes[stack[--depth]];
        for (size_t i = 0; i < node->output_count; i++) {
            size_t next = node->outputs[i].edge == WIRING_NONE ? WIRING_NONE : node->outputs[i].peer;
            if (next != WIRING_NONE && !seen[next]) {
                seen[next] = true;
                stack[depth++] = next;
            }
        }
    }
}

static void mark_cycles(struct wiring *wiring)
{
    bool *seen = calloc(wiring->node_count, sizeof *seen);
    size_t *stack = calloc(wiring->node_count + 1, sizeof *stack);
    CHECK(seen != NULL && stack != NULL);
    for (size_t i = 0; i < wiring->node_count; i++) {
        memset(seen, 0, wiring->node_count * sizeof *seen);
        mark_reachable(wiring, i, seen, stack);
        wiring->nodes[i].on_cycle = seen[i];
    }
    free(seen);
    free(stack);
}

/* ---- the whole ---- */

static bool wants_reporter(const struct topology_spec *spec)
{
    bool wants = spec->launch.metrics_uri != NULL;
    for (size_t i = 0; i < spec->node_count; i++)
        wants = wants || (spec->nodes[i].type->reports && spec->nodes[i].common.metrics_address.count > 0);
    return wants;
}

enum status wiring_make(struct wiring *wiring, const struct topology_spec *spec, struct error *error)
{
    *wiring = (struct wiring){.has_reporter = wants_reporter(spec)};
    wiring->node_count = spec->node_count + (wiring->has_reporter ? 1 : 0);
    wiring->nodes = calloc(wiring->node_count, sizeof *wiring->nodes);
    CHECK(wiring->nodes != NULL);
    struct linker linker = {.wiring = wiring, .spec = spec, .error = error};
    enum status status = check_listeners(spec, error);
    for (size_t i = 0; i < spec->node_count && status == STATUS_OK; i++)
        status = link_node(&linker, i);
    if (status == STATUS_OK && wiring->has_reporter)
        status = link_reporter(&linker);
    if (status == STATUS_OK)
        status = link_application(&linker);
    if (status == STATUS_OK)
        mark_cycles(wiring);
    else
        wiring_free(wiring);
    return status;
}

void wiring_free(struct wiring *wiring)
{
    for (size_t i = 0; i < wiring->node_count; i++) {
        free(wiring->nodes[i].inputs);
        free(wiring->nodes[i].outputs);
    }
    free(wiring->nodes);
    free(wiring->edges);
    *wiring = (struct wiring){0};
}
