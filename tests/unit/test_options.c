/* Option tables: every kind, limits, errors, defaults, help, the nearest name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/options.h"

struct config {
    bool flag;
    uint64_t count;
    uint64_t bytes;
    int64_t seconds_ns;
    unsigned choice;
    const char *text;
    const char *needed;
    struct text_list texts;
    struct address_list addresses;
};

#define AT(member) offsetof(struct config, member)

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct option table[] = {
    {"flag", OPTION_FLAG, AT(flag), .help = "a flag"},
    {"count", OPTION_COUNT, AT(count), "7", 1, 1000, .value_name = "COUNT", .help = "a count"},
    {"bytes", OPTION_BYTES, AT(bytes), "4K", 1, 1e15, .value_name = "BYTES", .help = "some bytes"},
    {"seconds", OPTION_SECONDS, AT(seconds_ns), "0.5", 0, 3600, .value_name = "SECONDS", .help = "some seconds"},
    {"colour", OPTION_CHOICE, AT(choice), "green", .choices = colours, .value_name = "COLOUR", .help = "a colour"},
    {"text", OPTION_TEXT, AT(text), .value_name = "TEXT", .help = "a text"},
    {"needed", OPTION_TEXT, AT(needed), .value_name = "THING", .help = "what is needed", .required = true},
    {"texts", OPTION_TEXTS, AT(texts), "one", .value_name = "TEXT", .help = "some texts"},
    {"address", OPTION_ADDRESSES, AT(addresses), "127.0.0.1:10000", .value_name = "ADDRESS", .help = "some addresses"},
    {0},
};

static struct config config;

static const struct option *row(const char *name)
{
    const struct option *option = options_find(table, name, strlen(name));
    assert_non_null(option);
    return option;
}

static void set(const char *name, const char *value, bool fresh)
{
    struct error error = {0};
    if (options_set(row(name), &config, value, fresh, &error) != STATUS_OK)
        fail_msg("--%s %s: %s", name, value, error.text);
}

/* The error names the flag and the value, and holds `part`. */
static void refused(const char *name, const char *value, const char *part)
{
    struct error error = {0};
    char flag[40];
    snprintf(flag, sizeof flag, "--%s", name);
    if (options_set(row(name), &config, value, true, &error) != STATUS_USAGE)
        fail_msg("--%s '%s' was taken", name, value);
    assert_non_null(strstr(error.text, flag));
    assert_non_null(strstr(error.text, value));
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
}

static int open_config(void **state)
{
    (void)state;
    config = (struct config){0};
    options_set_defaults(table, &config);
    return 0;
}

static int close_config(void **state)
{
    (void)state;
    options_free(table, &config);
    assert_int_equal(config.texts.count + config.addresses.count, 0);
    assert_true(config.texts.items == NULL && config.addresses.items == NULL);
    return 0;
}

static void test_find(void **state)
{
    (void)state;
    assert_ptr_equal(options_find(table, "count", 5), &table[1]);
    assert_ptr_equal(options_find(table, "count=5", 5), &table[1]);
    assert_null(options_find(table, "count", 4));
    assert_null(options_find(table, "counts", 6));
    assert_null(options_find(table, "Count", 5));
    assert_null(options_find(table, "", 0));
    assert_null(options_find(NULL, "count", 5));
}

static void test_defaults(void **state)
{
    (void)state;
    assert_false(config.flag);
    assert_int_equal(config.count, 7);
    assert_int_equal(config.bytes, 4096);
    assert_true(config.seconds_ns == 500000000);
    assert_int_equal(config.choice, 1);
    assert_null(config.text);
    assert_int_equal(config.texts.count, 1);
    assert_string_equal(config.texts.items[0], "one");
    assert_int_equal(config.addresses.count, 1);
    assert_string_equal(config.addresses.items[0].text, "127.0.0.1:10000");
    options_set_defaults(NULL, &config); /* no table, no options */
    options_free(NULL, &config);
}

static void test_flag(void **state)
{
    (void)state;
    set("flag", NULL, true);
    assert_true(config.flag);
}

