/*
 * Watches quotes and accepts or rejects orders, both FIX 4.2.
 *
 * A quote (type S) whose spread is at least 5 % of its mid price and at least 5 cents stops new orders of its symbol
 * until a quote with a smaller one comes. An order (type D) is answered with one line of JSON; the ids of accepted
 * orders are remembered, as many as --orders-limit says. Beyond that the oldest are forgotten, unless --orders-full
 * says otherwise: FIX 4.2 asks for ids that differ within a trading day, so a feed that runs for months uses them
 * again, and a worker that stopped taking orders would be worse than one that no longer knows those of last week.
 *
 * A worker that keeps the state keeps both (market_state.h).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "nodes/functions/fix.h"
#include "nodes/functions/function_types.h"
#include "nodes/functions/id_set.h"
#include "nodes/functions/market_state.h"
#include "nodes/functions/symbol_table.h"
#include "nodes/text/decimal.h"
#include "nodes/text/json_text.h"

#define STOP_SPREAD_RELATIVE 0.05
#define STOP_SPREAD_ABSOLUTE 0.05

/* What an order id takes at most, in the mean: enough for ids of 36 bytes. */
enum { ORDER_BYTES_MAX = 64 };

enum setting { SETTING_ORDERS_LIMIT, SETTING_ORDERS_FULL };

/* In the order of enum id_set_full. */
static const char *const orders_full_choices[] = {"refuse", "forget", NULL};

static const struct millrace_setting settings[] = {
    [SETTING_ORDERS_LIMIT] = {.name = "orders-limit",
                              .kind = MILLRACE_SETTING_COUNT,
                              .default_text = "100000000",
                              .min = 2,
                              .max = ID_SET_COUNT_MAX,
                              .value_name = "COUNT",
                              .help = "how many order ids are remembered, 25 bytes each up to 15 long"},
    [SETTING_ORDERS_FULL] = {.name = "orders-full",
                             .kind = MILLRACE_SETTING_CHOICE,
                             .default_text = "forget",
                             .choices = orders_full_choices,
                             .value_name = "WHAT",
                             .help = "beyond that: refuse new orders, or forget the older half of the ids"},
    {0},
};

/* A message that has been read. */
struct reading {
    const void *data; /* where it is */
    struct fix_message message;
    struct id_key order_id; /* of an order that has one */
};

struct market_spread {
    struct symbol_table *symbols; /* a symbol is here once it had a quote */
    struct id_set *order_ids;     /* accepted ones */
    struct market_state kept;
    struct text output; /* reused */
    struct reading ahead[MILLRACE_LOOK_AHEAD_MAX];
    size_t ahead_count;
    size_t ahead_next;
};

enum counter {
    COUNT_QUOTES,
    COUNT_HEARTBEATS,
    COUNT_OTHER_TYPES,
    COUNT_ORDERS_ACCEPTED,
    COUNT_REJECTED_DUPLICATE,
    COUNT_REJECTED_UNKNOWN_SYMBOL,
    COUNT_REJECTED_STOPPED,
    COUNT_ORDERS_FORGOTTEN,
};

static const char *const counter_names[] = {
    [COUNT_QUOTES] = "quotes",
    [COUNT_HEARTBEATS] = "heartbeats",
    [COUNT_OTHER_TYPES] = "other_types",
    [COUNT_ORDERS_ACCEPTED] = "orders_accepted",
    [COUNT_REJECTED_DUPLICATE] = "rejected_duplicate",
    [COUNT_REJECTED_UNKNOWN_SYMBOL] = "rejected_unknown_symbol",
    [COUNT_REJECTED_STOPPED] = "rejected_stopped",
    [COUNT_ORDERS_FORGOTTEN] = "orders_forgotten",
    NULL,
};

/* The call that is going on, for the functions below. */
struct context {
    struct market_spread *state;
    const struct millrace_host *host;
    struct millrace_call *call;
};

struct number_text {
    char text[DECIMAL_TEXT_BYTES];
    size_t length;
};

/* What the fields of an order say. */
struct order {
    const struct id_key *id;
    struct fix_view symbol;
    struct fix_view account; /* may be absent */
    /* As the answer has them, which is all that becomes of them; empty if absent. */
    struct number_text quantity;
    struct number_text feed_epoch;
};

