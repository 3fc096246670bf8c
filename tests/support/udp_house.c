#include "tests/support/udp_house.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

void keep(void *context, const void *data, size_t length, const struct udp_peer *peer)
{
    struct inbox *inbox = context;
    assert_true(inbox->count < KEPT_COUNT);
    unsigned char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, data, length);
    inbox->kept[inbox->count].length = length;
    inbox->kept[inbox->count].data = copy;
    inbox->kept[inbox->count].peer = *peer;
    inbox->count++;
}

void empty_inbox(struct inbox *inbox)
{
    for (size_t i = 0; i < inbox->count; i++)
        free(inbox->kept[i].data);
    inbox->count = 0;
}

struct address parse_address(const char *text)
{
    struct address address;
    struct error error = {0};
    if (address_parse(text, &address, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    return address;
}

struct udp_socket *open_listener(const char *text)
{
    struct address address = parse_address(text);
    struct udp_socket *socket = NULL;
    struct error error = {0};
    if (udp_open_listener(&socket, &address, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    return socket;
}

struct udp_socket *open_connected_to(const struct udp_socket *listener)
{
    char text[128];
    udp_local_text(listener, text, sizeof text);
    struct address address = parse_address(text);
    struct udp_socket *socket = NULL;
    struct error error = {0};
    if (udp_open_connected(&socket, &address, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    return socket;
}

void wait_readable(const struct udp_socket *socket)
{
    struct pollfd wanted = {.fd = udp_fd(socket), .events = POLLIN};
    assert_int_equal(poll(&wanted, 1, WAIT_MS), 1);
}

void receive_count(struct udp_socket *socket, struct inbox *inbox, size_t total)
{
    while (inbox->count < total) {
        size_t count = 0;
        struct error error = {0};
        wait_readable(socket);
        assert_int_equal(udp_receive(socket, keep, inbox, &count, &error), STATUS_OK);
        assert_true(count >= 1);
    }
    assert_int_equal(inbox->count, total);
}

void assert_nothing_waits(struct udp_socket *socket)
{
    struct inbox inbox = {0};
    struct error error = {0};
    size_t count = 1;
    assert_int_equal(udp_receive(socket, keep, &inbox, &count, &error), STATUS_OK);
    assert_int_equal(count, 0);
}
