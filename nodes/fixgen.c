#include "nodes/fixgen.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/check.h"
#include "engine/random.h"

#define SOH "\001"

enum {
    SYMBOL_BYTES = 8,
    BODY_BYTES_MAX = 256,
    LINE_BYTES_MAX = BODY_BYTES_MAX + 64,
    FILE_BUFFER_BYTES = 1 << 16,

    /* Prices in cents. The least price keeps a usual spread far below the one that stops orders. */
    PRICE_MIN = 500,
    PRICE_MAX = 200000,
    WIDE_SPREAD_MAX = 10,
    STOP_SPREAD_MIN = 6,

    /* One in so many. A symbol spends 1 / (1 + STOP_ONE_IN / RESUME_ONE_IN) of its quotes stopped: 2 %. */
    HEARTBEAT_ONE_IN = 200,
    REPEATED_ID_ONE_IN = 100,
    UNKNOWN_SYMBOL_ONE_IN = 100,
    WIDE_SPREAD_ONE_IN = 10,
    STOP_ONE_IN = 245,
    RESUME_ONE_IN = 5,

    ORDER_ID_DIGITS = 7, /* 62^7 is above 2^40 */
    ORDER_ID_BITS = 40,

    DAY_START_MS = (14 * 60 + 30) * 60 * 1000, /* 14:30 UTC, when New York opens in winter */
    DAY_LENGTH_MS = 390 * 60 * 1000,
};

static const char known_tickers[][SYMBOL_BYTES] = {
    "AAPL", "ABBV", "ABT",  "ACN",  "ADBE", "AIG",  "ALL",  "AMGN", "AMZN",  "AXP",  "BA",  "BAC",  "BIIB",
    "BK",   "BLK",  "BMY",  "BTU",  "C",    "CAT",  "CELG", "CL",   "CMCSA", "COF",  "COP", "COST", "CSCO",
    "CVS",  "CVX",  "DD",   "DHR",  "DIS",  "DOW",  "DUK",  "EBAY", "EMR",   "EXC",  "F",   "FB",   "FDX",
    "FOXA", "GD",   "GE",   "GILD", "GM",   "GOOG", "GS",   "HAL",  "HD",    "HON",  "IBM", "INTC", "JNJ",
    "JPM",  "KMI",  "KO",   "LLY",  "LMT",  "LOW",  "MA",   "MCD",  "MDLZ",  "MDT",  "MET", "MMM",  "MO",
    "MON",  "MRK",  "MS",   "MSFT", "NKE",  "NVDA", "ORCL", "OXY",  "PEP",   "PFE",  "PG",  "PM",   "PYPL",
    "QCOM", "RTN",  "SBUX", "SLB",  "SO",   "SPG",  "T",    "TGT",  "TSLA",  "TWX",  "TXN", "UNH",  "UNP",
    "UPS",  "USB",  "UTX",  "V",    "VZ",   "WBA",  "WFC",  "WMT",  "XOM",   "YHOO", "ZTS",
};

enum { KNOWN_TICKER_COUNT = sizeof known_tickers / sizeof known_tickers[0] };

struct symbol {
    char name[SYMBOL_BYTES];
    uint32_t price; /* of the mid, in cents */
    uint32_t spread;
    bool stopped;
};

/* Where fields are written, one after the other, from `bytes` to `end`. */
struct body {
    char bytes[BODY_BYTES_MAX];
    char *end;
};

struct output {
    FILE *file;
    char path[PATH_MAX];
};

struct generator {
    struct random_state random;
    const struct fixgen_settings *settings;
    struct symbol *symbols;
    struct output quotes;
    struct output orders;
    uint64_t order_id_count;  /* given out so far */
    uint64_t order_id_offset; /* so that two seeds have different ids */
};

static bool one_in(struct generator *generator, uint64_t n)
{
    return random_below(&generator->random, n) == 0;
}

/* --- the text of a message --- */

static void put_string(struct body *body, const char *string)
{
    size_t length = strlen(string);
    CHECK(length < (size_t)(body->bytes + sizeof body->bytes - body->end));
    memcpy(body->end, string, length);
    body->end += length;
}

/* `value` in at least `width` digits. */
static void put_number(struct body *body, uint64_t value, int width)
{
    char digits[24];
    char *start = digits + sizeof digits;
    *--start = '\0';
    for (; value > 0 || width > 0; value /= 10, width--)
        *--start = (char)('0' + value % 10);
    put_string(body, start);
}

static void put_price(struct body *body, uint32_t cents)
{
    put_number(body, cents / 100, 1);
    put_string(body, ".");
    put_number(body, cents % 100, 2);
}

