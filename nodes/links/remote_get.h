/*
 * remote_get.h: messages from a queue outside this launch, with GET. The node's thread.
 *
 * Asks again at once after a message, after `delay_ns` when the queue was empty, and after a time-out when no answer
 * came. While messages come one after another several GETs are under way (REMOTE_GET_WINDOW at most, doubling from 1);
 * an empty answer ends that. A message that arrives late is a message.
 */
#ifndef NODES_LINKS_REMOTE_GET_H
#define NODES_LINKS_REMOTE_GET_H

#include "engine/node.h"

enum { REMOTE_GET_WINDOW = 32 };

struct remote_get;

enum status remote_get_open(struct remote_get **get, struct node *node, const struct address *address, int64_t delay_ns,
                            uint64_t message_bytes_max, struct error *error) MUST_USE;
void remote_get_close(struct remote_get **get);

/* Asks for more, if `wanted` and it is time; returns when it wants to be called next. Call it each step. */
int64_t remote_get_step(struct remote_get *get, bool wanted, int64_t now_ns);

/* The oldest message that has arrived, or NULL. Valid until it is popped. */
const struct message *remote_get_peek(struct remote_get *get);
void remote_get_pop(struct remote_get *get);
uint64_t remote_get_arrived_count(const struct remote_get *get);
/* GETs that may still bring a message. */
uint64_t remote_get_asked_count(const struct remote_get *get);

uint64_t remote_get_timeout_count(const struct remote_get *get);
uint64_t remote_get_error_count(const struct remote_get *get);

#endif
