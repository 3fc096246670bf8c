/*
 * queue_command.h: the words that a queue understands, and how it answers. Pure; shared by the queue and its clients.
 */
#ifndef NODES_LINKS_QUEUE_COMMAND_H
#define NODES_LINKS_QUEUE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_verb { QUEUE_PUT, QUEUE_GET, QUEUE_SIZE, QUEUE_UNKNOWN };

struct queue_command {
    enum queue_verb verb;
    const void *message; /* PUT: within the text */
    size_t message_length;
};

/* The verb ends at the first colon; verbs are upper case; PUT alone puts the empty message. */
struct queue_command queue_command_parse(const void *text, size_t length);

/* Answers other than a message. `text` takes QUEUE_ANSWER_BYTES; each returns its length. No NUL ends it. */
enum { QUEUE_ANSWER_BYTES = 96 };
size_t queue_answer_put(char *text, size_t message_length);
size_t queue_answer_size(char *text, uint64_t message_count);
size_t queue_answer_unknown(char *text);
size_t queue_answer_full(char *text);
size_t queue_answer_too_long(char *text, size_t message_length, uint64_t limit);
size_t queue_answer_needs_tcp(char *text, size_t message_length);

/* Whether the answer to a GET is one of the errors above and no message. */
bool queue_answer_is_error(const void *text, size_t length);
/* Whether a PUT was answered with ERR queue full (more may follow: ": disk"). */
bool queue_answer_is_full(const void *text, size_t length);
/* Whether it is the one that says that the oldest message needs TCP. */
bool queue_answer_is_needs_tcp(const void *text, size_t length);

#endif
