#include "nodes/node_types.h"

static const struct node_type *const node_types[] = {
    &queue_type, &worker_type, &feeder_type, &sink_type, &metrics_receiver_type, NULL,
};

static const struct command *const commands[] = {
    &client_command, &store_command, &dead_letters_command, &fixgen_command, NULL,
};

const struct catalog millrace_catalog = {
    .node_types = node_types,
    .commands = commands,
    .reporter = &metrics_reporter_type,
    .control = &store_control_type,
};
