/* The TCP server: peers that do not read or leave, connections, and the end from this side. */
#include "tests/support/tcp_house.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/clock.h"

/* ---- peers that do not read, or leave ---- */

static void test_peer_that_never_reads_is_bounded(void **state)
{
    struct house *house = *state;
    enum { TEXT_BYTES = 4000, SENT_MOST = 64 << 20 };
    static char frame[TEXT_BYTES + 16];
    static char text[TEXT_BYTES];
    memset(text, 'n', sizeof text);
    size_t frame_length = write_frame(frame, text, sizeof text);
    int fd = connect_peer(house);
    int other = connect_peer(house);

    /* Until nothing moves any more: everything between the two is full. */
    size_t sent = 0;
    int idle_rounds = 0;
    while (idle_rounds < 20) {
        ssize_t result = send(fd, frame + sent % frame_length, frame_length - sent % frame_length, MSG_NOSIGNAL);
        sent += result > 0 ? (size_t)result : 0;
        assert_true(sent < SENT_MOST);
        if (poller_wait(house->poller, result > 0 ? 0 : NS_PER_MS) == 0 && result < 0)
            idle_rounds++;
        else
            idle_rounds = 0;
        tcp_server_flush(house->server);
    }
    assert_in_range(house->unsent_bytes_most, UNSENT_BYTES_MAX, UNSENT_BYTES_MAX + TEXT_BYTES + 32);
    assert_true(house->frame_count < sent / frame_length);
    exchange(house, other);

    /* It reads at last: every whole question that it asked is answered. */
    static char answer[TEXT_BYTES + 32];
    for (size_t i = 0; i < sent / frame_length; i++) {
        peer_receive(house, fd, answer, frame_length + 2);
        assert_memory_equal(answer, "3fa2E:n", 7);
    }
    close(fd);
    close(other);
}

/* A question that gets no answer; the house has had `count` then. */
static void exchange_mute(struct house *house, int fd, size_t count)
{
    peer_send(house, fd, "11q", 3);
    WAIT_UNTIL(house, house->frame_count == count);
}

/* A blocked stream goes on also when the owner's flush, and not the poller, has sent what blocked it. */
static void test_blocked_goes_on_after_a_flush(void **state)
{
    struct house *house = *state;
    enum { TEXT_BYTES = 4000, FRAME_BYTES = 4 + TEXT_BYTES, COUNT = 60 };
    static char frames[COUNT * FRAME_BYTES];
    static char text[TEXT_BYTES];
    memset(text, 'f', sizeof text);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(write_frame(frames + i * FRAME_BYTES, text, sizeof text), FRAME_BYTES);
    int fd = connect_peer(house);
    narrow_last_connection(house);
    struct tcp_stream *stream = house->last_opened;
    peer_send(house, fd, frames, sizeof frames);
    WAIT_UNTIL(house, tcp_unsent_bytes(stream) > UNSENT_BYTES_MAX);
    assert_true(house->frame_count < COUNT);

    size_t received = 0;
    size_t extra_bytes = 0;
    static char answers[1 << 20];
    int rounds_left = LIMIT_ROUNDS;
    do {
        ssize_t result = recv(fd, answers + received, sizeof answers - received, 0);
        received += result > 0 ? (size_t)result : 0;
        if (extra_bytes + received < sizeof answers / 2) {
            tcp_send(stream, NULL, 0, NULL, 0);
            extra_bytes += 2;
        }
        tcp_server_flush(house->server);
        assert_true(--rounds_left > 0);
    } while (tcp_unsent_bytes(stream) > 0);
    assert_true(house->frame_count < COUNT);
    peer_receive(house, fd, answers + received, COUNT * (FRAME_BYTES + 2) + extra_bytes - received);
    assert_int_equal(house->frame_count, COUNT);
    close(fd);
}

static void test_half_closed_peer_gets_its_answers(void **state)
{
    struct house *house = *state;
    int fd = connect_peer(house);
    peer_send(house, fd, "11a11b11c", 9);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    peer_expects(house, fd, "13E:a13E:b13E:c");
    peer_expects_end(house, fd);
    assert_int_equal(house->last_end, TCP_END_PEER);
    close(fd);
}

