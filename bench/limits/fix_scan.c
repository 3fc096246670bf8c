#include "bench/limits/fix_scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
/* Rule zero: vector intrinsics are extensions; the limit is what the machine can do. */
#include <immintrin.h>
#endif

#include "bench/market.h"

enum { SOH = 0x01, HASH_BITS = 12 };

/* What a run has found; asked for at its end, so that no compiler leaves the work out. */
struct sums {
    uint64_t fields;
    uint64_t bytes;
    double numbers;
    uint64_t symbols;
    unsigned char seen[1 << HASH_BITS];
};

typedef void read_line(const char *line, size_t length, struct sums *sums);

static bool run(void *context, double seconds, double *figures, read_line *read)
{
    const struct market *market = context;
    static _Thread_local struct sums sums;
    uint64_t message_count = 0;
    const int64_t start_ns = bench_now_ns();
    int64_t spent_ns = 0;
    for (; (double)spent_ns < seconds * 1e9; spent_ns = bench_now_ns() - start_ns) {
        for (size_t i = 0; i < market->line_count; i++)
            read(market->text + market->lines[i].offset, market->lines[i].length, &sums);
        message_count += market->line_count;
    }
    if (sums.fields < message_count)
        bench_fail("lines without fields");
    figures[0] = (double)message_count / ((double)spent_ns / 1e9);
    return true;
}

/* ---- split only ---- */

static void split_bytes(const char *line, size_t length, struct sums *sums)
{
    size_t start = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == SOH) {
            sums->fields++;
            sums->bytes += i - start;
            start = i + 1;
        }
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2,bmi"))) static void split_avx2(const char *line, size_t length, struct sums *sums)
{
    const __m256i soh = _mm256_set1_epi8(SOH);
    size_t start = 0;
    uint64_t fields = 0;
    uint64_t bytes = 0;
    for (size_t at = 0; at < length; at += 32) {
        __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)(line + at));
        uint32_t mask = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(block, soh));
        if (length - at < 32)
            mask &= (UINT32_C(1) << (length - at)) - 1;
        for (; mask != 0; mask &= mask - 1) {
            const size_t stop = at + (size_t)__builtin_ctz(mask);
            fields++;
            bytes += stop - start;
            start = stop + 1;
        }
    }
    sums->fields += fields;
    sums->bytes += bytes;
}
#endif

bool fix_scan_split_run(void *context, double seconds, double *figures)
{
    read_line *read = split_bytes;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
        read = split_avx2;
#endif
    return run(context, seconds, figures, read);
}

/* ---- split, numbers, symbol ---- */

static bool is_number(unsigned tag)
{
    return tag == 38 || tag == 44 || tag == 132 || tag == 133 || tag == 999;
}

static void find_symbol(const char *text, size_t length, struct sums *sums)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < length; i++)
        hash = hash * 31 + (unsigned char)text[i];
    unsigned char *seen = &sums->seen[(hash * UINT32_C(2654435761)) >> (32 - HASH_BITS)];
    sums->symbols += *seen;
    *seen = 1;
}

static double digits_to_double(const char *text, const char *end)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10};
    uint64_t digits = 0;
    const char *point = end - 1;
    for (; text < end; text++) {
        if (*text == '.')
            point = text;
        else
            digits = digits * 10 + (unsigned)(*text - '0');
    }
    return (double)digits / powers[end - 1 - point];
}

static double library_to_double(const char *text, const char *end)
{
    (void)end;
    return strtod(text, NULL);
}

/* Always inlined, with what reads a number known. */
static inline __attribute__((always_inline)) void read_fields(const char *line, size_t length, struct sums *sums,
                                                              double (*to_double)(const char *text, const char *end))
{
    const char *end = line + length;
    for (const char *at = line; at < end;) {
        const char *stop = memchr(at, SOH, (size_t)(end - at));
        if (stop == NULL)
            break;
        unsigned tag = 0;
        for (; at < stop && *at != '='; at++)
            tag = tag * 10 + (unsigned)(*at - '0');
        sums->fields++;
        if (is_number(tag))
            sums->numbers += to_double(at + 1, stop);
        else if (tag == 55)
            find_symbol(at + 1, (size_t)(stop - at - 1), sums);
        at = stop + 1;
    }
}

static void read_with_strtod(const char *line, size_t length, struct sums *sums)
{
    read_fields(line, length, sums, library_to_double);
}

static void read_with_digits(const char *line, size_t length, struct sums *sums)
{
    read_fields(line, length, sums, digits_to_double);
}

bool fix_scan_strtod_run(void *context, double seconds, double *figures)
{
    return run(context, seconds, figures, read_with_strtod);
}

bool fix_scan_numbers_run(void *context, double seconds, double *figures)
{
    return run(context, seconds, figures, read_with_digits);
}
