/*
 * tcp_house.h: for tests of the TCP server: a server that echoes, and peers that are plain sockets. All on one thread:
 * whatever waits gives the server its steps meanwhile.
 */
#ifndef TESTS_SUPPORT_TCP_HOUSE_H
#define TESTS_SUPPORT_TCP_HOUSE_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/poller.h"
#include "net/tcp.h"

enum {
    FRAME_BYTES_MAX = 1 << 20,
    UNSENT_BYTES_MAX = 64 << 10,
    CONNECTION_COUNT_MAX = 8,
    LIMIT_ROUNDS = 20000, /* of a millisecond at most: a condition that never comes fails the test */
};

/* The server, which puts "E:" before each text; what it saw. */
struct house {
    struct poller *poller;
    struct tcp_server *server;
    struct sockaddr_in place;
    size_t opened_count, frame_count, closed_count;
    size_t unsent_bytes_most;
    enum tcp_end last_end;
    char last_why[256];
    struct tcp_stream *last_opened;
    struct tcp_stream *shut_next; /* the next frame's handler shuts it */
    bool quiet_next;              /* the next frame's handler makes the server quiet */
    bool mute;                    /* answers nothing */
};

/* Set-up and tear-down of a test; *state is the house. The tear-down may find the server closed. */
int open_house(void **state);
int close_house(void **state);

/* One round of the poller, of a millisecond at most, and a flush. */
void step_house(struct house *house);

#define WAIT_UNTIL(house, condition)                                                                                   \
    do {                                                                                                               \
        int rounds_left = LIMIT_ROUNDS;                                                                                \
        while (!(condition)) {                                                                                         \
            step_house(house);                                                                                         \
            if (--rounds_left == 0)                                                                                    \
                fail_msg("never came: %s", #condition);                                                                \
        }                                                                                                              \
    } while (0)

/* A connected socket that does not block. */
int connect_peer(struct house *house);
/* Gives the server's end of the last connection a small kernel buffer, so that a peer that does not read is felt soon.
 */
void narrow_last_connection(struct house *house);
/* Sends all of it. */
void peer_send(struct house *house, int fd, const void *data, size_t length);
/* Receives exactly `length` bytes. */
void peer_receive(struct house *house, int fd, void *data, size_t length);
void peer_expects(struct house *house, int fd, const char *bytes);
void peer_expects_end(struct house *house, int fd);
/* One question and its answer. */
void exchange(struct house *house, int fd);

/* Writes header and text to `place`. Returns how many bytes they are. */
size_t write_frame(char *place, const void *text, size_t length);

#define HOUSE_TEST(name) cmocka_unit_test_setup_teardown(name, open_house, close_house)

#endif
