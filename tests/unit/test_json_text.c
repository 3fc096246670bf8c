/* json_text.c: what Python's json.dumps writes, and the buffer's limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/text/json_text.h"

static void assert_text(const struct text *text, const char *expected)
{
    assert_false(text_failed(text));
    assert_true(text->length == strlen(expected));
    assert_memory_equal(text->data, expected, text->length);
}

static void assert_string(const char *bytes, size_t length, const char *expected)
{
    struct text text = {0};
    text_append_json_string(&text, bytes, length);
    assert_text(&text, expected);
    text_free(&text);
}

static void test_appends(void **state)
{
    (void)state;
    struct text text = {0};
    text_append_string(&text, "{");
    text_append_json_string(&text, "t0", 2);
    text_append(&text, ": ", 2);
    text_append_double(&text, 1458195068.309974);
    text_append_format(&text, ", \"%.09f s\": ", 0.0001);
    text_append_uint64(&text, 2449);
    text_append_string(&text, ", ");
    text_append_uint64(&text, UINT64_MAX);
    text_append_string(&text, ", ");
    text_append_uint64(&text, 0);
    text_append_string(&text, ", ");
    text_append_double(&text, -0.0);
    text_append_string(&text, ", ");
    text_append_double(&text, __builtin_inf());
    text_append_string(&text, "}");
    assert_text(&text, "{\"t0\": 1458195068.309974, \"0.000100000 s\": 2449, 18446744073709551615, 0, -0.0, null}");
    text_reset(&text);
    assert_text(&text, "");
    text_free(&text);
    assert_null(text.data);
}

static void test_escapes(void **state)
{
    (void)state;
    assert_string("", 0, "\"\"");
    assert_string("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
    assert_string("\n\r\t\b\f", 5, "\"\\n\\r\\t\\b\\f\"");
    assert_string("\0\x1f\x7f ~", 5, "\"\\u0000\\u001f\\u007f ~\"");
    assert_string("\xc3\xa9\xe2\x82\xac", 5, "\"\\u00e9\\u20ac\"");
    assert_string("\xf0\x9d\x90\x87", 4, "\"\\ud835\\udc07\"");
}

/* Each byte that is no part of a well-formed character gives one replacement character. */
static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
#define R "\\ufffd"
    assert_string("a\x80z", 3, "\"a" R "z\"");
    assert_string("\xff\xfe", 2, "\"" R R "\"");
    assert_string("\xc3", 1, "\"" R "\"");
    assert_string("\xe2\x82", 2, "\"" R R "\"");
    assert_string("\xe2\x82"
                  "A",
                  3, "\"" R R "A\"");
    assert_string("\xc0\x80", 2, "\"" R R "\"");                        /* overlong */
    assert_string("\xe0\x80\x80", 3, "\"" R R R "\"");                  /* overlong */
    assert_string("\xf0\x80\x80\x80", 4, "\"" R R R R "\"");            /* overlong */
    assert_string("\xed\xa0\x80", 3, "\"" R R R "\"");                  /* a surrogate */
    assert_string("\xf4\x90\x80\x80", 4, "\"" R R R R "\"");            /* above U+10FFFF */
    assert_string("\xf4\x8f\xbf\xbf", 4, "\"\\udbff\\udfff\"");         /* U+10FFFF */
    assert_string("\xed\x9f\xbf\xee\x80\x80", 6, "\"\\ud7ff\\ue000\""); /* both sides of the surrogates */
    assert_string("\xc3\xc3\xa9", 3, "\"" R "\\u00e9\"");
#undef R
}

/* Each line: the UTF-8 bytes of a string in hexadecimal, what json.dumps makes of it. */
static const char cases_program[] = "python3 - <<'END'\n"
                                    "import json, random\n"
                                    "r = random.Random(5)\n"
                                    "c = [i for i in range(0x110000) if not 0xd800 <= i < 0xe000]\n"
                                    "s = [chr(i) for i in range(0x800)]\n"
                                    "s += [chr(i) for i in c[0x800::97]]\n"
                                    "for i in range(2000):\n"
                                    "    s.append(''.join(chr(c[r.randrange(r.choice([128, 300, 70000, len(c)]))])\n"
                                    "                     for j in range(r.randrange(0, 30))))\n"
                                    "for t in s: print(t.encode().hex() + ' ' + json.dumps(t))\n"
                                    "END\n";

