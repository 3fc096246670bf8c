#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/guarantee_check.h"

/* A way longer than this is told up to here; ways beyond the first ones are counted, and beyond the last not even that:
 * a graph of n layers has exponentially many. */
enum { WAY_NODES_MAX = 64, WAYS_TOLD_MAX = 16, WAYS_COUNTED_MAX = 1000 };

/* A way through the graph while it is being walked: nodes[0] -> links[1] -> nodes[1] -> ... */
struct way {
    FILE *out;
    const struct topology_spec *spec;
    const struct guarantee_link *all;
    size_t all_count;
    size_t nodes[WAY_NODES_MAX];
    const struct guarantee_link *links[WAY_NODES_MAX]; /* into the node; [0]: from outside, or NULL */
    size_t count;
    bool from_clients, to_clients;
    const struct guarantee_link *exit; /* out of the launch, or NULL */
    const char *ending;                /* behind the last node's name */
    size_t found_count;
};

static const char *outside_name(const struct guarantee_link *link)
{
    return link->address != NULL ? link->address->text : "the program";
}

static const char *name_of(const struct way *way, size_t node)
{
    return way->spec->nodes[node].name;
}

static bool is_worker(const struct way *way, size_t node)
{
    return way->spec->nodes[node].type->promises != NULL;
}

/* Whether clients outside can reach it, and whether some do with datagrams. */
static bool has_socket(const struct topology_spec *spec, size_t index, bool *by_datagram)
{
    const struct node_spec *node = &spec->nodes[index];
    bool reachable = false;
    *by_datagram = false;
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++) {
        if (option->role != ROLE_LISTEN)
            continue;
        const struct address_list *list =
            (const struct address_list *)(const void *)((const char *)node->config + option->offset);
        for (size_t i = 0; i < list->count; i++) {
            reachable = reachable || list->items[i].scheme != ADDRESS_NAME;
            *by_datagram = *by_datagram || list->items[i].scheme == ADDRESS_UDP;
        }
    }
    return reachable;
}

/* ---- rows ---- */

struct row {
    FILE *out;
    const char *label;
    size_t line_count;
};

static void say(struct row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct row *row, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(row->out, "  %-16s ", row->line_count++ == 0 ? row->label : "");
    vfprintf(row->out, format, arguments);
    va_end(arguments);
    fputc('\n', row->out);
}

static void say_of_link(struct row *row, const struct way *way, const struct guarantee_link *link)
{
    if (link == NULL || link->by_ring || link->address->scheme == ADDRESS_TCP)
        return;
    const char *from = link->from != WIRING_NONE ? name_of(way, link->from) : outside_name(link);
    const char *to = link->to != WIRING_NONE ? name_of(way, link->to) : outside_name(link);
    size_t asker = link->kind == LINK_GET ? link->to : link->from;
    bool promises = guarantee_of(way->spec, asker) != GUARANTEE_AT_MOST_ONCE;
    if (link->kind == LINK_BARE)
        say(row, "%s -> %s: the message is lost, nobody acknowledges it", from, to);
    else if (link->kind == LINK_GET && promises)
        say(row, "%s -> %s: nothing is lost, the lease ends and it is delivered again", from, to);
    else if (link->kind == LINK_GET)
        say(row, "%s -> %s: the message is lost if it was in the answer to a GET", from, to);
    else if (promises)
        say(row, "%s -> %s: nothing is lost or doubled, it is sent again with the same id", from, to);
    else
        say(row, "%s -> %s: the message may be lost, a PUT without an answer is not repeated", from, to);
}

