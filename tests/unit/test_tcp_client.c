/* The TCP client: it connects, and connects again; time is what the test says. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/poller.h"
#include "net/tcp.h"

enum { LIMIT_ROUNDS = 20000 };

struct guest {
    struct poller *poller;
    struct tcp_client *client;
    struct address address;
    int64_t now_ns;
    size_t opened_count, closed_count, frame_count;
    enum tcp_end last_end;
    char last_why[256];
    char last_text[256];
    const char *greeting; /* sent by `opened` */
};

static void on_opened(void *context, struct tcp_stream *stream)
{
    struct guest *guest = context;
    guest->opened_count++;
    assert_null(*tcp_user(stream));
    if (guest->greeting != NULL)
        tcp_send(stream, guest->greeting, strlen(guest->greeting), NULL, 0);
}

static void on_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct guest *guest = context;
    guest->frame_count++;
    assert_ptr_equal(tcp_client_stream(guest->client), stream);
    snprintf(guest->last_text, sizeof guest->last_text, "%.*s", (int)length, (const char *)text);
}

static void on_closed(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    struct guest *guest = context;
    assert_memory_equal(tcp_peer_text(stream), "127.0.0.1:", 10);
    if (guest->client != NULL)
        assert_null(tcp_client_stream(guest->client));
    guest->closed_count++;
    guest->last_end = end;
    snprintf(guest->last_why, sizeof guest->last_why, "%s", why);
}

static int open_guest(void **state)
{
    struct guest *guest = calloc(1, sizeof *guest);
    assert_non_null(guest);
    struct error error = {0};
    assert_int_equal(poller_open(&guest->poller, &error), STATUS_OK);
    guest->now_ns = 1000;
    *state = guest;
    return 0;
}

static int close_guest(void **state)
{
    struct guest *guest = *state;
    tcp_client_close(&guest->client);
    assert_null(guest->client);
    assert_int_equal(poller_source_count(guest->poller), 0);
    poller_close(&guest->poller);
    free(guest);
    return 0;
}

static void open_client(struct guest *guest, const char *place)
{
    struct error error = {0};
    assert_int_equal(address_parse(place, &guest->address, &error), STATUS_OK);
    const struct tcp_limits limits = {.frame_bytes_max = 1000, .unsent_bytes_max = 1 << 20};
    const struct tcp_handlers handlers = {
        .opened = on_opened,
        .frame = on_frame,
        .closed = on_closed,
        .context = guest,
    };
    assert_int_equal(tcp_client_open(&guest->client, &guest->address, guest->poller, &limits, &handlers, &error),
                     STATUS_OK);
}

/* A listening socket at a port of the kernel's choice, or at `port`. */
static int listen_at(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(*port)};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&place, sizeof place), 0);
    assert_int_equal(listen(fd, 8), 0);
    socklen_t bytes = sizeof place;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&place, &bytes), 0);
    *port = ntohs(place.sin_port);
    return fd;
}

static void text_of(uint16_t port, char text[64])
{
    snprintf(text, 64, "tcp://127.0.0.1:%u", (unsigned)port);
}

static void poll_once(struct guest *guest)
{
    poller_wait(guest->poller, NS_PER_MS);
    tcp_client_flush(guest->client);
}

