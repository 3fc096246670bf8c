/*
 * remote_putid.c: messages put with ids to a model of a queue, over datagrams that are lost, doubled and reordered both
 * ways, and over a stream that breaks; the queue is full, crashes, refuses, or is the prototype's. The clock is the
 * test's: nothing waits for time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/random.h"
#include "net/lhhttt.h"
#include "nodes/links/queue_command.h"
#include "nodes/links/remote_putid.h"
#include "tests/support/far_queue.h"

enum { MESSAGE_COUNT = 2000, FLIGHT_MAX = 20000, TEXT_BYTES = 256, ROUNDS_MAX = 100000, PADDING_MAX = 97 };
static const int64_t round_ns = NS_PER_MS;

static int64_t test_now_ns;

/* The clock that the program reads. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){.tv_sec = test_now_ns / NS_PER_S, .tv_nsec = (long)(test_now_ns % NS_PER_S)};
    return 0;
}

/* A command or an answer on its way. */
struct flight {
    unsigned round; /* when it arrives */
    bool to_queue;
    char text[QUEUE_SEEN_BYTES_MAX + 1];
};

/* The queue's side: what it has taken, and of that what would survive its crash. */
struct fixture {
    struct far_queue far;
    struct remote_putid *putid;
    int listener, stream; /* of a test over TCP; else -1 */
    struct address address;
    char input[1 << 20];
    size_t input_length;
    struct random_state random;
    unsigned fault_percent;
    struct flight *flights;
    size_t flight_count;
    unsigned round;
    bool has[MESSAGE_COUNT], synced[MESSAGE_COUNT], refused[MESSAGE_COUNT];
    unsigned order[MESSAGE_COUNT], taken_count;
    unsigned queued, capacity; /* capacity 0: any */
    size_t length_max;
    unsigned commit_every; /* 0: all is on the disk at once */
    bool knows, silent;
    bool deaf; /* it takes nothing, and does not say so */
    bool lazy; /* nothing is stepped before its time but when something comes */
    uint64_t activity;
    unsigned emitted, seen_count, put_count;
    uint64_t confirmed; /* last seen */
};

static struct fixture *make_fixture(void)
{
    struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, (sizeof *fixture + 63) / 64 * 64);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    test_now_ns = 1000 * NS_PER_S;
    random_seed(&fixture->random, 11);
    fixture->flights = calloc(FLIGHT_MAX, sizeof *fixture->flights);
    assert_non_null(fixture->flights);
    fixture->listener = fixture->stream = -1;
    fixture->length_max = TEXT_BYTES;
    fixture->knows = true;
    far_open(&fixture->far);
    fixture->address = fixture->far.address;
    return fixture;
}

static int open_fixture(void **state)
{
    struct fixture *fixture = make_fixture();
    struct error error = {0};
    assert_int_equal(remote_putid_open(&fixture->putid, &fixture->far.node, &fixture->address, &error), STATUS_OK);
    *state = fixture;
    return 0;
}

static int open_stream_fixture(void **state)
{
    struct fixture *fixture = make_fixture();
    struct error error = {0};
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t place_bytes = sizeof place;
    fixture->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *)&place, sizeof place), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
    assert_int_equal(getsockname(fixture->listener, (struct sockaddr *)&place, &place_bytes), 0);
    char text[40];
    snprintf(text, sizeof text, "tcp://127.0.0.1:%u", ntohs(place.sin_port));
    assert_int_equal(address_parse(text, &fixture->address, &error), STATUS_OK);
    assert_int_equal(remote_putid_open(&fixture->putid, &fixture->far.node, &fixture->address, &error), STATUS_OK);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    remote_putid_close(&fixture->putid);
    assert_null(fixture->putid);
    if (fixture->listener >= 0)
        close(fixture->listener);
    if (fixture->stream >= 0)
        close(fixture->stream);
    far_close(&fixture->far);
    free(fixture->flights);
    free(fixture);
    return 0;
}

/* ---- the network ---- */

static bool happens(struct fixture *fixture)
{
    return random_below(&fixture->random, 100) < fixture->fault_percent;
}

