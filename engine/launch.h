/*
 * launch.h: a launch as a program runs it: signals, the table, the drain, the last lines. Main thread of the program.
 */
#ifndef ENGINE_LAUNCH_H
#define ENGINE_LAUNCH_H

#include "engine/topology.h"

/* Opens, runs until it ends by itself or by SIGINT or SIGTERM, prints the last lines. Returns the exit status: 0 for a
 * clean end, 1 if something failed or was abandoned, 2 if the specification was wrong. */
int launch_run(const struct topology_spec *spec, const struct catalog *catalog);

#endif
