"""What a worker that promises more than at most once does with messages that its function refuses."""

import json
import os
import signal
import unittest

import context  # noqa: F401
from peer.client import TcpClient
from support import store_tools
from support.ports import free_address
from support.scenario import Scenario


class RefusalsTest(Scenario):
    def start(self, durability, guarantee, *flags):
        """Two queues with a worker between them, and one for dead letters."""
        self.store = os.path.join(self.temporary_directory(), "store")
        self.durability, self.guarantee, self.flags = durability, guarantee, flags
        self.restart()

    def restart(self):
        self.addresses = {name: "tcp://" + free_address() for name in ("orders", "done", "dead")}
        queues = {name: ["--mq", "--address", name, "--address", address, "--durability", self.durability]
                  for name, address in self.addresses.items()}
        store = ["--store", self.store] if self.durability != "memory" else []
        self.program = self.launch(
            "run", *store, "--console-log", *queues["orders"], "--dead-letter", "dead", "--max-deliveries", "3",
            "--worker", "--function", "double", "--guarantee", self.guarantee, "--input-address", "orders",
            "--output-address", "done", *self.flags, *queues["done"], *queues["dead"],
            listening=self.addresses.values())

    def stream(self, name):
        client = TcpClient(self.addresses[name])
        self.addCleanup(client.close)
        return client

    def size_is(self, name, count):
        client = self.stream(name)
        self.assert_soon(lambda: client.size() == count, self.program.describe())

    def put_some(self):
        client = self.stream("orders")
        for message in ("1", "one", "2", "2.0", "3"):
            client.put(message)
        self.size_is("done", 3)
        self.size_is("dead", 2)

    def assert_letters(self, source):
        client = self.stream("dead")
        for expected in (b"one", b"2.0"):
            head, message = self.take(client, 1)[0].split(b"\n", 1)
            head = json.loads(head)
            self.assertEqual(message, expected)
            self.assertEqual((head["reason"], head["source"], head["deliveries"], head["bytes"]),
                             ("not an integer: '%s'" % expected.decode(), source, 3, 3))
            self.assertLessEqual(head["first_time"], head["last_time"])

    def test_dead_letters_of_a_queue_in_memory(self):
        self.start("memory", "at-least-once")
        self.put_some()
        self.assert_letters("orders")
        self.assertEqual(self.take(self.stream("done"), 3), [b"2", b"4", b"6"])
        self.assert_clean_stop(self.program)
        line = self.program.final_line("worker")
        self.assertEqual((line.received, line.sent, line.dropped, line.counter("dead_letters"), line.counter("retried")),
                         (5, 3, 0, 2, 4), line.text)

    def test_dead_letters_are_there_after_a_kill_and_can_be_put_back(self):
        for guarantee in ("at-least-once", "exactly-once"):
            with self.subTest(guarantee):
                self.start("sync", guarantee)
                self.put_some()
                self.stream("done").put("kept")  # it is answered when all before it is kept, too
                self.program.send_signal(signal.SIGKILL)
                self.program.wait()
                rows = store_tools.run("dead-letters", "ls", self.store).stdout.decode().splitlines()
                self.assertEqual([row.split()[1:4] for row in rows[1:]], [["dead", "orders", "3"]] * 2)
                result = store_tools.run("dead-letters", "replay", self.store, "--all")
                self.assertEqual((result.status, result.stdout), (0, b"2 dead letters put back\n"), result.stderr)
                self.restart()  # they are refused again
                self.size_is("dead", 2)
                self.assert_letters("orders")
                self.assertEqual(self.take(self.stream("done"), 4), [b"2", b"4", b"6", b"kept"])
                self.assert_clean_stop(self.program)

    def test_the_worker_s_own_comes_first(self):
        self.start("memory", "at-least-once", "--dead-letter", "done")
        client = self.stream("orders")
        client.put("one")
        self.assertEqual(self.take(self.stream("done"), 1), [b"one"])
        self.assertEqual(self.stream("dead").size(), 0)

    def test_at_most_once_is_not_tried_again(self):
        self.start("memory", "at-most-once")
        client = self.stream("orders")
        client.put("one")
        client.put("1")
        self.assertEqual(self.take(self.stream("done"), 1), [b"2"])
        self.assert_clean_stop(self.program)
        line = self.program.final_line("worker")
        self.assertEqual((line.dropped, line.counter("dead_letters"), line.counter("retried")), (1, 0, 0), line.text)


if __name__ == "__main__":
    unittest.main()
