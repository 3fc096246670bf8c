#include <stdio.h>
#include <string.h>

#include "engine/log.h"

/* The length of the well-formed UTF-8 sequence at `bytes`, 0 if there is none (RFC 3629, table in section 4). */
static size_t utf8_sequence_length(const unsigned char *bytes, size_t left)
{
    unsigned char first = bytes[0];
    size_t length = first < 0x80                     ? 1
                    : first >= 0xc2 && first <= 0xdf ? 2
                    : first >= 0xe0 && first <= 0xef ? 3
                    : first >= 0xf0 && first <= 0xf4 ? 4
                                                     : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (first == 0xe0 && bytes[1] < 0xa0) || (first == 0xf0 && bytes[1] < 0x90);
    bool beyond = (first == 0xed && bytes[1] > 0x9f) || (first == 0xf4 && bytes[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

const char *log_quote(const void *data, size_t length, char *text, size_t text_bytes)
{
    const unsigned char *bytes = data;
    size_t used = 0;
    size_t cut = 0; /* the last place where "..." would fit */
    for (size_t i = 0; i < length;) {
        size_t sequence = utf8_sequence_length(bytes + i, length - i);
        bool printable = sequence > 1 || (sequence == 1 && bytes[i] >= 0x20 && bytes[i] != 0x7f);
        size_t needed = printable ? sequence : 4;
        if (used + sizeof "..." <= text_bytes)
            cut = used;
        if (used + needed + 1 > text_bytes) {
            memcpy(text + cut, "...", 3);
            used = cut + 3;
            break;
        }
        if (printable)
            memcpy(text + used, bytes + i, sequence);
        else
            snprintf(text + used, 5, "\\x%02x", bytes[i]);
        used += needed;
        i += printable ? sequence : 1;
    }
    text[used] = '\0';
    return text;
}

void error_print(const struct error *error)
{
    char line[4 * ERROR_TEXT_BYTES];
    fprintf(stderr, "millrace: %s\n", log_quote(error->text, strlen(error->text), line, sizeof line));
}
