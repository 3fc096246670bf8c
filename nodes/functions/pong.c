#include <stdbool.h>
#include <string.h>

#include "engine/log.h"
#include "nodes/functions/function_types.h"

static bool is_word(const void *data, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(data, word, length) == 0;
}

static void pong_apply(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                       size_t length)
{
    (void)state;
    char shown[FUNCTION_SHOWN_BYTES];
    if (is_word(data, length, "ping"))
        host->emit(call, 0, "pong", 4);
    else if (is_word(data, length, "pong"))
        host->emit(call, 0, "ping", 4);
    else
        host->fail(call, "Unknown input: '%s'", log_quote(data, length, shown, sizeof shown));
}

const struct millrace_function function_pong = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "pong",
    .title = "Pong",
    .summary = "answers ping with pong and pong with ping",
    .apply = pong_apply,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
