/* symbol_table.c: short and long symbols, many more than its front holds, and symbols that look alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/functions/symbol_table.h"

static struct symbol_table *open_table(void)
{
    struct symbol_table *table = NULL;
    struct error error = {0};
    assert_int_equal(symbol_table_open(&table, &error), STATUS_OK);
    return table;
}

/* A message that ends with the symbol, so that a sanitizer sees a read beyond it. To be freed. */
static char *message_of(const void *symbol, size_t length, struct fix_message *message)
{
    char *text = malloc(length + 3);
    assert_non_null(text);
    memcpy(text, "55=", 3);
    memcpy(text + 3, symbol, length);
    *message = (struct fix_message){.fields[FIX_SYMBOL] = {text + 3, length}, .end = text + 3 + length};
    return text;
}

static struct symbol_state *find(struct symbol_table *table, const void *symbol, size_t length)
{
    struct fix_message message;
    char *text = message_of(symbol, length, &message);
    struct symbol_state *state = symbol_table_find(table, &message, message.fields[FIX_SYMBOL]);
    free(text);
    return state;
}

static struct symbol_state *add(struct symbol_table *table, const void *symbol, size_t length)
{
    struct fix_message message;
    struct symbol_state *state = NULL;
    struct error error = {0};
    char *text = message_of(symbol, length, &message);
    assert_int_equal(symbol_table_add(table, &message, message.fields[FIX_SYMBOL], &state, &error), STATUS_OK);
    assert_non_null(state);
    free(text);
    return state;
}

static void test_symbols_that_look_alike(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t length;
    } symbols[] = {
        {"", 0},     {"\0", 1},          {"\0\0", 2},      {"A", 1},         {"A\0", 2},         {"\0A", 2},
        {"AB", 2},   {"BA", 2},          {"ABCDEFG", 7},   {"ABCDEF\0", 7},  {"ABCDEF", 6},      {"ABCDEFGH", 8},
        {"\x08", 1}, {"ABCDEFG\x08", 8}, {"ABCDEFG\0", 8}, {"ABCDEFGHI", 9}, {"ABCDEFGHIJ", 10},
    };
    enum { COUNT = sizeof symbols / sizeof symbols[0] };
    struct symbol_table *table = open_table();
    struct symbol_state *states[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        assert_null(find(table, symbols[i].data, symbols[i].length));
        states[i] = add(table, symbols[i].data, symbols[i].length);
        assert_false(states[i]->stopped);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(states[i], states[k]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(find(table, symbols[i].data, symbols[i].length), states[i]);
        assert_ptr_equal(add(table, symbols[i].data, symbols[i].length), states[i]);
    }
    symbol_table_close(&table);
    assert_null(table);
    symbol_table_close(&table);
}

/* Ten times as many as the front holds, asked for in random order, some before they are there. */
static void test_many_symbols(void **state)
{
    (void)state;
    enum { COUNT = 40000, ROUNDS = 200000 };
    struct symbol_table *table = open_table();
    struct symbol_state **states = calloc(COUNT, sizeof(struct symbol_state *));
    struct random_state random;
    random_seed(&random, 5);
    assert_non_null(states);
    for (int round = 0; round < ROUNDS; round++) {
        char symbol[16];
        const unsigned i = (unsigned)random_below(&random, COUNT);
        const int length = snprintf(symbol, sizeof symbol, "%s%x", i % 3 == 0 ? "LONG-" : "S", i * 2654435761u >> 8);
        if (random_below(&random, 3) == 0) {
            struct symbol_state *added = add(table, symbol, (size_t)length);
            assert_true(states[i] == NULL || states[i] == added);
            if (states[i] == NULL)
                added->stopped = i % 2 == 0;
            states[i] = added;
        }
        assert_ptr_equal(find(table, symbol, (size_t)length), states[i]);
        assert_true(states[i] == NULL || states[i]->stopped == (i % 2 == 0));
    }
    free(states);
    symbol_table_close(&table);
}

static void test_a_symbol_that_is_too_long(void **state)
{
    (void)state;
    enum { LONG = 65536 };
    struct symbol_table *table = open_table();
    char *symbol = calloc(1, LONG);
    assert_non_null(symbol);
    struct fix_message message;
    char *text = message_of(symbol, LONG, &message);
    struct symbol_state *kept = NULL;
    struct error error = {0};
    assert_int_equal(symbol_table_add(table, &message, message.fields[FIX_SYMBOL], &kept, &error), STATUS_INPUT);
    assert_null(symbol_table_find(table, &message, message.fields[FIX_SYMBOL]));
    free(text);
    free(symbol);
    symbol_table_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols_that_look_alike),
        cmocka_unit_test(test_many_symbols),
        cmocka_unit_test(test_a_symbol_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
