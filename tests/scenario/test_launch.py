"""Several nodes in one launch: games, trees, ends, and idleness."""

import os
import signal
import time
import unittest

import context  # noqa: F401
from peer.metrics_receiver import MetricsReceiver
from peer.queue import Queue
from peer.sink import Sink
from support import launch, market
from support.conditions import pass_time, wait_until
from support.ports import free_address, free_addresses
from support.scenario import Scenario


def worker(function, inputs, outputs, *flags, output_type="queue"):
    """A worker's part of a launch."""
    arguments = ["--worker", "--function", function, "--output-type", output_type]
    for text in [inputs] if isinstance(inputs, str) else inputs:
        arguments += ["--input-address", text]
    for text in [outputs] if isinstance(outputs, str) else outputs:
        arguments += ["--output-address", text]
    return arguments + list(flags)


class PongTest(Scenario):
    def play(self, seed, *flags, rallies=1000):
        address = free_address()
        receiver = self.start(MetricsReceiver())
        program = self.launch(
            "run", *flags, "--metrics-address", receiver.address,
            "--stats-period", "1", "--mq", "--address", address, "--vuid", "Q",
            *worker("pong", address, address, "--vuid", "W"), listening=[address])
        seed(address)
        self.assertTrue(
            receiver.wait_for(lambda: receiver.total("W", "throughput_out") > rallies),
            "no game\n" + program.describe())
        self.assert_clean_stop(program)
        queue = program.final_line("mq")
        player = program.final_line("worker")
        self.assertEqual(queue.dropped + player.dropped, 0)
        # One ball: the seed, and what the worker sent back.
        self.assertEqual(queue.received - queue.sent, queue.queued)
        self.assertEqual(queue.sent, player.received)
        self.assertEqual(player.received, player.sent)
        self.assertEqual(queue.received, player.sent + 1)

    def seed_by_our_client(self, address):
        result = launch.run_to_end("client", address, "PUT:ping")
        self.assertEqual(result.status, 0)

    def seed_by_peer(self, address):
        self.assertEqual(self.client(address).put("ping"), b"PUT 4 bytes")

    def test_rings_seeded_by_our_client(self):
        self.play(self.seed_by_our_client)

    def test_rings_seeded_by_an_external_client(self):
        self.play(self.seed_by_peer)

    def test_over_sockets(self):
        self.play(self.seed_by_peer, "--join", "sockets", rallies=100)

    def test_two_launches_over_the_network(self):
        address = free_address()
        queue = self.launch_queue(address)
        player = self.launch("worker", "--input-address", address, "--output-address",
                             address, "--output-type", "queue", "--function=pong")
        client = self.client(address)
        client.put("ping")
        seen = set()
        self.assert_soon(lambda: self.look(client, seen), "only %s" % seen)
        self.assert_clean_stop(player)
        self.assert_clean_stop(queue)

    def look(self, client, seen):
        """Takes the ball out, and puts it back."""
        ball = client.get()
        if ball:
            seen.add(ball)
            client.put(ball)
        return seen == {b"ping", b"pong"}