/* Time stands still. */
#define WAIT_UNTIL(guest, condition)                                                                                   \
    do {                                                                                                               \
        int rounds_left = LIMIT_ROUNDS;                                                                                \
        while (!(condition)) {                                                                                         \
            poll_once(guest);                                                                                          \
            if (--rounds_left == 0)                                                                                    \
                fail_msg("never came: %s", #condition);                                                                \
        }                                                                                                              \
    } while (0)

static int accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void expect(int fd, const char *bytes)
{
    char received[128];
    assert_int_equal(recv(fd, received, strlen(bytes), MSG_WAITALL), strlen(bytes));
    assert_memory_equal(received, bytes, strlen(bytes));
}

static void test_connects_and_talks(void **state)
{
    struct guest *guest = *state;
    uint16_t port = 0;
    int listener = listen_at(&port);
    char place[64];
    text_of(port, place);
    guest->greeting = "GET";
    open_client(guest, place);
    assert_null(tcp_client_stream(guest->client));
    assert_int_equal(guest->opened_count, 0);
    WAIT_UNTIL(guest, guest->opened_count == 1);
    struct tcp_stream *stream = tcp_client_stream(guest->client);
    assert_non_null(stream);
    assert_true(tcp_client_step(guest->client, guest->now_ns) == CLOCK_NEVER_NS);

    int fd = accept_one(listener);
    expect(fd, "13GET");
    assert_int_equal(send(fd, "15hello10", 9, MSG_NOSIGNAL), 9);
    WAIT_UNTIL(guest, guest->frame_count == 2);
    tcp_send(stream, "PUT:", 4, "x", 1);
    tcp_client_flush(guest->client);
    expect(fd, "15PUT:x");

    /* What is queued at the close goes out still. */
    tcp_send(stream, "bye", 3, NULL, 0);
    tcp_client_close(&guest->client);
    expect(fd, "13bye");
    assert_int_equal(guest->closed_count, 1);
    assert_int_equal(guest->last_end, TCP_END_LOCAL);
    close(fd);
    close(listener);
}

/* One failed try at the present time. */
static void fail_once(struct guest *guest)
{
    size_t closed_count = guest->closed_count;
    int rounds_left = LIMIT_ROUNDS;
    while (guest->closed_count == closed_count) {
        (void)tcp_client_step(guest->client, guest->now_ns);
        poll_once(guest);
        assert_true(--rounds_left > 0);
    }
    assert_int_equal(guest->closed_count, closed_count + 1);
    assert_int_equal(guest->last_end, TCP_END_REFUSED);
    assert_string_equal(guest->last_why, "Connection refused");
    assert_null(tcp_client_stream(guest->client));
}

/* The waits double up to a second; nothing happens before their end. */
static void test_backs_off(void **state)
{
    struct guest *guest = *state;
    uint16_t port = 0;
    int listener = listen_at(&port);
    close(listener);
    char place[64];
    text_of(port, place);
    open_client(guest, place);
    static const int64_t waits_ms[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000};
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        fail_once(guest);
        int64_t due_ns = guest->now_ns + waits_ms[i] * NS_PER_MS;
        assert_true(tcp_client_step(guest->client, guest->now_ns) == due_ns);
        assert_true(tcp_client_step(guest->client, due_ns - 1) == due_ns);
        assert_int_equal(poller_source_count(guest->poller), 0);
        guest->now_ns = due_ns;
    }
    assert_int_equal(guest->opened_count, 0);
}

static void test_connects_again(void **state)
{
    struct guest *guest = *state;
    uint16_t port = 0;
    int listener = listen_at(&port);
    close(listener);
    char place[64];
    text_of(port, place);
    open_client(guest, place);
    for (int i = 0; i < 3; i++) {
        fail_once(guest);
        guest->now_ns = tcp_client_step(guest->client, guest->now_ns);
    }
    listener = listen_at(&port);
    for (size_t round = 1; round <= 3; round++) {
        (void)tcp_client_step(guest->client, guest->now_ns);
        WAIT_UNTIL(guest, guest->opened_count == round);
        int fd = accept_one(listener);
        tcp_send(tcp_client_stream(guest->client), "GET", 3, NULL, 0);
        tcp_client_flush(guest->client);
        expect(fd, "13GET");
        /* Between frames, within one, and as soon as the handler of a refusal is through. */
        const char *last = round == 1 ? "11a" : round == 2 ? "15he" : "?";
        assert_int_equal(send(fd, last, strlen(last), MSG_NOSIGNAL), strlen(last));
        if (round < 3)
            close(fd);
        WAIT_UNTIL(guest, guest->closed_count == 3 + round);
        assert_int_equal(guest->last_end, round == 1 ? TCP_END_PEER : round == 2 ? TCP_END_CUT : TCP_END_MALFORMED);
        if (round == 3) {
            expect(fd, "24eERR malformed frame: it must begin with a hex digit");
            close(fd);
        }
        /* A connect that worked starts the waits anew. */
        int64_t due_ns = tcp_client_step(guest->client, guest->now_ns);
        assert_true(due_ns == guest->now_ns + 10 * NS_PER_MS);
        guest->now_ns = due_ns;
    }
    close(listener);
}

