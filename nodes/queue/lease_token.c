#include "nodes/queue/lease_token.h"

#include <string.h>

enum { EPOCH_DIGIT_COUNT = 8, DECIMAL_DIGIT_COUNT_MAX = 20 };

static const char hex_digits[] = "0123456789abcdef";

static char *write_decimal(char *at, uint64_t value)
{
    char digits[DECIMAL_DIGIT_COUNT_MAX];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

size_t lease_token_write(const struct lease_token *token, char *text)
{
    char *at = text;
    for (int shift = 28; shift >= 0; shift -= 4)
        *at++ = hex_digits[(token->epoch >> shift) & 0xf];
    *at++ = '.';
    at = write_decimal(at, token->sequence);
    *at++ = '.';
    at = write_decimal(at, token->deliveries);
    return (size_t)(at - text);
}

static bool read_epoch(const char *text, uint32_t *epoch)
{
    uint32_t value = 0;
    for (int i = 0; i < EPOCH_DIGIT_COUNT; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(hex_digits, text[i]);
        if (digit == NULL)
            return false;
        value = value << 4 | (uint32_t)(digit - hex_digits);
    }
    *epoch = value;
    return true;
}

/* A number from 1 to `limit`, all of the text. */
static bool read_decimal(const char *text, size_t length, uint64_t limit, uint64_t *number)
{
    if (length == 0 || length > DECIMAL_DIGIT_COUNT_MAX || text[0] == '0')
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *number = value;
    return value <= limit;
}

bool lease_token_read(const void *text, size_t length, struct lease_token *token)
{
    const char *epoch = text;
    if (length <= EPOCH_DIGIT_COUNT + 1 || length > LEASE_TOKEN_BYTES_MAX || epoch[EPOCH_DIGIT_COUNT] != '.')
        return false;
    const char *sequence = epoch + EPOCH_DIGIT_COUNT + 1;
    const char *end = epoch + length;
    const char *dot = memchr(sequence, '.', (size_t)(end - sequence));
    uint64_t deliveries;
    if (dot == NULL || !read_epoch(epoch, &token->epoch) ||
        !read_decimal(sequence, (size_t)(dot - sequence), UINT64_MAX, &token->sequence) ||
        !read_decimal(dot + 1, (size_t)(end - dot - 1), UINT32_MAX, &deliveries))
        return false;
    token->deliveries = (uint32_t)deliveries;
    return true;
}
