"""Twenty and more broken launches are refused, as many good ones accepted."""

import re
import unittest

import context  # noqa: F401
from peer import address as addresses
from support import launch
from support.ports import free_address
from support.scenario import Scenario

A, B, C, D = ("127.0.0.1:%d" % port for port in (11801, 11802, 11803, 11804))
FUNCTIONS = ("pong", "passthrough", "double", "inputdoubler", "fixrouter",
             "marketspread")

PLAYER = ["--worker", "--input-address", A, "--output-address", A, "--function", "pong"]
QUEUE = ["--mq", "--address", A]


def worker(source, target, function="passthrough", *flags):
    return ["--worker", "--input-address", source, "--output-address", target,
            "--function", function, *flags]


STORE = ["--store", "no-such-store"]
SYNC_B = ["--mq", "--address", B, "--durability", "sync"]
EXACT = ["--guarantee", "exactly-once"]

# Arguments, and expressions that the one line must fit, each.
BROKEN = [
    ("unknown flag", ["--mq", "--adress", A], ["--adress", "--address"]),
    ("unknown flag of a worker", QUEUE + worker(A, A) + ["--functoin", "pong"],
     ["--functoin", "--function"]),
    ("unknown flag before the nodes", ["--stats-perod", "1"] + QUEUE,
     ["--stats-perod", "--stats-period"]),
    ("unknown node type", ["--quue", "--address", A], ["--quue"]),
    ("flag of another node type", QUEUE + ["--function", "pong"], ["--function"]),
    ("no number", QUEUE + ["--stats-period", "often"], ["--stats-period", "often"]),
    ("number out of range", QUEUE + ["--capacity", "-1"],
     ["--capacity", "-1", r"\d.*\d"]),
    ("negative delay", QUEUE + worker(A, A, "pong", "--delay", "-1"),
     ["--delay", r"-1", r"\d"]),
    ("number with a tail", QUEUE + ["--capacity", "10x"], ["--capacity", "10x"]),
    ("seed that is no number", QUEUE + worker(A, A, "pong", "--seed", "x"),
     ["--seed", "x"]),
    ("no replicas", QUEUE + worker(A, A, "pong", "--count", "0"), ["--count", "0"]),
    ("port out of range", ["--mq", "--address", "127.0.0.1:70000"],
     ["127.0.0.1:70000", "65535"]),
    ("address without a port", ["--mq", "--address", "udp://127.0.0.1"],
     ["udp://127.0.0.1"]),
    ("address of an unknown scheme", ["--mq", "--address", "http://127.0.0.1:80"],
     ["http://127.0.0.1:80"]),
    ("empty address", ["--mq", "--address", ""], ["--address"]),
    ("unknown function", QUEUE + worker(A, A, "pnog"), ["pnog", *FUNCTIONS]),
    ("worker without a function", QUEUE + PLAYER[:-2], ["--function"]),
    ("setting of another function", QUEUE + PLAYER + ["--orders-limit", "5"], ["--orders-limit", "pong"]),
    ("setting by a name that is none", QUEUE + PLAYER + ["--set", "a=b"], ["--set: --a: ", "pong"]),
    ("setting out of range", QUEUE + worker(A, A, "marketspread", "--orders-limit", "1"), ["--orders-limit", "'1'"]),
    ("setting without a value", QUEUE + worker(A, A, "marketspread", "--set", "orders-full"), ["NAME=VALUE"]),
    ("order by no key", QUEUE + worker(A, A, "pong", "--order", "key", "--order-key", "xml:a"),
     ["--order-key", "xml:a", "json:FIELD"]),
    ("order over sockets", ["--join", "sockets"] + QUEUE + worker(A, A, "pong", "--order", "key", "--count", "2"),
     ["--order key", "--join sockets", "--count 1"]),
    ("order of a queue elsewhere", worker(A, B, "pong", "--order", "fifo", "--count", "2"),
     ["--order fifo", A, "not in this launch", "--count 1"]),
    ("order beside another worker", ["--mq", "--address", A, "--address", "tcp://" + A]
     + worker(A, B, "pong", "--order", "key", "--count", "2") + worker("tcp://" + A, B),
     ["--order key", A, "others", "--order none"]),
    ("unknown setting", QUEUE + worker(A, A, "marketspread", "--set", "full=1"), ["--full", "--orders-full"]),
    ("input that nobody offers", QUEUE + worker("nowhere", A), ["nowhere"]),
    ("output that nobody offers", QUEUE + worker(A, "nowhere"), ["nowhere"]),
    ("feeder to a name that nobody offers", ["--feeder", "--address", "nowhere",
                                             "--path", "/dev/null"], ["nowhere"]),
    ("two nodes at one address", QUEUE + QUEUE, [A]),
    ("queue and sink at one address", QUEUE + ["--sink", "--address", A], [A]),
    ("two nodes of one name", ["--mq", "--address", "x", "--mq", "--address", "x"],
     ["x"]),
    ("one address twice", QUEUE + ["--address", "localhost:11801"],
     ["--address", "twice", "11801"]),
    ("nobody at port 0", worker("127.0.0.1:0", A), ["127.0.0.1:0", "65535"]),
    ("empty vuid", QUEUE + ["--vuid", ""], ["--vuid", "1 to 40"]),
    ("vuid that a hub would not know", QUEUE + ["--vuid", "v" * 41], ["--vuid", "1 to 40"]),
    ("value of two lines", ["--mq", "--address", "a\n\x1b[31mb"],
     ["--address", r"\\x0a\\x1b"]),
    ("an address of another machine", ["--mq", "--address", "192.0.2.1:11801"],
     ["--address", "192.0.2.1:11801"]),
    ("feeder without a path", QUEUE + ["--feeder", "--address", A], ["--path"]),
    ("feeder of a missing file", QUEUE + ["--feeder", "--address", A, "--path",
                                          "/no/such/file"], ["/no/such/file"]),
    ("feeder of a directory", QUEUE + ["--feeder", "--address", A, "--path", "/proc"],
     ["/proc"]),
    ("bare output to a queue of the launch",
     QUEUE + ["--mq", "--address", B] + worker(A, B, "pong", "--output-type", "socket"),
     ["socket"]),
    ("unknown output type", QUEUE + worker(A, A, "pong", "--output-type", "pigeon"),
     ["--output-type", "pigeon", "queue", "socket"]),
    ("unknown route", QUEUE + worker(A, A, "pong", "--route", "sideways"),
     ["--route", "sideways", "choice", "random", "round-robin", "broadcast"]),
    ("unknown level", QUEUE + ["--log-level", "loud"],
     ["--log-level", "loud", "debug", "info", "warn", "error"]),
    ("unknown join", ["--join", "glue"] + QUEUE, ["--join", "glue", "sockets"]),
    ("flag without its value", ["--mq", "--address"], ["--address"]),
    ("bad list of processors", ["--cpu-list", "many"] + QUEUE, ["--cpu-list", "many"]),
    ("nothing that could end it", ["--exit-when-drained"] + QUEUE,
     ["--exit-when-drained", "feeder"]),
    ("durable queue without a store", QUEUE + ["--durability", "sync"],
     ["mq: ", "--durability sync", "--store"]),
    ("spilling queue without a store", QUEUE + ["--overflow", "spill"], ["--overflow spill", "--store"]),
    ("two stores", ["--store", "one", "--store", "two"] + QUEUE, ["--store", "one", "two"]),
    ("exactly-once without a store", QUEUE + worker(A, A, "pong", *EXACT),
     ["worker: --guarantee exactly-once", "--store", "at-least-once"]),
    ("exactly-once from a queue in memory",
     STORE + QUEUE + SYNC_B + worker(A, B, "pong", *EXACT),
     ["worker promises exactly-once", "mq 1 at %s -> worker" % A, "--durability memory",
      "give mq 1 --durability sync", "give worker --guarantee at-least-once", "--allow-weaker"]),
    ("exactly-once into a queue in memory",
     STORE + QUEUE + SYNC_B + worker(B, A, "pong", *EXACT), ["worker -> mq 1 at %s" % A, "give mq 1"]),
    ("exactly-once into a sink", STORE + SYNC_B + ["--sink", "--address", C] + worker(B, C, "pong", *EXACT),
     ["worker -> sink at %s" % C, "--output-type socket"]),
    ("exactly-once to a socket elsewhere",
     STORE + SYNC_B + worker(B, C, "pong", "--output-type", "socket", *EXACT), ["worker -> %s" % C]),
    ("exactly-once with dead letters in memory",
     STORE + QUEUE + SYNC_B + ["--dead-letter", A] + worker(B, B, "pong", *EXACT),
     ["dead letters", "mq 2 at %s -> mq 1 at %s" % (B, A)]),
    ("unknown guarantee", QUEUE + worker(A, A, "pong", "--guarantee", "often"),
     ["--guarantee", "often", "at-most-once", "at-least-once", "exactly-once"]),
    ("no node at all", [], []),
    ("only defaults", ["--stats-period", "1"], []),
]

