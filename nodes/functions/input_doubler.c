#include "nodes/functions/function_types.h"

static void input_doubler_apply(void *state, const struct millrace_host *host, struct millrace_call *call,
                                const void *data, size_t length)
{
    (void)state;
    host->emit(call, 0, data, length);
    host->emit(call, 1, data, length);
}

const struct millrace_function function_input_doubler = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "inputdoubler",
    .title = "InputDoubler",
    .summary = "hands each message on to output 0 and again to output 1",
    .apply = input_doubler_apply,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
