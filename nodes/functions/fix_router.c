/*
 * Routes a FIX message by its symbol.
 */
#include <stdio.h>
#include <stdlib.h>

#include "nodes/functions/fix.h"
#include "nodes/functions/function_types.h"
#include "nodes/hash/symbol_choice.h"

static void fix_router_apply(void *state, const struct millrace_host *host, struct millrace_call *call,
                             const void *data, size_t length)
{
    struct fix_message message;
    fix_read(data, length, &message);
    host->emit(call, symbol_choice(state, &message, message.fields[FIX_SYMBOL]), data, length);
}

static int fix_router_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                           struct millrace_call *call, char *why, size_t why_bytes)
{
    (void)values;
    (void)host;
    (void)call;
    *state = calloc(1, sizeof(struct symbol_choices));
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
