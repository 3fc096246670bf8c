/*
 * id_set_private.h: what only the tests of id_set.c may do.
 */
#ifndef NODES_FUNCTIONS_ID_SET_PRIVATE_H
#define NODES_FUNCTIONS_ID_SET_PRIVATE_H

struct id_set;

/* Makes all short ids hash alike, as if a sender could aim at one place. The set must be empty. */
void id_set_break_hash(struct id_set *set);

#endif
