/* leases.c and lease_token.c: what each call does to each place, tokens of all ages, hostile tokens, and random
 * commands against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/queue/leases.h"

#define EPOCH UINT32_C(0x0badcafe)

static struct leases *open_leases(uint32_t epoch)
{
    struct leases *leases = NULL;
    struct error error = {0};
    assert_int_equal(leases_open(&leases, epoch, &error), STATUS_OK);
    return leases;
}

static struct lease_message message_of(uint64_t sequence, const char *text)
{
    return (struct lease_message){.sequence = sequence,
                                  .deliveries = 1,
                                  .length = (uint32_t)strlen(text),
                                  .text = text,
                                  .put_ns = (int64_t)sequence,
                                  .first_wall_ns = 1000};
}

static struct lease *add_out(struct leases *leases, uint64_t sequence, int64_t deadline_ns)
{
    struct lease_message message = message_of(sequence, "text");
    struct lease *lease = NULL;
    struct error error = {0};
    assert_int_equal(leases_add_out(leases, &message, deadline_ns, &lease, &error), STATUS_OK);
    return lease;
}

struct token {
    char text[LEASE_TOKEN_BYTES_MAX];
    size_t length;
};

static struct token token_of(const struct leases *leases, const struct lease *lease)
{
    struct token token;
    token.length = leases_write_token(leases, lease, token.text);
    assert_true(token.length <= LEASE_TOKEN_BYTES_MAX);
    return token;
}

static enum lease_find find(const struct leases *leases, const struct token *token, struct lease **lease)
{
    return leases_find(leases, token->text, token->length, lease);
}

static enum lease_find find_text(const struct leases *leases, const char *text)
{
    struct lease *lease;
    return leases_find(leases, text, strlen(text), &lease);
}

static void test_token_text(void **state)
{
    (void)state;
    struct leases *leases = open_leases(EPOCH);
    struct token token = token_of(leases, add_out(leases, 120, 5));
    assert_int_equal(token.length, strlen("0badcafe.120.1"));
    assert_memory_equal(token.text, "0badcafe.120.1", token.length);
    assert_int_equal(find_text(leases, "0badcafe.120.1"), LEASE_FIND_OUT);

    struct lease_token longest = {UINT32_MAX, UINT32_MAX, UINT64_MAX};
    struct lease_token read;
    char text[LEASE_TOKEN_BYTES_MAX];
    assert_int_equal(lease_token_write(&longest, text), LEASE_TOKEN_BYTES_MAX);
    assert_true(lease_token_read(text, sizeof text, &read));
    assert_true(read.epoch == UINT32_MAX && read.deliveries == UINT32_MAX && read.sequence == UINT64_MAX);

    static const char *const wrong[] = {
        "",
        ".",
        "0badcafe",
        "0badcafe.",
        "0badcafe..",
        "0badcafe.120",
        "0badcafe.120.",
        "0badcafe..1",
        "0badcafe.120.1.",
        "0badcafe.120.1 ",
        " 0badcafe.120.1",
        "0badcafe.120.01",
        "0badcafe.0120.1",
        "0badcafe.+120.1",
        "0badcafe.-120.1",
        "0badcafe.0.1",
        "0badcafe.120.0",
        "0badcafe.12x.1",
        "0BADCAFE.120.1",
        "badcafe.120.1",
        "00badcafe.120.1",
        "0badcafg.120.1",
        "0badcafe.120.4294967297",
        "0badcafe.18446744073709551736.1",
        "0badcafe.99999999999999999999.1",
        "0badcafe.118446744073709551616.1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(lease_token_read(wrong[i], strlen(wrong[i]), &read));
        assert_int_equal(find_text(leases, wrong[i]), LEASE_FIND_UNKNOWN);
    }
    assert_false(lease_token_read("\0badcafe.120.1", 14, &read));
    leases_close(&leases);
    assert_null(leases);
    leases_close(&leases);
}

static void test_a_token_s_life(void **state)
{
    (void)state;
    struct leases *leases = open_leases(EPOCH);
    struct lease *found;
    struct lease *lease = add_out(leases, 7, 100);
    struct token first = token_of(leases, lease);
    assert_int_equal(find(leases, &first, &found), LEASE_FIND_OUT);
    assert_ptr_equal(found, lease);
    assert_int_equal(find_text(leases, "0badcafe.7.2"), LEASE_FIND_UNKNOWN); /* not given out yet */
    assert_int_equal(find_text(leases, "0badcafe.8.1"), LEASE_FIND_UNKNOWN);
    assert_int_equal(find_text(leases, "0badcaff.7.1"), LEASE_FIND_UNKNOWN); /* of another life */

    leases_return(leases, lease, "no", 2);
    assert_int_equal(find(leases, &first, &found), LEASE_FIND_RETURNED);
    assert_ptr_equal(found, lease);
    leases_lease_again(leases, lease, 200, 2000);
    assert_int_equal(lease->deliveries, 2);
    assert_int_equal(lease->first_wall_ns, 1000);
    struct token second = token_of(leases, lease);
    assert_int_equal(find(leases, &first, &found), LEASE_FIND_STALE);
    assert_null(found);
    assert_int_equal(find(leases, &second, &found), LEASE_FIND_OUT);

    leases_end(leases, &lease, LEASE_END_ACKNOWLEDGED);
    assert_null(lease);
    assert_int_equal(find(leases, &second, &found), LEASE_FIND_ACKNOWLEDGED);
    assert_null(found);
    assert_int_equal(find(leases, &first, &found), LEASE_FIND_STALE);
    assert_int_equal(find_text(leases, "0badcafe.7.3"), LEASE_FIND_UNKNOWN);

    lease = add_out(leases, 8, 100);
    struct token refused = token_of(leases, lease);
    leases_give_up(leases, lease, "bad", 3);
    assert_int_equal(find(leases, &refused, &found), LEASE_FIND_GIVEN_UP);
    assert_ptr_equal(found, lease);
    leases_end(leases, &lease, LEASE_END_GIVEN_UP);
    assert_int_equal(find(leases, &refused, &found), LEASE_FIND_GIVEN_UP);
    assert_null(found);

    lease = add_out(leases, 9, 100);
    struct token taken = token_of(leases, lease);
    leases_return(leases, lease, NULL, 0);
    leases_end(leases, &lease, LEASE_END_TAKEN);
    assert_int_equal(find(leases, &taken, &found), LEASE_FIND_UNKNOWN);
    assert_int_equal(leases_count(leases), 0);
    leases_close(&leases);
}

