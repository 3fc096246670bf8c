/*
 * http_post_private.h: a poster with times of one's own. For http_post.c and its tests.
 */
#ifndef NET_HTTP_POST_PRIVATE_H
#define NET_HTTP_POST_PRIVATE_H

#include "net/http_post.h"

struct http_post_times {
    long try_ms;         /* how long one try may take */
    int64_t back_off_ns; /* between the first try and the second; twice as long before the third */
};

/* As http_post_open. */
enum status http_post_open_with(struct http_poster **poster, const char *uri, const struct http_post_times *times,
                                http_post_observer *observer, void *context, struct error *error) MUST_USE;

#endif
