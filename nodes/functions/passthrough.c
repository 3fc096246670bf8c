#include "nodes/functions/function_types.h"

static void passthrough_apply(void *state, const struct millrace_host *host, struct millrace_call *call,
                              const void *data, size_t length)
{
    (void)state;
    host->emit(call, 0, data, length);
}

const struct millrace_function function_passthrough = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "passthrough",
    .title = "Passthrough",
    .summary = "hands each message on unchanged",
    .apply = passthrough_apply,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