class TreeTest(Scenario):
    def test_multiple_outputs(self):
        for flags in ([], ["--join", "sockets"]):
            with self.subTest(flags=flags):
                root, left, right = free_addresses(3)
                program = self.launch(
                    "run", *flags, "--mq", "--address", root, "--mq", "--address", left,
                    "--mq", "--address", right,
                    *worker("inputdoubler", root, [left, right], "--delay", "0.001"),
                    listening=[root, left, right])
                client = self.client(root)
                messages = [b"m%d" % number for number in range(50)]
                for message in messages:
                    client.put(message)
                for address in (left, right):
                    self.assertEqual(self.take(self.client(address), 50), messages)
                self.assert_clean_stop(program)

    def test_deep_tree(self):
        root, inner, left, right, end = free_addresses(5)
        program = self.launch(
            "run", "--mq", "--address", root, "--mq", "--address", inner, "--mq",
            "--address", left, "--mq", "--address", right, "--mq", "--address", end,
            *worker("double", root, inner),
            *worker("inputdoubler", inner, [left, right]),
            *worker("double", left, end), *worker("passthrough", right, end),
            listening=[root, inner, left, right, end])
        client = self.client(root)
        for number in range(100):
            client.put(str(number))
        found = sorted(int(text) for text in self.take(self.client(end), 200))
        expected = sorted([4 * n for n in range(100)] + [2 * n for n in range(100)])
        self.assertEqual(found, expected)
        self.assert_clean_stop(program)

    def test_router_tree(self):
        sink = self.start(Sink())
        root, one, two = free_addresses(3)
        program = self.launch(
            "run", "--mq", "--address", root, "--mq", "--address", one,
            "--mq", "--address", two,
            *worker("fixrouter", root, [one, two]),
            *worker("fixrouter", root, [one, two]),
            *worker("marketspread", one, sink.address, output_type="socket"),
            *worker("marketspread", two, sink.address, output_type="socket"),
            listening=[root, one, two])
        client = self.client(root)
        symbols = ["BTU", "TSLA", "A", "AA", "MSFT", "IBM"]
        for symbol in symbols:
            client.put(market.fed(market.quote(symbol, "10.0", "10.01")))
        # The two routers may overtake one another: ask until each quote is known.
        for symbol in symbols:
            self.assert_soon(lambda: self.is_known(client, sink, symbol), symbol)
        before = sink.count
        for number in range(120):
            symbol = symbols[number % len(symbols)]
            client.put(market.fed(market.order("o%d" % number, symbol)))
        self.assertTrue(sink.wait_for_count(before + 120))
        self.assertEqual(sorted(sink.results[before:]),
                         sorted(market.accepted(symbol) for symbol in symbols * 20))
        self.assert_clean_stop(program)
        routers = program.final_lines("worker")
        self.assertEqual(sum(line.dropped for line in routers), 0)

    def is_known(self, client, sink, symbol):
        self.probe = getattr(self, "probe", 0) + 1
        before = sink.count
        client.put(market.fed(market.order("probe%d" % self.probe, symbol)))
        sink.wait_for_count(before + 1)
        return sink.results[-1] == market.accepted(symbol)


class DrainTest(Scenario):
    def setUp(self):
        texts, self.results = market.small_session()
        self.path = self.write_file(
            "orders.msg", "".join(map(market.file_line, texts)).encode())
        self.count = len(texts)

    def pipeline(self, queue, sink, *flags):
        return ["run", *flags, "--sink", "--address", sink, "--console-log",
                "--mq", "--address", queue,
                *worker("marketspread", queue, sink, output_type="socket"),
                "--feeder", "--address", queue, "--path", self.path]

    def check_drained(self, result):
        self.assertEqual(result.status, 0, "\n".join(result.stderr))
        lines = [launch.parse_final_line(line) for line in result.stderr]
        counts = {line.kind: line for line in lines if line}
        self.assertEqual(set(counts), {"sink", "mq", "worker", "feeder"})
        self.assertEqual(counts["feeder"].sent, self.count)
        self.assertEqual(counts["mq"].received, self.count)
        self.assertEqual(counts["mq"].sent, self.count)
        self.assertEqual(counts["worker"].received, self.count)
        self.assertEqual(counts["worker"].sent, len(self.results))
        self.assertEqual(counts["sink"].received, len(self.results))
        for line in counts.values():
            self.assertEqual((line.dropped, line.queued), (0, 0), line.text)
        text = "\n".join(result.stderr)
        positions = [text.find(message) for message in self.results]
        self.assertNotIn(-1, positions, text)
        self.assertEqual(positions, sorted(positions))

    def test_exit_when_drained(self):
        result = launch.run_to_end(
            *self.pipeline(*free_addresses(2), "--exit-when-drained"))
        self.check_drained(result)

    def test_exit_when_drained_over_sockets(self):
        result = launch.run_to_end(*self.pipeline(
            *free_addresses(2), "--exit-when-drained", "--join", "sockets"))
        self.check_drained(result)

    def test_plain_names(self):
        result = launch.run_to_end(
            *self.pipeline("trades", "results", "--exit-when-drained"))
        self.check_drained(result)

    def test_exit_when_drained_to_an_external_sink(self):
        sink = self.start(Sink())
        queue = free_address()
        result = launch.run_to_end(
            "run", "--exit-when-drained", "--mq", "--address", queue,
            *worker("marketspread", queue, sink.address, output_type="socket"),
            "--feeder", "--address", queue, "--path", self.path)
        self.assertEqual(result.status, 0, "\n".join(result.stderr))
        self.assertTrue(sink.wait_for_count(len(self.results)))
        self.assertEqual(sink.results, self.results)

    def test_interrupt_drains_what_is_in_flight(self):
        self.interrupt()

    def test_interrupt_drains_what_is_in_flight_over_sockets(self):
        self.interrupt("--join", "sockets")

    def interrupt(self, *flags):
        queue, sink = free_addresses(2)
        lines = "".join(market.file_line(market.order("o%d" % n, "NONE"))
                        for n in range(20000))
        self.path = self.write_file("many.msg", lines.encode())
        arguments = self.pipeline(queue, sink, *flags)
        arguments.remove("--console-log")
        program = self.launch(*arguments, listening=[queue, sink])
        # The feeder may still be feeding when the signal comes.
        self.assert_soon(lambda: self.answers(queue))
        self.assert_clean_stop(program)
        feeder = program.final_line("feeder")
        mq = program.final_line("mq")
        spread = program.final_line("worker")
        end = program.final_line("sink")
        self.assertEqual(feeder.sent, mq.received)
        self.assertEqual(mq.received, mq.sent + mq.queued + mq.dropped)
        self.assertEqual(mq.sent, spread.received)
        self.assertEqual(spread.received, spread.sent)
        self.assertEqual(spread.sent, end.received)


    def test_full_cycle_ends(self):
        """What is on the rings of a cycle comes home to a queue that is full."""
        address = free_address()
        program = self.launch(
            "run", "--mq", "--address", address, "--capacity", "500",
            *worker("passthrough", address, address), listening=[address])
        client = self.client(address)
        text = "m" * 7000  # one to a block: the rings are full with few
        self.assertTrue(any(client.put(text).startswith(b"ERR") for _ in range(20000)))
        self.assert_clean_stop(program)
        mq = program.final_line("mq")
        self.assertEqual(mq.received - mq.sent, mq.queued)


