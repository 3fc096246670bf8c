/*
 * decimal.c against the C library, on as many random numbers as one likes:
 *
 *     exact_decimal [--count N] [--seed S]
 *
 * N texts are read and N doubles are written, an equal share of each kind below. A text must read as strtod reads it,
 * and be rewritten as it is read and written. A double's text must read back as the double (strtod), no text with one
 * digit less may (printf), and of those as long it must be the nearest (printf), in the form of Python's repr. The
 * first difference ends the program with status 1.
 *
 * glibc's strtod and printf are exact, in big integers, and share nothing with what is tested.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/random.h"
#include "nodes/text/decimal.h"

/* Rule zero: an extension, for halves between doubles with their 38 digits. */
__extension__ typedef unsigned __int128 uint128;

enum { TEXT_BYTES = 128, COUNT_DEFAULT = 1000000 };

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool one_of(struct random_state *random, unsigned count)
{
    return random_below(random, count) == 0;
}

/* ---- texts ---- */

static char *put_digits(struct random_state *random, char *at, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        *at++ = (char)('0' + random_below(random, 10));
    return at;
}

/* Up to 22 digits, most with a point somewhere, some with a sign, an exponent, blanks. */
static void any_digits(struct random_state *random, char *text)
{
    char *at = text;
    const unsigned whole = (unsigned)random_below(random, 12);
    const unsigned fraction = (unsigned)random_below(random, 12);
    if (one_of(random, 8))
        *at++ = one_of(random, 2) ? '-' : '+';
    at = put_digits(random, at, whole + (fraction == 0 && whole == 0));
    if (fraction > 0 || one_of(random, 8))
        *at++ = '.';
    at = put_digits(random, at, fraction);
    *at = '\0';
    if (one_of(random, 4))
        snprintf(at, 16, "%c%d", one_of(random, 2) ? 'e' : 'E', (int)random_below(random, 600) - 320);
}

/* Prices, quantities and times as markets write them. */
static void market_text(struct random_state *random, char *text)
{
    switch (random_below(random, 4)) {
    case 0:
        snprintf(text, TEXT_BYTES, "%u.%02u", (unsigned)random_below(random, 5000),
                 (unsigned)random_below(random, 100));
        break;
    case 1:
        snprintf(text, TEXT_BYTES, "%u00", (unsigned)random_below(random, 1000));
        break;
    case 2:
        snprintf(text, TEXT_BYTES, "%" PRIu64 ".%06u", 1000000000 + random_below(random, 1000000000),
                 (unsigned)random_below(random, 1000000));
        break;
    default: /* as Python writes it */
        snprintf(text, TEXT_BYTES, "%.17g", (double)random_below(random, UINT64_C(1) << 62) / (double)(1u << 30) / 3);
        break;
    }
}

static void random_double_text(struct random_state *random, char *text)
{
    const double value = double_of(random_next(random));
    snprintf(text, TEXT_BYTES, "%.*e", (int)random_below(random, 20), isfinite(value) ? value : 1.0);
}

static void subnormal_text(struct random_state *random, char *text)
{
    const double value = double_of(random_next(random) >> (10 + random_below(random, 54)));
    snprintf(text, TEXT_BYTES, "%.*e", (int)random_below(random, 25), value);
}

/* Half-way between two doubles, and a little beside it. An odd number of 54 bits, times 2^-k: times 5^k, it is written
 * with its point k digits from the right. */
static void half_text(struct random_state *random, char *text)
{
    const unsigned places = (unsigned)random_below(random, 31);
    uint128 number = (UINT64_C(1) << 53) | (random_next(random) >> 11) | 1;
    for (unsigned i = 0; i < places; i++)
        number *= 5;
    char reversed[64];
    unsigned count = 0;
    for (; number != 0 || count <= places; number /= 10) {
        if (count == places && places > 0)
            reversed[count++] = '.';
        reversed[count++] = (char)('0' + (unsigned)(number % 10));
        if (number < 10 && count > places)
            break;
    }
    for (unsigned i = 0; i < count; i++)
        text[i] = reversed[count - 1 - i];
    text[count] = '\0';
    char *last = &text[count - 1];
    switch (random_below(random, 4)) {
    case 0:
        *last = (char)(*last == '9' ? '8' : *last + 1);
        break;
    case 1:
        if (places > 0)
            memcpy(last + 1, "0001", 5);
        break;
    default:
        break;
    }
}

