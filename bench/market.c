#include "bench/market.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fixgen.h"
#include "nodes/functions/function_settings.h"
#include "nodes/functions/function_types.h"

/* ---- the day ---- */

/* Puts one line into the market's text as a feeder sends it: tag 999 before the closing quote. */
static void add_line(struct market *market, const char *line, size_t length)
{
    static const char stamp[] = "999=1458195070.25\x01\"";
    struct market_line *added = &market->lines[market->line_count];
    size_t offset =
        market->line_count > 0 ? (size_t)market->lines[market->line_count - 1].offset + added[-1].length : 0;
    size_t kept = length > 0 && line[length - 1] == '"' ? length - 1 : length;
    char *to = market->text + offset;
    memcpy(to, line, kept);
    if (kept > 0 && to[kept - 1] != '\x01')
        to[kept++] = '\x01';
    memcpy(to + kept, stamp, sizeof stamp - 1);
    *added = (struct market_line){.offset = (uint32_t)offset, .length = (uint32_t)(kept + sizeof stamp - 1)};
    market->line_count++;
}

static bool read_line(FILE *file, char *line, size_t line_bytes, size_t *length)
{
    if (fgets(line, (int)line_bytes, file) == NULL)
        return false;
    *length = strcspn(line, "\n");
    return true;
}

static void read_lines(struct market *market, size_t line_count_max)
{
    enum { LINE_BYTES = 256 };
    FILE *files[] = {fopen(market->nbbo_path, "r"), fopen(market->trades_path, "r")};
    market->text = malloc(line_count_max * LINE_BYTES);
    market->lines = calloc(line_count_max, sizeof *market->lines);
    if (files[0] == NULL || files[1] == NULL || market->text == NULL || market->lines == NULL)
        bench_fail("the market's files cannot be read");
    bool there[] = {true, true};
    while (there[0] || there[1]) {
        for (unsigned i = 0; i < 2; i++) {
            char line[LINE_BYTES - 32];
            size_t length;
            there[i] = there[i] && read_line(files[i], line, sizeof line, &length);
            if (there[i] && market->line_count < line_count_max)
                add_line(market, line, length);
        }
    }
    fclose(files[0]);
    fclose(files[1]);
}

void market_open(struct market *market, unsigned quote_count)
{
    struct error error = {0};
    *market = (struct market){.directory = "/tmp/millrace-bench-XXXXXX"};
    if (mkdtemp(market->directory) == NULL)
        bench_fail("no directory under /tmp");
    snprintf(market->nbbo_path, sizeof market->nbbo_path, "%s/nbbo.msg", market->directory);
    snprintf(market->trades_path, sizeof market->trades_path, "%s/trades.msg", market->directory);
    struct fixgen_settings settings = {.symbol_count = 500,
                                       .order_count = quote_count,
                                       .quote_count = quote_count,
                                       .seed = 1,
                                       .out_dir = market->directory};
    if (fixgen_write(&settings, &error) != STATUS_OK)
        bench_fail("%s", error.text);
    read_lines(market, (size_t)quote_count * 2 + (size_t)quote_count / 4); /* heartbeats too */
}

void market_close(struct market *market)
{
    unlink(market->nbbo_path);
    unlink(market->trades_path);
    rmdir(market->directory);
    free(market->text);
    free(market->lines);
}

/* ---- the limit ---- */

static void drop(struct millrace_call *call, int64_t choice, const void *data, size_t length)
{
    (void)call;
    (void)choice;
    (void)data;
    (void)length;
}

static void refuse(struct millrace_call *call, const char *format, ...)
{
    (void)call;
    bench_fail("the function failed: %s", format);
}

static void ignore_count(struct millrace_call *call, unsigned index, uint64_t n)
{
    (void)call;
    (void)index;
    (void)n;
}

static int keep_nothing(struct millrace_call *call)
{
    (void)call;
    return 0;
}

