/* store.c and its files: what was committed is read again, and nothing else; locks, formats, upkeep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cmocka.h>

#include "engine/random.h"
#include "engine/store/store.h"

enum { MODEL_COUNT = 3000 };

static struct error error;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("%s: %d %s", #call, (int)status_, error.text);                                                    \
    } while (0)

/* ---- a directory for each test ---- */

static int make_place(void **state)
{
    char *place = strdup("/tmp/test_store.XXXXXX");
    *state = place;
    return place == NULL || mkdtemp(place) == NULL;
}

static int remove_place(void **state)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    free(*state);
    return system(command);
}

static struct store *open_store(const char *directory)
{
    struct store *store;
    OK(store_open(&store, directory, &error));
    return store;
}

/* ---- messages: of message n the text is n in decimal, n % 50 times a letter ---- */

static uint32_t text_of(uint64_t number, char text[80])
{
    int length = snprintf(text, 80, "%llu", (unsigned long long)number);
    memset(text + length, 'x', number % 50);
    return (uint32_t)length + (uint32_t)(number % 50);
}

static void append(struct store *store, uint32_t queue, uint64_t first, uint64_t count)
{
    unsigned char *records = malloc(count * 84);
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        char text[80];
        uint32_t length = text_of(first + i, text);
        memcpy(records + at, &length, 4);
        memcpy(records + at + 4, text, length);
        at += 4 + length;
    }
    OK(store_append(store, queue, first, count, records, at, (int64_t)first, &error));
    free(records);
}

struct model {
    uint64_t next;
    bool settled[MODEL_COUNT + 1];
    uint32_t deliveries[MODEL_COUNT + 1];
    uint64_t position;
    uint64_t count;
    uint64_t bytes;
};

static bool compare(void *context, const struct store_message *message)
{
    struct model *model = context;
    while (model->position < model->next && model->settled[model->position])
        model->position++;
    char text[80];
    assert_true(message->sequence == model->position);
    assert_true(message->length == text_of(message->sequence, text));
    assert_memory_equal(message->text, text, message->length);
    assert_true(message->deliveries == model->deliveries[message->sequence]);
    model->position++;
    model->count++;
    model->bytes += message->length;
    return true;
}

static void compare_all(struct store *store, uint32_t queue, struct model *model)
{
    struct store_queue found;
    OK(store_find_queue(store, "orders", &found, &error));
    model->position = 1;
    model->count = model->bytes = 0;
    OK(store_read_messages(store, queue, 0, UINT64_MAX, compare, model, &error));
    assert_true(found.next_sequence == model->next);
    assert_true(found.message_count == model->count && found.message_bytes == model->bytes);
    for (uint64_t i = model->position; i < model->next; i++)
        assert_true(model->settled[i]);
}

static void settle_some(struct store *store, uint32_t queue, struct model *model, struct random_state *random)
{
    if (model->next == 1)
        return;
    uint64_t first = 1 + random_below(random, model->next - 1);
    uint64_t count_max = 1 + random_below(random, 120);
    uint64_t count = 0;
    while (first + count < model->next && count < count_max && !model->settled[first + count])
        model->settled[first + count++] = true;
    if (count > 0)
        OK(store_settle(store, queue, first, count, &error));
}

/* Messages that come and go without being stored. */
static void pass_some(struct store *store, uint32_t queue, struct model *model, struct random_state *random)
{
    uint64_t count = random_below(random, 40);
    if (count == 0 || model->next + count > MODEL_COUNT)
        return;
    OK(store_pass(store, queue, model->next, count, &error));
    for (uint64_t i = 0; i < count; i++)
        model->settled[model->next++] = true;
}

static void deliver_one(struct store *store, uint32_t queue, struct model *model, struct random_state *random)
{
    uint64_t sequence = 1 + random_below(random, model->next);
    if (sequence >= model->next || model->settled[sequence])
        return;
    OK(store_count_delivery(store, queue, sequence, ++model->deliveries[sequence], &error));
}

/* Appends, settles anywhere, counts deliveries, reopens: always what the model says. */
static void test_messages_as_a_model_says(void **state)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        char directory[128];
        snprintf(directory, sizeof directory, "%s/%d/deep", (char *)*state, (int)seed);
        struct store *store = open_store(directory);
        struct store_queue found;
        OK(store_find_queue(store, "orders", &found, &error));
        struct model model = {.next = 1};
        struct random_state random;
        random_seed(&random, seed);
        for (int round = 0; round < 60; round++) {
            OK(store_begin(store, &error));
            if (random_below(&random, 3) == 0)
                pass_some(store, found.queue, &model, &random);
            uint64_t count = random_below(&random, 60);
            if (count > 0 && model.next + count <= MODEL_COUNT) {
                append(store, found.queue, model.next, count);
                model.next += count;
            }
            for (uint64_t i = random_below(&random, 6); i > 0; i--)
                settle_some(store, found.queue, &model, &random);
            deliver_one(store, found.queue, &model, &random);
            OK(store_commit(store, random_below(&random, 10) == 0, &error));
            compare_all(store, found.queue, &model);
            if (random_below(&random, 10) == 0) {
                store_close(&store);
                store = open_store(directory);
            }
        }
        uint64_t faults;
        OK(store_check(store, stderr, &faults, &error));
        assert_true(faults == 0);
        OK(store_begin(store, &error));
        for (uint64_t i = 1; i < model.next; i++)
            if (!model.settled[i])
                OK(store_settle(store, found.queue, i, 1, &error));
        OK(store_commit(store, false, &error));
        OK(store_find_queue(store, "orders", &found, &error));
        assert_true(found.message_count == 0 && found.message_bytes == 0 && found.settled_below == model.next);
        store_close(&store);
    }
}