/* The time of line `i` of `count`, spread evenly over the day. */
static void put_time(struct body *body, uint64_t i, uint64_t count, bool milliseconds)
{
    uint64_t ms = DAY_START_MS + (uint64_t)DAY_LENGTH_MS * i / count;
    put_string(body, "20151204-");
    put_number(body, ms / 3600000, 2);
    put_string(body, ":");
    put_number(body, ms / 60000 % 60, 2);
    put_string(body, ":");
    put_number(body, ms / 1000 % 60, 2);
    if (milliseconds) {
        put_string(body, ".");
        put_number(body, ms % 1000, 3);
    }
}

static void put_order_id(struct body *body, const struct generator *generator, uint64_t number)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    /* An odd factor shuffles the numbers below 2^40 one to one. */
    uint64_t id =
        (number * UINT64_C(0x9e3779b97f4a7c15) + generator->order_id_offset) & ((UINT64_C(1) << ORDER_ID_BITS) - 1);
    char text[ORDER_ID_DIGITS + 1] = {0};
    for (int i = 0; i < ORDER_ID_DIGITS; i++) {
        text[i] = letters[id % 62];
        id /= 62;
    }
    put_string(body, text);
}

/*
 * Writes the line: BodyLength (9) counts the bytes behind its own field up to CheckSum (10), which is the sum of all
 * bytes before it, modulo 256. The quotes are no part of the message.
 */
static enum status write_line(struct output *output, const struct body *body, struct error *error)
{
    struct body line;
    line.end = line.bytes;
    put_string(&line, "\"8=FIX.4.2" SOH "9=");
    put_number(&line, (uint64_t)(body->end - body->bytes), 1);
    put_string(&line, SOH);
    unsigned sum = 0;
    for (const char *at = line.bytes + 1; at < line.end; at++)
        sum += (unsigned char)*at;
    for (const char *at = body->bytes; at < body->end; at++)
        sum += (unsigned char)*at;
    char text[LINE_BYTES_MAX];
    size_t head = (size_t)(line.end - line.bytes);
    size_t middle = (size_t)(body->end - body->bytes);
    memcpy(text, line.bytes, head);
    memcpy(text + head, body->bytes, middle);
    line.end = line.bytes;
    put_string(&line, "10=");
    put_number(&line, sum % 256, 3);
    put_string(&line, SOH "\"\n");
    size_t tail = (size_t)(line.end - line.bytes);
    memcpy(text + head + middle, line.bytes, tail);
    if (fwrite(text, 1, head + middle + tail, output->file) != head + middle + tail)
        return error_set_errno(error, errno, "cannot write %s", output->path);
    return STATUS_OK;
}

/* --- symbols --- */

static bool is_known_ticker(const char *name)
{
    for (size_t i = 0; i < KNOWN_TICKER_COUNT; i++) {
        if (strcmp(known_tickers[i], name) == 0)
            return true;
    }
    return false;
}

/* The ticker `i` of all those of three and four letters, each once, in an order that looks like none. */
static void made_ticker(uint64_t i, char name[SYMBOL_BYTES])
{
    const uint64_t three = 26 * 26 * 26;
    const uint64_t all = three * 27;
    uint64_t number = (i * 293339 + 31337) % all; /* 293339 is prime and no divisor of `all` */
    size_t length = number < three ? 3 : 4;
    if (length == 4)
        number -= three;
    memset(name, 0, SYMBOL_BYTES);
    for (size_t at = 0; at < length; at++) {
        name[at] = (char)('A' + number % 26);
        number /= 26;
    }
}

static void make_symbols(struct generator *generator)
{
    uint64_t made = 0;
    for (uint64_t i = 0; i < generator->settings->symbol_count; i++) {
        struct symbol *symbol = &generator->symbols[i];
        if (i < KNOWN_TICKER_COUNT) {
            memcpy(symbol->name, known_tickers[i], SYMBOL_BYTES);
        } else {
            do
                made_ticker(made++, symbol->name);
            while (is_known_ticker(symbol->name));
        }
        /* Most prices are below 100, some far above. */
        uint64_t limit = random_below(&generator->random, 4) == 0 ? 40000 : 9000;
        symbol->price = (uint32_t)(1000 + random_below(&generator->random, limit));
        symbol->spread = 1;
        symbol->stopped = false;
    }
}