static bool need_field(const struct context *context, const char *what, struct fix_view view, const char *field)
{
    if (view.data == NULL)
        context->host->fail(context->call, "%s without %s", what, field);
    return view.data != NULL;
}

static bool fail_number(const struct context *context, struct fix_view view, const char *field)
{
    char shown[FUNCTION_SHOWN_BYTES];
    context->host->fail(context->call, "%s is no number: '%s'", field,
                        log_quote(view.data, view.length, shown, sizeof shown));
    return false;
}

static bool read_number(const struct context *context, struct fix_view view, const char *field, double *value)
{
    return decimal_parse(view.data, view.length, value) == STATUS_OK || fail_number(context, view, field);
}

/* Of a field that may be absent. */
static bool rewrite_number(const struct context *context, struct fix_view view, const char *field,
                           struct number_text *number)
{
    number->length = 0;
    return view.data == NULL || decimal_rewrite(view.data, view.length, number->text, &number->length) == STATUS_OK ||
           fail_number(context, view, field);
}

static void handle_quote(const struct context *context, const struct fix_message *message)
{
    double bid;
    double offer;
    if (!need_field(context, "quote", message->fields[FIX_SYMBOL], "tag 55 (symbol)") ||
        !need_field(context, "quote", message->fields[FIX_BID], "tag 132 (bid)") ||
        !need_field(context, "quote", message->fields[FIX_OFFER], "tag 133 (offer)") ||
        !read_number(context, message->fields[FIX_BID], "tag 132 (bid)", &bid) ||
        !read_number(context, message->fields[FIX_OFFER], "tag 133 (offer)", &offer))
        return;
    double mid = (bid + offer) / 2;
    if (mid == 0) {
        context->host->fail(context->call, "tag 132 (bid) and tag 133 (offer) have a middle of 0");
        return;
    }
    const struct fix_view name = message->fields[FIX_SYMBOL];
    const bool keeps = context->state->kept.keeps;
    if (keeps && name.length > MARKET_SYMBOL_BYTES_MAX) {
        context->host->fail(context->call, "tag 55 (symbol) cannot be kept: it is longer than %d bytes",
                            MARKET_SYMBOL_BYTES_MAX);
        return;
    }
    const bool is_new = keeps && symbol_table_find(context->state->symbols, message, name) == NULL;
    struct error error; /* not cleared for each quote: that would show */
    struct symbol_state *symbol;
    if (symbol_table_add(context->state->symbols, message, name, &symbol, &error) != STATUS_OK) {
        context->host->fail(context->call, "tag 55 (symbol) cannot be kept: %s", error.text);
        return;
    }
    double spread = offer - bid;
    const bool stops = spread / mid >= STOP_SPREAD_RELATIVE && spread >= STOP_SPREAD_ABSOLUTE;
    if (keeps && (is_new || symbol->stopped != stops))
        market_state_keep_symbol(context->host, context->call, name, stops);
    symbol->stopped = stops;
    context->host->count(context->call, COUNT_QUOTES, 1);
}

static bool read_order(const struct context *context, const struct reading *reading, struct order *order)
{
    const struct fix_message *message = &reading->message;
    if (!need_field(context, "order", message->fields[FIX_ORDER_ID], "tag 11 or 37 (order id)") ||
        !need_field(context, "order", message->fields[FIX_SYMBOL], "tag 55 (symbol)"))
        return false;
    order->id = &reading->order_id;
    order->symbol = message->fields[FIX_SYMBOL];
    order->account = message->fields[FIX_ACCOUNT];
    return rewrite_number(context, message->fields[FIX_ORDER_QUANTITY], "tag 38 (order quantity)", &order->quantity) &&
           rewrite_number(context, message->fields[FIX_FEED_EPOCH], "tag 999 (feed epoch)", &order->feed_epoch);
}

