/*
 * Text to double, fastest first, each step exact:
 * 1. William Clinger, "How to read floating point numbers accurately", 1990: a whole number up to 2^53 times or through
 *    a power of ten up to 10^22 is one correctly rounded operation on two exact doubles.
 * 2. Up to 19 digits and a power of ten up to 10^19: the same in 128-bit integers, rounded once. Times in epoch seconds
 *    have 17 digits; this is several times faster than step 3.
 * 3. The C library (correctly rounded in glibc).
 *
 * Double to text: Guy Steele and Jon White, "How to print floating-point numbers accurately", 1990, in 64-bit integers
 * where the number's size allows it; otherwise the C library with growing precision until the text reads back.
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
    DIGITS_MAX = 17, /* so many digits always read back as the same double */
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

static size_t write_whole(uint64_t whole, char *text)
{
    char reversed[20];
    size_t count = 0;
    do {
        reversed[count++] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole != 0);
    for (size_t i = 0; i < count; i++)
        text[i] = reversed[count - 1 - i];
    return count;
}

/*
 * The digits behind the point of a double that is `mantissa` / 2^shift, for shift 1 to 58. The remainder counts in
 * quarters of the double's last bit. A digit is the last one when the digits so far, cut or rounded up, lie between the
 * midpoints to the neighbouring doubles; a midpoint itself reads back as the double whose mantissa is even. The lower
 * neighbour of a power of two is half as far away.
 */
static size_t write_fraction(uint64_t mantissa, int shift, char *text)
{
    const int unit_bits = shift + 2; /* so that ten units and the margin above them fit in 64 bits */
    const uint64_t unit = UINT64_C(1) << unit_bits;
    const bool even = (mantissa & 1) == 0;
    uint64_t rest = (mantissa << 2) & (unit - 1);
    uint64_t above = 2;
    uint64_t below = mantissa == UINT64_C(1) << (MANTISSA_BITS - 1) ? 1 : 2;
    size_t count = 0;
    if (rest == 0) {
        text[0] = '0';
        return 1;
    }
    for (;;) {
        rest *= 10;
        above *= 10;
        below *= 10;
        char digit = (char)('0' + (rest >> unit_bits));
        rest &= unit - 1;
        bool cut = rest < below || (even && rest == below);
        bool up = rest + above > unit || (even && rest + above == unit);
        if (cut && up)
            up = rest * 2 > unit || (rest * 2 == unit && (digit & 1) != 0);
        text[count++] = (char)(digit + (up ? 1 : 0));
        if (cut || up)
            return count;
    }
}

/* The text of a positive double from 2^-6 up to 2^53. */
static size_t format_middle(double value, char *text)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint64_t hidden = UINT64_C(1) << (MANTISSA_BITS - 1);
    int shift = (MANTISSA_BITS - 1) - ((int)(bits >> (MANTISSA_BITS - 1)) - (DBL_MAX_EXP - 1));
    uint64_t mantissa = (bits & (hidden - 1)) | hidden;
    size_t length = write_whole(shift > 0 ? mantissa >> shift : mantissa, text);
    text[length++] = '.';
    if (shift > 0)
        return length + write_fraction(mantissa, shift, text + length);
    text[length++] = '0';
    return length;
}

/* d.ddd * 10^exponent */
struct digits {
    char digits[DIGITS_MAX + 1];
    int count;
    int exponent;
};

static double digits_value(const struct digits *digits)
{
    char text[DECIMAL_TEXT_BYTES + 8];
    snprintf(text, sizeof text, "%c.%.*se%d", digits->digits[0], digits->count - 1, digits->digits + 1,
             digits->exponent);
    return strtod(text, NULL);
}

static void digits_of(double value, int count, struct digits *digits)
{
    char text[DECIMAL_TEXT_BYTES + 8];
    snprintf(text, sizeof text, "%.*e", count - 1, value); /* d.ddde+XX, or de+XX for one digit */
    const char *at = text;
    *digits = (struct digits){0};
    for (; *at != 'e'; at++) {
        if (*at != '.')
            digits->digits[digits->count++] = *at;
    }
    digits->exponent = (int)strtol(at + 1, NULL, 10);
}

/* The next number with as many digits. */
static void digits_up(struct digits *digits)
{
    int i = digits->count - 1;
    for (; i >= 0 && digits->digits[i] == '9'; i--)
        digits->digits[i] = '0';
    if (i >= 0) {
        digits->digits[i]++;
    } else {
        digits->digits[0] = '1';
        digits->exponent++;
    }
}

/*
 * The fewest digits that read back, of any positive finite double. The nearest number with so many digits is the one to
 * try, and one more: above a power of two the doubles are twice as far apart as below it, so that the nearest number
 * may lie below it and read back as another double while the next one, above it, reads back right. Up to DBL_DIG digits
 * survive the way through a normal double, so that a shorter text shows there as zeros at the end; subnormal doubles
 * have fewer digits.
 */
static void shortest(double value, struct digits *digits)
{
    for (int count = value < DBL_MIN ? 1 : DBL_DIG; count < DIGITS_MAX; count++) {
        digits_of(value, count, digits);
        if (digits_value(digits) == value)
            return;
        digits_up(digits);
        if (digits_value(digits) == value)
            return;
    }
    digits_of(value, DIGITS_MAX, digits);
}

