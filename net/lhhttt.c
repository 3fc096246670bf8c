#include "net/lhhttt.h"

#include "engine/check.h"

enum { LHHTTT_DIGIT_MAX = 15, NO_DIGIT = 0xff };

/* The value of a hex digit of either case, or NO_DIGIT. */
static unsigned hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    unsigned char lower = c | 0x20;
    if (lower >= 'a' && lower <= 'f')
        return (unsigned)(lower - 'a') + 10;
    return NO_DIGIT;
}

size_t lhhttt_write_header(uint64_t text_length, char header[LHHTTT_HEADER_BYTES_MAX])
{
    static const char digits[16] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
    CHECK(text_length >> (4 * LHHTTT_DIGIT_MAX) == 0);
    /* |1: the length 0 has one digit too, and the count of leading zeros is defined. */
    unsigned bit_count = 64 - (unsigned)__builtin_clzll((unsigned long long)(text_length | 1));
    unsigned digit_count = (bit_count + 3) / 4;
    header[0] = digits[digit_count];
    for (unsigned i = digit_count; i > 0; i--) {
        header[i] = digits[text_length & 0xf];
        text_length >>= 4;
    }
    return digit_count + 1;
}

enum status lhhttt_read_header(const void *data, size_t length, size_t *header_length, uint64_t *text_length)
{
    const unsigned char *bytes = data;
    if (length == 0)
        return STATUS_AGAIN;
    unsigned digit_count = hex_value(bytes[0]);
    if (digit_count == 0 || digit_count == NO_DIGIT)
        return STATUS_INPUT;
    size_t there = length - 1 < digit_count ? length - 1 : digit_count;
    uint64_t value = 0;
    for (size_t i = 1; i <= there; i++) {
        unsigned digit = hex_value(bytes[i]);
        if (digit == NO_DIGIT)
            return STATUS_INPUT;
        value = value << 4 | digit;
    }
    if (there < digit_count)
        return STATUS_AGAIN;
    *header_length = digit_count + 1;
    *text_length = value;
    return STATUS_OK;
}

enum status lhhttt_read_datagram(const void *data, size_t length, const void **text, size_t *text_length)
{
    size_t header_length;
    uint64_t announced;
    if (lhhttt_read_header(data, length, &header_length, &announced) != STATUS_OK)
        return STATUS_INPUT;
    if (announced != length - header_length)
        return STATUS_INPUT;
    *text = (const unsigned char *)data + header_length;
    *text_length = (size_t)announced;
    return STATUS_OK;
}
