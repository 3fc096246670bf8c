/*
 * address.h: an address names a place where a node listens.
 *
 *   HOST:PORT          UDP, as the documents write it; HOST is an IPv4 address, [IPv6] or a name
 *   udp://HOST:PORT    the same
 *   tcp://HOST:PORT    frames over TCP
 *   NAME               letters, digits, '_', '-' and '.', beginning with a letter: exists only inside one launch
 *
 * The engine compares addresses to find out which nodes to join; it opens no sockets.
 */
#ifndef ENGINE_ADDRESS_H
#define ENGINE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "engine/status.h"

enum address_scheme { ADDRESS_UDP, ADDRESS_TCP, ADDRESS_NAME };

enum { ADDRESS_TEXT_MAX = 255 };

struct address {
    enum address_scheme scheme;
    char text[ADDRESS_TEXT_MAX + 1]; /* as the user wrote it */
    /* For UDP and TCP: the first address that the host resolves to. */
    struct sockaddr_storage socket_address;
    socklen_t socket_address_bytes;
};

/* Parses and resolves (a host name may block in the resolver: main thread, before the start). STATUS_USAGE if `text` is
 * no address or its host is not known. */
enum status address_parse(const char *text, struct address *address, struct error *error) MUST_USE;

/* The port; 0 for a name. */
unsigned address_port(const struct address *address);

/* Whether what sends to `target` reaches what listens at `listener`: same scheme, port and host, or the listener
 * listens at the wildcard address and the target is this machine's loopback. Names match exactly. */
bool address_reaches(const struct address *target, const struct address *listener);

/* Whether two listeners want the same place. */
bool address_same(const struct address *one, const struct address *other);

#endif
