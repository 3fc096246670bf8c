/*
 * queue_config.h: what the user has set for a queue.
 */
#ifndef NODES_QUEUE_QUEUE_CONFIG_H
#define NODES_QUEUE_QUEUE_CONFIG_H

#include <stdint.h>

#include "engine/address.h"
#include "engine/node.h"
#include "engine/options.h"

/* What happens to a message that the queue has no room for. */
enum overflow {
    OVERFLOW_REJECT,      /* ERR queue full; producers in the launch wait */
    OVERFLOW_BLOCK,       /* its PUT is answered when there is room */
    OVERFLOW_DROP_OLDEST, /* it is taken, and the oldest is dropped for it */
    OVERFLOW_DROP_NEWEST, /* it is answered as if it were taken, and dropped */
    OVERFLOW_SPILL,       /* it goes to the store, behind what is in memory */
};

struct queue_config {
    struct address_list address;
    uint64_t capacity_count;
    uint64_t capacity_bytes;
    uint64_t message_bytes_max;
    uint64_t connection_count_max;
    unsigned durability; /* enum durability */
    unsigned overflow;   /* enum overflow */
    int64_t age_max_ns;  /* 0: none */
    struct address_list dead_letter;
    uint64_t deliveries_max;
    int64_t lease_ns;
    uint64_t dedup_count;
    int64_t dedup_age_ns;
};

/* The name by which the launch's store knows this queue: one that a restart with the same flags has too. Belongs to the
 * node. Pure; any thread. */
const char *queue_stored_name(const struct node *queue);

/* The name that its dead letters bear: the stored name, if its messages are kept, else its first address. The same. */
const char *queue_letter_name(const struct node *queue);

#endif
