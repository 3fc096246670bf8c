/*
 * clock.h: what time it is.
 *
 * Two clocks: the monotonic one for durations and deadlines, the wall clock for what people and other programs see.
 * Both in nanoseconds as int64_t (good until the year 2262). Any thread; one call costs some 30 ns.
 */
#ifndef ENGINE_CLOCK_H
#define ENGINE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

/* A deadline that never comes. */
#define CLOCK_NEVER_NS INT64_MAX

int64_t clock_monotonic_ns(void);
int64_t clock_wall_ns(void);

/* Writes "2016-04-08 14:30:00.123456" (UTC, 26 characters and a NUL) of a wall time. */
enum { CLOCK_TEXT_BYTES = 27 };
void clock_format_utc(int64_t wall_ns, char text[CLOCK_TEXT_BYTES]);

#endif
