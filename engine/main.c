#include "engine/command_line.h"

/* The node types, defined where they are (nodes/node_types.c). */
extern const struct catalog millrace_catalog;

int main(int argc, char **argv)
{
    return command_line_run(&millrace_catalog, argc, argv);
}
