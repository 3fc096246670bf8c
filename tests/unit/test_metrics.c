/* metrics.c, metrics_parse.c: the exact texts of the three forms, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/metrics/metrics.h"

static const struct metrics_second one_second[] = {{1458195069, 1507}};

static const char datagram[] =
    "{\"t0\": 1458195068.309974, \"t1\": 1458195070.3131151, \"func\": \"Marketspread\", \"VUID\": \"NODE_2\", "
    "\"latency_time\": {\"0.000100000 s\": 0.131}, \"latency_count\": {\"0.000100000 s\": 2449}, "
    "\"throughput_in\": {\"1458195069\": 1507}, \"throughput_out\": {\"1458195069\": 1507}}";

static struct metrics_period example(void)
{
    return (struct metrics_period){
        .t0_s = 1458195068.309974,
        .t1_s = 1458195070.3131151,
        .func = "Marketspread",
        .vuid = "NODE_2",
        .bins = {{0.0001, 2449, 0.131}},
        .bin_count = 1,
        .in = one_second,
        .in_count = 1,
        .out = one_second,
        .out_count = 1,
    };
}

static void assert_text(struct text *text, const char *expected)
{
    assert_false(text_failed(text));
    text_append(text, "", 1);
    assert_string_equal(text->data, expected);
    text_free(text);
}

static void assert_post(const struct metrics_period *period, const char *expected)
{
    struct text text = {0};
    metrics_write_post(&text, period);
    assert_text(&text, expected);
}

/* ---- writing ---- */

static void test_datagram_has_the_documented_form(void **state)
{
    (void)state;
    struct metrics_period period = example();
    struct text text = {0};
    metrics_write_datagram(&text, &period);
    assert_text(&text, datagram);
}

static void test_datagram_says_null_where_there_is_nothing(void **state)
{
    (void)state;
    struct metrics_period period = {.t0_s = 1, .t1_s = 2.5, .func = "Sink", .vuid = "a\"\xc3\xa9\n"};
    struct text text = {0};
    metrics_write_datagram(&text, &period);
    assert_text(&text, "{\"t0\": 1.0, \"t1\": 2.5, \"func\": \"Sink\", \"VUID\": \"a\\\"\\u00e9\\n\", "
                       "\"latency_time\": null, \"latency_count\": null, \"throughput_in\": null, "
                       "\"throughput_out\": null}");
}

static void test_datagram_lists_seconds_with_messages(void **state)
{
    (void)state;
    static const struct metrics_second in[] = {{100, 0}, {101, 7}};
    static const struct metrics_second out[] = {{100, UINT64_MAX}, {101, 0}};
    struct metrics_period period = {
        .t0_s = 100, .t1_s = 102, .func = "", .vuid = "", .in = in, .in_count = 2, .out = out, .out_count = 2};
    struct text text = {0};
    metrics_write_datagram(&text, &period);
    assert_text(&text, "{\"t0\": 100.0, \"t1\": 102.0, \"func\": \"\", \"VUID\": \"\", \"latency_time\": null, "
                       "\"latency_count\": null, \"throughput_in\": {\"101\": 7}, "
                       "\"throughput_out\": {\"100\": 18446744073709551615}}");
}

