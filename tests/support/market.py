"""Market data for the tests: FIX lines, and what market spread says to them."""

import re

SOH = "\x01"


def fix(*fields):
    """A FIX text of (tag, value) pairs, framed as in the demo files."""
    body = SOH.join("%s=%s" % field for field in fields)
    return "8=FIX.4.2%s9=121%s%s%s10=131" % (SOH, SOH, body, SOH)


def quote(symbol, bid, offer):
    return fix((35, "S"), (55, symbol), (60, "20151204-14:30:00.000"),
               (117, "S"), (132, bid), (133, offer))


def order(identity, symbol, quantity="4000.0", account="CLIENT35"):
    return fix((35, "D"), (1, account), (11, identity), (21, "3"), (38, quantity),
               (44, "252.85366153511416"), (54, "1"), (55, symbol),
               (60, "20151204-14:30:00.000"))


def heartbeat():
    return fix((35, "0"), (52, "20151204-14:30:00.000"))


def file_line(text):
    """A text as a line of a demo file."""
    return '"%s"\n' % text


def fed(text, feed_time="1458195070.25"):
    """A text as a feeder sends it."""
    return '"%s%s999=%s%s"' % (text, SOH, feed_time, SOH)


def accepted(symbol, quantity="4000.0", account="CLIENT35"):
    return "New Order: (%s, %s, Accepted, %s): Accepted" % (account, symbol, quantity)


def rejected(symbol, reason, quantity="4000.0", account="CLIENT35"):
    return "New Order: (%s, %s, Rejected, %s): Rejected: %s" % (
        account, symbol, quantity, reason)


def small_session():
    """(texts, results): every rule of market spread once."""
    texts = [
        quote("TSLA", "250.0", "250.04"),
        quote("WIDE", "10.0", "20.0"),
        heartbeat(),
        order("o1", "TSLA"),
        order("o1", "TSLA", "100"),
        order("o2", "WIDE"),
        order("o3", "NONE", "1337900.25"),
    ]
    results = [
        accepted("TSLA"),
        rejected("TSLA", "Order already exists", "100.0"),
        rejected("WIDE", "WIDE - Stop New Orders"),
        rejected("NONE", "Unknown symbol: NONE", "1337900.25"),
    ]
    return texts, results


def result_pattern(message):
    """A regular expression for the JSON of a result with any feed time."""
    return (r'^\{"msg": "' + re.escape(message)
            + r'", "feed_time": \d+\.\d+(e[+-]?\d+)?\}$')
