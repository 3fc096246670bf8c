/*
 * The front is a cache of 4 ways, as processors have them: a symbol's word chooses a set, a set is one cache line.
 * 4,096 symbols fit in; the 500 of a usual market leave nearly every set with at most three. The multiplier is random,
 * so that nobody outside knows which symbols share a set.
 */
#include "nodes/functions/symbol_table.h"

#include <stdlib.h>
#include <sys/random.h>

#include "engine/check.h"
#include "nodes/functions/keyed_table.h"

#define SYMBOL_TABLE_MAGIC UINT32_C(0x73796d74)

/* Bounds on what a sender can make the function keep. */
#define SYMBOL_COUNT_MAX (UINT64_C(1) << 20)
#define SYMBOL_BYTES_MAX (UINT64_C(1) << 28)

enum {
    WAY_COUNT = 4,
    SET_BITS = 10,
    CACHE_LINE_BYTES = 64,
    WORD_SYMBOL_BYTES_MAX = 7, /* the eighth byte of a word is the length */
};

struct symbol_set {
    _Alignas(CACHE_LINE_BYTES) uint64_t words[WAY_COUNT]; /* 0: none */
    struct symbol_state *states[WAY_COUNT];
};

struct symbol_table {
    struct symbol_set sets[1 << SET_BITS];
    uint32_t magic;
    unsigned next_way; /* which is given up next, of whatever set */
    uint64_t multiplier;
    struct keyed_table *all;
};

enum status symbol_table_open(struct symbol_table **table, struct error *error)
{
    static const struct keyed_table_settings settings = {
        .value_bytes = sizeof(struct symbol_state),
        .count_max = SYMBOL_COUNT_MAX,
        .memory_bytes_max = SYMBOL_BYTES_MAX,
    };
    uint64_t multiplier;
    if (getrandom(&multiplier, sizeof multiplier, 0) != (ssize_t)sizeof multiplier)
        return error_set(error, STATUS_SYSTEM, "the system gives no random bytes (getrandom)");
    struct symbol_table *made = aligned_alloc(CACHE_LINE_BYTES, sizeof *made);
    if (made == NULL)
        return error_set(error, STATUS_SYSTEM, "no memory for a table of symbols");
    memset(made, 0, sizeof *made);
    made->magic = SYMBOL_TABLE_MAGIC;
    made->multiplier = multiplier | 1;
    enum status status = keyed_table_open(&made->all, &settings, error);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    *table = made;
    return STATUS_OK;
}

void symbol_table_close(struct symbol_table **table)
{
    struct symbol_table *gone = *table;
    if (gone == NULL)
        return;
    CHECK_MAGIC(gone, SYMBOL_TABLE_MAGIC);
    keyed_table_close(&gone->all);
    gone->magic = 0;
    free(gone);
    *table = NULL;
}

/* A short symbol as a word that is not 0 and no other symbol's; 0 for a longer one. */
static inline uint64_t symbol_word(const struct fix_message *message, struct fix_view symbol)
{
    if (symbol.length > WORD_SYMBOL_BYTES_MAX)
        return 0;
    return fix_view_word(message, symbol) | (uint64_t)(symbol.length + 1) << (8 * WORD_SYMBOL_BYTES_MAX);
}

static inline struct symbol_set *set_of(struct symbol_table *table, uint64_t word)
{
    return &table->sets[(word * table->multiplier) >> (64 - SET_BITS)];
}

/* On which way a symbol stands is random: adding up costs less than a branch that is guessed wrong. */
static inline struct symbol_state *find_near(const struct symbol_set *set, uint64_t word)
{
    const unsigned way =
        (set->words[1] == word ? 1u : 0u) | (set->words[2] == word ? 2u : 0u) | (set->words[3] == word ? 3u : 0u);
    return set->words[way] == word ? set->states[way] : NULL;
}

/* Puts a state into the set, on a free way if there is one. Returns the state. */
static struct symbol_state *remember(struct symbol_table *table, struct symbol_set *set, uint64_t word,
                                     struct symbol_state *state)
{
    unsigned way = 0;
    while (way < WAY_COUNT && set->words[way] != 0)
        way++;
    if (way == WAY_COUNT)
        way = table->next_way++ % WAY_COUNT;
    set->words[way] = word;
    set->states[way] = state;
    return state;
}

struct symbol_state *symbol_table_find(struct symbol_table *table, const struct fix_message *message,
                                       struct fix_view symbol)
{
    CHECK_MAGIC(table, SYMBOL_TABLE_MAGIC);
    const uint64_t word = symbol_word(message, symbol);
    if (word == 0)
        return keyed_table_find(table->all, symbol.data, symbol.length);
    struct symbol_set *set = set_of(table, word);
    struct symbol_state *state = find_near(set, word);
    if (state != NULL)
        return state;
    state = keyed_table_find(table->all, symbol.data, symbol.length);
    return state != NULL ? remember(table, set, word, state) : NULL;
}

enum status symbol_table_add(struct symbol_table *table, const struct fix_message *message, struct fix_view symbol,
                             struct symbol_state **state, struct error *error)
{
    *state = symbol_table_find(table, message, symbol);
    if (*state != NULL)
        return STATUS_OK;
    void *value;
    bool added;
    enum status status = keyed_table_add(table->all, symbol.data, symbol.length, &value, &added, error);
    if (status == STATUS_OK)
        *state = value;
    return status;
}
