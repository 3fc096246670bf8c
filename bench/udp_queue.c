/*
 * udp_queue: a queue for clients over UDP beside the limit, a bare server that echoes with recvmmsg and sendmmsg. The
 * client is the same code for both: one socket that keeps a window of commands unanswered and sends as many as were
 * answered. Neither client nor echo uses UDP_SEGMENT or UDP_GRO: the row is about clients as they are.
 *
 * A contest of PUTs alone, or GETs alone, goes in chunks; between them, outside of what is measured, the client empties
 * or fills the queue.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/limits/udp_echo.h"
#include "bench/measure.h"
#include "bench/sockets.h"
#include "bench/support.h"

enum {
    BATCH_COUNT = 64,
    DATAGRAM_BYTES = 2048,
    WINDOW_COUNT_MAX = 256,
    CHUNK_COUNT = 1 << 15,
    LATENCY_COUNT_MAX = 1 << 20, /* of one run; what comes after is not kept */
};

/* A run is this part of the time that is given, so that all contests together take as long as those of others. */
static const double run_share = 0.3;

/* What the client asks for in turn. */
enum kind { PUTS, GETS, MIX };

struct workload {
    enum kind kind;
    unsigned text_bytes;
    unsigned window;
    bool polls; /* the queue does, with --busy-poll */
};

/* ---- the client ---- */

struct batch {
    struct mmsghdr messages[BATCH_COUNT];
    struct iovec spans[BATCH_COUNT];
    char data[BATCH_COUNT][DATAGRAM_BYTES];
};

static void prepare(struct batch *batch, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        batch->spans[i] = (struct iovec){.iov_base = batch->data[i], .iov_len = DATAGRAM_BYTES};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_iov = &batch->spans[i], .msg_iovlen = 1};
    }
}

struct client {
    int fd;
    bool checks; /* the answers are a queue's */
    struct workload workload;
    char put_text[DATAGRAM_BYTES];
    size_t put_length;
    char get_text[8];
    struct batch batch;
    /* When the commands that are not answered yet were sent: number i at i modulo the size. Answers come in order. */
    int64_t sent_ns[WINDOW_COUNT_MAX];
    uint64_t sent_count, answered_count;
    double *latencies_ns;
    size_t latency_count;
};

static bool is_put(enum kind kind, uint64_t number)
{
    return kind == PUTS || (kind == MIX && number % 2 == 0);
}

static void send_commands(struct client *client, enum kind kind, uint64_t count)
{
    struct batch *batch = &client->batch;
    while (count > 0) {
        unsigned now = count < BATCH_COUNT ? (unsigned)count : BATCH_COUNT;
        prepare(batch, now);
        int64_t now_ns = bench_now_ns();
        for (unsigned i = 0; i < now; i++) {
            bool put = is_put(kind, client->sent_count);
            batch->spans[i].iov_base = put ? client->put_text : client->get_text;
            batch->spans[i].iov_len = put ? client->put_length : strlen(client->get_text);
            client->sent_ns[client->sent_count++ % WINDOW_COUNT_MAX] = now_ns;
        }
        if (sendmmsg(client->fd, batch->messages, now, 0) != (int)now)
            bench_fail("sendmmsg: %s", strerror(errno));
        count -= now;
    }
}

/* "2cPUT 128 bytes", or a message's text of zeros. */
static void check_answer(enum kind kind, uint64_t number, const char *data, size_t length)
{
    size_t header_length = (size_t)(data[0] - '0') + 1;
    if (length <= header_length || data[header_length] != (is_put(kind, number) ? 'P' : '0'))
        bench_fail("a wrong answer: '%.*s'", (int)length, data);
}

static void take_answers(struct client *client, enum kind kind, bool measured)
{
    struct batch *batch = &client->batch;
    prepare(batch, BATCH_COUNT);
    int count = recvmmsg(client->fd, batch->messages, BATCH_COUNT, MSG_WAITFORONE, NULL);
    if (count <= 0) /* a window fits into the sockets' buffers, so none may be lost */
        bench_fail("recvmmsg: %s", strerror(errno));
    int64_t now_ns = bench_now_ns();
    for (unsigned i = 0; i < (unsigned)count; i++, client->answered_count++) {
        int64_t sent_ns = client->sent_ns[client->answered_count % WINDOW_COUNT_MAX];
        if (measured && client->latency_count < LATENCY_COUNT_MAX)
            client->latencies_ns[client->latency_count++] = (double)(now_ns - sent_ns);
        if (client->checks)
            check_answer(kind, client->answered_count, batch->data[i], batch->messages[i].msg_len);
    }
}

/* Has `count_max` commands answered, or as many as `limit_ns` allows. Returns how long it took. */
static int64_t drive(struct client *client, enum kind kind, uint64_t window, uint64_t count_max, int64_t limit_ns,
                     bool measured)
{
    int64_t start_ns = bench_now_ns();
    client->sent_count = client->answered_count = 0;
    send_commands(client, kind, window < count_max ? window : count_max);
    bool time_is_up = false;
    while (client->answered_count < client->sent_count) {
        uint64_t before = client->answered_count;
        take_answers(client, kind, measured);
        time_is_up = time_is_up || bench_now_ns() - start_ns >= limit_ns;
        uint64_t more = client->answered_count - before;
        if (more > count_max - client->sent_count)
            more = count_max - client->sent_count;
        if (!time_is_up)
            send_commands(client, kind, more);
    }
    return bench_now_ns() - start_ns;
}

