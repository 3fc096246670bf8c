/*
 * tcp_queue: a queue for clients over TCP beside the limit, a bare epoll echo, and beside redis with a list and NATS.
 * The client is the same code for all but for the words: on each connection it writes a pipeline of commands with one
 * call, PUT and GET (LPUSH and RPOP, ...) in turn, reads until all of them are answered, and writes the next.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/limits/tcp_echo.h"
#include "bench/measure.h"
#include "bench/peers/server.h"
#include "bench/sockets.h"
#include "bench/support.h"
#include "bench/tcp_words.h"

enum {
    CONNECTION_COUNT_MAX = 64,
    TEXT_BYTES_MAX = 2048,
    REST_BYTES_MAX = 4096, /* more than one answer has */
    READ_BYTES = 256 << 10,
    LATENCY_COUNT_MAX = 1 << 20, /* of one run; what comes after is not kept */
};

/* A run is this part of the time that is given, so that all contests together take as long as those of others. */
static const double run_share = 0.3;

struct workload {
    unsigned connection_count;
    unsigned depth; /* of a pipeline */
    unsigned text_bytes;
};

/* ---- the client ---- */

struct connection {
    int fd;
    unsigned turn;       /* of the first command of the next pipeline */
    unsigned unanswered; /* commands */
    int64_t sent_ns;
    size_t rest_bytes; /* of an answer that is not there in full */
    char rest[REST_BYTES_MAX];
};

struct client {
    const struct tcp_words *words;
    const struct workload *workload;
    int epoll_fd;
    struct connection connections[CONNECTION_COUNT_MAX];
    /* One command more than a pipeline: a pipeline begins with a PUT at its start, or with a GET behind it. */
    char *commands;
    size_t put_bytes, get_bytes, odd_bytes, even_bytes;
    uint64_t answered_count;
    double *latencies_ns;
    size_t latency_count;
    char data[REST_BYTES_MAX + READ_BYTES];
};

static void write_commands(struct client *client)
{
    const struct tcp_words *words = client->words;
    char put[TEXT_BYTES_MAX];
    char get[TEXT_BYTES_MAX];
    unsigned depth = client->workload->depth;
    client->put_bytes = words->put(put, sizeof put, client->workload->text_bytes);
    client->get_bytes = words->get(get, sizeof get);
    client->commands = malloc((depth + 1) * (client->put_bytes + client->get_bytes));
    if (client->commands == NULL)
        bench_fail("no memory");
    size_t length = 0;
    for (unsigned i = 0; i <= depth; i++) {
        size_t bytes = i % 2 == 0 ? client->put_bytes : client->get_bytes;
        memcpy(client->commands + length, i % 2 == 0 ? put : get, bytes);
        length += bytes;
        if (i + 1 == depth)
            client->even_bytes = length;
    }
    client->odd_bytes = length - client->put_bytes;
}

static void open_client(struct client *client, const struct sockaddr_in *server)
{
    write_commands(client);
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    client->latencies_ns = malloc(LATENCY_COUNT_MAX * sizeof *client->latencies_ns);
    if (client->latencies_ns == NULL)
        bench_fail("no memory");
    for (unsigned i = 0; i < client->workload->connection_count; i++) {
        struct connection *connection = &client->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        connection->fd = bench_socket_connect(server);
        if (connection->fd >= 0 && client->words->greet != NULL)
            client->words->greet(connection->fd);
        if (connection->fd < 0 || epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            bench_fail("cannot connect");
    }
}

static void close_client(struct client *client)
{
    for (unsigned i = 0; i < client->workload->connection_count; i++)
        close(client->connections[i].fd);
    close(client->epoll_fd);
    free(client->latencies_ns);
    free(client->commands);
    free(client);
}

static void send_pipeline(struct client *client, struct connection *connection, int64_t now_ns)
{
    unsigned depth = client->workload->depth;
    bool put_first = connection->turn % 2 == 0;
    size_t length = put_first ? client->even_bytes : client->odd_bytes;
    const char *commands = client->commands + (put_first ? 0 : client->put_bytes);
    connection->sent_ns = now_ns;
    connection->turn += depth;
    connection->unanswered = depth;
    /* A pipeline and its answers fit into the sockets' buffers. */
    if (send(connection->fd, commands, length, MSG_NOSIGNAL) != (ssize_t)length)
        bench_fail("send: %s", strerror(errno));
}

static void take_answers(struct client *client, struct connection *connection)
{
    size_t length = connection->rest_bytes;
    memcpy(client->data, connection->rest, length);
    ssize_t result = recv(connection->fd, client->data + length, READ_BYTES, 0);
    if (result <= 0)
        bench_fail("recv: %s", result == 0 ? "the server closed the connection" : strerror(errno));
    length += (size_t)result;
    const char *data = client->data;
    size_t bytes;
    while (length > 0 && (bytes = client->words->answer_bytes(data, length)) > 0) {
        data += bytes;
        length -= bytes;
        if (connection->unanswered-- == 0)
            bench_fail("an answer too many");
        client->answered_count++;
    }
    if (length > REST_BYTES_MAX)
        bench_fail("an answer of more than %d bytes", REST_BYTES_MAX);
    memcpy(connection->rest, data, length);
    connection->rest_bytes = length;
}

/* Writes the rate, and the 99th percentile of how long a pipeline takes. */
static void run_client(const struct sockaddr_in *server, const struct tcp_words *words, const struct workload *workload,
                       double seconds, double *figures)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        bench_fail("no memory");
    client->words = words;
    client->workload = workload;
    open_client(client, server);
    int64_t start_ns = bench_now_ns();
    int64_t now_ns = start_ns;
    int64_t end_ns = start_ns + (int64_t)(seconds * run_share * 1e9);
    for (unsigned i = 0; i < workload->connection_count; i++)
        send_pipeline(client, &client->connections[i], start_ns);
    while (now_ns < end_ns) {
        struct epoll_event events[CONNECTION_COUNT_MAX];
        int count = epoll_wait(client->epoll_fd, events, CONNECTION_COUNT_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            take_answers(client, connection);
            if (connection->unanswered > 0)
                continue;
            now_ns = bench_now_ns();
            if (client->latency_count < LATENCY_COUNT_MAX)
                client->latencies_ns[client->latency_count++] = (double)(now_ns - connection->sent_ns);
            send_pipeline(client, connection, now_ns);
        }
    }
    figures[0] = (double)client->answered_count / ((double)(now_ns - start_ns) / 1e9);
    figures[1] = measure_percentile(client->latencies_ns, client->latency_count, 0.99);
    close_client(client);
}

