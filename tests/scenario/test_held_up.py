"""A stop with work that cannot be done, for a full queue that nobody reads: it ends at once where all of it stays."""

import json
import re
import unittest

import context  # noqa: F401
from peer.client import TcpClient
from support.ports import free_address
from support.scenario import Scenario

COUNT = 1000
# A stop that waits for it is killed by the test before it is over.
NEVER_S = "600"


class HeldUpTest(Scenario):
    def setUp(self):
        self.store = self.temporary_directory() + "/store"
        self.entry, self.exit = "tcp://" + free_address(), "tcp://" + free_address()

    def begin(self, *nodes, timeout=NEVER_S):
        return self.launch("run", "--store", self.store, "--drain-timeout", timeout, "--durability", "sync",
                           "--guarantee", "exactly-once", "--function", "passthrough", *nodes)

    def mq(self, address, *flags):
        return ("--mq", "--address", address, "--vuid", address, *flags)

    def worker(self, source, target):
        return ("--worker", "--input-address", source, "--output-address", target, "--output-type", "queue",
                "--vuid", source)

    def queue_apart(self, address, *flags):
        return self.launch("mq", "--address", address, *flags, listening=[address])

    def fill(self, messages):
        with TcpClient(self.entry) as client:
            for message in messages:
                client.send(b"PUT:" + message)
            for _ in messages:
                client.receive()

    def stats(self, address):
        with TcpClient(address) as client:
            return json.loads(client.ask("STATS"))

    def take_all(self, address, count):
        with TcpClient(address) as client:
            return self.take(client, count)

    def kept(self, program):
        """What the queues' last lines say that they keep."""
        return sum(int(found[1]) for line in program.final_lines("mq")
                   if (found := re.search(r"; (\d+) stay in the store", line.text)))

    def test_queues_keep_what_a_full_queue_does_not_take(self):
        chain = (*self.mq(self.entry), *self.worker(self.entry, "middle"), *self.mq("middle", "--capacity", "50"),
                 *self.worker("middle", self.exit))
        messages = [b"%d" % i for i in range(COUNT)]
        program = self.begin(*chain, *self.mq(self.exit, "--capacity", "3")).wait_until_listening(self.entry, self.exit)
        self.fill(messages)
        self.assert_soon(lambda: self.stats(self.exit)["queued"] >= 3, program.describe())
        self.assert_clean_stop(program)
        self.assertEqual(self.kept(program), COUNT, program.describe())
        program = self.begin(*chain, *self.mq(self.exit)).wait_until_listening(self.exit)
        self.assertEqual(self.take_all(self.exit, COUNT), messages)
        self.assert_clean_stop(program)
        self.assertEqual(self.kept(program), 0, program.describe())

    def test_a_worker_beside_goes_on(self):
        """What can still be done is done: the queue keeps only what the one that was held up has before it."""
        program = self.begin(*self.mq(self.entry), *self.worker(self.entry, "full"),
                             *self.mq("full", "--capacity", "3"),
                             "--worker", "--input-address", self.entry, "--output-address", self.exit, "--vuid", "free",
                             *self.mq(self.exit)).wait_until_listening(self.entry)
        self.fill([b"%d" % i for i in range(COUNT)])
        self.assert_clean_stop(program)
        left = [line for line in program.final_lines("mq") if line.name == "mq " + self.entry][0]
        self.assertEqual(left.queued, 0, program.describe())
        self.assertEqual(self.kept(program), COUNT, program.describe())

    def test_a_full_queue_elsewhere(self):
        """The outbox holds what it may, the queue the rest."""
        target = self.queue_apart(self.exit, "--capacity", "1")
        program = self.begin(*self.mq(self.entry), *self.worker(self.entry, self.exit)).wait_until_listening(self.entry)
        messages = [b"%d " % i + 100000 * b"x" for i in range(700)]
        self.fill(messages)
        self.assert_soon(lambda: self.stats(self.exit)["queued"] == 1, program.describe())
        self.assert_clean_stop(program)
        outbox = re.search(r"; (\d+) stay in the store", program.final_line("worker").text)
        self.assertGreater(self.kept(program), 0, program.describe())
        self.assertEqual(self.kept(program) + int(outbox[1]), len(messages) - 1, program.describe())
        first = self.take_all(self.exit, 1)
        target.stop()
        self.queue_apart(self.exit)
        program = self.begin(*self.mq(self.entry), *self.worker(self.entry, self.exit))
        self.assertEqual(first + self.take_all(self.exit, len(messages) - 1), messages)
        self.assert_clean_stop(program)

    def test_what_is_on_lease_stays_in_its_queue(self):
        self.queue_apart(self.entry)
        self.queue_apart(self.exit, "--capacity", "1")
        self.fill([b"%d" % i for i in range(COUNT)])
        worker = self.launch("run", "--drain-timeout", NEVER_S, "--guarantee", "at-least-once", "--function",
                             "passthrough", "--lease-time", "0.5", *self.worker(self.entry, self.exit))
        self.assert_soon(lambda: self.stats(self.entry)["acknowledged"] == 1, worker.describe())
        self.assert_clean_stop(worker)
        self.assertRegex(worker.final_line("worker").text, r"; \d+ on lease stay in their queues")
        self.assert_soon(lambda: self.stats(self.entry)["queued"] == COUNT - 1)

    def test_where_something_would_be_lost_the_stop_waits_and_fails(self):
        for entry, guarantee, exit_, count in (
                ("sync", "at-most-once", "sync", 20000), ("sync", "at-least-once", "memory", 20000),
                ("memory", "exactly-once", "sync", 20)):  # few, so that all are on the worker's ring
            self.store = self.temporary_directory() + "/store"
            program = self.begin(
                "--guarantee", guarantee, "--allow-weaker", *self.mq(self.entry, "--durability", entry),
                *self.worker(self.entry, self.exit), *self.mq(self.exit, "--durability", exit_, "--capacity", "3"),
                timeout="0.5").wait_until_listening(self.entry, self.exit)
            self.fill([b"a", b"b", b"c"])
            self.assert_soon(lambda: self.stats(self.exit)["queued"] == 3, program.describe())
            self.fill([b"%d" % i for i in range(count)])
            self.assertEqual(program.stop(), 1, program.describe())


if __name__ == "__main__":
    unittest.main()
