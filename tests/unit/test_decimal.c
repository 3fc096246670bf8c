/* decimal.c against Python's float() and repr(): chosen cases, then tens of thousands that python3 makes. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nodes/text/decimal.h"

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Parses a copy of exactly that size, so that a sanitizer sees a read beyond it. */
static enum status parse(const char *text, double *value)
{
    size_t length = strlen(text);
    char *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    char *exact = realloc(copy, length > 0 ? length : 1);
    assert_non_null(exact);
    enum status status = decimal_parse(exact, length, value);
    free(exact);
    return status;
}

/* decimal_rewrite does what decimal_parse and decimal_format do. The text is a heap block, whose ends a sanitizer sees.
 */
static void assert_rewrites(const char *text, size_t length)
{
    char expected[DECIMAL_TEXT_BYTES] = "";
    char written[DECIMAL_TEXT_BYTES];
    double value;
    size_t expected_length = 0;
    size_t written_length;
    char *exact = malloc(length > 0 ? length : 1);
    assert_non_null(exact);
    memcpy(exact, text, length);
    const enum status expected_status = decimal_parse(exact, length, &value);
    const enum status status = decimal_rewrite(exact, length, written, &written_length);
    free(exact);
    if (expected_status == STATUS_OK)
        expected_length = decimal_format(value, expected);
    if (status != expected_status || (status == STATUS_OK && (written_length != expected_length ||
                                                              memcmp(written, expected, expected_length + 1) != 0)))
        fail_msg("'%.*s' is rewritten as '%s', not '%s'", (int)length, text,
                 status == STATUS_OK ? written : "no number", expected_status == STATUS_OK ? expected : "no number");
}

static void assert_reads(const char *text, double expected)
{
    double value = 12345;
    if (parse(text, &value) != STATUS_OK || bits_of(value) != bits_of(expected))
        fail_msg("'%s' reads as %a, not %a", text, value, expected);
    assert_rewrites(text, strlen(text));
}

static void assert_refused(const char *text)
{
    double value = 12345;
    if (parse(text, &value) != STATUS_INPUT || bits_of(value) != bits_of(12345))
        fail_msg("'%s' reads as %a", text, value);
    assert_rewrites(text, strlen(text));
}

static void assert_writes(double value, const char *expected)
{
    char text[DECIMAL_TEXT_BYTES];
    size_t length = decimal_format(value, text);
    assert_string_equal(text, expected);
    assert_true(length == strlen(expected));
}

static void test_reads_plain_decimals(void **state)
{
    (void)state;
    assert_reads("4000", 4000.0);
    assert_reads("252.85366153511416", 252.85366153511416);
    assert_reads("1458195070.3131151", 1458195070.3131151);
    assert_reads("  \t\n\v\f\r-1.5 ", -1.5);
    assert_reads("+1.5", 1.5);
    assert_reads("1.", 1.0);
    assert_reads(".5", 0.5);
    assert_reads("-0", -0.0);
    assert_reads("0e999999999999999999999", 0.0);
    assert_reads("1e5", 1e5);
    assert_reads("1E+05", 1e5);
    assert_reads("1e-5", 1e-5);
    assert_reads("000000000000000000000000000001.50", 1.5);
    assert_reads("0.000000000000000000000000000015", 1.5e-29);
}

static void test_reads_the_hard_ones(void **state)
{
    (void)state;
    assert_reads("9007199254740993", 9007199254740992.0); /* between two doubles: to the even one */
    assert_reads("9007199254740995", 9007199254740996.0);
    assert_reads("9007199254740993.00000000000000000001", 9007199254740994.0);
    assert_reads("1.7976931348623157e308", 0x1.fffffffffffffp1023);
    assert_reads("2.2250738585072011e-308", 0x0.fffffffffffffp-1022);
    assert_reads("5e-324", 0x1p-1074);
    assert_reads("2e-324", 0.0);
    assert_reads("1e-400", 0.0);
    assert_reads("-1e-99999999999999999999", -0.0);
    assert_reads("18446744073709551616", 0x1p64);
    assert_reads("9999999999999999999e19", 9999999999999999999e19);
    /* Half-way but for the remainder of a division. */
    assert_reads("0.9516237000573218308", 0x1.e73b38bbb07dfp-1);
    assert_reads("0.4990625016349084231", 0x1.ff0a3d8cba3e5p-2);
    assert_reads("9999999999999999999e-19", 9999999999999999999e-19);
}

