/*
 * udp_house.h: for tests of UDP sockets: opens them on the loopback, and keeps what they receive. What fails, fails the
 * test.
 */
#ifndef TESTS_SUPPORT_UDP_HOUSE_H
#define TESTS_SUPPORT_UDP_HOUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/udp.h"

enum { KEPT_COUNT = 512, WAIT_MS = 5000 };

/* What a handler saw; the copies are freed by empty_inbox. */
struct inbox {
    size_t count;
    struct {
        size_t length;
        unsigned char *data;
        struct udp_peer peer;
    } kept[KEPT_COUNT];
};

/* A udp_datagram_handler; `context` is the inbox. */
void keep(void *context, const void *data, size_t length, const struct udp_peer *peer);
void empty_inbox(struct inbox *inbox);

struct address parse_address(const char *text);
struct udp_socket *open_listener(const char *text);
struct udp_socket *open_connected_to(const struct udp_socket *listener);

/* Until something waits in it. */
void wait_readable(const struct udp_socket *socket);
/* Until the inbox has `total` datagrams. */
void receive_count(struct udp_socket *socket, struct inbox *inbox, size_t total);
void assert_nothing_waits(struct udp_socket *socket);

#endif