/* ---- ids and state ---- */

struct seen {
    uint64_t count;
    uint64_t first;
};

static bool count_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    struct seen *seen = context;
    assert_true(id_length == 8 && wall_ns / 100 == (int64_t)message_bytes / 100);
    if (seen->count++ == 0)
        memcpy(&seen->first, id, 8);
    return true;
}

static void test_ids_are_kept_and_trimmed(void **state)
{
    struct store *store = open_store(*state);
    struct store_queue found;
    OK(store_find_queue(store, "orders", &found, &error));
    for (uint64_t batch = 0; batch < 20; batch++) {
        unsigned char ids[100 * 13];
        for (uint64_t i = 0; i < 100; i++) {
            uint64_t id = batch * 100 + i;
            uint32_t bytes = (uint32_t)id;
            ids[i * 13] = 8;
            memcpy(ids + i * 13 + 1, &bytes, 4);
            memcpy(ids + i * 13 + 5, &id, 8);
        }
        OK(store_begin(store, &error));
        OK(store_add_ids(store, found.queue, ids, sizeof ids, 100, (int64_t)batch * 100, &error));
        OK(store_trim_ids(store, found.queue, 1000, 0, &error));
        OK(store_commit(store, false, &error));
    }
    struct seen seen = {0};
    OK(store_read_ids(store, found.queue, count_id, &seen, &error));
    assert_true(seen.count == 1000 && seen.first == 1000);
    OK(store_begin(store, &error));
    OK(store_trim_ids(store, found.queue, 1000, 1700, &error));
    OK(store_commit(store, false, &error));
    store_close(&store);
    store = open_store(*state);
    seen = (struct seen){0};
    OK(store_read_ids(store, found.queue, count_id, &seen, &error));
    assert_true(seen.count == 300 && seen.first == 1700);
    store_close(&store);
}

static bool sum_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    uint64_t *sums = context;
    uint64_t number = 0;
    memcpy(&number, key, key_length);
    assert_true(value_length == number % 300);
    for (size_t i = 0; i < value_length; i++)
        assert_true(((const unsigned char *)value)[i] == (unsigned char)number);
    sums[0]++;
    sums[1] += number;
    return true;
}

static void test_state_is_put_and_deleted(void **state)
{
    struct store *store = open_store(*state);
    uint32_t number;
    uint32_t other;
    OK(store_find_state(store, "market", &number, &error));
    OK(store_find_state(store, "another", &other, &error));
    assert_true(number != other);
    OK(store_begin(store, &error));
    for (uint64_t i = 0; i < 1000; i++) {
        unsigned char value[300];
        memset(value, 255, sizeof value);
        OK(store_put(store, number, &i, sizeof i, value, sizeof value, &error));
        memset(value, (int)(i & 255), sizeof value);
        OK(store_put(store, number, &i, sizeof i, value, i % 300, &error));
        OK(store_put(store, other, &i, sizeof i, value, 1, &error));
        if (i % 3 == 0)
            OK(store_delete(store, number, &i, sizeof i, &error));
    }
    OK(store_delete(store, number, "none", 4, &error));
    OK(store_put(store, number, "", 0, NULL, 0, &error));
    OK(store_commit(store, true, &error));
    store_close(&store);
    store = open_store(*state);
    uint32_t again;
    OK(store_find_state(store, "market", &again, &error));
    assert_true(again == number);
    uint64_t sums[2] = {0};
    OK(store_read_state(store, number, sum_pair, sums, &error));
    assert_true(sums[0] == 667 && sums[1] == 999 * 1000 / 2 - 333 * 334 / 2 * 3);
    store_close(&store);
}

/* ---- transactions ---- */

static void test_what_was_not_committed_is_not_there(void **state)
{
    struct store *store = open_store(*state);
    struct store_queue found;
    OK(store_find_queue(store, "orders", &found, &error));
    char identity[STORE_IDENTITY_BYTES];
    memcpy(identity, store_identity(store), sizeof identity);
    assert_true(strlen(identity) == 16);
    OK(store_begin(store, &error));
    append(store, found.queue, 1, 10);
    store_close(&store);
    store = open_store(*state);
    struct model model = {.next = 1};
    compare_all(store, found.queue, &model);
    assert_string_equal(identity, store_identity(store));
    store_close(&store);
}

