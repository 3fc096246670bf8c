/* The command-line client: one command to a queue, one reply. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/log.h"
#include "net/lhhttt.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "nodes/commands/arguments.h"
#include "nodes/node_types.h"

static const char usage_line[] = "usage: millrace client [--timeout SECONDS] HOST:PORT COMMAND...";

struct client_config {
    int64_t timeout_ns;
};

static const struct option client_options[] = {
    {"timeout", OPTION_SECONDS, offsetof(struct client_config, timeout_ns), "2", 0.001, 86400, .value_name = "SECONDS",
     .help = "how long to wait for the reply; stands before the address"},
    {0},
};

/* One exchange. */
struct client {
    const struct address *address;
    const char *command;
    size_t command_length;
    int64_t timeout_ns, deadline_ns;
    bool ended; /* a reply came, or none will */
    enum status status;
    struct error error;
};

static void print_quoted(const char *what, const void *data, size_t length)
{
    CHECK(length < SIZE_MAX / 4 - 8);
    size_t bytes = 4 * length + 8;
    char *text = malloc(bytes);
    CHECK(text != NULL);
    printf("%s: '%s'\n", what, log_quote(data, length, text, bytes));
    free(text);
}

static void end(struct client *client, enum status status)
{
    client->ended = true;
    client->status = status;
}

static void fail(struct client *client, const char *why)
{
    end(client, error_set(&client->error, STATUS_SYSTEM, "%s", why));
}

static void print_sent(const struct client *client)
{
    print_quoted("Data sent", client->command, client->command_length);
    (void)fflush(stdout);
}

static void take_reply(struct client *client, const void *text, size_t length)
{
    print_quoted("Data received", text, length);
    end(client, STATUS_OK);
}

static void fail_late(struct client *client)
{
    end(client, error_set(&client->error, STATUS_SYSTEM, "no reply within %g s",
                          (double)client->timeout_ns / (double)NS_PER_S));
}

/* ---- UDP ---- */

static void take_datagram(void *context, const void *data, size_t length, const struct udp_peer *peer)
{
    struct client *client = context;
    const void *text;
    size_t text_length;
    (void)peer;
    if (client->ended)
        return;
    if (lhhttt_read_datagram(data, length, &text, &text_length) == STATUS_OK)
        take_reply(client, text, text_length);
    else
        fail(client, "the reply is no LHHTTT frame");
}

static void send_datagram(struct client *client, struct udp_socket *socket)
{
    char header[LHHTTT_HEADER_BYTES_MAX];
    size_t header_length = lhhttt_write_header(client->command_length, header);
    if (udp_send(socket, NULL, header, header_length, client->command, client->command_length) != STATUS_OK)
        fail(client, "the command is too long for a datagram; a tcp:// address takes it");
    else if (udp_flush(socket) != STATUS_OK || udp_counts(socket)->send_failed_count > 0)
        fail(client, "the system refuses to send there");
    else
        print_sent(client);
}

static void ask_udp(struct client *client)
{
    struct udp_socket *socket;
    enum status status = udp_open_connected(&socket, client->address, &client->error);
    if (status != STATUS_OK) {
        end(client, status);
        return;
    }
    send_datagram(client, socket);
    while (!client->ended) {
        int64_t left_ns = client->deadline_ns - clock_monotonic_ns();
        if (left_ns <= 0) {
            fail_late(client);
            break;
        }
        struct pollfd descriptor = {.fd = udp_fd(socket), .events = POLLIN};
        struct timespec timeout = {.tv_sec = left_ns / NS_PER_S, .tv_nsec = (long)(left_ns % NS_PER_S)};
        size_t count = 0;
        if (ppoll(&descriptor, 1, &timeout, NULL) > 0)
            status = udp_receive(socket, take_datagram, client, &count, &client->error);
        if (status == STATUS_CLOSED)
            fail(client, "nobody listens there");
        else if (status != STATUS_OK)
            end(client, status);
    }
    udp_close(&socket);
}

/* ---- TCP ---- */

