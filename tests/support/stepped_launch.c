#include "tests/support/stepped_launch.h"

#include <dirent.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/clock.h"
#include "engine/node_loop.h"
#include "nodes/node_types.h"

static void add_port(struct stepped_launch *launch, const char *text, enum link_kind kind)
{
    struct address address;
    struct error error = {0};
    assert_int_equal(address_parse(text, &address, &error), STATUS_OK);
    topology_spec_add_port(&launch->spec, &address, kind);
}

enum status stepped_open(struct stepped_launch *launch, const char *const *flags, const char *feed_at,
                         const char *drain_at, bool rehearsal, struct error *error)
{
    return stepped_open_with(launch, NULL, 0, flags, feed_at, drain_at, rehearsal, error);
}

enum status stepped_open_with(struct stepped_launch *launch, const struct millrace_function *const *functions,
                              size_t function_count, const char *const *flags, const char *feed_at,
                              const char *drain_at, bool rehearsal, struct error *error)
{
    *launch = (struct stepped_launch){.now_ns = clock_monotonic_ns()};
    int count = 0;
    while (flags[count] != NULL)
        count++;
    enum status status = topology_spec_parse(&launch->spec, &millrace_catalog, NULL, count, flags, error);
    if (status != STATUS_OK)
        return status;
    launch->spec.functions = functions;
    launch->spec.function_count = function_count;
    size_t port_count = 0;
    if (feed_at != NULL)
        add_port(launch, feed_at, LINK_NONE);
    if (drain_at != NULL)
        add_port(launch, drain_at, LINK_GET);
    status = topology_spec_check(&launch->spec, error);
    if (status == STATUS_OK)
        status = topology_open(&launch->topology, &launch->spec, &millrace_catalog, rehearsal, error);
    if (status != STATUS_OK) {
        assert_null(launch->topology);
        topology_spec_free(&launch->spec);
        return status;
    }
    launch->nodes = topology_nodes(launch->topology, &launch->node_count);
    if (feed_at != NULL)
        launch->feed = topology_application_edge(launch->topology, port_count++);
    if (drain_at != NULL)
        launch->drain = topology_application_edge(launch->topology, port_count);
    return STATUS_OK;
}

void stepped_close(struct stepped_launch *launch)
{
    topology_close(&launch->topology);
    topology_spec_free(&launch->spec);
}

struct node *stepped_node(const struct stepped_launch *launch, const struct node_type *type)
{
    for (size_t i = 0; i < launch->node_count; i++)
        if (launch->nodes[i]->type == type)
            return launch->nodes[i];
    fail_msg("there is no %s", type->name);
    return NULL;
}

static void ignore_end(struct node *node)
{
    (void)node;
}

size_t stepped_turn(struct stepped_launch *launch, struct node *node)
{
    struct node *nodes[] = {node};
    struct node_loop loop = {
        .idle.poller = node->idle->poller, .nodes = nodes, .node_count = 1, .node_ended = ignore_end};
    int64_t next_poll_ns = 0;
    int64_t deadline_ns;
    bool all_done;
    bool was_done = node->done;
    size_t work = node_loop_turn(&loop, launch->now_ns, &next_poll_ns, &deadline_ns, &all_done);
    assert_int_equal(all_done, node->done);
    assert_int_equal(node->done, atomic_load(&node->ended));
    launch->ended_count += node->done && !was_done;
    return work;
}

size_t stepped_turn_all(struct stepped_launch *launch, const struct node *but)
{
    size_t work = 0;
    if (launch->feed != NULL)
        edge_flush(launch->feed);
    for (size_t i = 0; i < launch->node_count; i++)
        if (launch->nodes[i] != but)
            work += stepped_turn(launch, launch->nodes[i]);
    if (work == 0)
        sched_yield(); /* what is waited for may be on its way through the kernel */
    return work;
}

void stepped_put(struct stepped_launch *launch, const void *text, size_t length)
{
    edge_emit(launch->feed, text, (uint32_t)length, launch->now_ns);
}

uint64_t stepped_take(struct stepped_launch *launch, uint64_t most)
{
    uint64_t taken = 0;
    while (taken < most && edge_peek(launch->drain) != NULL) {
        edge_pop(launch->drain);
        taken++;
    }
    edge_settle(launch->drain);
    return taken;
}

/* ---- this process ---- */

static bool is_listening(int fd, int type)
{
    int value = 0;
    socklen_t value_bytes = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &value_bytes) != 0 || value != type)
        return false;
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;
    if (type == SOCK_DGRAM)
        return getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) != 0;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &value_bytes) == 0 && value != 0;
}

struct sockaddr_in stepped_listening_place(int type)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in place;
        socklen_t place_bytes = sizeof place;
        if (is_listening(fd, type) && getsockname(fd, (struct sockaddr *)&place, &place_bytes) == 0 &&
            place.sin_family == AF_INET && place.sin_port != 0)
            return place;
    }
    fail_msg("nothing listens");
    return (struct sockaddr_in){0};
}

size_t stepped_descriptor_count(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}