static void fly(struct fixture *fixture, bool to_queue, const char *text, size_t length, unsigned delay)
{
    fixture->activity++;
    if (happens(fixture))
        return;
    unsigned copies = happens(fixture) ? 2 : 1;
    for (unsigned i = 0; i < copies; i++) {
        assert_true(fixture->flight_count < FLIGHT_MAX && length <= QUEUE_SEEN_BYTES_MAX);
        struct flight *flight = &fixture->flights[fixture->flight_count++];
        flight->round =
            fixture->round + delay + (happens(fixture) ? 1 + (unsigned)random_below(&fixture->random, 9) : 0);
        flight->to_queue = to_queue;
        snprintf(flight->text, sizeof flight->text, "%.*s", (int)length, text);
    }
}

static void collect_datagrams(struct fixture *fixture)
{
    size_t length;
    const void *datagram;
    while ((datagram = far_take(&fixture->far, &length)) != NULL) {
        const void *text;
        size_t text_length;
        assert_int_equal(lhhttt_read_datagram(datagram, length, &text, &text_length), STATUS_OK);
        fly(fixture, true, text, text_length, 0);
    }
}

static void break_stream(struct fixture *fixture)
{
    assert_int_equal(close(fixture->stream), 0);
    fixture->stream = -1;
    fixture->input_length = 0;
    fixture->flight_count = 0;
}

static void collect_frames(struct fixture *fixture)
{
    if (fixture->stream < 0)
        fixture->stream = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fixture->stream < 0)
        return;
    ssize_t received =
        recv(fixture->stream, fixture->input + fixture->input_length, sizeof fixture->input - fixture->input_length, 0);
    fixture->input_length += received > 0 ? (size_t)received : 0;
    size_t at = 0, header_length;
    uint64_t length;
    while (lhhttt_read_header(fixture->input + at, fixture->input_length - at, &header_length, &length) == STATUS_OK &&
           fixture->input_length - at >= header_length + length) {
        fly(fixture, true, fixture->input + at + header_length, length, 0);
        at += header_length + length;
    }
    fixture->input_length -= at;
    memmove(fixture->input, fixture->input + at, fixture->input_length);
}

static void send_answer(struct fixture *fixture, const char *text)
{
    fixture->activity++;
    if (fixture->listener < 0) {
        far_answer_text(&fixture->far, text);
    } else {
        char frame[TEXT_BYTES];
        size_t header_length = lhhttt_write_header(strlen(text), frame);
        snprintf(frame + header_length, sizeof frame - header_length, "%s", text);
        ssize_t length = (ssize_t)(header_length + strlen(text));
        assert_int_equal(send(fixture->stream, frame, (size_t)length, MSG_NOSIGNAL), length);
    }
}

/* ---- the queue ---- */

static void commit(struct fixture *fixture)
{
    memcpy(fixture->synced, fixture->has, sizeof fixture->synced);
}

static void write_message(char *text, unsigned i)
{
    size_t length = (size_t)snprintf(text, TEXT_BYTES, "m:%u:", i);
    memset(text + length, 'x', i % PADDING_MAX);
    text[length + i % PADDING_MAX] = '\0';
}

static void take_put(struct fixture *fixture, const struct queue_command *command, char *answer)
{
    unsigned i;
    char expected[TEXT_BYTES];
    assert_int_equal(sscanf(command->name, "s.%u:", &i), 1);
    assert_in_range(i, 0, fixture->emitted - 1);
    write_message(expected, i);
    assert_int_equal(command->message_length, strlen(expected));
    assert_memory_equal(command->message, expected, strlen(expected));
    fixture->put_count++;
    snprintf(answer, TEXT_BYTES, "PUT %zu bytes", command->message_length);
    if (fixture->has[i] || fixture->deaf)
        return;
    if (command->message_length > fixture->length_max) {
        fixture->refused[i] = true;
        snprintf(answer, TEXT_BYTES, "ERR message of %zu bytes is above the limit of %zu", command->message_length,
                 fixture->length_max);
    } else if (fixture->capacity > 0 && fixture->queued == fixture->capacity) {
        snprintf(answer, TEXT_BYTES, "ERR queue full");
    } else {
        fixture->has[i] = true;
        fixture->synced[i] = fixture->commit_every == 0;
        fixture->order[fixture->taken_count++] = i;
        fixture->queued++;
    }
}

static void take_seen(struct fixture *fixture, struct queue_command *command, char *answer)
{
    bool seen[QUEUE_SEEN_IDS_MAX];
    size_t count = 0, id_length;
    for (const char *id; (id = queue_next_id(command, &id_length)) != NULL; count++) {
        unsigned i;
        seen[count] = sscanf(id, "s.%u", &i) == 1 && fixture->has[i];
    }
    answer[queue_answer_seen(answer, command->name, command->name_length, seen, count)] = '\0';
    fixture->seen_count++;
}

