#include "net/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "engine/check.h"

int socket_open(const struct address *address, int type)
{
    CHECK(address->scheme != ADDRESS_NAME);
    int family = address->socket_address.ss_family;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family == AF_INET6) {
        /* Whatever the system's default: [::] takes IPv4 too, as address_reaches assumes. */
        int off = 0;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    return fd;
}

void socket_address_text(const struct sockaddr_storage *address, socklen_t address_bytes, char *text, size_t text_bytes)
{
    char host[SOCKET_TEXT_BYTES];
    char port[8];
    if (getnameinfo((const struct sockaddr *)address, address_bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(text, text_bytes, "?");
    else if (address->ss_family == AF_INET6)
        snprintf(text, text_bytes, "[%s]:%s", host, port);
    else
        snprintf(text, text_bytes, "%s:%s", host, port);
}

void socket_local_text(int fd, char *text, size_t text_bytes)
{
    struct sockaddr_storage address = {0};
    socklen_t address_bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &address_bytes) != 0)
        snprintf(text, text_bytes, "?");
    else
        socket_address_text(&address, address_bytes, text, text_bytes);
}
