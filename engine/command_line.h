/*
 * command_line.h: the program's words.
 */
#ifndef ENGINE_COMMAND_LINE_H
#define ENGINE_COMMAND_LINE_H

#include "engine/node.h"

/* Runs `millrace WORD ARGUMENTS`; returns the exit status. */
int command_line_run(const struct catalog *catalog, int argc, char **argv);

#endif