static void connected(void *context, struct tcp_stream *stream)
{
    struct client *client = context;
    tcp_send(stream, client->command, client->command_length, NULL, 0);
    print_sent(client);
}

static void take_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct client *client = context;
    (void)stream;
    if (!client->ended)
        take_reply(client, text, length);
}

static void disconnected(void *context, struct tcp_stream *stream, enum tcp_end how, const char *why)
{
    struct client *client = context;
    (void)stream;
    if (client->ended)
        return;
    if (how == TCP_END_REFUSED)
        end(client, error_set(&client->error, STATUS_SYSTEM, "nobody listens there: %s", why));
    else
        end(client, error_set(&client->error, STATUS_SYSTEM, "the connection ended without a reply: %s", why));
}

static void ask_tcp(struct client *client)
{
    struct poller *poller = NULL;
    struct tcp_client *connection = NULL;
    struct tcp_limits limits = {.frame_bytes_max = 1 << 30, .unsent_bytes_max = SIZE_MAX};
    struct tcp_handlers handlers = {
        .opened = connected, .frame = take_frame, .closed = disconnected, .context = client};
    enum status status = poller_open(&poller, &client->error);
    if (status == STATUS_OK)
        status = tcp_client_open(&connection, client->address, poller, &limits, &handlers, &client->error);
    if (status != STATUS_OK)
        end(client, status);
    while (!client->ended) {
        int64_t now_ns = clock_monotonic_ns();
        int64_t next_ns = tcp_client_step(connection, now_ns);
        if (client->ended)
            break;
        if (now_ns >= client->deadline_ns) {
            fail_late(client);
            break;
        }
        next_ns = next_ns < client->deadline_ns ? next_ns : client->deadline_ns;
        (void)poller_wait(poller, next_ns > now_ns ? next_ns - now_ns : 0);
        if (!client->ended)
            tcp_client_flush(connection);
    }
    tcp_client_close(&connection);
    poller_close(&poller);
}

/* ---- the command ---- */

/* The words with one blank between them; the caller frees it. */
static char *join(int count, char **words, size_t *length)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += strlen(words[i]) + 1;
    char *joined = malloc(bytes);
    CHECK(joined != NULL);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        size_t word_length = strlen(words[i]);
        memcpy(joined + used, words[i], word_length);
        used += word_length;
        joined[used++] = ' ';
    }
    *length = used - 1; /* without the last blank */
    return joined;
}

static int ask(const struct client_config *config, const struct address *address, int count, char **words)
{
    struct client client = {.address = address, .timeout_ns = config->timeout_ns};
    char *command = join(count, words, &client.command_length);
    client.command = command;
    client.deadline_ns = clock_monotonic_ns() + config->timeout_ns;
    (address->scheme == ADDRESS_TCP ? ask_tcp : ask_udp)(&client);
    free(command);
    if (client.status != STATUS_OK) {
        fprintf(stderr, "millrace: client: %s: %s\n", address->text, client.error.text);
        return 1;
    }
    puts("Socket closed.");
    return 0;
}

static int run(int count, char **arguments)
{
    struct client_config config = {0};
    struct address address;
    struct error error = {0};
    int used;
    enum status status = command_arguments_parse(client_options, &config, count, arguments, &used, &error);
    if (status == STATUS_OK && count - used < 2)
        status = error_set(&error, STATUS_USAGE, "needs an address and a command");
    if (status == STATUS_OK)
        status = address_parse(arguments[used], &address, &error);
    if (status == STATUS_OK && address.scheme == ADDRESS_NAME)
        status = error_set(&error, STATUS_USAGE, "'%s' is a name inside a launch; write HOST:PORT", address.text);
    if (status != STATUS_OK) {
        fprintf(stderr, "millrace: client: %s\n%s\n", error.text, usage_line);
        return 2;
    }
    return ask(&config, &address, count - used - 1, arguments + used + 1);
}

const struct command client_command = {
    .name = "client",
    .usage = "[--timeout SECONDS] HOST:PORT COMMAND...",
    .summary = "send one command to a queue and print the reply",
    .options = client_options,
    .run = run,
};
