"""A queue that keeps its messages: kill -9 and start again."""

import json
import os
import resource
import signal
import tempfile
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient
from support import store_tools
from support.conditions import wait_until
from support.launch import FED_LINE, run_to_end
from support.ports import free_address
from support.scenario import Scenario
from support.store_tools import export, record


class QueueDurableTest(Scenario):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="millrace-store-")
        self.addCleanup(self.directory.cleanup)
        self.store = os.path.join(self.directory.name, "store")
        self.program = None

    def start(self, *flags):
        address = free_address()
        self.stream_address = "tcp://" + address
        self.program = self.launch(
            "mq", "--store", self.store, "--vuid", "Q", "--console-log", "--address", self.stream_address, *flags,
            listening=[self.stream_address])
        return self.stream()

    def stream(self):
        client = TcpClient(self.stream_address)
        self.addCleanup(client.close)
        return client

    def kill(self):
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()

    def stats(self, client):
        stats = json.loads(client.ask("STATS"))
        self.assertTrue(stats["balanced"], stats)
        return stats

    def test_what_was_acknowledged_is_there_after_a_kill(self):
        flags = ("--durability", "sync", "--max-deliveries", "3")
        client = self.start(*flags)
        count = 2000
        client.send(*("PUT:%d" % i for i in range(count)))
        self.assertEqual([client.receive() for _ in range(count)], [b"PUT %d bytes" % len(str(i)) for i in range(count)])
        self.assertEqual(client.ask("PUTID:name:with an id"), b"PUT 10 bytes")
        self.assertEqual(client.get(), b"0")
        leased = [client.ask("LEASE:1000") for _ in range(3)]
        token = leased[1].split(b":")[0]
        self.assertEqual(client.ask(b"ACK:" + token), b"OK")
        self.kill()

        client = self.start(*flags)
        self.assertTrue(self.program.wait_for_line("recovered %d messages" % (count - 1)))
        self.assertEqual(self.stats(client)["recovered"], count - 1)
        self.assertEqual(client.ask("SEEN:1:none,name"), b"1:01", "the id is known")
        self.assertEqual(client.ask("PUTID:name:again"), b"PUT 10 bytes")
        self.assertEqual(client.ask("LEASE").split(b":")[1:], [b"2", b"1"], "its place and count are kept")
        self.assertEqual(client.get(), b"3")
        self.kill()

        client = self.start(*flags)
        self.assertEqual(client.ask("LEASE:1000").split(b":")[1:], [b"3", b"1"])
        rest = []
        while True:
            message = client.get()
            if message == b"":
                break
            rest.append(message)
        self.assertEqual(rest, [b"%d" % i for i in range(4, count)] + [b"with an id"])
        self.kill()

        client = self.start(*flags)  # message 1 was delivered three times
        self.assertEqual(client.size(), 0)
        self.assertEqual(self.stats(client)["undeliverable"], 1)

    def test_a_killed_consumer_s_message_is_not_lost_before_the_answer(self):
        client = self.start("--durability", "sync")
        client.put("a")
        client.send("GET")
        self.assertEqual(client.receive(), b"a")
        self.kill()
        self.assertEqual(self.start("--durability", "sync").size(), 0, "what was handed out is settled")

    def test_a_dead_letter_that_its_queue_has_not_taken_is_there_after_a_kill(self):
        dead_address = free_address()
        flags = ("--durability", "sync", "--max-deliveries", "1", "--dead-letter", "tcp://" + dead_address)
        client = self.start(*flags)
        client.put("a")
        token = client.ask("LEASE").split(b":")[0]
        self.assertEqual(client.ask(b"NACK:" + token + b":bad"), b"OK")
        self.assert_soon(lambda: self.stats(client)["dead_lettered"] == 1)
        client.put("b")  # what was before it is on the disk
        self.kill()
        self.launch("mq", "--address", "tcp://" + dead_address, listening=["tcp://" + dead_address])
        client = self.start(*flags)
        dead = TcpClient("tcp://" + dead_address)
        self.addCleanup(dead.close)
        self.assert_soon(lambda: dead.size() == 1, self.program.describe())
        self.assertTrue(dead.get().endswith(b"}\na"))
        self.assertEqual(client.size(), 1, "it is not here as well")

    def test_answers_come_in_the_order_of_the_commands(self):
        client = self.start("--durability", "sync")
        for _ in range(20):
            client.send("PUT:a", "SIZE", "HELLO", "PUT:bb", "EXTEND:x:1")
            self.assertEqual(
                [client.receive() for _ in range(5)][::2], [b"PUT 1 bytes", b"ERR unknown command", b"ERR unknown lease"])

    def test_an_id_that_is_seen_is_on_the_disk(self):
        client = self.start("--durability", "sync")
        for i in range(20):
            client.send("PUTID:%d:x" % i)
            with self.stream() as other:
                answer = other.ask("SEEN:1:%d" % i)  # whichever comes first, and whichever commit
            if answer == b"1:1":
                self.kill()
                client = self.start("--durability", "sync")
                self.assertEqual(client.ask("SEEN:2:%d" % i), b"2:1")

    def test_a_full_queue_drops_what_is_not_on_the_disk_yet(self):
        flags = ("--durability", "sync", "--capacity", "3", "--overflow", "drop-oldest")
        client = self.start(*flags)
        count = 1000
        client.send_raw(b"".join(lhhttt.encode(b"PUT:%d" % i) for i in range(count)))
        self.assertEqual([client.receive() for _ in range(count)], [b"PUT %d bytes" % len(str(i)) for i in range(count)])
        stats = self.stats(client)
        self.assertEqual((stats["dropped_oldest"], stats["rejected_full"], stats["queued"]), (count - 3, 0, 3))
        self.kill()
        client = self.start(*flags)
        self.assertEqual([client.get() for _ in range(4)], [b"%d" % i for i in range(count - 3, count)] + [b""])

    def test_async_is_written_soon(self):
        client = self.start("--durability", "async")
        client.send(*("PUT:%d" % i for i in range(100)))
        for _ in range(100):
            client.receive()
        self.assertEqual(self.program.stop(), 0)
        client = self.start("--durability", "async")
        self.assertEqual([client.get() for _ in range(100)], [b"%d" % i for i in range(100)])

    def test_the_numbers_go_on_behind_a_gap_at_the_end(self):
        """The last numbers are settled and those before are not: as two workers leave it, or who drops a letter."""
        records = [record("queue", b"Q", settled_below=1, next_sequence=6),
                   record("message", b"one", sequence=1, time_us=1, deliveries=0),
                   record("message", b"two", sequence=2, time_us=1, deliveries=0)]
        self.assertEqual(store_tools.run("store", "import", self.store, stdin=export(*records)).status, 0)
        client = self.start("--durability", "sync")
        client.put("three")
        self.assertEqual(client.get(), b"one")
        self.kill()
        client = self.start("--durability", "sync")
        self.assertEqual(self.take(client, 2), [b"two", b"three"])
        self.stats(client)
        self.kill()
        self.assertEqual(self.start("--durability", "sync").size(), 0)

    def test_a_queue_longer_than_its_window(self):
        flags = ("--durability", "async", "--overflow", "spill", "--capacity-bytes", "100000")
        client = self.start(*flags)
        count = 5000
        texts = [b"%05d" % i + 200 * b"x" for i in range(count)]
        for text in texts:
            client.send(b"PUT:" + text)
        for _ in range(count):
            self.assertEqual(client.receive(), b"PUT 205 bytes")
        stats = self.stats(client)
        self.assertGreater(stats["in_store_only"], count // 2)
        self.assertLess(stats["memory_bytes"], 110000)
        self.assertEqual(self.program.stop(), 0)
        client = self.start(*flags)
        self.assertEqual(self.take(client, count), texts)

    def take(self, client, count):
        """What comes out, in its order: GET finds nothing for a moment while the rest is read back."""
        taken = []

        def take_one():
            message = client.get()
            if message:
                taken.append(message)
            return message

        while len(taken) < count:
            self.assertTrue(wait_until(take_one, 10.0))
        return taken

    def test_a_memory_queue_spills_and_forgets(self):
        flags = ("--overflow", "spill", "--capacity-bytes", "100000")
        client = self.start(*flags)
        texts = [b"%05d" % i + 200 * b"x" for i in range(3000)]
        for text in texts:
            client.put(text)
        self.assertGreater(self.stats(client)["in_store_only"], 1000)
        self.assertEqual(self.take(client, 1500), texts[:1500])
        for text in texts[:1500]:
            client.put(text)
        self.assertEqual(self.take(client, 3000), texts[1500:] + texts[:1500])
        for text in texts:
            client.put(text)
        self.kill()
        self.assertEqual(self.start(*flags).size(), 0)

    def test_two_launches_on_one_store(self):
        self.start("--durability", "sync")
        result = run_to_end("mq", "--store", self.store, "--address", free_address(), "--durability", "sync")
        self.assertNotEqual(result.status, 0)
        self.assertIn("store", " ".join(result.stderr))

    def test_a_name_in_the_store_is_one_queue_s(self):
        queue = ("--durability", "sync", "--address")
        result = run_to_end("run", "--store", self.store, "--vuid", "Q", "--mq", *queue, free_address(),
                            "--mq", *queue, free_address())
        self.assertEqual(result.status, 2, result.stderr)
        self.assertRegex(" ".join(result.stderr), "'Q'.*--vuid")

    def test_what_stays_behind_is_told(self):
        client = self.start("--durability", "sync")
        for _ in range(3):
            client.put("a")
        self.kill()
        self.start("--durability", "sync", "--vuid", "OTHER")
        self.program.wait_for_line("3 messages of the queue 'Q'")
        self.kill()
        self.start("--overflow", "spill")
        self.program.wait_for_line("3 messages .* are dropped: --durability is memory")

    def test_a_stop_does_not_wait_for_the_interval(self):
        """Nor does it flush for ever while a worker cannot give its messages away."""
        path = self.write_file("messages", b"".join(b"%d\n" % i for i in range(2000)))
        nodes = ("--feeder", "--address", "in", "--path", path, "--console-log", "--mq", "--address", "in",
                 "--durability", "sync", "--worker", "--function", "passthrough", "--input-address", "in",
                 "--output-address", "out", "--mq", "--address", "out", "--durability", "sync", "--capacity")
        for capacity, guarantee, status in ("2000", "exactly-once", 0), ("1", "at-most-once", 1):
            program = self.launch("run", "--store", self.store, "--sync-interval", "60", "--drain-timeout", "1",
                                  "--guarantee", guarantee, *nodes, capacity)
            program.wait_for_line(FED_LINE)
            self.assertEqual(program.stop(), status, program.describe())
            flushes = int(program.wait_for_line(r"^store .*syncs (\d+)")[1])
            self.assertLess(flushes, 100)

    def test_a_full_disk_is_back_pressure(self):
        """No answer says that something is kept which is not; when there is room again, all goes on."""
        client = self.start("--durability", "sync")
        limit = resource.RLIM_INFINITY
        resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE, (1 << 20, limit))
        text = 100000 * b"x"
        count = 0
        other = self.stream()
        while self.stats(other)["rejected_disk"] == 0:
            self.assertLess(count, 2000, "the disk is full and nobody says so")
            client.send(b"PUT:" + text)
            count += 1
        resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE, (limit, limit))
        answers = [client.receive() for _ in range(count)]
        self.assertEqual(set(answers), {b"PUT 100000 bytes", b"ERR queue full: disk"})
        self.assert_soon(lambda: client.ask(b"PUT:last") == b"PUT 4 bytes")
        self.kill()
        client = self.start("--durability", "sync")
        self.assertEqual(client.size(), answers.count(b"PUT 100000 bytes") + 1)


if __name__ == "__main__":
    unittest.main()