static void test_cut_within_a_frame(void **state)
{
    struct house *house = *state;
    static const char *const beginnings[] = {"1", "2", "21", "15", "15hell", "6100000abc"};
    size_t count = sizeof beginnings / sizeof beginnings[0];
    for (size_t i = 0; i < count; i++) {
        int fd = connect_peer(house);
        peer_send(house, fd, beginnings[i], strlen(beginnings[i]));
        close(fd);
        WAIT_UNTIL(house, house->closed_count == i + 1);
        assert_int_equal(house->last_end, TCP_END_CUT);
    }
    assert_int_equal(tcp_server_counts(house->server)->cut_count, count);
    assert_int_equal(house->frame_count, 0);
}

static void reset(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

static void test_reset(void **state)
{
    struct house *house = *state;
    int fd = connect_peer(house);
    exchange(house, fd);
    reset(fd);
    WAIT_UNTIL(house, house->closed_count == 1);
    assert_int_equal(house->last_end, TCP_END_PEER);
    fd = connect_peer(house);
    peer_send(house, fd, "15h", 3);
    poller_wait(house->poller, -1);
    reset(fd);
    WAIT_UNTIL(house, house->closed_count == 2);
    assert_int_equal(house->last_end, TCP_END_CUT);
    assert_true(strlen(house->last_why) > 0);
}

/* What the owner holds back counts as unsent; and while only that blocks a stream, the poller has nothing to say of it.
 */
static void test_blocked_by_what_is_held_back(void **state)
{
    struct house *house = *state;
    house->mute = true;
    int fd = connect_peer(house);
    struct tcp_stream *stream = house->last_opened;
    exchange_mute(house, fd, 1);
    tcp_owe(stream, UNSENT_BYTES_MAX + 1);
    peer_send(house, fd, "11b11c11d", 9);
    WAIT_UNTIL(house, house->frame_count == 2); /* nobody looked before */
    for (unsigned i = 0; i < 20; i++)
        step_house(house);
    assert_int_equal(house->frame_count, 2);
    assert_int_equal(poller_wait(house->poller, 0), 0);
    tcp_unowe(stream, UNSENT_BYTES_MAX / 2); /* not half of it yet */
    tcp_server_flush(house->server);
    assert_int_equal(poller_wait(house->poller, 0), 0);
    tcp_unowe(stream, UNSENT_BYTES_MAX / 2 + 1);
    WAIT_UNTIL(house, house->frame_count == 4);
    close(fd);
}

/* A peer that has closed its direction gets what was held back for it, and then our end. */
static void test_a_half_closed_stream_stays_for_answers(void **state)
{
    struct house *house = *state;
    house->mute = true;
    int fd = connect_peer(house);
    struct tcp_stream *stream = house->last_opened;
    exchange_mute(house, fd, 1);
    tcp_owe(stream, 100);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (unsigned i = 0; i < 20; i++)
        step_house(house);
    assert_int_equal(house->closed_count, 0);
    tcp_send(stream, "late", 4, NULL, 0);
    tcp_unowe(stream, 100);
    peer_expects(house, fd, "14late");
    peer_expects_end(house, fd);
    WAIT_UNTIL(house, house->closed_count == 1);
    assert_int_equal(house->last_end, TCP_END_PEER);
    close(fd);
}

/* A blocked stream whose peer resets must neither stay nor be reported for ever. */
static void test_reset_while_blocked(void **state)
{
    struct house *house = *state;
    static char frame[60016];
    memset(frame, 'r', sizeof frame);
    memcpy(frame, "4ea60", 5);
    int fd = connect_peer(house);
    int quiet_rounds = 0;
    for (size_t at = 0; quiet_rounds < 20;) {
        ssize_t result = send(fd, frame + at, 60005 - at, MSG_NOSIGNAL);
        at = result > 0 ? (at + (size_t)result) % 60005 : at;
        quiet_rounds = result < 0 && poller_wait(house->poller, 0) == 0 ? quiet_rounds + 1 : 0;
        poller_wait(house->poller, 0);
    }
    reset(fd);
    WAIT_UNTIL(house, house->closed_count == 1);
    assert_int_equal(house->last_end, TCP_END_CUT);
    assert_int_equal(poller_source_count(house->poller), 1);
    assert_int_equal(poller_wait(house->poller, 0), 0);
}

/* ---- connections ---- */

static void test_connection_limit(void **state)
{
    struct house *house = *state;
    int peers[CONNECTION_COUNT_MAX];
    for (size_t i = 0; i < CONNECTION_COUNT_MAX; i++)
        peers[i] = connect_peer(house);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&house->place, sizeof house->place), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    peer_expects_end(house, fd);
    close(fd);
    assert_int_equal(tcp_server_counts(house->server)->refused_count, 1);
    assert_int_equal(tcp_server_counts(house->server)->open_count, CONNECTION_COUNT_MAX);
    close(peers[0]);
    WAIT_UNTIL(house, house->closed_count == 1);
    peers[0] = connect_peer(house);
    for (size_t i = 0; i < CONNECTION_COUNT_MAX; i++) {
        exchange(house, peers[i]);
        close(peers[i]);
    }
}

