"""Our worker between peers: functions, outputs, and a world that fails."""

import json
import unittest

import context  # noqa: F401
from peer import functions
from peer.client import TcpClient
from peer.queue import Queue
from peer.sink import Sink
from support import launch, market
from support.ports import free_address, free_addresses
from support.scenario import Scenario

SYMBOLS = ("BTU", "TSLA", "A", "AA", "MSFT", "IBM", "GOOG", "XOM", "")


class WorkerScenario(Scenario):
    def work(self, function, inputs, outputs, *flags, output_type="queue"):
        """Starts our worker between addresses."""
        arguments = ["worker", "--function", function, "--output-type", output_type,
                     "--delay", "0.001", "--console-log"]
        for text in [inputs] if isinstance(inputs, str) else inputs:
            arguments += ["--input-address", text]
        for text in [outputs] if isinstance(outputs, str) else outputs:
            arguments += ["--output-address", text]
        self.worker = self.launch(*arguments, *flags)
        return self.worker

    def fill(self, messages, **options):
        queue = self.start(Queue(**options))
        for message in messages:
            queue.put(message)
        return queue

    def assert_stops_balanced(self, worker):
        """A clean stop; what the last line says adds up."""
        self.assert_clean_stop(worker)
        line = worker.final_line("worker")
        count = {name: line.counter(name) for name in ("filtered", "multiplied", "dead_letters", "given_back")}
        self.assertEqual(line.received + count["multiplied"],
                         line.sent + line.dropped + line.queued + count["filtered"] + count["dead_letters"]
                         + count["given_back"], line.text)
        return line

    def assert_queue_gets(self, queue, messages, timeout=15.0):
        queue.wait_for(lambda: len(queue.received) >= len(messages), timeout)
        self.assertEqual(queue.received, [text.encode("utf-8", "surrogateescape")
                                          for text in messages],
                         self.worker.describe())


