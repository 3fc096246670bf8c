/*
 * control_request.h: what `millrace dead-letters` asks of a launch that has the store, and the answer, as texts of
 * LHHTTT frames over the socket `control` in the store's directory:
 *
 *   REPLAY:<queue>.<number>,<queue>.<number>,...    DROP: the same
 *
 * A queue is its number in the store; a letter its queue's number of it. They go up: by queue, then by number. The
 * answer is `OK:` and a character for each (enum control_outcome), or `ERR ` and why nothing was done. It comes when
 * all that was done is on the disk. What one request does is one transaction.
 *
 * Pure; any thread.
 */
#ifndef NODES_CONTROL_CONTROL_REQUEST_H
#define NODES_CONTROL_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the store's directory. */
#define CONTROL_SOCKET_NAME "control"

enum control_verb { CONTROL_REPLAY, CONTROL_DROP };

struct control_letter {
    uint32_t queue;
    uint64_t sequence;
};

enum control_outcome {
    CONTROL_MOVED = '+',
    CONTROL_NOT_FREE = 'b',  /* on a lease, with a worker, on its way elsewhere, or not there any more */
    CONTROL_FULL = 'f',      /* the queue that it comes from is full */
    CONTROL_NO_WAY = 'w',    /* the queue that it comes from is not in the store, or is a link's */
    CONTROL_NO_LETTER = 'n', /* another message */
    CONTROL_UNREAD = 'r',    /* the store could not be read */
};

enum {
    CONTROL_LETTER_COUNT_MAX = 16384,
    CONTROL_LETTER_BYTES_MAX = 10 + 1 + 20 + 1,
    CONTROL_REQUEST_BYTES_MAX = 8 + CONTROL_LETTER_COUNT_MAX * CONTROL_LETTER_BYTES_MAX,
    CONTROL_ANSWER_BYTES_MAX = 1024 + CONTROL_LETTER_COUNT_MAX,
};

/* `text` has room for CONTROL_REQUEST_BYTES_MAX and a NUL; 1 to CONTROL_LETTER_COUNT_MAX letters. Returns the length.
 */
size_t control_request_write(char *text, enum control_verb verb, const struct control_letter *letters, size_t count);

/* False: it is none. `letters` has room for CONTROL_LETTER_COUNT_MAX. */
bool control_request_read(const void *text, size_t length, enum control_verb *verb, struct control_letter *letters,
                          size_t *count);

#endif
