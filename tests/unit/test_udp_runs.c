/*
 * Runs of equal datagrams: what leaves as one message, what arrives as one, and what happens where the system refuses a
 * run or takes a part. sendmmsg is this file's own: it notes what it was given, and refuses what the test wants
 * refused.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/udp_house.h"

/* ---- the system ---- */

static struct {
    int refuses_runs; /* errno for runs of datagrams of `refused_bytes` and more; 0: takes them */
    size_t refused_bytes;
    unsigned refusals_left;
    unsigned room_count;  /* messages that it takes before it is full */
    size_t message_count; /* messages that it took, runs among them */
    size_t run_count;
    size_t refused_count;
} kernel;

static void reset_kernel(void)
{
    memset(&kernel, 0, sizeof kernel);
    kernel.refusals_left = kernel.room_count = UINT32_MAX;
}

/* How long the datagrams of a run are; 0: it is none. */
static size_t segment_bytes_of(struct msghdr *header)
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(header);
    uint16_t bytes;
    if (control == NULL)
        return 0;
    assert_int_equal(control->cmsg_level, SOL_UDP);
    assert_int_equal(control->cmsg_type, UDP_SEGMENT);
    assert_int_equal(control->cmsg_len, CMSG_LEN(sizeof bytes));
    memcpy(&bytes, CMSG_DATA(control), sizeof bytes);
    return bytes;
}

/* One message a call, as sendmmsg(2) does it: an error is told only of the first. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; i < count; i++) {
        size_t segment_bytes = segment_bytes_of(&messages[i].msg_hdr);
        int error_number = 0;
        if (kernel.room_count == 0) {
            error_number = EAGAIN;
        } else if (segment_bytes > 0 && kernel.refuses_runs != 0 && segment_bytes >= kernel.refused_bytes &&
                   kernel.refusals_left > 0) {
            kernel.refusals_left--;
            kernel.refused_count++;
            error_number = kernel.refuses_runs;
        } else if (syscall(SYS_sendmmsg, fd, &messages[i], 1, flags) != 1) {
            error_number = errno;
        }
        if (error_number != 0) {
            errno = error_number;
            return i > 0 ? (int)i : -1;
        }
        kernel.room_count--;
        kernel.message_count++;
        kernel.run_count += segment_bytes > 0;
    }
    return (int)count;
}

/* ---- a flow ---- */

/* Two peers that know nothing of runs, at plain sockets, and a listener that has heard of both. */
struct scene {
    struct udp_socket *listener;
    struct udp_peer peers[2];
    int fds[2];
};