/* ---- the contestants ---- */

static bool run_queue(void *context, double seconds, double *figures)
{
    struct sockaddr_in address;
    char text[32];
    struct bench_flags flags = {0};
    bench_socket_free_port(SOCK_STREAM, &address);
    bench_socket_text(&address, text, sizeof text);
    bench_flags_add(&flags, "--mq --address tcp://%s", text);
    millrace_launch *launch = bench_open(flags.count, flags.words);
    bench_start(launch);
    run_client(&address, &tcp_words_frames, context, seconds, figures);
    millrace_launch_close(&launch);
    bench_flags_free(&flags);
    return true;
}

static bool run_echo(void *context, double seconds, double *figures)
{
    struct sockaddr_in address;
    struct tcp_echo *echo = tcp_echo_open(&address);
    run_client(&address, &tcp_words_frames, context, seconds, figures);
    tcp_echo_close(echo);
    return true;
}

static bool run_server(const char *const *command, const struct tcp_words *words, const struct workload *workload,
                       double seconds, double *figures)
{
    struct sockaddr_in address;
    struct peer_server *server = peer_server_open(command, &address);
    if (server == NULL)
        return false;
    run_client(&address, words, workload, seconds, figures);
    peer_server_close(server);
    return true;
}

static bool run_redis(void *context, double seconds, double *figures)
{
    return run_server(peer_redis, &tcp_words_redis, context, seconds, figures);
}

static bool run_nats(void *context, double seconds, double *figures)
{
    return run_server(peer_nats, &tcp_words_nats, context, seconds, figures);
}

static void contest(struct workload workload)
{
    char name[128];
    snprintf(name, sizeof name, "PUT and GET in turn, %u bytes, %u connection%s, pipelines of %u", workload.text_bytes,
             workload.connection_count, workload.connection_count == 1 ? "" : "s", workload.depth);
    const struct measure_metric metrics[] = {
        {.name = "rate", .unit = "commands/s", .ratio = 0.9},
        {.name = "p99 of a pipeline", .unit = "ns", .lower_is_better = true},
    };
    /* What is published comes unasked, and to all that subscribe: that is the same work only where a pipeline has both
     * a PUT and a GET, and there is one connection. */
    bool fits_nats = workload.connection_count == 1 && workload.depth % 2 == 0;
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_queue, .context = &workload},
        {.name = "bare epoll echo", .role = MEASURE_LIMIT, .run = run_echo, .context = &workload},
        {.name = "redis LPUSH/RPOP", .role = MEASURE_PEER, .run = run_redis, .context = &workload},
        {.name = "NATS publish/subscribe", .role = MEASURE_PEER, .run = run_nats, .context = &workload},
    };
    measure_contest(&(struct measure_contest){
        .workload = name,
        .metrics = metrics,
        .metric_count = sizeof metrics / sizeof metrics[0],
        .contestants = contestants,
        .contestant_count = sizeof contestants / sizeof contestants[0] - (fits_nats ? 0 : 1),
    });
}

int main(int count, char **arguments)
{
    static const struct workload workloads[] = {
        {1, 1, 16}, {1, 16, 16}, {1, 128, 16}, {50, 1, 16}, {50, 16, 16}, {50, 128, 16}, {1, 128, 128}, {50, 128, 128},
    };
    measure_open(count, arguments);
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        contest(workloads[i]);
    return measure_close();
}
