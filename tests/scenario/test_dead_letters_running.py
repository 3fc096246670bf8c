"""millrace dead-letters replay and drop beside the launch that has the store."""

import json
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient
from support import launch, store_tools
from support.ports import free_address
from support.scenario import Scenario
from support.store_tools import export, letter, parse, record


def message(sequence, body):
    return record("message", body, sequence=sequence, time_us=1, deliveries=0)


def queue(name, *bodies, first=1):
    """A stored queue and its messages."""
    return [record("queue", name, settled_below=first, next_sequence=first + len(bodies)),
            *(message(first + i, body) for i, body in enumerate(bodies))]


class Beside(Scenario):
    def setUp(self):
        self.directory = os.path.join(self.temporary_directory(), "store")
        self.program = None

    def fill(self, *records):
        result = store_tools.run("store", "import", self.directory, stdin=export(*records))
        self.assertEqual(result.status, 0, result.stderr)

    def begin(self, orders=(), dead=(), more=()):
        """A launch with the two queues; a client of each."""
        addresses = ["tcp://" + free_address() for _ in range(2)]
        self.program = self.launch(
            "run", "--store", self.directory, "--durability", "sync",
            "--mq", "--address", "orders", "--address", addresses[0], "--max-deliveries", "1", "--dead-letter", "dead",
            *orders, "--mq", "--address", "dead", "--address", addresses[1], *dead, *more, listening=addresses)
        return [self.stream(address) for address in addresses]

    def stream(self, address):
        client = TcpClient(address)
        self.addCleanup(client.close)
        return client

    def letters(self, *arguments):
        return store_tools.run("dead-letters", *arguments)

    def move(self, word, *arguments, status=0):
        """How many were moved, and what was said of the others."""
        result = self.letters(word, self.directory, *arguments)
        self.assertEqual(result.status, status, result.stderr)
        count, _, rest = result.stdout.decode().partition(" ")
        self.assertEqual(rest, "dead letters %s\n" % {"replay": "put back", "drop": "dropped"}[word])
        return int(count), result.stderr

    def stats(self, client):
        stats = json.loads(client.ask("STATS"))
        self.assertTrue(stats["balanced"], stats)
        return stats

    def numbers(self):
        rows = self.letters("ls", self.directory).stdout.decode().splitlines()[1:]
        return [int(row.split()[0]) for row in rows]

    def stored(self):
        result = store_tools.run("store", "export", self.directory)
        self.assertEqual(result.status, 0, result.stderr)
        queues = {}
        for head, body in parse(result.stdout):
            if head["kind"] == "queue":
                messages = queues.setdefault(body.decode(), [])
            elif head["kind"] == "message":
                messages.append(body)
        return queues

    def assert_whole(self):
        result = store_tools.run("store", "check", self.directory)
        self.assertEqual(result.status, 0, result.stdout)


