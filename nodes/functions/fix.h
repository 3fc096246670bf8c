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
#include <stdint.h>
#include <string.h>

#include "nodes/functions/fix_scan.h"

/* Bytes inside the message that was read; not NUL-ended. `data` is NULL where the message has no such field, and not
 * NULL where the field is there and empty. */
struct fix_view {
    const char *data;
    size_t length;
};

/* What the functions use, and the tags that carry it. */
enum fix_field {
    FIX_OTHER,          /* every other tag: where the reader drops what nobody asks for */
    FIX_ACCOUNT,        /* 1 */
    FIX_ORDER_ID,       /* 11 or 37 */
    FIX_TYPE,           /* 35 */
    FIX_ORDER_QUANTITY, /* 38 */
    FIX_SYMBOL,         /* 55 */
    FIX_TRANSACT_TIME,  /* 60 */
    FIX_BID,            /* 132 */
    FIX_OFFER,          /* 133 */
    FIX_FEED_EPOCH,     /* 999 */
    FIX_FIELD_COUNT,
};

struct fix_message {
    struct fix_view fields[FIX_FIELD_COUNT]; /* by enum fix_field; that of FIX_OTHER says nothing */
    const char *end;                         /* of the text: what may be read ends here */
};

/*
 * Reads the `length` bytes at `text` into `message`, whose views stay valid as long as `text` does. Of a tag that comes
 * twice the last one counts. An opening quote is part of the first field (whose tag is then unknown); a closing quote,
 * where there was an opening one, is part of no field.
 */
void fix_read(const char *text, size_t length, struct fix_message *message);

/* fix_read with a given scan, so that tests can try them all. */
void fix_read_by(fix_scan *scan, const char *text, size_t length, struct fix_message *message);

/* Whether the field is there and is exactly the one character `c`. */
static inline bool fix_view_is(struct fix_view view, char c)
{
    return view.length == 1 && view.data[0] == c;
}

/* The bytes of a view that is there, at most 8 of them, as one word in the machine's order, zero bytes behind them. */
static inline uint64_t fix_view_word(const struct fix_message *message, struct fix_view view)
{
    uint64_t word = 0;
    if (message->end - view.data >= (ptrdiff_t)sizeof word) {
        memcpy(&word, view.data, sizeof word);
        return view.length < sizeof word ? word & ((UINT64_C(1) << (8 * view.length)) - 1) : word;
    }
    memcpy(&word, view.data, view.length);
    return word;
}

#endif
