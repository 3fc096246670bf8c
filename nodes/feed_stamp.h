/*
 * feed_stamp.h: the time of feeding, as the last field of a FIX message. Pure.
 */
#ifndef NODES_FEED_STAMP_H
#define NODES_FEED_STAMP_H

#include <stddef.h>
#include <stdint.h>

/* Room for a stamp: all of it may be written, whatever the stamp's length. */
enum { FEED_STAMP_BYTES = 32 };

/*
 * Writes what ends a fed message, SOH `999=SECONDS.MICROSECONDS` SOH `"`, to `at`, and returns its length. `wall_ns` is
 * the time in epoch nanoseconds (clock_wall_ns); one before 1970 is written as 0.
 */
size_t feed_stamp(char *at, int64_t wall_ns);

#endif