class MovingTest(Beside):
    def test_all_that_was_given_up_is_delivered_again(self):
        orders, dead = self.begin()
        for i in range(5):
            orders.put("m%d" % i)
            token = orders.ask("LEASE").split(b":")[0]
            self.assertEqual(orders.ask(b"NACK:" + token + b":bad"), b"OK")
        self.assert_soon(lambda: self.numbers() == [1, 2, 3, 4, 5])
        before = self.stats(orders), self.stats(dead)
        self.assertEqual((before[0]["in"], before[0]["dead_lettered"], before[1]["queued"]), (5, 5, 5))
        self.assertEqual(self.move("replay", "--all"), (5, ""))
        after = self.stats(orders), self.stats(dead)
        self.assertEqual((after[0]["in"], after[0]["queued"]), (10, 5))
        self.assertEqual((after[1]["in"], after[1]["out"], after[1]["replayed"], after[1]["queued"]), (5, 5, 5, 0))
        self.assertEqual([orders.get() for _ in range(6)], [b"m0", b"m1", b"m2", b"m3", b"m4", b""])
        self.assertEqual(self.move("replay", "--all"), (0, ""))
        self.assert_clean_stop(self.program)
        self.assertFalse(os.path.exists(self.directory + "/control"), "the name goes with the launch")
        self.assert_whole()
        self.assertEqual(self.stored(), {"orders": [], "dead": []})

    def test_some_by_number_from_the_middle(self):
        self.fill(*queue(b"orders", b"waits"),
                  *queue(b"dead", *(letter("orders", b"m%d" % i) for i in range(8)), b"no letter"))
        orders, dead = self.begin()
        self.assertEqual(self.move("replay", "6", "3"), (2, ""))
        self.assertEqual(self.move("drop", "--queue", "dead", "4"), (1, ""))
        self.assertEqual(self.numbers(), [1, 2, 5, 7, 8])
        stats = self.stats(dead)
        self.assertEqual((stats["in"], stats["out"], stats["dropped"], stats["letters_dropped"], stats["queued"]),
                         (9, 2, 1, 1, 6))
        dead.put(letter("orders", b"late"))
        self.assertEqual([orders.get() for _ in range(3)], [b"waits", b"m2", b"m5"], "in order of their numbers")
        rest = [letter("orders", b"m%d" % i) for i in (0, 1, 4, 6, 7)] + [b"no letter", letter("orders", b"late")]
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()
        self.assertTrue(os.path.exists(self.directory + "/control"), "left behind")
        orders, dead = self.begin()
        self.assertEqual(self.move("drop", "8"), (1, ""))
        rest.remove(letter("orders", b"m7"))
        self.assertEqual([dead.get() for _ in range(len(rest) + 1)], rest + [b""], "in their old order")
        self.assertEqual(orders.size(), 0)
        self.stats(dead)
        self.assert_clean_stop(self.program)
        self.assert_whole()
        self.assertEqual(self.stored(), {"orders": [], "dead": []})

    def test_what_the_queue_has_in_its_store_only(self):
        texts = [letter("orders", b"m%d" % i) for i in range(3000)]
        self.fill(*queue(b"orders"), *queue(b"dead", *texts))
        orders, dead = self.begin(dead=("--durability", "async", "--overflow", "spill", "--capacity-bytes", "50000"))
        self.assertGreater(self.stats(dead)["in_store_only"], 2000)
        self.assertEqual(self.move("replay", "10", "2900", "3000"), (3, ""))
        self.assertEqual(self.move("drop", "2899", "11"), (2, ""))
        self.assertEqual([orders.get() for _ in range(4)], [b"m9", b"m2899", b"m2999", b""])
        dead.put("last")
        rest = [text for i, text in enumerate(texts, 1) if i not in (10, 11, 2899, 2900, 3000)] + [b"last"]
        self.assertEqual(self.take(dead, 100), rest[:100])
        # All that is in memory, and some of what would be read next, before the disk knows that it has gone.
        self.assertEqual(self.move("replay", *range(103, 603)), (500, ""))
        self.assertEqual(self.take(dead, 1000), rest[600:1600])
        self.assertEqual(self.move("replay", "--all"), (len(rest) - 1601, ""))
        self.assertEqual(self.take(dead, 1), [b"last"])
        self.assertEqual(self.stats(dead)["queued"], 0)
        self.assertEqual(orders.size(), 500 + len(rest) - 1601)
        self.assert_clean_stop(self.program)
        self.assert_whole()

    def test_gaps_do_not_fill_the_memory(self):
        texts = [letter("orders", b"m%d" % i) for i in range(3000)]
        self.fill(*queue(b"orders"), *queue(b"dead", *texts))
        _, dead = self.begin(dead=("--durability", "async", "--overflow", "spill", "--capacity-bytes", "50000"))
        self.assertEqual(self.move("drop", *range(1, 3000, 2)), (1500, ""))
        self.assertEqual(self.take(dead, 200), texts[1:400:2])
        stats = self.stats(dead)
        self.assertGreater(stats["in_store_only"], 800)
        self.assertGreater(stats["returned"], 0)
        self.assertEqual(self.take(dead, 1300), texts[401::2])

    def test_more_than_one_request(self):
        count = 20000
        self.fill(*queue(b"orders"), *queue(b"dead", *(letter("orders", b"%d" % i) for i in range(count))))
        orders, dead = self.begin()
        self.assertEqual(self.move("replay", "--all"), (count, ""))
        self.assertEqual((orders.size(), dead.size()), (count, 0))
        self.stats(orders), self.stats(dead)

    def test_a_letter_that_somebody_has_stays(self):
        self.fill(*queue(b"orders"), *queue(b"dead", *(letter("orders", b"m%d" % i) for i in range(3))))
        orders, dead = self.begin()
        token = dead.ask("LEASE:1000").split(b":")[0]
        self.assertRegex(self.move("replay", "--all", status=1)[1], "1 stays: it is on a lease")
        self.assertEqual((orders.size(), dead.size()), (2, 0))
        self.assertEqual(self.move("drop", "1", status=1)[0], 0)
        self.assertEqual(dead.ask(b"NACK:" + token), b"OK")
        self.assertEqual(self.move("drop", "1"), (1, ""), "come back")
        self.assertEqual(dead.get(), b"")
        self.stats(dead)

    def test_a_full_queue_takes_what_it_has_room_for(self):
        self.fill(*queue(b"orders", b"waits"), *queue(b"dead", *(letter("orders", b"m%d" % i) for i in range(3))))
        for overflow in "reject", "block", "drop-oldest", "drop-newest":
            orders, dead = self.begin(orders=("--capacity", "2", "--overflow", overflow))
            self.assertEqual(self.move("replay", "--all", status=1)[0], 1 if overflow == "reject" else 0)
            self.assertEqual((orders.size(), self.numbers()), (2, [2, 3]), overflow)
            self.assertEqual(self.stats(orders)["dropped"], 0)
            self.assert_clean_stop(self.program)

    def test_queues_that_the_launch_does_not_know(self):
        self.fill(*queue(b"orders"), *queue(b"dead", letter("gone", b"a"), letter("nowhere", b"b")),
                  *queue(b"left", letter("orders", b"c"), letter("left", b"d"), letter("gone", b"e"), first=11),
                  *queue(b"gone", b"first"))
        orders, dead = self.begin()
        self.assertRegex(self.move("replay", "--all", status=1)[1], "2 stays: its queue 'nowhere' is not in this store")
        self.assertEqual(orders.get(), b"c")
        self.assertEqual(self.numbers(), [2])
        self.assert_clean_stop(self.program)
        self.assert_whole()
        stored = self.stored()
        self.assertEqual(stored["gone"], [b"first", b"a", b"e"])
        self.assertEqual(stored["left"], [b"d"])

    def test_all_mistakes_are_found_before_anything_moves(self):
        self.fill(*queue(b"orders"), *queue(b"dead", letter("orders", b"a"), b"no letter"),
                  *queue(b"other", letter("orders", b"b")))
        orders, dead = self.begin()
        for arguments in ("99",), ("1", "--queue", "dead", "1"), ("2",), ("1",), ("1", "--queue", "nobody"):
            result = self.letters("replay", self.directory, *arguments)
            self.assertEqual((result.status, result.stdout), (2, b""), result.stderr)
        self.assertEqual((orders.size(), dead.size()), (0, 2))

    def test_a_worker_gets_it_at_once(self):
        """Both queues and the worker have names only: nothing else wakes their thread."""
        self.fill(*queue(b"in"), *queue(b"dead", *(letter("in", b"m%d" % i) for i in range(3))))
        out = "tcp://" + free_address()
        durable = ("--durability", "sync")
        self.program = self.launch(
            "run", "--store", self.directory, "--mq", "--address", "in", *durable, "--mq", "--address", "dead",
            *durable, "--worker", "--input-address", "in", "--output-address", "out", "--function", "passthrough",
            "--guarantee", "exactly-once", "--mq", "--address", "out", "--address", out, *durable, listening=[out])
        client = self.stream(out)
        self.assertEqual(self.move("replay", "2"), (1, ""))
        self.assertEqual(self.take(client, 1), [b"m1"])
        self.assertEqual(self.move("replay", "--all"), (2, ""))
        self.assertEqual(self.take(client, 2), [b"m0", b"m2"])
        self.assert_clean_stop(self.program)
        self.assert_whole()

    def test_a_launch_that_does_not_answer(self):
        self.fill(*queue(b"orders"), *queue(b"dead", letter("orders", b"a")))
        self.begin()
        self.program.send_signal(signal.SIGSTOP)
        self.addCleanup(self.program.send_signal, signal.SIGCONT)
        result = self.letters("replay", self.directory, "--all", "--timeout", "0.2")
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("does not answer in time", result.stderr)
        self.program.send_signal(signal.SIGCONT)
        self.assert_clean_stop(self.program)

    def test_nothing_is_said_to_be_done_before_the_disk_has_it(self):
        self.fill(*queue(b"orders"), *queue(b"dead", letter("orders", b"a")))
        orders, dead = self.begin()
        limit = resource.RLIM_INFINITY
        resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE, (0, limit))
        result = self.letters("replay", self.directory, "1", "--timeout", "0.2")
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("does not answer in time", result.stderr)
        self.assertEqual(self.letters("replay", self.directory, "1", "--timeout", "0.2").status, 1, "it waits behind")
        resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE, (limit, limit))
        self.assert_soon(lambda: self.numbers() == [])
        self.assertEqual(self.take(orders, 1), [b"a"])
        self.assertEqual((orders.get(), dead.get()), (b"", b""))

    def test_names_of_the_socket(self):
        self.directory = os.path.join(self.temporary_directory(), *(["long" * 12] * 4), "store")
        self.fill(*queue(b"orders"), *queue(b"dead", letter("orders", b"a"), letter("orders", b"b")))
        self.begin()
        self.assertEqual(stat.S_IMODE(os.stat(self.directory + "/control").st_mode), 0o600)
        self.assertEqual(self.move("replay", "1"), (1, ""))
        self.assert_clean_stop(self.program)
        self.write_file("control", b"somebody's", self.directory)
        self.begin()
        self.program.wait_for_line("replay and drop will work when this launch has ended only: control: File exists")
        result = self.letters("replay", self.directory, "2")
        self.assertEqual(result.status, 2)
        self.assertIn("in use by the process %d" % self.program.pid, result.stderr)
        self.assert_clean_stop(self.program)
        self.assertEqual(self.move("replay", "2"), (1, ""), "at rest")