static void test_try_without_answer_ends(void **state)
{
    struct guest *guest = *state;
    /* A listener whose queue is full drops what comes: the try hangs. */
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in place = {.sin_family = AF_INET};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof place;
    assert_int_equal(bind(full, (struct sockaddr *)&place, sizeof place), 0);
    assert_int_equal(listen(full, 0), 0);
    assert_int_equal(getsockname(full, (struct sockaddr *)&place, &bytes), 0);
    int filler[4];
    for (size_t i = 0; i < 4; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&place, sizeof place);
    }
    char text[64];
    text_of(ntohs(place.sin_port), text);
    open_client(guest, text);
    int64_t due_ns = tcp_client_step(guest->client, guest->now_ns);
    assert_true(due_ns == guest->now_ns + 5 * NS_PER_S);
    assert_int_equal(poller_wait(guest->poller, 0), 0);
    assert_int_equal(guest->closed_count, 0);
    assert_true(tcp_client_step(guest->client, due_ns) == due_ns + 10 * NS_PER_MS);
    assert_int_equal(guest->closed_count, 1);
    assert_int_equal(guest->last_end, TCP_END_REFUSED);
    assert_string_equal(guest->last_why, "no answer in time");
    for (size_t i = 0; i < 4; i++)
        close(filler[i]);
    close(full);
}

/* A try that the system refuses at once is told by the next step, not from within the open. */
static void test_refused_at_once(void **state)
{
    struct guest *guest = *state;
    open_client(guest, "tcp://127.0.0.1:0");
    assert_int_equal(guest->closed_count, 0);
    int rounds_left = LIMIT_ROUNDS;
    while (guest->closed_count == 0 && --rounds_left > 0) {
        (void)tcp_client_step(guest->client, guest->now_ns);
        poll_once(guest);
    }
    assert_int_equal(guest->closed_count, 1);
    assert_int_equal(guest->last_end, TCP_END_REFUSED);
}

static void test_close_while_connecting(void **state)
{
    struct guest *guest = *state;
    uint16_t port = 0;
    int listener = listen_at(&port);
    char place[64];
    text_of(port, place);
    open_client(guest, place);
    tcp_client_close(&guest->client);
    tcp_client_close(&guest->client);
    assert_int_equal(guest->opened_count, 0);
    assert_int_equal(guest->closed_count, 0);
    close(listener);
}

static void test_shut(void **state)
{
    struct guest *guest = *state;
    uint16_t port = 0;
    int listener = listen_at(&port);
    char place[64];
    text_of(port, place);
    open_client(guest, place);
    WAIT_UNTIL(guest, guest->opened_count == 1);
    int fd = accept_one(listener);
    tcp_send(tcp_client_stream(guest->client), "bye", 3, NULL, 0);
    tcp_shut(tcp_client_stream(guest->client));
    assert_null(tcp_client_stream(guest->client));
    tcp_client_flush(guest->client);
    assert_int_equal(guest->closed_count, 1);
    assert_int_equal(guest->last_end, TCP_END_LOCAL);
    expect(fd, "13bye");
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    WAIT_UNTIL(guest, poller_source_count(guest->poller) == 0);
    close(listener);
}

#define GUEST_TEST(name) cmocka_unit_test_setup_teardown(name, open_guest, close_guest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(test_connects_and_talks),
        GUEST_TEST(test_backs_off),
        GUEST_TEST(test_connects_again),
        GUEST_TEST(test_try_without_answer_ends),
        GUEST_TEST(test_refused_at_once),
        GUEST_TEST(test_close_while_connecting),
        GUEST_TEST(test_shut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