static void test_order_of_each_place(void **state)
{
    (void)state;
    struct leases *leases = open_leases(EPOCH);
    assert_true(leases_next_deadline_ns(leases) == INT64_MAX);
    assert_null(leases_first_expired(leases, INT64_MAX));
    struct lease *a = add_out(leases, 1, 300);
    struct lease *b = add_out(leases, 2, 100);
    struct lease *c = add_out(leases, 3, 100);
    assert_true(leases_next_deadline_ns(leases) == 100);
    assert_null(leases_first_expired(leases, 99));
    assert_ptr_equal(leases_first_expired(leases, 100), b);
    leases_extend(leases, b, 400);
    assert_ptr_equal(leases_first_expired(leases, 100), c);
    leases_return(leases, c, "slow", 4);
    assert_null(leases_first_expired(leases, 299));
    assert_ptr_equal(leases_first_expired(leases, 500), a);
    leases_return(leases, a, "slow", 4);
    assert_ptr_equal(leases_first_expired(leases, 500), b);
    leases_return(leases, b, "slow", 4);
    assert_true(leases_place_count(leases, LEASE_OUT) == 0 && leases_place_count(leases, LEASE_RETURNED) == 3);

    /* Back in their old order, whatever the order of their return. */
    assert_ptr_equal(leases_first_returned(leases), a);
    leases_lease_again(leases, a, 1000, 0);
    assert_ptr_equal(leases_first_returned(leases), b);
    leases_return(leases, a, NULL, 0);
    assert_ptr_equal(leases_first_returned(leases), a);

    leases_give_up(leases, c, "x", 1);
    leases_give_up(leases, a, "x", 1);
    assert_ptr_equal(leases_first_given_up(leases), c);
    assert_ptr_equal(leases_first_returned(leases), b);
    leases_end(leases, &c, LEASE_END_GIVEN_UP);
    assert_ptr_equal(leases_first_given_up(leases), a);
    leases_end(leases, &a, LEASE_END_GIVEN_UP);
    assert_null(leases_first_given_up(leases));
    leases_give_up(leases, b, "x", 1);
    assert_ptr_equal(leases_first_given_up(leases), b);
    assert_true(leases_text_bytes(leases) == 4 && leases_count(leases) == 1);
    leases_close(&leases); /* with one inside */
}