static void test_latency_goes_into_decades(void **state)
{
    (void)state;
    static struct histogram histogram;
    struct histogram_copy before;
    struct histogram_copy after;
    histogram_record(&histogram, 5, 1000); /* of an earlier period */
    histogram_read(&histogram, &before);
    histogram_record(&histogram, 9999, 2);
    histogram_record(&histogram, 10000, 3);
    histogram_record(&histogram, INT64_C(2500000000), 1);
    histogram_read(&histogram, &after);
    histogram_subtract(&after, &before);
    struct metrics_period period = {.t0_s = 1, .t1_s = 1, .func = "Pong", .vuid = "V"};
    metrics_set_latency(&period, &after);
    assert_int_equal(period.bin_count, 3);
    struct text text = {0};
    metrics_write_datagram(&text, &period);
    assert_text(&text, "{\"t0\": 1.0, \"t1\": 1.0, \"func\": \"Pong\", \"VUID\": \"V\", "
                       "\"latency_time\": {\"10.000000000 s\": 2.5, \"0.000100000 s\": 3e-05, \"0.000010000 s\": "
                       "1.9998e-05}, \"latency_count\": {\"10.000000000 s\": 1, \"0.000100000 s\": 3, "
                       "\"0.000010000 s\": 2}, \"throughput_in\": null, \"throughput_out\": null}");
    assert_post(&period, "{\"pipeline_key\": \"V\", \"t1\": 1.0, \"t0\": 1.0, \"topics\": {\"latency_bins\": "
                         "{\"10.0\": 1, \"0.0001\": 3, \"1e-05\": 2}, \"throughput_out\": {}}}");
}

static void test_post_has_the_documented_form(void **state)
{
    (void)state;
    struct metrics_period period = example();
    period.t0_s = 1458195068.309974;
    period.t1_s = 1458195069.9;
    period.bins[1] = (struct metrics_bin){0.00001, 12, 0.0001};
    period.bin_count = 2;
    assert_post(&period, "{\"pipeline_key\": \"NODE_2\", \"t1\": 1458195069.9, \"t0\": 1458195068.309974, "
                         "\"topics\": {\"latency_bins\": {\"0.0001\": 2449, \"1e-05\": 12}, "
                         "\"throughput_out\": {\"1458195069\": 1507}}}");
}

/* ---- the seconds of a post ---- */

static void assert_seconds(double t0_s, double t1_s, const struct metrics_second *out, size_t out_count,
                           const char *expected)
{
    struct metrics_period period = {
        .t0_s = t0_s, .t1_s = t1_s, .func = "", .vuid = "", .out = out, .out_count = out_count};
    struct text text = {0};
    metrics_write_post(&text, &period);
    assert_false(text_failed(&text));
    text_append(&text, "", 1);
    const char *seconds = strstr(text.data, "\"throughput_out\": ");
    assert_non_null(seconds);
    assert_string_equal(seconds + strlen("\"throughput_out\": "), expected);
    text_free(&text);
}

static void test_post_fills_with_zeros(void **state)
{
    (void)state;
    assert_seconds(100, 101, NULL, 0, "{\"100\": 0}}}");
    assert_seconds(100, 103, NULL, 0, "{\"100\": 0, \"101\": 0, \"102\": 0}}}");
    assert_seconds(100, 100, NULL, 0, "{}}}");
    assert_seconds(98.3, 100.3, NULL, 0, "{\"98\": 0, \"99\": 0, \"100\": 0}}}");
    assert_seconds(100.3, 102.3, NULL, 0, "{\"100\": 0, \"101\": 0, \"102\": 0}}}");
    assert_seconds(102.3, 102.9, NULL, 0, "{\"102\": 0}}}");
    assert_seconds(102.9, 103.1, NULL, 0, "{\"102\": 0, \"103\": 0}}}");
    /* A clock that went back. */
    assert_seconds(103, 50, NULL, 0, "{}}}");
}

static void test_post_keeps_what_was_counted(void **state)
{
    (void)state;
    static const struct metrics_second out[] = {{99, 1}, {101, 2}, {105, 3}};
    assert_seconds(100, 104, out, 3, "{\"99\": 1, \"100\": 0, \"101\": 2, \"102\": 0, \"103\": 0, \"105\": 3}}}");
    assert_seconds(103, 50, out, 3, "{\"99\": 1, \"101\": 2, \"105\": 3}}}");
    assert_seconds(100, 101, out, 2, "{\"99\": 1, \"100\": 0, \"101\": 2}}}");
}

static void test_post_is_not_filled_without_end(void **state)
{
    (void)state;
    struct metrics_period period = {.t0_s = 0, .t1_s = 9e9, .func = "", .vuid = ""};
    struct text text = {0};
    metrics_write_post(&text, &period);
    assert_false(text_failed(&text));
    assert_true(text.length < (size_t)METRICS_FILL_SECONDS_MAX * 20);
    text_append(&text, "", 1);
    assert_non_null(strstr(text.data, "{\"8999996400\": 0, "));
    assert_non_null(strstr(text.data, "\"8999999999\": 0}}}"));
    text_free(&text);
}

