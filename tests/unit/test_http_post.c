/* Posts: what arrives, what is tried again, what is dropped, and that no hub can hold up the sender. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "net/http_post.h"
#include "net/http_post_private.h"

enum {
    CONNECTION_COUNT_MAX = 64,
    REQUEST_BYTES_MAX = 2 << 20,
    LIMIT_MS = 10000,
};

/* Long enough for a busy machine; a hub that hangs is tried with less. */
static const struct http_post_times patient = {.try_ms = 5000, .back_off_ns = NS_PER_MS};
static const struct http_post_times hasty = {.try_ms = 60, .back_off_ns = NS_PER_MS};

/* What the hub says to a request. */
enum manner {
    ANSWERS,      /* with hub->http_status */
    ANSWERS_LONG, /* 200 and a body without end */
    HANGS,        /* reads, and says nothing */
    CLOSES,       /* without a word */
};

struct connection {
    int fd;
    size_t length;
    char *request;
};

/* A tiny HTTP server on a thread of its own. */
struct hub {
    pthread_t thread;
    int listener, stop_pipe[2];
    uint16_t port;
    _Atomic int manner, http_status;
    _Atomic int recovers_after; /* from this request on it answers 200; 0: never */
    _Atomic unsigned request_count, connection_count, bad_request_count;
    char last_body[256];
    struct connection connections[CONNECTION_COUNT_MAX];
    size_t used_count;
};

static bool has_header(const char *request, const char *header)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *found = strcasestr(request, header);
    return found != NULL && found < end;
}

/* The body of a request that is complete, else NULL. */
static const char *whole_body(const char *request, size_t length, size_t *body_length)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *field = strcasestr(request, "\r\nContent-Length: ");
    if (end == NULL || field == NULL)
        return NULL;
    *body_length = strtoul(field + strlen("\r\nContent-Length: "), NULL, 10);
    return (size_t)(end + 4 - request) + *body_length <= length ? end + 4 : NULL;
}

static void drop_connection(struct hub *hub, size_t index)
{
    close(hub->connections[index].fd);
    free(hub->connections[index].request);
    hub->connections[index] = hub->connections[--hub->used_count];
}

