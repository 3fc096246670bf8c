/*
 * worker_private.h: a worker's config and state, shared by its two halves: worker.c takes messages in and keeps the
 * pace, worker_call.c applies the function and routes what it emits.
 */
#ifndef NODES_WORKER_PRIVATE_H
#define NODES_WORKER_PRIVATE_H

#include <millrace/function.h>

#include "engine/guarantee.h"
#include "engine/node.h"
#include "engine/random.h"
#include "nodes/links/outlet.h"
#include "nodes/links/remote_get.h"
#include "nodes/worker_kept_state.h"
#include "nodes/worker_state.h"

enum worker_route { ROUTE_CHOICE, ROUTE_RANDOM, ROUTE_ROUND_ROBIN, ROUTE_BROADCAST };
enum worker_order { ORDER_NONE, ORDER_KEY, ORDER_FIFO };
enum worker_output_type { OUTPUT_AUTO, OUTPUT_QUEUE, OUTPUT_SOCKET };

struct worker_config {
    struct address_list input_address;
    struct address_list output_address;
    struct address_list dead_letter;
    unsigned output_type; /* enum worker_output_type */
    const char *function;
    unsigned guarantee; /* enum guarantee */
    unsigned order;     /* enum worker_order */
    const char *order_key;
    int64_t delay_ns;
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

enum worker_counter {
    WORKER_FUNCTION_ERRORS,
    WORKER_DEAD_LETTERS,
    WORKER_NO_OUTPUT,
    WORKER_OUTPUT_LOST,
    WORKER_UNCONFIRMED,
    WORKER_RESENT,
    WORKER_GET_TIMEOUTS,
    WORKER_GET_ERRORS,
    WORKER_WEAKER_LINKS,
    WORKER_COUNTER_COUNT,
};

/* Of the errors of a function so many are logged each second; the rest are counted. */
enum { WORKER_ERRORS_LOGGED_A_SECOND = 10 };

/* What a function sees as its call. */
struct millrace_call {
    struct worker *worker;
    int64_t time_ns; /* what is emitted was emitted then */
    bool failed;
    char why[256];
};

struct worker_input {
    struct edge *edge; /* one of the two */
    struct remote_get *remote;
};

struct worker {
    struct node *node;
    const struct worker_config *config;
    const struct millrace_function *function;
    void *function_state;
    bool function_open;
    bool opening;                     /* the function's open goes on */
    struct worker_state *keyed_state; /* what the function puts there */
    /* Who keeps it; set before the function is opened. `put` NULL: nobody. */
    struct worker_state_keeper state_keeper;
    struct worker_kept_state kept_state; /* of the keeper */
    struct worker_input *inputs;
    size_t input_count;
    size_t next_input;
    bool has_remote_input;
    struct outlet **outlets; /* the outputs, then the dead-letter queue if there is one */
    size_t outlet_count;
    size_t output_count;
    struct outlet *dead_letter;
    struct edge *pass_edge; /* where blocks can go on whole; NULL: the function must see each message */
    size_t next_output;     /* round robin */
    uint64_t emitted_count; /* to the outputs */
    struct random_state random;
    struct millrace_call call;
    int64_t error_second_ns; /* the second in which errors are being counted */
    uint64_t error_count;    /* in it */
    bool outputs_ended;
    int64_t stop_ns; /* when the stop was first seen; 0: not yet */
};

/* Applies the function to one message; what it emits goes to the outlets, an error to the log and the dead letters. */
void worker_apply(struct worker *worker, const void *text, uint32_t length);

/* Opens the function and its keyed state. Where the state is kept, worker->state_keeper is set before. */
enum status worker_open_function(struct worker *worker, const struct millrace_value *values,
                                 struct error *error) MUST_USE;

/* Says how many errors of the last second were not logged. */
void worker_tell_unlogged(struct worker *worker);

#endif