static void handle(struct fixture *fixture, const char *text)
{
    char answer[TEXT_BYTES] = "7";
    struct queue_command command = queue_command_parse(text, strlen(text));
    if (command.verb != QUEUE_SIZE && !fixture->knows) {
        assert_int_equal(command.verb, QUEUE_SEEN); /* nothing else is sent to a prototype's queue */
        if (fixture->silent)
            return;
        snprintf(answer, sizeof answer, "ERR unknown command");
    } else if (command.verb == QUEUE_PUTID) {
        take_put(fixture, &command, answer);
    } else if (command.verb == QUEUE_SEEN) {
        take_seen(fixture, &command, answer);
    } else {
        assert_int_equal(command.verb, QUEUE_SIZE);
    }
    unsigned delay = fixture->commit_every > 0 ? fixture->commit_every - fixture->round % fixture->commit_every : 0;
    fly(fixture, false, answer, strlen(answer), command.verb == QUEUE_SEEN ? delay : 0);
}

/* What is not on the disk, and all that is on its way, is gone. */
static void crash(struct fixture *fixture)
{
    unsigned kept_count = 0;
    for (unsigned i = 0; i < fixture->taken_count; i++)
        if (fixture->synced[fixture->order[i]])
            fixture->order[kept_count++] = fixture->order[i];
    fixture->taken_count = kept_count;
    memcpy(fixture->has, fixture->synced, sizeof fixture->has);
    fixture->flight_count = 0;
}

/* ---- rounds ---- */

static void serve(struct fixture *fixture)
{
    if (fixture->listener < 0)
        collect_datagrams(fixture);
    else
        collect_frames(fixture);
    if (fixture->commit_every > 0 && fixture->round % fixture->commit_every == 0)
        commit(fixture);
    size_t kept_count = 0;
    for (size_t i = 0; i < fixture->flight_count; i++) { /* handling one may add to the end */
        if (fixture->flights[i].round > fixture->round)
            fixture->flights[kept_count++] = fixture->flights[i];
        else if (fixture->flights[i].to_queue)
            handle(fixture, fixture->flights[i].text);
        else
            send_answer(fixture, fixture->flights[i].text);
    }
    fixture->flight_count = kept_count;
}

/* Others of a length that was refused are not sent in vain. */
static bool is_too_long(const struct fixture *fixture, unsigned i)
{
    char text[TEXT_BYTES];
    write_message(text, i);
    return strlen(text) > fixture->length_max;
}

static void check(struct fixture *fixture)
{
    uint64_t confirmed = remote_putid_confirmed_count(fixture->putid);
    assert_true(confirmed >= fixture->confirmed && confirmed <= fixture->emitted);
    for (uint64_t i = fixture->confirmed; i < confirmed; i++)
        assert_true(fixture->synced[i] || fixture->refused[i] || is_too_long(fixture, (unsigned)i));
    fixture->confirmed = confirmed;
    struct remote_putid_counts counts = remote_putid_counts(fixture->putid);
    assert_true(counts.confirmed_count + counts.rejected_count + remote_putid_held_count(fixture->putid) ==
                fixture->emitted);
}

static void turn(struct fixture *fixture)
{
    uint64_t activity = fixture->activity;
    int64_t when_ns = remote_putid_step(fixture->putid, test_now_ns);
    assert_true(when_ns > test_now_ns);
    serve(fixture);
    poller_wait(fixture->far.poller, 0);
    check(fixture);
    fixture->round++;
    if (!fixture->lazy || fixture->activity != activity || fixture->flight_count > 0)
        test_now_ns += round_ns;
    else if (when_ns != CLOCK_NEVER_NS)
        test_now_ns = when_ns;
    else
        assert_true(remote_putid_held_count(fixture->putid) == 0); /* or nothing would ever wake it */
}

static void emit(struct fixture *fixture)
{
    char id[16], text[TEXT_BYTES];
    int id_length = snprintf(id, sizeof id, "s.%u", fixture->emitted);
    write_message(text, fixture->emitted++);
    assert_true(remote_putid_emit(fixture->putid, id, (size_t)id_length, text, (uint32_t)strlen(text)));
}