static void send_text(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Returns whether the connection stays. */
static bool answer(struct hub *hub, int fd)
{
    unsigned number = atomic_fetch_add(&hub->request_count, 1) + 1;
    int recovers_after = atomic_load(&hub->recovers_after);
    bool recovered = recovers_after != 0 && number >= (unsigned)recovers_after;
    char text[256];
    switch (recovered ? ANSWERS : atomic_load(&hub->manner)) {
    case ANSWERS:
        snprintf(text, sizeof text, "HTTP/1.1 %d Word\r\nContent-Length: 2\r\nLocation: /other\r\n\r\nok",
                 recovered ? 200 : atomic_load(&hub->http_status));
        send_text(fd, text);
        return true;
    case ANSWERS_LONG: {
        char block[16384];
        memset(block, 'b', sizeof block);
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
            continue;
        return false;
    }
    case HANGS:
        return true;
    default:
        return false;
    }
}

static void handle(struct hub *hub, size_t index)
{
    struct connection *connection = &hub->connections[index];
    ssize_t result =
        recv(connection->fd, connection->request + connection->length, REQUEST_BYTES_MAX - connection->length - 1, 0);
    if (result <= 0) {
        drop_connection(hub, index);
        return;
    }
    connection->length += (size_t)result;
    connection->request[connection->length] = '\0';
    size_t body_length = 0;
    const char *body = whole_body(connection->request, connection->length, &body_length);
    if (body == NULL)
        return;
    if (strncmp(connection->request, "POST /post HTTP/1.1\r\n", 21) != 0 ||
        !has_header(connection->request, "\r\nContent-Type: application/json\r\n") ||
        has_header(connection->request, "\r\nExpect:"))
        atomic_fetch_add(&hub->bad_request_count, 1);
    snprintf(hub->last_body, sizeof hub->last_body, "%.*s", (int)body_length, body);
    connection->length = 0;
    if (!answer(hub, connection->fd))
        drop_connection(hub, index);
}

static void accept_one(struct hub *hub)
{
    int fd = accept4(hub->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    atomic_fetch_add(&hub->connection_count, 1);
    if (hub->used_count == CONNECTION_COUNT_MAX) {
        close(fd);
        return;
    }
    hub->connections[hub->used_count++] = (struct connection){.fd = fd, .request = malloc(REQUEST_BYTES_MAX)};
}

static void *run_hub(void *context)
{
    struct hub *hub = context;
    for (;;) {
        struct pollfd wanted[2 + CONNECTION_COUNT_MAX];
        size_t count = hub->used_count;
        wanted[0] = (struct pollfd){.fd = hub->stop_pipe[0], .events = POLLIN};
        wanted[1] = (struct pollfd){.fd = hub->listener, .events = POLLIN};
        for (size_t i = 0; i < count; i++)
            wanted[2 + i] = (struct pollfd){.fd = hub->connections[i].fd, .events = POLLIN};
        if (poll(wanted, 2 + count, LIMIT_MS) <= 0 || wanted[0].revents != 0)
            break;
        /* From the last to the first: a dropped one's place is taken by one that was looked at. */
        for (size_t i = count; i > 0; i--)
            if (wanted[1 + i].revents != 0)
                handle(hub, i - 1);
        if (wanted[1].revents != 0)
            accept_one(hub);
    }
    while (hub->used_count > 0)
        drop_connection(hub, 0);
    return NULL;
}

static struct hub *start_hub(enum manner manner, int http_status)
{
    struct hub *hub = calloc(1, sizeof *hub);
    assert_non_null(hub);
    hub->manner = manner;
    hub->http_status = http_status;
    hub->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in place = {.sin_family = AF_INET};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof place;
    assert_int_equal(bind(hub->listener, (struct sockaddr *)&place, sizeof place), 0);
    assert_int_equal(listen(hub->listener, CONNECTION_COUNT_MAX), 0);
    assert_int_equal(getsockname(hub->listener, (struct sockaddr *)&place, &bytes), 0);
    hub->port = ntohs(place.sin_port);
    assert_int_equal(pipe(hub->stop_pipe), 0);
    assert_int_equal(pthread_create(&hub->thread, NULL, run_hub, hub), 0);
    return hub;
}

/* Returns how many requests came. `last_body` may be NULL, else has room for 256 bytes. */
static unsigned stop_hub(struct hub *hub, char *last_body)
{
    assert_int_equal(write(hub->stop_pipe[1], "x", 1), 1);
    assert_int_equal(pthread_join(hub->thread, NULL), 0);
    assert_int_equal(hub->bad_request_count, 0);
    unsigned request_count = hub->request_count;
    if (last_body != NULL)
        memcpy(last_body, hub->last_body, sizeof hub->last_body);
    close(hub->listener);
    close(hub->stop_pipe[0]);
    close(hub->stop_pipe[1]);
    free(hub);
    return request_count;
}

/* ---- the poster's side ---- */

struct observations {
    _Atomic unsigned works_count, fails_count;
    char last_reason[256]; /* read after the close */
};

static void observe(void *context, int works, const char *reason)
{
    struct observations *seen = context;
    atomic_fetch_add(works ? &seen->works_count : &seen->fails_count, 1);
    snprintf(seen->last_reason, sizeof seen->last_reason, "%s", reason);
}

static struct http_poster *open_poster(uint16_t port, const struct http_post_times *times, struct observations *seen)
{
    char uri[64];
    snprintf(uri, sizeof uri, "http://127.0.0.1:%u/post", (unsigned)port);
    struct http_poster *poster = NULL;
    struct error error = {0};
    if (http_post_open_with(&poster, uri, times, seen != NULL ? observe : NULL, seen, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    return poster;
}

static void send_body(struct http_poster *poster, const char *body)
{
    http_post_send(poster, body, strlen(body));
}

/* Closes with time for everything that is pending. */
static void expect_counts(struct http_poster *poster, uint64_t delivered, uint64_t retried, uint64_t dropped)
{
    struct http_post_counts counts;
    http_post_close(&poster, LIMIT_MS * NS_PER_MS, &counts);
    assert_null(poster);
    assert_int_equal(counts.delivered_count, delivered);
    assert_int_equal(counts.retried_count, retried);
    assert_int_equal(counts.dropped_count, dropped);
}

static void test_delivers(void **state)
{
    (void)state;
    struct hub *hub = start_hub(ANSWERS, 200);
    struct observations seen = {0};
    struct http_poster *poster = open_poster(hub->port, &patient, &seen);
    send_body(poster, "{\"pipeline_key\": \"NODE_1\"}");
    expect_counts(poster, 1, 0, 0);
    char last_body[256];
    assert_int_equal(stop_hub(hub, last_body), 1);
    assert_string_equal(last_body, "{\"pipeline_key\": \"NODE_1\"}");
    assert_int_equal(seen.works_count, 1);
    assert_int_equal(seen.fails_count, 0);
}

static void test_many_share_connections(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct hub *hub = start_hub(ANSWERS, 204);
    struct http_poster *poster = open_poster(hub->port, &patient, NULL);
    char body[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(body, sizeof body, "{\"n\": %d}", i);
        send_body(poster, body);
        memset(body, 0, sizeof body); /* it was copied */
    }
    expect_counts(poster, COUNT, 0, 0);
    assert_in_range(hub->connection_count, 1, HTTP_POST_PARALLEL_MAX);
    assert_int_equal(stop_hub(hub, NULL), COUNT);
}

static void test_large_body_goes_at_once(void **state)
{
    (void)state;
    struct hub *hub = start_hub(ANSWERS, 200);
    struct http_poster *poster = open_poster(hub->port, &patient, NULL);
    static char body[1500000]; /* from 1 MiB on libcurl would ask for a 100 Continue first */
    memset(body, ' ', sizeof body);
    http_post_send(poster, body, sizeof body);
    http_post_send(poster, NULL, 0);
    expect_counts(poster, 2, 0, 0);
    assert_int_equal(stop_hub(hub, NULL), 2);
}

/* Status, how often it is tried. */
static void check_status(int http_status, unsigned try_count)
{
    struct hub *hub = start_hub(ANSWERS, http_status);
    struct observations seen = {0};
    struct http_poster *poster = open_poster(hub->port, &patient, &seen);
    send_body(poster, "{}");
    expect_counts(poster, 0, try_count - 1, 1);
    assert_int_equal(stop_hub(hub, NULL), try_count);
    assert_int_equal(seen.works_count, 0);
    assert_int_equal(seen.fails_count, 1);
    char number[16];
    snprintf(number, sizeof number, "%d", http_status);
    assert_non_null(strstr(seen.last_reason, number));
}

static void test_error_answers(void **state)
{
    (void)state;
    check_status(500, 3);
    check_status(503, 3);
    check_status(302, 3); /* not followed */
    check_status(408, 3);
    check_status(429, 3);
    check_status(400, 1);
    check_status(404, 1);
}

static void test_recovers(void **state)
{
    (void)state;
    struct hub *hub = start_hub(ANSWERS, 500);
    hub->recovers_after = 3;
    struct observations seen = {0};
    struct http_poster *poster = open_poster(hub->port, &patient, &seen);
    send_body(poster, "{\"the\": \"same\"}");
    expect_counts(poster, 1, 2, 0);
    char last_body[256];
    assert_int_equal(stop_hub(hub, last_body), 3);
    assert_string_equal(last_body, "{\"the\": \"same\"}");
    assert_int_equal(seen.fails_count, 1);
    assert_int_equal(seen.works_count, 1);
}

static void test_closes(void **state)
{
    (void)state;
    struct hub *hub = start_hub(CLOSES, 0);
    struct http_poster *poster = open_poster(hub->port, &patient, NULL);
    send_body(poster, "{}");
    expect_counts(poster, 0, 2, 1);
    assert_true(stop_hub(hub, NULL) >= 3);
}

static void test_refuses(void **state)
{
    (void)state;
    struct hub *hub = start_hub(ANSWERS, 200);
    uint16_t port = hub->port;
    stop_hub(hub, NULL);
    struct observations seen = {0};
    struct http_poster *poster = open_poster(port, &patient, &seen);
    send_body(poster, "{}");
    send_body(poster, "{}");
    expect_counts(poster, 0, 4, 2);
    assert_int_equal(seen.fails_count, 1);
    assert_true(strlen(seen.last_reason) > 0);
}

static void test_hangs(void **state)
{
    (void)state;
    struct hub *hub = start_hub(HANGS, 0);
    struct observations seen = {0};
    struct http_poster *poster = open_poster(hub->port, &hasty, &seen);
    send_body(poster, "{}");
    expect_counts(poster, 0, 2, 1);
    assert_int_equal(stop_hub(hub, NULL), 3);
    assert_int_equal(seen.fails_count, 1);
}

/* The hub has said 200: the post is delivered, whatever else it says. */
static void test_endless_answer(void **state)
{
    (void)state;
    struct hub *hub = start_hub(ANSWERS_LONG, 200);
    struct http_poster *poster = open_poster(hub->port, &patient, NULL);
    send_body(poster, "{}");
    expect_counts(poster, 1, 0, 0);
    assert_int_equal(stop_hub(hub, NULL), 1);
}

/* A hub that hangs: the sender goes on, what is pending is bounded, and the close takes no longer than it may. */
static void test_bounded_behind_a_hub_that_hangs(void **state)
{
    (void)state;
    enum { COUNT = HTTP_POST_PENDING_MAX + 100 };
    struct hub *hub = start_hub(HANGS, 0);
    /* No try ends within this test. */
    const struct http_post_times endless = {.try_ms = 600000, .back_off_ns = NS_PER_MS};
    struct http_poster *poster = open_poster(hub->port, &endless, NULL);
    for (int i = 0; i < COUNT; i++)
        send_body(poster, "{}");
    assert_int_equal(http_post_counts(poster).dropped_count, COUNT - HTTP_POST_PENDING_MAX);
    assert_int_equal(http_post_counts(poster).delivered_count, 0);
    struct http_post_counts counts;
    http_post_close(&poster, 20 * NS_PER_MS, &counts);
    assert_int_equal(counts.dropped_count, COUNT);
    assert_int_equal(counts.delivered_count, 0);
    assert_true(stop_hub(hub, NULL) <= HTTP_POST_PARALLEL_MAX);
}

static void test_close_without_posts(void **state)
{
    (void)state;
    struct error error = {0};
    struct http_poster *poster = NULL;
    assert_int_equal(http_post_open(&poster, "http://127.0.0.1:1/post", NULL, NULL, &error), STATUS_OK);
    expect_counts(poster, 0, 0, 0);
    poster = NULL;
    http_post_close(&poster, 0, NULL);
    assert_int_equal(http_post_open(&poster, "HTTP://127.0.0.1:1/post", NULL, NULL, &error), STATUS_OK);
    http_post_close(&poster, INT64_MAX, NULL);
}

static void test_two_posters(void **state)
{
    (void)state;
    struct hub *first = start_hub(ANSWERS, 200);
    struct hub *second = start_hub(HANGS, 0);
    struct http_poster *works = open_poster(first->port, &patient, NULL);
    struct http_poster *hangs = open_poster(second->port, &hasty, NULL);
    for (int i = 0; i < 10; i++) {
        send_body(works, "{\"to\": 1}");
        send_body(hangs, "{\"to\": 2}");
    }
    expect_counts(works, 10, 0, 0);
    expect_counts(hangs, 0, 20, 10);
    assert_int_equal(stop_hub(first, NULL), 10);
    assert_in_range(stop_hub(second, NULL), 10, 30); /* a try may end before the hub has seen it */
}

static void test_no_uri(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "127.0.0.1:5555",
                                        "ftp://127.0.0.1/",
                                        "http://",
                                        "http:///post",
                                        "file:///etc/passwd",
                                        "http://127.0.0.1:99999/",
                                        "http://a b/"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct http_poster *poster = NULL;
        struct error error = {0};
        assert_int_equal(http_post_open(&poster, texts[i], NULL, NULL, &error), STATUS_USAGE);
        assert_null(poster);
        assert_non_null(strstr(error.text, "http://HOST:PORT/PATH"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivers),
        cmocka_unit_test(test_many_share_connections),
        cmocka_unit_test(test_large_body_goes_at_once),
        cmocka_unit_test(test_error_answers),
        cmocka_unit_test(test_recovers),
        cmocka_unit_test(test_closes),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_endless_answer),
        cmocka_unit_test(test_bounded_behind_a_hub_that_hangs),
        cmocka_unit_test(test_close_without_posts),
        cmocka_unit_test(test_two_posters),
        cmocka_unit_test(test_no_uri),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
