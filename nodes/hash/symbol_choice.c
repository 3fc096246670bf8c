#include "nodes/hash/symbol_choice.h"

#include <md5.h>

static int64_t digest(struct fix_view symbol)
{
    __extension__ typedef unsigned __int128 uint128;
    const uint64_t modulus = (UINT64_C(1) << 61) - 1;
    uint8_t bytes[MD5_DIGEST_LENGTH];
    MD5_CTX context;
    MD5Init(&context);
    if (symbol.length > 0)
        MD5Update(&context, (const uint8_t *)symbol.data, symbol.length);
    MD5Final(bytes, &context);
    uint128 number = 0;
    for (unsigned i = 0; i < MD5_DIGEST_LENGTH; i++)
        number = number << 8 | bytes[i];
    return (int64_t)(number % modulus);
}

enum { KEPT_BYTES_MAX = 8 };

int64_t symbol_choice(struct symbol_choices *choices, const struct fix_message *message, struct fix_view symbol)
{
    if (symbol.length == 0 || symbol.length > KEPT_BYTES_MAX)
        return digest(symbol);
    uint64_t word = fix_view_word(message, symbol);
    /* The upper bits of a product: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4). */
    struct kept_choice *kept = &choices->kept[word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SYMBOL_CHOICE_KEPT_BITS)];
    if (kept->symbol != word || kept->length != symbol.length)
        *kept = (struct kept_choice){.symbol = word, .length = symbol.length, .choice = digest(symbol)};
    return kept->choice;
}