bool market_limit_run(void *context, double seconds, double *figures)
{
    static const struct millrace_host host = {.abi_version = MILLRACE_FUNCTION_ABI,
                                              .struct_bytes = sizeof(struct millrace_host),
                                              .emit = drop,
                                              .fail = refuse,
                                              .count = ignore_count,
                                              .keeps_state = keep_nothing};
    const struct market *market = context;
    const struct millrace_function *function = &function_market_spread;
    int64_t spent_ns = 0;
    uint64_t message_count = 0;
    while ((double)spent_ns < seconds * 1e9) {
        struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
        struct error error = {0};
        char why[256] = "";
        void *state; /* of a new day: the old one knows all order ids */
        if (function_settings_default(function, values, &error) != STATUS_OK ||
            function->open(&state, values, &host, NULL, why, sizeof why) != 0)
            bench_fail("%s%s", error.text, why);
        int64_t start_ns = bench_now_ns();
        for (size_t i = 0; i < market->line_count; i++)
            function->apply(state, &host, NULL, market->text + market->lines[i].offset, market->lines[i].length);
        spent_ns += bench_now_ns() - start_ns;
        message_count += market->line_count;
        function->close(state);
    }
    figures[0] = (double)message_count / ((double)spent_ns / 1e9);
    return true;
}

/* ---- a launch ---- */

/* From the start to when the last result came to the sink: that it has drained, the launch says 10 ms later. */
int64_t market_launch_ns(const struct market *market, const struct bench_flags *flags)
{
    millrace_launch *launch = bench_open(flags->count, flags->words);
    int64_t start_ns = bench_now_ns();
    bench_start(launch);
    int64_t spent_ns = 0;
    for (uint64_t seen_count = 0; !millrace_launch_has_drained(launch); bench_wait_ns(100000)) {
        uint64_t count = bench_counts(launch, "sink").in_count;
        if (count != seen_count)
            spent_ns = bench_now_ns() - start_ns;
        seen_count = count;
    }
    if (bench_counts(launch, "feeder").out_count != market->line_count)
        bench_fail("the feeder did not feed %zu lines", market->line_count);
    if (bench_counts(launch, "sink").in_count == 0)
        bench_fail("nothing came to the sink");
    millrace_launch_close(&launch);
    return spent_ns;
}

double market_launch_rate(const struct market *market, const struct bench_flags *flags, double seconds)
{
    int64_t spent_ns = 0;
    size_t message_count = 0;
    while ((double)spent_ns < seconds * 1e9) {
        spent_ns += market_launch_ns(market, flags);
        message_count += market->line_count;
    }
    return (double)message_count / ((double)spent_ns / 1e9);
}

bool market_spread_run(void *context, double seconds, double *figures)
{
    const struct market *market = context;
    struct bench_flags flags = {0};
    bench_flags_add(&flags, "--feeder --address orders --path %s --path %s", market->nbbo_path, market->trades_path);
    bench_flags_add(&flags, "--mq --address orders");
    bench_flags_add(&flags, "--worker --input-address orders --output-address results --function marketspread");
    bench_flags_add(&flags, "--sink --address results");
    figures[0] = market_launch_rate(market, &flags, seconds);
    bench_flags_free(&flags);
    return true;
}

int market_benchmark(int count, char **arguments, const char *workload, unsigned quote_count,
                     struct measure_metric rate, struct measure_contestant ours, struct measure_contestant limit)
{
    struct market market;
    ours.role = MEASURE_OURS;
    limit.role = MEASURE_LIMIT;
    ours.context = limit.context = &market;
    rate.name = "rate";
    rate.unit = "messages/s";
    measure_open(count, arguments);
    market_open(&market, quote_count);
    measure_contest(&(struct measure_contest){.workload = workload,
                                              .metrics = &rate,
                                              .metric_count = 1,
                                              .contestants = (const struct measure_contestant[]){ours, limit},
                                              .contestant_count = 2});
    market_close(&market);
    return measure_close();
}
