#include "engine/placement.h"

#include <stdlib.h>

#include "engine/check.h"

static size_t *new_sizes(size_t count)
{
    size_t *sizes = calloc(count + 1, sizeof *sizes);
    CHECK(sizes != NULL);
    return sizes;
}

/* ---- components, in topological order ---- */

/*
 * Tarjan's strongly connected components (Depth-first search and linear graph algorithms, 1972), with a stack of its
 * own: a chain of nodes may be long. It finishes a component after all that it leads to; so read backwards its result
 * is a topological order, and a depth-first one.
 */
struct component_search {
    const struct wiring *wiring;
    size_t *number; /* in the order of discovery, from 1; 0: not seen yet */
    size_t *low;    /* the least number that is reached from it within its component */
    size_t *path;   /* nodes being visited, the innermost last */
    size_t *next;   /* how many of its outputs are still to be followed */
    size_t path_count;
    size_t *pending; /* seen, and not yet of a finished component */
    size_t pending_count;
    size_t seen_count;
    size_t *row; /* finished nodes, filled from the end: what comes last stands first */
    size_t row_first;
    size_t *component; /* of each finished node: the place in the row where its component begins */
};

static void enter(struct component_search *search, size_t node)
{
    search->number[node] = search->low[node] = ++search->seen_count;
    search->next[node] = search->wiring->nodes[node].output_count;
    search->path[search->path_count++] = node;
    search->pending[search->pending_count++] = node;
}

static void lower(size_t *low, size_t number)
{
    if (number < *low)
        *low = number;
}

/* `node` is the first of a component; the others are what is pending behind it. */
static void finish_component(struct component_search *search, size_t node)
{
    size_t from = search->pending_count;
    while (search->pending[--from] != node)
        continue;
    size_t count = search->pending_count - from;
    search->row_first -= count;
    for (size_t i = 0; i < count; i++) {
        size_t member = search->pending[from + i];
        search->row[search->row_first + i] = member;
        search->component[member] = search->row_first;
        search->low[member] = SIZE_MAX;
    }
    search->pending_count = from;
}

/* Follows one more output of the innermost node, or leaves it. */
static void advance(struct component_search *search)
{
    size_t node = search->path[search->path_count - 1];
    if (search->next[node] > 0) {
        /* The last first: read backwards, the first output's branch then comes first. */
        const struct wiring_port *port = &search->wiring->nodes[node].outputs[--search->next[node]];
        if (port->edge == WIRING_NONE || port->peer == WIRING_NONE)
            return;
        if (search->number[port->peer] == 0)
            enter(search, port->peer);
        else if (search->low[port->peer] != SIZE_MAX) /* not finished: it leads back here */
            lower(&search->low[node], search->number[port->peer]);
        return;
    }
    search->path_count--;
    size_t low = search->low[node];
    if (low == search->number[node])
        finish_component(search, node);
    else
        lower(&search->low[search->path[search->path_count - 1]], low);
}

static bool has_ring_input(const struct wiring_node *node)
{
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].edge != WIRING_NONE && node->inputs[i].peer != WIRING_NONE)
            return true;
    return false;
}

/* Those that nobody feeds begin a part of the graph each; what is left then is fed only by cycles. */
static void search_components(struct component_search *search)
{
    size_t count = search->wiring->node_count;
    for (int with_inputs = 0; with_inputs <= 1; with_inputs++)
        for (size_t j = 0; j < count; j++) {
            size_t i = with_inputs ? j : count - 1 - j; /* a lone cycle begins with its first node */
            if (search->number[i] != 0 || (!with_inputs && has_ring_input(&search->wiring->nodes[i])))
                continue;
            enter(search, i);
            while (search->path_count > 0)
                advance(search);
        }
    CHECK(search->row_first == 0);
}

