/*
 * Watches quotes and accepts or rejects orders, both FIX 4.2.
 *
 * A quote (type S) whose spread is at least 5 % of its mid price and at least 5 cents stops new orders of its symbol
 * until a quote with a smaller one comes. An order (type D) is answered with one line of JSON; the ids of accepted
 * orders are remembered, as many as --orders-limit says. Beyond that the oldest are forgotten, unless --orders-full
 * says otherwise: FIX 4.2 asks for ids that differ within a trading day, so a feed that runs for months uses them
 * again, and a worker that stopped taking orders would be worse than one that no longer knows those of last week.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "nodes/functions/fix.h"
#include "nodes/functions/function_types.h"
#include "nodes/functions/id_set.h"
#include "nodes/functions/keyed_table.h"
#include "nodes/text/decimal.h"
#include "nodes/text/json_text.h"

#define STOP_SPREAD_RELATIVE 0.05
#define STOP_SPREAD_ABSOLUTE 0.05

/* Bounds on what a sender can make the function keep. Of orders the count is the user's; each has at most so many
 * bytes, in the mean: enough for ids of 36. */
#define SYMBOL_COUNT_MAX (UINT64_C(1) << 20)
#define SYMBOL_BYTES_MAX (UINT64_C(1) << 28)
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

struct market_spread {
    struct keyed_table *symbols; /* symbol -> struct symbol_state; a symbol is here once it had a quote */
    struct id_set *order_ids;    /* accepted ones */
    struct text output;          /* reused */
};