class WireTest(Beside):
    def setUp(self):
        super().setUp()
        self.fill(*queue(b"orders"), *queue(b"dead", *(letter("orders", b"m%d" % i) for i in range(3))))
        self.orders, self.dead = self.begin()

    def connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(connection.close)
        connection.settimeout(10.0)
        connection.connect(self.directory + "/control")
        return connection

    def answers(self, connection, count=None):
        """The next answers; without a count all up to the stream's end."""
        decoder = lhhttt.Decoder()
        answers = []
        while count is None or len(answers) < count:
            try:
                data = connection.recv(65536)
            except ConnectionError:
                break
            if not data:
                break
            answers += decoder.feed(data)
        return answers

    def ask(self, connection, text):
        connection.sendall(lhhttt.encode(text))
        return self.answers(connection, 1)[0]

    def test_requests(self):
        """A queue is its number in the store: the second is `dead`."""
        connection = self.connect()
        self.assertEqual(self.ask(connection, b"REPLAY:2.2"), b"OK:+")
        self.assertEqual(self.ask(connection, b"REPLAY:1.1,2.1,2.2,2.3,2.4,2.9223372036854775807,3.1"), b"OK:n+b+bbb")
        self.assertEqual(self.ask(connection, b"DROP:1.1"), b"OK:n")
        self.assertEqual([self.orders.get() for _ in range(4)], [b"m1", b"m0", b"m2", b""])
        self.stats(self.orders), self.stats(self.dead)

    def test_what_is_no_request(self):
        connection = self.connect()
        for text in (b"", b"PUT:x", b"REPLAY:", b"REPLAY:2", b"REPLAY:2.", b"REPLAY:2.1,", b"REPLAY:2.0", b"REPLAY:0.1",
                     b"REPLAY:2.2,2.1", b"REPLAY:2.1,2.1", b"DROP:2.1,1.1", b"DROP:4294967296.1", b"DROP:-2.1",
                     b"DROP:2.18446744073709551616", b"DROP:2.1 ", b"DROP 2.1",
                     b"DROP:" + b",".join(b"2.%d" % i for i in range(1, 16386))):
            self.assertEqual(self.ask(connection, text), b"ERR this is no request", text[:40])
        self.assertEqual(self.dead.size(), 3)

    def test_bounds(self):
        too_long = self.connect()
        too_long.sendall(b"7fffffff")
        self.assertTrue(self.answers(too_long)[0].startswith(b"ERR "))
        impatient = self.connect()
        impatient.sendall(b"".join(lhhttt.encode(b"DROP:9.1") for _ in range(100)))
        self.assertIn(b"ERR one request at a time", self.answers(impatient))
        silent = [self.connect() for _ in range(8)]
        result = self.letters("replay", self.directory, "--all")
        self.assertEqual(result.status, 1)
        self.assertIn("turned this away", result.stderr)
        silent.pop().close()
        self.assert_soon(lambda: self.letters("replay", self.directory, "1").status == 0)
        self.assertEqual(self.ask(silent[0], b"REPLAY:2.2"), b"OK:+")
        self.assertEqual(self.orders.size(), 2)

    def test_at_the_end(self):
        """A request that is there when the launch ends is done or not, and told so."""
        connection = self.connect()
        self.program.send_signal(signal.SIGINT)
        try:
            connection.sendall(lhhttt.encode(b"REPLAY:2.1,2.2,2.3"))
        except ConnectionError:  # it has ended already
            pass
        answers = self.answers(connection)
        self.assertEqual(self.program.wait(), 0)
        moved = answers == [b"OK:+++"]
        self.assertTrue(moved or not answers or answers[0].startswith(b"ERR "), answers)
        self.assertEqual(len(self.stored()["orders"]), 3 if moved else 0)