GOOD = [
    ("a queue", QUEUE),
    ("a queue at its default address", ["--mq"]),
    ("pong", QUEUE + PLAYER),
    ("flags with an equals sign", ["--mq", "--address=" + A] + PLAYER[:-2]
     + ["--function=pong"]),
    ("replicas in order", QUEUE + ["--mq", "--address", B] + worker(A, B, "pong", "--order", "key", "--count", "2")
     + worker(B, C, "pong", "--order", "fifo", "--count", "2")),
    ("an order of one", worker(A, B, "pong", "--order", "key", "--order-key", "json:user")),
    ("settings of a function", QUEUE + worker(A, A, "marketspread", "--orders-limit", "9", "--set", "orders-full=refuse")),
    ("a setting as a default, for those that know it",
     ["--orders-limit", "9"] + QUEUE + worker(A, A, "marketspread") + worker(A, A)),
    ("a setting before the default function that knows it",
     ["--orders-limit", "9", "--function", "marketspread"] + QUEUE
     + ["--worker", "--input-address", A, "--output-address", A]),
    ("function in another case", QUEUE + worker(A, A, "PoNg")),
    ("defaults first", ["--stats-period", "1", "--metrics-address", D,
                        "--log-level", "debug"] + QUEUE + PLAYER),
    ("udp and tcp at once", QUEUE + ["--address", "tcp://" + A]),
    ("ipv6", ["--mq", "--address", "[::1]:11801"]),
    ("a host's name", ["--mq", "--address", "localhost:11801"]),
    ("plain names", ["--mq", "--address", "trades"]
     + worker("trades", "results", "marketspread", "--output-type", "socket")
     + ["--sink", "--address", "results"]),
    ("a worker between queues elsewhere", worker(A, B)),
    ("a worker over tcp", worker("tcp://" + A, "tcp://" + B)),
    ("a tree", QUEUE + ["--mq", "--address", B, "--mq", "--address", C]
     + worker(A, B, "inputdoubler", "--output-address", C)),
    ("router tree", QUEUE + ["--mq", "--address", B, "--mq", "--address", C]
     + worker(A, B, "fixrouter", "--output-address", C) * 2
     + worker(B, D, "marketspread", "--output-type", "socket")
     + worker(C, D, "marketspread", "--output-type", "socket")
     + ["--sink", "--address", D]),
    ("several inputs", QUEUE + ["--mq", "--address", B]
     + worker(A, B, "double", "--input-address", B)),
    ("random route with a seed", QUEUE + worker(A, A, "pong", "--route", "random",
                                                "--seed", "42")),
    ("broadcast", QUEUE + ["--mq", "--address", B]
     + worker(A, A, "double", "--output-address", B, "--route", "broadcast")),
    ("replicas", QUEUE + worker(A, A, "pong", "--count", "4")),
    ("sockets", ["--join", "sockets"] + QUEUE + PLAYER),
    ("straight to the hub", ["--metrics-uri", "http://127.0.0.1:5555/post"] + QUEUE),
    ("a feeder and its end", ["--exit-when-drained", "--drain-timeout", "3"] + QUEUE
     + ["--feeder", "--address", A, "--path", "/dev/null", "--delay", "0.5"]),
    ("a small queue", QUEUE + ["--capacity", "10", "--capacity-bytes", "100000"]),
    ("one processor", ["--cpu-list", "0"] + QUEUE),
    ("logs", QUEUE + ["--console-log", "--file-log", "--log-max-bytes", "1000000"]),
    ("at-least-once in memory", QUEUE + worker(A, A, "pong", "--guarantee", "at-least-once")),
    ("exactly-once between durable queues",
     STORE + SYNC_B + ["--mq", "--address", C, "--durability", "async"] + worker(B, C, "pong", *EXACT)),
    ("exactly-once between queues elsewhere", STORE + worker(A, B, "pong", *EXACT)),
    ("the market-spread block", [
        "--metrics-receiver", "--address", C, "--uri", "http://127.0.0.1:5555/post",
        "--sink", "--address", B, "--metrics-address", C, "--stats-period", "1",
        "--vuid", "MARKET_SPREAD", "--mq", "--address", A, "--metrics-address", C,
        "--stats-period", "1", "--vuid", "NODE_1",
        *worker(A, B, "marketspread", "--output-type", "socket", "--metrics-address", C,
                "--stats-period", "1", "--vuid", "NODE_2"),
        "--feeder", "--address", A, "--path", "/dev/null", "--path", "/dev/null",
        "--delay", "0.001"]),
]


