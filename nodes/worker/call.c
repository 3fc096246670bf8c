#include <stdarg.h>
#include <stdio.h>

#include "nodes/worker/worker_private.h"

static void emit_to(struct worker *worker, size_t output, const void *data, size_t length)
{
    outlet_emit(worker->outlets[output], data, (uint32_t)length, worker->call.time_ns);
    worker->emitted_count++;
}

/* Python's modulo: the sign of the divisor. */
static size_t choose(int64_t choice, size_t count)
{
    int64_t remainder = choice % (int64_t)count;
    return (size_t)(remainder < 0 ? remainder + (int64_t)count : remainder);
}

static void host_emit(struct millrace_call *call, int64_t choice, const void *data, size_t length)
{
    struct worker *worker = call->worker;
    size_t count = worker->output_count;
    if (length > MESSAGE_LENGTH_MAX || count == 0) {
        worker->no_output_count++;
        return;
    }
    switch ((enum worker_route)worker->config->route) {
    case ROUTE_CHOICE:
        emit_to(worker, choose(choice, count), data, length);
        break;
    case ROUTE_RANDOM:
        emit_to(worker, (size_t)random_below(&worker->random, count), data, length);
        break;
    case ROUTE_ROUND_ROBIN:
        emit_to(worker, worker->next_output, data, length);
        worker->next_output = worker->next_output + 1 < count ? worker->next_output + 1 : 0;
        break;
    case ROUTE_BROADCAST:
        for (size_t i = 0; i < count; i++)
            emit_to(worker, i, data, length);
        break;
    }
}

static void host_fail(struct millrace_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->why, sizeof call->why, format, arguments);
    va_end(arguments);
    call->failed = true;
}

static void host_count(struct millrace_call *call, unsigned index, uint64_t n)
{
    struct node_stats *stats = call->worker->node->stats;
    if (index < stats->extra_count)
        stats_add(&stats->counters[WORKER_COUNTER_COUNT + index], n);
}

/* ---- the keyed state ---- */

static int host_keeps_state(struct millrace_call *call)
{
    return worker_state_is_kept(call->worker->keyed_state);
}

/* Whether the function may read its state now. */
static bool may_read(struct millrace_call *call)
{
    bool loads = (call->worker->function->flags & MILLRACE_FUNCTION_LOADS_STATE) != 0;
    if (loads)
        host_fail(call, "the function reads its state, which it said it does when it is opened only");
    return !loads;
}

static int host_state_get(struct millrace_call *call, const void *key, size_t key_length, const void **value,
                          size_t *value_length)
{
    return may_read(call) && worker_state_get(call->worker->keyed_state, key, key_length, value, value_length);
}

static int host_state_put(struct millrace_call *call, const void *key, size_t key_length, const void *value,
                          size_t value_length)
{
    struct error error = {0};
    if (worker_state_put(call->worker->keyed_state, key, key_length, value, value_length, &error) == STATUS_OK) {
        call->changed = true;
        return 0;
    }
    host_fail(call, "%s", error.text);
    return -1;
}

static void host_state_remove(struct millrace_call *call, const void *key, size_t key_length)
{
    call->changed |= worker_state_remove(call->worker->keyed_state, key, key_length);
}

static void host_state_each(struct millrace_call *call, const void *prefix, size_t prefix_length,
                            millrace_pair_visit *visit, void *context)
{
    struct error error = {0};
    if (!call->worker->opening && !may_read(call))
        return;
    if (worker_state_each(call->worker->keyed_state, prefix, prefix_length, visit, context, &error) != STATUS_OK)
        host_fail(call, "%s", error.text);
}

static const struct millrace_host host = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_host),
    .emit = host_emit,
    .fail = host_fail,
    .count = host_count,
    .keeps_state = host_keeps_state,
    .state_get = host_state_get,
    .state_put = host_state_put,
    .state_remove = host_state_remove,
    .state_each = host_state_each,
};

enum status worker_open_function(struct worker *worker, const struct millrace_value *values, struct error *error)
{
    const struct millrace_function *function = worker->function;
    const struct worker_state_settings settings = {
        .keeper = worker->state_keeper.put != NULL ? &worker->state_keeper : NULL,
        .loads = (function->flags & MILLRACE_FUNCTION_LOADS_STATE) != 0,
        .memory_bytes_max = worker->config->state_bytes_max,
    };
    enum status status = worker_state_open(&worker->keyed_state, &settings, error);
    if (status != STATUS_OK)
        return status;
    struct millrace_call *call = &worker->call;
    char why[256] = "";
    worker->opening = true;
    int opened =
        function->open == NULL ? 0 : function->open(&worker->function_state, values, &host, call, why, sizeof why);
    worker->opening = false;
    worker->function_open = opened == 0;
    if (opened == 0 && !call->failed)
        return STATUS_OK;
    return error_set(error, STATUS_SYSTEM, "function %s: %s", function->name, call->failed ? call->why : why);
}

/* ---- a message ---- */

/* Those to which the function said emit, whatever has become of them. */
static uint64_t result_count(const struct worker *worker)
{
    return worker->emitted_count + worker->no_output_count;
}

static void call_function(struct worker *worker, const void *text, uint32_t length)
{
    worker->call.failed = false;
    worker->call.changed = false;
    worker->function->apply(worker->function_state, &host, &worker->call, text, length);
}

bool worker_call(struct worker *worker, const void *text, uint32_t length)
{
    uint64_t before = result_count(worker);
    call_function(worker, text, length);
    uint64_t results = result_count(worker) - before;
    if (worker->call.failed) {
        worker->multiplied_count += results;
        worker->call.changed |= results > 0;
        return false;
    }
    if (results != 1) {
        worker->filtered_count += results == 0;
        worker->multiplied_count += results == 0 ? 0 : results - 1;
    }
    return true;
}

static struct outlet_counts letter_counts(const struct worker *worker)
{
    return outlets_counts(worker->outlets + worker->output_count, worker->outlet_count - worker->output_count);
}

void worker_open_ledger(struct worker *worker)
{
    worker->emitted_count = outlets_counts(worker->outlets, worker->output_count).held_count;
    worker->letter_count = letter_counts(worker).held_count;
    stats_set(&worker->node->stats->counters[WORKER_RECOVERED], worker->emitted_count + worker->letter_count);
}

void worker_show_ledger(struct worker *worker)
{
    struct node_stats *stats = worker->node->stats;
    struct outlet_counts letters = {0};
    if (!worker->rings_only && worker->outlet_count > worker->output_count)
        letters = letter_counts(worker);
    uint64_t not_sent = letters.held_count + letters.lost_count;
    if (worker->letter_count > not_sent + stats_get(&stats->counters[WORKER_DEAD_LETTERS]))
        stats_set(&stats->counters[WORKER_DEAD_LETTERS], worker->letter_count - not_sent);
    node_show_drops(worker->node, WORKER_NO_OUTPUT, worker->no_output_count);
    stats_set(&stats->counters[WORKER_FILTERED], worker->filtered_count);
    stats_set(&stats->counters[WORKER_MULTIPLIED], worker->multiplied_count);
}
