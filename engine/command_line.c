#include "engine/command_line.h"

#include <millrace/millrace.h>
#include <stdio.h>
#include <string.h>

#include "engine/guarantee_check.h"
#include "engine/launch.h"
#include "engine/log.h"
#include "engine/topology_spec.h"
#include "engine/wiring.h"

static const struct node_type *type_named(const struct catalog *catalog, const char *name)
{
    for (const struct node_type *const *type = catalog->node_types; *type != NULL; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

static const struct command *command_named(const struct catalog *catalog, const char *name)
{
    for (const struct command *const *command = catalog->commands; *command != NULL; command++)
        if (strcmp((*command)->name, name) == 0)
            return *command;
    return NULL;
}

/* ---- help ---- */

static void print_overview(FILE *out, const struct catalog *catalog)
{
    fputs("millrace: a stream processor for one machine\n\n"
          "  millrace run [LAUNCH FLAGS] [DEFAULTS] --TYPE FLAGS --TYPE FLAGS ...   one launch of many nodes\n"
          "  millrace check [--dot|--explain] ARGUMENTS OF run                     validate, show the wiring\n"
          "  millrace TYPE FLAGS                                                   one node alone\n\n"
          "Node types:\n",
          out);
    for (const struct node_type *const *type = catalog->node_types; *type != NULL; type++)
        fprintf(out, "  %-18s %s\n", (*type)->name, (*type)->summary);
    fputs("\nOther commands:\n", out);
    for (const struct command *const *command = catalog->commands; *command != NULL; command++)
        fprintf(out, "  %-18s %s\n", (*command)->name, (*command)->summary);
    fputs("  help [WORD]        this text, or all flags of a node type or command\n"
          "  version            the version\n\n"
          "An ADDRESS is HOST:PORT or udp://HOST:PORT (UDP), tcp://HOST:PORT (frames over TCP), or a plain NAME that\n"
          "exists only inside one launch. Nodes of one launch that name each other's address are joined by rings.\n",
          out);
}

static void print_type_help(FILE *out, const struct node_type *type)
{
    fprintf(out, "\n%s: %s\n", type->name, type->summary);
    options_print_help(out, type->options);
    if (type->print_more_help != NULL)
        type->print_more_help(out);
}

static void print_run_help(FILE *out, const struct catalog *catalog)
{
    fputs(
        "millrace run [LAUNCH FLAGS] [DEFAULTS] --TYPE FLAGS --TYPE FLAGS ...\n\n"
        "Each --TYPE opens a node; the flags behind it are its own. Flags before the first node are defaults for all\n"
        "nodes that know them.\n\nOf the launch:\n",
        out);
    options_print_help(out, launch_option_table);
    fputs("\nOf every node:\n", out);
    options_print_help(out, node_common_options);
    for (const struct node_type *const *type = catalog->node_types; *type != NULL; type++)
        print_type_help(out, *type);
}

static int unknown_word(const struct catalog *catalog, const char *word)
{
    static const char *const own[] = {"run", "check", "help", "version"};
    const char *best = NULL;
    size_t length = strlen(word);
    size_t distance = length / 2 + 1;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        options_nearest(word, length, own[i], &best, &distance);
    for (const struct node_type *const *type = catalog->node_types; *type != NULL; type++)
        options_nearest(word, length, (*type)->name, &best, &distance);
    for (const struct command *const *command = catalog->commands; *command != NULL; command++)
        options_nearest(word, length, (*command)->name, &best, &distance);
    fprintf(stderr, "millrace: unknown command '%s'%s%s%s; millrace help lists them\n", word,
            best != NULL ? "; did you mean " : "", best != NULL ? best : "", best != NULL ? "?" : "");
    return 2;
}

static int help(const struct catalog *catalog, const char *word)
{
    const struct node_type *type = word != NULL ? type_named(catalog, word) : NULL;
    const struct command *command = word != NULL ? command_named(catalog, word) : NULL;
    if (word == NULL || strcmp(word, "help") == 0 || strcmp(word, "version") == 0) {
        print_overview(stdout, catalog);
    } else if (strcmp(word, "run") == 0) {
        print_run_help(stdout, catalog);
    } else if (strcmp(word, "check") == 0) {
        fputs("millrace check [--dot|--explain] ARGUMENTS OF run\n\nFinds the mistakes of a launch without starting it "
              "and "
              "prints which node is joined to which, as text or for\nGraphviz (--dot); or what each way through it "
              "survives "
              "(--explain): a lost datagram, a killed worker, a killed\nengine, a power cut.\n\n",
              stdout);
        print_run_help(stdout, catalog);
    } else if (type != NULL) {
        printf("millrace %s FLAGS\n", type->name);
        print_type_help(stdout, type);
        fputs("\nOf every node:\n", stdout);
        options_print_help(stdout, node_common_options);
        fputs("\nOf the launch:\n", stdout);
        options_print_help(stdout, launch_option_table);
    } else if (command != NULL) {
        printf("millrace %s %s\n\n%s\n", command->name, command->usage, command->summary);
        if (command->details != NULL)
            printf("\n%s\n", command->details);
        if (command->options != NULL)
            options_print_help(stdout, command->options);
    } else {
        return unknown_word(catalog, word);
    }
    return 0;
}

/* ---- run, check, one node ---- */

static int fail(const struct error *error)
{
    error_print(error);
    return 2;
}

static enum status parse(struct topology_spec *spec, const struct catalog *catalog, const struct node_type *single,
                         int count, char **arguments, struct error *error)
{
    enum status status = topology_spec_parse(spec, catalog, single, count, (const char *const *)arguments, error);
    if (status != STATUS_OK)
        return status;
    status = topology_spec_check(spec, error);
    if (status != STATUS_OK)
        topology_spec_free(spec);
    return status;
}

/* A node alone that listens only at plain names: nobody could ever reach it. */
static enum status check_reachable(const struct node_spec *node, struct error *error)
{
    for (const struct option *option = node->type->options; option != NULL && option->name != NULL; option++) {
        if (option->role != ROLE_LISTEN)
            continue;
        const struct address_list *list =
            (const struct address_list *)(const void *)((const char *)node->config + option->offset);
        size_t names = 0;
        for (size_t i = 0; i < list->count; i++)
            names += list->items[i].scheme == ADDRESS_NAME;
        if (names > 0 && names == list->count)
            return error_set(error, STATUS_USAGE,
                             "%s: --%s: '%s' is a name inside a launch, and this node is alone; write HOST:PORT",
                             node->type->name, option->name, list->items[0].text);
    }
    return STATUS_OK;
}

static int run(const struct catalog *catalog, const struct node_type *single, int count, char **arguments)
{
    struct topology_spec spec;
    struct error error = {0};
    if (parse(&spec, catalog, single, count, arguments, &error) != STATUS_OK)
        return fail(&error);
    if (single != NULL && check_reachable(&spec.nodes[0], &error) != STATUS_OK) {
        topology_spec_free(&spec);
        return fail(&error);
    }
    int result = launch_run(&spec, catalog);
    topology_spec_free(&spec);
    return result;
}

static int check(const struct catalog *catalog, int count, char **arguments)
{
    struct topology_spec spec;
    struct topology *topology;
    struct error error = {0};
    bool dot = count > 0 && strcmp(arguments[0], "--dot") == 0;
    bool explain = count > 0 && strcmp(arguments[0], "--explain") == 0;
    int own = dot || explain ? 1 : 0;
    if (parse(&spec, catalog, NULL, count - own, arguments + own, &error) != STATUS_OK)
        return fail(&error);
    enum status status = topology_open(&topology, &spec, catalog, true, &error);
    if (status == STATUS_OK) {
        if (explain)
            guarantee_explain(stdout, &spec, topology_wiring(topology));
        else
            (dot ? wiring_print_dot : wiring_print)(stdout, topology_wiring(topology), &spec);
        if (!dot && !explain)
            placement_print(stdout, topology_placement(topology), &spec);
        topology_close(&topology);
    }
    topology_spec_free(&spec);
    return status == STATUS_OK ? 0 : fail(&error);
}

static bool asks_for_help(int count, char **arguments)
{
    for (int i = 0; i < count; i++)
        if (strcmp(arguments[i], "--help") == 0)
            return true;
    return false;
}

int command_line_run(const struct catalog *catalog, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (word == NULL) {
        print_overview(stderr, catalog);
        return 2;
    }
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(catalog, argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "version") == 0 || strcmp(word, "--version") == 0) {
        printf("millrace %s\n", millrace_version());
        return 0;
    }
    int count = argc - 2;
    char **arguments = argv + 2;
    const struct command *command = command_named(catalog, word);
    bool needs_help = asks_for_help(count, arguments);
    if (command != NULL)
        return needs_help ? help(catalog, word) : command->run(count, arguments);
    if (strcmp(word, "run") == 0)
        return needs_help ? help(catalog, word) : run(catalog, NULL, count, arguments);
    if (strcmp(word, "check") == 0)
        return needs_help ? help(catalog, word) : check(catalog, count, arguments);
    const struct node_type *type = type_named(catalog, word);
    if (type != NULL)
        return needs_help ? help(catalog, word) : run(catalog, type, count, arguments);
    return unknown_word(catalog, word);
}
