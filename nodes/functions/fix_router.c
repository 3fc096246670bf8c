/*
 * Routes a FIX message by its symbol. The choice is the one that other programs of the same pipeline make: the MD5
 * digest of the symbol as a big-endian number, modulo 2^61 - 1.
 */
#include <md5.h>

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

static void fix_router_apply(void *state, const struct millrace_host *host, struct millrace_call *call,
                             const void *data, size_t length)
{
    (void)state;
    struct fix_message message;
    fix_read(data, length, &message);
    host->emit(call, symbol_choice(message.fields[FIX_SYMBOL]), data, length);
}

const struct millrace_function function_fix_router = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "fixrouter",
    .title = "Fixrouter",
    .summary = "sends each FIX message, unchanged, to the output that its symbol (tag 55) chooses",
    .apply = fix_router_apply,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
