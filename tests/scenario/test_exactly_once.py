"""An exactly-once worker with much to do is killed: its rings are full then, and all the queues have."""

import json
import signal
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient, UdpClient
from support.ports import free_address
from support.scenario import Scenario

COUNT = 40000
PAD = b"x" * 500
KILLS = 6


class ExactlyOnceTest(Scenario):
    def begin(self):
        listening = [self.entry, "tcp://" + self.entry, self.exit, "tcp://" + self.exit]
        return self.launch(
            "run", "--store", self.store,
            "--mq", "--address", self.entry, "--address", "tcp://" + self.entry, "--durability", "async",
            "--mq", "--address", self.exit, "--address", "tcp://" + self.exit, "--durability", "async",
            "--worker", "--input-address", self.entry, "--output-address", self.exit, "--function", "inputdoubler",
            "--guarantee", "exactly-once", "--vuid", "w", listening=listening)

    def stats(self, address):
        with UdpClient(address) as client:
            stats = json.loads(client.ask("STATS"))
        self.assertTrue(stats["balanced"], stats)
        return stats

    def fill(self):
        """Into the entry queue alone, so that the worker finds all of it at its start."""
        program = self.launch("run", "--store", self.store, "--mq", "--address", self.entry,
                              "--address", "tcp://" + self.entry, "--durability", "async",
                              listening=[self.entry, "tcp://" + self.entry])
        with TcpClient(self.entry) as client:
            for start in range(0, COUNT, 1000):
                client.send_raw(b"".join(lhhttt.encode(b"PUT:%d " % i + PAD) for i in range(start, start + 1000)))
                for _ in range(1000):
                    client.receive()
        self.assert_clean_stop(program)

    def test_nothing_is_lost_or_doubled_on_full_rings(self):
        self.store = self.temporary_directory() + "/store"
        self.entry, self.exit = free_address(), free_address()
        self.fill()
        for _ in range(KILLS):
            program = self.begin()
            before = self.stats(self.exit)["in"]
            self.assert_soon(lambda before=before: self.stats(self.exit)["in"] > before + 2000 or
                             self.stats(self.entry)["queued"] == 0, program.describe())
            program.send_signal(signal.SIGKILL)
            program.wait()
        program = self.begin()
        self.assert_soon(lambda: self.stats(self.exit)["in"] == 2 * COUNT, program.describe())
        counts = {}
        with TcpClient(self.exit) as client:
            while message := client.get():
                counts[message] = counts.get(message, 0) + 1
        self.assertEqual(len(counts), COUNT)
        self.assertEqual(set(counts.values()), {2})
        self.assert_clean_stop(program)


if __name__ == "__main__":
    unittest.main()
