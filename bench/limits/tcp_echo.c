#include "bench/limits/tcp_echo.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/sockets.h"
#include "bench/support.h"

enum { EVENT_COUNT = 64, BUFFER_BYTES = 256 << 10 };

struct tcp_echo {
    int listen_fd, epoll_fd, end_fd;
    pthread_t thread;
    char buffer[BUFFER_BYTES];
};

static void watch(struct tcp_echo *echo, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(echo->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        bench_fail("epoll_ctl: %s", strerror(errno));
}

static void take_connection(struct tcp_echo *echo)
{
    int on = 1;
    int fd = accept4(echo->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    watch(echo, fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void serve(struct tcp_echo *echo, int fd)
{
    ssize_t length = recv(fd, echo->buffer, BUFFER_BYTES, 0);
    if (length <= 0)
        close(fd);
    else if (send(fd, echo->buffer, (size_t)length, MSG_NOSIGNAL) != length)
        bench_fail("send: %s", strerror(errno));
}

static void *run(void *argument)
{
    struct tcp_echo *echo = argument;
    for (;;) {
        struct epoll_event events[EVENT_COUNT];
        int count = epoll_wait(echo->epoll_fd, events, EVENT_COUNT, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == echo->end_fd)
                return NULL;
            if (fd == echo->listen_fd)
                take_connection(echo);
            else
                serve(echo, fd);
        }
    }
}

struct tcp_echo *tcp_echo_open(struct sockaddr_in *address)
{
    struct tcp_echo *echo = calloc(1, sizeof *echo);
    if (echo == NULL)
        bench_fail("no memory");
    echo->listen_fd = bench_socket_bound(SOCK_STREAM, address);
    if (listen(echo->listen_fd, SOMAXCONN) != 0)
        bench_fail("listen: %s", strerror(errno));
    echo->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    echo->end_fd = eventfd(0, EFD_CLOEXEC);
    watch(echo, echo->listen_fd);
    watch(echo, echo->end_fd);
    echo->thread = bench_thread(run, echo);
    return echo;
}

void tcp_echo_close(struct tcp_echo *echo)
{
    uint64_t one = 1;
    if (write(echo->end_fd, &one, sizeof one) != sizeof one)
        bench_fail("write: %s", strerror(errno));
    pthread_join(echo->thread, NULL);
    close(echo->end_fd);
    close(echo->epoll_fd);
    close(echo->listen_fd);
    free(echo);
}
