#include "nodes/functions/market_state.h"

#include <string.h>

/* As many are removed with each new id; more than one, so that what a crash or a lower limit left goes away. */
enum { REMOVED_AT_ONCE_MAX = 2 };

enum { SYMBOL_MARK = 's', ORDER_MARK = 'o', ORDER_HEAD_BYTES = 1 + MARKET_GENERATION_BYTES };
_Static_assert((int)KEY_LOG_KEY_BYTES_MAX >= (int)MILLRACE_STATE_KEY_BYTES_MAX, "the log takes all keys");

/* ---- keeping ---- */

void market_state_keep_symbol(const struct millrace_host *host, struct millrace_call *call, struct fix_view symbol,
                              bool stopped)
{
    char key[MILLRACE_STATE_KEY_BYTES_MAX] = {SYMBOL_MARK};
    const char value = stopped ? 1 : 0;
    if (symbol.length > 0)
        memcpy(key + 1, symbol.data, symbol.length);
    (void)host->state_put(call, key, 1 + symbol.length, &value, 1); /* within all bounds, and no memory is held */
}

/* Removes pairs of ids that the set has forgotten, the oldest of those that are kept. */
static void remove_forgotten(struct market_state *state, const struct millrace_host *host, struct millrace_call *call,
                             const struct id_set *order_ids, uint64_t count_max)
{
    for (uint64_t i = 0; i < count_max && state->order_keys.count > id_set_count(order_ids); i++) {
        size_t length;
        const void *key = key_log_peek(&state->order_keys, &length);
        host->state_remove(call, key, length);
        key_log_pop(&state->order_keys);
    }
}

enum status market_state_keep_order(struct market_state *state, const struct millrace_host *host,
                                    struct millrace_call *call, const struct id_set *order_ids, const void *id,
                                    size_t id_length, struct error *error)
{
    unsigned char key[MILLRACE_STATE_KEY_BYTES_MAX] = {ORDER_MARK};
    const uint64_t generation = id_set_added_generation(order_ids);
    for (unsigned i = 0; i < MARKET_GENERATION_BYTES; i++)
        key[1 + i] = (unsigned char)(generation >> 8 * (MARKET_GENERATION_BYTES - 1 - i));
    if (id_length > 0)
        memcpy(key + ORDER_HEAD_BYTES, id, id_length);
    (void)host->state_put(call, key, ORDER_HEAD_BYTES + id_length, NULL, 0);
    if (!state->forgets)
        return STATUS_OK;
    enum status status = key_log_append(&state->order_keys, key, ORDER_HEAD_BYTES + id_length, error);
    remove_forgotten(state, host, call, order_ids, REMOVED_AT_ONCE_MAX);
    return status;
}

/* ---- loading ---- */

struct loading {
    struct market_state *state;
    const struct millrace_host *host;
    struct millrace_call *call;
    struct symbol_table *symbols;
    struct id_set *order_ids;
    enum status status;
    struct error *error;
};

static enum status load_symbol(struct loading *loading, const char *name, size_t length, bool stopped)
{
    const struct fix_message message = {.end = name + length};
    const struct fix_view view = {.data = name, .length = length};
    struct symbol_state *symbol;
    enum status status = symbol_table_add(loading->symbols, &message, view, &symbol, loading->error);
    if (status == STATUS_OK)
        symbol->stopped = stopped;
    return status;
}

/* Ids come by generation, the oldest first: the set does what it did when they were new, also forgetting. */
static enum status load_order(struct loading *loading, const unsigned char *key, size_t length)
{
    uint64_t generation = 0;
    for (unsigned i = 0; i < MARKET_GENERATION_BYTES; i++)
        generation = generation << 8 | key[1 + i];
    id_set_begin_generation(loading->order_ids, generation);
    struct id_key id;
    bool added;
    id_set_key(loading->order_ids, key + ORDER_HEAD_BYTES, length - ORDER_HEAD_BYTES, &id);
    enum status status = id_set_add(loading->order_ids, &id, &added, loading->error);
    if (status != STATUS_OK || added)
        return status == STATUS_OK ? key_log_append(&loading->state->order_keys, key, length, loading->error) : status;
    loading->host->state_remove(loading->call, key, length); /* under another generation it is there already */
    return STATUS_OK;
}

static int load_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct loading *loading = context;
    const unsigned char *bytes = key;
    if (bytes[0] == SYMBOL_MARK && value_length == 1 && *(const unsigned char *)value <= 1)
        loading->status =
            load_symbol(loading, (const char *)bytes + 1, key_length - 1, *(const unsigned char *)value != 0);
    else if (bytes[0] == ORDER_MARK && key_length >= ORDER_HEAD_BYTES && value_length == 0)
        loading->status = load_order(loading, bytes, key_length);
    else
        loading->status = error_set(loading->error, STATUS_CORRUPT, "its kept state is not this function's");
    return loading->status != STATUS_OK;
}

enum status market_state_load(struct market_state *state, const struct millrace_host *host, struct millrace_call *call,
                              struct symbol_table *symbols, struct id_set *order_ids, bool forgets, struct error *error)
{
    state->keeps = host->keeps_state(call) != 0;
    state->forgets = forgets;
    if (!state->keeps)
        return STATUS_OK;
    struct loading loading = {
        .state = state, .host = host, .call = call, .symbols = symbols, .order_ids = order_ids, .error = error};
    host->state_each(call, NULL, 0, load_pair, &loading);
    if (loading.status == STATUS_OK && !forgets) { /* none will come that would take them along */
        remove_forgotten(state, host, call, order_ids, UINT64_MAX);
        key_log_free(&state->order_keys);
    }
    return loading.status;
}

void market_state_free(struct market_state *state)
{
    key_log_free(&state->order_keys);
}
