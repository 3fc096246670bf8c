/* queue_command.c: the words of a queue, to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/links/queue_command.h"

/* A copy of exactly that size, so that a sanitizer sees a look beyond its end. */
static char *exact_copy(const void *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    return copy;
}

/* Whether that command means `verb`, with `message` (of a PUT) `message_offset` bytes into it. */
static void assert_parses(const char *text, size_t length, enum queue_verb verb, size_t message_offset)
{
    char *copy = exact_copy(text, length);
    struct queue_command command = queue_command_parse(copy, length);
    assert_int_equal(command.verb, verb);
    if (verb == QUEUE_PUT) {
        assert_non_null(command.message);
        assert_int_equal(command.message_length, length - message_offset);
        assert_memory_equal(command.message, text + message_offset, length - message_offset);
    }
    free(copy);
}

#define ASSERT_PARSES(text, verb, offset) assert_parses(text, sizeof(text) - 1, verb, offset)

static void test_put(void **state)
{
    (void)state;
    ASSERT_PARSES("PUT:ping", QUEUE_PUT, 4);
    ASSERT_PARSES("PUT:", QUEUE_PUT, 4);
    ASSERT_PARSES("PUT", QUEUE_PUT, 3);
    ASSERT_PARSES("PUT::", QUEUE_PUT, 4);
    ASSERT_PARSES("PUT:a:b:c", QUEUE_PUT, 4);
    ASSERT_PARSES("PUT:GET", QUEUE_PUT, 4);
    ASSERT_PARSES("PUT: ", QUEUE_PUT, 4);
    ASSERT_PARSES("PUT:a\0b\n\xff", QUEUE_PUT, 4);
}

/* Its parts, as text, and its time. */
static void assert_named(const char *text, enum queue_verb verb, const char *name, const char *message, int64_t time_ns)
{
    char *copy = exact_copy(text, strlen(text));
    struct queue_command command = queue_command_parse(copy, strlen(text));
    assert_int_equal(command.verb, verb);
    if (verb != QUEUE_MALFORMED) {
        assert_int_equal(command.name_length, strlen(name));
        assert_int_equal(command.message_length, strlen(message));
        if (name[0] != '\0')
            assert_memory_equal(command.name, name, strlen(name));
        if (message[0] != '\0')
            assert_memory_equal(command.message, message, strlen(message));
        assert_true(command.time_ns == time_ns);
    }
    free(copy);
}