static void open_scene(struct scene *scene)
{
    struct sockaddr_in place;
    socklen_t bytes = sizeof place;
    struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    reset_kernel();
    scene->listener = open_listener("127.0.0.1:0");
    assert_int_equal(getsockname(udp_fd(scene->listener), (struct sockaddr *)&place, &bytes), 0);
    for (int i = 0; i < 2; i++) {
        struct inbox inbox = {0};
        scene->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(scene->fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
        assert_int_equal(connect(scene->fds[i], (struct sockaddr *)&place, sizeof place), 0);
        assert_int_equal(send(scene->fds[i], "x", 1, 0), 1);
        receive_count(scene->listener, &inbox, 1);
        scene->peers[i] = inbox.kept[0].peer;
        empty_inbox(&inbox);
    }
}

static void close_scene(struct scene *scene)
{
    udp_close(&scene->listener);
    close(scene->fds[0]);
    close(scene->fds[1]);
}

/* A datagram's text tells its number and its length. */
static void fill(unsigned char *text, unsigned number, size_t length)
{
    for (size_t i = 0; i < length; i++)
        text[i] = (unsigned char)(number * 31 + i + length);
}

static unsigned char text[UDP_DATAGRAM_BYTES_MAX];
static unsigned char received[UDP_DATAGRAM_BYTES_MAX + 1];

static void gather(struct scene *scene, int peer, unsigned number, size_t length)
{
    fill(text, number, length);
    assert_int_equal(
        udp_send(scene->listener, &scene->peers[peer], text, length / 3, text + length / 3, length - length / 3),
        STATUS_OK);
}

static void expect(struct scene *scene, int peer, unsigned number, size_t length)
{
    ssize_t result = recv(scene->fds[peer], received, sizeof received, 0);
    fill(text, number, length);
    assert_int_equal(result, length);
    assert_memory_equal(received, text, length);
}

static void expect_nothing(struct scene *scene, int peer)
{
    assert_int_equal(recv(scene->fds[peer], received, sizeof received, MSG_DONTWAIT), -1);
}

/* Sends datagrams of these lengths (ended by -1) to the first peer and sees that they arrive. Returns how many messages
 * they were. */
static size_t messages_of(struct scene *scene, const int *lengths)
{
    unsigned count = 0;
    kernel.message_count = 0;
    for (; lengths[count] >= 0; count++)
        gather(scene, 0, count, (size_t)lengths[count]);
    assert_int_equal(udp_flush(scene->listener), STATUS_OK);
    for (unsigned i = 0; i < count; i++)
        expect(scene, 0, i, (size_t)lengths[i]);
    expect_nothing(scene, 0);
    return kernel.message_count;
}

#define MESSAGES_OF(...) messages_of(&scene, (const int[]){__VA_ARGS__, -1})

/* ---- what leaves as one ---- */

static void test_runs(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    assert_int_equal(MESSAGES_OF(7), 1);
    assert_int_equal(MESSAGES_OF(7, 7), 1);
    assert_int_equal(MESSAGES_OF(7, 7, 7, 3), 1);
    assert_int_equal(MESSAGES_OF(7, 3, 7, 3, 7, 3), 3);
    assert_int_equal(MESSAGES_OF(3, 7, 3, 7, 3), 3);
    assert_int_equal(MESSAGES_OF(7, 7, 3, 3, 3), 2);
    assert_int_equal(MESSAGES_OF(1, 2, 3, 4), 4);
    assert_int_equal(MESSAGES_OF(4, 3, 2, 1), 2);
    assert_int_equal(MESSAGES_OF(0, 0, 0), 3);
    assert_int_equal(MESSAGES_OF(5, 0, 5, 5, 0, 0, 5), 6);
    /* Together 65,507 bytes and one more. */
    assert_int_equal(MESSAGES_OF(32754, 32753), 1);
    assert_int_equal(MESSAGES_OF(32754, 32754), 2);
    assert_int_equal(MESSAGES_OF(20000, 20000, 20000, 20000), 2);
    assert_int_equal(MESSAGES_OF(65507, 1), 2);
    const struct udp_counts *counts = udp_counts(scene.listener);
    assert_int_equal(counts->sent_count, 51);
    assert_int_equal(counts->send_failed_count, 0);
    assert_int_equal(counts->run_refused_count, 0);
    close_scene(&scene);
}

static void test_full_batch_is_one(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    for (unsigned i = 0; i < 3 * UDP_BATCH_COUNT; i++)
        gather(&scene, 0, i, 100);
    assert_int_equal(udp_flush(scene.listener), STATUS_OK);
    for (unsigned i = 0; i < 3 * UDP_BATCH_COUNT; i++)
        expect(&scene, 0, i, 100);
    assert_int_equal(kernel.message_count, 3);
    assert_int_equal(udp_counts(scene.listener)->sent_count, 3 * UDP_BATCH_COUNT);
    assert_int_equal(udp_counts(scene.listener)->sent_bytes, 3 * UDP_BATCH_COUNT * 100);
    close_scene(&scene);
}

static void test_runs_to_two_peers(void **state)
{
    (void)state;
    static const int peers[] = {0, 0, 1, 1, 1, 0, 1, 0, 0};
    enum { COUNT = sizeof peers / sizeof peers[0] };
    struct scene scene;
    open_scene(&scene);
    for (unsigned i = 0; i < COUNT; i++)
        gather(&scene, peers[i], i, 20);
    assert_int_equal(udp_flush(scene.listener), STATUS_OK);
    for (unsigned i = 0; i < COUNT; i++)
        expect(&scene, peers[i], i, 20);
    assert_int_equal(kernel.message_count, 5);
    assert_int_equal(kernel.run_count, 3);
    close_scene(&scene);
}

/* ---- what the system refuses ---- */

/* Sends three runs and a single datagram; all arrive, in order. */
static void send_runs(struct scene *scene)
{
    static const size_t lengths[] = {300, 300, 100, 200, 200, 200, 90, 500, 400, 40, 60};
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        gather(scene, 0, i, lengths[i]);
    kernel.run_count = kernel.refused_count = 0;
    assert_int_equal(udp_flush(scene->listener), STATUS_OK);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        expect(scene, 0, i, lengths[i]);
    expect_nothing(scene, 0);
}

static void test_no_runs_at_all(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    kernel.refuses_runs = EIO;
    send_runs(&scene);
    assert_int_equal(kernel.refused_count, 1);
    send_runs(&scene);
    assert_int_equal(kernel.refused_count, 0);
    assert_int_equal(kernel.run_count, 0);
    const struct udp_counts *counts = udp_counts(scene.listener);
    assert_int_equal(counts->run_refused_count, 1);
    assert_int_equal(counts->sent_count, 22);
    assert_int_equal(counts->send_failed_count, 0);
    close_scene(&scene);
}

/* As over a network whose packets hold less than 200 bytes. */
static void test_no_runs_of_long_datagrams(void **state)
{
    (void)state;
    static const int errors[] = {EMSGSIZE, EINVAL};
    for (int i = 0; i < 2; i++) {
        struct scene scene;
        open_scene(&scene);
        kernel.refuses_runs = errors[i];
        kernel.refused_bytes = 200;
        send_runs(&scene);
        assert_int_equal(kernel.refused_count, 2); /* of 300 and of 200; then that of 500 is not tried */
        send_runs(&scene);
        assert_int_equal(kernel.refused_count, 0);
        assert_int_equal(MESSAGES_OF(199, 199, 199), 1);
        assert_int_equal(MESSAGES_OF(200, 200, 200), 3);
        assert_int_equal(udp_counts(scene.listener)->run_refused_count, 2);
        assert_int_equal(udp_counts(scene.listener)->send_failed_count, 0);
        close_scene(&scene);
    }
}

/* What would have met a single datagram as well says nothing against runs. */
static void test_passing_refusal(void **state)
{
    (void)state;
    static const int errors[] = {ENOBUFS, ENOMEM, EPERM, EHOSTUNREACH, ENETUNREACH};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct scene scene;
        open_scene(&scene);
        kernel.refuses_runs = errors[i];
        kernel.refusals_left = 1;
        send_runs(&scene);
        assert_int_equal(kernel.refused_count, 1);
        send_runs(&scene);
        assert_int_equal(kernel.run_count, 3);
        close_scene(&scene);
    }
}