/* Remembers the id of an order that is accepted, if it is new. False, having failed the call: it cannot be. */
static bool remember(const struct context *context, const struct id_key *id, enum counter *outcome)
{
    struct id_set *order_ids = context->state->order_ids;
    struct market_state *kept = &context->state->kept;
    if (kept->keeps && id->length > MARKET_ORDER_ID_BYTES_MAX) {
        context->host->fail(context->call, "the order id cannot be kept: it is longer than %d bytes",
                            MARKET_ORDER_ID_BYTES_MAX);
        return false;
    }
    uint64_t forgotten_count = id_set_forgotten_count(order_ids);
    struct error error; /* as above */
    bool added;
    if (id_set_add(order_ids, id, &added, &error) != STATUS_OK) {
        context->host->fail(context->call, "the order id cannot be remembered: %s", error.text);
        return false;
    }
    if (id_set_forgotten_count(order_ids) != forgotten_count)
        context->host->count(context->call, COUNT_ORDERS_FORGOTTEN,
                             id_set_forgotten_count(order_ids) - forgotten_count);
    if (added && kept->keeps &&
        market_state_keep_order(kept, context->host, context->call, order_ids, id->data, id->length, &error) !=
            STATUS_OK) {
        context->host->fail(context->call, "the order id cannot be kept: %s", error.text);
        return false;
    }
    *outcome = added ? COUNT_ORDERS_ACCEPTED : COUNT_REJECTED_DUPLICATE;
    return true;
}

/*
 * Decides an order and says how in `outcome`; returns false, having failed the call, where the id of an order that
 * would be accepted cannot be remembered. The rule's first question is whether the id is known; the symbol is looked at
 * before that, so that the ids need one look for both asking and remembering.
 */
static bool decide(const struct context *context, const struct fix_message *message, const struct order *order,
                   enum counter *outcome)
{
    const struct symbol_state *symbol = symbol_table_find(context->state->symbols, message, order->symbol);
    if (symbol == NULL || symbol->stopped) {
        *outcome = symbol == NULL ? COUNT_REJECTED_UNKNOWN_SYMBOL : COUNT_REJECTED_STOPPED;
        if (id_set_has(context->state->order_ids, order->id))
            *outcome = COUNT_REJECTED_DUPLICATE;
        return true;
    }
    return remember(context, order->id, outcome);
}

/* Writes a string; inlined, it becomes a few stores. */
static inline char *put(char *at, const char *string)
{
    const size_t length = strlen(string);
    memcpy(at, string, length);
    return at + length;
}

/* Copies all of the text's room: a few stores, without a question how long it is. */
static inline char *put_number(char *at, const struct number_text *number, const char *absent)
{
    if (number->length == 0)
        return put(at, absent);
    memcpy(at, number->text, sizeof number->text);
    return at + number->length;
}

static char *put_verdict(char *at, const struct order *order, size_t symbol_length, enum counter outcome)
{
    switch (outcome) {
    case COUNT_REJECTED_DUPLICATE:
        return put(at, "Rejected: Order already exists");
    case COUNT_REJECTED_UNKNOWN_SYMBOL:
        at = put(at, "Rejected: Unknown symbol: ");
        return json_escape(at, order->symbol.data, order->symbol.length, symbol_length);
    case COUNT_REJECTED_STOPPED:
        at = put(at, "Rejected: ");
        at = json_escape(at, order->symbol.data, order->symbol.length, symbol_length);
        return put(at, " - Stop New Orders");
    default:
        return put(at, "Accepted");
    }
}

/* Appends the answer. All its room is asked for at once: twice the symbol, and the rest below ANSWER_BYTES. */
static void append_answer(struct text *text, const struct order *order, enum counter outcome)
{
    enum { ANSWER_BYTES = 128 + 2 * DECIMAL_TEXT_BYTES };
    const size_t account_length = json_escaped_length(order->account.data, order->account.length);
    const size_t symbol_length = json_escaped_length(order->symbol.data, order->symbol.length);
    char *at = text_reserve(text, ANSWER_BYTES + account_length + 2 * symbol_length);
    if (at == NULL)
        return;
    at = put(at, "{\"msg\": \"New Order: (");
    if (order->account.data != NULL)
        at = json_escape(at, order->account.data, order->account.length, account_length);
    else
        at = put(at, "None");
    at = put(at, ", ");
    at = json_escape(at, order->symbol.data, order->symbol.length, symbol_length);
    at = put(at, outcome == COUNT_ORDERS_ACCEPTED ? ", Accepted, " : ", Rejected, ");
    at = put_number(at, &order->quantity, "None");
    at = put(at, "): ");
    at = put_verdict(at, order, symbol_length, outcome);
    at = put(at, "\", \"feed_time\": ");
    at = put_number(at, &order->feed_epoch, "null");
    at = put(at, "}");
    text->length = (size_t)(at - text->data);
}

