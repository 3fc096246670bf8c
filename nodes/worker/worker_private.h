/*
 * worker_private.h: a worker's state, shared by its parts: worker.c takes messages in and keeps the pace, call.c
 * applies the function and routes what it emits, refusal.c sees to what it refused, durable.c keeps step
 * with the journal.
 */
#ifndef NODES_WORKER_WORKER_PRIVATE_H
#define NODES_WORKER_WORKER_PRIVATE_H

#include <millrace/function.h>

#include "engine/node.h"
#include "engine/random.h"
#include "nodes/links/inbox.h"
#include "nodes/links/outlet.h"
#include "nodes/links/remote_get.h"
#include "nodes/links/remote_lease.h"
#include "nodes/text/json_text.h"
#include "nodes/worker/kept_state.h"
#include "nodes/worker/keyed_state.h"
#include "nodes/worker/worker_config.h"

enum worker_counter {
    WORKER_FUNCTION_ERRORS,
    WORKER_DEAD_LETTERS,
    WORKER_NO_OUTPUT,
    WORKER_OUTPUT_LOST,
    WORKER_UNCONFIRMED,
    WORKER_RESENT,
    WORKER_GET_TIMEOUTS,
    WORKER_GET_ERRORS,
    WORKER_DONE_BEFORE,
    WORKER_WITHOUT_LEASES,
    WORKER_WEAKER_LINKS,
    WORKER_FILTERED,
    WORKER_MULTIPLIED,
    WORKER_RETRIED,
    WORKER_GIVEN_BACK,
    WORKER_RECOVERED,
    WORKER_COUNTER_COUNT,
};

/* Of the errors of a function so many are logged each second; the rest are counted. */
enum { WORKER_ERRORS_LOGGED_A_SECOND = 10 };

/* What a function sees as its call. */
struct millrace_call {
    struct worker *worker;
    int64_t time_ns; /* what is emitted was emitted then */
    bool failed;
    bool changed; /* the keyed state; and, when it has failed, by what it emitted */
    char why[256];
};

struct worker_input {
    struct edge *edge; /* one of the three */
    struct remote_get *remote;
    struct remote_lease *lease;
    struct inbox *inbox; /* beside a lease: of an exactly-once worker */
    const struct address *address;
    /* What becomes of a message that the function refused; worker_join_refusals. */
    bool gives_back;              /* it is on lease: its queue is told, and delivers it again */
    uint64_t deliveries_max;      /* else: how often the function sees it */
    struct outlet *dead_letter;   /* then: where it goes; NULL: it is dropped */
    const struct node *letter_of; /* the queue that has this dead-letter queue; NULL: the worker has it */
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

/* What a worker that promises more than at most once takes for --max-deliveries where it cannot know the queue's. */
enum { WORKER_DELIVERIES_MAX = 5 };

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
    bool is_kept;                        /* what it does is in the journal */
    char stored_name[STORE_NAME_BYTES_MAX + 1];
    struct worker_input *inputs;
    size_t input_count;
    size_t next_input;
    bool has_remote_input;
    struct worker_debts debts;
    struct outlet **outlets; /* the outputs, then the dead-letter queues */
    size_t outlet_count;
    size_t output_count;
    bool rings_only;        /* all outlets lead to nodes of this launch: they hold and lose nothing */
    struct text letter;     /* for dead letters */
    struct edge *pass_edge; /* where blocks can go on whole; NULL: the function must see each message */
    size_t next_output;     /* round robin */
    uint64_t emitted_count; /* to the outputs */
    /* The ledger, which worker_show_ledger shows. */
    uint64_t filtered_count, multiplied_count;
    uint64_t no_output_count;
    uint64_t letter_count; /* given to the dead-letter queue's outlet */
    struct random_state random;
    struct millrace_call call;
    bool gave_back;          /* see worker_take_refusal */
    int64_t error_second_ns; /* the second in which errors are being counted */
    uint64_t error_count;    /* in it */
    bool outputs_ended;
    int64_t stop_ns;     /* when the stop was first seen; 0: not yet */
    bool held_up;        /* in a stop: it takes no more; is_held_up in worker.c */
    uint64_t gone_count; /* of what was emitted to elsewhere, when last looked at in a stop (modulo 2^64) ... */
    int64_t gone_ns;     /* ... and since when it is that; 0: not looked at yet */
};