class FunctionTest(WorkerScenario):
    def check(self, function, messages):
        """Our worker does what the peer's function says, to both outputs."""
        expected = []
        for choice, text in self.results(function, messages):
            expected.append(text)
        source = self.fill(messages, faithful=True)
        output = self.start(Queue(faithful=True))
        self.work(function, source.address, output.address)
        self.assert_queue_gets(output, expected)
        self.assertTrue(source.wait_for(lambda: source.size == 0))
        line = self.assert_stops_balanced(self.worker)
        self.assertEqual((line.received, line.sent), (len(messages), len(expected)))
        source = self.fill(messages)
        sink = self.start(Sink())
        self.work(function, source.address, sink.address, output_type="socket")
        self.assertTrue(sink.wait_for_count(len(expected)), self.worker.describe())
        self.assertEqual(sink.datagrams, [text.encode("utf-8", "surrogateescape")
                                          for text in expected])
        self.assert_stops_balanced(self.worker)

    def results(self, function, messages):
        _, call = functions.make(function)
        return [result for message in messages for result in call(message)]

    def test_pong(self):
        self.check("pong", ["ping", "pong", "pong", "ping"])

    def test_passthrough(self):
        messages = ["x", "PUT:x", "a\x00b", "\u00fc", "\U0001d407", ":", "y" * 8000]
        self.check("passthrough", messages)

    def test_bytes_that_are_not_utf8_pass_through(self):
        self.check("passthrough", ["\udcff\udcfe", "\udc80a\x00"])

    def test_double(self):
        self.check("double", ["0", "1", "-1", "+21", " 7 ", "\t8\n", "007", "-0",
                              "5" * 60, "-" + "9" * 60, "1" + "0" * 4000,
                              "99999999999999999999"])

    def test_inputdoubler_with_one_output(self):
        self.check("inputdoubler", ["a", "b", "c"])

    def test_names_in_any_case(self):
        self.check("PassThrough", ["x"])
        self.check("PONG", ["ping"])

    def test_fixrouter_leaves_the_message_alone(self):
        self.check("fixrouter", [market.fed(market.order("1", symbol))
                                 for symbol in SYMBOLS] + ["no fields", "55"])

    def test_marketspread(self):
        texts, _ = market.small_session()
        messages = [market.fed(text) for text in texts]
        self.check("marketspread", messages)

    def test_marketspread_rules_in_detail(self):
        quotes = [("A", "1.00", "1.05"), ("B", "1.00", "1.06"), ("C", "0.10", "0.12"),
                  ("D", "100", "104"), ("E", "100", "106"), ("F", "1e2", "1.5e2")]
        messages = [market.fed(market.quote(*quote)) for quote in quotes]
        messages += [market.fed(market.order("first" + symbol, symbol))
                     for symbol in "ABCDEFG"]
        messages.append(market.fed(market.quote("B", "1.00", "1.01")))
        messages.append(market.fed(market.order("firstB", "B")))
        messages.append(market.fed(market.order("firstB", "B")))
        messages.append(market.fed(market.quote("A", "1.00", "9.00")))
        messages.append(market.fed(market.order("firstA", "A")))
        messages.append(market.fed(market.order("secondA", "A")))
        self.check("marketspread", messages)

    def test_marketspread_numbers_and_strings(self):
        messages = []
        for number, quantity in enumerate(
                ("1337900.0", "1337900.25", "1e22", "1e-5", "0", "-0.0", "100", "0.1",
                 "1e16", "123456789012345678", "0.0001", "1e15",
                 "1.7976931348623157e308", "5e-324", "9007199254740993",
                 "3.14159", "1E5", "+4")):
            messages.append(market.fed(market.order("q%d" % number, "X", quantity)))
        for feed_time in ("1458195070.3131151", "1234", "0.00001", "1e22"):
            messages.append(market.fed(market.order("t", "X"), feed_time))
        for account in ('a"b', "back\\slash", "\u00fc", "\U0001d407", "tab\there",
                        "\x7f", "new\nline", "\x00"):
            messages.append(market.fed(market.order("a", "X", account=account)))
        self.check("marketspread", messages)

    def test_marketspread_absent_fields_and_repeated_tags(self):
        fix = market.fix
        self.check("marketspread", [
            fix((35, "D"), (1, "A"), (11, "i"), (55, "S")),
            fix((35, "D"), (1, "A"), (37, "i"), (55, "S"), (999, "5.5")),
            fix((35, "D"), (1, "A"), (1, "B"), (11, "i"), (55, "S"), (55, "T")),
            fix((35, "S"), (35, "D"), (1, "A"), (11, "i"), (55, "S")),
            fix((35, "S"), (55, "S"), (132, "1"), (133, "1")),
            fix((35, "D"), (1, "A"), (11, "x"), (37, "y"), (55, "S")),
            fix((35, "D"), (1, "A"), (37, "y"), (55, "S")),
            fix((35, "D"), (1, "A"), (37, "z"), (11, "y"), (55, "S")),
            fix((35, "D"), (1, "A"), (11, "x"), (55, "S")),
            fix((35, "8"), (55, "S")), fix((35, "0")), fix((55, "S")),
        ])


class OutputTest(WorkerScenario):
    def test_inputdoubler_to_two_outputs(self):
        messages = ["m%d" % number for number in range(30)]
        source = self.fill(messages)
        outputs = [self.start(Queue()) for _ in range(2)]
        self.work("inputdoubler", source.address, [queue.address for queue in outputs])
        for output in outputs:
            self.assert_queue_gets(output, messages)
        line = self.assert_stops_balanced(self.worker)
        self.assertEqual((line.received, line.sent, line.counter("multiplied")), (30, 60, 30), line.text)

    def test_broadcast(self):
        source = self.fill(["ping", "x", "pong"])
        outputs = [self.start(Queue()) for _ in range(2)]
        self.work("pong", source.address, [queue.address for queue in outputs], "--route", "broadcast")
        for output in outputs:
            self.assert_queue_gets(output, ["pong", "ping"])
        line = self.assert_stops_balanced(self.worker)
        self.assertEqual((line.received, line.sent, line.dropped), (3, 4, 1), line.text)

    def test_fixrouter_routes_like_the_prototype(self):
        messages = [market.fed(market.order("1", symbol)) for symbol in SYMBOLS]
        messages += ["no fields", ""]
        messages = messages[:-1]  # an empty message is an empty queue's answer
        for count in (2, 3):
            source = self.fill(messages)
            outputs = [self.start(Queue()) for _ in range(count)]
            self.work("fixrouter", source.address, [queue.address for queue in outputs])
            for index, output in enumerate(outputs):
                expected = [text for text in messages if functions.route(
                    functions.fix_fields(text).get("55", "")) % count == index]
                self.assert_queue_gets(output, expected)
            where = [index for index, output in enumerate(outputs)
                     if any(b"55=BTU" in text for text in output.received)]
            self.assertEqual(where, [0 if count == 2 else 2])
            self.assert_clean_stop(self.worker)

    def test_several_inputs(self):
        sources = [self.fill(["%s%d" % (name, n) for n in range(20)])
                   for name in ("a", "b", "c")]
        output = self.start(Queue())
        self.work("passthrough", [queue.address for queue in sources], output.address)
        self.assertTrue(output.wait_for(lambda: output.size == 60))
        for name in (b"a", b"b", b"c"):
            self.assertEqual([text for text in output.received if text[:1] == name],
                             [name + b"%d" % n for n in range(20)])

    def test_sizes_of_the_output_in_metrics_form(self):
        source = self.fill([market.fed(market.order("1", "X"))])
        sink = self.start(Sink())
        self.work("marketspread", source.address, sink.address, output_type="socket")
        self.assertTrue(sink.wait_for_count(1))
        self.assertEqual(
            sink.datagrams[0],
            b'{"msg": "New Order: (CLIENT35, X, Rejected, 4000.0): '
            b'Rejected: Unknown symbol: X", "feed_time": 1458195070.25}')
        self.assertEqual(json.loads(sink.datagrams[0])["feed_time"], 1458195070.25)