static void test_count(void **state)
{
    (void)state;
    set("count", "1", true);
    assert_int_equal(config.count, 1);
    set("count", "1000", true);
    assert_int_equal(config.count, 1000);
    set("count", "0042", true);
    assert_int_equal(config.count, 42);
    static const char *const wrong[] = {"0",   "1001",
                                        "-1",  "+5",
                                        " 5",  "5 ",
                                        "5x",  "1.5",
                                        "1e2", "0x5",
                                        "K",   "99999999999999999999999",
                                        "abc", "18446744073709551617"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused("count", wrong[i], "from 1 to 1000");
    refused("count", "", "whole number");
    assert_int_equal(config.count, 42); /* what was refused changes nothing */
}

static void test_count_of_any_size(void **state)
{
    (void)state;
    static const struct option large = {"large", OPTION_COUNT, AT(count), .min = 0, .max = 1.8446744073709552e19};
    struct error error = {0};
    assert_int_equal(options_set(&large, &config, "18446744073709551615", true, &error), STATUS_OK);
    assert_true(config.count == UINT64_MAX);
    assert_int_equal(options_set(&large, &config, "18446744073709551616", true, &error), STATUS_USAGE);
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"1", 1}, {"1K", 1024}, {"1k", 1024}, {"2M", 2 << 20}, {"3g", 3ull << 30}, {"1000000", 1000000}};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        set("bytes", right[i].text, true);
        assert_int_equal(config.bytes, right[i].bytes);
    }
    static const char *const wrong[] = {"0",    "-1",  "1KB", "1T", "K",   "1 K",
                                        "1.5K", "0x1", "+1",  " 1", "KK1", "1000000000000001"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused("bytes", wrong[i], "number of bytes");
    refused("bytes", "18014398509481984K", "number of bytes"); /* 2^64 and more, once multiplied */
    refused("bytes", "18014398509481985K", "number of bytes");
    refused("bytes", "17179869184G", "number of bytes");
    refused("bytes", "99999999999999999999", "number of bytes");
    refused("bytes", "", "number of bytes");
}

static void test_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } right[] = {{"0", 0},           {"1", 1000000000},  {"0.000001", 1000},     {"1e-9", 1},
                 {".25", 250000000}, {"0.1", 100000000}, {"3600", 3600000000000}};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        set("seconds", right[i].text, true);
        assert_true(config.seconds_ns == right[i].ns);
    }
    static const char *const wrong[] = {"-1",  "-0.001", "3600.1", "1s",    "s",   " 1",   "1 ",
                                        "nan", "inf",    "-inf",   "1e400", "1,5", "1.2.3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused("seconds", wrong[i], "seconds from 0 to 3600");
    refused("seconds", "", "seconds");
}

static void test_choice(void **state)
{
    (void)state;
    set("colour", "red", true);
    assert_int_equal(config.choice, 0);
    set("colour", "blue", true);
    assert_int_equal(config.choice, 2);
    refused("colour", "pink", "red, green, blue");
    refused("colour", "Red", "none of");
    refused("colour", "gree", "none of");
    refused("colour", "greens", "none of");
    refused("colour", "", "none of");
    assert_int_equal(config.choice, 2);
}

/* The list of choices is longer than the place for it: the text is cut, and nothing else. */
static void test_very_many_choices(void **state)
{
    (void)state;
    static char names[64][20];
    static const char *many[65];
    for (size_t i = 0; i < 64; i++) {
        snprintf(names[i], sizeof names[i], "choice-number-%zu", i);
        many[i] = names[i];
    }
    const struct option option = {"many", OPTION_CHOICE, AT(choice), .choices = many};
    struct error error = {0};
    assert_int_equal(options_set(&option, &config, "none", true, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "choice-number-0, choice-number-1"));
    assert_int_equal(options_set(&option, &config, "choice-number-63", true, &error), STATUS_OK);
    assert_int_equal(config.choice, 63);
}

static void test_text(void **state)
{
    (void)state;
    const char *text = "any text, = and --all";
    set("text", text, true);
    assert_ptr_equal(config.text, text); /* points to what was given */
    set("text", "", true);
    assert_string_equal(config.text, "");
}

static void test_lists(void **state)
{
    (void)state;
    set("texts", "a", true); /* replaces the default */
    set("texts", "b", false);
    set("texts", "a", false);
    assert_int_equal(config.texts.count, 3);
    assert_string_equal(config.texts.items[0], "a");
    assert_string_equal(config.texts.items[1], "b");
    assert_string_equal(config.texts.items[2], "a");
    set("texts", "c", true);
    assert_int_equal(config.texts.count, 1);
    assert_string_equal(config.texts.items[0], "c");
}

