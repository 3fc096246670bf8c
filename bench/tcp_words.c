#include "bench/tcp_words.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/support.h"

/* ---- LHHTTT frames ---- */

static size_t frame_put(char *text, size_t room, unsigned text_bytes)
{
    return (size_t)snprintf(text, room, "3%03xPUT:%0*d", text_bytes + 4, (int)text_bytes, 0);
}

static size_t frame_get(char *text, size_t room)
{
    return (size_t)snprintf(text, room, "13GET");
}

static size_t hex_value(char digit)
{
    return (size_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static size_t frame_bytes(const char *data, size_t length)
{
    if (length == 0)
        return 0;
    size_t header_bytes = 1 + hex_value(data[0]);
    size_t text_bytes = 0;
    if (length < header_bytes)
        return 0;
    for (size_t i = 1; i < header_bytes; i++)
        text_bytes = text_bytes * 16 + hex_value(data[i]);
    return length - header_bytes >= text_bytes ? header_bytes + text_bytes : 0;
}

/* ---- redis ---- */

static size_t redis_put(char *text, size_t room, unsigned text_bytes)
{
    return (size_t)snprintf(text, room, "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$%u\r\n%0*d\r\n", text_bytes, (int)text_bytes,
                            0);
}

static size_t redis_get(char *text, size_t room)
{
    return (size_t)snprintf(text, room, "*2\r\n$4\r\nRPOP\r\n$1\r\nq\r\n");
}

/* ":1\r\n" and "$16\r\n0000000000000000\r\n"; "$-1\r\n" for an empty list. */
static size_t redis_answer_bytes(const char *data, size_t length)
{
    const char *end = length > 0 ? memchr(data, '\n', length) : NULL;
    if (end == NULL)
        return 0;
    size_t line_bytes = (size_t)(end - data) + 1;
    if (data[0] != '$' || data[1] == '-')
        return line_bytes;
    size_t text_bytes = 0;
    for (const char *digit = data + 1; *digit != '\r'; digit++)
        text_bytes = text_bytes * 10 + (size_t)(*digit - '0');
    return length - line_bytes >= text_bytes + 2 ? line_bytes + text_bytes + 2 : 0;
}

/* ---- NATS ---- */

/* Says `words` and waits for `last`, so that nothing of it is among the answers that are counted. */
static void nats_say(int fd, const char *words, const char *last)
{
    char heard[4096] = "";
    size_t length = 0;
    if (send(fd, words, strlen(words), MSG_NOSIGNAL) != (ssize_t)strlen(words))
        bench_fail("nats-server takes no greeting");
    while (length < strlen(last) || memcmp(heard + length - strlen(last), last, strlen(last)) != 0) {
        ssize_t result = recv(fd, heard + length, sizeof heard - length, 0);
        if (result <= 0)
            bench_fail("nats-server answers no greeting");
        length += (size_t)result;
    }
}

static void nats_greet(int fd)
{
    nats_say(fd, "CONNECT {\"verbose\":false}\r\nSUB q 1\r\nCONNECT {\"verbose\":true}\r\nPING\r\n", "PONG\r\n");
}

static size_t nats_put(char *text, size_t room, unsigned text_bytes)
{
    return (size_t)snprintf(text, room, "PUB q %u\r\n%0*d\r\n", text_bytes, (int)text_bytes, 0);
}

/* The message comes unasked. */
static size_t nats_get(char *text, size_t room)
{
    (void)text, (void)room;
    return 0;
}

/* "+OK\r\n" and "MSG q 1 16\r\n0000000000000000\r\n"; now and then a "PING\r\n" before them, which is no answer. */
static size_t nats_answer_bytes(const char *data, size_t length)
{
    static const char ping[] = "PING\r\n";
    if (length >= strlen(ping) && memcmp(data, ping, strlen(ping)) == 0) {
        size_t bytes = nats_answer_bytes(data + strlen(ping), length - strlen(ping));
        return bytes > 0 ? strlen(ping) + bytes : 0;
    }
    const char *end = length > 0 ? memchr(data, '\n', length) : NULL;
    if (end == NULL)
        return 0;
    size_t line_bytes = (size_t)(end - data) + 1;
    if (data[0] == '-')
        bench_fail("nats-server: %.*s", (int)line_bytes, data);
    if (data[0] != 'M')
        return line_bytes;
    size_t text_bytes = 0;
    size_t unit = 1;
    for (const char *digit = end - 2; *digit != ' '; digit--, unit *= 10)
        text_bytes += unit * (size_t)(*digit - '0');
    return length - line_bytes >= text_bytes + 2 ? line_bytes + text_bytes + 2 : 0;
}

/* ---- NATS JetStream ---- */

/* Makes the stream, whose answer comes to the same inbox as the acknowledgements that are counted. */
static void jetstream_greet(int fd)
{
    static const char stream[] = "{\"name\":\"S\",\"subjects\":[\"q\"],\"storage\":\"file\"}";
    char words[512];
    snprintf(words, sizeof words,
             "CONNECT {\"verbose\":false}\r\nSUB made 1\r\nPUB $JS.API.STREAM.CREATE.S made %zu\r\n%s\r\n",
             strlen(stream), stream);
    nats_say(fd, words, "}\r\n");
    nats_say(fd, "UNSUB 1\r\nSUB inbox 2\r\nPING\r\n", "PONG\r\n");
}

static size_t jetstream_put(char *text, size_t room, unsigned text_bytes)
{
    return (size_t)snprintf(text, room, "PUB q inbox %u\r\n%0*d\r\n", text_bytes, (int)text_bytes, 0);
}

const struct tcp_words tcp_words_frames = {.put = frame_put, .get = frame_get, .answer_bytes = frame_bytes};
const struct tcp_words tcp_words_redis = {.put = redis_put, .get = redis_get, .answer_bytes = redis_answer_bytes};
const struct tcp_words tcp_words_nats = {
    .greet = nats_greet, .put = nats_put, .get = nats_get, .answer_bytes = nats_answer_bytes};
const struct tcp_words tcp_words_jetstream = {
    .greet = jetstream_greet, .put = jetstream_put, .get = nats_get, .answer_bytes = nats_answer_bytes};
