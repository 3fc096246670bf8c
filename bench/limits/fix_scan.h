/*
 * fix_scan.h: the limits of reading FIX: loops for exactly what the benchmark has, without a check. They take what they
 * read to be sound: every line is one of bench/market.h.
 */
#ifndef BENCH_LIMITS_FIX_SCAN_H
#define BENCH_LIMITS_FIX_SCAN_H

#include <stdbool.h>

/* Contestants' runs (bench/measure.h); `context` is struct market. The figure is messages a second. */

/* Finds where each field starts and ends, and nothing else: with AVX2, 32 bytes at a time, where the processor has it,
 * otherwise byte by byte. Reads up to 32 bytes behind a line. */
bool fix_scan_split_run(void *context, double seconds, double *figures);

/* Splits with memchr, reads the numbers 38, 44, 132, 133 and 999 with strtod and finds the symbol in a table of hash
 * values: how one writes it without much thought. */
bool fix_scan_strtod_run(void *context, double seconds, double *figures);

/* The same, but reads the numbers digit by digit and divides once by a power of ten, which is exact up to 2^53. */
bool fix_scan_numbers_run(void *context, double seconds, double *figures);

#endif
