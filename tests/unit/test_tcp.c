/* The TCP server: frames in any pieces, and what is refused. */
#include "engine/clock.h"
#include "tests/support/tcp_house.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- frames ---- */

static void test_one_frame(void **state)
{
    struct house *house = *state;
    int fd = connect_peer(house);
    exchange(house, fd);
    peer_send(house, fd, "10", 2);
    peer_expects(house, fd, "12E:");
    peer_send(house, fd, "3005hello1BHello World", 22);
    peer_expects(house, fd, "17E:hello1dE:Hello World");
    close(fd);
    WAIT_UNTIL(house, house->closed_count == 1);
    assert_int_equal(house->last_end, TCP_END_PEER);
    assert_int_equal(tcp_server_counts(house->server)->open_count, 0);
    assert_int_equal(tcp_server_counts(house->server)->accepted_count, 1);
    assert_int_equal(tcp_server_counts(house->server)->cut_count, 0);
}

static void test_a_byte_at_a_time(void **state)
{
    struct house *house = *state;
    static const char frames[] = "13GET10200"
                                 "228abcdefghijklmnopqrstuvwxyz0123456789abcd"
                                 "3001x14SIZE";
    static const char answers[] = "15E:GET12E:12E:22aE:abcdefghijklmnopqrstuvwxyz0123456789abcd13E:x16E:SIZE";
    int fd = connect_peer(house);
    for (size_t i = 0; i < sizeof frames - 1; i++) {
        peer_send(house, fd, frames + i, 1);
        poller_wait(house->poller, -1);
    }
    assert_int_equal(house->frame_count, 6);
    peer_expects(house, fd, answers);
    close(fd);
}

static void test_many_frames_in_one_write(void **state)
{
    struct house *house = *state;
    enum { COUNT = 20000 };
    char *frames = malloc(COUNT * 16);
    char *answers = malloc(COUNT * 16);
    char *received = malloc(COUNT * 16);
    assert_true(frames != NULL && answers != NULL && received != NULL);
    size_t frames_length = 0;
    size_t answers_length = 0;
    for (int i = 0; i < COUNT; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "E:%d", i);
        frames_length += write_frame(frames + frames_length, text + 2, (size_t)length - 2);
        answers_length += write_frame(answers + answers_length, text, (size_t)length);
    }
    int fd = connect_peer(house);
    peer_send(house, fd, frames, frames_length);
    peer_receive(house, fd, received, answers_length);
    assert_memory_equal(received, answers, answers_length);
    assert_int_equal(house->frame_count, COUNT);
    close(fd);
    free(frames);
    free(answers);
    free(received);
}

/* xorshift64*, as in test_lhhttt.c. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

/* Frames of all sizes, cut into random pieces, answers read in random pieces: they are the same bytes in the end. */
static void test_random_pieces(void **state)
{
    struct house *house = *state;
    enum { COUNT = 600, BYTES_MAX = 24 << 20 };
    char *frames = malloc(BYTES_MAX);
    char *answers = malloc(BYTES_MAX);
    char *received = malloc(BYTES_MAX);
    char *text = malloc(2 + FRAME_BYTES_MAX);
    assert_true(frames != NULL && answers != NULL && received != NULL && text != NULL);
    size_t frames_length = 0;
    size_t answers_length = 0;
    uint64_t seed = 1;
    for (int i = 0; i < COUNT; i++) {
        size_t length = next_random(&seed) % (i % 100 == 99 ? FRAME_BYTES_MAX : i % 10 == 9 ? 70000 : 40);
        memset(text, 'a' + i % 26, 2 + length);
        memcpy(text, "E:", 2);
        frames_length += write_frame(frames + frames_length, text + 2, length);
        answers_length += write_frame(answers + answers_length, text, 2 + length);
    }
    int fd = connect_peer(house);
    narrow_last_connection(house);
    size_t sent = 0;
    size_t got = 0;
    int rounds_left = 10 * LIMIT_ROUNDS;
    while (got < answers_length && --rounds_left > 0) {
        size_t piece = 1 + next_random(&seed) % (next_random(&seed) % 4 == 0 ? 200000 : 2000);
        if (piece > frames_length - sent)
            piece = frames_length - sent;
        size_t done_before = sent + got;
        ssize_t result = send(fd, frames + sent, piece, MSG_NOSIGNAL);
        sent += result > 0 ? (size_t)result : 0;
        if (next_random(&seed) % 2 == 0)
            poller_wait(house->poller, 0);
        piece = 1 + next_random(&seed) % 100000;
        if (piece > answers_length - got)
            piece = answers_length - got;
        result = recv(fd, received + got, piece, 0);
        got += result > 0 ? (size_t)result : 0;
        if (sent + got == done_before) /* the kernel's timers may have to run, such as that of a closed window */
            poller_wait(house->poller, NS_PER_MS);
    }
    assert_int_equal(got, answers_length);
    assert_true(memcmp(received, answers, answers_length) == 0);
    assert_in_range(house->unsent_bytes_most, UNSENT_BYTES_MAX + 1, UNSENT_BYTES_MAX + FRAME_BYTES_MAX + 32);
    close(fd);
    free(frames);
    free(answers);
    free(received);
    free(text);
}

