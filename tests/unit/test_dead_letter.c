/* dead_letter.c: the exact head, what comes back, and what is no dead letter. */
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
#include "nodes/queue/dead_letter.h"

static struct dead_letter make_letter(const char *reason, const char *source, uint64_t message_bytes)
{
    struct dead_letter letter = {.deliveries = 5,
                                 .first_wall_ns = INT64_C(1700000000123456789),
                                 .last_wall_ns = INT64_C(1700000001000001000),
                                 .message_bytes = message_bytes};
    dead_letter_set_text(letter.reason, sizeof letter.reason, reason, strlen(reason));
    dead_letter_set_text(letter.source, sizeof letter.source, source, strlen(source));
    return letter;
}

static void test_the_head(void **state)
{
    (void)state;
    struct text text = {0};
    struct dead_letter letter = make_letter("no \"price\"\n", "orders", 3);
    dead_letter_append_head(&text, &letter);
    static const char expected[] = "{\"reason\": \"no \\\"price\\\"\\n\", \"source\": \"orders\", \"deliveries\": 5, "
                                   "\"first_time\": 1700000000.123456, \"last_time\": 1700000001.000001, "
                                   "\"bytes\": 3}\n";
    assert_false(text_failed(&text));
    assert_int_equal(text.length, sizeof expected - 1);
    assert_memory_equal(text.data, expected, text.length);
    text_free(&text);
}

static void test_there_and_back(void **state)
{
    (void)state;
    char worst[DEAD_LETTER_REASON_BYTES];
    memset(worst, 1, sizeof worst); /* each becomes six characters */
    worst[sizeof worst - 1] = '\0';
    static const char message[] = "a\0b\n{\"reason\": 1}";
    const char *const reasons[] = {"", "late", "gr\xc3\xbc\xc3\x9f", worst};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        struct text text = {0};
        struct dead_letter letter = make_letter(reasons[i], "127.0.0.1:10000", sizeof message);
        dead_letter_append_head(&text, &letter);
        assert_true(text.length <= DEAD_LETTER_HEAD_BYTES_MAX);
        size_t head_bytes = text.length;
        text_append(&text, message, sizeof message);
        struct dead_letter read;
        const void *bare = NULL;
        assert_true(dead_letter_read(text.data, text.length, &read, &bare));
        assert_ptr_equal(bare, text.data + head_bytes);
        assert_string_equal(read.reason, reasons[i]);
        assert_string_equal(read.source, "127.0.0.1:10000");
        assert_int_equal(read.deliveries, 5);
        assert_true(read.message_bytes == sizeof message);
        assert_true(read.first_wall_ns == INT64_C(1700000000123456000)); /* to the microsecond */
        assert_true(read.last_wall_ns == INT64_C(1700000001000001000));
        text_free(&text);
    }
}

static void test_texts_are_cut(void **state)
{
    (void)state;
    char text[4];
    dead_letter_set_text(text, sizeof text, "abcdef", 6);
    assert_string_equal(text, "abc");
    dead_letter_set_text(text, sizeof text, "a\0b", 3);
    assert_string_equal(text, "a b");
    dead_letter_set_text(text, sizeof text, NULL, 0);
    assert_string_equal(text, "");
}

#define HEAD_END ", \"deliveries\": 1, \"first_time\": 1, \"last_time\": 2.5, \"bytes\": 2}\nhi"

static void test_what_is_none(void **state)
{
    (void)state;
    struct dead_letter letter;
    const void *message;
    static const char good[] = "{\"reason\": \"r\", \"source\": \"s\"" HEAD_END;
    assert_true(dead_letter_read(good, sizeof good - 1, &letter, &message));
    assert_memory_equal(message, "hi", 2);
    static const char *const others[] = {
        "",
        "hi",
        "{\"reason\":",
        "{\"reason\": \"r\"}\n",
        "{\"reason\": 1, \"source\": \"s\"" HEAD_END,
        "{\"reason\": \"r\", \"source\": null" HEAD_END,
        "{\"reason\": \"r\", \"source\": \"s\"" HEAD_END "!", /* longer than it says */
        "{\"reason\": \"r\", \"source\": \"s\", }" HEAD_END,
        " {\"reason\": \"r\", \"source\": \"s\"" HEAD_END,
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": -1, \"first_time\": 1, \"last_time\": 2, \"bytes\": "
        "0}\n",
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": 1.5, \"first_time\": 1, \"last_time\": 2, \"bytes\": "
        "0}\n",
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": 1e99, \"first_time\": 1, \"last_time\": 2, \"bytes\": "
        "0}\n",
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": 1, \"first_time\": 1e30, \"last_time\": 2, \"bytes\": "
        "0}\n",
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": 1, \"first_time\": 1, \"last_time\": -2, \"bytes\": "
        "0}\n",
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": 1, \"first_time\": 1, \"last_time\": 2, \"bytes\": 0} "
        "\n",
        "{\"reason\": \"r\", \"source\": \"s\", \"deliveries\": 1, \"first_time\": 1, \"last_time\": 2, \"bytes\": 0}",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (dead_letter_read(others[i], strlen(others[i]), &letter, &message))
            fail_msg("taken for a dead letter: %s", others[i]);
    }
    /* Cut anywhere, and from a buffer of just that size, so that a sanitizer sees a look too far. */
    for (size_t length = 0; length < sizeof good - 1; length++) {
        char *cut = malloc(length + 1);
        assert_non_null(cut);
        memcpy(cut + 1, good, length);
        assert_false(dead_letter_read(cut + 1, length, &letter, &message));
        free(cut);
    }
}

static void test_damaged_heads(void **state)
{
    (void)state;
    static const char good[] = "{\"reason\": \"r\", \"source\": \"s\"" HEAD_END;
    struct random_state random;
    random_seed(&random, 9);
    for (int i = 0; i < 20000; i++) {
        char *damaged = malloc(sizeof good - 1);
        assert_non_null(damaged);
        memcpy(damaged, good, sizeof good - 1);
        for (int k = 0; k < 3; k++)
            damaged[random_below(&random, sizeof good - 1)] = (char)random_below(&random, 256);
        struct dead_letter letter;
        const void *message;
        if (dead_letter_read(damaged, sizeof good - 1, &letter, &message))
            assert_true((const char *)message + letter.message_bytes == damaged + sizeof good - 1);
        free(damaged);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_head),      cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_texts_are_cut), cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_damaged_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
