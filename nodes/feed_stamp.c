#include "nodes/feed_stamp.h"

#include <string.h>

#include "engine/clock.h"
#include "nodes/text/word.h"

enum { SOH = 0x01 };

size_t feed_stamp(char *at, int64_t wall_ns)
{
    static const char head[] = {SOH, '9', '9', '9', '='};
    const uint64_t micros = wall_ns > 0 ? (uint64_t)wall_ns / NS_PER_US : 0;
    const uint64_t micros_per_s = NS_PER_S / NS_PER_US;
    char *end = at;
    memcpy(end, head, sizeof head);
    end = word_write_number(micros / micros_per_s, end + sizeof head); /* 64 bits of nanoseconds: below 10^10 seconds */
    *end++ = '.';
    /* Six of the eight digits: the first two are zeros. */
    word_store(end, (word_of_digits((uint32_t)(micros % micros_per_s)) | WORD_OF('0')) >> 16);
    end += 6;
    *end++ = SOH;
    *end++ = '"';
    return (size_t)(end - at);
}