static void test_texts_and_reasons_are_copied_and_bounded(void **state)
{
    (void)state;
    struct leases *leases = open_leases(EPOCH);
    char text[] = "changes";
    struct lease_message message = message_of(3, text);
    struct lease *lease;
    struct error error = {0};
    message.deliveries = 0;
    assert_int_equal(leases_add_returned(leases, &message, &lease, &error), STATUS_OK);
    text[0] = 'X';
    assert_memory_equal(lease->text, "changes", 7);
    assert_int_equal(find_text(leases, "0badcafe.3.1"), LEASE_FIND_UNKNOWN);
    leases_lease_again(leases, lease, 10, 77);
    assert_int_equal(lease->first_wall_ns, 77); /* now for the first time */
    char reason[1000];
    memset(reason, 'r', sizeof reason);
    leases_return(leases, lease, reason, sizeof reason);
    assert_int_equal(lease->reason_length, LEASE_REASON_BYTES_MAX);
    leases_lease_again(leases, lease, 10, 78);
    assert_int_equal(lease->first_wall_ns, 77);
    leases_return(leases, lease, "short", 5);
    assert_int_equal(lease->reason_length, 5);
    assert_memory_equal(lease->reason, "short", 5);
    message = message_of(4, "");
    assert_int_equal(leases_add_out(leases, &message, 1, &lease, &error), STATUS_OK);
    leases_close(&leases);
}

static void test_remembers_so_many_ends(void **state)
{
    (void)state;
    struct leases *leases = open_leases(EPOCH);
    enum { MORE = 1000 };
    for (uint64_t sequence = 1; sequence <= LEASES_ENDED_COUNT_MAX + MORE; sequence++) {
        struct lease *lease = add_out(leases, sequence, 1);
        leases_end(leases, &lease, LEASE_END_ACKNOWLEDGED);
    }
    char text[64];
    (void)snprintf(text, sizeof text, "0badcafe.%d.1", MORE);
    assert_int_equal(find_text(leases, text), LEASE_FIND_UNKNOWN);
    (void)snprintf(text, sizeof text, "0badcafe.%d.1", MORE + 1);
    assert_int_equal(find_text(leases, text), LEASE_FIND_ACKNOWLEDGED);
    (void)snprintf(text, sizeof text, "0badcafe.%d.1", LEASES_ENDED_COUNT_MAX + MORE);
    assert_int_equal(find_text(leases, text), LEASE_FIND_ACKNOWLEDGED);
    leases_close(&leases);
}

static void test_many_at_once(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct leases *leases = open_leases(EPOCH);
    for (uint64_t sequence = 1; sequence <= COUNT; sequence++)
        (void)add_out(leases, sequence, (int64_t)(sequence * UINT64_C(2654435761) % 1000003));
    int64_t before_ns = -1;
    for (int i = 0; i < COUNT; i++) {
        struct lease *lease = leases_first_expired(leases, INT64_MAX);
        assert_true(lease->deadline_ns >= before_ns);
        before_ns = lease->deadline_ns;
        leases_return(leases, lease, NULL, 0);
    }
    for (uint64_t sequence = 1; sequence <= COUNT; sequence++) {
        struct lease *lease = leases_first_returned(leases);
        assert_int_equal(lease->member.sequence, sequence);
        leases_end(leases, &lease, LEASE_END_ACKNOWLEDGED);
    }
    assert_int_equal(leases_count(leases), 0);
    leases_close(&leases);
}

/* ---- against a model ---- */

enum { MODEL_COUNT = 300 };

enum model_place {
    MODEL_NEVER,
    MODEL_OUT,
    MODEL_RETURNED,
    MODEL_GIVEN_UP,
    MODEL_ACKNOWLEDGED,
    MODEL_BURIED,
    MODEL_GONE
};

struct model_message {
    enum model_place place;
    uint32_t deliveries;
    int64_t deadline_ns;
    uint64_t given_up_order;
};

struct model {
    struct model_message messages[MODEL_COUNT + 1]; /* by number */
    uint64_t given_up_count;
    struct leases *leases;
    struct random_state random;
    int64_t now_ns;
};

/* The message in `place` that comes first by deadline, number or order of giving up; 0: none. */
static uint64_t model_first(const struct model *model, enum model_place place)
{
    uint64_t best = 0;
    for (uint64_t i = 1; i <= MODEL_COUNT; i++) {
        const struct model_message *message = &model->messages[i];
        const struct model_message *other = &model->messages[best];
        if (message->place != place)
            continue;
        if (best == 0 || (place == MODEL_OUT && message->deadline_ns < other->deadline_ns) ||
            (place == MODEL_GIVEN_UP && message->given_up_order < other->given_up_order))
            best = i;
    }
    return best;
}

static enum lease_find model_find(const struct model_message *message, uint32_t deliveries)
{
    if (message->place == MODEL_NEVER || message->place == MODEL_GONE || deliveries > message->deliveries)
        return LEASE_FIND_UNKNOWN;
    if (deliveries < message->deliveries)
        return LEASE_FIND_STALE;
    switch (message->place) {
    case MODEL_OUT:
        return LEASE_FIND_OUT;
    case MODEL_RETURNED:
        return LEASE_FIND_RETURNED;
    case MODEL_ACKNOWLEDGED:
        return LEASE_FIND_ACKNOWLEDGED;
    default:
        return LEASE_FIND_GIVEN_UP;
    }
}