static void handle_order(const struct context *context, const struct reading *reading)
{
    struct order order;
    enum counter outcome;
    if (!read_order(context, reading, &order) || !decide(context, &reading->message, &order, &outcome))
        return;
    struct text *output = &context->state->output;
    text_reset(output);
    append_answer(output, &order, outcome);
    context->host->count(context->call, outcome, 1);
    if (text_failed(output))
        context->host->fail(context->call, "the answer to the order would be longer than %zu bytes", TEXT_BYTES_MAX);
    else
        context->host->emit(context->call, 0, output->data, output->length);
}

/* Reads a message and begins to fetch the place of its order id: by far the most that is ever kept is ids. */
static void read_message(const struct market_spread *state, const void *data, size_t length, struct reading *reading)
{
    struct fix_message *message = &reading->message;
    const struct fix_view *order_id = &message->fields[FIX_ORDER_ID];
    reading->data = data;
    fix_read(data, length, message);
    if (fix_view_is(message->fields[FIX_TYPE], 'D') && order_id->data != NULL)
        id_set_key(state->order_ids, order_id->data, order_id->length, &reading->order_id);
}

static void market_spread_look_ahead(void *opaque, const struct millrace_input *inputs, size_t count)
{
    struct market_spread *state = opaque;
    for (size_t i = 0; i < count; i++)
        read_message(state, inputs[i].data, inputs[i].length, &state->ahead[i]);
    state->ahead_count = count;
    state->ahead_next = 0;
}

static void market_spread_apply(void *opaque, const struct millrace_host *host, struct millrace_call *call,
                                const void *data, size_t length)
{
    struct market_spread *state = opaque;
    const struct context context = {.state = state, .host = host, .call = call};
    struct reading only;
    const struct reading *reading = &only;
    if (state->ahead_next < state->ahead_count && state->ahead[state->ahead_next].data == data)
        reading = &state->ahead[state->ahead_next++];
    else
        read_message(state, data, length, &only);
    const struct fix_view type = reading->message.fields[FIX_TYPE];
    if (fix_view_is(type, 'S'))
        handle_quote(&context, &reading->message);
    else if (fix_view_is(type, 'D'))
        handle_order(&context, reading);
    else if (fix_view_is(type, '0'))
        host->count(call, COUNT_HEARTBEATS, 1);
    else if (need_field(&context, "message", type, "tag 35 (type)"))
        host->count(call, COUNT_OTHER_TYPES, 1);
}

static void market_spread_close(void *state)
{
    struct market_spread *gone = state;
    symbol_table_close(&gone->symbols);
    id_set_close(&gone->order_ids);
    market_state_free(&gone->kept);
    text_free(&gone->output);
    free(gone);
}

static int market_spread_open(void **state, const struct millrace_value *values, const struct millrace_host *host,
                              struct millrace_call *call, char *why, size_t why_bytes)
{
    const struct id_set_settings order_id_settings = {
        .count_max = values[SETTING_ORDERS_LIMIT].number,
        .memory_bytes_max = values[SETTING_ORDERS_LIMIT].number * ORDER_BYTES_MAX + ID_SET_MEMORY_BYTES_MIN,
        .full = (enum id_set_full)values[SETTING_ORDERS_FULL].number,
    };
    struct market_spread *made = calloc(1, sizeof *made);
    if (made == NULL) {
        snprintf(why, why_bytes, "no memory");
        return -1;
    }
    struct error error = {0};
    if (symbol_table_open(&made->symbols, &error) != STATUS_OK ||
        id_set_open(&made->order_ids, &order_id_settings, &error) != STATUS_OK ||
        market_state_load(&made->kept, host, call, made->symbols, made->order_ids,
                          order_id_settings.full == ID_SET_FORGET, &error) != STATUS_OK) {
        snprintf(why, why_bytes, "%s", error.text);
        market_spread_close(made);
        return -1;
    }
    *state = made;
    return 0;
}

const struct millrace_function function_market_spread = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof(struct millrace_function),
    .name = "marketspread",
    .title = "Marketspread",
    .summary = "accepts or rejects FIX orders by the spread of their symbol's quotes",
    .counter_names = counter_names,
    .settings = settings,
    .open = market_spread_open,
    .apply = market_spread_apply,
    .close = market_spread_close,
    .look_ahead = market_spread_look_ahead,
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS | MILLRACE_FUNCTION_LOADS_STATE,
};
