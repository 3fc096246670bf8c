/*
 * tcp_echo.h: the least that a server over TCP can do: one thread that waits in epoll, reads what there is and writes
 * it back.
 */
#ifndef BENCH_LIMITS_TCP_ECHO_H
#define BENCH_LIMITS_TCP_ECHO_H

#include <netinet/in.h>

struct tcp_echo;

/* Starts it at a loopback port of the kernel's choice, which *address tells. Ends the program if it cannot. */
struct tcp_echo *tcp_echo_open(struct sockaddr_in *address);

/* When its clients have closed. */
void tcp_echo_close(struct tcp_echo *echo);

#endif
