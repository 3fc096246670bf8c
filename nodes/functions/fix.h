/*
 * fix.h: reads the fields that the functions use out of one FIX message.
 *
 * FIX here is `tag=value` fields separated by SOH (0x01), usually inside one pair of double quotes. The reader is pure:
 * it allocates nothing and keeps nothing. Any bytes may be given; what is not a wanted field is skipped.
 */
#ifndef NODES_FUNCTIONS_FIX_H
#define NODES_FUNCTIONS_FIX_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes inside the message that was read; not NUL-ended. `data` is NULL where the message has no such field, and not
 * NULL where the field is there and empty. */
struct fix_view {
    const char *data;
    size_t length;
};

struct fix_message {
    struct fix_view account;        /* tag 1 */
    struct fix_view order_id;       /* tag 11 or 37 */
    struct fix_view type;           /* tag 35 */
    struct fix_view order_quantity; /* tag 38 */
    struct fix_view symbol;         /* tag 55 */
    struct fix_view transact_time;  /* tag 60 */
    struct fix_view bid;            /* tag 132 */
    struct fix_view offer;          /* tag 133 */
    struct fix_view feed_epoch;     /* tag 999 */
};

/*
 * Reads the `length` bytes at `text` into `message`, whose views stay valid as long as `text` does. Of a tag that comes
 * twice the last one counts. An opening quote is part of the first field (whose tag is then unknown); a closing quote,
 * where there was an opening one, is part of no field.
 */
void fix_read(const char *text, size_t length, struct fix_message *message);

/* Whether the field is there and is exactly the one character `c`. */
static inline bool fix_view_is(struct fix_view view, char c)
{
    return view.length == 1 && view.data[0] == c;
}

#endif