/* ---- the table ---- */

static void test_table_is_readable(void **state)
{
    (void)state;
    struct metrics_period period = example();
    struct text text = {0};
    metrics_write_table(&text, &period);
    assert_text(&text, "NODE_2 (Marketspread) 2016-03-17 06:11:08.309974 to 2016-03-17 06:11:10.313115 (2.003 s)\n"
                       "  in                   1507 messages          752.3/s\n"
                       "  out                  1507 messages          752.3/s\n"
                       "  latency <= 0.0001 s: 2449, mean 0.000053491 s\n");
}

static void test_table_shows_no_control_characters(void **state)
{
    (void)state;
    struct metrics_period period = {.t0_s = 5, .t1_s = 5, .func = "\x1b[2J", .vuid = "a\nb"};
    struct text text = {0};
    metrics_write_table(&text, &period);
    assert_text(&text, "a\\x0ab (\\x1b[2J) 1970-01-01 00:00:05.000000 to 1970-01-01 00:00:05.000000 (0.000 s)\n"
                       "  in                      0 messages\n"
                       "  out                     0 messages\n");
}

/* ---- reading ---- */

/* From a copy of exactly that size, so that a sanitizer sees a read beyond it. */
static enum status parse(struct metrics_parsed *parsed, const char *text, size_t length, struct error *error)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    enum status status = metrics_parse(parsed, copy, length, error);
    free(copy);
    return status;
}

static void assert_round_trip(const char *text)
{
    struct metrics_parsed parsed;
    struct error error = {0};
    if (parse(&parsed, text, strlen(text), &error) != STATUS_OK)
        fail_msg("refused: %s: %s", error.text, text);
    struct text written = {0};
    metrics_write_datagram(&written, &parsed.period);
    metrics_parsed_free(&parsed);
    assert_text(&written, text);
}

static void test_reads_what_is_written(void **state)
{
    (void)state;
    assert_round_trip(datagram);
    assert_round_trip("{\"t0\": 0.0, \"t1\": 1e-05, \"func\": \"\\u00e9\", \"VUID\": \"\", \"latency_time\": null, "
                      "\"latency_count\": null, \"throughput_in\": null, \"throughput_out\": null}");
    assert_round_trip("{\"t0\": 1.0, \"t1\": 2.0, \"func\": \"f\", \"VUID\": \"v\", \"latency_time\": "
                      "{\"1.000000000 s\": 0.5, \"0.000000001 s\": 0.0}, \"latency_count\": {\"1.000000000 s\": 1, "
                      "\"0.000000001 s\": 9007199254740992}, \"throughput_in\": {\"2\": 5}, "
                      "\"throughput_out\": {\"9999999999\": 1}}");
}

static void test_receiver_turns_a_datagram_into_a_post(void **state)
{
    (void)state;
    struct metrics_parsed parsed;
    struct error error = {0};
    assert_int_equal(parse(&parsed, datagram, strlen(datagram), &error), STATUS_OK);
    assert_post(&parsed.period, "{\"pipeline_key\": \"NODE_2\", \"t1\": 1458195070.3131151, \"t0\": "
                                "1458195068.309974, \"topics\": {\"latency_bins\": {\"0.0001\": 2449}, "
                                "\"throughput_out\": {\"1458195069\": 1507, \"1458195070\": 0}}}");
    metrics_parsed_free(&parsed);
}