static size_t unhex(const char *hex, size_t digits, char *bytes)
{
    for (size_t i = 0; i < digits; i += 2) {
        const char pair[] = {hex[i], hex[i + 1], '\0'};
        bytes[i / 2] = (char)strtoul(pair, NULL, 16);
    }
    return digits / 2;
}

static void test_writes_what_python_writes(void **state)
{
    (void)state;
    FILE *python = popen(cases_program, "r");
    assert_non_null(python);
    char line[2048];
    char bytes[512];
    unsigned count = 0;
    for (; fgets(line, sizeof line, python) != NULL; count++) {
        line[strcspn(line, "\n")] = '\0';
        size_t digits = strcspn(line, " ");
        assert_string(bytes, unhex(line, digits, bytes), line + digits + 1);
    }
    assert_int_equal(pclose(python), 0);
    assert_true(count > 10000);
}

static void test_grows_and_keeps_its_memory(void **state)
{
    (void)state;
    struct text text = {0};
    for (unsigned i = 0; i < 5000; i++)
        text_append_format(&text, "%08u,", i);
    assert_true(text.length == 5000 * 9);
    assert_memory_equal(text.data + 4999 * 9, "00004999,", 9);
    const char *data = text.data;
    size_t capacity = text.capacity;
    text_reset(&text);
    for (unsigned i = 0; i < 5000; i++)
        text_append_format(&text, "%08u,", i);
    assert_ptr_equal(text.data, data);
    assert_true(text.capacity == capacity);
    text_free(&text);
}

static void test_format_longer_than_the_room(void **state)
{
    (void)state;
    struct text text = {0};
    text_append_format(&text, "%0999d|", 7);
    assert_true(text.length == 1000);
    assert_memory_equal(text.data + 990, "000000007|", 10);
    text_free(&text);
}

static void test_fails_at_the_limit_and_recovers(void **state)
{
    (void)state;
    struct text text = {0};
    char *block = calloc(1, 1 << 20);
    assert_non_null(block);
    for (size_t length = 0; length < TEXT_BYTES_MAX; length += 1 << 20)
        text_append(&text, block, 1 << 20);
    assert_false(text_failed(&text));
    assert_true(text.length == TEXT_BYTES_MAX);
    text_append(&text, "x", 1);
    assert_true(text_failed(&text));
    text_append(&text, "", 0);
    text_append_uint64(&text, 1);
    text_append_double(&text, 1.0);
    text_append_format(&text, "%d", 1);
    assert_null(text_reserve(&text, 1));
    assert_true(text.length == TEXT_BYTES_MAX);
    text_reset(&text);
    text_append(&text, "x", 1);
    assert_text(&text, "x");
    text_free(&text);
    assert_null(text_reserve(&text, SIZE_MAX));
    assert_true(text_failed(&text));
    text_free(&text);
    free(block);
}

/* One byte that is not plain at every place of short and longer strings, and each byte that is. */
static void test_an_escape_anywhere(void **state)
{
    (void)state;
    static const struct {
        char byte;
        const char *escape;
    } cases[] = {{'"', "\\\""},       {'\\', "\\\\"},      {'\n', "\\n"},       {'\0', "\\u0000"}, {'\x1f', "\\u001f"},
                 {'\x7f', "\\u007f"}, {'\x80', "\\ufffd"}, {'\xff', "\\ufffd"}, {' ', " "},        {'~', "~"},
                 {'!', "!"},          {'#', "#"},          {'[', "["},          {']', "]"}};
    for (size_t length = 1; length <= 40; length++) {
        for (size_t place = 0; place < length; place++) {
            for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                /* Of exactly that size, so that a sanitizer sees a read beyond it. */
                char *bytes = malloc(length);
                char expected[64];
                char written[64];
                assert_non_null(bytes);
                memset(bytes, 'x', length);
                bytes[place] = cases[i].byte;
                const int expected_length = snprintf(
                    expected, sizeof expected, "%.*s%s%.*s", (int)place, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                    cases[i].escape, (int)(length - place - 1), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
                const size_t escaped_length = json_escaped_length(bytes, length);
                assert_int_equal(escaped_length, expected_length);
                assert_ptr_equal(json_escape(written, bytes, length, escaped_length), written + escaped_length);
                assert_memory_equal(written, expected, escaped_length);
                free(bytes);
            }
        }
    }
    assert_int_equal(json_escaped_length(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_writes_what_python_writes),
        cmocka_unit_test(test_grows_and_keeps_its_memory),
        cmocka_unit_test(test_format_longer_than_the_room),
        cmocka_unit_test(test_fails_at_the_limit_and_recovers),
        cmocka_unit_test(test_an_escape_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
