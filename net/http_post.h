/*
 * http_post.h: POSTs JSON bodies to one URI from a thread of its own. The only file that knows libcurl.
 *
 * A hub that hangs, refuses, answers an error or closes costs posts, which are counted, and nothing else: the caller
 * never waits. At most HTTP_POST_PENDING_MAX bodies wait or are under way; the oldest waiting one is dropped for a new
 * one. A post that fails is tried again twice (the body is the same), with a back-off; a post has 2 s for each try.
 * Bodies of one poster may be under way at the same time, HTTP_POST_PARALLEL_MAX at most, so that a slow answer does
 * not hold up the next second's.
 */
#ifndef NET_HTTP_POST_H
#define NET_HTTP_POST_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum { HTTP_POST_PENDING_MAX = 256, HTTP_POST_PARALLEL_MAX = 16 };

struct http_poster;

struct http_post_counts {
    uint64_t delivered_count; /* the hub answered 2xx */
    uint64_t retried_count;
    uint64_t dropped_count; /* given up, or pushed out by a newer one */
};

/* Called on the poster's own thread when the hub's state changes (works, fails with this reason); one call a change.
 * May be NULL. */
typedef void http_post_observer(void *context, int works, const char *reason);

/* Starts the thread. STATUS_USAGE: `uri` is no http:// or https:// URI. */
enum status http_post_open(struct http_poster **poster, const char *uri, http_post_observer *observer, void *context,
                           struct error *error) MUST_USE;

/* Hands over a copy of `body`. Called from one thread (the owner's). Never blocks. */
void http_post_send(struct http_poster *poster, const char *body, size_t length);

/* Any thread. */
struct http_post_counts http_post_counts(const struct http_poster *poster);

/* Gives what is pending until `grace_ns` from now, drops the rest (counted), ends the thread. Blocks for that long at
 * most. The counts are final afterwards: `counts` may be NULL. */
void http_post_close(struct http_poster **poster, int64_t grace_ns, struct http_post_counts *counts);

#endif
