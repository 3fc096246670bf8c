/*
 * word.h: eight bytes of a text at a time, as one number whose lowest byte is the first.
 *
 * For short texts of unknown length: whole words instead of a loop over bytes, whose end the processor cannot guess.
 * None of these reads or writes outside of what it is given.
 */
#ifndef NODES_TEXT_WORD_H
#define NODES_TEXT_WORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte of a text is the lowest of a word");

enum { WORD_BYTES = 8 };

/* A word of eight such bytes. */
#define WORD_OF(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t word_load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline void word_store(char *at, uint64_t word)
{
    memcpy(at, &word, sizeof word);
}

/* The `length` bytes at `at`, 1 to 7 of them, and zero bytes behind them. */
static inline uint64_t word_load_short(const char *at, size_t length)
{
    if (length >= 4) {
        uint32_t first;
        uint32_t last;
        memcpy(&first, at, sizeof first);
        memcpy(&last, at + length - sizeof last, sizeof last);
        return (uint64_t)first | (uint64_t)last << (8 * (length - sizeof last));
    }
    /* Of one to three bytes these are all, some of them twice at the same place. */
    const uint64_t first = (unsigned char)at[0];
    const uint64_t middle = (unsigned char)at[length / 2];
    const uint64_t last = (unsigned char)at[length - 1];
    return first | middle << (8 * (length / 2)) | last << (8 * (length - 1));
}

/* Not 0 where a byte of `word` is `byte`; its lowest set bit is then the top bit of the first such byte. Bits above
 * that one may be wrong (a borrow). */
static inline uint64_t word_find(uint64_t word, unsigned char byte)
{
    const uint64_t differs = word ^ WORD_OF(byte);
    return (differs - WORD_OF(1)) & ~differs & WORD_OF(0x80);
}

/* memcpy for what is mostly short. */
static inline void word_copy(char *to, const char *from, size_t length)
{
    if (length > 2 * WORD_BYTES) {
        memcpy(to, from, length);
    } else if (length >= WORD_BYTES) {
        const uint64_t last = word_load(from + length - WORD_BYTES);
        word_store(to, word_load(from));
        word_store(to + length - WORD_BYTES, last);
    } else if (length >= 4) {
        uint32_t first;
        uint32_t last;
        memcpy(&first, from, sizeof first);
        memcpy(&last, from + length - sizeof last, sizeof last);
        memcpy(to, &first, sizeof first);
        memcpy(to + length - sizeof last, &last, sizeof last);
    } else if (length > 0) {
        const char middle = from[length / 2];
        const char last = from[length - 1];
        to[0] = from[0];
        to[length / 2] = middle;
        to[length - 1] = last;
    }
}

/* The eight decimal digits of a number below 10^8, as the bytes 0 to 9 of a word, the highest digit lowest: divided by
 * 10^4, both halves by 100 and the four quarters by 10, each by a product that is exact in its range (Paul Khuong,
 * "How to print integers really fast", 2017). */
static inline uint64_t word_of_digits(uint32_t number)
{
    const uint64_t halves = number / 10000 | (uint64_t)(number % 10000) << 32;
    const uint64_t hundreds = ((halves * 10486) >> 20) & UINT64_C(0x0000007f0000007f);
    const uint64_t quarters = hundreds | (halves - hundreds * 100) << 16;
    const uint64_t tens = ((quarters * 103) >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (quarters - tens * 10) << 8;
}

/* Writes a number below 10^10 without leading zeros; up to ten bytes may be touched. Returns the end. */
static inline char *word_write_number(uint64_t number, char *at)
{
    if (number >= 100000000) {
        const unsigned high = (unsigned)(number / 100000000);
        if (high >= 10)
            *at++ = (char)('0' + high / 10);
        *at++ = (char)('0' + high % 10);
        word_store(at, word_of_digits((uint32_t)(number % 100000000)) | WORD_OF('0'));
        return at + 8;
    }
    const uint64_t bytes = word_of_digits((uint32_t)number);
    const unsigned zeros = (unsigned)__builtin_ctzll(bytes | UINT64_C(1) << 63) / 8; /* the last digit stays */
    word_store(at, (bytes | WORD_OF('0')) >> (8 * zeros));
    return at + 8 - zeros;
}

#endif
