#include "engine/wiring.h"

static const char *node_name(const struct topology_spec *spec, size_t index)
{
    if (index == WIRING_NONE)
        return "the program";
    return index < spec->node_count ? spec->nodes[index].name : "metrics";
}

static void print_listening(FILE *out, const struct node_spec *node)
{
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++) {
        if (option->role != ROLE_LISTEN)
            continue;
        const struct address_list *list =
            (const struct address_list *)(const void *)((const char *)node->config + option->offset);
        for (size_t i = 0; i < list->count; i++)
            fprintf(out, "%s%s", i == 0 ? " listens at " : ", ", list->items[i].text);
    }
}

static const char *kind_name(enum link_kind kind)
{
    return kind == LINK_PUT ? "PUT" : kind == LINK_GET ? "GET" : "bare";
}

/* A queue that only this launch can reach, and nobody in it takes from: it fills up, and never drains. */
static bool is_dead_end(const struct node_spec *node, const struct wiring_node *wired)
{
    if ((node->type->serves & LINK_GET) == 0 || wired->output_count > 0)
        return false;
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++) {
        const struct address_list *list =
            (const struct address_list *)(const void *)((const char *)node->config + option->offset);
        for (size_t i = 0; option->role == ROLE_LISTEN && i < list->count; i++)
            if (list->items[i].scheme != ADDRESS_NAME)
                return false;
    }
    return true;
}

void wiring_print(FILE *out, const struct wiring *wiring, const struct topology_spec *spec)
{
    for (size_t i = 0; i < spec->node_count; i++) {
        fprintf(out, "%s", spec->nodes[i].name);
        print_listening(out, &spec->nodes[i]);
        fprintf(out, "%s%s\n", wiring->nodes[i].on_cycle ? " (on a cycle)" : "",
                is_dead_end(&spec->nodes[i], &wiring->nodes[i]) ? " (nobody takes from it)" : "");
    }
    for (size_t i = 0; i < wiring->edge_count; i++)
        fprintf(out, "%s -> %s by ring\n", node_name(spec, wiring->edges[i].producer),
                node_name(spec, wiring->edges[i].consumer));
    for (size_t i = 0; i < wiring->node_count; i++) {
        const struct wiring_node *node = &wiring->nodes[i];
        for (size_t j = 0; j < node->input_count; j++)
            if (node->inputs[j].edge == WIRING_NONE)
                fprintf(out, "%s -> %s by network, GET\n", node->inputs[j].address->text, node_name(spec, i));
        for (size_t j = 0; j < node->output_count; j++)
            if (node->outputs[j].edge == WIRING_NONE)
                fprintf(out, "%s -> %s by network, %s\n", node_name(spec, i), node->outputs[j].address->text,
                        kind_name(node->outputs[j].kind));
    }
}

/* A string of Graphviz, quoted. */
static void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fputc('\\', out);
        fputc(*at, out);
    }
    fputc('"', out);
}

static void print_dot_edge(FILE *out, const char *from, const char *to)
{
    fputs("    ", out);
    print_quoted(out, from);
    fputs(" -> ", out);
    print_quoted(out, to);
}

void wiring_print_dot(FILE *out, const struct wiring *wiring, const struct topology_spec *spec)
{
    fputs("digraph millrace {\n    rankdir=LR;\n    node [shape=box];\n", out);
    for (size_t i = 0; i < wiring->edge_count; i++) {
        print_dot_edge(out, node_name(spec, wiring->edges[i].producer), node_name(spec, wiring->edges[i].consumer));
        fputs(";\n", out);
    }
    for (size_t i = 0; i < wiring->node_count; i++) {
        const struct wiring_node *node = &wiring->nodes[i];
        fputs("    ", out);
        print_quoted(out, node_name(spec, i));
        fputs(";\n", out);
        for (size_t j = 0; j < node->input_count; j++) {
            if (node->inputs[j].edge != WIRING_NONE)
                continue;
            print_dot_edge(out, node->inputs[j].address->text, node_name(spec, i));
            fputs(" [style=dashed, label=\"GET\"];\n", out);
        }
        for (size_t j = 0; j < node->output_count; j++) {
            if (node->outputs[j].edge != WIRING_NONE)
                continue;
            print_dot_edge(out, node_name(spec, i), node->outputs[j].address->text);
            fprintf(out, " [style=dashed, label=\"%s\"];\n", kind_name(node->outputs[j].kind));
        }
    }
    fputs("}\n", out);
}
