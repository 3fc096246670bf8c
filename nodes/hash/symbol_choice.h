/*
 * symbol_choice.h: the number that chooses where messages of one symbol, or of another key, go. For one thread.
 *
 * It is the one that other programs of the same pipeline take: the MD5 digest as a big-endian number, modulo 2^61 - 1.
 * A digest takes half of what a message takes, so the choices of short keys are kept; those that fall on the same place
 * take it from each other.
 */
#ifndef NODES_HASH_SYMBOL_CHOICE_H
#define NODES_HASH_SYMBOL_CHOICE_H

#include <stdint.h>

#include "nodes/functions/fix.h"

enum { SYMBOL_CHOICE_KEPT_BITS = 10 };

struct kept_choice {
    uint64_t symbol; /* as fix_view_word has it */
    size_t length;   /* of the symbol; 0: nothing is kept here */
    int64_t choice;
};

/* Starts as {0}. */
struct symbol_choices {
    struct kept_choice kept[1 << SYMBOL_CHOICE_KEPT_BITS];
};

/* Of a view of `message`; one that is not there counts as empty. At least 0. */
int64_t symbol_choice(struct symbol_choices *choices, const struct fix_message *message, struct fix_view symbol);

#endif
