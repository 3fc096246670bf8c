"""What the producer puts, and what must come out of it."""

import json
import os
import re

from peer.functions import FunctionError
from peer.market_spread import MarketSpread
from support.launch import run_to_end

SOH = b"\x01"


class Passthrough:
    """Numbered texts, which come out as they went in."""

    function = "passthrough"

    def __init__(self, directory, seed):
        pass

    def message(self, number, length=0):
        """The text of that number, padded to `length` bytes where that is more; a pad has one byte at least."""
        text = b"message %d " % number
        return text + b"x" * (length - len(text))

    def number(self, text):
        match = re.fullmatch(rb"message (\d+) x*", text)
        return int(match[1]) if match else None

    def stripped(self, text):
        return text.rstrip(b"x")

    def results(self, count):
        """number -> text of all that comes out when 1 to `count` went in, in that order."""
        return {number: self.message(number) for number in range(1, count + 1)}


class MarketOrders:
    """Quotes and orders of fixgen, over and over: from the second time on, each order is known if the state was kept.

    Tag 999, which comes back as feed_time, is the number.
    """

    function = "marketspread"

    def __init__(self, directory, seed):
        made = run_to_end("fixgen", "--symbols", 20, "--orders", 400, "--quotes", 400, "--seed", seed,
                          "--out", os.path.join(directory, "market"))
        assert made.status == 0, made
        lines = []
        for name in ("nbbo.msg", "trades.msg"):
            with open(os.path.join(directory, "market", name), "rb") as file:
                lines.append([line.strip().strip(b'"').strip(SOH) for line in file if line.strip()])
        self.texts = [text for pair in zip(*lines) for text in pair]

    def message(self, number, length=0):
        text = b'"%s%s999=%d.0%s"' % (self.texts[(number - 1) % len(self.texts)], SOH, number, SOH)
        missing = length - len(text)
        return text if missing <= 0 else text[:-1] + b"x" * missing + b'"'

    def number(self, text):
        match = re.search(rb'"feed_time": (\d+)\.0\}', text)
        return int(match[1]) if match else None

    def stripped(self, text):
        return text

    def results(self, count):
        market = MarketSpread()
        results = {}
        for number in range(1, count + 1):
            try:
                for _, text in market(self.message(number).decode("latin-1")):
                    assert json.loads(text)["feed_time"] == number
                    results[number] = text.encode()
            except FunctionError:
                pass
        return results