/* Moves the symbol's market by one quote. */
static void move_symbol(struct generator *generator, struct symbol *symbol)
{
    uint32_t step = 1 + symbol->price / 2000;
    int64_t price = (int64_t)symbol->price - step + (int64_t)random_below(&generator->random, 2 * step + 1);
    price = price < PRICE_MIN ? PRICE_MIN : price > PRICE_MAX ? PRICE_MAX : price;
    symbol->price = (uint32_t)price;
    if (symbol->stopped)
        symbol->stopped = !one_in(generator, RESUME_ONE_IN);
    else
        symbol->stopped = one_in(generator, STOP_ONE_IN);
    if (symbol->stopped)
        symbol->spread = STOP_SPREAD_MIN + symbol->price * (6 + (uint32_t)random_below(&generator->random, 5)) / 100;
    else if (one_in(generator, WIDE_SPREAD_ONE_IN))
        symbol->spread = 4 + (uint32_t)random_below(&generator->random, WIDE_SPREAD_MAX - 3);
    else
        symbol->spread = 1 + (uint32_t)random_below(&generator->random, 3);
}

static uint32_t symbol_bid(const struct symbol *symbol)
{
    return symbol->price - symbol->spread / 2;
}

/* --- the three kinds of message --- */

static void put_header(struct body *body, const char *type, const char *sender, uint64_t i, uint64_t count)
{
    put_string(body, "35=");
    put_string(body, type);
    put_string(body, SOH "49=");
    put_string(body, sender);
    put_string(body, SOH "56=MR" SOH "34=");
    put_number(body, i + 1, 1);
    put_string(body, SOH "52=");
    put_time(body, i, count, false);
    put_string(body, SOH);
}

static void make_quote(struct generator *generator, uint64_t i, struct body *body)
{
    uint64_t symbol_count = generator->settings->symbol_count;
    bool opening = i < symbol_count;
    struct symbol *symbol = &generator->symbols[opening ? i : random_below(&generator->random, symbol_count)];
    if (!opening)
        move_symbol(generator, symbol);
    put_header(body, "S", "NBBO", i, generator->settings->quote_count);
    put_string(body, "55=");
    put_string(body, symbol->name);
    put_string(body, SOH "132=");
    put_price(body, symbol_bid(symbol));
    put_string(body, SOH "133=");
    put_price(body, symbol_bid(symbol) + symbol->spread);
    put_string(body, SOH "60=");
    put_time(body, i, generator->settings->quote_count, true);
    put_string(body, SOH);
}

/* Five letters of which the first two are in no ticker that is quoted. */
static void make_unknown_symbol(struct generator *generator, char name[SYMBOL_BYTES])
{
    made_ticker(random_below(&generator->random, 26 * 26 * 26 * 26), name);
    memmove(name + 2, name, 3);
    memcpy(name, "ZZ", 2);
    name[5] = '\0';
}

/* A symbol that has been quoted when order `i` is fed, and a limit price near its market. */
static void pick_symbol(struct generator *generator, uint64_t i, char name[SYMBOL_BYTES], uint32_t *price)
{
    uint64_t quoted = i + 1;
    if (quoted > generator->settings->symbol_count)
        quoted = generator->settings->symbol_count;
    if (quoted > generator->settings->quote_count && generator->settings->quote_count > 0)
        quoted = generator->settings->quote_count;
    const struct symbol *symbol = &generator->symbols[random_below(&generator->random, quoted)];
    memcpy(name, symbol->name, SYMBOL_BYTES);
    *price = symbol_bid(symbol) + (uint32_t)random_below(&generator->random, 11) - 5;
    if (one_in(generator, UNKNOWN_SYMBOL_ONE_IN))
        make_unknown_symbol(generator, name);
}

static void make_order(struct generator *generator, uint64_t i, struct body *body)
{
    struct random_state *random = &generator->random;
    uint64_t id = generator->order_id_count;
    if (id > 0 && one_in(generator, REPEATED_ID_ONE_IN))
        id = random_below(random, id);
    else
        generator->order_id_count++;
    char name[SYMBOL_BYTES];
    uint32_t price;
    pick_symbol(generator, i, name, &price);
    put_string(body, "35=D" SOH "1=CLIENT");
    put_number(body, 1 + random_below(random, 99), 2);
    put_string(body, SOH "11=");
    put_order_id(body, generator, id);
    put_string(body, SOH "21=3" SOH "38=");
    put_number(body, 100 * (1 + random_below(random, 100)), 1);
    put_string(body, SOH "40=2" SOH "44=");
    put_price(body, price);
    put_string(body, random_below(random, 2) == 0 ? SOH "54=1" SOH "55=" : SOH "54=2" SOH "55=");
    put_string(body, name);
    put_string(body, SOH "60=");
    put_time(body, i, generator->settings->order_count, true);
    put_string(body, SOH);
}