static void test_ids_and_leases(void **state)
{
    (void)state;
    assert_named("PUTID:a:b:c", QUEUE_PUTID, "a", "b:c", 0);
    assert_named("PUTID:a:", QUEUE_PUTID, "a", "", 0);
    assert_named("PUTID:0123456789012345678901234567890123456789012345678901234567890123:x", QUEUE_PUTID,
                 "0123456789012345678901234567890123456789012345678901234567890123", "x", 0);
    assert_named("LEASE", QUEUE_LEASE, "", "", 0);
    assert_named("LEASE:2", QUEUE_LEASE, "", "", 2000000000);
    assert_named("LEASE:0.25", QUEUE_LEASE, "", "", 250000000);
    assert_named("LEASE:1.0000000019", QUEUE_LEASE, "", "", 1000000001);
    assert_named("LEASE:86400", QUEUE_LEASE, "", "", 86400 * INT64_C(1000000000));
    assert_named("ACK:1.2.3", QUEUE_ACK, "1.2.3", "", 0);
    assert_named("NACK:1.2.3", QUEUE_NACK, "1.2.3", "", 0);
    assert_named("NACK:1.2.3:why: that", QUEUE_NACK, "1.2.3", "why: that", 0);
    assert_named("STATS", QUEUE_STATS, "", "", 0);
    struct queue_command extend = queue_command_parse("EXTEND:x:1.5", 12);
    assert_int_equal(extend.verb, QUEUE_EXTEND);
    assert_true(extend.time_ns == 1500000000);
    static const char *const malformed[] = {
        "PUTID",
        "PUTID:",
        "PUTID:a",
        "PUTID::b",
        "LEASE:",
        "LEASE:0",
        "LEASE:0.0",
        "LEASE:x",
        "LEASE:1x",
        "LEASE:-1",
        "LEASE:.5",
        "LEASE:86401",
        "LEASE:99999999999999999999",
        "LEASE:86400.1",
        "ACK",
        "ACK:",
        "ACK:x:y",
        "NACK",
        "NACK::x",
        "EXTEND:x",
        "EXTEND:x:",
        "EXTEND::1",
        "PUTID:01234567890123456789012345678901234567890123456789012345678901234:x"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        assert_named(malformed[i], QUEUE_MALFORMED, "", "", 0);
}

static void assert_seen(const char *ids, size_t expected_count)
{
    char text[8192 + 16];
    int length = snprintf(text, sizeof text, "SEEN:1aF:%s", ids);
    assert_in_range(length, 0, QUEUE_SEEN_BYTES_MAX);
    char *copy = exact_copy(text, (size_t)length);
    struct queue_command command = queue_command_parse(copy, (size_t)length);
    assert_int_equal(command.verb, QUEUE_SEEN);
    assert_int_equal(command.name_length, 3);
    assert_memory_equal(command.name, "1aF", 3);
    const char *expected = ids;
    size_t id_length;
    size_t count = 0;
    for (const char *id; (id = queue_next_id(&command, &id_length)) != NULL; count++) {
        assert_int_equal(id_length, strcspn(expected, ","));
        assert_memory_equal(id, expected, id_length);
        expected += id_length + 1;
    }
    assert_int_equal(count, expected_count);
    free(copy);
}

/* `count` ids of `id_length` bytes each. */
static void write_ids(char *text, size_t count, size_t id_length)
{
    for (size_t i = 0; i < count; i++) {
        memset(text, 'i', id_length);
        text[id_length] = i + 1 < count ? ',' : '\0';
        text += id_length + 1;
    }
}

static void test_seen(void **state)
{
    (void)state;
    char ids[8192];
    assert_seen("a", 1);
    assert_seen("a,bb,a b", 3);
    write_ids(ids, QUEUE_SEEN_IDS_MAX, QUEUE_ID_BYTES_MAX);
    assert_seen(ids, QUEUE_SEEN_IDS_MAX);
    assert_named("SEEN:0123456789abcdef:a", QUEUE_SEEN, "0123456789abcdef", "a", 0);
    static const char *const malformed[] = {
        "SEEN",     "SEEN:",     "SEEN:1",    "SEEN:1:",     "SEEN::a",   "SEEN:g:a", "SEEN:01234567890123456:a",
        "SEEN:1:,", "SEEN:1:a,", "SEEN:1:,a", "SEEN:1:a,,b", "SEEN:1:a:b"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        assert_named(malformed[i], QUEUE_MALFORMED, "", "", 0);
    char text[8192 + 16];
    write_ids(ids, QUEUE_SEEN_IDS_MAX + 1, 1);
    snprintf(text, sizeof text, "SEEN:1:%s", ids);
    assert_named(text, QUEUE_MALFORMED, "", "", 0);
    write_ids(ids, 2, QUEUE_ID_BYTES_MAX + 1);
    snprintf(text, sizeof text, "SEEN:1:%s", ids);
    assert_named(text, QUEUE_MALFORMED, "", "", 0);
}

static void test_get_and_size(void **state)
{
    (void)state;
    ASSERT_PARSES("GET", QUEUE_GET, 0);
    ASSERT_PARSES("GET:", QUEUE_GET, 0);
    ASSERT_PARSES("GET:x", QUEUE_GET, 0);
    ASSERT_PARSES("SIZE", QUEUE_SIZE, 0);
    ASSERT_PARSES("SIZE:", QUEUE_SIZE, 0);
    ASSERT_PARSES("SIZE:1:2", QUEUE_SIZE, 0);
}

static void test_anything_else_is_unknown(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",      ":",     ":PUT",   "put:x",   "Put:x", "get",   "size", "PUTS:x",    "PU",         "PUTx",
        "PUT x", " PUT:", "PUT :x", "GET\n",   "GETT",  "GE",    "SIZ",  "SIZEX",     "SIZE\r\n",   "HELLO",
        "G",     "GET x", "\xff",   "FLUSH:x", "P:UT",  "PUT;x", "POST", "PUTGET:::", "GET SIZE:x",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_parses(texts[i], strlen(texts[i]), QUEUE_UNKNOWN, 0);
    ASSERT_PARSES("GET\0", QUEUE_UNKNOWN, 0);
    ASSERT_PARSES("\0GET", QUEUE_UNKNOWN, 0);
    ASSERT_PARSES("PUT\0:x", QUEUE_UNKNOWN, 0);
    assert_int_equal(queue_command_parse(NULL, 0).verb, QUEUE_UNKNOWN);
}

static void test_a_long_put(void **state)
{
    (void)state;
    size_t length = (size_t)1 << 20;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, ':', length);
    memcpy(text, "PUT", 3);
    assert_parses(text, length, QUEUE_PUT, 4);
    free(text);
}

/* ---- answers ---- */

static void assert_answer(const char *text, size_t length, const char *expected)
{
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text, expected, length);
}

