/* fixgen.c: repeatable, well-formed, and with the mix that its header promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "nodes/fixgen.h"
#include "nodes/functions/fix.h"
#include "nodes/functions/function_settings.h"
#include "nodes/functions/function_types.h"

#define S "\001"

struct directory {
    char path[64];
};

static void make_directory(struct directory *directory)
{
    snprintf(directory->path, sizeof directory->path, "/tmp/test_fixgen.XXXXXX");
    assert_non_null(mkdtemp(directory->path));
}

static void path_in(const struct directory *directory, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", directory->path, name);
}

static void remove_directory(const struct directory *directory)
{
    static const char *const names[] = {"nbbo.msg", "trades.msg", "a/b/nbbo.msg", "a/b/trades.msg"};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_in(directory, names[i], path);
        (void)unlink(path);
    }
    path_in(directory, "a/b", path);
    (void)rmdir(path);
    path_in(directory, "a", path);
    (void)rmdir(path);
    assert_int_equal(rmdir(directory->path), 0);
}

/* The whole file, with a NUL behind it. */
static char *read_file(const struct directory *directory, const char *name, size_t *length)
{
    char path[256];
    path_in(directory, name, path);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_true(fread(text, 1, (size_t)size, file) == (size_t)size);
    text[size] = '\0';
    fclose(file);
    *length = (size_t)size;
    return text;
}

static void generate(const struct directory *directory, uint64_t symbols, uint64_t orders, uint64_t quotes,
                     uint64_t seed)
{
    const struct fixgen_settings settings = {
        .symbol_count = symbols,
        .order_count = orders,
        .quote_count = quotes,
        .seed = seed,
        .out_dir = directory->path,
    };
    struct error error = {0};
    assert_int_equal(fixgen_write(&settings, &error), STATUS_OK);
}

/* FNV-1a (Fowler, Noll, Vo), enough to notice that a byte changed. */
static uint64_t fingerprint(const char *text, size_t length)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return hash;
}

static uint64_t file_fingerprint(const struct directory *directory, const char *name)
{
    size_t length;
    char *text = read_file(directory, name, &length);
    uint64_t hash = fingerprint(text, length);
    free(text);
    return hash;
}

/* The numbers are those of the first machine; they hold on every other, and change when the generator does. */
static void test_same_seed_same_bytes(void **state)
{
    (void)state;
    struct directory directory;
    make_directory(&directory);
    generate(&directory, 350, 2000, 3000, 1);
    assert_true(file_fingerprint(&directory, "nbbo.msg") == UINT64_C(14706683004933935806));
    assert_true(file_fingerprint(&directory, "trades.msg") == UINT64_C(14948168743591270157));
    generate(&directory, 350, 2000, 3000, 2);
    assert_true(file_fingerprint(&directory, "nbbo.msg") != UINT64_C(14706683004933935806));
    assert_true(file_fingerprint(&directory, "trades.msg") != UINT64_C(14948168743591270157));
    generate(&directory, 350, 2000, 3000, 1);
    assert_true(file_fingerprint(&directory, "nbbo.msg") == UINT64_C(14706683004933935806));
    assert_true(file_fingerprint(&directory, "trades.msg") == UINT64_C(14948168743591270157));
    remove_directory(&directory);
}

/* Checks one line, from its opening to its closing quote: begin, BodyLength, CheckSum. */
static void check_line(const char *line, size_t length)
{
    static const char begin[] = "\"8=FIX.4.2" S "9=";
    assert_true(length > 60 && length < 200);
    assert_memory_equal(line, begin, sizeof begin - 1);
    char *after_length;
    unsigned long body_length = strtoul(line + sizeof begin - 1, &after_length, 10);
    assert_true(*after_length == 1);
    const char *trailer = after_length + 1 + body_length;
    assert_true(trailer == line + length - 8); /* 10=nnn, SOH, quote */
    assert_memory_equal(trailer, "10=", 3);
    assert_true(trailer[-1] == 1);
    assert_memory_equal(trailer + 6, S "\"", 2);
    unsigned sum = 0;
    for (const char *at = line + 1; at < trailer; at++)
        sum += (unsigned char)*at;
    char expected[4];
    snprintf(expected, sizeof expected, "%03u", sum % 256);
    assert_memory_equal(trailer + 3, expected, 3);
}

