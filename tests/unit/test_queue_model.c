/* The queue against a model: random commands, lease times that run out, dead letters, every way to overflow; after each
 * step the answer is the model's and the ledger adds up. A seed in the arguments runs that one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/random.h"
#include "net/lhhttt.h"
#include "nodes/node_types.h"
#include "nodes/queue/queue_private.h"
#include "tests/support/stepped_launch.h"

enum { MESSAGE_MAX = 4096, CAPACITY = 12, DELIVERIES_MAX = 3, STEP_COUNT = 3000, SEED_COUNT = 6, TEXT_MAX = 1024 };
enum { SHORT_LEASE_S = 100, JUMP_S = 1000, LONG_LEASE_S = 80000 };

enum place { GONE, WAITS, OUT };

struct model_message {
    enum place place;
    bool is_long; /* its lease */
    uint32_t deliveries;
    char token[48]; /* of the last delivery */
};

struct model {
    struct model_message messages[MESSAGE_MAX]; /* in the order of their numbers */
    size_t count;
    uint64_t out_count, dead_count, dropped_count;
};

struct fixture {
    struct stepped_launch launch;
    struct node *node;
    int fd;
    struct sockaddr_in place;
    struct model *model;
    struct random_state random;
    const char *overflow;
    char answer[TEXT_MAX];
};

/* ---- talking to it ---- */

static const char *ask(struct fixture *fixture, const char *command)
{
    char frame[TEXT_MAX];
    size_t header_length = lhhttt_write_header(strlen(command), frame);
    memcpy(frame + header_length, command, strlen(command));
    size_t length = header_length + strlen(command);
    assert_int_equal(sendto(fixture->fd, frame, length, 0, (struct sockaddr *)&fixture->place, sizeof fixture->place),
                     length);
    ssize_t got = -1;
    STEPPED_WAIT(&fixture->launch, (got = recv(fixture->fd, frame, sizeof frame, MSG_DONTWAIT)) >= 0);
    const void *text;
    size_t text_length;
    assert_int_equal(lhhttt_read_datagram(frame, (size_t)got, &text, &text_length), STATUS_OK);
    snprintf(fixture->answer, sizeof fixture->answer, "%.*s", (int)text_length, (const char *)text);
    return fixture->answer;
}

/* ---- the model ---- */

static size_t count_of(const struct model *model, enum place place)
{
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++)
        count += model->messages[i].place == place ? 1 : 0;
    return count;
}

static struct model_message *oldest(struct model *model)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->messages[i].place == WAITS)
            return &model->messages[i];
    return NULL;
}

static void put(struct fixture *fixture)
{
    struct model *model = fixture->model;
    bool full = count_of(model, WAITS) + count_of(model, OUT) >= CAPACITY;
    struct model_message *first = oldest(model);
    char command[64];
    snprintf(command, sizeof command, "PUT:m%zu", model->count);
    const char *answer = ask(fixture, command);
    bool dropped_newest = full && strcmp(fixture->overflow, "drop-newest") == 0;
    bool dropped_oldest = full && strcmp(fixture->overflow, "drop-oldest") == 0 && first != NULL;
    if (full && !dropped_newest && !dropped_oldest) {
        assert_string_equal(answer, "ERR queue full");
        return;
    }
    assert_int_equal(strncmp(answer, "PUT ", 4), 0);
    if (dropped_oldest)
        first->place = GONE;
    model->dropped_count += full ? 1 : 0;
    if (!dropped_newest)
        model->messages[model->count++] = (struct model_message){.place = WAITS};
}

static void get(struct fixture *fixture)
{
    struct model *model = fixture->model;
    struct model_message *first = oldest(model);
    const char *answer = ask(fixture, "GET");
    char expected[32] = "";
    if (first != NULL) {
        snprintf(expected, sizeof expected, "m%td", first - model->messages);
        first->place = GONE;
        model->out_count++;
    }
    assert_string_equal(answer, expected);
}

static void lease(struct fixture *fixture, bool is_long)
{
    struct model *model = fixture->model;
    struct model_message *first = oldest(model);
    char command[32];
    snprintf(command, sizeof command, "LEASE:%d", is_long ? LONG_LEASE_S : SHORT_LEASE_S);
    const char *answer = ask(fixture, command);
    if (first == NULL) {
        assert_string_equal(answer, "");
        return;
    }
    char expected[64];
    snprintf(expected, sizeof expected, ":%u:m%td", ++first->deliveries, first - model->messages);
    const char *colon = strchr(answer, ':');
    assert_non_null(colon);
    assert_string_equal(colon, expected);
    snprintf(first->token, sizeof first->token, "%.*s", (int)(colon - answer), answer);
    first->place = OUT;
    first->is_long = is_long;
}

static void come_back(struct model *model, struct model_message *message)
{
    bool given_up = message->deliveries >= DELIVERIES_MAX;
    message->place = given_up ? GONE : WAITS;
    model->dead_count += given_up ? 1 : 0;
}

