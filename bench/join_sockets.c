/*
 * join_sockets: market spread as in the README, as five processes of the real program joined over UDP (metrics
 * receiver, sink, queue, worker, feeder), and beside it, in place of a limit, the same in one launch joined by rings.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/market.h"

/* A run over sockets takes one day, whatever --seconds says; so it is a short one. */
enum { QUOTE_COUNT = 20000, PORT_COUNT = 3, LOOK_NS = 1000000, PATIENCE_NS = 2000000000 };

/* ---- processes ---- */

/* `words` ends with NULL. */
static pid_t begin(const char *const *words)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        bench_fail("no process could be made");
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, STDIN_FILENO);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a benchmark that fails */
        if (getppid() == parent)
            execv(MILLRACE_PROGRAM, (char *const *)words);
        _exit(127);
    }
    return child;
}

static pid_t begin_node(struct bench_flags *flags)
{
    const char **words = calloc((size_t)flags->count + 2, sizeof *words);
    if (words == NULL)
        bench_fail("no memory");
    words[0] = MILLRACE_PROGRAM;
    memcpy((void *)(words + 1), (const void *)flags->words, (size_t)flags->count * sizeof *words);
    pid_t child = begin(words);
    free((void *)words);
    bench_flags_free(flags);
    return child;
}

/* Its exit status; 256 if a signal ended it. */
static int end_of(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

static void stop(pid_t child, const char *what)
{
    kill(child, SIGTERM);
    if (end_of(child) > 1) /* 1: it had to leave something */
        bench_fail("%s did not end well", what);
}

/* ---- sockets ---- */

static int udp_socket(uint16_t port, uint16_t *bound)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        bench_fail("no socket");
    if (bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        close(fd);
        return -1;
    }
    if (bound != NULL)
        *bound = ntohs(address.sin_port);
    return fd;
}

/* Ports of the kernel's choice, free a moment ago. */
static void choose_ports(uint16_t *ports)
{
    int fds[PORT_COUNT];
    for (unsigned i = 0; i < PORT_COUNT; i++) {
        ports[i] = 0;
        fds[i] = udp_socket(0, &ports[i]);
        if (fds[i] < 0)
            bench_fail("no port");
    }
    for (unsigned i = 0; i < PORT_COUNT; i++)
        close(fds[i]);
}

static void wait_until_taken(uint16_t port)
{
    int fd;
    for (int64_t end_ns = bench_now_ns() + PATIENCE_NS; (fd = udp_socket(port, NULL)) >= 0; bench_wait_ns(LOOK_NS)) {
        close(fd);
        if (bench_now_ns() > end_ns)
            bench_fail("nobody listens at port %u", port);
    }
}

/* What the queue at the port still holds; -1: no answer. */
static long queued_count(int fd, uint16_t port)
{
    struct sockaddr_in queue = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char answer[64];
    sendto(fd, "14SIZE", 6, 0, (struct sockaddr *)&queue, sizeof queue);
    ssize_t length = recv(fd, answer, sizeof answer - 1, 0);
    if (length < 3)
        return -1;
    answer[length] = '\0';
    return strtol(answer + 1 + (answer[0] - '0'), NULL, 10); /* behind the frame's head: "1" and a digit, "2" and two */
}

static void wait_until_empty(uint16_t port)
{
    struct timeval timeout = {.tv_usec = 100000};
    int fd = udp_socket(0, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    while (queued_count(fd, port) != 0)
        bench_wait_ns(LOOK_NS);
    close(fd);
}

/* ---- the contestants ---- */

static bool run_processes(void *context, double seconds, double *figures)
{
    const struct market *market = context;
    uint16_t ports[PORT_COUNT]; /* of the receiver, the sink, the queue */
    struct bench_flags flags = {0};
    (void)seconds;
    choose_ports(ports);
    bench_flags_add(&flags, "metrics-receiver --address 127.0.0.1:%u", ports[0]);
    pid_t receiver = begin_node(&flags);
    bench_flags_add(&flags, "sink --address 127.0.0.1:%u --metrics-address 127.0.0.1:%u --stats-period 1", ports[1],
                    ports[0]);
    pid_t sink = begin_node(&flags);
    bench_flags_add(&flags, "mq --address 127.0.0.1:%u --metrics-address 127.0.0.1:%u --stats-period 1", ports[2],
                    ports[0]);
    pid_t queue = begin_node(&flags);
    for (unsigned i = 0; i < PORT_COUNT; i++)
        wait_until_taken(ports[i]);
    bench_flags_add(&flags,
                    "worker --input-address 127.0.0.1:%u --output-address 127.0.0.1:%u --output-type socket "
                    "--function marketspread --metrics-address 127.0.0.1:%u --stats-period 1",
                    ports[2], ports[1], ports[0]);
    pid_t worker = begin_node(&flags);

    int64_t start_ns = bench_now_ns();
    bench_flags_add(&flags, "feeder --address 127.0.0.1:%u --path %s --path %s", ports[2], market->nbbo_path,
                    market->trades_path);
    pid_t feeder = begin_node(&flags);
    if (end_of(feeder) != 0)
        bench_fail("the feeder could not feed all");
    wait_until_empty(ports[2]);
    figures[0] = (double)market->line_count / ((double)(bench_now_ns() - start_ns) / 1e9);

    stop(worker, "the worker");
    stop(queue, "the queue");
    stop(sink, "the sink");
    stop(receiver, "the metrics receiver");
    return true;
}

int main(int count, char **arguments)
{
    return market_benchmark(count, arguments, "market spread, five processes over UDP", QUOTE_COUNT,
                            (struct measure_metric){0},
                            (struct measure_contestant){.name = "millrace, five processes", .run = run_processes},
                            (struct measure_contestant){.name = "millrace, one launch", .run = market_spread_run});
}