static void emit_some(struct fixture *fixture, unsigned total)
{
    for (uint64_t left = random_below(&fixture->random, 40); left > 0; left--)
        if (fixture->emitted < total && remote_putid_has_room(fixture->putid))
            emit(fixture);
}

static void run(struct fixture *fixture, unsigned total)
{
    for (unsigned rounds = 0; fixture->confirmed < total; rounds++) {
        assert_true(rounds < ROUNDS_MAX);
        emit_some(fixture, total);
        turn(fixture);
        fixture->queued -= fixture->queued > 0;
    }
    assert_true(remote_putid_held_count(fixture->putid) == 0);
}

static void assert_in_order(const struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->taken_count; i++)
        assert_int_equal(fixture->order[i], i);
}

/* ---- over datagrams ---- */

static void test_in_order_over_a_good_network(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, MESSAGE_COUNT);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT);
    assert_in_order(fixture);
    assert_int_equal(fixture->put_count, MESSAGE_COUNT);
    assert_in_range(fixture->seen_count, 1, MESSAGE_COUNT / 8);
    assert_true(remote_putid_counts(fixture->putid).resent_count == 0);
}

static void test_each_is_there_once_over_a_bad_one(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault_percent = 30;
    fixture->lazy = true;
    run(fixture, MESSAGE_COUNT);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT);
    assert_true(remote_putid_counts(fixture->putid).resent_count > 0);
}

/* Whatever was not on its disk when the queue crashed comes again. */
static void test_none_is_lost_when_the_queue_crashes(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault_percent = 30;
    fixture->commit_every = 5;
    unsigned crash_count = 0;
    for (; fixture->confirmed < MESSAGE_COUNT; crash_count++) {
        assert_true(crash_count < ROUNDS_MAX);
        for (uint64_t left = random_below(&fixture->random, 1000); left > 0 && fixture->confirmed < MESSAGE_COUNT;
             left--) {
            emit_some(fixture, MESSAGE_COUNT);
            turn(fixture);
        }
        if (crash_count % 2 == 0)
            far_leave(&fixture->far); /* it stays away for a while */
        crash(fixture);
        for (uint64_t left = random_below(&fixture->random, 50); crash_count % 2 == 0 && left > 0; left--) {
            remote_putid_step(fixture->putid, test_now_ns);
            poller_wait(fixture->far.poller, 0);
            test_now_ns += round_ns;
        }
        far_return(&fixture->far);
    }
    assert_true(crash_count > 4);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT);
}

static void test_a_full_queue_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    fixture->capacity = 5;
    run(fixture, MESSAGE_COUNT / 4); /* one a millisecond leaves it */
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT / 4);
    struct remote_putid_counts counts = remote_putid_counts(fixture->putid);
    assert_true(counts.full_count > 0);
    assert_in_range(fixture->put_count, MESSAGE_COUNT / 4, 4 * MESSAGE_COUNT); /* it is not hammered */
}

static void test_a_full_queue_over_a_bad_network(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault_percent = 30;
    fixture->lazy = true;
    fixture->capacity = 5;
    run(fixture, MESSAGE_COUNT / 4);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT / 4);
}

/* One whose --overflow is block answers when there is room, and not before. */
static void test_a_queue_that_takes_nothing_is_not_hammered(void **state)
{
    struct fixture *fixture = *state;
    fixture->deaf = true;
    for (unsigned i = 0; i < 5000; i++) {
        emit_some(fixture, MESSAGE_COUNT);
        turn(fixture);
    }
    assert_in_range(fixture->put_count, 64, 64 * 8);
    fixture->deaf = false;
    run(fixture, MESSAGE_COUNT / 4);
    assert_in_order(fixture);
}

static void refuse_some(struct fixture *fixture, unsigned fault_percent)
{
    unsigned refused_count = 0;
    fixture->fault_percent = fault_percent;
    fixture->length_max = 80;
    run(fixture, MESSAGE_COUNT);
    for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
        assert_true(fixture->has[i] != is_too_long(fixture, i));
        refused_count += is_too_long(fixture, i);
    }
    assert_int_equal(remote_putid_counts(fixture->putid).rejected_count, refused_count);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT - refused_count);
}

static void test_what_is_refused_for_good_holds_nothing_up(void **state)
{
    refuse_some(*state, 0);
}

static void test_what_is_refused_for_good_over_a_bad_network(void **state)
{
    refuse_some(*state, 30);
}