/* What market spread, fed as the feeder would, counts. */
struct millrace_call {
    uint64_t counters[MILLRACE_FUNCTION_COUNTER_MAX];
    uint64_t emissions;
};

static void host_emit(struct millrace_call *call, int64_t choice, const void *data, size_t length)
{
    (void)choice;
    (void)data;
    (void)length;
    call->emissions++;
}

static __attribute__((format(printf, 2, 3))) void host_fail(struct millrace_call *call, const char *format, ...)
{
    (void)call;
    fail_msg("market spread fails: %s", format);
}

static void host_count(struct millrace_call *call, unsigned index, uint64_t n)
{
    call->counters[index] += n;
}

static int host_keeps_state(struct millrace_call *call)
{
    (void)call;
    return 0;
}

static const struct millrace_host host = {
    .emit = host_emit, .fail = host_fail, .count = host_count, .keeps_state = host_keeps_state};

/* Hands the line at *at to the function, having checked it; moves *at behind it. The text ends at `stop`. */
static void feed_line(const char **at, const char *stop, struct millrace_call *call, void *function_state)
{
    const char *end = memchr(*at, '\n', (size_t)(stop - *at));
    assert_non_null(end);
    size_t length = (size_t)(end - *at);
    check_line(*at, length);
    function_market_spread.apply(function_state, &host, call, *at, length);
    *at = end + 1;
}

static uint64_t counted(const struct millrace_call *call, const char *name)
{
    for (unsigned i = 0; function_market_spread.counter_names[i] != NULL; i++) {
        if (strcmp(function_market_spread.counter_names[i], name) == 0)
            return call->counters[i];
    }
    fail_msg("no counter %s", name);
    return 0;
}

static void test_lines_and_ratios(void **state)
{
    (void)state;
    enum { LINES = 50000 };
    struct directory directory;
    make_directory(&directory);
    generate(&directory, 350, LINES, LINES, 3);
    size_t quotes_length;
    size_t orders_length;
    char *quotes = read_file(&directory, "nbbo.msg", &quotes_length);
    char *orders = read_file(&directory, "trades.msg", &orders_length);
    void *function_state = NULL;
    char why[64];
    struct millrace_value values[MILLRACE_FUNCTION_SETTING_MAX];
    struct error error = {0};
    assert_int_equal(function_settings_default(&function_market_spread, values, &error), STATUS_OK);
    assert_int_equal(function_market_spread.open(&function_state, values, &host, NULL, why, sizeof why), 0);
    struct millrace_call call = {0};
    const char *quote = quotes;
    const char *order = orders;
    while (quote < quotes + quotes_length || order < orders + orders_length) {
        if (quote < quotes + quotes_length)
            feed_line(&quote, quotes + quotes_length, &call, function_state);
        if (order < orders + orders_length)
            feed_line(&order, orders + orders_length, &call, function_state);
    }
    assert_in_range(quotes_length + orders_length, 110 * 2 * LINES, 130 * 2 * LINES);
    assert_in_range(counted(&call, "heartbeats"), LINES * 2 * 4 / 1000, LINES * 2 * 6 / 1000);
    assert_true(counted(&call, "other_types") == 0);
    assert_in_range(counted(&call, "rejected_duplicate"), LINES * 7 / 1000, LINES * 13 / 1000);
    assert_in_range(counted(&call, "rejected_unknown_symbol"), LINES * 8 / 1000, LINES * 12 / 1000);
    assert_in_range(counted(&call, "rejected_stopped"), LINES * 14 / 1000, LINES * 26 / 1000);
    assert_true(counted(&call, "orders_accepted") > LINES * 94 / 100);
    assert_true(call.emissions == LINES);
    assert_true(counted(&call, "quotes") == LINES);
    function_market_spread.close(function_state);
    free(quotes);
    free(orders);
    remove_directory(&directory);
}

static int compare_views(const void *a, const void *b)
{
    const struct fix_view *x = a;
    const struct fix_view *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->data, y->data, shorter);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* The first quotes name every symbol once: that many, none twice, each of 1 to 5 letters. */