class CheckTest(Scenario):
    def assert_refused(self, result, patterns):
        self.assertEqual(result.status, 2, result)
        lines = [line for line in result.stderr if line.strip()]
        self.assertEqual(len(lines), 1, "one clear line:\n" + "\n".join(lines))
        for pattern in patterns:
            if not re.search(pattern, lines[0]):
                self.assertIn(pattern, lines[0])

    def test_broken_launches(self):
        self.assertGreaterEqual(len(BROKEN), 20)
        for command in ("check", "run"):
            for name, arguments, patterns in BROKEN:
                with self.subTest(name, command=command):
                    result = launch.run_to_end(command, *arguments)
                    self.assert_refused(result, patterns)

    def test_good_launches(self):
        self.assertGreaterEqual(len(GOOD), 20)
        for name, arguments in GOOD:
            with self.subTest(name):
                result = launch.run_to_end("check", *arguments)
                self.assertEqual(result.status, 0, result.stderr)
                self.assertTrue(result.stdout, "the wiring is not printed")

    def test_good_launches_as_graph(self):
        for name, arguments in GOOD:
            with self.subTest(name):
                result = launch.run_to_end("check", "--dot", *arguments)
                self.assertEqual(result.status, 0, result.stderr)
                text = "\n".join(result.stdout).strip()
                self.assertRegex(text, r"^(strict )?digraph\b")
                self.assertEqual(text.count("{"), text.count("}"))
                self.assertEqual(text[-1], "}")