/* Writes the nodes into `row`, downstream, and each node's component. */
static void make_row(const struct wiring *wiring, size_t *row, size_t *component)
{
    size_t count = wiring->node_count;
    struct component_search search = {
        .wiring = wiring,
        .number = new_sizes(count),
        .low = new_sizes(count),
        .path = new_sizes(count),
        .next = new_sizes(count),
        .pending = new_sizes(count),
        .row = row,
        .row_first = count,
        .component = component,
    };
    search_components(&search);
    free(search.number);
    free(search.low);
    free(search.path);
    free(search.next);
    free(search.pending);
}

/* ---- cutting the row ---- */

/* A component's nodes that may share. */
struct part {
    size_t component;
    size_t weight;
};

static bool is_alone(const struct topology_spec *spec, size_t node)
{
    if (node >= spec->node_count) /* the reporter reads and formats the counts of all: others would wait for it */
        return true;
    const struct node_spec *own = &spec->nodes[node];
    const struct node_type *type = own->type;
    return spec->launch.threads == THREADS_PER_NODE || own->common.cpu_list != NULL || type->may_block ||
           (type->this_may_block != NULL && type->this_may_block(own, spec));
}

static bool is_durable(const struct topology_spec *spec, size_t node)
{
    return node < spec->node_count && node_spec_is_durable(&spec->nodes[node], spec);
}

static size_t weight_of(const struct topology_spec *spec, size_t node)
{
    const struct node_spec *own = &spec->nodes[node];
    unsigned weight = own->type->this_weight != NULL ? own->type->this_weight(own, spec) : own->type->weight;
    return weight > 0 ? weight : 1;
}

/* How many runs it takes if none may be heavier than `weight_max`. */
static size_t run_count(const struct part *parts, size_t count, size_t weight_max)
{
    size_t runs = 0;
    size_t weight = weight_max;
    for (size_t i = 0; i < count; i++) {
        if (weight + parts[i].weight > weight_max) {
            runs++;
            weight = 0;
        }
        weight += parts[i].weight;
    }
    return runs;
}