struct symbol_state {
    bool stopped;
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

/* What the fields of an order say. */
struct order {
    struct id_key id;
    struct fix_view symbol;
    struct fix_view account; /* may be absent */
    bool has_quantity;
    bool has_feed_epoch;
    double quantity;
    double feed_epoch;
};

static bool need_field(const struct context *context, const char *what, struct fix_view view, const char *field)
{
    if (view.data == NULL)
        context->host->fail(context->call, "%s without %s", what, field);
    return view.data != NULL;
}

static bool read_number(const struct context *context, struct fix_view view, const char *field, double *value)
{
    if (decimal_parse(view.data, view.length, value) == STATUS_OK)
        return true;
    char shown[FUNCTION_SHOWN_BYTES];
    context->host->fail(context->call, "%s is no number: '%s'", field,
                        log_quote(view.data, view.length, shown, sizeof shown));
    return false;
}

static void handle_quote(const struct context *context, const struct fix_message *message)
{
    double bid;
    double offer;
    if (!need_field(context, "quote", message->symbol, "tag 55 (symbol)") ||
        !need_field(context, "quote", message->bid, "tag 132 (bid)") ||
        !need_field(context, "quote", message->offer, "tag 133 (offer)") ||
        !read_number(context, message->bid, "tag 132 (bid)", &bid) ||
        !read_number(context, message->offer, "tag 133 (offer)", &offer))
        return;
    double mid = (bid + offer) / 2;
    if (mid == 0) {
        context->host->fail(context->call, "tag 132 (bid) and tag 133 (offer) have a middle of 0");
        return;
    }
    struct error error = {0};
    void *value;
    bool added;
    if (keyed_table_add(context->state->symbols, message->symbol.data, message->symbol.length, &value, &added,
                        &error) != STATUS_OK) {
        context->host->fail(context->call, "tag 55 (symbol) cannot be kept: %s", error.text);
        return;
    }
    double spread = offer - bid;
    struct symbol_state *symbol = value;
    symbol->stopped = spread / mid >= STOP_SPREAD_RELATIVE && spread >= STOP_SPREAD_ABSOLUTE;
    context->host->count(context->call, COUNT_QUOTES, 1);
}

static bool read_order(const struct context *context, const struct fix_message *message, struct order *order)
{
    if (!need_field(context, "order", message->order_id, "tag 11 or 37 (order id)") ||
        !need_field(context, "order", message->symbol, "tag 55 (symbol)"))
        return false;
    *order = (struct order){
        .symbol = message->symbol,
        .account = message->account,
        .has_quantity = message->order_quantity.data != NULL,
        .has_feed_epoch = message->feed_epoch.data != NULL,
    };
    id_set_key(context->state->order_ids, message->order_id.data, message->order_id.length, &order->id);
    if (order->has_quantity &&
        !read_number(context, message->order_quantity, "tag 38 (order quantity)", &order->quantity))
        return false;
    return !order->has_feed_epoch ||
           read_number(context, message->feed_epoch, "tag 999 (feed epoch)", &order->feed_epoch);
}

/* Remembers the id of an order that is accepted, if it is new. False, having failed the call: it cannot be. */
static bool remember(const struct context *context, const struct id_key *id, enum counter *outcome)
{
    struct id_set *order_ids = context->state->order_ids;
    uint64_t forgotten_count = id_set_forgotten_count(order_ids);
    struct error error = {0};
    bool added;
    if (id_set_add(order_ids, id, &added, &error) != STATUS_OK) {
        context->host->fail(context->call, "the order id cannot be remembered: %s", error.text);
        return false;
    }
    if (id_set_forgotten_count(order_ids) != forgotten_count)
        context->host->count(context->call, COUNT_ORDERS_FORGOTTEN,
                             id_set_forgotten_count(order_ids) - forgotten_count);
    *outcome = added ? COUNT_ORDERS_ACCEPTED : COUNT_REJECTED_DUPLICATE;
    return true;
}

/*
 * Decides an order and says how in `outcome`; returns false, having failed the call, where the id of an order that
 * would be accepted cannot be remembered. The rule's first question is whether the id is known; the symbol is looked at
 * before that, so that the ids need one look for both asking and remembering.
 */
static bool decide(const struct context *context, const struct order *order, enum counter *outcome)
{
    const struct symbol_state *symbol =
        keyed_table_find(context->state->symbols, order->symbol.data, order->symbol.length);
    if (symbol == NULL || symbol->stopped) {
        *outcome = symbol == NULL ? COUNT_REJECTED_UNKNOWN_SYMBOL : COUNT_REJECTED_STOPPED;
        if (id_set_has(context->state->order_ids, &order->id))
            *outcome = COUNT_REJECTED_DUPLICATE;
        return true;
    }
    return remember(context, &order->id, outcome);
}

static void append_verdict(struct text *text, const struct order *order, enum counter outcome)
{
    switch (outcome) {
    case COUNT_REJECTED_DUPLICATE:
        text_append_string(text, "Rejected: Order already exists");
        break;
    case COUNT_REJECTED_UNKNOWN_SYMBOL:
        text_append_string(text, "Rejected: Unknown symbol: ");
        text_append_json_escaped(text, order->symbol.data, order->symbol.length);
        break;
    case COUNT_REJECTED_STOPPED:
        text_append_string(text, "Rejected: ");
        text_append_json_escaped(text, order->symbol.data, order->symbol.length);
        text_append_string(text, " - Stop New Orders");
        break;
    default:
        text_append_string(text, "Accepted");
        break;
    }
}

static void append_order(struct text *text, const struct order *order, enum counter outcome)
{
    text_append_string(text, "{\"msg\": \"New Order: (");
    if (order->account.data != NULL)
        text_append_json_escaped(text, order->account.data, order->account.length);
    else
        text_append_string(text, "None");
    text_append_string(text, ", ");
    text_append_json_escaped(text, order->symbol.data, order->symbol.length);
    text_append_string(text, outcome == COUNT_ORDERS_ACCEPTED ? ", Accepted, " : ", Rejected, ");
    if (order->has_quantity)
        text_append_double(text, order->quantity);
    else
        text_append_string(text, "None");
    text_append_string(text, "): ");
    append_verdict(text, order, outcome);
    text_append_string(text, "\", \"feed_time\": ");
    if (order->has_feed_epoch)
        text_append_double(text, order->feed_epoch);
    else
        text_append_string(text, "null");
    text_append_string(text, "}");
}

static void handle_order(const struct context *context, const struct fix_message *message)
{
    struct order order;
    enum counter outcome;
    if (!read_order(context, message, &order) || !decide(context, &order, &outcome))
        return;
    struct text *output = &context->state->output;
    text_reset(output);
    append_order(output, &order, outcome);
    context->host->count(context->call, outcome, 1);
    if (text_failed(output))
        context->host->fail(context->call, "the answer to the order would be longer than %zu bytes", TEXT_BYTES_MAX);
    else
        context->host->emit(context->call, 0, output->data, output->length);
}

static void market_spread_apply(void *state, const struct millrace_host *host, struct millrace_call *call,
                                const void *data, size_t length)
{
    const struct context context = {.state = state, .host = host, .call = call};
    struct fix_message message;
    fix_read(data, length, &message);
    if (fix_view_is(message.type, 'S'))
        handle_quote(&context, &message);
    else if (fix_view_is(message.type, 'D'))
        handle_order(&context, &message);
    else if (fix_view_is(message.type, '0'))
        host->count(call, COUNT_HEARTBEATS, 1);
    else if (need_field(&context, "message", message.type, "tag 35 (type)"))
        host->count(call, COUNT_OTHER_TYPES, 1);
}

static void market_spread_close(void *state)
{
    struct market_spread *gone = state;
    keyed_table_close(&gone->symbols);
    id_set_close(&gone->order_ids);
    text_free(&gone->output);
    free(gone);
}

static int market_spread_open(void **state, const struct millrace_value *values, char *why, size_t why_bytes)
{
    static const struct keyed_table_settings symbol_settings = {
        .value_bytes = sizeof(struct symbol_state),
        .count_max = SYMBOL_COUNT_MAX,
        .memory_bytes_max = SYMBOL_BYTES_MAX,
    };
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
    if (keyed_table_open(&made->symbols, &symbol_settings, &error) != STATUS_OK ||
        id_set_open(&made->order_ids, &order_id_settings, &error) != STATUS_OK) {
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
    .flags = MILLRACE_FUNCTION_NEVER_BLOCKS,
};