class KillTest(Beside):
    COUNT, SEED = 400, 20151204
    ROUNDS, ROUNDS_MAX = 12, 60

    def read_all(self, queues):
        orders = [int(body) for body in queues["orders"]]
        return sorted(orders + [int(body.partition(b"\n")[2]) for body in queues["dead"]]), orders

    def replay(self, kill=None, after_s=0.0):
        """What a replay of all says; the launch, or the command, is killed meanwhile."""
        command = subprocess.Popen([launch.binary(), "dead-letters", "replay", self.directory, "--all"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        timer = threading.Timer(after_s, (command if kill == "command" else self.program).send_signal, [signal.SIGKILL])
        if kill:
            timer.start()
        said = command.communicate()[0]
        if kill:
            timer.join()
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()
        return said

    def test_nothing_is_lost_and_nothing_doubled(self):
        everything = list(range(self.COUNT))
        chance = random.Random(self.SEED)
        outcomes = set()
        self.refill()
        self.begin()
        began = time.monotonic()
        self.assertTrue(self.replay())
        lasts_s = time.monotonic() - began
        self.refill()
        turn = 0
        while turn < self.ROUNDS or (len(outcomes) < 2 and turn < self.ROUNDS_MAX):
            turn += 1
            self.begin()
            said = self.replay("command" if turn % 3 == 0 else "launch", chance.random() * lasts_s * 1.2)
            found, orders = self.read_all(self.stored())
            self.assertEqual(found, everything, "each is in one of the two, once")
            self.assertIn(len(orders), (0, self.COUNT), "one transaction")
            if said:
                self.assertEqual(len(orders), self.COUNT, "what was said to be done is on the disk")
            outcomes.add(len(orders) > 0)
            self.assert_whole()
            if orders:
                self.refill()
        self.assertEqual(len(outcomes), 2, "the kills came before and after")

    def refill(self):
        """A new store, all of it dead letters."""
        self.directory = os.path.join(self.temporary_directory(), "store")
        self.fill(*queue(b"orders"), *queue(b"dead", *(letter("orders", b"%d" % i) for i in range(self.COUNT))))


if __name__ == "__main__":
    unittest.main()