static void test_answers(void **state)
{
    (void)state;
    char text[QUEUE_ANSWER_BYTES];
    assert_answer(text, queue_answer_put(text, 0), "PUT 0 bytes");
    assert_answer(text, queue_answer_put(text, 4), "PUT 4 bytes");
    assert_answer(text, queue_answer_put(text, SIZE_MAX), "PUT 18446744073709551615 bytes");
    assert_answer(text, queue_answer_size(text, 0), "0");
    assert_answer(text, queue_answer_size(text, UINT64_MAX), "18446744073709551615");
    assert_answer(text, queue_answer_unknown(text), "ERR unknown command");
    assert_answer(text, queue_answer_full(text), "ERR queue full");
    assert_answer(text, queue_answer_needs_tcp(text, 70000), "ERR message of 70000 bytes needs TCP");
    assert_answer(text, queue_answer_too_long(text, 9, 8), "ERR message of 9 bytes is above the limit of 8");
    assert_true(queue_answer_too_long(text, SIZE_MAX, UINT64_MAX) < QUEUE_ANSWER_BYTES);
    bool seen[QUEUE_SEEN_IDS_MAX] = {true, false, true};
    assert_answer(text, queue_answer_seen(text, "1F", 2, seen, 3), "1F:101");
    assert_true(queue_answer_seen(text, "0123456789abcdef", 16, seen, QUEUE_SEEN_IDS_MAX) <= QUEUE_ANSWER_BYTES);
}

static void test_what_is_an_error(void **state)
{
    (void)state;
    char text[QUEUE_ANSWER_BYTES];
    assert_true(queue_answer_is_error(text, queue_answer_unknown(text)));
    assert_true(queue_answer_is_error(text, queue_answer_full(text)));
    assert_true(queue_answer_is_error(text, queue_answer_needs_tcp(text, 65504)));
    assert_true(queue_answer_is_needs_tcp(text, queue_answer_needs_tcp(text, SIZE_MAX)));
    assert_false(queue_answer_is_needs_tcp(text, queue_answer_full(text)));
    assert_false(queue_answer_is_needs_tcp(text, queue_answer_too_long(text, 9, 8)));
}

static bool reads_seen(const char *text, uint64_t *nonce, const char **digits, size_t *count)
{
    return queue_answer_read_seen(text, strlen(text), nonce, digits, count);
}