/*
 * The ledger: what has become of the messages that came in. Exact when a step ends:
 *
 *   in + multiplied + recovered = out + filtered + dropped (by cause) + dead_letters + given_back + held by outlets
 *
 * A message that emitted nothing and did not fail is filtered; each output beyond its first is one that was multiplied,
 * and so is each that a failed message emitted, which itself is dropped or a dead letter. A result without an output is
 * an output that was dropped. Recovered is what the start found in outboxes. Only that a bare datagram was lost may
 * come to light when it has been counted as out.
 */
/* When the outlets are open. */
void worker_open_ledger(struct worker *worker);
/* A step ends with it. */
void worker_show_ledger(struct worker *worker);

/* Calls the function once; what it emits goes to the outlets. False: it refused the message, for the reason call.why;
 * call.changed says whether it has had an effect nevertheless. */
bool worker_call(struct worker *worker, const void *text, uint32_t length);

/* A message that worker_call has refused. */
void worker_refuse(struct worker *worker, const struct worker_input *input, const void *text, uint32_t length);

/*
 * Applies the function to one message of this input; what it emits goes to the outlets.
 *
 * A message that it refused is, by a worker that promises more than at most once, tried again, up to the
 * --max-deliveries of its queue in all; but only as long as no call had an effect, that is, emitted something or
 * changed the keyed state: that cannot be taken back, so after it the message is given up at once. One given up is
 * logged, and goes to the worker's --dead-letter as it is; without one, and if the worker promises more than at most
 * once, to that of its queue, with its story (dead_letter.h); else it is dropped.
 */
static inline void worker_apply(struct worker *worker, const struct worker_input *input, const void *text,
                                uint32_t length)
{
    if (!worker_call(worker, text, length))
        worker_refuse(worker, input, text, length);
}

/* After worker_apply for an input that gives back: why the message is to go back to its queue (valid until the next
 * worker_apply), or NULL: it is done with. It counts as given_back. */
const char *worker_take_refusal(struct worker *worker);

/* The node type's complete: a worker that promises more than at most once, and has no --dead-letter, gets those of the
 * queues of this launch from which it takes. */
enum status worker_complete(struct node_spec *node, const struct topology_spec *spec, struct error *error) MUST_USE;

/* Tells each input what becomes of its refused messages. When inputs and outlets are open. */
void worker_join_refusals(struct worker *worker);

/* Opens the function and its keyed state. Where the state is kept, worker->state_keeper is set before. */
enum status worker_open_function(struct worker *worker, const struct millrace_value *values,
                                 struct error *error) MUST_USE;

/* Says how many errors of the last second were not logged. */
void worker_tell_unlogged(struct worker *worker);

/* ---- leases.c: inputs from queues elsewhere, of a worker that promises ---- */

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

/* At a stop: whether something may still come of it: an answer, if it is waited for, a message, an acknowledgement. Of
 * a worker that is held up messages are not awaited, nor acknowledgements that wait for a receiver. */
bool worker_leases_are_due(const struct worker *worker, const struct worker_input *input, bool answers_awaited);

/* Acknowledges what may be. */
void worker_leases_settle(struct worker *worker);

/* ---- durable.c ---- */

/*
 * A durable worker: one that promises more than at most once, in a launch with a store. It lives on the durable thread
 * (journal.h) between the queues whose messages it takes and those that take its outputs. It keeps nothing itself: at a
 * cut its input queues settle what it has released, its output queues have taken and appended what it emitted, and its
 * state is in the batch already. All it does is to stand still while a cut waits for the rings behind it to be empty.
 */

/* The node type's is_durable. */
bool worker_is_durable(const struct node_spec *node, const struct topology_spec *spec);

/* Joins the journal, if the worker is durable. When its outlets are open. */
void worker_durable_join(struct worker *worker);

/* Whether it may take input now: no cut is waited for, the journal has room, and no queue that it feeds is full. */
bool worker_durable_may_take(const struct worker *worker);

/* At a stop: whether a queue that it feeds is full and stays so. */
bool worker_durable_is_shut_out(const struct worker *worker);

/* Whether what comes by this ring stays in the store until the worker has released it. */
bool worker_durable_input_stays(const struct worker *worker, size_t input);

#endif
