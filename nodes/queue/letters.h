/*
 * letters.h: what `millrace dead-letters` does to a queue that a launch has open: a dead letter leaves it, or a message
 * comes back from one. What is done in one turn of the durable thread is one transaction.
 *
 * Calls are for the durable thread, between steps, before the stop.
 */
#ifndef NODES_QUEUE_LETTERS_H
#define NODES_QUEUE_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/node.h"

/* The number that the store knows the queue by; 0: the node is no queue, or keeps nothing there. Any thread, once the
 * node is open. */
uint32_t queue_stored_number(const struct node *node);

/* Whether a message of this length has room now, without dropping another. */
bool queue_has_room(const struct node *node, uint32_t length);

/* A message comes back: to the tail, as a new one. */
void queue_put_back(struct node *node, const void *text, uint32_t length);

/* Takes out the message of this number in the store, `length` bytes long, which is in the store's file; counts it as
 * put back elsewhere, or as dropped. False: it is not free: on a lease, with a worker, or not here any more. */
bool queue_withdraw(struct node *node, uint64_t sequence, uint32_t length, bool is_replayed);

#endif