/* decimal_rewrite against decimal_format, which the other half of this program tests. */
static bool rewrites_exactly(const char *text, enum status read_status, double value)
{
    char expected[DECIMAL_TEXT_BYTES];
    char written[DECIMAL_TEXT_BYTES];
    size_t length;
    const enum status status = decimal_rewrite(text, strlen(text), written, &length);
    if (status == read_status &&
        (status != STATUS_OK || (decimal_format(value, expected) == length && strcmp(written, expected) == 0)))
        return true;
    fprintf(stderr, "'%s' is rewritten as '%s'\n", text, status == STATUS_OK ? written : "no number");
    return false;
}

static bool reads_exactly(const char *text)
{
    const double expected = strtod(text, NULL);
    double value = 0;
    const enum status status = decimal_parse(text, strlen(text), &value);
    if (isinf(expected) ? status == STATUS_INPUT : status == STATUS_OK && bits_of(value) == bits_of(expected))
        return rewrites_exactly(text, status, value);
    fprintf(stderr, "'%s' reads as %a, not %a\n", text, value, expected);
    return false;
}

/* ---- doubles ---- */

static double any_double(struct random_state *random)
{
    return double_of(random_next(random));
}

/* Epoch seconds with six digits behind the point, and the doubles beside them. */
static double time_double(struct random_state *random)
{
    const uint64_t micros =
        random_below(random, one_of(random, 8) ? UINT64_C(9007199254740992) : UINT64_C(4000000000000000));
    return double_of(bits_of((double)micros / 1e6) + (one_of(random, 4) ? random_below(random, 3) - 1 : 0));
}

static double market_double(struct random_state *random)
{
    static const double powers[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    return (double)random_below(random, UINT64_C(1) << (1 + random_below(random, 53))) /
           powers[random_below(random, 10)];
}

/* Powers of two and of ten and what lies beside them: where the distance of the doubles changes. */
static double edge_double(struct random_state *random)
{
    double value = ldexp(1.0, (int)random_below(random, 2098) - 1074);
    if (one_of(random, 2)) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", (int)random_below(random, 632) - 323);
        value = strtod(text, NULL) * (double)(1 + random_below(random, 9));
    }
    return isfinite(value) ? double_of(bits_of(value) + random_below(random, 5) - 2) : 0.0;
}

static double subnormal_double(struct random_state *random)
{
    return double_of(random_next(random) >> (12 + random_below(random, 52)));
}

struct digits {
    char digits[24]; /* without zeros at the end */
    int count;
    int exponent; /* of the first digit */
};

/* What printf makes of a positive double with so many digits. */
static struct digits printed(double value, int count)
{
    char text[48];
    snprintf(text, sizeof text, "%.*e", count - 1, value);
    struct digits digits = {.count = 0};
    const char *at = text;
    for (; *at != 'e'; at++)
        if (*at != '.')
            digits.digits[digits.count++] = *at;
    digits.exponent = (int)strtol(at + 1, NULL, 10);
    return digits;
}

/* The next larger number with as many digits. */
static struct digits next_up(struct digits digits)
{
    int i = digits.count - 1;
    for (; i >= 0 && digits.digits[i] == '9'; i--)
        digits.digits[i] = '0';
    if (i >= 0) {
        digits.digits[i]++;
    } else {
        digits.digits[0] = '1';
        digits.exponent++;
    }
    return digits;
}

static double value_of(const struct digits *digits)
{
    char text[48];
    snprintf(text, sizeof text, "%.*se%d", digits->count, digits->digits, digits->exponent - digits->count + 1);
    return strtod(text, NULL);
}

/* Of the numbers with so many digits the nearest one that reads back, or of count 0. Above a power of two the doubles
 * are further apart than below it: the nearest may lie too far below and the next one above still read back. */
static struct digits nearest(double value, int count)
{
    struct digits digits = printed(value, count);
    if (value_of(&digits) == value)
        return digits;
    digits = next_up(digits);
    if ((bits_of(value) << 12) == 0 && value_of(&digits) == value)
        return digits;
    return (struct digits){.count = 0};
}