/* ---- what is refused ---- */

static void expect_refusal(struct house *house, const char *bytes, size_t length, const char *why)
{
    char text[300];
    char frame[300];
    int fd = connect_peer(house);
    uint64_t malformed_count = tcp_server_counts(house->server)->malformed_count;
    size_t closed_count = house->closed_count;
    exchange(house, fd);
    peer_send(house, fd, bytes, length);
    int text_length = snprintf(text, sizeof text, "ERR %s", why);
    frame[write_frame(frame, text, (size_t)text_length)] = '\0';
    peer_expects(house, fd, frame);
    peer_expects_end(house, fd);
    assert_int_equal(house->closed_count, closed_count + 1);
    assert_int_equal(house->last_end, TCP_END_MALFORMED);
    assert_string_equal(house->last_why, why);
    assert_int_equal(tcp_server_counts(house->server)->malformed_count, malformed_count + 1);
    close(fd);
}

static void test_malformed(void **state)
{
    struct house *house = *state;
    int other = connect_peer(house);
    expect_refusal(house, "GET", 3, "malformed frame: it must begin with a hex digit 1 to f, not with byte 0x47");
    expect_refusal(house, "0", 1, "malformed frame: it must begin with a hex digit 1 to f, not with byte 0x30");
    expect_refusal(house, "3a-", 3, "malformed frame: byte 0x2d in its length is no hex digit");
    expect_refusal(house, "fffffffffffffff\xff", 16, "malformed frame: byte 0xff in its length is no hex digit");
    /* In the middle of good ones, which are answered. */
    int fd = connect_peer(house);
    peer_send(house, fd, "11a11b11c!11d11e", 16);
    peer_expects(house, fd, "13E:a13E:b13E:c");
    exchange(house, other);
    close(fd);
    close(other);
}

static void test_too_long(void **state)
{
    struct house *house = *state;
    char why[128];
    snprintf(why, sizeof why, "message of 1152921504606846975 bytes is above the limit of %d bytes",
             (int)FRAME_BYTES_MAX);
    expect_refusal(house, "ffffffffffffffff", 16, why);
    snprintf(why, sizeof why, "message of %d bytes is above the limit of %d bytes", FRAME_BYTES_MAX + 1,
             (int)FRAME_BYTES_MAX);
    expect_refusal(house, "6100001", 7, why);
    /* The longest that may be. */
    char *frame = malloc(FRAME_BYTES_MAX + 32);
    char *received = malloc(FRAME_BYTES_MAX + 32);
    assert_true(frame != NULL && received != NULL);
    memset(frame, 'x', FRAME_BYTES_MAX + 32);
    memcpy(frame, "6100000", 7);
    int fd = connect_peer(house);
    peer_send(house, fd, frame, 7 + FRAME_BYTES_MAX);
    peer_receive(house, fd, received, 9 + FRAME_BYTES_MAX);
    assert_memory_equal(received, "6100002E:", 9);
    assert_memory_equal(received + 9, frame + 7, FRAME_BYTES_MAX);
    close(fd);
    free(frame);
    free(received);
}

/* The refusal is readable although much more came that nobody reads. */
static void test_refusal_outlives_what_follows(void **state)
{
    struct house *house = *state;
    enum { MORE_BYTES = 600 << 10 };
    char *more = malloc(MORE_BYTES);
    assert_non_null(more);
    memset(more, 'z', MORE_BYTES);
    int fd = connect_peer(house);
    peer_send(house, fd, more, MORE_BYTES);
    WAIT_UNTIL(house, house->closed_count == 1);
    peer_send(house, fd, more, MORE_BYTES / 2);
    peer_expects(house, fd, "24eERR malformed frame: it must begin with a hex digit 1 to f, not with byte ");
    close(fd);
    WAIT_UNTIL(house, poller_source_count(house->poller) == 1);
    free(more);
}

/* Peers that neither read nor close after a refusal are given up in the end. */
static void test_lingering_is_bounded(void **state)
{
    struct house *house = *state;
    enum { PEER_COUNT = 200, SOURCES_MOST = 70 };
    int peers[PEER_COUNT];
    for (size_t i = 0; i < PEER_COUNT; i++) {
        peers[i] = connect_peer(house);
        peer_send(house, peers[i], "?", 1);
        WAIT_UNTIL(house, house->closed_count == i + 1);
        assert_in_range(poller_source_count(house->poller), 1, SOURCES_MOST);
    }
    for (size_t i = 0; i < PEER_COUNT; i++)
        close(peers[i]);
    WAIT_UNTIL(house, poller_source_count(house->poller) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOUSE_TEST(test_one_frame),
        HOUSE_TEST(test_a_byte_at_a_time),
        HOUSE_TEST(test_many_frames_in_one_write),
        HOUSE_TEST(test_random_pieces),
        HOUSE_TEST(test_malformed),
        HOUSE_TEST(test_too_long),
        HOUSE_TEST(test_refusal_outlives_what_follows),
        HOUSE_TEST(test_lingering_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