/* An ACK, NACK or EXTEND of any message that was on lease once. */
static void end_lease(struct fixture *fixture, const char *verb, const char *end)
{
    struct model *model = fixture->model;
    struct model_message *message = NULL;
    for (int tries = 0; tries < 50 && message == NULL && model->count > 0; tries++) {
        size_t from = model->count > 40 ? model->count - 40 : 0;
        struct model_message *one = &model->messages[from + random_below(&fixture->random, model->count - from)];
        message = one->place == OUT || (one->place == WAITS && one->deliveries > 0) ? one : NULL;
    }
    if (message == NULL)
        return;
    char command[96];
    snprintf(command, sizeof command, "%s:%s%s", verb, message->token, end);
    const char *answer = ask(fixture, command);
    bool is_out = message->place == OUT;
    if (strcmp(verb, "EXTEND") == 0) {
        assert_string_equal(answer, is_out ? "OK" : "ERR lease is over");
        message->is_long = message->is_long || is_out;
        return;
    }
    assert_string_equal(answer, "OK");
    if (strcmp(verb, "ACK") == 0) {
        message->place = GONE;
        model->out_count++;
        assert_string_equal(ask(fixture, command), "OK"); /* its answer may have been lost */
    } else if (is_out) {
        come_back(model, message);
        assert_string_equal(ask(fixture, command), "OK");
    }
}

/* The short leases run out. */
static void jump(struct fixture *fixture)
{
    struct model *model = fixture->model;
    int64_t before_ns = fixture->launch.now_ns;
    fixture->launch.now_ns = clock_monotonic_ns() + JUMP_S * NS_PER_S;
    stepped_turn(&fixture->launch, fixture->node);
    fixture->launch.now_ns = before_ns;
    for (size_t i = 0; i < model->count; i++)
        if (model->messages[i].place == OUT && !model->messages[i].is_long)
            come_back(model, &model->messages[i]);
}

static void check(struct fixture *fixture)
{
    const struct queue *queue = fixture->node->state;
    const struct model *model = fixture->model;
    const struct node_stats *stats = fixture->node->stats;
    assert_true(contents_imbalance(queue) == 0);
    assert_int_equal(contents_takeable_count(queue), count_of(model, WAITS));
    assert_int_equal(stats_get(&stats->out_count), model->out_count);
    assert_int_equal(stats_get(&stats->counters[COUNTER_DROPPED_OLDEST]) +
                         stats_get(&stats->counters[COUNTER_DROPPED_NEWEST]),
                     model->dropped_count);
    assert_int_equal(contents_in_flight_count(queue) + stats_get(&stats->counters[COUNTER_DEAD_LETTERED]) +
                         stats_get(&stats->counters[COUNTER_UNDELIVERABLE]),
                     count_of(model, OUT) + model->dead_count);
}

static void random_step(struct fixture *fixture)
{
    uint64_t kind = random_below(&fixture->random, 100);
    if (kind < 35)
        put(fixture);
    else if (kind < 42)
        get(fixture);
    else if (kind < 67)
        lease(fixture, kind < 55);
    else if (kind < 82)
        end_lease(fixture, "ACK", "");
    else if (kind < 92)
        end_lease(fixture, "NACK", random_below(&fixture->random, 2) == 0 ? "" : ":a: reason");
    else if (kind < 96)
        end_lease(fixture, "EXTEND", ":80000");
    else
        jump(fixture);
}

static void run(uint64_t seed, const char *overflow, bool dead_letter)
{
    const char *const flags[] = {"--mq",        "--address",
                                 "127.0.0.1:0", "--capacity",
                                 "12",          "--max-deliveries",
                                 "3",           "--overflow",
                                 overflow,      dead_letter ? "--dead-letter" : NULL,
                                 "dead",        "--mq",
                                 "--address",   "dead",
                                 NULL};
    struct fixture fixture = {.overflow = overflow, .model = calloc(1, sizeof *fixture.model)};
    struct error error = {0};
    assert_non_null(fixture.model);
    if (stepped_open(&fixture.launch, flags, NULL, NULL, false, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    fixture.node = fixture.launch.nodes[0];
    fixture.place = stepped_listening_place(SOCK_DGRAM);
    fixture.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    random_seed(&fixture.random, seed);
    for (int step = 0; step < STEP_COUNT && fixture.model->count < MESSAGE_MAX - 1; step++) {
        random_step(&fixture);
        check(&fixture);
    }
    if (dead_letter) /* none was lost on the way */
        STEPPED_WAIT(&fixture.launch,
                     stats_get(&fixture.launch.nodes[1]->stats->in_count) == fixture.model->dead_count);
    assert_true(fixture.model->dead_count > 0);
    assert_non_null(strstr(ask(&fixture, "STATS"), "\"name\""));
    close(fixture.fd);
    stepped_close(&fixture.launch);
    free(fixture.model);
}

static void test_against_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run(seed, "reject", true);
        run(seed, "drop-oldest", true);
        run(seed, "drop-newest", false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