/* Lays digits out as repr does. */
static void lay_out(const struct digits *digits, char *text)
{
    const int exponent = digits->exponent;
    const int count = digits->count;
    char zeros[24];
    memset(zeros, '0', sizeof zeros);
    if (exponent < -4 || exponent >= 16)
        snprintf(text, TEXT_BYTES, "%c%s%.*se%c%02d", digits->digits[0], count > 1 ? "." : "", count - 1,
                 digits->digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0)
        snprintf(text, TEXT_BYTES, "0.%.*s%.*s", -exponent - 1, zeros, count, digits->digits);
    else if (count <= exponent + 1)
        snprintf(text, TEXT_BYTES, "%.*s%.*s.0", count, digits->digits, exponent + 1 - count, zeros);
    else
        snprintf(text, TEXT_BYTES, "%.*s.%s", exponent + 1, digits->digits, digits->digits + exponent + 1);
}

/* How many digits the text has, without zeros at either end. */
static int count_digits(const char *text)
{
    int count = 0;
    int last = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9')
            continue;
        if (count > 0 || *text != '0')
            count++;
        if (*text != '0')
            last = count;
    }
    return last;
}

static bool writes_exactly(double value)
{
    char text[DECIMAL_TEXT_BYTES];
    char expected[TEXT_BYTES];
    const size_t length = decimal_format(value, text);
    const char *sign = signbit(value) ? "-" : "";
    if (!isfinite(value) || value == 0) {
        snprintf(expected, sizeof expected, "%s%s", isnan(value) ? "" : sign,
                 isnan(value)   ? "nan"
                 : isinf(value) ? "inf"
                                : "0.0");
    } else {
        const double size = fabs(value);
        const int count = count_digits(text);
        struct digits shorter = {.count = 0};
        if (count > 1)
            shorter = nearest(size, count - 1);
        struct digits digits = shorter.count > 0 ? shorter : nearest(size, count > 0 ? count : 1);
        while (digits.count > 1 && digits.digits[digits.count - 1] == '0')
            digits.digits[--digits.count] = '\0';
        digits.digits[digits.count] = '\0';
        char form[TEXT_BYTES] = "nothing that reads back";
        if (digits.count > 0)
            lay_out(&digits, form);
        snprintf(expected, sizeof expected, "%s%.100s", sign, form);
    }
    if (strcmp(text, expected) == 0 && length == strlen(text))
        return true;
    fprintf(stderr, "%a is written as '%s', not '%s'\n", value, text, expected);
    return false;
}

/* ---- the run ---- */

static const struct {
    const char *name;
    void (*make)(struct random_state *random, char *text);
} text_kinds[] = {
    {"random digits", any_digits},         {"market data", market_text},       {"random doubles", random_double_text},
    {"subnormal doubles", subnormal_text}, {"half-way and beside", half_text},
};

static const struct {
    const char *name;
    double (*make)(struct random_state *random);
} double_kinds[] = {
    {"random bits", any_double},        {"times in microseconds", time_double},  {"market data", market_double},
    {"powers and beside", edge_double}, {"subnormal doubles", subnormal_double},
};

static bool run(uint64_t count, uint64_t seed)
{
    struct random_state random;
    random_seed(&random, seed);
    const size_t text_kind_count = sizeof text_kinds / sizeof text_kinds[0];
    for (size_t kind = 0; kind < text_kind_count; kind++) {
        for (uint64_t i = 0; i < count / text_kind_count; i++) {
            char text[TEXT_BYTES];
            text_kinds[kind].make(&random, text);
            if (!reads_exactly(text))
                return false;
        }
        printf("read %" PRIu64 " texts: %s\n", count / text_kind_count, text_kinds[kind].name);
    }
    const size_t double_kind_count = sizeof double_kinds / sizeof double_kinds[0];
    for (size_t kind = 0; kind < double_kind_count; kind++) {
        for (uint64_t i = 0; i < count / double_kind_count; i++)
            if (!writes_exactly(double_kinds[kind].make(&random)))
                return false;
        printf("wrote %" PRIu64 " doubles: %s\n", count / double_kind_count, double_kinds[kind].name);
    }
    return true;
}

int main(int count, char **arguments)
{
    uint64_t case_count = COUNT_DEFAULT;
    uint64_t seed = 1;
    for (int i = 1; i < count; i += 2) {
        uint64_t *number = strcmp(arguments[i], "--count") == 0  ? &case_count
                           : strcmp(arguments[i], "--seed") == 0 ? &seed
                                                                 : NULL;
        if (number == NULL || i + 1 == count) {
            fprintf(stderr, "usage: exact_decimal [--count N] [--seed S]\n");
            return 2;
        }
        *number = strtoull(arguments[i + 1], NULL, 10);
    }
    return run(case_count, seed) ? 0 : 1;
}