/* Lays the digits out as Python does. `text` has DECIMAL_TEXT_BYTES - 1 bytes: a sign may stand in front. */
static size_t digits_layout(const struct digits *digits, char *text)
{
    int count = digits->count;
    while (count > 1 && digits->digits[count - 1] == '0')
        count--;
    int whole = digits->exponent + 1; /* digits before the point */
    int length;
    const size_t bytes = DECIMAL_TEXT_BYTES - 1;
    if (digits->exponent < -4 || digits->exponent >= 16) {
        length = snprintf(text, bytes, "%c%s%.*se%c%02d", digits->digits[0], count > 1 ? "." : "", count - 1,
                          digits->digits + 1, digits->exponent < 0 ? '-' : '+', abs(digits->exponent));
    } else if (whole <= 0) {
        length = snprintf(text, bytes, "0.%.*s%.*s", -whole, "0000", count, digits->digits);
    } else if (count > whole) {
        length = snprintf(text, bytes, "%.*s.%.*s", whole, digits->digits, count - whole, digits->digits + whole);
    } else {
        length = snprintf(text, bytes, "%.*s%.*s.0", count, digits->digits, whole - count, "0000000000000000");
    }
    return (size_t)length;
}

static size_t format_any(double value, char *text)
{
    locale_t previous = uselocale(decimal_c_locale());
    struct digits digits;
    shortest(value, &digits);
    size_t length = digits_layout(&digits, text);
    uselocale(previous);
    return length;
}

/* ---- the usual numbers: up to ten digits before the point and six behind it ---- */

enum { MILLION = 1000000, HUNDRED_MILLION = 100000000 };

/* The eight decimal digits of a number below 10^8, as the bytes 0 to 9 of a word, the highest digit lowest: divided by
 * 10^4, both halves by 100 and the four quarters by 10, each by a product that is exact in its range (Paul Khuong,
 * "How to print integers really fast", 2017). */
static inline uint64_t eight_bytes(uint32_t number)
{
    const uint64_t halves = number / 10000 | (uint64_t)(number % 10000) << 32;
    const uint64_t hundreds = ((halves * 10486) >> 20) & UINT64_C(0x0000007f0000007f);
    const uint64_t quarters = hundreds | (halves - hundreds * 100) << 16;
    const uint64_t tens = ((quarters * 103) >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (quarters - tens * 10) << 8;
}

/* Writes a number below 10^10 without leading zeros; up to ten bytes may be touched. Returns the end. */
static inline char *write_number(uint64_t number, char *at)
{
    if (number >= HUNDRED_MILLION) {
        const unsigned high = (unsigned)(number / HUNDRED_MILLION);
        if (high >= 10)
            *at++ = (char)('0' + high / 10);
        *at++ = (char)('0' + high % 10);
        word_store(at, eight_bytes((uint32_t)(number % HUNDRED_MILLION)) | WORD_OF('0'));
        return at + 8;
    }
    const uint64_t bytes = eight_bytes((uint32_t)number);
    const unsigned zeros = (unsigned)__builtin_ctzll(bytes | UINT64_C(1) << 63) / 8; /* the last digit stays */
    word_store(at, (bytes | WORD_OF('0')) >> (8 * zeros));
    return at + 8 - zeros;
}

/*
 * A double v from 1e-4 up to 2^33 that is the nearest one to a whole number n of millionths is written as n / 10^6,
 * without the zeros at its end. That is its shortest text and the nearest of that length: below 2^33 doubles lie less
 * than a millionth apart, so that of the multiples of a millionth at most one reads back as v; and every decimal that
 * is no longer and reads back as v is such a multiple, because its last digit stands no further behind the point. n is
 * below 2^53, so that n / 10^6 is rounded only once, as when it is read (Clinger); whether it gives v says whether v is
 * such a number, and if the product below was rounded to another n, the answer is no. Returns 0 for no.
 */
static inline size_t format_millionths(double value, char *text)
{
    if (!(value >= 1e-4 && value < 0x1p33))
        return 0;
    const int64_t millionths = (int64_t)(value * MILLION + 0.5); /* signed: one instruction */
    if ((double)millionths / MILLION != value)
        return 0;
    char *at = write_number((uint64_t)millionths / MILLION, text);
    *at++ = '.';
    const uint64_t bytes = eight_bytes((uint32_t)(millionths % MILLION) * 100);
    word_store(at, bytes | WORD_OF('0'));
    /* The last byte that is no zero stands highest; the first digit stays. */
    at += 8 - (unsigned)__builtin_clzll(bytes | 1) / 8;
    return (size_t)(at - text);
}

/* The text of a double that format_millionths does not write. */
static __attribute__((noinline)) size_t format_unusual(double value, char *text)
{
    if (isnan(value)) {
        memcpy(text, "nan", 4);
        return 3;
    }
    size_t length = 0;
    if (signbit(value))
        text[length++] = '-';
    double size = fabs(value);
    if (isinf(size)) {
        memcpy(text + length, "inf", 3);
        length += 3;
    } else if (size == 0.0) {
        memcpy(text + length, "0.0", 3);
        length += 3;
    } else {
        size_t usual = format_millionths(size, text + length);
        if (usual > 0)
            length += usual;
        else if (size >= 0x1p-6 && size < 0x1p53)
            length += format_middle(size, text + length);
        else
            length += format_any(size, text + length);
    }
    text[length] = '\0';
    return length;
}

size_t decimal_format(double value, char text[DECIMAL_TEXT_BYTES])
{
    size_t length = format_millionths(value, text);
    if (length == 0)
        return format_unusual(value, text);
    text[length] = '\0';
    return length;
}
