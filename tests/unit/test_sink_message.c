/* sink_message.c: what is a message for the sink, and what is something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/sink_message.h"

/* Parses a copy of exactly that size. `expected` NULL: it is something else. */
static void check(const char *data, size_t length, const char *expected, bool has_feed_time, double feed_time)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, data, length);
    struct sink_message message;
    bool valid = sink_message_parse(copy, length, &message);
    if (valid != (expected != NULL))
        fail_msg("%s was %staken", data, valid ? "" : "not ");
    if (valid && expected != NULL) {
        assert_int_equal(message.msg_length, strlen(expected));
        assert_memory_equal(message.msg, expected, message.msg_length);
        assert_int_equal(message.has_feed_time, has_feed_time);
        if (has_feed_time)
            assert_true(message.feed_time == feed_time);
        sink_message_free(&message);
        assert_null(message.buffer);
    }
    free(copy);
}

static void is_message(const char *text, const char *expected, double feed_time)
{
    check(text, strlen(text), expected, true, feed_time);
}

static void is_untimed(const char *text, const char *expected)
{
    check(text, strlen(text), expected, false, 0);
}

static void is_other(const char *text)
{
    check(text, strlen(text), NULL, false, 0);
}

static void test_what_a_worker_writes(void **state)
{
    (void)state;
    is_message("{\"msg\": \"New Order: (CLIENT35, TSLA, Rejected, 4000.0): Rejected: Unknown symbol: TSLA\", "
               "\"feed_time\": 1234.0}",
               "New Order: (CLIENT35, TSLA, Rejected, 4000.0): Rejected: Unknown symbol: TSLA", 1234.0);
    is_message("{\"msg\": \"a\", \"feed_time\": 1458195070.3131151}", "a", 1458195070.3131151);
    is_message("{\"msg\": \"\", \"feed_time\": 1e+22}", "", 1e22);
    is_message("{\"msg\": \"a\", \"feed_time\": 1e-05}", "a", 1e-5);
    is_message("{\"msg\": \"a\", \"feed_time\": -1.5}", "a", -1.5);
    is_message("{\"msg\": \"a\", \"feed_time\": 0}", "a", 0);
    is_message("{\"msg\": \"}\", \"feed_time\": 1}", "}", 1);
}

static void test_without_a_feed_time(void **state)
{
    (void)state;
    is_untimed("{\"msg\": \"a\", \"feed_time\": null}", "a");
    is_untimed("{\"msg\":\"a\",\"feed_time\":null}", "a");
    is_untimed("{\"msg\": \"\\n\", \"feed_time\": null}", "\n");
}