/* A heartbeat now and then, before line `i`. */
static enum status write_heartbeat(struct generator *generator, struct output *output, const char *sender, uint64_t i,
                                   uint64_t count, struct error *error)
{
    struct body body;
    if (!one_in(generator, HEARTBEAT_ONE_IN))
        return STATUS_OK;
    body.end = body.bytes;
    put_header(&body, "0", sender, i, count);
    return write_line(output, &body, error);
}

static enum status write_quote_line(struct generator *generator, uint64_t i, struct error *error)
{
    struct body body;
    enum status status = STATUS_OK;
    if (i >= generator->settings->symbol_count) /* the first quotes of all symbols come without a pause */
        status = write_heartbeat(generator, &generator->quotes, "NBBO", i, generator->settings->quote_count, error);
    body.end = body.bytes;
    make_quote(generator, i, &body);
    return status == STATUS_OK ? write_line(&generator->quotes, &body, error) : status;
}

static enum status write_order_line(struct generator *generator, uint64_t i, struct error *error)
{
    struct body body;
    enum status status =
        write_heartbeat(generator, &generator->orders, "TRADES", i, generator->settings->order_count, error);
    body.end = body.bytes;
    make_order(generator, i, &body);
    return status == STATUS_OK ? write_line(&generator->orders, &body, error) : status;
}

/* --- files --- */

static enum status make_directory(const char *path, struct error *error)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return STATUS_OK;
    return error_set_errno(error, errno, "cannot make the directory %s", path);
}

static enum status make_directories(const char *path, struct error *error)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return error_set(error, STATUS_USAGE, "the output directory's name is empty or too long");
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        enum status status = make_directory(part, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status open_output(struct output *output, const char *directory, const char *name, struct error *error)
{
    int length = snprintf(output->path, sizeof output->path, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof output->path)
        return error_set(error, STATUS_USAGE, "the output directory's name is too long");
    output->file = fopen(output->path, "we");
    if (output->file == NULL)
        return error_set_errno(error, errno, "cannot open %s to write", output->path);
    CHECK(setvbuf(output->file, NULL, _IOFBF, FILE_BUFFER_BYTES) == 0);
    return STATUS_OK;
}

/* Closes, in any case, and passes `status` on or what closing found. */
static enum status close_output(struct output *output, enum status status, struct error *error)
{
    if (output->file == NULL)
        return status;
    int failed = fclose(output->file);
    output->file = NULL;
    if (failed != 0 && status == STATUS_OK)
        return error_set_errno(error, errno, "cannot write %s", output->path);
    return status;
}

/* Line by line of each file in turn, as they will be fed, so that orders see the market of their time. */
static enum status write_lines(struct generator *generator, struct error *error)
{
    const struct fixgen_settings *settings = generator->settings;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; status == STATUS_OK && (i < settings->quote_count || i < settings->order_count); i++) {
        if (i < settings->quote_count)
            status = write_quote_line(generator, i, error);
        if (status == STATUS_OK && i < settings->order_count)
            status = write_order_line(generator, i, error);
    }
    return status;
}

static enum status check_settings(const struct fixgen_settings *settings, struct error *error)
{
    if (settings->symbol_count < 1 || settings->symbol_count > FIXGEN_SYMBOL_COUNT_MAX)
        return error_set(error, STATUS_USAGE, "the count of symbols must be 1 to %llu, not %llu",
                         (unsigned long long)FIXGEN_SYMBOL_COUNT_MAX, (unsigned long long)settings->symbol_count);
    if (settings->order_count > FIXGEN_MESSAGE_COUNT_MAX || settings->quote_count > FIXGEN_MESSAGE_COUNT_MAX)
        return error_set(error, STATUS_USAGE, "the counts of orders and quotes must be at most %llu",
                         (unsigned long long)FIXGEN_MESSAGE_COUNT_MAX);
    return STATUS_OK;
}

enum status fixgen_write(const struct fixgen_settings *settings, struct error *error)
{
    enum status status = check_settings(settings, error);
    if (status == STATUS_OK)
        status = make_directories(settings->out_dir, error);
    if (status != STATUS_OK)
        return status;
    struct generator generator = {.settings = settings};
    random_seed(&generator.random, settings->seed);
    generator.order_id_offset = random_next(&generator.random);
    generator.symbols = calloc((size_t)settings->symbol_count, sizeof *generator.symbols);
    CHECK(generator.symbols != NULL);
    make_symbols(&generator);
    status = open_output(&generator.quotes, settings->out_dir, "nbbo.msg", error);
    if (status == STATUS_OK)
        status = open_output(&generator.orders, settings->out_dir, "trades.msg", error);
    if (status == STATUS_OK)
        status = write_lines(&generator, error);
    status = close_output(&generator.quotes, status, error);
    status = close_output(&generator.orders, status, error);
    free(generator.symbols);
    return status;
}
