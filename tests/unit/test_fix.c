/* fix.c: fields, quotes, repeats, and bytes that are no FIX. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/functions/fix.h"

#define S "\001"

/* Reads a copy of exactly that size, so that a sanitizer sees a read beyond it. The copy stays until the next call. */
static struct fix_message read_bytes(const char *text, size_t length)
{
    static char *copy;
    free(copy);
    copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    struct fix_message message;
    memset(&message, 0xff, sizeof message);
    fix_read(copy, length, &message);
    if (length == 0) {
        free(copy);
        copy = NULL;
    }
    return message;
}

static struct fix_message read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void assert_view(struct fix_view view, const char *expected)
{
    if (expected == NULL) {
        assert_null(view.data);
        assert_true(view.length == 0);
        return;
    }
    assert_non_null(view.data);
    assert_true(view.length == strlen(expected));
    assert_memory_equal(view.data, expected, view.length);
}

static void test_order_of_the_demo(void **state)
{
    (void)state;
    struct fix_message m =
        read_text("\"8=FIX.4.2" S "9=121" S "35=D" S "1=CLIENT35" S "11=s0XCIa" S "21=3" S "38=4000" S "40=2" S
                  "44=252.85366153511416" S "54=1" S "55=TSLA" S "60=20151204-14:30:00.000" S "107=Tesla Motors" S
                  "10=108" S "999=1458195070.3131151" S "\"");
    assert_view(m.fields[FIX_TYPE], "D");
    assert_true(fix_view_is(m.fields[FIX_TYPE], 'D'));
    assert_false(fix_view_is(m.fields[FIX_TYPE], 'S'));
    assert_view(m.fields[FIX_ACCOUNT], "CLIENT35");
    assert_view(m.fields[FIX_ORDER_ID], "s0XCIa");
    assert_view(m.fields[FIX_ORDER_QUANTITY], "4000");
    assert_view(m.fields[FIX_SYMBOL], "TSLA");
    assert_view(m.fields[FIX_TRANSACT_TIME], "20151204-14:30:00.000");
    assert_view(m.fields[FIX_FEED_EPOCH], "1458195070.3131151");
    assert_view(m.fields[FIX_BID], NULL);
    assert_view(m.fields[FIX_OFFER], NULL);
}

static void test_quote_without_quotes(void **state)
{
    (void)state;
    struct fix_message m = read_text("8=FIX.4.2" S "35=S" S "55=BTU" S "132=16.40" S "133=16.60");
    assert_true(fix_view_is(m.fields[FIX_TYPE], 'S'));
    assert_view(m.fields[FIX_SYMBOL], "BTU");
    assert_view(m.fields[FIX_BID], "16.40");
    assert_view(m.fields[FIX_OFFER], "16.60");
    assert_view(m.fields[FIX_ORDER_ID], NULL);
}

static void test_quotes_at_the_ends(void **state)
{
    (void)state;
    assert_view(read_text("\"8=x" S "55=TSLA\"").fields[FIX_SYMBOL], "TSLA");
    assert_view(read_text("8=x" S "55=TSLA\"").fields[FIX_SYMBOL],
                "TSLA\"");                                          /* no opening quote: a byte like any other */
    assert_view(read_text("\"55=TSLA\"").fields[FIX_SYMBOL], NULL); /* the opening quote makes the tag unknown */
    assert_view(read_text("\"" S "55=TSLA" S "\"").fields[FIX_SYMBOL], "TSLA");
    assert_view(read_text("\"8=x" S "55=A\"B" S "\"").fields[FIX_SYMBOL], "A\"B");
    assert_view(read_text("\"").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("\"\"").fields[FIX_SYMBOL], NULL);
}

static void test_the_last_of_a_repeated_tag_counts(void **state)
{
    (void)state;
    assert_view(read_text("55=A" S "55=BB" S "35=D").fields[FIX_SYMBOL], "BB");
    assert_view(read_text("55=A" S "55=").fields[FIX_SYMBOL], "");
    assert_view(read_text("11=first" S "37=second").fields[FIX_ORDER_ID], "second");
    assert_view(read_text("37=first" S "11=second").fields[FIX_ORDER_ID], "second");
}

static void test_what_is_no_wanted_field(void **state)
{
    (void)state;
    assert_view(read_text("055=A").fields[FIX_SYMBOL], NULL);
    assert_view(read_text(" 55=A").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("55").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("=55").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("0=x").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("1055=A").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("5=5" S "555=A" S "4294967351=A" S "+55=A" S "-55=A").fields[FIX_SYMBOL], NULL);
    assert_view(read_text("").fields[FIX_SYMBOL], NULL);
    assert_view(read_text(S S S).fields[FIX_SYMBOL], NULL);
    assert_view(read_text(S S "55=A" S S).fields[FIX_SYMBOL], "A");
    assert_view(read_text("55=A=B").fields[FIX_SYMBOL], "A=B");
    assert_view(read_text("999=1").fields[FIX_FEED_EPOCH], "1");
    assert_view(read_text("9999=1").fields[FIX_FEED_EPOCH], NULL);
}

static void test_any_bytes_are_kept(void **state)
{
    (void)state;
    static const char text[] = "35=D" S "55=a\0b\xff" S;
    struct fix_message m = read_bytes(text, sizeof text - 1);
    assert_true(m.fields[FIX_SYMBOL].length == 4);
    assert_memory_equal(m.fields[FIX_SYMBOL].data, "a\0b\xff", 4);
}

static void test_a_long_field(void **state)
{
    (void)state;
    const size_t length = 1 << 20;
    char *text = malloc(length + 4);
    assert_non_null(text);
    memcpy(text, "55=", 3);
    memset(text + 3, 'x', length);
    text[length + 3] = 1;
    struct fix_message m = read_bytes(text, length + 4);
    assert_true(m.fields[FIX_SYMBOL].length == length);
    free(text);
}

/* Bytes in which separators, digits and '=' are frequent: every view lies inside the text and holds no separator. */
static void test_random_bytes(void **state)
{
    (void)state;
    static const char letters[] = "\001\001\"=13579280 x";
    struct random_state random;
    random_seed(&random, 3);
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t length = (size_t)random_below(&random, sizeof text);
        for (size_t i = 0; i < length; i++)
            text[i] = letters[random_below(&random, sizeof letters - 1)];
        struct fix_message m;
        fix_read(text, length, &m);
        for (size_t i = FIX_OTHER + 1; i < FIX_FIELD_COUNT; i++) {
            const struct fix_view view = m.fields[i];
            if (view.data == NULL)
                continue;
            assert_true(view.data >= text && view.data + view.length <= text + length);
            assert_null(memchr(view.data, 1, view.length));
            assert_true(view.data[-1] == '=');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_the_demo),
        cmocka_unit_test(test_quote_without_quotes),
        cmocka_unit_test(test_quotes_at_the_ends),
        cmocka_unit_test(test_the_last_of_a_repeated_tag_counts),
        cmocka_unit_test(test_what_is_no_wanted_field),
        cmocka_unit_test(test_any_bytes_are_kept),
        cmocka_unit_test(test_a_long_field),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
