/*
 * fixgen.h: writes a repeatable trading day for the market spread demo.
 *
 * Two files of FIX 4.2 messages, one a line in double quotes, fields separated by SOH: nbbo.msg has quotes, trades.msg
 * has orders, and both have a heartbeat now and then. They are meant to be fed in turn, one line of each: the first
 * quotes name each symbol once, and an order names a symbol that was quoted before it, unless it is meant not to.
 *
 * Of the quotes some 2 % have a spread that stops new orders. Of the orders some 1 % repeat an earlier id and some 1 %
 * name a symbol that is never quoted.
 */
#ifndef NODES_FIXGEN_H
#define NODES_FIXGEN_H

#include <stdint.h>

#include "engine/status.h"

/* All that the generator's tickers allow. */
#define FIXGEN_SYMBOL_COUNT_MAX UINT64_C(400000)

/* Within this the order ids do not repeat by themselves. */
#define FIXGEN_MESSAGE_COUNT_MAX (UINT64_C(1) << 36)

struct fixgen_settings {
    uint64_t symbol_count; /* 1 to FIXGEN_SYMBOL_COUNT_MAX */
    uint64_t order_count;  /* in trades.msg, heartbeats not counted; up to FIXGEN_MESSAGE_COUNT_MAX */
    uint64_t quote_count;  /* in nbbo.msg, heartbeats not counted; the same */
    uint64_t seed;
    const char *out_dir; /* made, with its parents, if it is not there */
};

/*
 * Writes out_dir/nbbo.msg and out_dir/trades.msg, over what was there. The same settings give the same bytes on every
 * machine. Blocks; any thread. STATUS_USAGE for settings out of range, STATUS_SYSTEM with the file's name where a
 * directory or file cannot be made or written; the files are incomplete then.
 */
enum status fixgen_write(const struct fixgen_settings *settings, struct error *error) MUST_USE;

#endif
