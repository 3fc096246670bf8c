"""The workers' functions: message (str) -> list of (choice, message)."""

import hashlib
import re
import sys

from peer.market_spread import MarketSpread, FunctionError, fix_fields

INTEGER = re.compile(r"[ \t\r\n\v\f]*[+-]?[0-9]+[ \t\r\n\v\f]*\Z")


def pong(message):
    answers = {"ping": "pong", "pong": "ping"}
    if message not in answers:
        raise FunctionError("Unknown input: %r" % message)
    return [(0, answers[message])]


def passthrough(message):
    return [(0, message)]


def double(message):
    if not INTEGER.match(message):
        raise FunctionError("not an integer: %r" % message)
    sys.set_int_max_str_digits(0)
    return [(0, str(2 * int(message)))]


def inputdoubler(message):
    return [(0, message), (1, message)]


def route(symbol):
    digest = hashlib.md5(symbol.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest, "big") % (2 ** 61 - 1)


def fixrouter(message):
    return [(route(fix_fields(message).get("55", "")), message)]


def make(name):
    """(name in metrics, callable) of a function; a fresh state each time."""
    functions = {
        "pong": ("Pong", pong),
        "passthrough": ("Passthrough", passthrough),
        "double": ("Double", double),
        "inputdoubler": ("InputDoubler", inputdoubler),
        "fixrouter": ("Fixrouter", fixrouter),
        "marketspread": ("Marketspread", MarketSpread()),
    }
    return functions[name.lower()]