static void test_too_long_for_a_datagram(void **state)
{
    struct fixture *fixture = *state;
    enum { LONG = 65507 - 5 - 6 - 3 }; /* a datagram without its header, "PUTID:" and "x.:" */
    char *text = calloc(1, LONG + 1);
    assert_non_null(text);
    assert_false(remote_putid_emit(fixture->putid, "x.", 2, text, LONG + 1));
    assert_true(remote_putid_held_count(fixture->putid) == 0);
    assert_true(remote_putid_emit(fixture->putid, "x.", 2, text, LONG));
    assert_true(remote_putid_held_count(fixture->putid) == 1);
    free(text);
}

/* Takes the next datagram's text. */
static void receive(struct fixture *fixture, char *text)
{
    size_t length, text_length;
    const void *start;
    const void *datagram = far_receive(&fixture->far, &length);
    assert_int_equal(lhhttt_read_datagram(datagram, length, &start, &text_length), STATUS_OK);
    assert_true(text_length < TEXT_BYTES);
    memcpy(text, start, text_length);
    text[text_length] = '\0';
}

static void receive_seen(struct fixture *fixture, uint64_t *nonce)
{
    char text[TEXT_BYTES], rest[TEXT_BYTES];
    unsigned long long number;
    receive(fixture, text);
    assert_int_equal(sscanf(text, "SEEN:%llx:%255s", &number, rest), 2);
    assert_string_equal(rest, "s.0,s.1");
    *nonce = number;
}

/* Each time with another nonce, later each time; and the answer to an earlier one is good. */
static void test_a_question_is_repeated(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_BYTES];
    while (remote_putid_kind(fixture->putid) == QUEUE_KIND_UNKNOWN)
        turn(fixture);
    emit(fixture);
    emit(fixture);
    uint64_t nonces[4];
    for (unsigned i = 0; i < 4; i++) {
        static const int64_t waits_ns[] = {250 * NS_PER_MS, 500 * NS_PER_MS, NS_PER_S, NS_PER_S};
        assert_true(remote_putid_step(fixture->putid, test_now_ns) == test_now_ns + waits_ns[i]);
        for (unsigned k = 0; i == 0 && k < 2; k++)
            receive(fixture, text);
        receive_seen(fixture, &nonces[i]);
        for (unsigned k = 0; k < i; k++)
            assert_true(nonces[k] != nonces[i]);
        far_expect_nothing(&fixture->far);
        test_now_ns += waits_ns[i] - 1;
        remote_putid_step(fixture->putid, test_now_ns);
        far_expect_nothing(&fixture->far);
        test_now_ns++;
    }
    fixture->has[0] = fixture->synced[0] = true;
    snprintf(text, sizeof text, "%llx:11", (unsigned long long)nonces[3] + 256); /* to nothing that was asked */
    far_answer_text(&fixture->far, text);
    snprintf(text, sizeof text, "%llx:10", (unsigned long long)nonces[1]);
    far_answer_text(&fixture->far, text);
    far_answer_text(&fixture->far, text); /* doubled */
    FAR_WAIT(&fixture->far, remote_putid_confirmed_count(fixture->putid) == 1);
    poller_wait(fixture->far.poller, 0);
    check(fixture);
    remote_putid_step(fixture->putid, test_now_ns);
    receive(fixture, text);
    assert_non_null(strstr(text, "PUTID:s.1:m:1:"));
}

/* ---- what the queue is ---- */

static void judge_prototype(struct fixture *fixture, bool silent)
{
    fixture->knows = false;
    fixture->silent = silent;
    for (unsigned i = 0; i < 10000 && remote_putid_kind(fixture->putid) == QUEUE_KIND_UNKNOWN; i++) {
        assert_false(remote_putid_has_room(fixture->putid));
        turn(fixture);
    }
    assert_int_equal(remote_putid_kind(fixture->putid), QUEUE_KIND_PROTOTYPE);
    assert_false(remote_putid_has_room(fixture->putid));
    emit(fixture);
    for (unsigned i = 0; i < 1000; i++)
        turn(fixture); /* asserts that nothing is sent */
}

static void test_prototype_is_known_by_its_silence(void **state)
{
    judge_prototype(*state, true);
}

static void test_prototype_is_known_by_its_error(void **state)
{
    judge_prototype(*state, false);
}

