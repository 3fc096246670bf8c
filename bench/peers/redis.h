/*
 * redis.h: a redis-server of our own, as a peer: lists in memory, nothing written to disk.
 */
#ifndef BENCH_PEERS_REDIS_H
#define BENCH_PEERS_REDIS_H

#include <netinet/in.h>
#include <stdbool.h>

struct redis;

/* Starts it at a free loopback port, which *address tells, and waits until it takes connections. NULL: it is not
 * installed. */
struct redis *redis_open(struct sockaddr_in *address);
void redis_close(struct redis *redis);

#endif