static void test_what_answers_seen(void **state)
{
    (void)state;
    uint64_t nonce;
    const char *digits;
    size_t count;
    assert_true(reads_seen("1aF:101", &nonce, &digits, &count));
    assert_true(nonce == 0x1af && count == 3);
    assert_memory_equal(digits, "101", 3);
    assert_true(reads_seen("fedcba9876543210:0", &nonce, &digits, &count));
    assert_true(nonce == UINT64_C(0xfedcba9876543210));
    static const char *const others[] = {
        "",  ":1", "1", "1:", "1:2", "1:1x", "g:1", "0123456789abcdef0:1", "{}", "PUT 4 bytes", "ERR unknown command",
        "12"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(reads_seen(others[i], &nonce, &digits, &count));
    char text[128] = "1:";
    memset(text + 2, '1', QUEUE_SEEN_IDS_MAX + 1);
    assert_false(reads_seen(text, &nonce, &digits, &count));
    assert_false(queue_answer_read_seen(NULL, 0, &nonce, &digits, &count));
}

static void test_what_says_that_a_message_is_too_long(void **state)
{
    (void)state;
    char text[QUEUE_ANSWER_BYTES];
    uint64_t bytes;
    bool of_frame;
    assert_true(queue_answer_read_too_long(text, queue_answer_too_long(text, 90, 8), &bytes, &of_frame));
    assert_true(bytes == 90 && !of_frame);
    static const char of_a_stream[] = "ERR message of 12 bytes is above the limit of 7 bytes";
    assert_true(queue_answer_read_too_long(of_a_stream, strlen(of_a_stream), &bytes, &of_frame));
    assert_true(bytes == 12 && of_frame);
    static const char *const others[] = {"",
                                         "ERR message of 12 bytes needs TCP",
                                         "ERR message of  bytes is above the limit of 7",
                                         "ERR message of 12 bytes is above the limit of ",
                                         "ERR message of 12 bytes is above the limit of 7 byte",
                                         "ERR message of 12 bytes is above the limit of 7 bytes!",
                                         "ERR message of 99999999999999999999 bytes is above the limit of 7"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(queue_answer_read_too_long(others[i], strlen(others[i]), &bytes, &of_frame));
}

/* A message that only begins like an error, or nearly is one, is a message. */
static void test_what_is_a_message(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "E",
        "ERR",
        "ERR ",
        "ERR something",
        "ERR unknown comman",
        "ERR unknown command ",
        "ERR unknown command: x",
        "err unknown command",
        "ERR queue ful",
        "ERR queue full of fish",
        " ERR queue full",
        "ERR message of ",
        "ERR message of  bytes needs TCP",
        "ERR message of -1 bytes needs TCP",
        "ERR message of 12x bytes needs TCP",
        "ERR message of 12 bytes needs TC",
        "ERR message of 12 bytes needs TCP!",
        "ERR message of 12 bytes needs UDP",
        "ERR message of 12",
        "PUT 4 bytes",
        "0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *copy = exact_copy(texts[i], strlen(texts[i]));
        assert_false(queue_answer_is_error(copy, strlen(texts[i])));
        assert_false(queue_answer_is_needs_tcp(copy, strlen(texts[i])));
        free(copy);
    }
    assert_false(queue_answer_is_error("ERR queue full", strlen("ERR queue full") + 1)); /* with its NUL */
    assert_false(queue_answer_is_error(NULL, 0));
}

static void test_what_says_that_a_queue_is_full(void **state)
{
    (void)state;
    static const char *const full[] = {"ERR queue full", "ERR queue full: disk", "ERR queue full\n"};
    static const char *const other[] = {"", "ERR queue ful", "ERR queue", "err queue full", "ERR unknown command"};
    for (size_t i = 0; i < sizeof full / sizeof full[0]; i++) {
        char *copy = exact_copy(full[i], strlen(full[i]));
        assert_true(queue_answer_is_full(copy, strlen(full[i])));
        free(copy);
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        char *copy = exact_copy(other[i], strlen(other[i]));
        assert_false(queue_answer_is_full(copy, strlen(other[i])));
        free(copy);
    }
    assert_false(queue_answer_is_full(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_ids_and_leases),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_get_and_size),
        cmocka_unit_test(test_anything_else_is_unknown),
        cmocka_unit_test(test_a_long_put),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_what_is_an_error),
        cmocka_unit_test(test_what_answers_seen),
        cmocka_unit_test(test_what_says_that_a_message_is_too_long),
        cmocka_unit_test(test_what_is_a_message),
        cmocka_unit_test(test_what_says_that_a_queue_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
