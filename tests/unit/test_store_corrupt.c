/*
 * store.c on a damaged file: what is read is what was written, or the damage is named.
 *
 * A filled store's file is damaged by a seed (flipped bits, a byte, a page of zeros, a page in another's place) and
 * read with everything that reads. All texts follow from their numbers, so each is compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/random.h"
#include "engine/store/store.h"

enum {
    SEED_COUNT = 400,
    LOG_SEED_COUNT = 100,
    MESSAGE_COUNT = 600,
    BATCH_MESSAGE_COUNT = 20,
    PAIR_COUNT = 500,
    PAGE_BYTES = 4096,
    FILE_BYTES_MAX = 4 * 1024 * 1024,
};

static struct error error;
static char directory[64];

struct image {
    size_t bytes;
    unsigned char *contents;
};

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        enum status status_ = (call);                                                                                  \
        if (status_ != STATUS_OK)                                                                                      \
            fail_msg("%s: %d %s", #call, (int)status_, error.text);                                                    \
    } while (0)

/* ---- the store ---- */

static bool is_settled(uint64_t sequence)
{
    return sequence <= 45 || (sequence > 100 && sequence % 7 == 0) || (sequence > 400 && sequence <= 440);
}

static uint32_t deliveries_of(uint64_t sequence)
{
    return sequence % 50 == 1 && !is_settled(sequence) ? (uint32_t)sequence % 9 + 1 : 0;
}

static uint32_t text_of(uint64_t sequence, unsigned char text[400])
{
    uint32_t length = (uint32_t)(sequence * 31 % 400);
    for (uint32_t i = 0; i < length; i++)
        text[i] = (unsigned char)(sequence * 13 + i);
    return length;
}

static void append(struct store *store, uint32_t queue, uint64_t first)
{
    static unsigned char records[BATCH_MESSAGE_COUNT * 404];
    size_t at = 0;
    for (uint64_t i = first; i < first + BATCH_MESSAGE_COUNT; i++) {
        uint32_t length = text_of(i, records + at + 4);
        memcpy(records + at, &length, 4);
        at += 4 + length;
    }
    OK(store_append(store, queue, first, BATCH_MESSAGE_COUNT, records, at, 99, &error));
    unsigned char id[13] = {8};
    memcpy(id + 5, &first, 8);
    OK(store_add_ids(store, queue, id, sizeof id, 1, (int64_t)first, &error));
}

static void fill(struct store *store)
{
    struct store_queue found;
    uint32_t state;
    OK(store_find_queue(store, "orders", &found, &error));
    OK(store_find_state(store, "market", &state, &error));
    for (uint64_t first = 1; first < MESSAGE_COUNT; first += BATCH_MESSAGE_COUNT) {
        OK(store_begin(store, &error));
        append(store, found.queue, first);
        for (uint64_t i = first; i < first + BATCH_MESSAGE_COUNT; i++)
            if (is_settled(i))
                OK(store_settle(store, found.queue, i, 1, &error));
            else if (deliveries_of(i) > 0)
                OK(store_count_delivery(store, found.queue, i, deliveries_of(i), &error));
        uint64_t batches = first / BATCH_MESSAGE_COUNT;
        for (uint64_t i = 0; i < PAIR_COUNT; i++)
            if (batches == 0 || i % 29 == batches)
                OK(store_put(store, state, &i, sizeof i, &i, i % 9, &error));
        OK(store_commit(store, false, &error));
    }
}

static void load(const char *name, struct image *image)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    image->contents = malloc(FILE_BYTES_MAX);
    image->bytes = fread(image->contents, 1, FILE_BYTES_MAX, file);
    assert_true(image->bytes > 0 && image->bytes < FILE_BYTES_MAX);
    fclose(file);
}

static void save(const char *name, const struct image *image)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    unlink(path);
    if (image == NULL)
        return;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fwrite(image->contents, 1, image->bytes, file) == image->bytes);
    fclose(file);
}

/* ---- reading ---- */

