/*
 * lhhttt.h: the framing. L: one hex digit, how many hex digits of length follow; HH: the length of the text in bytes;
 * TTT: the text. "Hello World" is 1bHello World. Pure functions.
 */
#ifndef NET_LHHTTT_H
#define NET_LHHTTT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

/* The longest header: L and 15 digits. */
enum { LHHTTT_HEADER_BYTES_MAX = 16 };

/* Writes the shortest header, lower case, for a text of `text_length` bytes. Returns its length, 2 to 16. `text_length`
 * is below 16^15. */
size_t lhhttt_write_header(uint64_t text_length, char header[LHHTTT_HEADER_BYTES_MAX]);

/*
 * Reads the header at the start of `data`; accepts upper case and leading zeros.
 * STATUS_OK: *header_length and *text_length are set (the text itself may not have arrived yet).
 * STATUS_AGAIN: what is there is the beginning of a header.
 * STATUS_INPUT: it is none: L is 0 or no hex digit, or a digit of the length is none.
 */
enum status lhhttt_read_header(const void *data, size_t length, size_t *header_length, uint64_t *text_length) MUST_USE;

/* A datagram holds exactly one frame. STATUS_OK sets *text (within `data`) and *text_length; else STATUS_INPUT. */
enum status lhhttt_read_datagram(const void *data, size_t length, const void **text, size_t *text_length) MUST_USE;

#endif