static void test_symbols_are_unique(void **state)
{
    (void)state;
    enum { SYMBOLS = 30000 };
    struct directory directory;
    make_directory(&directory);
    generate(&directory, SYMBOLS, 0, SYMBOLS, 4);
    size_t length;
    char *text = read_file(&directory, "nbbo.msg", &length);
    struct fix_view *symbols = calloc(SYMBOLS, sizeof *symbols);
    assert_non_null(symbols);
    const char *at = text;
    for (int i = 0; i < SYMBOLS; i++) {
        const char *end = memchr(at, '\n', (size_t)(text + length - at));
        assert_non_null(end);
        struct fix_message message;
        fix_read(at, (size_t)(end - at), &message);
        symbols[i] = message.fields[FIX_SYMBOL];
        assert_in_range(symbols[i].length, 1, 5);
        at = end + 1;
    }
    qsort(symbols, SYMBOLS, sizeof *symbols, compare_views);
    for (int i = 1; i < SYMBOLS; i++)
        assert_true(compare_views(&symbols[i - 1], &symbols[i]) != 0);
    free(symbols);
    free(text);
    remove_directory(&directory);
}

static void test_makes_directories_and_empty_files(void **state)
{
    (void)state;
    struct directory directory;
    make_directory(&directory);
    char path[256];
    path_in(&directory, "a//b/", path);
    const struct fixgen_settings settings = {.symbol_count = 1, .out_dir = path};
    struct error error = {0};
    assert_int_equal(fixgen_write(&settings, &error), STATUS_OK);
    size_t length = 1;
    free(read_file(&directory, "a/b/nbbo.msg", &length));
    assert_true(length == 0);
    free(read_file(&directory, "a/b/trades.msg", &length));
    assert_true(length == 0);
    remove_directory(&directory);
}

static void test_refuses_settings_out_of_range(void **state)
{
    (void)state;
    struct error error = {0};
    struct fixgen_settings settings = {.symbol_count = 0, .out_dir = "/tmp"};
    assert_int_equal(fixgen_write(&settings, &error), STATUS_USAGE);
    settings.symbol_count = FIXGEN_SYMBOL_COUNT_MAX + 1;
    assert_int_equal(fixgen_write(&settings, &error), STATUS_USAGE);
    assert_string_equal(error.text, "the count of symbols must be 1 to 400000, not 400001");
    settings.symbol_count = 1;
    settings.order_count = FIXGEN_MESSAGE_COUNT_MAX + 1;
    assert_int_equal(fixgen_write(&settings, &error), STATUS_USAGE);
    settings.order_count = 1;
    settings.out_dir = "";
    assert_int_equal(fixgen_write(&settings, &error), STATUS_USAGE);
}

/* Names the file: one that cannot be opened, and one on a device that is always full (/dev/full). */
static void test_errors_name_the_file(void **state)
{
    (void)state;
    struct directory directory;
    make_directory(&directory);
    char path[256];
    path_in(&directory, "trades.msg", path);
    assert_int_equal(symlink("/dev/full", path), 0);
    for (uint64_t orders = 1; orders <= 100000; orders += 99999) { /* found when closing, and when writing */
        const struct fixgen_settings settings = {.symbol_count = 1, .order_count = orders, .out_dir = directory.path};
        struct error error = {0};
        assert_int_equal(fixgen_write(&settings, &error), STATUS_SYSTEM);
        assert_non_null(strstr(error.text, path));
        assert_non_null(strstr(error.text, "No space left on device"));
    }
    assert_int_equal(unlink(path), 0);
    path_in(&directory, "nbbo.msg", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    const struct fixgen_settings settings = {.symbol_count = 1, .out_dir = directory.path};
    struct error error = {0};
    assert_int_equal(fixgen_write(&settings, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, path));
    const struct fixgen_settings below_a_file = {.symbol_count = 1, .out_dir = "/dev/null/out"};
    assert_int_equal(fixgen_write(&below_a_file, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "/dev/null/out"));
    assert_int_equal(rmdir(path), 0);
    remove_directory(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_lines_and_ratios),
        cmocka_unit_test(test_symbols_are_unique),
        cmocka_unit_test(test_makes_directories_and_empty_files),
        cmocka_unit_test(test_refuses_settings_out_of_range),
        cmocka_unit_test(test_errors_name_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
