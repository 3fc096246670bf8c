/*
 * dead_letter.h: a message that was given up, with its story in front of it: one line of JSON, a newline, the message's
 * bytes. The line:
 *
 *   {"reason": "...", "source": "QUEUE", "deliveries": N, "first_time": SECONDS, "last_time": SECONDS, "bytes": LENGTH}
 *
 * Times are seconds since 1970, to the microsecond, of the first and the last delivery. Pure; any thread.
 */
#ifndef NODES_QUEUE_DEAD_LETTER_H
#define NODES_QUEUE_DEAD_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/text/json_text.h"

/* Rooms for the texts, NUL included. */
enum { DEAD_LETTER_REASON_BYTES = 256, DEAD_LETTER_SOURCE_BYTES = 256 };

/* The longest head line, newline included: all characters of both texts escaped. */
enum { DEAD_LETTER_HEAD_BYTES_MAX = 8192 };

struct dead_letter {
    char reason[DEAD_LETTER_REASON_BYTES]; /* of whoever refused it last */
    char source[DEAD_LETTER_SOURCE_BYTES]; /* the queue's name: the one that its store knows it by, if it is kept */
    uint64_t deliveries;                   /* below 2^53 */
    int64_t first_wall_ns, last_wall_ns;   /* not below 0 */
    uint64_t message_bytes;                /* below 2^53 */
};

/* Copies bytes into one of the two texts, which has `room` bytes: cut to fit, and a NUL among them becomes a blank. */
void dead_letter_set_text(char *text, size_t room, const void *data, size_t length);

/* Appends the head line and its newline; the message goes behind it. */
void dead_letter_append_head(struct text *text, const struct dead_letter *letter);

/* Makes the text the whole letter: the head line and the message, of letter->message_bytes. False where that would be
 * longer than TEXT_BYTES_MAX: then there is no text. */
bool dead_letter_write(struct text *text, const struct dead_letter *letter, const void *message);

/*
 * Whether these bytes are a dead letter: a head as above and so many bytes behind it as it says. Then *letter is what
 * the head says (texts cut to fit, what is no UTF-8 replaced) and *message where the message begins, within `data`.
 * Whoever may PUT may write such a message too: believe it no more than any.
 */
bool dead_letter_read(const void *data, size_t length, struct dead_letter *letter, const void **message);

#endif