struct reading {
    uint64_t position;
    uint64_t id_count;
    uint64_t pair_count;
    uint64_t next_sequence;
    uint64_t count;
};

static bool compare_message(void *context, const struct store_message *message)
{
    struct reading *reading = context;
    while (is_settled(reading->position))
        reading->position++;
    unsigned char text[400];
    reading->count++;
    assert_true(message->sequence == reading->position++);
    assert_true(message->length == text_of(message->sequence, text));
    assert_memory_equal(message->text, text, message->length);
    assert_true(message->wall_ns == 99 && message->deliveries == deliveries_of(message->sequence));
    return true;
}

/* As compare_message, with holes. */
static bool compare_saved(void *context, const struct store_message *message)
{
    struct reading *reading = context;
    assert_true(message->sequence >= reading->position);
    reading->position = message->sequence;
    return compare_message(context, message);
}

static bool compare_id(void *context, const void *id, size_t id_length, uint32_t message_bytes, int64_t wall_ns)
{
    struct reading *reading = context;
    uint64_t expected = reading->id_count++ * BATCH_MESSAGE_COUNT + 1;
    assert_true(id_length == 8 && memcmp(id, &expected, 8) == 0 && message_bytes == 0);
    assert_true(wall_ns == (int64_t)expected);
    return true;
}

static bool compare_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct reading *reading = context;
    uint64_t number;
    assert_true(key_length == 8);
    memcpy(&number, key, 8);
    assert_true(number < PAIR_COUNT && value_length == number % 9 && memcmp(value, &number, value_length) == 0);
    reading->pair_count++;
    return true;
}

/* Returns false if damage was named. */
static bool is_fine(enum status status, uint64_t seed)
{
    if (status == STATUS_OK)
        return true;
    /* STATUS_USAGE: what says that this is a store of ours and its format is damaged too. */
    if (status != STATUS_CORRUPT && status != STATUS_USAGE)
        fail_msg("seed %d: %d %s", (int)seed, (int)status, error.text);
    assert_non_null(strstr(error.text, directory));
    return false;
}

/* Everything that reads, whatever the others say. Returns whether all was fine. */
static bool read_all(struct store *store, uint64_t seed, struct reading *reading)
{
    struct store_queue found;
    uint32_t state;
    bool fine = true;
    *reading = (struct reading){.position = 1};
    if (is_fine(store_find_queue(store, "orders", &found, &error), seed)) {
        reading->next_sequence = found.next_sequence;
        fine &= is_fine(store_read_messages(store, found.queue, 0, UINT64_MAX, compare_message, reading, &error), seed);
        fine &= is_fine(store_read_ids(store, found.queue, compare_id, reading, &error), seed);
        uint64_t lost_count;
        struct reading saved = {.position = 1};
        OK(store_salvage_messages(store, found.queue, compare_saved, &saved, &lost_count, &error));
        assert_true(saved.count + lost_count >= found.message_count && (!fine || lost_count == 0));
    } else {
        fine = false;
    }
    if (is_fine(store_find_state(store, "market", &state, &error), seed))
        fine &= is_fine(store_read_state(store, state, compare_pair, reading, &error), seed);
    else
        fine = false;
    return fine;
}

static void skip_settled(struct reading *reading)
{
    while (reading->position < reading->next_sequence && is_settled(reading->position))
        reading->position++;
}

/* ---- damage ---- */

static void damage(struct image *image, struct random_state *random)
{
    size_t page = random_below(random, image->bytes / PAGE_BYTES) * PAGE_BYTES;
    size_t other = random_below(random, image->bytes / PAGE_BYTES) * PAGE_BYTES;
    switch (random_below(random, 5)) {
    case 0: /* one bit anywhere */
        image->contents[random_below(random, image->bytes)] ^= (unsigned char)(1 << random_below(random, 8));
        break;
    case 1: /* some bytes anywhere */
        for (int i = 0; i < 20; i++)
            image->contents[random_below(random, image->bytes)] = (unsigned char)random_next(random);
        break;
    case 2: /* where a page says what is on it */
        image->contents[page + random_below(random, 24)] = (unsigned char)random_next(random);
        break;
    case 3:
        memset(image->contents + page, 0, PAGE_BYTES);
        break;
    default:
        memmove(image->contents + page, image->contents + other, PAGE_BYTES);
        break;
    }
}