static struct rlimit limit_descriptors(rlim_t count)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit limited = {.rlim_cur = count, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limited), 0);
    return before;
}

/* No descriptor is left but the server's spare one: who comes is turned away, and all is well afterwards. */
static void test_out_of_descriptors(void **state)
{
    struct house *house = *state;
    int old = connect_peer(house);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int lowest_free = dup(fd);
    close(lowest_free);
    struct rlimit before = limit_descriptors((rlim_t)lowest_free);
    assert_int_equal(connect(fd, (struct sockaddr *)&house->place, sizeof house->place), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    peer_expects_end(house, fd);
    assert_int_equal(tcp_server_counts(house->server)->refused_count, 1);
    assert_int_equal(poller_wait(house->poller, 0), 0);
    exchange(house, old);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(fd);
    close(connect_peer(house));
    close(old);
}

/* Not even that: the listener rests instead of being reported for ever, and takes who waits when it can. */
static void test_out_of_all_descriptors(void **state)
{
    struct house *house = *state;
    int old = connect_peer(house);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit before = limit_descriptors(3);
    assert_int_equal(connect(fd, (struct sockaddr *)&house->place, sizeof house->place), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    WAIT_UNTIL(house, poller_wait(house->poller, 0) == 0);
    exchange(house, old);
    assert_int_equal(house->opened_count, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    exchange(house, fd);
    close(fd);
    close(old);
}

static void test_address_in_use(void **state)
{
    struct house *house = *state;
    char text[128] = "tcp://";
    tcp_server_local_text(house->server, text + 6, sizeof text - 6);
    struct error error = {0};
    struct address address;
    assert_int_equal(address_parse(text, &address, &error), STATUS_OK);
    const struct tcp_limits limits = {0};
    const struct tcp_handlers handlers = {0};
    struct tcp_server *second = NULL;
    assert_int_equal(tcp_server_open(&second, &address, house->poller, &limits, &handlers, &error), STATUS_SYSTEM);
    assert_null(second);
    assert_non_null(strstr(error.text, text));
    assert_non_null(strstr(error.text, "Address already in use"));
}

/* ---- the end, from this side ---- */

static void test_shut_by_its_handler(void **state)
{
    struct house *house = *state;
    int fd = connect_peer(house);
    house->shut_next = house->last_opened;
    peer_send(house, fd, "11a11b11c", 9);
    peer_expects(house, fd, "13E:a");
    peer_expects_end(house, fd);
    assert_int_equal(house->frame_count, 1);
    assert_int_equal(house->closed_count, 1);
    assert_int_equal(house->last_end, TCP_END_LOCAL);
    close(fd);
}

static void test_shut_by_another(void **state)
{
    struct house *house = *state;
    int first = connect_peer(house);
    int second = connect_peer(house);
    house->shut_next = house->last_opened;
    peer_send(house, first, "11a", 3);
    peer_expects(house, first, "13E:a");
    peer_expects_end(house, second);
    assert_int_equal(house->closed_count, 1);
    assert_int_equal(house->last_end, TCP_END_LOCAL);
    exchange(house, first);
    close(first);
    close(second);
}

static void test_shut_sends_what_is_queued(void **state)
{
    struct house *house = *state;
    enum { TEXT_BYTES = 8 << 20 };
    char *text = malloc(TEXT_BYTES + 16);
    assert_non_null(text);
    memset(text, 'q', TEXT_BYTES);
    int fd = connect_peer(house);
    tcp_send(house->last_opened, NULL, 0, text, TEXT_BYTES);
    assert_int_equal(tcp_unsent_bytes(house->last_opened), TEXT_BYTES + 7);
    tcp_shut(house->last_opened);
    tcp_send(house->last_opened, "late", 4, NULL, 0);
    assert_int_equal(house->closed_count, 0);
    peer_receive(house, fd, text, TEXT_BYTES + 7);
    assert_memory_equal(text, "6800000qqq", 10);
    peer_expects_end(house, fd);
    assert_int_equal(house->last_end, TCP_END_LOCAL);
    close(fd);
    free(text);
}

/* What another part of the owner queues is sent by the flush. */
static void test_flush(void **state)
{
    struct house *house = *state;
    int fd = connect_peer(house);
    tcp_send(house->last_opened, "he", 2, "llo", 3);
    tcp_send(house->last_opened, NULL, 0, NULL, 0);
    assert_int_equal(tcp_unsent_bytes(house->last_opened), 9);
    tcp_server_flush(house->server);
    assert_int_equal(tcp_unsent_bytes(house->last_opened), 0);
    char received[9];
    assert_int_equal(recv(fd, received, sizeof received, MSG_WAITALL), 9);
    assert_memory_equal(received, "15hello10", 9);
    close(fd);
}

static void test_quiet(void **state)
{
    struct house *house = *state;
    int other = connect_peer(house);
    int fd = connect_peer(house);
    house->quiet_next = true;
    peer_send(house, fd, "11a11b11c", 9);
    peer_expects(house, fd, "13E:a");
    assert_int_equal(house->frame_count, 1);
    assert_int_equal(poller_wait(house->poller, 0), 0);
    tcp_send(house->last_opened, "last", 4, NULL, 0);
    peer_expects(house, fd, "14last");
    /* Nothing is read, yet a peer that is gone is found out. */
    reset(other);
    WAIT_UNTIL(house, house->closed_count == 1);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&house->place, sizeof house->place), -1);
    close(late);
    close(fd);
}

static void test_close_sends_what_is_queued(void **state)
{
    struct house *house = *state;
    int fd = connect_peer(house);
    peer_send(house, fd, "11a11b", 6);
    tcp_send(house->last_opened, "last", 4, NULL, 0);
    tcp_server_close(&house->server);
    assert_int_equal(house->closed_count, 1);
    assert_int_equal(house->last_end, TCP_END_LOCAL);
    char received[16];
    assert_int_equal(recv(fd, received, sizeof received, 0), 6);
    assert_memory_equal(received, "14last", 6);
    assert_int_equal(recv(fd, received, sizeof received, 0), 0);
    close(fd);
}

/* Several peers end in the same round of the poller. */
static void test_many_ends_at_once(void **state)
{
    struct house *house = *state;
    int peers[CONNECTION_COUNT_MAX];
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < CONNECTION_COUNT_MAX; i++)
            peers[i] = connect_peer(house);
        struct tcp_stream *last = house->last_opened;
        house->shut_next = last;
        for (size_t i = 0; i < CONNECTION_COUNT_MAX; i++) {
            peer_send(house, peers[i], i % 2 == 0 ? "11a?" : "11a1", 4);
            if (i % 3 == 0)
                reset(peers[i]);
            else
                close(peers[i]);
        }
        WAIT_UNTIL(house, tcp_server_counts(house->server)->open_count == 0);
        house->shut_next = NULL;
    }
    WAIT_UNTIL(house, poller_source_count(house->poller) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOUSE_TEST(test_peer_that_never_reads_is_bounded),
        HOUSE_TEST(test_blocked_goes_on_after_a_flush),
        HOUSE_TEST(test_half_closed_peer_gets_its_answers),
        HOUSE_TEST(test_cut_within_a_frame),
        HOUSE_TEST(test_reset),
        HOUSE_TEST(test_blocked_by_what_is_held_back),
        HOUSE_TEST(test_a_half_closed_stream_stays_for_answers),
        HOUSE_TEST(test_reset_while_blocked),
        HOUSE_TEST(test_connection_limit),
        HOUSE_TEST(test_out_of_descriptors),
        HOUSE_TEST(test_out_of_all_descriptors),
        HOUSE_TEST(test_address_in_use),
        HOUSE_TEST(test_shut_by_its_handler),
        HOUSE_TEST(test_shut_by_another),
        HOUSE_TEST(test_shut_sends_what_is_queued),
        HOUSE_TEST(test_flush),
        HOUSE_TEST(test_quiet),
        HOUSE_TEST(test_close_sends_what_is_queued),
        HOUSE_TEST(test_many_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
