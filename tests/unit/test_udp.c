/* Datagrams in batches: what is sent arrives, whole and in order; refusals, full buffers and limits. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/udp.h"
#include "tests/support/udp_house.h"

static void question_and_answer(const char *place)
{
    struct udp_socket *listener = open_listener(place);
    struct udp_socket *client = open_connected_to(listener);
    struct inbox inbox = {0};
    assert_int_equal(udp_send(client, NULL, "18PUT:", 6, "ping", 4), STATUS_OK);
    assert_int_equal(udp_gathered_count(client), 1);
    assert_nothing_waits(listener);
    assert_int_equal(udp_flush(client), STATUS_OK);
    assert_int_equal(udp_gathered_count(client), 0);
    receive_count(listener, &inbox, 1);
    assert_int_equal(inbox.kept[0].length, 10);
    assert_memory_equal(inbox.kept[0].data, "18PUT:ping", 10);

    struct udp_peer peer = inbox.kept[0].peer;
    assert_int_equal(udp_send(listener, &peer, "2b", 2, "PUT 4 bytes", 11), STATUS_OK);
    assert_int_equal(udp_flush(listener), STATUS_OK);
    empty_inbox(&inbox);
    receive_count(client, &inbox, 1);
    assert_int_equal(inbox.kept[0].length, 13);
    assert_memory_equal(inbox.kept[0].data, "2bPUT 4 bytes", 13);
    empty_inbox(&inbox);

    assert_int_equal(udp_counts(client)->sent_count, 1);
    assert_int_equal(udp_counts(client)->sent_bytes, 10);
    assert_int_equal(udp_counts(client)->received_count, 1);
    assert_int_equal(udp_counts(client)->received_bytes, 13);
    assert_int_equal(udp_counts(listener)->received_count, 1);
    assert_int_equal(udp_counts(listener)->sent_count, 1);
    udp_close(&client);
    assert_null(client);
    udp_close(&listener);
}

static void test_question_and_answer(void **state)
{
    (void)state;
    question_and_answer("127.0.0.1:0");
}

static void test_question_and_answer_over_ipv6(void **state)
{
    (void)state;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    if (fd >= 0)
        close(fd);
    if (has_ipv6) {
        question_and_answer("[::1]:0");
        return;
    }
    /* A machine without IPv6 is told so. */
    struct address address;
    struct udp_socket *listener = NULL;
    struct error error = {0};
    assert_int_equal(address_parse("[::1]:0", &address, &error), STATUS_OK);
    assert_int_equal(udp_open_listener(&listener, &address, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "[::1]:0"));
}