static void test_escapes(void **state)
{
    (void)state;
    is_message("{\"msg\": \"a\\\"b\\\\c\\/d\", \"feed_time\": 1.0}", "a\"b\\c/d", 1);
    is_message("{\"msg\": \"\\b\\f\\n\\r\\t\", \"feed_time\": 1.0}", "\b\f\n\r\t", 1);
    is_message("{\"msg\": \"\\u00e9\\u20ac\\ud83d\\ude00\", \"feed_time\": 1.0}",
               "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 1);
    is_message("{\"msg\": \"\\\", \\\"feed_time\\\": 2.0}\", \"feed_time\": 1.0}", "\", \"feed_time\": 2.0}", 1);
}

static void test_other_layouts_of_the_same_json(void **state)
{
    (void)state;
    is_message("{\"msg\":\"a\",\"feed_time\":2.5}", "a", 2.5);
    is_message("{\"feed_time\": 2.5, \"msg\": \"a\"}", "a", 2.5);
    is_message("{ \"msg\" : \"a\" ,\n\t\"feed_time\" : 2.5 }", "a", 2.5);
    is_message("{\"msg\": \"a\", \"feed_time\": 2.5}\r\n", "a", 2.5);
    is_message("{\"msg\": \"a\", \"feed_time\": 2.5, \"more\": {\"msg\": [1, 2]}}", "a", 2.5);
    is_message("{\"more\": \"x\", \"msg\": \"a\", \"feed_time\": 2.5}", "a", 2.5);
}

static void test_other_json(void **state)
{
    (void)state;
    is_other("null");
    is_other("12");
    is_other("\"msg\"");
    is_other("[{\"msg\": \"a\", \"feed_time\": 1.0}]");
    is_other("{}");
    is_other("{\"msg\": \"a\"}");
    is_other("{\"feed_time\": 1.0}");
    is_other("{\"msg\": 1, \"feed_time\": 1.0}");
    is_other("{\"msg\": null, \"feed_time\": 1.0}");
    is_other("{\"msg\": [\"a\"], \"feed_time\": 1.0}");
    is_other("{\"msg\": \"a\", \"feed_time\": \"1.0\"}");
    is_other("{\"msg\": \"a\", \"feed_time\": true}");
    is_other("{\"msg\": \"a\", \"feed_time\": [1.0]}");
    is_other("{\"Msg\": \"a\", \"feed_time\": 1.0}");
    is_other("{\"msg\": \"a\", \"Feed_Time\": 1.0}");
}

static void test_no_json(void **state)
{
    (void)state;
    is_other("");
    is_other("ping");
    is_other("{");
    is_other("}");
    is_other("{\"msg\": \"a\", \"feed_time\": }");
    is_other("{\"msg\": \"a\", \"feed_time\": nul}");
    is_other("{\"msg\": \"a\", \"feed_time\": 0x10}");
    is_other("{\"msg\": \"a\", \"feed_time\": nan}");
    is_other("{\"msg\": \"a\" \"feed_time\": 1.0}");
    is_other("{'msg': 'a', 'feed_time': 1.0}");
    is_other("{\"msg\": \"a\\x\", \"feed_time\": 1.0}");
    is_other("{\"msg\": \"\\ud83d\", \"feed_time\": 1.0}");
}

static void test_something_behind_it(void **state)
{
    (void)state;
    is_other("{\"msg\": \"a\", \"feed_time\": 1.0} and more");
    is_other("{\"msg\": \"a\", \"feed_time\": 1.0}{\"msg\": \"b\", \"feed_time\": 1.0}");
    is_other("{\"msg\":\"a\",\"feed_time\":1.0}}");
    static const char nul_behind[] = "{\"msg\":\"a\",\"feed_time\":1.0}";
    check(nul_behind, sizeof nul_behind, NULL, false, 0);
}

/* Each prefix of a message is something else, and is not read beyond its end. */
static void test_truncated(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"msg\": \"New Order\", \"feed_time\": 1234.5}",
        "{\"msg\": \"a\\u00e9\\n\", \"feed_time\": 1234.5}",
        "{\"msg\":\"a\",\"feed_time\":null}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t length = 0; length < strlen(texts[i]); length++)
            check(texts[i], length, NULL, false, 0);
}

/* Bytes that are no text are carried as they are, and harm nothing where they are not understood. */
static void test_not_utf8(void **state)
{
    (void)state;
    is_message("{\"msg\": \"a\xff\xfe\", \"feed_time\": 1.0}", "a\xff\xfe", 1);
    is_message("{\"msg\": \"\xc3\", \"feed_time\": 1.0}", "\xc3", 1);
    is_other("\xff\xfe{\"msg\": \"a\", \"feed_time\": 1.0}");
    is_other("{\xff\"msg\": \"a\", \"feed_time\": 1.0}");
    is_other("{\"msg\": \"a\", \"feed_time\": 1.0\xff}");
    is_other("\xf0\x9d\x90\x87");
}

/* Deep nesting must not eat the stack. */
static void test_deep(void **state)
{
    (void)state;
    size_t length = 100000;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, '[', length);
    memcpy(text, "{\"msg\": ", 8);
    check(text, length, NULL, false, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_worker_writes),
        cmocka_unit_test(test_without_a_feed_time),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_other_layouts_of_the_same_json),
        cmocka_unit_test(test_other_json),
        cmocka_unit_test(test_no_json),
        cmocka_unit_test(test_something_behind_it),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
