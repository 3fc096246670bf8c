/*
 * socket.h: what UDP and TCP sockets have in common. Any thread.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stddef.h>
#include <sys/socket.h>

#include "engine/address.h"
#include "engine/status.h"

/* Room for "[IPv6%interface]:port" and a NUL. */
enum { SOCKET_TEXT_BYTES = 80 };

/* Opens a non-blocking socket of `type` (SOCK_DGRAM, SOCK_STREAM) and the family of `address`, which is no name.
 * Returns the descriptor, or -1 with errno set. */
int socket_open(const struct address *address, int type);

/* Writes "127.0.0.1:40123" or "[::1]:40123". */
void socket_address_text(const struct sockaddr_storage *address, socklen_t address_bytes, char *text,
                         size_t text_bytes);

/* The same of the local end of `fd`; "?" if it has none. */
void socket_local_text(int fd, char *text, size_t text_bytes);

#endif
