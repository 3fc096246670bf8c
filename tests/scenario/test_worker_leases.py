"""A worker that promises, between queues elsewhere: leases, acknowledgements, and what a kill leaves."""

import json
import signal
import unittest

import context  # noqa: F401
from peer.client import TcpClient, UdpClient
from peer.queue import Queue
from support.ports import free_address
from support.scenario import Scenario


class WorkerLeasesTest(Scenario):
    def work(self, source, target, *flags, function="passthrough"):
        return self.launch(
            "run", *flags, "--worker", "--input-address", source, "--output-address", target, "--output-type", "queue",
            "--function", function, "--delay", "0.001", "--lease-time", "0.5", "--vuid", "w", "--console-log",
            "--guarantee", "at-least-once")

    def queue_apart(self, *flags):
        address = free_address()
        stream_address = "tcp://" + address
        self.launch("run", "--store", self.temporary_directory() + "/store",
                    "--mq", "--address", address, "--address", stream_address, "--durability", "sync", *flags,
                    listening=[address, stream_address])
        return address

    def stats(self, address):
        with UdpClient(address) as client:
            stats = json.loads(client.ask("STATS"))
        self.assertTrue(stats["balanced"], stats)
        return stats

    def fill(self, address, messages):
        with TcpClient(address) as client:
            for message in messages:
                client.put(message)

    def take_now(self, address):
        messages = []
        with TcpClient(address) as client:
            while message := client.get():
                messages.append(message)
        return messages

    def test_each_message_is_acknowledged_when_its_output_was_taken(self):
        source = self.start(Queue())
        target = self.start(Queue())
        for i in range(300):
            source.put(str(i))
        worker = self.work(source.address, target.address)
        self.assertTrue(target.wait_for(lambda: len(target.received) == 300), worker.describe())
        self.assert_soon(lambda: source.commands["ACK"] >= 300, worker.describe())
        self.assertEqual(source.commands["GET"], 0)
        self.assert_clean_stop(worker)
        self.assertEqual(source.size, 0)

    def test_nothing_is_acknowledged_while_its_output_is_nowhere(self):
        entry = self.queue_apart()
        target = free_address()
        exit_ = self.launch("mq", "--address", "tcp://" + target, listening=["tcp://" + target])
        worker = self.work("tcp://" + entry, "tcp://" + target)
        self.fill(entry, [b"first"])
        self.assert_soon(lambda: self.stats(entry)["acknowledged"] == 1, worker.describe())
        exit_.send_signal(signal.SIGKILL)
        exit_.wait()
        worker.wait_for_line("trying again")
        self.fill(entry, [b"a", b"b", b"c"])
        self.assert_soon(lambda: self.stats(entry)["in_flight"] == 3, worker.describe())
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.assert_soon(lambda: self.stats(entry)["queued"] == 3, worker.describe())
        self.assertEqual(self.stats(entry)["acknowledged"], 1)

    def test_what_a_killed_worker_had_is_given_to_the_next(self):
        entry, exit_ = self.queue_apart(), self.queue_apart()
        messages = [b"message %d" % i for i in range(5000)]
        self.fill(entry, messages)
        for _ in range(5):
            worker = self.work("tcp://" + entry, "tcp://" + exit_)
            before = self.stats(entry)["leased"]
            self.assert_soon(lambda before=before: self.stats(entry)["leased"] > before, worker.describe())
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        worker = self.work("tcp://" + entry, "tcp://" + exit_)
        self.assert_soon(lambda: self.stats(entry)["out"] == len(messages), worker.describe())
        self.assert_clean_stop(worker)
        self.assertEqual(set(self.take_now(exit_)), set(messages))

    def test_a_refused_message_is_given_back_and_given_up(self):
        letters = self.queue_apart()
        entry = self.queue_apart("--max-deliveries", "3", "--dead-letter", "tcp://" + letters)
        exit_ = self.queue_apart()
        self.fill(entry, [b"ping", b"no ball", b"pong"])
        worker = self.work("tcp://" + entry, "tcp://" + exit_, function="pong")
        self.assert_soon(lambda: self.stats(letters)["queued"] == 1, worker.describe())
        head, _, message = self.take(self.client(letters), 1)[0].partition(b"\n")
        self.assertEqual(message, b"no ball")
        self.assertEqual(json.loads(head)["deliveries"], 3)
        self.assertIn("Unknown input", json.loads(head)["reason"])
        self.assert_clean_stop(worker)
        self.assertEqual(self.take(self.client(exit_), 2), [b"pong", b"ping"])
        self.assertIn("given_back 3", worker.final_line("worker").text)

    def test_a_prototype_is_asked_with_get_and_the_log_says_what_that_means(self):
        source = self.start(Queue(faithful=True))
        target = self.start(Queue(faithful=True))
        source.put("a")
        source.put("b")
        worker = self.work(source.address, target.address)
        self.assertTrue(target.wait_for(lambda: target.received == [b"a", b"b"], 20), worker.describe())
        worker.wait_for_line("knows no leases")
        self.assert_clean_stop(worker)
        self.assertIn("without_leases 1", worker.final_line("worker").text)


if __name__ == "__main__":
    unittest.main()