static void tell_lost_datagram(const struct way *way)
{
    struct row row = {.out = way->out, .label = "lost datagram"};
    size_t last = way->nodes[way->count - 1];
    bool by_datagram;
    if (way->from_clients && has_socket(way->spec, way->nodes[0], &by_datagram) && by_datagram)
        say(&row, "clients -> %s: with PUTID they may repeat what was not answered; a repeated PUT may double it",
            name_of(way, way->nodes[0]));
    for (size_t i = 0; i < way->count; i++)
        say_of_link(&row, way, way->links[i]);
    say_of_link(&row, way, way->exit);
    if (way->to_clients && has_socket(way->spec, last, &by_datagram) && by_datagram)
        say(&row, "%s -> clients: with LEASE nothing is lost; with GET the message in a lost answer",
            name_of(way, last));
    if (row.line_count == 0)
        say(&row, "no datagrams on this way");
}

/* What becomes of messages that the worker has begun when it ends in the middle. */
static void say_of_worker(struct row *row, const struct way *way, size_t index)
{
    struct carriage carriage;
    size_t node = way->nodes[index];
    const char *name = name_of(way, node);
    const struct guarantee_link *input = way->links[index];
    enum guarantee promise = guarantee_of(way->spec, node);
    const struct guarantee_link *output = index + 1 < way->count ? way->links[index + 1] : way->exit;
    bool from_memory =
        input != NULL && input->from != WIRING_NONE &&
        (!guarantee_carriage(way->spec, input->from, &carriage) || carriage.durability == DURABILITY_MEMORY);
    bool to_memory =
        output != NULL && output->to != WIRING_NONE &&
        (!guarantee_carriage(way->spec, output->to, &carriage) || carriage.durability == DURABILITY_MEMORY);
    bool weak = promise == GUARANTEE_EXACTLY_ONCE &&
                (from_memory || to_memory || (output != NULL && output->kind == LINK_BARE));
    if (promise == GUARANTEE_AT_MOST_ONCE)
        say(row, "%s: what it had begun is lost", name);
    else if (from_memory)
        say(row, "%s: what it had begun is lost, for %s ends with it (what its function refuses is tried again)%s",
            name, name_of(way, input->from), weak ? "; weaker than it promises" : "");
    else if (weak)
        say(row, "%s: what it had begun is done again; results may be lost or come twice, weaker than it promises",
            name);
    else if (promise == GUARANTEE_EXACTLY_ONCE)
        say(row, "%s: nothing is lost or doubled, what it had begun never was and is done again", name);
    else
        say(row, "%s: nothing is lost, what it had begun is done again; its results may come twice", name);
    if (promise != GUARANTEE_AT_MOST_ONCE && input != NULL && input->from == WIRING_NONE)
        say(row, "%s: needs leases at %s; how safely that keeps messages is not known here", name, outside_name(input));
}

static void tell_killed_worker(const struct way *way)
{
    struct row row = {.out = way->out, .label = "killed worker"};
    for (size_t i = 0; i < way->count; i++)
        if (is_worker(way, way->nodes[i]))
            say_of_worker(&row, way, i);
    if (way->to_clients)
        say(&row, "one elsewhere that takes from %s: with LEASE nothing is lost; with GET what it had taken",
            name_of(way, way->nodes[way->count - 1]));
    if (row.line_count == 0)
        say(&row, "no worker on this way");
}

/* The ends of the way: where messages are neither in a queue nor in a worker. */
static void say_of_ends(struct row *row, const struct way *way)
{
    size_t first = way->nodes[0];
    size_t last = way->nodes[way->count - 1];
    if (way->links[0] != NULL && way->links[0]->by_ring)
        say(row, "the program: what it emitted and %s had not taken is lost", name_of(way, first));
    if (way->spec->nodes[first].type->is_source)
        say(row, "%s: what is under way from it is lost; started again, it feeds its files from their beginning",
            name_of(way, first));
    if (way->exit != NULL && way->exit->by_ring)
        say(row, "the program: what it has taken is its own");
    if ((way->spec->nodes[last].type->serves & LINK_GET) == 0 && !is_worker(way, last) && way->count > 1)
        say(row, "%s: what is under way to it is lost", name_of(way, last));
}