static void test_addresses(void **state)
{
    (void)state;
    set("address", "tcp://127.0.0.1:1", true);
    set("address", "orders", false);
    assert_int_equal(config.addresses.count, 2);
    assert_int_equal(config.addresses.items[0].scheme, ADDRESS_TCP);
    assert_int_equal(config.addresses.items[1].scheme, ADDRESS_NAME);
    refused("address", "127.0.0.1:99999", "port");
    assert_int_equal(config.addresses.count, 0); /* what it was to replace is gone */
    struct error error = {0};
    set("address", "one", false);
    assert_int_equal(options_set(row("address"), &config, "no:such:thing", false, &error), STATUS_USAGE);
    assert_int_equal(config.addresses.count, 1);
}

static void test_required(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(options_check_required(table, &config, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "--needed THING"));
    assert_non_null(strstr(error.text, "what is needed"));
    set("needed", "x", true);
    assert_int_equal(options_check_required(table, &config, &error), STATUS_OK);
    assert_int_equal(options_check_required(NULL, &config, &error), STATUS_OK);
    static const struct option lists[] = {
        {"texts", OPTION_TEXTS, AT(texts), .value_name = "T", .help = "", .required = true},
        {"address", OPTION_ADDRESSES, AT(addresses), .value_name = "A", .help = "", .required = true},
        {0},
    };
    assert_int_equal(options_check_required(lists, &config, &error), STATUS_OK);
    struct config empty = {0};
    assert_int_equal(options_check_required(lists, &empty, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "--texts"));
    assert_int_equal(options_check_required(lists + 1, &empty, &error), STATUS_USAGE);
    assert_non_null(strstr(error.text, "--address"));
}

static void test_help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    options_print_help(out, table);
    options_print_help(out, NULL);
    assert_int_equal(fclose(out), 0);
    static const char *const parts[] = {"  --flag ",
                                        "a flag\n",
                                        "  --count COUNT ",
                                        "a count [default 7; 1 to 1000]\n",
                                        "--bytes BYTES",
                                        "[default 4K; 1 to 1e+15]",
                                        "[default 0.5; 0 to 3600]",
                                        "[default green; red|green|blue]",
                                        "a text\n",
                                        "[required]",
                                        "[default one; may be repeated]"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("the help does not say '%s':\n%s", parts[i], text);
    size_t lines = 0;
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, sizeof table / sizeof table[0] - 1);
    free(text);
}

static const char *nearest(const char *name, size_t distance)
{
    static const char *const candidates[] = {"address", "metrics-address", "delay", "capacity", NULL};
    const char *best = NULL;
    for (size_t i = 0; candidates[i] != NULL; i++)
        options_nearest(name, strlen(name), candidates[i], &best, &distance);
    return best;
}

static void test_nearest(void **state)
{
    (void)state;
    assert_string_equal(nearest("addres", 3), "address");
    assert_string_equal(nearest("adress", 3), "address");
    assert_string_equal(nearest("delya", 3), "delay");
    assert_string_equal(nearest("metric-address", 3), "metrics-address");
    assert_null(nearest("capacity", 0)); /* not nearer than what there is */
    assert_string_equal(nearest("capacity", 1), "capacity");
    assert_null(nearest("zzz", 3));
    assert_string_equal(nearest("", 100), "delay"); /* the shortest */
    assert_null(nearest("a-name-that-is-very-much-longer-than-any-option-of-ours", 1000));
    const char *best = "kept";
    size_t distance = 2;
    options_nearest("delay", 5, "dalai", &best, &distance); /* two off: not nearer */
    assert_string_equal(best, "kept");
    options_nearest("delay=5", 5, "dela", &best, &distance); /* the length counts, not the NUL */
    assert_string_equal(best, "dela");
    assert_int_equal(distance, 1);
}

#define OPTION_TEST(name) cmocka_unit_test_setup_teardown(name, open_config, close_config)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTION_TEST(test_find),
        OPTION_TEST(test_defaults),
        OPTION_TEST(test_flag),
        OPTION_TEST(test_count),
        OPTION_TEST(test_count_of_any_size),
        OPTION_TEST(test_bytes),
        OPTION_TEST(test_seconds),
        OPTION_TEST(test_choice),
        OPTION_TEST(test_very_many_choices),
        OPTION_TEST(test_text),
        OPTION_TEST(test_lists),
        OPTION_TEST(test_addresses),
        OPTION_TEST(test_required),
        OPTION_TEST(test_help),
        OPTION_TEST(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
