/*
 * stepped_launch.h: a launch of the program's real nodes without a thread: the test turns each node when it likes, at a
 * time of its choice, and holds the other ends of rings itself.
 */
#ifndef TESTS_SUPPORT_STEPPED_LAUNCH_H
#define TESTS_SUPPORT_STEPPED_LAUNCH_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/topology.h"

enum { STEPPED_FLAG_MAX = 40 };

struct stepped_launch {
    struct topology_spec spec;
    struct topology *topology;
    struct node *const *nodes; /* all, the reporter (if any) last */
    size_t node_count;
    struct edge *feed;  /* NULL if there is none: where the test puts messages in */
    struct edge *drain; /* the same: where it takes messages out */
    int64_t now_ns;
    size_t ended_count;
};

/*
 * Opens what the flags (ended by NULL) describe. `feed_at` and `drain_at` are addresses at which nodes listen, or NULL.
 * Anything but STATUS_OK leaves nothing open.
 */
enum status stepped_open(struct stepped_launch *launch, const char *const *flags, const char *feed_at,
                         const char *drain_at, bool rehearsal, struct error *error) MUST_USE;
/* The same with functions of the test's own. They must stay. */
enum status stepped_open_with(struct stepped_launch *launch, const struct millrace_function *const *functions,
                              size_t function_count, const char *const *flags, const char *feed_at,
                              const char *drain_at, bool rehearsal, struct error *error) MUST_USE;
void stepped_close(struct stepped_launch *launch);

/* The first node of that type. */
struct node *stepped_node(const struct stepped_launch *launch, const struct node_type *type);

/* One turn of the one thread loop for one node, its descriptors included. Returns the work done. */
size_t stepped_turn(struct stepped_launch *launch, struct node *node);
/* The same for all nodes but `but` (NULL: all), after publishing what the test has put. */
size_t stepped_turn_all(struct stepped_launch *launch, const struct node *but);

/* Puts a message, whether there is room or not. stepped_turn_all publishes it. */
void stepped_put(struct stepped_launch *launch, const void *text, size_t length);
/* Takes at most `most` messages. Returns how many there were. */
uint64_t stepped_take(struct stepped_launch *launch, uint64_t most);

/* Turns everything until the condition holds; fails when it does not come. */
#define STEPPED_WAIT(launch, condition)                                                                                \
    do {                                                                                                               \
        int rounds_left = 20000;                                                                                       \
        while (!(condition)) {                                                                                         \
            stepped_turn_all(launch, NULL);                                                                            \
            if (--rounds_left == 0)                                                                                    \
                fail_msg("never came: %s", #condition);                                                                \
        }                                                                                                              \
    } while (0)

/* Where this process's first unconnected socket of `type` (SOCK_DGRAM, or SOCK_STREAM that listens) is bound. */
struct sockaddr_in stepped_listening_place(int type);

/* How many descriptors this process has open. */
size_t stepped_descriptor_count(void);

#endif