static void say_of_queue(struct row *row, const struct way *way, size_t node, bool power_cut)
{
    struct carriage carriage;
    double seconds = (double)way->spec->launch.sync_interval_ns / (double)NS_PER_S;
    const char *name = name_of(way, node);
    if (!guarantee_carriage(way->spec, node, &carriage))
        return;
    if (carriage.durability == DURABILITY_MEMORY)
        say(row, "%s: all that rests in it is lost", name);
    else if (carriage.durability == DURABILITY_SYNC)
        say(row, "%s: keeps all that it acknowledged", name);
    else if (power_cut)
        say(row, "%s: keeps all but what it took in the last %g s (--sync-interval)", name, seconds);
    else
        say(row, "%s: keeps all but what it took a moment before, at most in the last %g s", name, seconds);
}

static void tell_killed_engine(const struct way *way)
{
    struct row row = {.out = way->out, .label = "killed engine"};
    bool has_worker = false;
    for (size_t i = 0; i < way->count; i++) {
        say_of_queue(&row, way, way->nodes[i], false);
        has_worker = has_worker || is_worker(way, way->nodes[i]);
    }
    if (has_worker)
        say(&row, "what its workers had begun: as above");
    say_of_ends(&row, way);
}

static void tell_power_cut(const struct way *way)
{
    struct row row = {.out = way->out, .label = "power cut"};
    bool goes_back = false;
    for (size_t i = 0; i < way->count; i++) {
        struct carriage carriage;
        guarantee_carriage(way->spec, way->nodes[i], &carriage);
        if (carriage.durability == DURABILITY_ASYNC)
            say_of_queue(&row, way, way->nodes[i], true);
        goes_back = goes_back || (carriage.durability == DURABILITY_ASYNC && way->count > 1);
    }
    if (goes_back)
        say(&row, "everything in the store goes back to the same moment together");
    say(&row, row.line_count == 0 ? "as a killed engine" : "else as a killed engine");
}

static void tell_drops(const struct way *way)
{
    struct row row = {.out = way->out, .label = "besides"};
    for (size_t i = 0; i < way->count; i++) {
        struct carriage carriage;
        if (guarantee_carriage(way->spec, way->nodes[i], &carriage) && carriage.drops)
            say(&row, "%s: drops messages, and counts them, by --overflow or --max-age", name_of(way, way->nodes[i]));
    }
    for (size_t i = 0; i < way->all_count; i++) {
        const struct guarantee_link *link = &way->all[i];
        for (size_t j = 0; j < way->count && link->dead_letter; j++)
            if (link->from == way->nodes[j])
                say(&row, "%s: messages that failed too often go to %s", name_of(way, link->from),
                    link->to != WIRING_NONE ? name_of(way, link->to) : outside_name(link));
    }
}

static void tell_names(const struct way *way)
{
    char name[GUARANTEE_NAME_BYTES];
    if (way->links[0] != NULL)
        fprintf(way->out, "%s -> ", outside_name(way->links[0]));
    else if (way->from_clients)
        fputs("clients -> ", way->out);
    for (size_t i = 0; i < way->count; i++)
        fprintf(way->out, "%s%s", i > 0 ? " -> " : "", guarantee_node_name(name, way->spec, way->nodes[i]));
    if (way->exit != NULL)
        fprintf(way->out, " -> %s", outside_name(way->exit));
    else if (way->to_clients)
        fputs(" -> clients", way->out);
    fprintf(way->out, "%s\n", way->ending);
}

static void tell(struct way *way)
{
    way->found_count++;
    if (way->found_count > WAYS_TOLD_MAX)
        return;
    tell_names(way);
    tell_lost_datagram(way);
    tell_killed_worker(way);
    tell_killed_engine(way);
    tell_power_cut(way);
    tell_drops(way);
    fputc('\n', way->out);
}

/* ---- walking ---- */

static bool contains(const struct way *way, size_t node)
{
    for (size_t i = 0; i < way->count; i++)
        if (way->nodes[i] == node)
            return true;
    return false;
}

