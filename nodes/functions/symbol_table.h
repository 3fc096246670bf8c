/*
 * symbol_table.h: what the market spread function knows of each symbol. For one thread.
 *
 * A keyed_table, with its limits and its safety, and in front of it the short symbols that were asked for last, which
 * are found without its hash. The front only remembers where the table keeps a symbol's state: if somebody chooses
 * symbols that fall on each other there, they are found a little later, in the table.
 */
#ifndef NODES_FUNCTIONS_SYMBOL_TABLE_H
#define NODES_FUNCTIONS_SYMBOL_TABLE_H

#include <stdbool.h>

#include "engine/status.h"
#include "nodes/functions/fix.h"

struct symbol_state {
    bool stopped; /* no new orders now */
};

struct symbol_table;

/* STATUS_SYSTEM where the system gives no memory or no random bytes. */
enum status symbol_table_open(struct symbol_table **table, struct error *error) MUST_USE;

/* Frees all and sets *table to NULL; nothing for NULL. */
void symbol_table_close(struct symbol_table **table);

/* The state of a symbol that is a view of `message`, or NULL if it was never added. It stays where it is. */
struct symbol_state *symbol_table_find(struct symbol_table *table, const struct fix_message *message,
                                       struct fix_view symbol);

/* As symbol_table_find, but adds the symbol, with a state of zero bytes, if it is not there. Fails as keyed_table_add.
 */
enum status symbol_table_add(struct symbol_table *table, const struct fix_message *message, struct fix_view symbol,
                             struct symbol_state **state, struct error *error) MUST_USE;

#endif
