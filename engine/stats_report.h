/*
 * stats_report.h: a topology's numbers for people: the table once a second and the lines at the end. Main thread.
 */
#ifndef ENGINE_STATS_REPORT_H
#define ENGINE_STATS_REPORT_H

#include <stdio.h>

#include "engine/topology.h"

struct stats_table;

struct stats_table *stats_table_new(const struct topology *topology);
void stats_table_free(struct stats_table **table);

/* One row a node: what happened since the last print. */
void stats_table_print(struct stats_table *table, FILE *out, int64_t now_ns);

/* A line a node: in, out, dropped, queued, how long; then what else it counted, and the latency over the whole run;
 * with a store, a line of its own for it. */
void stats_print_summary(const struct topology *topology, FILE *out, int64_t now_ns);

#endif
