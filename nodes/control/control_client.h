/*
 * control_client.h: asking a launch that has a store; control_request.h says what. Calls block.
 */
#ifndef NODES_CONTROL_CONTROL_CLIENT_H
#define NODES_CONTROL_CONTROL_CLIENT_H

#include "engine/status.h"
#include "nodes/control/control_request.h"

/* Connects to the launch that has the store in this directory. *connection is a descriptor, for close(2).
 * STATUS_CLOSED: no launch listens there. `timeout_ns` bounds this, and how long an answer may be awaited later. */
enum status control_connect(int *connection, const char *directory, int64_t timeout_ns, struct error *error) MUST_USE;

/* One request and its answer: an outcome for each letter. STATUS_SYSTEM: there was none, or a refusal; when the
 * connection ended, or the time, it may have been done all the same. */
enum status control_ask(int connection, enum control_verb verb, const struct control_letter *letters, size_t count,
                        enum control_outcome *outcomes, struct error *error) MUST_USE;

#endif