static void read_damaged(const struct image *whole, uint64_t seed, uint64_t *named_count)
{
    struct random_state random;
    random_seed(&random, seed);
    struct image damaged = {whole->bytes, malloc(whole->bytes + 1)};
    memcpy(damaged.contents, whole->contents, whole->bytes);
    damage(&damaged, &random);
    save("store.db", &damaged);
    save("store.db-wal", NULL);
    struct store *store;
    if (is_fine(store_open(&store, directory, &error), seed)) {
        struct reading reading;
        uint64_t fault_count = 0;
        FILE *null = fopen("/dev/null", "w");
        bool checked = is_fine(store_check(store, null, &fault_count, &error), seed);
        fclose(null);
        bool fine = read_all(store, seed, &reading);
        skip_settled(&reading);
        if (fine)
            assert_true(reading.position == MESSAGE_COUNT + 1 && reading.pair_count == PAIR_COUNT &&
                        reading.id_count == MESSAGE_COUNT / BATCH_MESSAGE_COUNT);
        else
            assert_true(!checked || fault_count > 0);
        *named_count += !fine;
        store_close(&store);
    } else {
        ++*named_count;
    }
    free(damaged.contents);
}

static void test_a_damaged_file(void **state)
{
    (void)state;
    struct store *store;
    OK(store_open(&store, directory, &error));
    fill(store);
    struct reading reading;
    assert_true(read_all(store, 0, &reading));
    store_close(&store);
    struct image whole;
    load("store.db", &whole);
    uint64_t named_count = 0;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++)
        read_damaged(&whole, seed, &named_count);
    /* The rest of the damage was where nothing is kept. */
    assert_true(named_count > SEED_COUNT / 2);
    free(whole.contents);
}

/* ---- the log of a process that was killed ---- */

struct killed {
    struct image file;
    struct image log;
    struct image lock; /* with the note in it */
};

/* A store as it is when its process is killed; it is closed then, and all that is gone again. */
static void fill_and_kill(struct killed *killed)
{
    struct store *store;
    OK(store_open(&store, directory, &error));
    fill(store);
    load("store.db", &killed->file);
    load("store.db-wal", &killed->log);
    load("lock", &killed->lock);
    store_close(&store);
}

static void free_killed(struct killed *killed)
{
    free(killed->file.contents);
    free(killed->log.contents);
    free(killed->lock.contents);
}

/* `log`: NULL for none. */
static void put_killed(const struct killed *killed, const struct image *log)
{
    save("store.db", &killed->file);
    save("store.db-wal", log);
    save("store.db-shm", NULL);
    save("lock", &killed->lock);
}

/* A damaged log is for SQLite one that ends there: what was committed up to some transaction, and that exactly. */
static void read_what_is_left(uint64_t seed)
{
    struct store *reader;
    if (!is_fine(store_open_reader(&reader, directory, &error), seed))
        return;
    struct store_queue found;
    struct reading reading;
    uint64_t fault_count = 0;
    FILE *null = fopen("/dev/null", "w");
    OK(store_check(reader, null, &fault_count, &error));
    fclose(null);
    assert_true(fault_count > 0);
    if (store_find_queue(reader, "orders", &found, &error) == STATUS_OK && read_all(reader, seed, &reading)) {
        skip_settled(&reading);
        assert_true(reading.position == reading.next_sequence);
        assert_true(reading.id_count == (reading.next_sequence - 1) / BATCH_MESSAGE_COUNT);
        assert_true(reading.pair_count == (reading.next_sequence == 1 ? 0 : PAIR_COUNT));
    }
    store_close(&reader);
}