class ErrorTest(WorkerScenario):
    def test_errors_are_logged_and_counted_and_the_worker_goes_on(self):
        messages = ["ping", "x", "Ping", "pong\n", "pong"]
        source, output = self.fill(messages), self.start(Queue())
        worker = self.work("pong", source.address, output.address)
        self.assert_queue_gets(output, ["pong", "ping"])
        self.assertTrue(source.wait_for(lambda: source.size == 0))
        worker.wait_for_line(launch.LOG_TIME + r".*Unknown input: 'x'")
        line = self.assert_stops_balanced(worker)
        self.assertEqual((line.received, line.sent, line.dropped), (5, 2, 3), line.text)

    def test_bad_numbers(self):
        bad = ["", "x", "1.5", "1e3", "--1", "+", "- 1", "0x10", "1_0", "1 2", "\u0661",
               "\udcff"][1:]
        source, output = self.fill(bad + ["21"]), self.start(Queue())
        self.work("double", source.address, output.address)
        self.assert_queue_gets(output, ["42"])
        self.assert_clean_stop(self.worker)

    def test_fix_without_what_the_rules_need(self):
        fix = market.fix
        bad = [fix((35, "S"), (55, "A"), (132, "1")),
               fix((35, "S"), (55, "A"), (133, "1")),
               fix((35, "S"), (55, "A"), (132, "x"), (133, "1")),
               fix((35, "S"), (55, "A"), (132, ""), (133, "")),
               fix((35, "S"), (132, "1"), (133, "1")),
               fix((35, "D"), (1, "A"), (55, "A")),
               fix((35, "D"), (1, "A"), (11, "i"), (38, "1")),
               fix((35, "D"), (1, "A"), (11, "i"), (38, "many"), (55, "A"))]
        good = market.fed(market.order("1", "A"))
        source, sink = self.fill(bad + [good]), self.start(Sink())
        worker = self.work("marketspread", source.address, sink.address,
                           output_type="socket")
        self.assertTrue(sink.wait_for_count(1), worker.describe())
        self.assertEqual(sink.results, [market.rejected("A", "Unknown symbol: A")])
        self.assert_clean_stop(worker)
        self.assertEqual(worker.final_line("worker").dropped, len(bad))