static void test_refuses_the_rest(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        ".",
        "-",
        "+",
        "e5",
        "1e",
        "1e+",
        "1 2",
        "1,5",
        "0x10",
        "0x1p3",
        "inf",
        "-inf",
        "nan",
        "NaN",
        "Infinity",
        "1e309",
        "-1e400",
        "1e999999999999999999999",
        "--1",
        "+-1",
        "1.2.3",
        "1e5.0",
        "_1",
        "1_",
        "1__0",
        "1_.5",
        "1._5",
        "1e_5",
        "1e5_",
        "abc",
        "1f",
        "1.8e308",
        "- 1",
        "\x1c"
        "1",
        "\xc2\xa0"
        "1",
        "1e5e5",
        "$5",
        "12:",
        "1/2",
        "1:.5",
        "12345:.8",
        "123456789:1",
        "1234567890./1",
        "1234567890.1:",
        "12345678901234567890123:",
        "1.2.3.4.5.6",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i]);
    double value;
    assert_int_equal(decimal_parse("1\0", 2, &value), STATUS_INPUT);
}

static void test_length_limit(void **state)
{
    (void)state;
    char text[DECIMAL_PARSE_BYTES_MAX + 4];
    memset(text, '0', sizeof text);
    text[0] = '1';
    text[1] = '.';
    double value = 0;
    assert_int_equal(decimal_parse(text, DECIMAL_PARSE_BYTES_MAX, &value), STATUS_OK);
    assert_true(value == 1.0);
    assert_int_equal(decimal_parse(text, DECIMAL_PARSE_BYTES_MAX + 1, &value), STATUS_INPUT);
    text[DECIMAL_PARSE_BYTES_MAX] = ' ';
    assert_int_equal(decimal_parse(text, DECIMAL_PARSE_BYTES_MAX + 1, &value), STATUS_OK);
}

static void test_writes_as_repr(void **state)
{
    (void)state;
    assert_writes(1337900.0, "1337900.0");
    assert_writes(1337900.25, "1337900.25");
    assert_writes(1e22, "1e+22");
    assert_writes(1e-5, "1e-05");
    assert_writes(0.0001, "0.0001");
    assert_writes(0.00012345, "0.00012345");
    assert_writes(0.0, "0.0");
    assert_writes(-0.0, "-0.0");
    assert_writes(-4000.0, "-4000.0");
    assert_writes(1458195070.3131151, "1458195070.3131151");
    assert_writes(1e15, "1000000000000000.0");
    assert_writes(1e16, "1e+16");
    assert_writes(9999999999999998.0, "9999999999999998.0");
    assert_writes(123456789012345680.0, "1.2345678901234568e+17");
    assert_writes(0x1p-44, "5.684341886080802e-14");
    assert_writes(5e-324, "5e-324");
    assert_writes(-0x1.fffffffffffffp1023, "-1.7976931348623157e+308");
    assert_writes(-2.2250738585072014e-308, "-2.2250738585072014e-308");
    assert_writes(0.1 + 0.2, "0.30000000000000004");
    assert_writes(4503599627370495.5, "4503599627370495.5");
    assert_writes((double)INFINITY, "inf");
    assert_writes(-(double)INFINITY, "-inf");
    assert_writes((double)NAN, "nan");
}

/* Every usual length, and any byte at any place of it; the bounds of what is copied. */
static void test_rewrites_as_it_reads_and_writes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "7",
        "10",
        "100",
        "1600",
        "12345678",
        "1234567890",
        "7999999999.999999",
        "8000000000.000000",
        "8589934592.5",
        "9999999999",
        "12345678901",
        "61.70",
        "61.700001",
        "61.0",
        "61.000000",
        "61.0000000",
        "5.",
        "1.2.3",
        "0.5",
        "0.00001",
        "00.5",
        "012",
        "1458195070.313115",
        "1458195070.250000",
        "1458195070.3131151",
        "4.35",
        "1.5e3",
        "123456.7",
        "1234567.8",
        "12345678.9",
        "999999999.123456",
        "+1.5",
        "-1.5",
        " 1.5",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const size_t length = strlen(texts[i]);
        assert_rewrites(texts[i], length);
        for (size_t at = 0; at < length; at++)
            for (unsigned byte = 0; byte < 256; byte++) {
                char changed[32];
                memcpy(changed, texts[i], length + 1);
                changed[at] = (char)byte;
                assert_rewrites(changed, length);
            }
    }
    assert_rewrites("", 0);
}

