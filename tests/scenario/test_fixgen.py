"""The generator of market data: repeatable, and what the pipeline expects."""

import collections
import json
import os
import re
import unittest

import context  # noqa: F401
from peer import feeder, functions
from peer.market_spread import fix_fields
from support import launch
from support.scenario import Scenario

LINE = re.compile(rb'"8=FIX\.4\.2\x01.*\x0110=\d{3}\x01?"\n')
SYMBOL_COUNT, ORDER_COUNT, QUOTE_COUNT = 50, 2000, 1500


class FixgenTest(Scenario):
    def generate(self, seed, symbols=SYMBOL_COUNT, orders=ORDER_COUNT,
                 quotes=QUOTE_COUNT):
        directory = self.temporary_directory()
        result = launch.run_to_end(
            "fixgen", "--symbols", symbols, "--orders", orders, "--quotes", quotes,
            "--seed", seed, "--out", directory)
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(sorted(os.listdir(directory)), ["nbbo.msg", "trades.msg"])
        return directory

    def read(self, directory, name):
        with open(os.path.join(directory, name), "rb") as file:
            return file.read()

    def test_same_seed_same_bytes(self):
        one, two, other = self.generate(1), self.generate(1), self.generate(2)
        for name in ("nbbo.msg", "trades.msg"):
            self.assertEqual(self.read(one, name), self.read(two, name))
            self.assertNotEqual(self.read(one, name), self.read(other, name))

    def test_form_of_the_lines(self):
        directory = self.generate(3)
        for name, kind, count in (("nbbo.msg", b"S", QUOTE_COUNT),
                                  ("trades.msg", b"D", ORDER_COUNT)):
            lines = self.read(directory, name).splitlines(keepends=True)
            for line in lines:
                self.assertTrue(LINE.fullmatch(line), line)
            kinds = collections.Counter(
                re.search(rb"\x0135=(\w)\x01", line)[1] for line in lines)
            self.assertEqual(kinds[kind], count, kinds)

    def test_fields_and_prices(self):
        directory = self.generate(4)
        symbols = set()
        for line in self.read(directory, "nbbo.msg").decode().splitlines():
            fields = fix_fields(line)
            if fields["35"] != "S":
                continue
            symbols.add(fields["55"])
            self.assertGreater(float(fields["132"]), 0)
            self.assertGreaterEqual(float(fields["133"]), float(fields["132"]))
            self.assertIn("60", fields)
        self.assertLessEqual(len(symbols), SYMBOL_COUNT)
        self.assertGreater(len(symbols), SYMBOL_COUNT // 2)
        for line in self.read(directory, "trades.msg").decode().splitlines():
            fields = fix_fields(line)
            if fields["35"] == "D":
                self.assertTrue({"1", "38", "55", "60"} <= set(fields), fields)
                self.assertTrue({"11", "37"} & set(fields), fields)

    def test_every_answer_of_market_spread_occurs(self):
        directory = self.generate(5)
        _, function = functions.make("marketspread")
        paths = [os.path.join(directory, name) for name in ("nbbo.msg", "trades.msg")]
        verdicts = collections.Counter()
        for line in feeder.round_robin(paths):
            message = feeder.dress(line, 1458195070.25).decode()
            for _, result in function(message):
                text = json.loads(result)["msg"]
                verdicts[self.verdict(text)] += 1
        self.assertEqual(sum(verdicts.values()), ORDER_COUNT)
        self.assertEqual(set(verdicts), {"accepted", "exists", "unknown", "stopped"})
        self.assertGreater(verdicts["accepted"], ORDER_COUNT // 4, verdicts)

    def verdict(self, text):
        for part, name in (("): Accepted", "accepted"), ("already exists", "exists"),
                           ("Unknown symbol", "unknown"),
                           ("Stop New Orders", "stopped")):
            if part in text:
                return name
        return text

    def test_small_and_wrong_arguments(self):
        self.generate(1, symbols=1, orders=1, quotes=1)
        for arguments in (["--symbols", "0"], ["--orders", "x"], ["--quotes", "-1"],
                          ["--sead", "1"]):
            result = launch.run_to_end("fixgen", "--out", self.temporary_directory(),
                                       *arguments)
            self.assertEqual(result.status, 2, (arguments, result.stderr))
            self.assertIn(arguments[0], "\n".join(result.stderr))

    def test_directory_that_cannot_be_written(self):
        result = launch.run_to_end("fixgen", "--symbols", 1, "--orders", 1, "--quotes",
                                   1, "--seed", 1, "--out", "/proc/none")
        self.assertNotEqual(result.status, 0)
        self.assertIn("/proc/none", "\n".join(result.stderr))


if __name__ == "__main__":
    unittest.main()