static void tell_ending(struct way *way, const char *ending)
{
    way->ending = ending;
    tell(way);
    way->ending = "";
}

/* Replicas and outputs named twice are links alike: one of them is told. */
static bool is_repeated(const struct way *way, size_t index)
{
    const struct guarantee_link *link = &way->all[index];
    for (size_t i = 0; i < index; i++)
        if (way->all[i].from == link->from && way->all[i].to == link->to && way->all[i].kind == link->kind &&
            way->all[i].dead_letter == link->dead_letter && way->all[i].address == link->address)
            return true;
    return false;
}

static void walk(struct way *way, size_t node, const struct guarantee_link *by) /* NOLINT(misc-no-recursion): bounded */
{
    if (way->found_count >= WAYS_COUNTED_MAX)
        return;
    way->nodes[way->count] = node;
    way->links[way->count++] = by;
    bool goes_on = false;
    for (size_t i = 0; i < way->all_count; i++) {
        const struct guarantee_link *link = &way->all[i];
        if (link->from != node || link->dead_letter || is_repeated(way, i))
            continue;
        goes_on = true;
        if (link->to == WIRING_NONE) {
            way->exit = link;
            tell(way);
            way->exit = NULL;
        } else if (contains(way, link->to)) {
            tell_ending(way, " (and round again)");
        } else if (way->count == WAY_NODES_MAX) {
            tell_ending(way, " (and further)");
        } else {
            walk(way, link->to, link);
        }
    }
    if (!goes_on) {
        bool by_datagram;
        bool queue = (way->spec->nodes[node].type->serves & LINK_GET) != 0;
        way->to_clients = queue && has_socket(way->spec, node, &by_datagram);
        tell_ending(way, queue && !way->to_clients ? " (nobody takes from it)" : "");
        way->to_clients = false;
    }
    way->count--;
}

static void walk_from_outside(struct way *way)
{
    for (size_t i = 0; i < way->all_count; i++)
        if (way->all[i].from == WIRING_NONE && !is_repeated(way, i))
            walk(way, way->all[i].to, &way->all[i]);
    for (size_t i = 0; i < way->spec->node_count; i++) {
        const struct node_type *type = way->spec->nodes[i].type;
        bool by_datagram;
        way->from_clients = (type->serves & LINK_PUT) != 0 && has_socket(way->spec, i, &by_datagram);
        if (type->is_source || way->from_clients)
            walk(way, i, NULL);
        way->from_clients = false;
    }
}

void guarantee_explain(FILE *out, const struct topology_spec *spec, const struct wiring *wiring)
{
    struct guarantee_link link;
    size_t count = 0;
    for (size_t at = 0; guarantee_next_link(spec, wiring, &at, &link);)
        count++;
    struct guarantee_link *links = calloc(count + 1, sizeof *links);
    CHECK(links != NULL);
    for (size_t at = 0, i = 0; i < count; i++)
        CHECK(guarantee_next_link(spec, wiring, &at, &links[i]));
    struct way way = {.out = out, .spec = spec, .all = links, .all_count = count, .ending = ""};
    fputs("What is lost, and what comes twice. A worker of this launch is a part of the engine: with one, all is "
          "killed.\n\n",
          out);
    walk_from_outside(&way);
    free(links);
    if (way.found_count == 0)
        fputs("No way: no feeder, and no queue that clients could reach.\n", out);
    else if (way.found_count > WAYS_TOLD_MAX)
        fprintf(out, "And %zu%s more ways.\n", way.found_count - WAYS_TOLD_MAX,
                way.found_count >= WAYS_COUNTED_MAX ? " or" : "");
    struct weak_link weak;
    for (size_t at = 0; guarantee_next_weak(spec, wiring, &at, &weak);) {
        char text[ERROR_TEXT_BYTES];
        guarantee_weak_text(text, sizeof text, spec, &weak);
        fprintf(out, "Weaker than promised: %s.\n", text);
    }
}
