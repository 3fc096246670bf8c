/*
 * Each scan makes one bit a byte for 64 bytes at a time (set: SOH) and then lists the set bits. The last block of a
 * text overlaps the one before, so that nothing outside the text is read, and what was seen twice is shifted out.
 *
 * Rule zero: vector intrinsics are extensions; there is no other way to say "a bit for each byte".
 */
#include "nodes/functions/fix_scan.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte of a text is the lowest of a word");

enum { SOH = 0x01 };

/* The body of a scan is the same for all; `mask_of` gives the bits of 64 bytes. A macro, since a function for vectors
 * that the whole program may not use can only be inlined into another such function. */
#define SCAN_BODY(mask_of)                                                                                             \
    size_t at = 0;                                                                                                     \
    size_t count = 0;                                                                                                  \
    for (; at + FIX_SCAN_BLOCK_BYTES <= length; at += FIX_SCAN_BLOCK_BYTES)                                            \
        count = list_each(mask_of(text + at), at, places, count);                                                      \
    if (at < length)                                                                                                   \
        count = list_each(mask_of(text + length - FIX_SCAN_BLOCK_BYTES) >> (at + FIX_SCAN_BLOCK_BYTES - length), at,   \
                          places, count);                                                                              \
    return count

/* Lists the set bits of `mask`. */
static inline __attribute__((always_inline)) size_t list_each(uint64_t mask, size_t base, uint16_t *places,
                                                              size_t count)
{
    for (; mask != 0; mask &= mask - 1)
        places[count++] = (uint16_t)(base + (size_t)__builtin_ctzll(mask));
    return count;
}

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)

#define AVX2_TARGET __attribute__((target("avx2,bmi")))

static inline AVX2_TARGET __attribute__((always_inline)) uint64_t mask_avx2(const char *block)
{
    const __m256i soh = _mm256_set1_epi8(SOH);
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)block);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(block + 32));
    uint32_t low_bits = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, soh));
    uint32_t high_bits = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, soh));
    return (uint64_t)high_bits << 32 | low_bits;
}

AVX2_TARGET static size_t scan_avx2(const char *text, size_t length, uint16_t *places)
{
    SCAN_BODY(mask_avx2);
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

/*
 * With AVX-512 the list is made by one instruction (VPCOMPRESSB, of VBMI2), and a load can leave out what lies behind
 * the text.
 */
#define AVX512_TARGET __attribute__((target("avx512f,avx512bw,avx512vbmi2,bmi2,popcnt")))

AVX512_TARGET static size_t scan_avx512(const char *text, size_t length, uint16_t *places)
{
    static const uint8_t numbers[FIX_SCAN_BLOCK_BYTES] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const __m512i number = _mm512_loadu_si512(numbers);
    const __m512i soh = _mm512_set1_epi8(SOH);
    size_t count = 0;
    for (size_t at = 0; at < length; at += FIX_SCAN_BLOCK_BYTES) {
        size_t rest = length - at;
        __mmask64 inside = rest < FIX_SCAN_BLOCK_BYTES ? _bzhi_u64(UINT64_MAX, (unsigned)rest) : UINT64_MAX;
        __mmask64 mask = _mm512_mask_cmpeq_epi8_mask(inside, _mm512_maskz_loadu_epi8(inside, text + at), soh);
        __m512i list = _mm512_maskz_compress_epi8(mask, number);
        __m512i base = _mm512_set1_epi16((short)at);
        _mm512_storeu_si512(places + count, _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(list)), base));
        size_t found = (size_t)_mm_popcnt_u64(mask);
        if (__builtin_expect(found > 32, 0))
            _mm512_storeu_si512(places + count + 32,
                                _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(list, 1)), base));
        count += found;
    }
    return count;
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

/* SSE2 belongs to every x86-64. */
static inline __attribute__((always_inline)) uint64_t mask_sse2(const char *block)
{
    const __m128i soh = _mm_set1_epi8(SOH);
    uint64_t mask = 0;
    for (unsigned i = 0; i < FIX_SCAN_BLOCK_BYTES; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, soh)) << i;
    }
    return mask;
}

static size_t scan_sse2(const char *text, size_t length, uint16_t *places)
{
    SCAN_BODY(mask_sse2);
}

#elif defined(__aarch64__)

/*
 * NEON, which belongs to every aarch64, has no instruction that gathers one bit of each byte: each equal byte keeps the
 * bit of its place in its group of eight, and three rounds of adding neighbours put the groups into bytes.
 */
static inline __attribute__((always_inline)) uint64_t mask_neon(const char *block)
{
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bit = vld1q_u8(bits);
    const uint8x16_t soh = vdupq_n_u8(SOH);
    const uint8_t *bytes = (const uint8_t *)block;
    uint8x16_t a = vandq_u8(vceqq_u8(vld1q_u8(bytes), soh), bit);
    uint8x16_t b = vandq_u8(vceqq_u8(vld1q_u8(bytes + 16), soh), bit);
    uint8x16_t c = vandq_u8(vceqq_u8(vld1q_u8(bytes + 32), soh), bit);
    uint8x16_t d = vandq_u8(vceqq_u8(vld1q_u8(bytes + 48), soh), bit);
    uint8x16_t sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    sums = vpaddq_u8(sums, sums);
    return vgetq_lane_u64(vreinterpretq_u64_u8(sums), 0);
}

static size_t scan_neon(const char *text, size_t length, uint16_t *places)
{
    SCAN_BODY(mask_neon);
}

#endif

/*
 * Eight bytes in one word. A byte of `differs` is 0 for a SOH; adding 0x7f to its low seven bits carries into its top
 * bit unless they are 0, and never into the next byte. The product gathers the top bits: each of the eight partial
 * products that reach the top byte does so at another bit.
 */
static inline uint64_t mask_scalar(const char *block)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t low_bits = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t mask = 0;
    for (unsigned i = 0; i < FIX_SCAN_BLOCK_BYTES; i += 8) {
        uint64_t word;
        memcpy(&word, block + i, sizeof word);
        uint64_t differs = word ^ (ones * SOH);
        uint64_t equal = ~(((differs & low_bits) + low_bits) | differs | low_bits);
        mask |= (((equal >> 7) * UINT64_C(0x0102040810204080)) >> 56) << i;
    }
    return mask;
}

static size_t scan_scalar(const char *text, size_t length, uint16_t *places)
{
    SCAN_BODY(mask_scalar);
}

const struct fix_scanner fix_scanners[] = {
#if defined(__x86_64__)
    {"avx512", scan_avx512, has_avx512},
    {"avx2", scan_avx2, has_avx2},
    {"sse2", scan_sse2, always},
#elif defined(__aarch64__)
    {"neon", scan_neon, always},
#endif
    {"scalar", scan_scalar, always},
};
const size_t fix_scanner_count = sizeof fix_scanners / sizeof fix_scanners[0];

/*
 * A load and a branch that is guessed right. Nobody has to keep the answer: what the processor can do was written down
 * by the compiler's library before main() and never changes.
 */
fix_scan *fix_scan_best(void)
{
#if defined(__x86_64__)
    return has_avx512() ? scan_avx512 : has_avx2() ? scan_avx2 : scan_sse2;
#elif defined(__aarch64__)
    return scan_neon;
#else
    return scan_scalar;
#endif
}