/* Each line: the bits of a double in hexadecimal, its repr. */
static const char write_cases_program[] =
    "python3 - <<'END'\n"
    "import random, struct, math\n"
    "r = random.Random(20160316)\n"
    "def bits(b): return struct.unpack('<d', struct.pack('<Q', b))[0]\n"
    "v = [bits(r.getrandbits(63)) for i in range(6000)]\n"
    "v += [bits(r.getrandbits(52)) for i in range(1000)] + [bits(1 << i) for i in range(53)]\n"
    "for e in range(-1074, 1024):\n"
    "    p = math.ldexp(1.0, e)\n"
    "    v += [p, math.nextafter(p, 0), math.nextafter(p, math.inf)]\n"
    "for e in range(-323, 309):\n"
    "    p = float('1e%d' % e)\n"
    "    v += [p, math.nextafter(p, 0), math.nextafter(p, math.inf), p * r.randrange(1, 100000)]\n"
    "v += [r.randrange(10 ** r.randrange(1, 18)) / 10 ** r.randrange(0, 9) for i in range(5000)]\n"
    "v += [1458195070 + r.random() * 1e9 for i in range(3000)]\n"
    "v += [math.ldexp(r.getrandbits(53), r.randrange(-60, 4)) for i in range(6000)]\n"
    "v += [float(2 ** 53 - 50 + i) for i in range(100)] + [2.0 ** 52 - 25 + i / 2 for i in range(100)]\n"
    "for x in v:\n"
    "    if math.isfinite(x): print('%016x %r' % (struct.unpack('<Q', struct.pack('<d', x))[0], x))\n"
    "END\n";

/* Each line: the bits of the double that float() gives for the text behind them. */
static const char read_cases_program[] =
    "python3 - <<'END'\n"
    "import random, struct, math\n"
    "r = random.Random(42)\n"
    "t = []\n"
    "def digits(n): return ''.join(r.choice('0123456789') for i in range(n))\n"
    "for i in range(12000):\n"
    "    s = digits(r.randrange(1, 25))\n"
    "    if r.random() < 0.6: s += '.' + digits(r.randrange(0, 25))\n"
    "    if r.random() < 0.4: s += r.choice('eE') + r.choice(['', '+', '-']) + str(r.randrange(0, 60))\n"
    "    t.append(r.choice(['', '-', '+']) + s)\n"
    "for i in range(4000): t.append(digits(r.randrange(1, 20)) + 'e' + str(r.randrange(-345, 300)))\n"
    "for i in range(4000):\n"
    "    n = 2 ** 53 + 2 * r.getrandbits(52) + 1\n"
    "    k = r.randrange(0, 8)\n"
    "    t += [str(n), str(n * 2 ** k), str(n) + '.' + '0' * k + r.choice(['', '1']), str(n - 2 ** 53) + '.5']\n"
    "for i in range(2000):\n"
    "    n, k = 2 ** 53 + 2 * r.getrandbits(52) + 1, r.randrange(1, 12)\n"
    "    s = str(n * 5 ** k).rjust(k + 1, '0')\n"
    "    t.append(s[:-k] + '.' + s[-k:])\n"
    "for s in t:\n"
    "    x = float(s)\n"
    "    if math.isfinite(x): print('%016x %s' % (struct.unpack('<Q', struct.pack('<d', x))[0], s))\n"
    "END\n";

/* Calls `check` with the bits and the text of each line that the program prints; returns how many. */
static unsigned each_line(const char *program, void (*check)(double value, const char *text))
{
    FILE *python = popen(program, "r");
    assert_non_null(python);
    char line[512];
    unsigned count = 0;
    for (; fgets(line, sizeof line, python) != NULL; count++) {
        char *text;
        uint64_t bits = strtoull(line, &text, 16);
        text[strcspn(text, "\n")] = '\0';
        double value;
        memcpy(&value, &bits, sizeof value);
        check(value, text + 1);
    }
    assert_int_equal(pclose(python), 0);
    return count;
}

static void check_both_ways(double value, const char *text)
{
    assert_writes(value, text);
    assert_reads(text, value);
}

static void check_reading(double value, const char *text)
{
    assert_reads(text, value);
}

static void test_writes_what_python_writes(void **state)
{
    (void)state;
    assert_true(each_line(write_cases_program, check_both_ways) > 25000);
}

static void test_reads_what_python_reads(void **state)
{
    (void)state;
    assert_true(each_line(read_cases_program, check_reading) > 25000);
}

/* Wherever a locale with a decimal comma is installed, it changes nothing. */
static void test_ignores_the_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8", "ru_RU.UTF-8"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)setlocale(LC_ALL, names[i]);
    assert_reads("1.2345678901234567890123", 1.2345678901234567890123);
    assert_writes(1.2345e-300, "1.2345e-300");
    (void)setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_plain_decimals),    cmocka_unit_test(test_reads_the_hard_ones),
        cmocka_unit_test(test_refuses_the_rest),        cmocka_unit_test(test_length_limit),
        cmocka_unit_test(test_writes_as_repr),          cmocka_unit_test(test_writes_what_python_writes),
        cmocka_unit_test(test_reads_what_python_reads), cmocka_unit_test(test_rewrites_as_it_reads_and_writes),
        cmocka_unit_test(test_ignores_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
