/*
 * lease_token.h: the name of one delivery of one message, as the wire has it: EPOCH.SEQUENCE.DELIVERIES, the epoch as 8
 * lower-case hexadecimal digits, the others decimal. No colon is in it. Pure.
 */
#ifndef NODES_QUEUE_LEASE_TOKEN_H
#define NODES_QUEUE_LEASE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lease_token {
    uint32_t epoch;      /* of the queue's life: a token of an earlier one is not taken for one of this */
    uint32_t deliveries; /* which delivery it was; from 1 on */
    uint64_t sequence;   /* the message's number; from 1 on */
};

/* The longest: 8 digits, 20 digits, 10 digits, two dots. */
enum { LEASE_TOKEN_BYTES_MAX = 40 };

/* Writes it to `text`, which takes LEASE_TOKEN_BYTES_MAX, without a NUL; returns its length. */
size_t lease_token_write(const struct lease_token *token, char *text);

/* Reads what lease_token_write writes, all `length` bytes of it, and nothing else (no sign, no leading zero). */
bool lease_token_read(const void *text, size_t length, struct lease_token *token);

#endif