/* Returns whether all is there; if not, that is said, each time, and the reader reads what was before. */
static bool open_killed(const struct killed *killed, const struct image *log, uint64_t seed)
{
    put_killed(killed, log);
    struct store *store;
    struct reading reading;
    if (is_fine(store_open(&store, directory, &error), seed)) {
        assert_true(read_all(store, seed, &reading));
        skip_settled(&reading);
        assert_true(reading.position == MESSAGE_COUNT + 1 && reading.pair_count == PAIR_COUNT &&
                    reading.id_count == MESSAGE_COUNT / BATCH_MESSAGE_COUNT);
        store_close(&store);
        return true;
    }
    assert_non_null(strstr(error.text, "store.db-wal"));
    assert_non_null(strstr(error.text, "millrace store export"));
    read_what_is_left(seed);
    assert_int_equal(store_open(&store, directory, &error), STATUS_CORRUPT);
    return false;
}

static void test_a_damaged_log(void **state)
{
    (void)state;
    struct killed killed;
    fill_and_kill(&killed);
    assert_true(open_killed(&killed, &killed.log, 0));
    uint64_t named_count = 0;
    for (uint64_t seed = 1; seed <= LOG_SEED_COUNT; seed++) {
        struct random_state random;
        random_seed(&random, seed);
        struct image damaged = {killed.log.bytes, malloc(killed.log.bytes + 1)};
        memcpy(damaged.contents, killed.log.contents, killed.log.bytes);
        damage(&damaged, &random);
        bool is_same = memcmp(damaged.contents, killed.log.contents, killed.log.bytes) == 0;
        named_count += !open_killed(&killed, &damaged, seed);
        assert_true(is_same || named_count > 0);
        free(damaged.contents);
    }
    assert_true(named_count > LOG_SEED_COUNT * 9 / 10);
    free_killed(&killed);
}

static void test_a_log_that_is_cut_or_gone(void **state)
{
    (void)state;
    /* An earlier life was closed: the file alone is a whole store, of before. */
    struct store *earlier;
    struct store_queue found;
    OK(store_open(&earlier, directory, &error));
    OK(store_find_queue(earlier, "earlier", &found, &error));
    store_close(&earlier);
    struct killed killed;
    fill_and_kill(&killed);
    struct image cut = killed.log;
    assert_false(open_killed(&killed, NULL, 0));
    cut.bytes = 0;
    assert_false(open_killed(&killed, &cut, 0));
    cut.bytes = killed.log.bytes - 1;
    assert_false(open_killed(&killed, &cut, 0));
    /* Without the note nothing is known, and what is there is there. */
    cut.bytes = killed.log.bytes / 2;
    killed.lock.bytes = 10;
    put_killed(&killed, &cut);
    struct store *store;
    OK(store_open(&store, directory, &error));
    store_close(&store);
    free_killed(&killed);
}

/* Where the file has a message's text. */
static unsigned char *find_text(const struct image *image, uint64_t sequence)
{
    unsigned char text[400];
    uint32_t length = text_of(sequence, text);
    unsigned char *found = memmem(image->contents, image->bytes, text, length < 64 ? length : 64);
    assert_non_null(found);
    return found;
}

/* Any SQLite program that opens the file of a killed store carries the log over when it closes it, as we do. */
static void test_a_log_that_another_program_carried_over(void **state)
{
    (void)state;
    struct killed killed;
    fill_and_kill(&killed);
    free(killed.file.contents);
    load("store.db", &killed.file); /* it was closed since */
    assert_true(open_killed(&killed, NULL, 0));
    struct image empty = {0, killed.log.contents};
    assert_true(open_killed(&killed, &empty, 0));
    /* Not wholly: all that counts the messages is there, and one of them is not. */
    *find_text(&killed.file, MESSAGE_COUNT - 1) ^= 1;
    assert_false(open_killed(&killed, NULL, 0));
    free_killed(&killed);
}

static int make_place(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/test_store_corrupt.XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_place(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_damaged_file, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_a_damaged_log, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_a_log_that_is_cut_or_gone, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_a_log_that_another_program_carried_over, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
