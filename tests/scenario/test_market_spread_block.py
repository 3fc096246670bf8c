"""The market-spread commands of the README, as five processes and as one."""

import re
import time
import unittest

import context  # noqa: F401
from peer.hub import Hub
from support import market, metrics_form
from support.conditions import pass_time
from support.ports import free_addresses
from support.scenario import Scenario

KEYS = ("MARKET_SPREAD", "NODE_1", "NODE_2")
IDLE_S = 2.2


class MarketSpreadBlockTest(Scenario):
    def setUp(self):
        self.hub = self.start(Hub())
        self.sink, self.metrics, self.queue = free_addresses(3)
        directory = self.temporary_directory()
        quotes = [market.quote("S%d" % n, "10.0", "10.01") for n in range(50)]
        orders = [market.order("o%d" % n, "S%d" % (n % 50)) for n in range(50)]
        self.nbbo = self.write_lines("nbbo.msg", quotes, directory)
        self.trades = self.write_lines("trades.msg", orders, directory)

    def write_lines(self, name, texts, directory):
        lines = "".join(map(market.file_line, texts)).encode()
        return self.write_file(name, lines, directory)

    def commands(self):
        """The five commands of the README, flag for flag."""
        stats = ["--metrics-address", self.metrics, "--stats-period", "1"]
        return [
            ["metrics-receiver", "--address", self.metrics, "--uri", self.hub.uri],
            ["sink", "--address", self.sink, *stats, "--vuid", "MARKET_SPREAD"],
            ["mq", "--address", self.queue, *stats, "--vuid", "NODE_1"],
            ["worker", "--input-address", self.queue, "--output-address", self.sink,
             "--output-type", "socket", *stats, "--function", "marketspread",
             "--vuid", "NODE_2"],
            ["feeder", "--address", self.queue, "--path", self.nbbo, "--path",
             self.trades, "--delay", "0.001"]]

    def observe(self):
        """Waits until all flowed, and then for some seconds without traffic."""
        # Each order follows its quote, so all are accepted.
        self.assertTrue(self.hub.wait_for(
            lambda: self.hub.total("MARKET_SPREAD") >= 50, 15))
        pass_time(IDLE_S)
        return time.time()

    def check_hub(self, begin, end):
        expected = {"MARKET_SPREAD": 50, "NODE_1": 100, "NODE_2": 50}
        for key in KEYS:
            posts = self.hub.of(key)
            counts = metrics_form.check_every_second(
                self, posts, first=int(begin) + 1, last=int(end) - 1)
            self.assertEqual(sum(counts.values()), expected[key], key)
            self.assertGreaterEqual(len(posts), int(end - begin) - 1, key)
            self.assertIn(0, counts.values(), "nothing is said while idle")
            bins = sum(sum(post.message["topics"]["latency_bins"].values())
                       for post in posts)
            self.assertEqual(bins, expected[key] if key != "NODE_2" else 100, key)
            for idle in posts[-2:-1]:
                self.assertEqual(idle.message["topics"]["latency_bins"], {}, key)

    def test_five_processes(self):
        receiver, sink, queue, worker, feeder = self.commands()
        nodes = [self.launch(*receiver, listening=[self.metrics]),
                 self.launch(*sink, listening=[self.sink]),
                 self.launch(*queue, listening=[self.queue]),
                 self.launch(*worker)]
        begin = time.time()
        feeding = self.launch(*feeder)
        self.assertEqual(feeding.wait(), 0, feeding.describe())
        end = self.observe()
        self.check_receiver_table(nodes[0])
        for node in reversed(nodes):
            self.assert_clean_stop(node)
        self.check_hub(begin, end)

    def check_receiver_table(self, receiver):
        """The receiver prints a readable table of each report."""
        for key in KEYS:
            receiver.wait_for_line(re.escape(key))

    def test_one_launch(self):
        arguments = ["run"]
        for command in self.commands():
            arguments += ["--" + command[0]] + command[1:]
        program = self.launch(*arguments,
                              listening=[self.metrics, self.sink, self.queue])
        begin = time.time()
        end = self.observe()
        self.assert_clean_stop(program)
        self.check_hub(begin, end)

    def test_one_launch_straight_to_the_hub(self):
        arguments = ["run", "--metrics-uri", self.hub.uri, "--stats-period", "1"]
        for command in self.commands()[1:]:
            flags = command[1:]
            if "--metrics-address" in flags:
                position = flags.index("--metrics-address")
                del flags[position:position + 4]
            arguments += ["--" + command[0]] + flags
        program = self.launch(*arguments, listening=[self.sink, self.queue])
        begin = time.time()
        end = self.observe()
        self.assert_clean_stop(program)
        self.check_hub(begin, end)


if __name__ == "__main__":
    unittest.main()