static void test_batches_keep_order(void **state)
{
    (void)state;
    enum { COUNT = 3 * UDP_BATCH_COUNT + 7 };
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    struct inbox inbox = {0};
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(udp_send(client, NULL, &i, sizeof i, "body", i % 5), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    receive_count(listener, &inbox, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(inbox.kept[i].length, sizeof i + i % 5);
        assert_memory_equal(inbox.kept[i].data, &i, sizeof i);
        assert_memory_equal(inbox.kept[i].data + sizeof i, "body", i % 5);
    }
    empty_inbox(&inbox);
    udp_close(&client);
    udp_close(&listener);
}

static void test_empty_and_longest(void **state)
{
    (void)state;
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    unsigned char *data = malloc(UDP_DATAGRAM_BYTES_MAX + 1);
    assert_non_null(data);
    for (size_t i = 0; i <= UDP_DATAGRAM_BYTES_MAX; i++)
        data[i] = (unsigned char)(i * 7 + i / 256);
    assert_int_equal(udp_send(client, NULL, data, UDP_DATAGRAM_BYTES_MAX + 1, NULL, 0), STATUS_INPUT);
    assert_int_equal(udp_send(client, NULL, data, 10, data, UDP_DATAGRAM_BYTES_MAX - 9), STATUS_INPUT);
    assert_int_equal(udp_send(client, NULL, data, SIZE_MAX, data, 2), STATUS_INPUT);
    assert_int_equal(udp_gathered_count(client), 0);
    struct inbox inbox = {0};
    for (size_t round = 1; round <= 3; round++) {
        for (size_t i = 0; i < UDP_BATCH_COUNT; i++)
            assert_int_equal(udp_send(client, NULL, NULL, 0, NULL, 0), STATUS_OK);
        assert_int_equal(udp_send(client, NULL, data, 10, data + 10, UDP_DATAGRAM_BYTES_MAX - 10), STATUS_OK);
        assert_int_equal(udp_flush(client), STATUS_OK);
        receive_count(listener, &inbox, UDP_BATCH_COUNT + 1);
        for (size_t i = 0; i < UDP_BATCH_COUNT; i++)
            assert_int_equal(inbox.kept[i].length, 0);
        assert_int_equal(inbox.kept[UDP_BATCH_COUNT].length, UDP_DATAGRAM_BYTES_MAX);
        assert_memory_equal(inbox.kept[UDP_BATCH_COUNT].data, data, UDP_DATAGRAM_BYTES_MAX);
        empty_inbox(&inbox);
    }
    free(data);
    udp_close(&client);
    udp_close(&listener);
}

/* Each client sends its number, the first one's first or last, and gets it back. */
static void question_round(struct udp_socket *listener, struct udp_socket *const *clients, uint32_t count,
                           bool backwards)
{
    struct inbox inbox = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = backwards ? count - 1 - i : i;
        assert_int_equal(udp_send(clients[number], NULL, &number, sizeof number, NULL, 0), STATUS_OK);
        assert_int_equal(udp_flush(clients[number]), STATUS_OK);
    }
    receive_count(listener, &inbox, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(udp_send(listener, &inbox.kept[i].peer, "for ", 4, inbox.kept[i].data, inbox.kept[i].length),
                         STATUS_OK);
    assert_int_equal(udp_flush(listener), STATUS_OK);
    empty_inbox(&inbox);
    for (uint32_t i = 0; i < count; i++) {
        receive_count(clients[i], &inbox, 1);
        assert_int_equal(inbox.kept[0].length, 8);
        assert_memory_equal(inbox.kept[0].data + 4, &i, sizeof i);
        empty_inbox(&inbox);
        assert_nothing_waits(clients[i]);
    }
}

static void test_many_peers(void **state)
{
    (void)state;
    enum { PEER_COUNT = 20 };
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *clients[PEER_COUNT];
    for (uint32_t i = 0; i < PEER_COUNT; i++)
        clients[i] = open_connected_to(listener);
    question_round(listener, clients, PEER_COUNT, false);
    question_round(listener, clients, PEER_COUNT, true);
    for (uint32_t i = 0; i < PEER_COUNT; i++)
        udp_close(&clients[i]);
    udp_close(&listener);
}

/* Returns when the refusal has come back, unread. */
static void send_to_nobody(struct udp_socket *client)
{
    assert_int_equal(udp_send(client, NULL, "first", 5, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    wait_readable(client);
}

/* A connected socket hears that nobody listens, and works again as soon as somebody does. */
static void test_refused(void **state)
{
    (void)state;
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    char text[128];
    udp_local_text(listener, text, sizeof text);
    udp_close(&listener);

    send_to_nobody(client);
    struct inbox inbox = {0};
    struct error error = {0};
    size_t count = 1;
    assert_int_equal(udp_receive(client, keep, &inbox, &count, &error), STATUS_CLOSED);
    assert_int_equal(count, 0);
    assert_nothing_waits(client);

    /* Met by a flush: the first of three meets what came back for the one before, and counts as sent. */
    send_to_nobody(client);
    for (int i = 0; i < 3; i++)
        assert_int_equal(udp_send(client, NULL, "again", 5, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_CLOSED);
    assert_int_equal(udp_counts(client)->sent_count, 3);
    assert_int_equal(udp_gathered_count(client), 2);
    assert_int_equal(udp_discard(client), 2);
    assert_int_equal(udp_gathered_count(client), 0);

    /* Met within udp_send, by the flush of a full batch: told by the next flush, once. */
    send_to_nobody(client);
    for (int i = 0; i < UDP_BATCH_COUNT + 1; i++)
        assert_int_equal(udp_send(client, NULL, "again", 5, NULL, 0), STATUS_OK);
    assert_int_equal(udp_gathered_count(client), UDP_BATCH_COUNT);
    assert_int_equal(udp_flush(client), STATUS_CLOSED);
    assert_int_equal(udp_discard(client), UDP_BATCH_COUNT);
    assert_int_equal(udp_flush(client), STATUS_OK);
    assert_int_equal(udp_counts(client)->sent_count, 5);
    assert_int_equal(udp_counts(client)->send_failed_count, 0);

    listener = open_listener(text);
    assert_int_equal(udp_send(client, NULL, "at last", 7, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    receive_count(listener, &inbox, 1);
    assert_memory_equal(inbox.kept[0].data, "at last", 7);
    empty_inbox(&inbox);
    udp_close(&client);
    udp_close(&listener);
}

/* Peers that are gone do not disturb a listener. */
static void test_listener_ignores_refusals(void **state)
{
    (void)state;
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    struct udp_socket *gone = open_connected_to(listener);
    struct inbox inbox = {0};
    assert_int_equal(udp_send(gone, NULL, "x", 1, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(gone), STATUS_OK);
    receive_count(listener, &inbox, 1);
    udp_close(&gone);
    for (int i = 0; i < 10; i++)
        assert_int_equal(udp_send(listener, &inbox.kept[0].peer, "reply", 5, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(listener), STATUS_OK);
    assert_nothing_waits(listener);
    assert_int_equal(udp_counts(listener)->sent_count, 10);
    empty_inbox(&inbox);
    assert_int_equal(udp_send(client, NULL, "y", 1, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    receive_count(listener, &inbox, 1);
    empty_inbox(&inbox);
    udp_close(&client);
    udp_close(&listener);
}

/* A datagram that the system refuses is counted and costs the others nothing. */
static void test_failed_sends_are_counted(void **state)
{
    (void)state;
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    struct inbox inbox = {0};
    assert_int_equal(udp_send(client, NULL, "x", 1, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    receive_count(listener, &inbox, 1);
    struct udp_peer good = inbox.kept[0].peer;
    struct udp_peer bad = good;
    ((struct sockaddr_in *)&bad.address)->sin_port = 0; /* sendto(2): EINVAL */
    empty_inbox(&inbox);
    assert_int_equal(udp_send(listener, &good, "1", 1, NULL, 0), STATUS_OK);
    assert_int_equal(udp_send(listener, &bad, "2", 1, NULL, 0), STATUS_OK);
    assert_int_equal(udp_send(listener, &good, "3", 1, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(listener), STATUS_OK);
    assert_int_equal(udp_counts(listener)->send_failed_count, 1);
    assert_int_equal(udp_counts(listener)->sent_count, 2);
    receive_count(client, &inbox, 2);
    assert_memory_equal(inbox.kept[0].data, "1", 1);
    assert_memory_equal(inbox.kept[1].data, "3", 1);
    empty_inbox(&inbox);
    udp_close(&client);
    udp_close(&listener);
}

static void test_address_in_use(void **state)
{
    (void)state;
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    char text[128];
    udp_local_text(listener, text, sizeof text);
    struct address address = parse_address(text);
    struct udp_socket *second = NULL;
    struct error error = {0};
    assert_int_equal(udp_open_listener(&second, &address, &error), STATUS_SYSTEM);
    assert_null(second);
    assert_non_null(strstr(error.text, text));
    assert_non_null(strstr(error.text, ": Address already in use"));
    udp_close(&listener);
    udp_close(&listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question_and_answer),
        cmocka_unit_test(test_question_and_answer_over_ipv6),
        cmocka_unit_test(test_batches_keep_order),
        cmocka_unit_test(test_empty_and_longest),
        cmocka_unit_test(test_many_peers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_listener_ignores_refusals),
        cmocka_unit_test(test_failed_sends_are_counted),
        cmocka_unit_test(test_address_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
