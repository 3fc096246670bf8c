/*
 * millrace.h: topologies inside a program.
 *
 *     millrace_launch *launch;
 *     struct millrace_error error = {0};
 *     const char *flags[] = {"--mq", "--address", "in", "--worker", "--input-address", "in",
 *                            "--output-address", "out", "--function", "pong", "--mq", "--address", "out"};
 *     if (millrace_launch_open(&launch, 13, flags, &error) != MILLRACE_OK) ...
 *     millrace_producer *producer;  millrace_producer_open(launch, "in", &producer, &error);
 *     millrace_consumer *consumer;  millrace_consumer_open(launch, "out", &consumer, &error);
 *     millrace_launch_start(launch, &error);
 *     millrace_put(producer, "ping", 4);  millrace_flush(producer);
 *     struct millrace_message message;
 *     millrace_take_wait(consumer, &message, -1) ...
 *     millrace_launch_close(&launch);
 *
 * A launch is an object; a program may have several. Calls on a launch come from one thread at a time. A producer and a
 * consumer belong to one thread at a time each, which may be another than the launch's; between them and the nodes are
 * rings, no locks. No signal handlers are installed and none of the program's signals is taken.
 */
#ifndef MILLRACE_MILLRACE_H
#define MILLRACE_MILLRACE_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/function.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MILLRACE_API __attribute__((visibility("default")))

enum millrace_result {
    MILLRACE_OK = 0,
    MILLRACE_AGAIN,  /* full, empty, or not yet: nothing is wrong */
    MILLRACE_ERROR,  /* the text of struct millrace_error says what */
    MILLRACE_CLOSED, /* the launch is stopping */
};

struct millrace_error {
    char text[512];
};

typedef struct millrace_launch millrace_launch;
typedef struct millrace_producer millrace_producer;
typedef struct millrace_consumer millrace_consumer;

/* A message's text; `data` is not NUL-ended. */
struct millrace_message {
    const void *data;
    size_t length;
};

MILLRACE_API const char *millrace_version(void);

/* Parses the flags of `millrace run`; `flags` must stay until millrace_launch_close. Nothing is opened yet. */
MILLRACE_API enum millrace_result millrace_launch_open(millrace_launch **launch, int count, const char *const *flags,
                                                       struct millrace_error *error);

/* Lets the launch's workers use `function` by its name, before the built-in one of the same name. Before the start. The
 * struct must stay until millrace_launch_close. */
MILLRACE_API enum millrace_result millrace_launch_add_function(millrace_launch *launch,
                                                               const struct millrace_function *function,
                                                               struct millrace_error *error);

/* An end for the program itself, before the start: to put messages into the queue or sink that listens at `address`, or
 * to take messages from the queue there. They are freed by millrace_launch_close. */
MILLRACE_API enum millrace_result millrace_producer_open(millrace_launch *launch, const char *address,
                                                         millrace_producer **producer, struct millrace_error *error);
MILLRACE_API enum millrace_result millrace_consumer_open(millrace_launch *launch, const char *address,
                                                         millrace_consumer **consumer, struct millrace_error *error);

/* Opens sockets and files and starts the threads. On failure nothing runs. */
MILLRACE_API enum millrace_result millrace_launch_start(millrace_launch *launch, struct millrace_error *error);

/* Whether everything fed has left the graph (the launch must have a feeder for this to become true). */
MILLRACE_API int millrace_launch_has_drained(millrace_launch *launch);

/* Sources and producers stop; what is in flight flows to its end, within the launch's --drain-timeout; the rest is
 * left. Blocks until all nodes have ended. MILLRACE_AGAIN: something was left. */
MILLRACE_API enum millrace_result millrace_launch_stop(millrace_launch *launch);

/* What a node has counted since the start. */
struct millrace_counts {
    uint64_t in_count, out_count;
    uint64_t dropped_count;
    uint64_t queued_count; /* messages that rest in it now */
};

/* Of the node that is called `name` in the last lines: its type ("worker"), with its VUID behind it if it was given one
 * ("worker NODE_2"), or its number among those of its type ("mq 2"). While the launch runs, too. MILLRACE_ERROR: there
 * is none. */
MILLRACE_API enum millrace_result millrace_launch_counts(const millrace_launch *launch, const char *name,
                                                         struct millrace_counts *counts);

/* Writes what each node counted to a FILE's descriptor, as the program does at its end. */
MILLRACE_API void millrace_launch_print_summary(millrace_launch *launch, int fd);

/* Stops, if need be, and frees everything, producers and consumers too. */
MILLRACE_API void millrace_launch_close(millrace_launch **launch);

/* Puts a copy of `length` bytes (1 GiB at most). Others see it when a block is full or after millrace_flush.
 * MILLRACE_AGAIN: the ring is full. Never blocks. */
MILLRACE_API enum millrace_result millrace_put(millrace_producer *producer, const void *data, size_t length);
/* Hands over what was put. MILLRACE_AGAIN: the ring is full, the last messages stay behind; flush again later, or let
 * millrace_put_wait make sure of them. Never blocks. */
MILLRACE_API enum millrace_result millrace_flush(millrace_producer *producer);
/* Flushes and waits until all is handed over and there is room: MILLRACE_OK; MILLRACE_CLOSED when the launch stops;
 * MILLRACE_AGAIN after `timeout_ns` (negative: no limit). */
MILLRACE_API enum millrace_result millrace_put_wait(millrace_producer *producer, int64_t timeout_ns);
/* No more messages will come from here. Blocks until all is handed over, or the launch stops. */
MILLRACE_API void millrace_producer_end(millrace_producer *producer);

/* The next message, valid until the next call on this consumer. MILLRACE_AGAIN: none now. */
MILLRACE_API enum millrace_result millrace_take(millrace_consumer *consumer, struct millrace_message *message);
/* The same, but waits for one. MILLRACE_CLOSED: none will come any more. */
MILLRACE_API enum millrace_result millrace_take_wait(millrace_consumer *consumer, struct millrace_message *message,
                                                     int64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
