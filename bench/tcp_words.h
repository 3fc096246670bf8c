/*
 * tcp_words.h: what a client says to each of the servers of the tcp_queue benchmark, to hand over a text and to take
 * one.
 */
#ifndef BENCH_TCP_WORDS_H
#define BENCH_TCP_WORDS_H

#include <stddef.h>

struct tcp_words {
    /* What is to be said first on a connection; NULL: nothing. */
    void (*greet)(int fd);
    /* Write a command that hands over, or takes, a text of zeros; return its length. Each has one answer. */
    size_t (*put)(char *text, size_t room, unsigned text_bytes);
    size_t (*get)(char *text, size_t room);
    /* How long the answer is that `data` begins with; 0: it is not there in full. */
    size_t (*answer_bytes)(const char *data, size_t length);
};

extern const struct tcp_words tcp_words_frames;    /* LHHTTT: PUT and GET */
extern const struct tcp_words tcp_words_redis;     /* LPUSH and RPOP */
extern const struct tcp_words tcp_words_nats;      /* PUB, acknowledged, to what the connection itself subscribes to */
extern const struct tcp_words tcp_words_jetstream; /* PUB to a stream that is kept in files, acknowledged by it */

#endif
