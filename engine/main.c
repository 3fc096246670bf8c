#include <fcntl.h>
#include <unistd.h>

#include "engine/command_line.h"

/* The node types, defined where they are (nodes/node_types.c). */
extern const struct catalog millrace_catalog;

/* A program started with one of them closed would else get a socket under that number, and print into it. */
static int open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd < 0 ? -1 : close(fd);
}

int main(int argc, char **argv)
{
    if (open_standard_descriptors() != 0)
        return 2;
    return command_line_run(&millrace_catalog, argc, argv);
}
