#include "tests/support/far_queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/lhhttt.h"

static int bound_socket(struct sockaddr_in *place)
{
    socklen_t place_bytes = sizeof *place;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)place, sizeof *place) != 0) {
        assert_int_equal(errno, EADDRINUSE);
        assert_int_equal(close(fd), 0);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)place, &place_bytes), 0);
    return fd;
}

/* A port of the kernel's choice, but bound to by its number: only then does a socket keep it when it is disconnected.
 */
static int keeping_socket(struct sockaddr_in *place)
{
    int fd = -1;
    while (fd < 0) {
        *place = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int probe = bound_socket(place);
        assert_int_equal(close(probe), 0);
        fd = bound_socket(place);
    }
    return fd;
}

void far_open(struct far_queue *far)
{
    struct error error = {0};
    struct sockaddr_in place;
    far->fd = keeping_socket(&place);
    int buffer_bytes = 4 << 20;
    (void)setsockopt(far->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes);
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(place.sin_port));
    assert_int_equal(address_parse(text, &far->address, &error), STATUS_OK);

    struct log_settings settings = {.node_name = "test", .address = "", .level = LOG_ERROR};
    assert_int_equal(log_open(&far->node.log, &settings, &error), STATUS_OK);
    idle_open(&far->idle, false);
    far->node.idle = &far->idle;
    assert_int_equal(node_poller(&far->node, &far->poller, &error), STATUS_OK);
}

void far_close(struct far_queue *far)
{
    assert_int_equal(poller_source_count(far->poller), 1); /* the idle's own */
    idle_close(&far->idle);
    log_close(&far->node.log);
    assert_int_equal(close(far->fd), 0);
}

/* A socket that is connected to another place takes nothing from this one. */
void far_leave(struct far_queue *far)
{
    struct sockaddr_in elsewhere = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(far->fd, (struct sockaddr *)&elsewhere, sizeof elsewhere), 0);
    while (recv(far->fd, far->datagram, sizeof far->datagram, 0) >= 0)
        continue;
}

void far_return(struct far_queue *far)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    assert_int_equal(connect(far->fd, &nowhere, sizeof nowhere), 0);
}

const void *far_take(struct far_queue *far, size_t *length)
{
    socklen_t asker_bytes = sizeof far->asker;
    ssize_t received =
        recvfrom(far->fd, far->datagram, sizeof far->datagram, 0, (struct sockaddr *)&far->asker, &asker_bytes);
    if (received < 0) {
        assert_int_equal(errno, EAGAIN);
        return NULL;
    }
    *length = (size_t)received;
    return far->datagram;
}

const void *far_receive(struct far_queue *far, size_t *length)
{
    struct pollfd descriptor = {.fd = far->fd, .events = POLLIN};
    assert_int_equal(poll(&descriptor, 1, FAR_ROUNDS_MAX), 1);
    const void *datagram = far_take(far, length);
    assert_non_null(datagram);
    return datagram;
}

void far_expect(struct far_queue *far, const void *datagram, size_t length)
{
    size_t received;
    const void *data = far_receive(far, &received);
    assert_int_equal(received, length);
    assert_memory_equal(data, datagram, length);
}

void far_expect_text(struct far_queue *far, const char *datagram)
{
    far_expect(far, datagram, strlen(datagram));
}

void far_expect_nothing(struct far_queue *far)
{
    size_t length;
    const char *datagram = far_take(far, &length);
    if (datagram != NULL)
        fail_msg("there is a datagram: %.*s", (int)(length < 100 ? length : 100), datagram);
}

void far_send(const struct far_queue *far, const void *data, size_t length)
{
    assert_int_equal(sendto(far->fd, data, length, 0, (const struct sockaddr *)&far->asker, sizeof far->asker),
                     (ssize_t)length);
}

void far_answer(const struct far_queue *far, const void *text, size_t length)
{
    unsigned char datagram[1 << 16];
    size_t header_length = lhhttt_write_header(length, (char *)datagram);
    assert_true(header_length + length <= sizeof datagram);
    if (length > 0)
        memcpy(datagram + header_length, text, length);
    far_send(far, datagram, header_length + length);
}

void far_answer_text(const struct far_queue *far, const char *text)
{
    far_answer(far, text, strlen(text));
}
