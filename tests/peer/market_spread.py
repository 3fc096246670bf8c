"""Market spread: orders are checked against the latest quotes."""

import json

SOH = "\x01"


class FunctionError(Exception):
    """A message that the function cannot take."""


def fix_fields(message):
    """tag -> value of a FIX text; of a tag that comes twice the last counts."""
    fields = {}
    for field in message.split(SOH):
        tag, equals, value = field.partition("=")
        if equals:
            fields[tag] = value
    return fields


def order_id(message):
    """Tags 11 and 37 both name the order; the later one wins."""
    found = None
    for field in message.split(SOH):
        tag, equals, value = field.partition("=")
        if equals and tag in ("11", "37"):
            found = value
    return found


def number(fields, tag):
    try:
        return float(fields[tag])
    except KeyError:
        raise FunctionError("tag %s is missing" % tag) from None
    except ValueError:
        raise FunctionError("tag %s is no number: %r" % (tag, fields[tag])) from None


def optional_number(fields, tag):
    return number(fields, tag) if tag in fields else None


class MarketSpread:
    """The function and its state: stopped symbols and accepted order ids."""

    def __init__(self):
        self.stopped = {}
        self.accepted = set()

    def __call__(self, message):
        fields = fix_fields(message)
        kind = fields.get("35")
        if kind == "S":
            self._quote(fields)
        elif kind == "D":
            return [(0, self._order(fields, order_id(message)))]
        return []

    def _quote(self, fields):
        bid, offer = number(fields, "132"), number(fields, "133")
        if "55" not in fields:
            raise FunctionError("a quote without a symbol")
        middle = (bid + offer) / 2
        if middle == 0:
            raise FunctionError("a quote with a middle of 0")
        spread = offer - bid
        self.stopped[fields["55"]] = spread / middle >= 0.05 and spread >= 0.05

    def _order(self, fields, identity):
        if identity is None or "55" not in fields:
            raise FunctionError("an order without an id or a symbol")
        symbol = fields["55"]
        quantity = optional_number(fields, "38")
        feed_time = optional_number(fields, "999")
        reason = self._reason(identity, symbol)
        if reason is None:
            self.accepted.add(identity)
            status, verdict = "Accepted", "Accepted"
        else:
            status, verdict = "Rejected", "Rejected: " + reason
        text = "New Order: (%s, %s, %s, %s): %s" % (
            fields.get("1"), symbol, status, quantity, verdict)
        return json.dumps({"msg": text, "feed_time": feed_time})

    def _reason(self, identity, symbol):
        if identity in self.accepted:
            return "Order already exists"
        if symbol not in self.stopped:
            return "Unknown symbol: " + symbol
        if self.stopped[symbol]:
            return symbol + " - Stop New Orders"
        return None