class WiringTest(Scenario):
    def test_external_clients_and_rings_share_one_queue(self):
        address, output = free_addresses(2)
        program = self.launch(
            "run", "--mq", "--address", address, "--mq", "--address", output,
            *worker("passthrough", address, output), listening=[address, output])
        outside = self.start(Queue())
        client, result = self.client(address), self.client(output)
        for number in range(20):
            client.put("in%d" % number)
            result.put("outside")
        found = self.take(result, 40)
        self.assertEqual([text for text in found if text != b"outside"],
                         [b"in%d" % number for number in range(20)])
        self.assertEqual(outside.size, 0)
        self.assert_clean_stop(program)

    def test_defaults_before_the_first_node(self):
        receiver = self.start(MetricsReceiver())
        first, second = free_addresses(2)
        program = self.launch(
            "run", "--metrics-address", receiver.address, "--stats-period", "1",
            "--mq", "--address", first, "--vuid", "ONE",
            "--mq", "--address", second, "--vuid", "TWO", listening=[first, second])
        for vuid in ("ONE", "TWO"):
            self.assertTrue(receiver.wait_for(lambda: receiver.of(vuid)), vuid)
        self.assert_clean_stop(program)

    def route(self, route, *flags, outputs=3, count=300):
        addresses = free_addresses(outputs)
        source = free_address()
        queues = [part for address in addresses
                  for part in ("--mq", "--address", address)]
        program = self.launch(
            "run", "--mq", "--address", source, *queues,
            *worker("passthrough", source, addresses, "--route", route, *flags),
            listening=[source] + addresses)
        client = self.client(source)
        for number in range(count):
            client.put(str(number))
        total = count * outputs if route == "broadcast" else count
        readers = [self.client(address) for address in addresses]
        self.assert_soon(lambda: sum(r.size() for r in readers) == total)
        found = [[int(reader.get()) for _ in range(reader.size())]
                 for reader in readers]
        self.assert_clean_stop(program)
        return found

    def test_routes(self):
        self.assertEqual(self.route("choice"), [list(range(300)), [], []])
        self.assertEqual(self.route("broadcast"), [list(range(300))] * 3)
        self.assertEqual(self.route("round-robin"),
                         [list(range(first, 300, 3)) for first in range(3)])
        one = self.route("random", "--seed", "7")
        self.assertEqual(one, self.route("random", "--seed", "7"))
        self.assertNotEqual(one, self.route("random", "--seed", "8"))
        self.assertTrue(all(one))

    def test_several_inputs_and_replicas(self):
        one, two, output = free_addresses(3)
        program = self.launch(
            "run", "--mq", "--address", one, "--mq", "--address", two,
            "--mq", "--address", output,
            *worker("double", [one, two], output, "--count", "3"),
            listening=[one, two, output])
        for address, offset in ((one, 0), (two, 1000)):
            client = self.client(address)
            for number in range(100):
                client.put(str(offset + number))
        found = sorted(int(text) for text in self.take(self.client(output), 200))
        self.assertEqual(found, [2 * n for n in range(100)]
                         + [2 * (1000 + n) for n in range(100)])
        self.assert_clean_stop(program)


