/*
 * Double to text. The usual numbers, which are a whole number of millionths, as that number. Otherwise Guy Steele and
 * Jon White, "How to print floating-point numbers accurately", 1990, in 64-bit integers where the number's size allows
 * it, and else the C library with growing precision until the text reads back.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/text/decimal.h"
#include "nodes/text/word.h"

enum {
    MANTISSA_BITS = 53,
    DIGITS_MAX = 17, /* so many digits always read back as the same double */
    MILLION = 1000000,
};

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

/*
 * A double v from 1e-4 up to 2^33 that is the nearest one to a whole number n of millionths is written as n / 10^6,
 * without the zeros at its end. That is its shortest text and the nearest of that length:
 * - Below 2^33 doubles lie less than a millionth apart, so at most one multiple of a millionth reads back as v.
 * - Every decimal x of no more digits that reads back as v is such a multiple. If x is at least the power of ten below
 *   n / 10^6, its last digit stands no further behind the point than that of n / 10^6. If it were less, that power of
 * ten would lie between x and n / 10^6 (or be n / 10^6, which has one digit, and x would be too far away): it would
 * read back too, and be a second multiple. n is below 2^53, so that n / 10^6 is rounded only once, as when it is read
 * (Clinger): whether it gives v says whether v is such a number. If the product below was rounded to another n, the
 * answer is no, and v is written another way. Returns 0 for no.
 */
static inline size_t format_millionths(double value, char *text)
{
    if (!(value >= 1e-4 && value < 0x1p33))
        return 0;
    const int64_t millionths = (int64_t)(value * MILLION + 0.5); /* signed: that is one instruction */
    if ((double)millionths / MILLION != value)
        return 0;
    char *at = word_write_number((uint64_t)millionths / MILLION, text);
    *at++ = '.';
    const uint64_t bytes = word_of_digits((uint32_t)(millionths % MILLION) * 100);
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

/* ---- a text that is its number's already, but for zeros at its end ---- */

enum {
    COPIED_WHOLE_MAX = 10, /* digits before the point: with a first one below 8 they are less than 2^33 */
    COPIED_FRACTION_MAX = 6,
    COPIED_BYTES_MAX = COPIED_WHOLE_MAX + 1 + COPIED_FRACTION_MAX,
};

/* A bit for each byte of `word` that is no digit, that of the first byte lowest. The sum carries into a byte's top bit
 * where its low seven bits are more than 9, and never further; the product gathers the top bits (as mask_scalar in
 * fix_scan.c). */
static inline uint32_t other_bits(uint64_t word)
{
    const uint64_t differs = word ^ WORD_OF('0');
    const uint64_t others = (((differs & WORD_OF(0x7f)) + WORD_OF(0x7f - 9)) | differs) & WORD_OF(0x80);
    return (uint32_t)(((others >> 7) * UINT64_C(0x0102040810204080)) >> 56);
}

/* Copies the text, of 1 to COPIED_BYTES_MAX bytes, and returns a bit for each byte of it that is no digit. */
static inline uint32_t copy_number(const char *text, size_t length, char *to)
{
    if (length < WORD_BYTES) {
        const uint64_t word = word_load_short(text, length);
        word_store(to, word);
        return other_bits(word | WORD_OF('0') << (8 * length));
    }
    const uint64_t first = word_load(text);
    const uint64_t last = word_load(text + length - WORD_BYTES);
    const size_t middle_at = length < 2 * WORD_BYTES ? 0 : WORD_BYTES;
    const uint64_t middle = word_load(text + middle_at);
    word_store(to, first);
    word_store(to + middle_at, middle);
    word_store(to + length - WORD_BYTES, last);
    return other_bits(first) | other_bits(middle) << middle_at | other_bits(last) << (length - WORD_BYTES);
}

/*
 * A number from 1 up to 2^33 that is written with at most six digits behind the point is the nearest double's shortest
 * text once the zeros at its end are gone: it is a multiple of a millionth, and format_millionths says why there is no
 * other text. Returns its length, or 0 for a text of another form.
 */
static inline size_t copy_shortest(const char *text, size_t length, char *to)
{
    if (length == 0 || length > COPIED_BYTES_MAX || text[0] < '1' || text[0] > '9')
        return 0;
    const uint32_t others = copy_number(text, length, to);
    const size_t whole = others == 0 ? length : (size_t)__builtin_ctz(others);
    if (whole > COPIED_WHOLE_MAX || (whole == COPIED_WHOLE_MAX && text[0] >= '8'))
        return 0;
    if (others == 0) {
        memcpy(to + length, ".0", 2);
        return length + 2;
    }
    if ((others & (others - 1)) != 0 || text[whole] != '.' || length - whole - 1 > COPIED_FRACTION_MAX ||
        length - whole == 1)
        return 0;
    while (to[length - 1] == '0' && length > whole + 2)
        length--;
    return length;
}

enum status decimal_rewrite(const char *text, size_t length, char shortest[DECIMAL_TEXT_BYTES], size_t *shortest_length)
{
    *shortest_length = copy_shortest(text, length, shortest);
    if (*shortest_length == 0) {
        double value;
        enum status status = decimal_parse(text, length, &value);
        if (status != STATUS_OK)
            return status;
        *shortest_length = decimal_format(value, shortest);
    }
    shortest[*shortest_length] = '\0';
    return STATUS_OK;
}
