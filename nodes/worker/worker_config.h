/*
 * worker_config.h: what the user has set for a worker.
 */
#ifndef NODES_WORKER_WORKER_CONFIG_H
#define NODES_WORKER_WORKER_CONFIG_H

#include "engine/address.h"
#include "engine/guarantee.h"
#include "engine/options.h"

enum worker_route { ROUTE_CHOICE, ROUTE_RANDOM, ROUTE_ROUND_ROBIN, ROUTE_BROADCAST };
enum worker_order { ORDER_NONE, ORDER_KEY, ORDER_FIFO };
enum worker_output_type { OUTPUT_AUTO, OUTPUT_QUEUE, OUTPUT_SOCKET };

struct worker_config {
    struct address_list input_address;
    struct address_list output_address;
    struct address_list dead_letter;
    bool letters_of_queues; /* these are its queues' (worker_complete), the user gave it none */
    unsigned output_type;   /* enum worker_output_type */
    const char *function;
    unsigned guarantee; /* enum guarantee */
    unsigned order;     /* enum worker_order */
    const char *order_key;
    int64_t delay_ns;
    int64_t lease_ns;
    unsigned route; /* enum worker_route */
    uint64_t seed;
    uint64_t replica_count;
    uint64_t message_bytes_max;
    uint64_t state_bytes_max;
    /* Settings of the function: NAME=VALUE, and those that have a flag of their own (NULL: not given). */
    struct text_list settings;
    const char *orders_limit;
    const char *orders_full;
};

#endif