/* A peer to which nothing can be sent costs its own datagrams, and the others neither theirs nor their runs. */
static void test_run_to_a_bad_peer(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    struct udp_peer bad = scene.peers[1];
    ((struct sockaddr_in *)&bad.address)->sin_port = 0; /* sendto(2): EINVAL */
    for (unsigned i = 0; i < 3; i++)
        gather(&scene, 0, i, 50);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(udp_send(scene.listener, &bad, "nobody", 6, NULL, 0), STATUS_OK);
    for (unsigned i = 3; i < 6; i++)
        gather(&scene, 0, i, 50);
    assert_int_equal(udp_flush(scene.listener), STATUS_OK);
    for (unsigned i = 0; i < 6; i++)
        expect(&scene, 0, i, 50);
    assert_int_equal(udp_counts(scene.listener)->sent_count, 6);
    assert_int_equal(udp_counts(scene.listener)->send_failed_count, 4);
    assert_int_equal(MESSAGES_OF(50, 50, 50), 1);
    close_scene(&scene);
}

/* Of a run that meets what came back for an earlier datagram, the first counts as sent and the rest stays. */
static void test_refused_run(void **state)
{
    (void)state;
    reset_kernel();
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    udp_close(&listener);
    assert_int_equal(udp_send(client, NULL, "first", 5, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    wait_readable(client);
    for (int i = 0; i < 5; i++)
        assert_int_equal(udp_send(client, NULL, "again", 5, NULL, 0), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_CLOSED);
    assert_int_equal(udp_gathered_count(client), 4);
    assert_int_equal(udp_counts(client)->sent_count, 2);
    assert_int_equal(udp_counts(client)->run_refused_count, 0);
    udp_close(&client);
}

/* ---- when the system is full ---- */

static void test_part_of_the_runs(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct scene scene;
    open_scene(&scene);
    for (unsigned i = 0; i < COUNT; i++)
        gather(&scene, (int)(i / 2 % 2), i, 30 + i % 2);
    /* 30, 31 to the one, 30, 31 to the other: no runs but where 31 is followed by 30 of another peer, so none at all.
     */
    kernel.room_count = 5;
    assert_int_equal(udp_flush(scene.listener), STATUS_AGAIN);
    assert_int_equal(udp_gathered_count(scene.listener), COUNT - 5);
    for (unsigned i = COUNT; i < COUNT + 20; i++)
        gather(&scene, 0, i, 30);
    kernel.room_count = COUNT - 5;
    assert_int_equal(udp_flush(scene.listener), STATUS_AGAIN);
    assert_int_equal(udp_gathered_count(scene.listener), 20);
    kernel.room_count = UINT32_MAX;
    assert_int_equal(udp_flush(scene.listener), STATUS_OK);
    assert_int_equal(kernel.run_count, 1);
    for (unsigned i = 0; i < COUNT; i++)
        expect(&scene, (int)(i / 2 % 2), i, 30 + i % 2);
    for (unsigned i = COUNT; i < COUNT + 20; i++)
        expect(&scene, 0, i, 30);
    assert_int_equal(udp_counts(scene.listener)->sent_count, COUNT + 20);
    close_scene(&scene);
}

/* Sends `count` datagrams of different lengths, numbered from `first`; none is flushed unless there is no room. */
static void send_numbered(struct udp_socket *client, const unsigned char *data, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        assert_int_equal(udp_send(client, NULL, &i, sizeof i, data + i % 97, (i * 2711) % 9000), STATUS_OK);
}

/*
 * The kernel's buffer is full: the other end is a Unix socket pair that nobody reads, since UDP over loopback drops
 * rather than say so. Datagrams wait, the oldest make room for new ones, and what is left arrives whole and in order.
 */
static void test_full_kernel_buffer(void **state)
{
    (void)state;
    enum { TOTAL = 400 };
    reset_kernel();
    kernel.refuses_runs = EIO; /* a Unix socket would send them as one datagram */
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(dup2(pair[0], udp_fd(client)) >= 0);
    close(pair[0]);
    unsigned char data[9100];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 31);

    send_numbered(client, data, 0, TOTAL);
    assert_int_equal(udp_flush(client), STATUS_AGAIN);
    assert_true(udp_counts(client)->send_failed_count > 0);
    assert_in_range(udp_gathered_count(client), 1, UDP_BATCH_COUNT);
    uint64_t dropped = udp_counts(client)->send_failed_count;

    uint32_t next = 0;
    uint64_t missing = 0;
    uint64_t received_count = 0;
    while (next < TOTAL) {
        ssize_t length = recv(pair[1], received, sizeof received, 0);
        if (length < 0) {
            assert_true(udp_gathered_count(client) > 0);
            enum status status = udp_flush(client);
            assert_true(status == STATUS_OK || status == STATUS_AGAIN);
            continue;
        }
        uint32_t number;
        memcpy(&number, received, sizeof number);
        assert_true(number >= next && number < TOTAL);
        missing += number - next;
        next = number + 1;
        received_count++;
        assert_int_equal(length, sizeof number + (number * 2711) % 9000);
        assert_memory_equal(received + sizeof number, data + number % 97, (size_t)length - sizeof number);
    }
    assert_int_equal(missing, dropped);
    assert_int_equal(udp_counts(client)->sent_count, received_count);
    assert_int_equal(udp_gathered_count(client), 0);
    close(pair[1]);
    udp_close(&client);
    udp_close(&listener);
}

/* ---- what arrives as one ---- */

/* As a peer of ours, or a network card's driver, hands it over: one message and the length of its datagrams. */
static void send_run(int fd, size_t segment_bytes, size_t length)
{
    _Alignas(struct cmsghdr) unsigned char bytes[CMSG_SPACE(sizeof(uint16_t))] = {0};
    uint16_t value = (uint16_t)segment_bytes;
    struct iovec span = {.iov_base = text, .iov_len = length};
    struct msghdr header = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = bytes, .msg_controllen = sizeof bytes};
    struct cmsghdr *control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof value);
    memcpy(CMSG_DATA(control), &value, sizeof value);
    fill(text, 1, length);
    assert_int_equal(sendmsg(fd, &header, 0), length);
}

