/*
 * Routes a FIX message by its symbol. The choice is the one that other programs of the same pipeline make: the MD5
 * digest of the symbol as a big-endian number, modulo 2^61 - 1. A digest takes half of what a message takes, so the
 * choices of short symbols are kept; those that fall on the same place take it from each other.
 */
#include <md5.h>
#include <stdio.h>
#include <stdlib.h>

#include "nodes/functions/fix.h"
#include "nodes/functions/function_types.h"

static int64_t symbol_choice(struct fix_view symbol)
{
    __extension__ typedef unsigned __int128 uint128;
    const uint64_t modulus = (UINT64_C(1) << 61) - 1;
    uint8_t digest[MD5_DIGEST_LENGTH];
    MD5_CTX context;
    MD5Init(&context);
    if (symbol.length > 0)
        MD5Update(&context, (const uint8_t *)symbol.data, symbol.length);
    MD5Final(digest, &context);
    uint128 number = 0;
    for (unsigned i = 0; i < MD5_DIGEST_LENGTH; i++)
        number = number << 8 | digest[i];
    return (int64_t)(number % modulus);
}

enum { KEPT_BITS = 10, KEPT_BYTES_MAX = 8 };

struct kept_choice {
    uint64_t symbol; /* as fix_view_word has it */
    size_t length;   /* of the symbol; 0: nothing is kept here */
    int64_t choice;
};

struct fix_router {
    struct kept_choice kept[1 << KEPT_BITS];
};

static int64_t choose(struct fix_router *router, const struct fix_message *message)
{
    const struct fix_view symbol = message->fields[FIX_SYMBOL];
    if (symbol.length == 0 || symbol.length > KEPT_BYTES_MAX)
        return symbol_choice(symbol);
    uint64_t word = fix_view_word(message, symbol);
    /* The upper bits of a product: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4). */
    struct kept_choice *kept = &router->kept[word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - KEPT_BITS)];
    if (kept->symbol != word || kept->length != symbol.length)
        *kept = (struct kept_choice){.symbol = word, .length = symbol.length, .choice = symbol_choice(symbol)};
    return kept->choice;
}

static void fix_router_apply(void *state, const struct millrace_host *host, struct millrace_call *call,
                             const void *data, size_t length)
{
    struct fix_message message;
    fix_read(data, length, &message);
    host->emit(call, choose(state, &message), data, length);
}

static int fix_router_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                           struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)values;
    (void)host;
    (void)call;
    *state = calloc(1, sizeof(struct fix_router));
    if (*state != NULL)
        return 0;
    snprintf(why, why_bytes, "no memory");
    return -1;
}

static void fix_router_close(void *state)
{
    free(state);
}

const struct millrace_function function_fix_router = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "fixrouter",
    .title = "Fixrouter",
    .summary = "sends each FIX message, unchanged, to the output that its symbol (tag 55) chooses",
    .open = fix_router_open,
    .apply = fix_router_apply,
    .close = fix_router_close,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
