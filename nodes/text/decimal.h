/*
 * decimal.h: decimal text to double and back, exactly as Python's float() and repr() do it.
 *
 * Independent of the process's locale. Any thread; no allocation.
 */
#ifndef NODES_TEXT_DECIMAL_H
#define NODES_TEXT_DECIMAL_H

#include <locale.h>
#include <stddef.h>

#include "engine/status.h"

/* The longest text that decimal_parse reads, blanks around it not counted. */
enum { DECIMAL_PARSE_BYTES_MAX = 400 };

/* Room for any text of decimal_format, NUL included ("-2.2250738585072014e-308" is the longest kind). */
enum { DECIMAL_TEXT_BYTES = 32 };

/*
 * Reads all `length` bytes at `text` as one decimal number and gives the double nearest to it (ties to even). Takes
 * what Python's float() takes of plain decimals: blanks around it, a sign, digits with at most one point before, in or
 * behind them, an exponent. A number too small for a double is 0.0, as in Python.
 * STATUS_INPUT for anything else: empty, inf, nan, hexadecimal, garbage, a number too large for a double, a longer
 * text.
 */
enum status decimal_parse(const char *text, size_t length, double *value) MUST_USE;

/*
 * Writes `value` as Python's repr() does: the fewest digits that read back as the same double (of those, the nearest to
 * it), with ".0" or, below 1e-4 and from 1e16 on, with an exponent: 1337900.0, -0.0, 1e+22, 1e-05. Not finite: "inf",
 * "-inf", "nan". Returns the length, without the NUL that ends it.
 */
size_t decimal_format(double value, char text[DECIMAL_TEXT_BYTES]);

/*
 * decimal_parse and decimal_format in one, for a number that is only handed on: writes into `shortest` what
 * decimal_format writes for what decimal_parse reads, and its length into *shortest_length. A usual text is checked and
 * copied, without the double in between. Fails as decimal_parse.
 */
enum status decimal_rewrite(const char *text, size_t length, char shortest[DECIMAL_TEXT_BYTES],
                            size_t *shortest_length) MUST_USE;

/* The "C" locale, for those who must format with printf whatever the process's locale is (see uselocale). */
locale_t decimal_c_locale(void);

#endif
