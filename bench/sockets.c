#include "bench/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/support.h"

static int open_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        bench_fail("socket: %s", strerror(errno));
    return fd;
}

int bench_socket_bound(int type, struct sockaddr_in *address)
{
    int fd = open_socket(type);
    int bytes = 8 << 20;
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (type == SOCK_DGRAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    if (bind(fd, (struct sockaddr *)address, length) != 0 || getsockname(fd, (struct sockaddr *)address, &length) != 0)
        bench_fail("bind: %s", strerror(errno));
    return fd;
}

void bench_socket_free_port(int type, struct sockaddr_in *address)
{
    close(bench_socket_bound(type, address));
}

void bench_socket_text(const struct sockaddr_in *address, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "127.0.0.1:%u", ntohs(address->sin_port));
}

int bench_socket_connect(const struct sockaddr_in *address)
{
    int fd = open_socket(SOCK_STREAM);
    int on = 1;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        if (errno != ECONNREFUSED)
            bench_fail("connect: %s", strerror(errno));
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}