static uint64_t sequence_of(const struct lease *lease)
{
    return lease == NULL ? 0 : lease->member.sequence;
}

static void compare(const struct model *model)
{
    uint64_t out = model_first(model, MODEL_OUT);
    const struct lease *expired = leases_first_expired(model->leases, model->now_ns);
    assert_true(leases_next_deadline_ns(model->leases) == (out == 0 ? INT64_MAX : model->messages[out].deadline_ns));
    assert_int_equal(sequence_of(expired), out != 0 && model->messages[out].deadline_ns <= model->now_ns ? out : 0);
    assert_int_equal(sequence_of(leases_first_returned(model->leases)), model_first(model, MODEL_RETURNED));
    assert_int_equal(sequence_of(leases_first_given_up(model->leases)), model_first(model, MODEL_GIVEN_UP));
}

/* Does one of the things that may be done with a message that is here. */
static void move(struct model *model, uint64_t sequence, struct lease *lease)
{
    struct model_message *message = &model->messages[sequence];
    int64_t deadline_ns = model->now_ns + (int64_t)random_below(&model->random, 50);
    switch (random_below(&model->random, 8)) {
    case 0:
        if (message->place != MODEL_GIVEN_UP) {
            leases_end(model->leases, &lease, LEASE_END_ACKNOWLEDGED);
            message->place = MODEL_ACKNOWLEDGED;
        } else if (model_first(model, MODEL_GIVEN_UP) == sequence) {
            leases_end(model->leases, &lease, LEASE_END_GIVEN_UP);
            message->place = MODEL_BURIED;
        }
        break;
    case 1:
        if (message->place != MODEL_GIVEN_UP) {
            leases_end(model->leases, &lease, LEASE_END_TAKEN);
            message->place = MODEL_GONE;
        }
        break;
    case 2:
        if (message->place != MODEL_GIVEN_UP) {
            leases_give_up(model->leases, lease, "given up", 8);
            message->place = MODEL_GIVEN_UP;
            message->given_up_order = ++model->given_up_count;
        }
        break;
    case 3:
        if (message->place == MODEL_OUT) {
            leases_extend(model->leases, lease, deadline_ns);
            message->deadline_ns = deadline_ns;
        }
        break;
    default:
        if (message->place == MODEL_OUT) {
            leases_return(model->leases, lease, "returned", 8);
            message->place = MODEL_RETURNED;
        } else if (message->place == MODEL_RETURNED) {
            leases_lease_again(model->leases, lease, deadline_ns, 0);
            message->place = MODEL_OUT;
            message->deadline_ns = deadline_ns;
            message->deliveries++;
        }
        break;
    }
}

static void do_something(struct model *model)
{
    uint64_t sequence = 1 + random_below(&model->random, MODEL_COUNT);
    struct model_message *message = &model->messages[sequence];
    if (message->place == MODEL_NEVER) {
        message->deadline_ns = model->now_ns + (int64_t)random_below(&model->random, 50);
        (void)add_out(model->leases, sequence, message->deadline_ns);
        message->place = MODEL_OUT;
        message->deliveries = 1;
        return;
    }
    struct lease_token token = {.epoch = EPOCH, .sequence = sequence};
    token.deliveries = 1 + (uint32_t)random_below(&model->random, message->deliveries + 1);
    char text[LEASE_TOKEN_BYTES_MAX];
    struct lease *lease;
    size_t length = lease_token_write(&token, text);
    assert_int_equal(leases_find(model->leases, text, length, &lease), model_find(message, token.deliveries));
    token.deliveries = message->deliveries;
    length = lease_token_write(&token, text);
    assert_int_equal(leases_find(model->leases, text, length, &lease), model_find(message, token.deliveries));
    if (lease != NULL)
        move(model, sequence, lease);
}

static void test_against_a_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model model = {.leases = open_leases(EPOCH)};
        random_seed(&model.random, seed);
        for (int i = 0; i < 4000; i++) {
            do_something(&model);
            model.now_ns += (int64_t)random_below(&model.random, 3);
            compare(&model);
        }
        leases_close(&model.leases);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_text),
        cmocka_unit_test(test_a_token_s_life),
        cmocka_unit_test(test_order_of_each_place),
        cmocka_unit_test(test_texts_and_reasons_are_copied_and_bounded),
        cmocka_unit_test(test_remembers_so_many_ends),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