class WeakerTest(Scenario):
    """A launch with --allow-weaker starts; its log and its last line say what that means."""
    ARGUMENTS = ["--allow-weaker", "--exit-when-drained", "--mq", "--address", A,
                 *worker(A, C, "passthrough", *EXACT), "--sink", "--address", C,
                 "--feeder", "--address", A, "--path", "/dev/null"]

    def test_a_warning_for_each_link(self):
        result = launch.run_to_end("check", *STORE, *self.ARGUMENTS)
        self.assertEqual(result.status, 0, result)
        warnings = [line for line in result.stderr if "WARNING" in line]
        self.assertEqual(len(warnings), 2, result.stderr)
        self.assertIn("mq at %s -> worker" % A, warnings[0])
        self.assertIn("worker -> sink at %s" % C, warnings[1])

    def test_the_last_line(self):
        result = launch.run_to_end("run", "--store", self.temporary_directory(), *self.ARGUMENTS)
        self.assertEqual(result.status, 0, result)
        self.assertRegex("\n".join(result.stderr), r"(?m)^worker: in 0.*weaker_links 2")


class ExplainTest(Scenario):
    ROWS = ("lost datagram", "killed worker", "killed engine", "power cut")

    def test_every_good_launch(self):
        for name, arguments in GOOD:
            with self.subTest(name):
                result = launch.run_to_end("check", "--explain", *arguments)
                self.assertEqual(result.status, 0, result.stderr)
                counts = [sum(line.strip().startswith(row) for line in result.stdout) for row in self.ROWS]
                if not counts[0]:
                    self.assertIn("No way", result.stdout[-1])
                self.assertEqual(counts, counts[:1] * 4, "each way has all rows")

    def test_broken_launches_are_not_explained(self):
        result = launch.run_to_end("check", "--explain", *QUEUE, *worker(A, A, "pong", *EXACT))
        self.assertEqual(result.status, 2)
        self.assertEqual(result.stdout, [])