static void test_silence_is_no_prototype(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 200; i++) {
        remote_putid_step(fixture->putid, test_now_ns);
        test_now_ns += 250 * NS_PER_MS;
    }
    assert_int_equal(remote_putid_kind(fixture->putid), QUEUE_KIND_UNKNOWN);
}

/* What it was trusted with is not given to one that may double it. */
static void test_messages_wait_while_a_prototype_s_is_there(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, 10);
    far_leave(&fixture->far);
    while (fixture->emitted < 20)
        emit(fixture);
    remote_putid_step(fixture->putid, test_now_ns);
    poller_wait(fixture->far.poller, 0);
    fixture->knows = false;
    far_return(&fixture->far);
    for (unsigned i = 0; i < 2000; i++)
        turn(fixture);
    assert_int_equal(remote_putid_kind(fixture->putid), QUEUE_KIND_UNKNOWN);
    assert_true(remote_putid_held_count(fixture->putid) == 10);
    fixture->knows = true;
    run(fixture, 20);
    assert_in_order(fixture);
}

/* ---- over a stream ---- */

static void test_in_order_over_a_stream(void **state)
{
    struct fixture *fixture = *state;
    run(fixture, MESSAGE_COUNT);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT);
    assert_in_order(fixture);
    assert_int_equal(fixture->put_count, MESSAGE_COUNT);
}

static void test_streams_that_break(void **state)
{
    struct fixture *fixture = *state;
    fixture->commit_every = 3;
    unsigned break_count = 0;
    for (unsigned rounds = 0; fixture->confirmed < MESSAGE_COUNT; rounds++) {
        assert_true(rounds < ROUNDS_MAX);
        emit_some(fixture, MESSAGE_COUNT);
        turn(fixture);
        if (fixture->stream >= 0 && random_below(&fixture->random, 10) == 0) {
            break_stream(fixture);
            break_count++;
            if (break_count % 2 == 0)
                crash(fixture);
        }
    }
    assert_true(break_count > 4);
    assert_int_equal(fixture->taken_count, MESSAGE_COUNT);
    assert_in_order(fixture); /* each break sends all again from the first that is not confirmed */
}

/* A stream ends at a frame that is far too long; the message must not end each that follows. */
static void test_a_frame_that_ends_a_stream(void **state)
{
    struct fixture *fixture = *state;
    while (remote_putid_kind(fixture->putid) == QUEUE_KIND_UNKNOWN)
        turn(fixture);
    for (unsigned i = 0; i < 3; i++)
        emit(fixture);
    remote_putid_step(fixture->putid, test_now_ns);
    fixture->refused[0] = true;
    send_answer(fixture, "ERR message of 14 bytes is above the limit of 7 bytes"); /* PUTID:s.0:m:0: */
    break_stream(fixture);
    FAR_WAIT(&fixture->far, remote_putid_confirmed_count(fixture->putid) == 1);
    check(fixture);
    run(fixture, 3);
    assert_int_equal(fixture->order[0], 1);
    assert_int_equal(fixture->taken_count, 2);
}

int main(void)
{
#define DATAGRAM_TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
#define STREAM_TEST(name)   cmocka_unit_test_setup_teardown(name, open_stream_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        DATAGRAM_TEST(test_in_order_over_a_good_network),
        DATAGRAM_TEST(test_each_is_there_once_over_a_bad_one),
        DATAGRAM_TEST(test_none_is_lost_when_the_queue_crashes),
        DATAGRAM_TEST(test_a_full_queue_is_waited_for),
        DATAGRAM_TEST(test_a_full_queue_over_a_bad_network),
        DATAGRAM_TEST(test_a_queue_that_takes_nothing_is_not_hammered),
        DATAGRAM_TEST(test_what_is_refused_for_good_holds_nothing_up),
        DATAGRAM_TEST(test_what_is_refused_for_good_over_a_bad_network),
        DATAGRAM_TEST(test_too_long_for_a_datagram),
        DATAGRAM_TEST(test_a_question_is_repeated),
        DATAGRAM_TEST(test_prototype_is_known_by_its_silence),
        DATAGRAM_TEST(test_prototype_is_known_by_its_error),
        DATAGRAM_TEST(test_silence_is_no_prototype),
        DATAGRAM_TEST(test_messages_wait_while_a_prototype_s_is_there),
        STREAM_TEST(test_in_order_over_a_stream),
        STREAM_TEST(test_streams_that_break),
        STREAM_TEST(test_a_frame_that_ends_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