static void expect_run(struct scene *scene, size_t segment_bytes, size_t length)
{
    struct inbox inbox = {0};
    size_t count = (length + segment_bytes - 1) / segment_bytes;
    uint64_t before = udp_counts(scene->listener)->received_count;
    send_run(scene->fds[0], segment_bytes, length);
    receive_count(scene->listener, &inbox, count);
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        assert_int_equal(inbox.kept[i].length, is_last ? length - i * segment_bytes : segment_bytes);
        assert_memory_equal(inbox.kept[i].data, text + i * segment_bytes, inbox.kept[i].length);
        assert_memory_equal(&inbox.kept[i].peer.address, &scene->peers[0].address, scene->peers[0].address_bytes);
    }
    assert_int_equal(udp_counts(scene->listener)->received_count, before + count);
    empty_inbox(&inbox);
    assert_nothing_waits(scene->listener);
}

static void test_received_runs(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    expect_run(&scene, 10, 10);
    expect_run(&scene, 10, 20);
    expect_run(&scene, 10, 21);
    expect_run(&scene, 1, 64);
    expect_run(&scene, 1000, 64000);
    expect_run(&scene, 1400, 65507);
    expect_run(&scene, 32754, 65507);
    expect_run(&scene, 65507, 65507);
    /* They are received as one, or a batch would have had enough of them. */
    struct inbox inbox = {0};
    struct error error = {0};
    size_t count = 0;
    for (int i = 0; i < 2; i++)
        send_run(scene.fds[0], 10, (size_t)10 * UDP_BATCH_COUNT);
    assert_int_equal(udp_receive(scene.listener, keep, &inbox, &count, &error), STATUS_OK);
    assert_int_equal(count, 2 * UDP_BATCH_COUNT);
    empty_inbox(&inbox);
    close_scene(&scene);
}