static void measure(struct client *client, double seconds, double *figures)
{
    const struct workload *workload = &client->workload;
    int64_t limit_ns = (int64_t)(seconds * run_share * 1e9);
    int64_t took_ns = 0;
    uint64_t answered_count = 0;
    while (took_ns < limit_ns) {
        if (workload->kind == GETS && client->checks)
            drive(client, PUTS, BATCH_COUNT, CHUNK_COUNT, INT64_MAX, false);
        uint64_t count_max = workload->kind == MIX ? UINT64_MAX : CHUNK_COUNT;
        took_ns += drive(client, workload->kind, workload->window, count_max, limit_ns - took_ns, true);
        answered_count += client->answered_count;
        if (workload->kind == PUTS && client->checks)
            drive(client, GETS, BATCH_COUNT, client->answered_count, INT64_MAX, false);
    }
    figures[0] = (double)answered_count / ((double)took_ns / 1e9);
    figures[1] = measure_percentile(client->latencies_ns, client->latency_count, 0.99);
}

static void run_client(const struct sockaddr_in *server, bool checks, const struct workload *workload, double seconds,
                       double *figures)
{
    struct sockaddr_in own;
    struct timeval timeout = {.tv_sec = 5};
    struct client *client = calloc(1, sizeof *client);
    double *latencies_ns = malloc(LATENCY_COUNT_MAX * sizeof *latencies_ns);
    if (client == NULL || latencies_ns == NULL)
        bench_fail("no memory");
    client->fd = bench_socket_bound(SOCK_DGRAM, &own);
    client->latencies_ns = latencies_ns;
    client->checks = checks;
    client->workload = *workload;
    memcpy(client->get_text, "13GET", sizeof "13GET");
    client->put_length = (size_t)snprintf(client->put_text, sizeof client->put_text, "3%03xPUT:%0*d",
                                          workload->text_bytes + 4, (int)workload->text_bytes, 0);
    if (connect(client->fd, (const struct sockaddr *)server, sizeof *server) != 0 ||
        setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0)
        bench_fail("connect: %s", strerror(errno));
    measure(client, seconds, figures);
    close(client->fd);
    free(latencies_ns);
    free(client);
}

/* ---- the contestants ---- */

static bool run_echo(void *context, double seconds, double *figures)
{
    struct sockaddr_in address;
    struct udp_echo *echo = udp_echo_open(&address);
    run_client(&address, false, context, seconds, figures);
    udp_echo_close(echo);
    return true;
}

static bool run_queue(void *context, double seconds, double *figures)
{
    struct sockaddr_in address;
    char text[32];
    struct bench_flags flags = {0};
    bench_socket_free_port(SOCK_DGRAM, &address);
    bench_socket_text(&address, text, sizeof text);
    if (((const struct workload *)context)->polls)
        bench_flags_add(&flags, "--busy-poll 0.00005");
    bench_flags_add(&flags, "--mq --address %s", text);
    millrace_launch *launch = bench_open(flags.count, flags.words);
    bench_start(launch);
    run_client(&address, true, context, seconds, figures);
    millrace_launch_close(&launch);
    bench_flags_free(&flags);
    return true;
}

static void contest(struct workload workload)
{
    static const char *const kind_names[] = {[PUTS] = "PUT", [GETS] = "GET", [MIX] = "PUT and GET in turn"};
    bool is_asked = workload.window >= 64;
    char name[128];
    snprintf(name, sizeof name, "%s, %u bytes, window %u%s", kind_names[workload.kind], workload.text_bytes,
             workload.window, workload.polls ? ", --busy-poll" : "");
    const struct measure_metric metrics[] = {
        {.name = "rate", .unit = "commands/s", .ratio = is_asked ? 1.0 : 0},
        {.name = "p99", .unit = "ns", .lower_is_better = true, .ratio = is_asked ? 1.2 : 0},
    };
    const struct measure_contestant contestants[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_queue, .context = &workload},
        {.name = "bare recvmmsg/sendmmsg echo", .role = MEASURE_LIMIT, .run = run_echo, .context = &workload},
    };
    measure_contest(&(struct measure_contest){
        .workload = name,
        .metrics = metrics,
        .metric_count = sizeof metrics / sizeof metrics[0],
        .contestants = contestants,
        .contestant_count = sizeof contestants / sizeof contestants[0],
    });
}

int main(int count, char **arguments)
{
    static const struct workload workloads[] = {
        {MIX, 128, 1, false},   {MIX, 128, 16, false},   {MIX, 128, 64, false}, {MIX, 128, 256, false},
        {MIX, 16, 64, false},   {MIX, 1400, 64, false},  {PUTS, 16, 64, false}, {PUTS, 16, 256, false},
        {PUTS, 128, 64, false}, {PUTS, 128, 256, false}, {GETS, 16, 64, false}, {GETS, 16, 256, false},
        {GETS, 128, 64, false}, {GETS, 128, 256, false}, {MIX, 128, 1, true},   {MIX, 128, 16, true},
    };
    measure_open(count, arguments);
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        contest(workloads[i]);
    return measure_close();
}
