/*
 * server.h: a server of other software, as a peer: a process of our own on a free loopback port.
 */
#ifndef BENCH_PEERS_SERVER_H
#define BENCH_PEERS_SERVER_H

#include <netinet/in.h>

struct peer_server;

/* A list in memory, nothing written to disk. */
extern const char *const peer_redis[];
/* Publish and subscribe, nothing kept. */
extern const char *const peer_nats[];
/* The same, and streams that are kept in files. */
extern const char *const peer_jetstream[];

/* Starts one of them at a port that *address tells, and waits until it takes connections. NULL: it is not installed. */
struct peer_server *peer_server_open(const char *const *command, struct sockaddr_in *address);
/* The same, for one that keeps something: in this directory. */
struct peer_server *peer_server_open_in(const char *const *command, const char *directory, struct sockaddr_in *address);
void peer_server_close(struct peer_server *server);

#endif
