/*
 * sockets.h: what the benchmarks over UDP and TCP share. What fails ends the program.
 */
#ifndef BENCH_SOCKETS_H
#define BENCH_SOCKETS_H

#include <netinet/in.h>
#include <stddef.h>

/* A socket of `type` (SOCK_DGRAM, SOCK_STREAM) bound to a loopback port of the kernel's choice, which *address tells;
 * SOCK_DGRAM: with large buffers. */
int bench_socket_bound(int type, struct sockaddr_in *address);

/* A loopback port that was free just now, for servers that must be told one. */
void bench_socket_free_port(int type, struct sockaddr_in *address);

/* Writes "127.0.0.1:40123". */
void bench_socket_text(const struct sockaddr_in *address, char *text, size_t text_bytes);

/* A TCP connection, without Nagle's delay. Returns -1 when nobody listens. */
int bench_socket_connect(const struct sockaddr_in *address);

#endif
