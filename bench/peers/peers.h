/*
 * peers.h: other software that moves messages between threads, for the same workloads. Each is built where its library
 * is found; where it is not, its run says so by returning false.
 *
 * Contestants' runs (bench/measure.h); `context` is struct peer_chain. The figure is messages a second at the end of
 * the chain.
 */
#ifndef BENCH_PEERS_PEERS_H
#define BENCH_PEERS_PEERS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PEER_STAGE_MAX = 64 };

struct peer_chain {
    unsigned
        stage_count; /* 2 to PEER_STAGE_MAX: one that makes messages, those that pass them on, one that ends them */
    size_t bytes;    /* of a message */
};

/* ZeroMQ: a thread a stage, PUSH and PULL sockets over inproc, its default limits. */
bool zeromq_chain_run(void *context, double seconds, double *figures);

/* oneTBB: parallel_pipeline with a filter a stage, all serial and in order, 512 messages in flight, each copied into
 * the first filter's buffer. */
bool tbb_chain_run(void *context, double seconds, double *figures);

#ifdef __cplusplus
}
#endif

#endif
