/*
 * Text to double, fastest first, each step exact:
 * 1. William Clinger, "How to read floating point numbers accurately", 1990: a whole number up to 2^53 times or through
 *    a power of ten up to 10^22 is one correctly rounded operation on two exact doubles.
 * 2. Up to 19 digits and a power of ten up to 10^19: the same in 128-bit integers, rounded once. Python's times have 17
 *    digits; this is several times faster than step 3.
 * 3. The C library (correctly rounded in glibc).
 * The digits of usual texts are read eight at a time, those of others one by one.
 */
#include "nodes/text/decimal.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "nodes/text/word.h"

__extension__ typedef unsigned __int128 uint128;

enum {
    CLINGER_EXPONENT_MAX = 22, /* 10^22 is the largest power of ten that is an exact double */
    WIDE_EXPONENT_MAX = 19,    /* 10^19 is the largest that fits in 64 bits */
    WIDE_DIGITS_MAX = 19,      /* so many digits always fit in 64 bits */
    EXPONENT_DIGITS_CAP = 100000,
    MANTISSA_BITS = 53,
};

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale; /* set once, then constant */

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(c_locale != (locale_t)0);
}

locale_t decimal_c_locale(void)
{
    CHECK(pthread_once(&c_locale_once, c_locale_make) == 0);
    return c_locale;
}

/* A number as its text states it: digits * 10^exponent. */
struct scan {
    const char *at;
    const char *end;
    uint64_t digits;
    int digit_count; /* from the first that is not 0 on; beyond WIDE_DIGITS_MAX `digits` is no longer kept */
    int exponent;
    bool negative;
};

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* The blanks of the C locale, which are what Python strips from an ASCII text. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Reads digits; returns how many there were. */
static int scan_digits(struct scan *scan)
{
    int count = 0;
    for (; is_digit(scan->at, scan->end); scan->at++, count++) {
        unsigned digit = (unsigned)(*scan->at - '0');
        if (scan->digit_count > 0 || digit > 0)
            scan->digit_count++;
        if (scan->digit_count <= WIDE_DIGITS_MAX)
            scan->digits = scan->digits * 10 + digit;
    }
    return count;
}

static bool scan_exponent(struct scan *scan)
{
    if (scan->at == scan->end || (*scan->at != 'e' && *scan->at != 'E'))
        return true;
    scan->at++;
    bool negative = scan->at < scan->end && *scan->at == '-';
    if (scan->at < scan->end && (*scan->at == '-' || *scan->at == '+'))
        scan->at++;
    struct scan digits = {.at = scan->at, .end = scan->end};
    if (scan_digits(&digits) == 0)
        return false;
    scan->at = digits.at;
    bool huge = digits.digit_count > WIDE_DIGITS_MAX || digits.digits > EXPONENT_DIGITS_CAP;
    int exponent = huge ? EXPONENT_DIGITS_CAP : (int)digits.digits;
    scan->exponent += negative ? -exponent : exponent;
    return true;
}

static bool scan_number(struct scan *scan)
{
    if (scan->at < scan->end && (*scan->at == '-' || *scan->at == '+')) {
        scan->negative = *scan->at == '-';
        scan->at++;
    }
    int whole = scan_digits(scan);
    int fraction = 0;
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        fraction = scan_digits(scan);
    }
    if (whole + fraction == 0)
        return false;
    scan->exponent = -fraction;
    return scan_exponent(scan) && scan->at == scan->end;
}

static double clinger(uint64_t digits, int exponent)
{
    static const double powers[CLINGER_EXPONENT_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                            1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                            1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    return exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
}

/* Rounds the 128 bits of `n`, and a rest below its last bit, to the nearest double (ties to even) times 2^shift. */
static double round_wide(uint128 n, bool rest, int shift)
{
    uint64_t high = (uint64_t)(n >> 64);
    int bits = high != 0 ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)n);
    int excess = bits - MANTISSA_BITS;
    if (excess <= 0)
        return ldexp((double)(uint64_t)n, shift); /* only a product comes here, and it has no rest */
    uint128 half = (uint128)1 << (excess - 1);
    uint128 below = n & ((half << 1) - 1);
    uint64_t kept = (uint64_t)(n >> excess);
    if (below > half || (below == half && (rest || (kept & 1) != 0)))
        kept++;
    return ldexp((double)kept, excess + shift);
}

/* digits * 10^exponent, |exponent| <= WIDE_EXPONENT_MAX; the result is far from the ends of the double's range. */
static double wide(uint64_t digits, int exponent)
{
    uint64_t power = 1;
    for (int i = exponent < 0 ? -exponent : exponent; i > 0; i--)
        power *= 10;
    if (digits == 0)
        return 0.0;
    if (exponent >= 0)
        return round_wide((uint128)digits * power, false, 0);
    /* With its top bit at bit 127, divided by less than 2^64, the quotient keeps at least 64 bits: more than 53. */
    int shift = 64 + __builtin_clzll(digits);
    uint128 dividend = (uint128)digits << shift;
    uint128 quotient = dividend / power;
    return round_wide(quotient, quotient * power != dividend, -shift);
}

/* The C library's reading of the text from `at` to `end`, which scan_number has found to be a number. */
static double library(const char *at, const char *end)
{
    char copy[DECIMAL_PARSE_BYTES_MAX + 1];
    size_t length = (size_t)(end - at);
    memcpy(copy, at, length);
    copy[length] = '\0';
    return strtod_l(copy, NULL, decimal_c_locale());
}

