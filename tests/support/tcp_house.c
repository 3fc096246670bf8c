#include "tests/support/tcp_house.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/clock.h"
#include "net/lhhttt.h"
#include "net/tcp_stream.h"

static void on_opened(void *context, struct tcp_stream *stream)
{
    struct house *house = context;
    house->opened_count++;
    house->last_opened = stream;
    assert_null(*tcp_user(stream));
    *tcp_user(stream) = house;
    assert_memory_equal(tcp_peer_text(stream), "127.0.0.1:", 10);
}

static void on_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct house *house = context;
    house->frame_count++;
    assert_ptr_equal(*tcp_user(stream), house);
    if (!house->mute)
        tcp_send(stream, "E:", 2, text, length);
    if (tcp_unsent_bytes(stream) > house->unsent_bytes_most)
        house->unsent_bytes_most = tcp_unsent_bytes(stream);
    if (house->shut_next != NULL)
        tcp_shut(house->shut_next);
    house->shut_next = NULL;
    if (house->quiet_next)
        tcp_server_quiet(house->server);
    house->quiet_next = false;
}

static void on_closed(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    struct house *house = context;
    assert_ptr_equal(*tcp_user(stream), house);
    /* Too late, and harmless. */
    tcp_send(stream, "late", 4, NULL, 0);
    tcp_shut(stream);
    house->closed_count++;
    house->last_end = end;
    snprintf(house->last_why, sizeof house->last_why, "%s", why);
}

int open_house(void **state)
{
    struct house *house = calloc(1, sizeof *house);
    assert_non_null(house);
    struct error error = {0};
    struct address address;
    assert_int_equal(address_parse("tcp://127.0.0.1:0", &address, &error), STATUS_OK);
    assert_int_equal(poller_open(&house->poller, &error), STATUS_OK);
    const struct tcp_limits limits = {
        .frame_bytes_max = FRAME_BYTES_MAX,
        .unsent_bytes_max = UNSENT_BYTES_MAX,
        .connection_count_max = CONNECTION_COUNT_MAX,
    };
    const struct tcp_handlers handlers = {
        .opened = on_opened,
        .frame = on_frame,
        .closed = on_closed,
        .context = house,
    };
    assert_int_equal(tcp_server_open(&house->server, &address, house->poller, &limits, &handlers, &error), STATUS_OK);
    char text[128];
    tcp_server_local_text(house->server, text, sizeof text);
    assert_int_equal(address_parse(text, &address, &error), STATUS_OK);
    memcpy(&house->place, &address.socket_address, sizeof house->place);
    *state = house;
    return 0;
}

int close_house(void **state)
{
    struct house *house = *state;
    tcp_server_close(&house->server);
    assert_null(house->server);
    assert_int_equal(house->opened_count, house->closed_count);
    assert_int_equal(poller_source_count(house->poller), 0);
    poller_close(&house->poller);
    free(house);
    return 0;
}

void step_house(struct house *house)
{
    poller_wait(house->poller, NS_PER_MS);
    tcp_server_flush(house->server);
}

int connect_peer(struct house *house)
{
    size_t opened_count = house->opened_count;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&house->place, sizeof house->place), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    WAIT_UNTIL(house, house->opened_count > opened_count);
    return fd;
}

void narrow_last_connection(struct house *house)
{
    int bytes = 4096;
    assert_int_equal(setsockopt(house->last_opened->source.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

void peer_send(struct house *house, int fd, const void *data, size_t length)
{
    size_t sent = 0;
    int rounds_left = LIMIT_ROUNDS;
    while (sent < length) {
        ssize_t result = send(fd, (const char *)data + sent, length - sent, MSG_NOSIGNAL);
        if (result > 0)
            sent += (size_t)result;
        else if (errno == EAGAIN)
            step_house(house);
        else
            fail_msg("send: %s", strerror(errno));
        assert_true(--rounds_left > 0);
    }
}

void peer_receive(struct house *house, int fd, void *data, size_t length)
{
    size_t received = 0;
    int rounds_left = LIMIT_ROUNDS;
    while (received < length) {
        ssize_t result = recv(fd, (char *)data + received, length - received, 0);
        if (result > 0)
            received += (size_t)result;
        else if (result < 0 && errno == EAGAIN)
            step_house(house);
        else
            fail_msg("recv after %zu bytes: %s", received, result == 0 ? "end" : strerror(errno));
        assert_true(--rounds_left > 0);
    }
}

void peer_expects(struct house *house, int fd, const char *bytes)
{
    char received[512];
    assert_true(strlen(bytes) <= sizeof received);
    peer_receive(house, fd, received, strlen(bytes));
    assert_memory_equal(received, bytes, strlen(bytes));
}

void peer_expects_end(struct house *house, int fd)
{
    char byte;
    ssize_t result;
    WAIT_UNTIL(house, (result = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    assert_int_equal(result, 0);
}

size_t write_frame(char *place, const void *text, size_t length)
{
    size_t header_length = lhhttt_write_header(length, place);
    memcpy(place + header_length, text, length);
    return header_length + length;
}

void exchange(struct house *house, int fd)
{
    peer_send(house, fd, "18PUT:ping", 10);
    peer_expects(house, fd, "1aE:PUT:ping");
}