class EndTest(Scenario):
    def test_final_line_of_each_node(self):
        address = free_address()
        program = self.launch(
            "run", "--mq", "--address", address, "--mq", "--address", "second",
            *worker("passthrough", address, "second"), "--sink", "--address", "third",
            *worker("passthrough", "second", "third", output_type="socket"),
            listening=[address])
        for number in range(10):
            self.client(address).put(str(number))
        self.assert_clean_stop(program, number=signal.SIGTERM)
        self.assertEqual(len(program.final_lines()), 5, program.describe())
        self.assertEqual(len(program.final_lines("worker")), 2)

    def test_second_signal_ends_at_once(self):
        address = free_address()
        silent = self.start(Queue(drop=lambda *unused: True))
        program = self.launch(
            "run", "--drain-timeout", "60", "--mq", "--address", address,
            *worker("passthrough", address, silent.address), listening=[address])
        self.client(address).put("x")
        program.send_signal()
        wait_until(lambda: program.process.poll() is not None, 0.3)
        if program.process.poll() is None:
            program.send_signal()
        program.wait(3)

    def check_thread_names(self, threads, expected):
        address = free_address()
        program = self.launch(
            "run", "--threads", threads, "--mq", "--address", address,
            *worker("passthrough", address, "second"), "--mq", "--address", "second",
            listening=[address])
        folder = "/proc/%d/task" % program.pid

        def names():
            found = []
            for task in os.listdir(folder):
                with open("%s/%s/comm" % (folder, task)) as file:
                    found.append(file.read().strip())
            return sorted(found)

        self.assertTrue(wait_until(lambda: names() == expected, 10), names())
        self.assert_clean_stop(program)

    def test_threads_have_readable_names(self):
        self.check_thread_names("per-node", ["millrace", "mq 1", "mq 2", "worker"])
        self.check_thread_names("1", ["millrace", "mq 1+2"])


class IdleTest(Scenario):
    def test_ten_idle_nodes_cost_little_and_answer_at_once(self):
        addresses = free_addresses(5)
        arguments = ["run"]
        for address in addresses:
            arguments += ["--mq", "--address", address]
        for source, target in zip(addresses, addresses[1:]):
            arguments += worker("passthrough", source, target)
        sink = free_address()
        arguments += ["--sink", "--address", sink]
        program = self.launch(*arguments, listening=addresses + [sink])
        client, last = self.client(addresses[0]), self.client(addresses[-1])
        client.put("warm")
        self.take(last, 1)
        pass_time(0.3)  # it goes from busy to parked
        before = program.cpu_seconds()
        begin = time.monotonic()
        pass_time(3.0)
        used = program.cpu_seconds() - before
        elapsed = time.monotonic() - begin
        self.assertLessEqual(used, 0.01 * elapsed + 0.01, "busy while idle")
        begin = time.monotonic()
        client.put("first")
        self.assertLess(time.monotonic() - begin, 0.25)
        self.assertEqual(self.take(last, 1), [b"first"])
        self.assertLess(time.monotonic() - begin, 0.5)
        self.assert_clean_stop(program)

    def thread_states(self, program):
        """The scheduler's letter of each of the program's threads, by name: R runs or could, S sleeps."""
        states = {}
        directory = "/proc/%d/task" % program.pid
        for task in os.listdir(directory):
            with open("%s/%s/stat" % (directory, task)) as file:
                name, rest = file.read().split("(", 1)[1].rsplit(") ", 1)
                states[name] = rest[0]
        return states

    def launch_two_queues(self, *flags):
        address = free_address()
        program = self.launch("run", *flags, "--threads", "per-node", "--mq", "--address", address,
                              "--mq", "--address", "inside", listening=[address])
        return program, self.client(address)

    def test_a_thread_that_polls_never_sleeps(self):
        program, client = self.launch_two_queues("--busy-poll", "0.00005")
        self.assertEqual(client.put("x"), b"PUT 1 bytes")
        # The one without sockets rests as ever; by then the other would, too.
        self.assert_soon(lambda: self.thread_states(program)["mq 2"] == "S")
        for _ in range(1000):
            self.assertEqual(self.thread_states(program)["mq 1"], "R")
        self.assertEqual(client.get(), b"x")
        self.assert_clean_stop(program)

    def test_others_sleep(self):
        program, client = self.launch_two_queues()
        self.assertEqual(client.put("x"), b"PUT 1 bytes")
        self.assert_soon(lambda: self.thread_states(program)["mq 1"] == "S")
        self.assert_clean_stop(program)


if __name__ == "__main__":
    unittest.main()