class FailingWorldTest(WorkerScenario):
    def test_lost_replies_are_asked_for_again(self):
        def drop(number, command, reply):
            return number in (1, 2, 4) or reply == b"lost"

        source, output = self.start(Queue(drop=drop)), self.start(Queue())
        self.work("passthrough", source.address, output.address)
        self.assertTrue(source.wait_for(lambda: source.reply_count >= 5),
                        self.worker.describe())
        for message in ("a", "lost", "b"):
            source.put(message)
        self.assert_queue_gets(output, ["a", "b"])
        self.assertEqual(source.lost, [b"lost"])
        self.assert_clean_stop(self.worker)

    def test_queue_not_yet_up(self):
        address = free_address()
        output = self.start(Queue())
        worker = self.work("passthrough", address, output.address)
        worker.wait_for_line(launch.UNREACHABLE_LINE)
        source = Queue(address)
        source.put("late")
        self.start(source)
        self.assert_queue_gets(output, ["late"])
        self.assertLessEqual(worker.count_lines(launch.UNREACHABLE_LINE), 2,
                             "a line a try, not a line a change\n" + worker.describe())
        self.assert_clean_stop(worker)

    def test_restarted_input_queue(self):
        source, output = self.start(Queue()), self.start(Queue())
        self.work("passthrough", source.address, output.address)
        for number in range(3):
            source.put("before%d" % number)
            self.assertTrue(output.wait_for(lambda: output.size == 2 * number + 1))
            source.stop()
            source.start()
            source.put("after%d" % number)
            self.assertTrue(output.wait_for(lambda: output.size == 2 * number + 2),
                            self.worker.describe())
        self.assert_clean_stop(self.worker)

    def test_restarted_output_queue(self):
        source, output = self.start(Queue()), self.start(Queue())
        worker = self.work("passthrough", source.address, output.address)
        source.put("one")
        self.assertTrue(output.wait_for(lambda: output.size == 1))
        output.stop()
        source.put("into the void")
        self.assertTrue(source.wait_for(lambda: source.size == 0))
        output.start()
        source.put("two")
        self.assertTrue(output.wait_for(lambda: output.received[-1] == b"two"),
                        worker.describe())
        self.assert_clean_stop(worker)

    def test_err_answers_are_not_messages(self):
        address, stream_address = free_address(), "tcp://" + free_address()
        self.launch("mq", "--address", address, "--address", stream_address,
                    listening=[address, stream_address])
        output = self.start(Queue())
        with TcpClient(stream_address) as stream:
            stream.put(b"l" * 70000)
            worker = self.work("passthrough", address, output.address)
            worker.wait_for_line("needs TCP")
            self.assertEqual(output.received, [])
            self.assertEqual(len(stream.get()), 70000)
            stream.put("small")
        self.assert_queue_gets(output, ["small"])
        self.assert_clean_stop(worker)

    def test_stop_while_the_queue_is_silent(self):
        silent, output = self.start(Queue(drop=lambda *_: True)), self.start(Queue())
        worker = self.work("passthrough", silent.address, output.address)
        self.assertTrue(silent.wait_for(lambda: silent.reply_count >= 1))
        self.assert_clean_stop(worker)

    def test_replies_to_puts_are_drained(self):
        messages = ["%d" % number for number in range(3000)]
        source, output = self.fill(messages), self.start(Queue())
        self.work("passthrough", source.address, output.address)
        self.assert_queue_gets(output, messages)
        self.assert_clean_stop(self.worker)


class TcpTest(WorkerScenario):
    def test_input_and_outputs_over_tcp(self):
        source, output = free_addresses(2)
        for address in (source, output):
            self.launch("mq", "--address", address, "--address", "tcp://" + address,
                        listening=[address, "tcp://" + address])
        messages = [b"m%d" % number for number in range(200)] + [b"x" * 70000]
        with TcpClient(source) as client:
            for message in messages:
                client.put(message)
        self.work("passthrough", "tcp://" + source, "tcp://" + output)
        with TcpClient(output) as client:
            self.assertEqual(self.take(client, len(messages)), messages)
        self.assert_clean_stop(self.worker)

    def test_peer_queue_over_tcp(self):
        source, output = self.start(Queue(tcp=True)), self.start(Queue(tcp=True))
        messages = ["m%d" % number for number in range(100)]
        for message in messages:
            source.put(message)
        self.work("passthrough", "tcp://" + source.address, "tcp://" + output.address)
        self.assert_queue_gets(output, messages)
        self.assert_clean_stop(self.worker)

    def test_tcp_queue_that_restarts(self):
        source, output = self.start(Queue(tcp=True)), self.start(Queue(tcp=True))
        self.work("passthrough", "tcp://" + source.address, "tcp://" + output.address)
        source.put("one")
        self.assertTrue(output.wait_for(lambda: output.size == 1))
        source.stop()
        source.start()
        source.put("two")
        self.assertTrue(output.wait_for(lambda: output.size == 2),
                        self.worker.describe())
        self.assert_clean_stop(self.worker)


if __name__ == "__main__":
    unittest.main()
