/*
 * udp_queue: a queue over UDP beside the limit, a bare echo server with recvmmsg and sendmmsg, with the same client in
 * the same run, in turn. The client keeps a window of PUTs (and one GET for each) unanswered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/support.h"

enum { BATCH = 64, DATAGRAM_BYTES = 2048, RUN_COUNT = 5, TEXT_BYTES = 64 };
static const int64_t run_ns = 500000000;

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in peers[BATCH];
    char data[BATCH][DATAGRAM_BYTES];
};

static void prepare(struct batch *batch, unsigned count, bool with_peers)
{
    for (unsigned i = 0; i < count; i++) {
        batch->vectors[i] = (struct iovec){.iov_base = batch->data[i], .iov_len = DATAGRAM_BYTES};
        batch->messages[i].msg_hdr = (struct msghdr){
            .msg_name = with_peers ? &batch->peers[i] : NULL,
            .msg_namelen = with_peers ? sizeof batch->peers[i] : 0,
            .msg_iov = &batch->vectors[i],
            .msg_iovlen = 1,
        };
    }
}

static int open_socket(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int bytes = 8 << 20;
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (bind(fd, (struct sockaddr *)address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &length) != 0) {
        perror("bench: bind");
        exit(EXIT_FAILURE);
    }
    return fd;
}

/* ---- the limit ---- */

static void *echo(void *argument)
{
    static struct batch batch;
    int fd = *(int *)argument;
    for (;;) {
        prepare(&batch, BATCH, true);
        int count = recvmmsg(fd, batch.messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return NULL;
        for (int i = 0; i < count; i++) {
            batch.vectors[i].iov_len = batch.messages[i].msg_len;
            if (batch.messages[i].msg_len == 1) /* the end */
                return NULL;
        }
        sendmmsg(fd, batch.messages, (unsigned)count, 0);
    }
}

/* ---- the client ---- */

static char put_text[DATAGRAM_BYTES];
static size_t put_length;

static void send_commands(int fd, struct batch *batch, unsigned count, unsigned *turn)
{
    while (count > 0) {
        unsigned now = count < BATCH ? count : BATCH;
        prepare(batch, now, false);
        for (unsigned i = 0; i < now; i++, (*turn)++) {
            const char *text = *turn % 2 == 0 ? put_text : "13GET";
            size_t length = *turn % 2 == 0 ? put_length : strlen("13GET");
            memcpy(batch->data[i], text, length);
            batch->vectors[i].iov_len = length;
        }
        int sent = sendmmsg(fd, batch->messages, now, 0);
        if (sent <= 0)
            return;
        count -= (unsigned)sent;
    }
}

/* Answered commands a second. */
static double drive(const struct sockaddr_in *server, unsigned window)
{
    static struct batch batch;
    struct sockaddr_in own;
    struct timeval timeout = {.tv_usec = 200000};
    int fd = open_socket(&own);
    unsigned turn = 0;
    uint64_t answered = 0;
    if (connect(fd, (const struct sockaddr *)server, sizeof *server) != 0)
        exit(EXIT_FAILURE);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    int64_t start_ns = bench_now_ns();
    send_commands(fd, &batch, window, &turn);
    while (bench_now_ns() - start_ns < run_ns) {
        prepare(&batch, BATCH, false);
        int count = recvmmsg(fd, batch.messages, BATCH, MSG_WAITFORONE, NULL);
        if (count <= 0) { /* lost: begin a new window */
            send_commands(fd, &batch, window, &turn);
            continue;
        }
        answered += (unsigned)count;
        send_commands(fd, &batch, (unsigned)count, &turn);
    }
    double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    close(fd);
    return (double)answered / seconds;
}

static double drive_echo(unsigned window)
{
    struct sockaddr_in address;
    struct sockaddr_in own;
    int fd = open_socket(&address);
    pthread_t thread;
    if (pthread_create(&thread, NULL, echo, &fd) != 0)
        exit(EXIT_FAILURE);
    double rate = drive(&address, window);
    int ender = open_socket(&own);
    sendto(ender, "x", 1, 0, (struct sockaddr *)&address, sizeof address);
    pthread_join(thread, NULL);
    close(ender);
    close(fd);
    return rate;
}

static double drive_queue(unsigned window)
{
    struct sockaddr_in address;
    char text[32];
    close(open_socket(&address)); /* a port of the kernel's choice */
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    const char *const flags[] = {"--mq", "--address", text};
    millrace_launch *launch = bench_open(3, flags);
    bench_start(launch);
    double rate = drive(&address, window);
    millrace_launch_close(&launch);
    return rate;
}

int main(void)
{
    static const unsigned windows[] = {1, 16, 64, 256};
    put_length = (size_t)snprintf(put_text, sizeof put_text, "2%02xPUT:%0*d", TEXT_BYTES + 4, TEXT_BYTES, 0);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        double queue[RUN_COUNT];
        double limit[RUN_COUNT];
        for (unsigned j = 0; j < RUN_COUNT; j++) {
            limit[j] = drive_echo(windows[i]);
            queue[j] = drive_queue(windows[i]);
        }
        double queue_median = bench_median(queue, RUN_COUNT);
        double limit_median = bench_median(limit, RUN_COUNT);
        printf("queue over UDP, PUT and GET in turn, %d bytes, window %3u: %.3f million commands a second; bare echo "
               "%.3f; ratio %.2f\n",
               TEXT_BYTES, windows[i], queue_median / 1e6, limit_median / 1e6, queue_median / limit_median);
    }
    return 0;
}
