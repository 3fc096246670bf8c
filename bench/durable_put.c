/*
 * durable_put: messages of 128 bytes put over TCP to a queue that keeps them, beside a bare file with one write and one
 * fdatasync a batch, and beside NATS JetStream. The client keeps so many PUTs unanswered; while half of them are on
 * their way to the disk the others arrive, so the bare file gets half of them a batch. The queue does the same with its
 * redo log, and beside that puts into the store's file what is still there some milliseconds later.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/limits/group_commit.h"
#include "bench/measure.h"
#include "bench/peers/server.h"
#include "bench/scratch.h"
#include "bench/sockets.h"
#include "bench/support.h"
#include "bench/tcp_words.h"

enum { TEXT_BYTES = 128, READ_BYTES = 256 << 10, REST_BYTES_MAX = 4096, COMMAND_BYTES_MAX = 512 };

struct workload {
    const char *durability;
    unsigned unanswered_count;
};

/* ---- the client ---- */

struct client {
    int fd;
    const struct tcp_words *words;
    char *commands; /* as many as may be unanswered */
    size_t command_bytes;
    unsigned unanswered_count;
    unsigned unanswered_max;
    size_t rest_bytes;
    char data[REST_BYTES_MAX + READ_BYTES];
};

static struct client *open_client(const struct sockaddr_in *server, const struct tcp_words *words,
                                  const struct workload *workload)
{
    struct client *client = calloc(1, sizeof *client);
    char command[COMMAND_BYTES_MAX];
    size_t bytes = words->put(command, sizeof command, TEXT_BYTES);
    if (client == NULL || (client->commands = malloc(bytes * workload->unanswered_count)) == NULL)
        bench_fail("no memory");
    for (unsigned i = 0; i < workload->unanswered_count; i++)
        memcpy(client->commands + i * bytes, command, bytes);
    client->command_bytes = bytes;
    client->words = words;
    client->unanswered_max = workload->unanswered_count;
    client->fd = bench_socket_connect(server);
    if (client->fd < 0)
        bench_fail("cannot connect");
    if (words->greet != NULL)
        words->greet(client->fd);
    return client;
}

static void close_client(struct client *client)
{
    close(client->fd);
    free(client->commands);
    free(client);
}

static void send_all(struct client *client)
{
    size_t length = (client->unanswered_max - client->unanswered_count) * client->command_bytes;
    for (size_t sent = 0; sent < length;) {
        ssize_t result = send(client->fd, client->commands + sent, length - sent, MSG_NOSIGNAL);
        if (result < 0 && errno != EINTR)
            bench_fail("send: %s", strerror(errno));
        sent += result > 0 ? (size_t)result : 0;
    }
    client->unanswered_count = client->unanswered_max;
}

/* Returns how many came. */
static unsigned take_answers(struct client *client)
{
    ssize_t result = recv(client->fd, client->data + client->rest_bytes, READ_BYTES, 0);
    if (result <= 0)
        bench_fail("recv: %s", result == 0 ? "the server closed the connection" : strerror(errno));
    const char *data = client->data;
    size_t length = client->rest_bytes + (size_t)result;
    unsigned count = 0;
    for (size_t bytes; length > 0 && (bytes = client->words->answer_bytes(data, length)) > 0; count++) {
        if (memmem(data, bytes, "ERR", 3) != NULL)
            bench_fail("refused: %.*s", (int)bytes, data);
        data += bytes;
        length -= bytes;
    }
    if (count > client->unanswered_count || length > REST_BYTES_MAX)
        bench_fail("answers that fit no command");
    client->unanswered_count -= count;
    memmove(client->data, data, length);
    client->rest_bytes = length;
    return count;
}

/* Acknowledged messages a second. */
static double run_client(const struct sockaddr_in *server, const struct tcp_words *words,
                         const struct workload *workload, double seconds)
{
    struct client *client = open_client(server, words, workload);
    uint64_t count = 0;
    int64_t start_ns = bench_now_ns();
    int64_t now_ns = start_ns;
    while ((double)(now_ns - start_ns) < seconds * 1e9) {
        send_all(client);
        count += take_answers(client);
        now_ns = bench_now_ns();
    }
    close_client(client);
    return (double)count / ((double)(now_ns - start_ns) / 1e9);
}

/* ---- the contestants ---- */

static bool run_queue(void *context, double seconds, double *figures)
{
    const struct workload *workload = context;
    struct sockaddr_in address;
    char text[32];
    char directory[SCRATCH_PATH_BYTES];
    struct bench_flags flags = {0};
    scratch_open(directory);
    bench_socket_free_port(SOCK_STREAM, &address);
    bench_socket_text(&address, text, sizeof text);
    bench_flags_add(&flags, "--store %s --mq --address tcp://%s --durability %s --capacity-bytes 100G", directory, text,
                    workload->durability);
    millrace_launch *launch = bench_open(flags.count, flags.words);
    bench_start(launch);
    figures[0] = run_client(&address, &tcp_words_frames, workload, seconds);
    millrace_launch_close(&launch);
    bench_flags_free(&flags);
    scratch_close(directory);
    return true;
}

static bool run_file(void *context, double seconds, double *figures)
{
    const struct workload *workload = context;
    unsigned batch_count = workload->unanswered_count > 1 ? workload->unanswered_count / 2 : 1;
    figures[0] = group_commit_rate(batch_count, TEXT_BYTES, seconds);
    return true;
}

static bool run_jetstream(void *context, double seconds, double *figures)
{
    char directory[SCRATCH_PATH_BYTES];
    struct sockaddr_in address;
    scratch_open(directory);
    struct peer_server *server = peer_server_open_in(peer_jetstream, directory, &address);
    if (server != NULL) {
        figures[0] = run_client(&address, &tcp_words_jetstream, context, seconds);
        peer_server_close(server);
    }
    scratch_close(directory);
    return server != NULL;
}

static void contest(struct workload workload, struct measure_metric rate)
{
    char name[128];
    snprintf(name, sizeof name, "PUT, 128 bytes, %s, %u unanswered", workload.durability, workload.unanswered_count);
    rate.name = "rate";
    rate.unit = "messages/s";
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_queue, .context = &workload},
        {.name = "write and fdatasync", .role = MEASURE_LIMIT, .run = run_file, .context = &workload},
        {.name = "NATS JetStream", .role = MEASURE_PEER, .run = run_jetstream, .context = &workload},
    };
    measure_contest(&(struct measure_contest){.workload = name,
                                              .metrics = &rate,
                                              .metric_count = 1,
                                              .contestants = contestants,
                                              .contestant_count = sizeof contestants / sizeof contestants[0]});
}

int main(int count, char **arguments)
{
    measure_open(count, arguments);
    contest((struct workload){"sync", 1}, (struct measure_metric){.ratio = 1 / 1.3});
    contest((struct workload){"sync", 128}, (struct measure_metric){.ratio = 0.5});
    contest((struct workload){"sync", 1024}, (struct measure_metric){.ratio = 0.5});
    contest((struct workload){"async", 1024}, (struct measure_metric){.bound = 1e6});
    return measure_close();
}
