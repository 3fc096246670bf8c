#include "bench/limits/udp_echo.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/sockets.h"
#include "bench/support.h"

enum { BATCH_COUNT = 64, DATAGRAM_BYTES = 2048, END_BYTES = 1 };

struct udp_echo {
    int fd;
    struct sockaddr_in address;
    pthread_t thread;
    struct mmsghdr messages[BATCH_COUNT];
    struct iovec spans[BATCH_COUNT];
    struct sockaddr_in peers[BATCH_COUNT];
    char data[BATCH_COUNT][DATAGRAM_BYTES];
};

static void prepare(struct udp_echo *echo, int count)
{
    for (int i = 0; i < count; i++) {
        echo->spans[i] = (struct iovec){.iov_base = echo->data[i], .iov_len = DATAGRAM_BYTES};
        echo->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &echo->peers[i],
            .msg_namelen = sizeof echo->peers[i],
            .msg_iov = &echo->spans[i],
            .msg_iovlen = 1,
        };
    }
}

static void *run(void *argument)
{
    struct udp_echo *echo = argument;
    int used = BATCH_COUNT;
    for (;;) {
        prepare(echo, used);
        int count = recvmmsg(echo->fd, echo->messages, BATCH_COUNT, MSG_WAITFORONE, NULL);
        if (count <= 0)
            bench_fail("recvmmsg: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            echo->spans[i].iov_len = echo->messages[i].msg_len;
            if (echo->messages[i].msg_len == END_BYTES)
                return NULL;
        }
        if (sendmmsg(echo->fd, echo->messages, (unsigned)count, 0) != count)
            bench_fail("sendmmsg: %s", strerror(errno));
        used = count;
    }
}

struct udp_echo *udp_echo_open(struct sockaddr_in *address)
{
    struct udp_echo *echo = calloc(1, sizeof *echo);
    if (echo == NULL)
        bench_fail("no memory");
    echo->fd = bench_socket_bound(SOCK_DGRAM, address);
    echo->address = *address;
    echo->thread = bench_thread(run, echo);
    return echo;
}

void udp_echo_close(struct udp_echo *echo)
{
    struct sockaddr_in own;
    int fd = bench_socket_bound(SOCK_DGRAM, &own);
    if (sendto(fd, "", END_BYTES, 0, (struct sockaddr *)&echo->address, sizeof echo->address) != END_BYTES)
        bench_fail("sendto: %s", strerror(errno));
    pthread_join(echo->thread, NULL);
    close(fd);
    close(echo->fd);
    free(echo);
}