static void test_a_reader_beside_the_writer(void **state)
{
    struct store *reader;
    assert_int_equal(store_open_reader(&reader, *state, &error), STATUS_USAGE);
    struct store *store = open_store(*state);
    struct store_queue found;
    OK(store_find_queue(store, "orders", &found, &error));
    OK(store_open_reader(&reader, *state, &error));
    struct model model = {.next = 1};
    for (int round = 0; round < 20; round++) {
        OK(store_begin(store, &error));
        append(store, found.queue, model.next, 30);
        compare_all(reader, found.queue, &model); /* not what is not committed */
        model.next += 30;
        OK(store_commit(store, false, &error));
        compare_all(reader, found.queue, &model);
    }
    struct store_queue none;
    assert_int_equal(store_find_queue(reader, "none", &none, &error), STATUS_USAGE);
    store_close(&reader);
    store_close(&store);
}

/* ---- what is refused ---- */

static void test_one_process_at_a_time(void **state)
{
    struct store *store = open_store(*state);
    struct store *second;
    assert_int_equal(store_open(&second, *state, &error), STATUS_USAGE);
    assert_null(second);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(error.text, pid));
    assert_non_null(strstr(error.text, *state));
    store_close(&store);
    store = open_store(*state);
    store_close(&store);
}

static void change(const char *directory, const char *sql)
{
    char path[256];
    snprintf(path, sizeof path, "%s/store.db", directory);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_another_format_is_refused(void **state)
{
    struct store *store = open_store(*state);
    store_close(&store);
    change(*state, "PRAGMA user_version = 3");
    assert_int_equal(store_open(&store, *state, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "format 3"));
    change(*state, "PRAGMA user_version = 1");
    assert_int_equal(store_open(&store, *state, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "earlier"));
    change(*state, "PRAGMA user_version = 2");
    store = open_store(*state);
    store_close(&store);
}

static void test_another_file_is_refused_and_left_alone(void **state)
{
    change(*state, "CREATE TABLE notes(text)");
    struct store *store;
    assert_int_equal(store_open(&store, *state, &error), STATUS_USAGE);
    change(*state, "INSERT INTO notes VALUES('still here')");
    char path[256];
    snprintf(path, sizeof path, "%s/store.db", (char *)*state);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 2000; i++)
        fputs("no data base\n", file);
    fclose(file);
    assert_int_equal(store_open(&store, *state, &error), STATUS_CORRUPT);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(store_open(&store, path, &error), STATUS_USAGE);
}

static void test_a_directory_that_may_not_be_written(void **state)
{
    struct store *store;
    assert_int_equal(store_open(&store, "/proc/none/store", &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "/proc/none"));
    if (geteuid() == 0)
        return; /* permissions do not bind root */
    char command[256];
    snprintf(command, sizeof command, "chmod 555 '%s'", (char *)*state);
    assert_int_equal(system(command), 0);
    assert_int_equal(store_open(&store, *state, &error), STATUS_SYSTEM);
}

/* ---- sizes ---- */

static void test_room_is_used_again(void **state)
{
    struct store *store = open_store(*state);
    struct store *reader;
    struct store_queue found;
    OK(store_find_queue(store, "orders", &found, &error));
    OK(store_open_reader(&reader, *state, &error)); /* stays open, and pins nothing */
    uint64_t high = 0;
    uint64_t next = 1;
    for (int round = 0; round < 300; round++) {
        OK(store_begin(store, &error));
        append(store, found.queue, next, 10000);
        if (next > 1)
            OK(store_settle(store, found.queue, next - 10000, 10000, &error));
        next += 10000;
        OK(store_commit(store, false, &error));
        OK(store_find_queue(reader, "orders", &found, &error));
        if (round == 60)
            high = store_file_bytes(store);
    }
    assert_true(store_file_bytes(store) < high + high / 2);
    store_close(&reader);
    OK(store_begin(store, &error));
    OK(store_settle(store, found.queue, next - 10000, 10000, &error));
    OK(store_commit(store, false, &error));
    OK(store_compact(store, &error));
    assert_true(store_file_bytes(store) < 512 * 1024);
    store_close(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_messages_as_a_model_says),
        TEST(test_ids_are_kept_and_trimmed),
        TEST(test_state_is_put_and_deleted),
        TEST(test_what_was_not_committed_is_not_there),
        TEST(test_a_reader_beside_the_writer),
        TEST(test_one_process_at_a_time),
        TEST(test_another_format_is_refused),
        TEST(test_another_file_is_refused_and_left_alone),
        TEST(test_a_directory_that_may_not_be_written),
        TEST(test_room_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
