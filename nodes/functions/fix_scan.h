/*
 * fix_scan.h: where the separators of a FIX text are; the part of fix.c that depends on the processor.
 *
 * Private to fix.c and its tests: each way to scan is listed here so that tests can run it against the others.
 */
#ifndef NODES_FUNCTIONS_FIX_SCAN_H
#define NODES_FUNCTIONS_FIX_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FIX_SCAN_BLOCK_BYTES = 64,
    FIX_SCAN_BYTES_MAX = 512,
    /* A scan may write so many places behind the last one that it found. */
    FIX_SCAN_SPARE = 32,
};

/*
 * Writes the places (offsets from `text`, rising) of all SOH in the `length` bytes at `text` to `places` and returns
 * how many they are. `length` is from FIX_SCAN_BLOCK_BYTES to FIX_SCAN_BYTES_MAX; `places` has room for `length` +
 * FIX_SCAN_SPARE. Reads nothing outside the text.
 */
typedef size_t fix_scan(const char *text, size_t length, uint16_t *places);

struct fix_scanner {
    const char *name;
    fix_scan *scan;
    bool (*is_supported)(void); /* by the processor that this runs on */
};

/* All that this build has, the best first; the last one, "scalar", runs everywhere. */
extern const struct fix_scanner fix_scanners[];
extern const size_t fix_scanner_count;

/* The best that the processor supports. Cheap enough to ask for each message. */
fix_scan *fix_scan_best(void);

#endif