class GraphTest(Scenario):
    def test_quotes_in_a_name(self):
        result = launch.run_to_end("check", "--dot", *QUEUE, "--vuid", 'a"b\\')
        self.assertEqual(result.status, 0, result.stderr)
        self.assertIn('    "mq a\\"b\\\\";', result.stdout)


class AddressInUseTest(Scenario):
    def refuse(self, address, *arguments):
        result = launch.run_to_end(*arguments)
        self.assertEqual(result.status, 2, result.stderr)
        text = "\n".join(result.stderr)
        self.assertIn(address.rpartition("://")[2], text)
        self.assertRegex(text, "(?i)in use")

    def test_udp(self):
        with addresses.udp_socket() as taken:
            address = addresses.write(taken.getsockname())
            self.refuse(address, "mq", "--address", address)
            self.refuse(address, "sink", "--address", address)
            self.refuse(address, "run", "--mq", "--address", free_address(),
                        "--mq", "--address", address)

    def test_tcp(self):
        with addresses.tcp_listener() as taken:
            address = "tcp://" + addresses.write(taken.getsockname())
            self.refuse(address, "mq", "--address", address)

    def test_nothing_has_started(self):
        path = self.write_file("lines.msg", b"a\n" * 10)
        with addresses.udp_socket() as target, addresses.udp_socket() as taken:
            address = addresses.write(taken.getsockname())
            self.refuse(address, "run", "--feeder", "--address",
                        addresses.write(target.getsockname()), "--path", path,
                        "--mq", "--address", address)
            target.settimeout(0)
            with self.assertRaises(BlockingIOError):
                target.recv(100)


class AloneTest(Scenario):
    def test_a_node_alone_at_a_name_is_refused(self):
        for kind in ("mq", "sink", "metrics-receiver"):
            result = launch.run_to_end(kind, "--address", "localhost")
            self.assertEqual(result.status, 2, result)
            self.assertRegex("\n".join(result.stderr), "--address: 'localhost' is a name.*HOST:PORT")


class DeadEndTest(Scenario):
    def test_a_queue_that_nobody_takes_from_is_marked(self):
        result = launch.run_to_end("check", "--mq", "--address", "dead", "--mq", "--address", "alive",
                                   *worker("alive", "dead", "pong"))
        self.assertEqual(result.status, 0, result)
        marked = [line for line in result.stdout if "nobody takes from it" in line]
        self.assertEqual(len(marked), 1, result.stdout)
        self.assertIn("dead", marked[0])


class HelpTest(Scenario):
    def test_help_of_every_command(self):
        flags = {
            "mq": ["--address", "--metrics-address", "--stats-period", "--vuid",
                   "--console-log", "--file-log", "--log-level", "--capacity",
                   "--capacity-bytes", "--max-message", "--log-max-bytes"],
            "sink": ["--address", "--metrics-address", "--stats-period", "--vuid",
                     "--console-log", "--file-log", "--log-level"],
            "worker": ["--input-address", "--output-address", "--output-type",
                       "--function", "--delay", "--route", "--seed", "--count",
                       "--set", "--orders-limit", "--orders-full",
                       "--metrics-address", "--stats-period", "--vuid"],
            "feeder": ["--address", "--path", "--delay", "--console-log", "--file-log",
                       "--log-level"],
            "metrics-receiver": ["--address", "--uri"],
            "run": ["--exit-when-drained", "--join", "--cpu-list", "--drain-timeout",
                    "--metrics-uri"],
            "check": ["--dot", "--explain", "--allow-weaker", "--store"],
            "fixgen": ["--symbols", "--orders", "--quotes", "--seed", "--out"],
            "client": ["HOST:PORT"],
        }
        for command, names in flags.items():
            with self.subTest(command):
                result = launch.run_to_end(command, "--help")
                self.assertEqual(result.status, 0, result.stderr)
                text = "\n".join(result.stdout)
                for name in names:
                    self.assertIn(name, text)
        self.assertEqual(launch.run_to_end("--help").status, 0)

    def test_unknown_command(self):
        result = launch.run_to_end("rnu")
        self.assertEqual(result.status, 2)
        self.assertRegex("\n".join(result.stderr), r"rnu.*\brun\b")


if __name__ == "__main__":
    unittest.main()