/* Runs and single datagrams of two peers, received in one batch: a header that told of a run tells so once. */
static void test_received_mixture(void **state)
{
    (void)state;
    struct scene scene;
    struct inbox inbox = {0};
    open_scene(&scene);
    for (int round = 0; round < 3; round++) {
        size_t run_at = round % 2 == 0 ? 0 : 1;
        for (size_t i = 0; i < 2; i++) {
            if (i == run_at)
                send_run(scene.fds[0], 8, 20);
            else
                assert_int_equal(send(scene.fds[1], text, 20, 0), 20);
        }
        receive_count(scene.listener, &inbox, 4);
        static const size_t lengths[2][4] = {{8, 8, 4, 20}, {20, 8, 8, 4}};
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(inbox.kept[i].length, lengths[run_at][i]);
        empty_inbox(&inbox);
    }
    close_scene(&scene);
}

static void test_runs_between_ours(void **state)
{
    (void)state;
    enum { COUNT = 6 * UDP_BATCH_COUNT };
    reset_kernel();
    struct inbox inbox = {0};
    struct udp_socket *listener = open_listener("127.0.0.1:0");
    struct udp_socket *client = open_connected_to(listener);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(udp_send(client, NULL, &i, sizeof i, "body", i % 7 == 6), STATUS_OK);
    assert_int_equal(udp_flush(client), STATUS_OK);
    receive_count(listener, &inbox, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(inbox.kept[i].length, sizeof i + (i % 7 == 6));
        assert_memory_equal(inbox.kept[i].data, &i, sizeof i);
    }
    empty_inbox(&inbox);
    udp_close(&client);
    udp_close(&listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_full_batch_is_one),
        cmocka_unit_test(test_runs_to_two_peers),
        cmocka_unit_test(test_no_runs_at_all),
        cmocka_unit_test(test_no_runs_of_long_datagrams),
        cmocka_unit_test(test_passing_refusal),
        cmocka_unit_test(test_run_to_a_bad_peer),
        cmocka_unit_test(test_refused_run),
        cmocka_unit_test(test_part_of_the_runs),
        cmocka_unit_test(test_full_kernel_buffer),
        cmocka_unit_test(test_received_runs),
        cmocka_unit_test(test_received_mixture),
        cmocka_unit_test(test_runs_between_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
