/*
 * fix: what one thread does with FIX lines in memory, step by step: splits them into fields, reads numbers and finds
 * symbols, and answers orders (the whole marketspread function, its output dropped).
 */
#include "nodes/functions/fix.h"
#include "bench/limits/fix_scan.h"
#include "bench/market.h"
#include "bench/measure.h"
#include "nodes/functions/symbol_table.h"
#include "nodes/text/decimal.h"

enum { QUOTE_COUNT = 100000 };

static bool run_split(void *context, double seconds, double *figures)
{
    const struct market *market = context;
    uint64_t message_count = 0;
    uint64_t symbol_bytes = 0;
    const int64_t start_ns = bench_now_ns();
    int64_t spent_ns = 0;
    for (; (double)spent_ns < seconds * 1e9; spent_ns = bench_now_ns() - start_ns) {
        for (size_t i = 0; i < market->line_count; i++) {
            struct fix_message message;
            fix_read(market->text + market->lines[i].offset, market->lines[i].length, &message);
            symbol_bytes += message.fields[FIX_SYMBOL].length;
        }
        message_count += market->line_count;
    }
    if (symbol_bytes == 0)
        bench_fail("no symbols");
    figures[0] = (double)message_count / ((double)spent_ns / 1e9);
    return true;
}

/* Reads the message's numbers and adds its symbol; returns the sum of the numbers. */
static double read_all(const struct fix_message *message, struct symbol_table *symbols)
{
    static const enum fix_field numbers[] = {FIX_ORDER_QUANTITY, FIX_BID, FIX_OFFER, FIX_FEED_EPOCH};
    double sum = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct fix_view view = message->fields[numbers[i]];
        double value = 0;
        if (view.data != NULL && decimal_parse(view.data, view.length, &value) != STATUS_OK)
            bench_fail("no number");
        sum += value;
    }
    const struct fix_view symbol = message->fields[FIX_SYMBOL];
    struct symbol_state *state;
    struct error error = {0};
    if (symbol.data != NULL && symbol_table_add(symbols, message, symbol, &state, &error) != STATUS_OK)
        bench_fail("%s", error.text);
    return sum;
}

static bool run_numbers(void *context, double seconds, double *figures)
{
    const struct market *market = context;
    struct symbol_table *symbols;
    struct error error = {0};
    if (symbol_table_open(&symbols, &error) != STATUS_OK)
        bench_fail("%s", error.text);
    uint64_t message_count = 0;
    double sum = 0;
    const int64_t start_ns = bench_now_ns();
    int64_t spent_ns = 0;
    for (; (double)spent_ns < seconds * 1e9; spent_ns = bench_now_ns() - start_ns) {
        for (size_t i = 0; i < market->line_count; i++) {
            struct fix_message message;
            fix_read(market->text + market->lines[i].offset, market->lines[i].length, &message);
            sum += read_all(&message, symbols);
        }
        message_count += market->line_count;
    }
    symbol_table_close(&symbols);
    if (!(sum > 0))
        bench_fail("no numbers");
    figures[0] = (double)message_count / ((double)spent_ns / 1e9);
    return true;
}

int main(int count, char **arguments)
{
    static const struct measure_metric rate = {.name = "rate", .unit = "messages/s"};
    static const struct measure_metric function_rate = {.name = "rate", .unit = "messages/s", .bound = 8e6};
    struct market market;
    const struct measure_contestant split[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_split, .context = &market},
        {.name = "a bare loop", .role = MEASURE_LIMIT, .run = fix_scan_split_run, .context = &market},
    };
    const struct measure_contestant numbers[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = run_numbers, .context = &market},
        {.name = "memchr and unchecked digits", .role = MEASURE_LIMIT, .run = fix_scan_numbers_run, .context = &market},
        {.name = "memchr and strtod", .role = MEASURE_PEER, .run = fix_scan_strtod_run, .context = &market},
    };
    const struct measure_contestant function[] = {
        {.name = "millrace", .role = MEASURE_OURS, .run = market_limit_run, .context = &market},
    };
    measure_open(count, arguments);
    market_open(&market, QUOTE_COUNT);
    measure_contest(&(struct measure_contest){"split into fields", &rate, 1, split, 2});
    measure_contest(&(struct measure_contest){"split, numbers, symbol", &rate, 1, numbers, 3});
    measure_contest(&(struct measure_contest){"the marketspread function", &function_rate, 1, function, 1});
    market_close(&market);
    return measure_close();
}
