/*
 * udp_echo.h: the least that a server over UDP can do: one thread that receives a batch with recvmmsg and sends it back
 * with sendmmsg, sleeping in recvmmsg when there is nothing. No UDP_SEGMENT, no UDP_GRO.
 */
#ifndef BENCH_LIMITS_UDP_ECHO_H
#define BENCH_LIMITS_UDP_ECHO_H

#include <netinet/in.h>

struct udp_echo;

/* Starts it at a loopback port of the kernel's choice, which *address tells. Ends the program if it cannot. */
struct udp_echo *udp_echo_open(struct sockaddr_in *address);
void udp_echo_close(struct udp_echo *echo);

#endif