static void test_a_silent_prototype_becomes_zeros(void **state)
{
    (void)state;
    static const char silent[] = " {\"VUID\": \"NODE_1\", \"extra\": [1], \"t1\": 1458195070, \"t0\": 1458195068, "
                                 "\"func\": \"Messagequeue\", \"latency_time\": null, \"latency_count\": null, "
                                 "\"throughput_in\": null, \"throughput_out\": null} \r\n\t";
    struct metrics_parsed parsed;
    struct error error = {0};
    assert_int_equal(parse(&parsed, silent, strlen(silent), &error), STATUS_OK);
    assert_post(&parsed.period, "{\"pipeline_key\": \"NODE_1\", \"t1\": 1458195070.0, \"t0\": 1458195068.0, "
                                "\"topics\": {\"latency_bins\": {}, \"throughput_out\": {\"1458195068\": 0, "
                                "\"1458195069\": 0}}}");
    metrics_parsed_free(&parsed);
}

static void test_seconds_are_sorted(void **state)
{
    (void)state;
    static const char text[] = "{\"t0\": 1, \"t1\": 2, \"func\": \"\", \"VUID\": \"\", \"latency_time\": null, "
                               "\"latency_count\": null, \"throughput_in\": {}, \"throughput_out\": {\"3\": 1, \"1\": "
                               "2, \"2\": 3}}";
    struct metrics_parsed parsed;
    struct error error = {0};
    assert_int_equal(parse(&parsed, text, strlen(text), &error), STATUS_OK);
    assert_int_equal(parsed.period.in_count, 0);
    assert_int_equal(parsed.period.out_count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(parsed.period.out[i].second, i + 1);
    metrics_parsed_free(&parsed);
}

static void assert_refused(const char *text, size_t length, const char *why)
{
    struct metrics_parsed parsed;
    struct error error = {0};
    if (parse(&parsed, text, length, &error) != STATUS_INPUT)
        fail_msg("accepted: %.*s", (int)length, text);
    if (strstr(error.text, why) == NULL)
        fail_msg("'%s' does not say '%s' of: %.*s", error.text, why, (int)length, text);
}

static void test_refuses_what_is_no_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"hello", "{", "{\"t0\": }", "\xff\xfe", "{\"t0\": 1} x", "nan", "{]", "\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i], strlen(texts[i]), "no JSON");
    assert_refused("", 0, "empty");
    assert_refused("{}\0{}", 5, "no JSON");
    for (size_t i = 0; i + 1 < sizeof datagram - 1; i++)
        assert_refused(datagram, i, i == 0 ? "empty" : "no JSON");
}

static void test_refuses_what_is_no_object(void **state)
{
    (void)state;
    static const char *const texts[] = {"1", "null", "[]", "\"t0\"", "true", "[{\"t0\": 1}]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i], strlen(texts[i]), "no JSON object");
}

static void test_refuses_deep_nesting(void **state)
{
    (void)state;
    size_t length = 100000;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, '[', length);
    assert_refused(text, length, "no JSON");
    free(text);
}

/* A good datagram in which the value of one member is another. */
static void assert_member_refused(const char *name, const char *value, const char *why)
{
    static const char *const members[][2] = {
        {"t0", "1"},
        {"t1", "2"},
        {"func", "\"f\""},
        {"VUID", "\"v\""},
        {"latency_time", "{\"1.0 s\": 1}"},
        {"latency_count", "{\"1.0 s\": 1}"},
        {"throughput_in", "null"},
        {"throughput_out", "null"},
    };
    char text[8192] = "{";
    size_t length = 1;
    bool found = false;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        bool is_it = strcmp(members[i][0], name) == 0;
        found = found || is_it;
        if (is_it && value == NULL)
            continue;
        length += (size_t)snprintf(text + length, sizeof text - length, "%s\"%s\": %s", length > 1 ? ", " : "",
                                   members[i][0], is_it ? value : members[i][1]);
    }
    length += (size_t)snprintf(text + length, sizeof text - length, "}");
    assert_true(found && length < sizeof text);
    assert_refused(text, length, why);
}

