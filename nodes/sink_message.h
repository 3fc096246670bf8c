/*
 * sink_message.h: what a sink understands: {"msg": ..., "feed_time": ...}. Pure.
 */
#ifndef NODES_SINK_MESSAGE_H
#define NODES_SINK_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

struct sink_message {
    const char *msg; /* within the data, or within `buffer` where JSON escapes had to be resolved */
    size_t msg_length;
    bool has_feed_time; /* null: it has none */
    double feed_time;   /* epoch seconds */
    char *buffer;       /* owned; NULL if not needed */
};

/* False: the data is anything else. Frees nothing that *message held before. */
bool sink_message_parse(const void *data, size_t length, struct sink_message *message);
void sink_message_free(struct sink_message *message);

#endif
