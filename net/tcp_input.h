/*
 * tcp_input.h: from the socket to frames: what a set of streams (tcp_stream.h) is given to read with. Private to
 * net/tcp_*.c.
 */
#ifndef NET_TCP_INPUT_H
#define NET_TCP_INPUT_H

#include <stdint.h>

struct tcp_stream;

/* Reads once if `events` say so, and hands on the frames that are complete. Of OPEN streams only; may leave one ENDING
 * or DEAD. */
void tcp_input_ready(struct tcp_stream *stream, uint32_t events);

#endif