static void test_refuses_missing_members(void **state)
{
    (void)state;
    static const char *const names[] = {
        "t0", "t1", "func", "VUID", "latency_time", "latency_count", "throughput_in", "throughput_out"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_member_refused(names[i], NULL, "is missing");
}

static void test_refuses_wrong_types(void **state)
{
    (void)state;
    static const char *const times[] = {"\"1\"", "null", "-1", "1e400", "1e10", "[]", "true"};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_member_refused("t0", times[i], "t0 is no time");
        assert_member_refused("t1", times[i], "t1 is no time");
    }
    assert_member_refused("VUID", "7", "VUID is no string");
    assert_member_refused("func", "null", "func is no string");
    assert_member_refused("throughput_out", "[]", "throughput_out is neither");
    assert_member_refused("throughput_in", "0", "throughput_in is neither");
    assert_member_refused("latency_count", "\"\"", "latency_count is neither");
    assert_member_refused("latency_time", "false", "latency_time is neither");
}

static void test_refuses_bad_entries(void **state)
{
    (void)state;
    static const char *const seconds[] = {
        "{\"1\": -1}", "{\"1\": 1.5}", "{\"1\": \"1\"}", "{\"1\": 1e300}",       "{\"x\": 1}",  "{\"\": 1}",
        "{\"-1\": 1}", "{\"1.0\": 1}", "{\"1\": null}",  "{\"12345678901\": 1}", "{\" 1\": 1}", "{\"1\": [1]}"};
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        assert_member_refused("throughput_in", seconds[i], "no count of a second");
        assert_member_refused("throughput_out", seconds[i], "no count of a second");
    }
    assert_member_refused("throughput_out", "{\"1\": 1, \"2\": 1, \"01\": 1}", "twice");
    static const char *const bins[] = {"{\"1.0\": 1}",    "{\" s\": 1}",    "{\"x s\": 1}",      "{\"-1.0 s\": 1}",
                                       "{\"1.0 s\": -1}", "{\"inf s\": 1}", "{\"1.0 s\": null}", "{\"1.0 s\": 0.5}"};
    for (size_t i = 0; i < sizeof bins / sizeof bins[0]; i++)
        assert_member_refused("latency_count", bins[i], "no latency bin");
    assert_member_refused("latency_time", "{\"1.0 s\": \"x\"}", "no latency bin");
    assert_member_refused("latency_count", "{\"1.0 s\": 1, \"1.00 s\": 1}", "twice");
}

static void test_refuses_too_many_bins(void **state)
{
    (void)state;
    char bins[4096] = "{";
    size_t length = 1;
    for (int i = 0; i <= METRICS_BIN_COUNT_MAX; i++)
        length += (size_t)snprintf(bins + length, sizeof bins - length, "%s\"%d s\": 1", i > 0 ? ", " : "", i);
    snprintf(bins + length, sizeof bins - length, "}");
    assert_member_refused("latency_count", bins, "more than 64 bins");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagram_has_the_documented_form),
        cmocka_unit_test(test_datagram_says_null_where_there_is_nothing),
        cmocka_unit_test(test_datagram_lists_seconds_with_messages),
        cmocka_unit_test(test_latency_goes_into_decades),
        cmocka_unit_test(test_post_has_the_documented_form),
        cmocka_unit_test(test_post_fills_with_zeros),
        cmocka_unit_test(test_post_keeps_what_was_counted),
        cmocka_unit_test(test_post_is_not_filled_without_end),
        cmocka_unit_test(test_table_is_readable),
        cmocka_unit_test(test_table_shows_no_control_characters),
        cmocka_unit_test(test_reads_what_is_written),
        cmocka_unit_test(test_receiver_turns_a_datagram_into_a_post),
        cmocka_unit_test(test_a_silent_prototype_becomes_zeros),
        cmocka_unit_test(test_seconds_are_sorted),
        cmocka_unit_test(test_refuses_what_is_no_json),
        cmocka_unit_test(test_refuses_what_is_no_object),
        cmocka_unit_test(test_refuses_deep_nesting),
        cmocka_unit_test(test_refuses_missing_members),
        cmocka_unit_test(test_refuses_wrong_types),
        cmocka_unit_test(test_refuses_bad_entries),
        cmocka_unit_test(test_refuses_too_many_bins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
