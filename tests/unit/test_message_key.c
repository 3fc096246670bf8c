/* message_key.c and json_field.c: which part is the key, and that the same key is always the same choice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/message_key.h"
#include "nodes/text/json_field.h"

#define S "\001"

enum { CHOICES = 1000003 }; /* so many that two keys hardly share one */

static struct message_key *open_key(const char *text)
{
    struct message_key *key = malloc(sizeof *key);
    struct error error = {0};
    assert_non_null(key);
    assert_int_equal(message_key_open(key, text, &error), STATUS_OK);
    return key;
}

/* Of a copy of exactly its size, so that a sanitizer sees a look beyond it. */
static size_t choose(struct message_key *key, const char *text)
{
    const size_t length = strlen(text);
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    const size_t choice = message_key_choose(key, copy, length, CHOICES);
    assert_true(choice < CHOICES);
    free(copy);
    return choice;
}

static void test_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",        "Symbol",         "fix",  "fix:",  "fix:x", "fix:1x", "fix:-1",
                                        "fix:055", "fix:1234567890", "json", "json:", "xml:a"};
    struct message_key *key = open_key("fix:55");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error error = {0};
        assert_int_equal(message_key_open(key, wrong[i], &error), STATUS_USAGE);
        assert_non_null(strstr(error.text, "is not symbol, fix:TAG or json:FIELD"));
    }
    free(key);
}

static void test_fix(void **state)
{
    (void)state;
    struct message_key *symbol = open_key("symbol");
    struct message_key *tag = open_key("fix:55");
    const size_t tsla = choose(symbol, "35=D" S "55=TSLA" S "11=1" S);
    const size_t empty = choose(symbol, "");
    assert_int_not_equal(tsla, empty);
    static const char *const same[] = {"55=TSLA", "\"8=FIX" S "55=TSLA\"", "55=X" S "55=TSLA" S,
                                       "155=X" S "5=Y" S "55=TSLA" S "550=Z" S};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_int_equal(choose(symbol, same[i]), tsla);
        assert_int_equal(choose(tag, same[i]), tsla);
    }
    static const char *const none[] = {"", "x", "\"", "\"\"", S, "55", "55=", "55=" S, "\"55=TSLA" S "\"", "35=D" S};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(choose(symbol, none[i]), empty);
        assert_int_equal(choose(tag, none[i]), empty);
    }
    assert_int_not_equal(choose(tag, "55=TSLAX"), tsla);
    const size_t long_one = choose(tag, "55=A-SYMBOL-OF-MORE-THAN-8" S);
    assert_int_equal(choose(symbol, "55=A-SYMBOL-OF-MORE-THAN-8" S), long_one);
    free(symbol);
    free(tag);
}

static void test_json(void **state)
{
    (void)state;
    struct message_key *key = open_key("json:user id");
    struct message_key *tag = open_key("fix:1");
    const size_t empty = choose(key, "");
    const size_t joe = choose(key, "{\"user id\": \"joe\"}");
    assert_int_equal(joe, choose(tag, "1=joe"));
    assert_int_equal(joe, choose(key, "{\"a\": {\"user id\": 1}, \"user id\" : \"j\\u006fe\"}"));
    assert_int_equal(choose(key, "{\"user id\": 12}"), choose(tag, "1=12"));
    assert_int_equal(choose(key, "{\"user id\": [1, {\"a\": null}]}"), choose(tag, "1=[1,{\"a\":null}]"));
    static const char *const none[] = {"{}",           "[]",          "{\"user\": 1}",         "{\"user id\": \"\"}",
                                       "{\"user id\"", "\"user id\"", "{\"USER ID\": \"joe\"}"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(choose(key, none[i]), empty);
    free(key);
    free(tag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_fix),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
