/*
 * round_trip.h: how long a cache line takes from one processor to another and back.
 *
 * It tells in which regime a figure was taken: a virtual machine's processors are near each other or far apart for
 * minutes at a time, and everything that crosses processors follows.
 */
#ifndef BENCH_ROUND_TRIP_H
#define BENCH_ROUND_TRIP_H

/* Two threads, bound to the first two processors that this process may use, hand one cache line to and fro for some
 * 10 ms. The median round trip in nanoseconds; 0 where there is one processor only. Blocks; the calling thread may be
 * any. */
double bench_round_trip_ns(void);

#endif
