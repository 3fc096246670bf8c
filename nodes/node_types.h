/*
 * node_types.h: what the program has: its node types and commands, each defined in its own file.
 */
#ifndef NODES_NODE_TYPES_H
#define NODES_NODE_TYPES_H

#include "engine/node.h"

extern const struct node_type queue_type;
extern const struct node_type worker_type;
extern const struct node_type feeder_type;
extern const struct node_type sink_type;
extern const struct node_type metrics_receiver_type;

/* Sends the metrics of all others; has no name on the command line. */
extern const struct node_type metrics_reporter_type;

/* Answers dead-letters replay and drop beside a launch. */
extern const struct control_type store_control_type;

extern const struct command client_command;
extern const struct command fixgen_command;
extern const struct command store_command;
extern const struct command dead_letters_command;

/* The engine finds everything through this one. */
extern const struct catalog millrace_catalog;

#endif
