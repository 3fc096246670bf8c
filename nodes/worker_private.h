/*
 * worker_private.h: a worker's state, shared by its parts: worker.c takes messages in and keeps the pace, worker_call.c
 * applies the function and routes what it emits, worker_durable.c keeps step with the journal.
 */
#ifndef NODES_WORKER_PRIVATE_H
#define NODES_WORKER_PRIVATE_H

#include <millrace/function.h>

#include "engine/node.h"
#include "engine/random.h"
#include "nodes/links/inbox.h"
#include "nodes/links/outlet.h"
#include "nodes/links/remote_get.h"
#include "nodes/links/remote_lease.h"
#include "nodes/worker_config.h"
#include "nodes/worker_kept_state.h"
#include "nodes/worker_state.h"

enum worker_counter {
    WORKER_FUNCTION_ERRORS,
    WORKER_DEAD_LETTERS,
    WORKER_NO_OUTPUT,
    WORKER_OUTPUT_LOST,
    WORKER_UNCONFIRMED,
    WORKER_RESENT,
    WORKER_GET_TIMEOUTS,
    WORKER_GET_ERRORS,
    WORKER_GIVEN_BACK,
    WORKER_DONE_BEFORE,
    WORKER_WITHOUT_LEASES,
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
    struct edge *edge; /* one of the three */
    struct remote_get *remote;
    struct remote_lease *lease;
    struct inbox *inbox; /* beside a lease: of an exactly-once worker */
    const struct address *address;
};

/* A leased message that was handled and is not acknowledged. */
struct worker_debt {
    struct worker_input *input;
    uint64_t number;
    uint64_t ticket; /* with a store: of the batch that has what came of it */
};

/* In the order in which they were handled. */
struct worker_debts {
    struct worker_debt *items; /* a circular array */
    uint64_t *marks;           /* of each, without a store: what each outlet had emitted behind it */
    size_t capacity, first, count;
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
    struct worker_debts debts;
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

/* The same, but an error is only logged. False: that was one, and worker->call.why says what. */
bool worker_try(struct worker *worker, const void *text, uint32_t length);

/* Opens the function and its keyed state. Where the state is kept, worker->state_keeper is set before. */
enum status worker_open_function(struct worker *worker, const struct millrace_value *values,
                                 struct error *error) MUST_USE;

/* Says how many errors of the last second were not logged. */
void worker_tell_unlogged(struct worker *worker);

/* ---- worker_leases.c: inputs from queues elsewhere, of a worker that promises ---- */

enum status worker_leases_open_input(struct worker *worker, struct worker_input *input, const struct address *address,
                                     struct error *error) MUST_USE;
/* When all inputs and outlets are open. */
void worker_leases_open(struct worker *worker);
void worker_leases_close(struct worker *worker);

/* Asks for more, acknowledges, extends. Returns when it wants to be called next. The input may have become a plain one,
 * if the queue knows no leases. */
int64_t worker_leases_step(struct worker *worker, struct worker_input *input, bool wanted, int64_t now_ns);

/* Handles the input's next message. False: there is none. *applied: it was not done before. */
bool worker_leases_take(struct worker *worker, struct worker_input *input, bool *applied);

/* At a stop: whether something may still come of it: an answer, if it is waited for, a message, an acknowledgement. */
bool worker_leases_are_due(const struct worker *worker, const struct worker_input *input, bool answers_awaited);

/* Acknowledges what may be. */
void worker_leases_settle(struct worker *worker);

/* ---- worker_durable.c ---- */

/*
 * A durable worker: one that promises more than at most once, in a launch with a store. It lives on the durable thread
 * (journal.h) between the queues whose messages it takes and those that take its outputs. It keeps nothing itself: at a
 * cut its input queues settle what it has released, its output queues have taken and appended what it emitted, and its
 * state is in the batch already. All it does is to stand still while a cut waits for the rings behind it to be empty.
 */

/* The node type's is_durable. */
bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec);

/* The name of the stored queue that is the outbox of an output; *boxed false: it needs none. */
enum status worker_durable_outbox_name(const struct worker *worker, const struct port *port, char *name, bool *boxed,
                                       struct error *error) MUST_USE;

/* Joins the journal, if the worker is durable. When its outlets are open. */
void worker_durable_join(struct worker *worker);

/* Whether it may take input now: no cut is waited for, the journal has room, and no queue that it feeds is full. */
bool worker_durable_may_take(const struct worker *worker);

#endif