/* The least weight that lets the row be cut into at most `run_max` runs. */
static size_t least_weight(const struct part *parts, size_t count, size_t run_max)
{
    size_t low = 0;
    size_t high = 0;
    for (size_t i = 0; i < count; i++) {
        low = parts[i].weight > low ? parts[i].weight : low;
        high += parts[i].weight;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (run_count(parts, count, middle) <= run_max)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/*
 * How many threads those that share get. Of themselves, the processors that are left by the nodes with a thread of
 * their own and by the embedding program. More, up to the number of processors, if there is much to do on each: then it
 * pays to take turns on a processor. (Measured on two processors with chains of 3 to 21 nodes: with the second one busy
 * elsewhere one thread is fastest up to 5 nodes, two are from 9 on.)
 */
enum { WEIGHT_WORTH_A_THREAD = 6 };

static size_t shared_thread_count(const struct topology_spec *spec, size_t alone_count, size_t weight,
                                  size_t processor_count)
{
    if (spec->launch.threads != THREADS_AUTO)
        return spec->launch.threads;
    size_t busy_count = alone_count + (spec->application_port_count > 0 ? 1 : 0);
    size_t spare = processor_count > busy_count ? processor_count - busy_count : 1;
    size_t worth = weight / WEIGHT_WORTH_A_THREAD;
    worth = worth < processor_count ? worth : processor_count;
    return spare > worth ? spare : worth;
}

/* The row's parts, and what the whole weighs; a node with a thread of its own gets its number, the durable ones get one
 * together, the others WIRING_NONE. */
static size_t make_parts(const struct topology_spec *spec, const size_t *row, const size_t *component, size_t count,
                         struct part *parts, size_t *number, size_t *alone_count, size_t *weight_sum)
{
    size_t part_count = 0;
    bool has_durable = false;
    for (size_t i = 0; i < count; i++) {
        size_t node = row[i];
        number[node] = WIRING_NONE;
        if (is_durable(spec, node)) {
            number[node] = 2 * count;
            *alone_count += !has_durable;
            has_durable = true;
            continue;
        }
        if (is_alone(spec, node)) {
            number[node] = count + node;
            *alone_count += node < spec->node_count; /* the reporter sleeps */
            continue;
        }
        if (part_count == 0 || parts[part_count - 1].component != component[node])
            parts[part_count++] = (struct part){.component = component[node]};
        parts[part_count - 1].weight += weight_of(spec, node);
        *weight_sum += weight_of(spec, node);
    }
    return part_count;
}

/* Gives each node a number that is the same for those that share a thread; the numbers have gaps. */
static void cut_row(const struct topology_spec *spec, const size_t *row, const size_t *component, size_t count,
                    size_t processor_count, size_t *number)
{
    struct part *parts = calloc(count + 1, sizeof *parts);
    CHECK(parts != NULL);
    size_t alone_count = 0;
    size_t weight_sum = 0;
    size_t part_count = make_parts(spec, row, component, count, parts, number, &alone_count, &weight_sum);
    size_t run_max = shared_thread_count(spec, alone_count, weight_sum, processor_count);
    size_t weight_max = least_weight(parts, part_count, run_max);
    size_t run = 0;
    size_t weight = 0;
    size_t part = WIRING_NONE; /* the row's current one */
    for (size_t i = 0; i < count; i++) {
        if (number[row[i]] != WIRING_NONE)
            continue;
        if (part == WIRING_NONE || parts[part].component != component[row[i]]) {
            part = part == WIRING_NONE ? 0 : part + 1;
            run += weight + parts[part].weight > weight_max;
            weight = (weight + parts[part].weight > weight_max ? 0 : weight) + parts[part].weight;
        }
        number[row[i]] = run;
    }
    free(parts);
}

/* ---- the whole ---- */

/* From numbers with gaps to threads, by their first node in the spec. */
static void number_threads(struct placement *placement, const size_t *number, size_t count)
{
    size_t *thread = new_sizes(2 * count + 1); /* of a number, from 1; 0: none yet */
    for (size_t i = 0; i < count; i++) {
        if (thread[number[i]] == 0)
            thread[number[i]] = ++placement->thread_count;
        placement->thread_of[i] = thread[number[i]] - 1;
    }
    free(thread);
}

void placement_make(struct placement *placement, const struct topology_spec *spec, const struct wiring *wiring,
                    size_t processor_count)
{
    size_t count = wiring->node_count;
    size_t *row = new_sizes(count);
    size_t *component = new_sizes(count);
    size_t *number = new_sizes(count);
    *placement = (struct placement){.order = new_sizes(count), .thread_of = new_sizes(count)};
    make_row(wiring, row, component);
    cut_row(spec, row, component, count, processor_count, number);
    number_threads(placement, number, count);
    placement->durable_thread = WIRING_NONE;
    for (size_t i = 0; i < spec->node_count && placement->durable_thread == WIRING_NONE; i++)
        if (is_durable(spec, i))
            placement->durable_thread = placement->thread_of[i];
    size_t *first = placement->first = new_sizes(placement->thread_count + 1);
    for (size_t i = 0; i < count; i++)
        first[placement->thread_of[i] + 1]++;
    for (size_t i = 0; i < placement->thread_count; i++)
        first[i + 1] += first[i];
    for (size_t i = 0; i < count; i++) /* first[t] moves to the next thread's while t is filled; and back */
        placement->order[first[placement->thread_of[row[i]]]++] = row[i];
    for (size_t i = placement->thread_count; i > 0; i--)
        first[i] = first[i - 1];
    first[0] = 0;
    free(row);
    free(component);
    free(number);
}

void placement_free(struct placement *placement)
{
    free(placement->order);
    free(placement->first);
    free(placement->thread_of);
    *placement = (struct placement){0};
}

void placement_print(FILE *out, const struct placement *placement, const struct topology_spec *spec)
{
    for (size_t i = 0; i < placement->thread_count; i++) {
        if (placement->first[i + 1] - placement->first[i] < 2)
            continue;
        for (size_t j = placement->first[i]; j < placement->first[i + 1]; j++)
            fprintf(out, "%s%s", spec->nodes[placement->order[j]].name,
                    j + 1 < placement->first[i + 1] ? ", " : " share a thread\n");
    }
}