static __attribute__((noinline)) enum status parse_any(const char *text, size_t length, double *value)
{
    const char *at = text;
    const char *end = text + length;
    while (at < end && is_blank(*at))
        at++;
    while (at < end && is_blank(end[-1]))
        end--;
    if (end - at > DECIMAL_PARSE_BYTES_MAX)
        return STATUS_INPUT;
    struct scan scan = {.at = at, .end = end};
    if (!scan_number(&scan))
        return STATUS_INPUT;
    bool kept = scan.digit_count <= WIDE_DIGITS_MAX;
    int size = scan.exponent < 0 ? -scan.exponent : scan.exponent;
    double result;
    if (kept && scan.digits <= UINT64_C(1) << MANTISSA_BITS && size <= CLINGER_EXPONENT_MAX)
        result = clinger(scan.digits, scan.exponent);
    else if (kept && size <= WIDE_EXPONENT_MAX)
        result = wide(scan.digits, scan.exponent);
    else
        result = fabs(library(at, end));
    if (isinf(result))
        return STATUS_INPUT;
    *value = scan.negative ? -result : result;
    return STATUS_OK;
}

/* ---- the usual texts: digits with at most one point, and nothing else ---- */

/* The number that eight bytes are in decimal, the first (lowest) byte the highest digit; only their low halves count,
 * so zero bytes are zeros. Pairs, then fours, then eights (Daniel Lemire and Wojciech Mula, "Quickly parsing eight
 * digits", 2018). */
static inline uint64_t eight_digits(uint64_t word)
{
    word &= WORD_OF(0x0f);
    word = word * 10 + (word >> 8);
    const uint64_t pairs = UINT64_C(0x000000ff000000ff);
    return ((word & pairs) * ((UINT64_C(1000000) << 32) + 100) +
            ((word >> 16) & pairs) * ((UINT64_C(10000) << 32) + 1)) >>
           32;
}

/* The top bit of each byte that is no digit, exact up to the first of them: what carries or borrows there may only mark
 * later bytes wrongly. */
static inline uint64_t not_digits(uint64_t word)
{
    return ((word + WORD_OF(0x80 - '0' - 10)) | (word - WORD_OF('0'))) & WORD_OF(0x80);
}

/* The `length` bytes at `at`, 1 to 8 of them, in the top bytes of a word, '0' below. */
static inline uint64_t load_padded(const char *at, size_t length)
{
    if (length == WORD_BYTES)
        return word_load(at);
    const unsigned shift = 8 * (WORD_BYTES - (unsigned)length);
    return word_load_short(at, length) << shift | (WORD_OF('0') & ((UINT64_C(1) << shift) - 1));
}

/* A text of 1 to 8 bytes. False: it is not of the usual form. */
static inline bool read_short(const char *text, size_t length, uint64_t *digits, int *exponent)
{
    uint64_t word = load_padded(text, length);
    const uint64_t points = word_find(word, '.');
    *exponent = 0;
    if (points != 0) {
        /* The digits before the point move up over it. */
        const uint64_t point = (points & -points) >> 7;
        const uint64_t before = word & (point - 1);
        const uint64_t behind = word & ~((point << 8) - 1);
        *exponent = -(7 - __builtin_ctzll(point) / 8);
        word = behind | before << 8 | '0';
        if (length == 1)
            return false;
    }
    *digits = eight_digits(word);
    return not_digits(word) == 0;
}

/* Reads the digits from *at on, of a text of at least eight bytes that ends at `end`, and puts them behind `digits`.
 * What does not fit in 64 bits is lost. */
static inline uint64_t read_digits(const char **at, const char *end, uint64_t digits)
{
    static const uint64_t powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    while (*at < end) {
        const ptrdiff_t rest = end - *at;
        const uint64_t word =
            rest >= 8 ? word_load(*at) : word_load(end - 8) >> (8 * (8 - rest)); /* zero bytes behind the end */
        const uint64_t others = not_digits(word);
        const unsigned count = others != 0 ? (unsigned)__builtin_ctzll(others) / 8 : 8;
        /* Twice, since a shift by 64 means nothing. */
        const unsigned half_shift = 4 * (8 - count);
        digits = digits * powers[count] + eight_digits(word << half_shift << half_shift);
        *at += count;
        if (count < 8)
            break;
    }
    return digits;
}

/* A text of more than 8 bytes. False: it is not of the usual form, or its digits may not fit in 64 bits. Not inlined:
 * it needs many registers, which a short text would have to save. */
static __attribute__((noinline)) bool read_long(const char *text, size_t length, uint64_t *digits, int *exponent)
{
    const char *at = text;
    const char *end = text + length;
    if (length > WIDE_DIGITS_MAX + 1)
        return false;
    *digits = read_digits(&at, end, 0);
    *exponent = 0;
    if (at < end && *at == '.') {
        at++;
        *exponent = (int)(at - end);
        *digits = read_digits(&at, end, *digits);
    }
    return at == end && (*exponent < 0 || text[length - 1] == '.' || length <= WIDE_DIGITS_MAX);
}

enum status decimal_parse(const char *text, size_t length, double *value)
{
    uint64_t digits;
    int exponent;
    if (length == 0)
        return STATUS_INPUT;
    const bool usual =
        length <= 8 ? read_short(text, length, &digits, &exponent) : read_long(text, length, &digits, &exponent);
    if (!usual)
        return parse_any(text, length, value);
    *value = digits <= UINT64_C(1) << MANTISSA_BITS ? clinger(digits, exponent) : wide(digits, exponent);
    return STATUS_OK;
}
