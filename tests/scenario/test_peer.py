"""The peer against itself: what the other scenarios measure our nodes with."""

import json
import re
import unittest

import context  # noqa: F401
from peer import feeder, functions, lhhttt
from peer.client import NoAnswer, TcpClient, UdpClient
from peer.hub import Hub
from peer.metrics_receiver import MetricsReceiver, post_of
from peer.queue import Queue
from peer.sink import Sink
from peer.worker import Worker
from support import market, metrics_form


class FrameTest(unittest.TestCase):
    def test_documented_examples(self):
        letters = b"abcdefghijklmnopqrstuvwxyz"
        bold = "\U0001d407\U0001d41e\U0001d425\U0001d425\U0001d428 " \
               "\U0001d430\U0001d428\U0001d42b\U0001d425\U0001d41d"
        examples = [(b"Hello World", b"1bHello World"), (letters, b"21a" + letters),
                    (bold, b"229" + bold.encode()), (b"", b"10"), (b"GET", b"13GET"),
                    (b"SIZE", b"14SIZE"), (b"PUT:ping", b"18PUT:ping")]
        for text, frame in examples:
            self.assertEqual(lhhttt.encode(text), frame)
            self.assertEqual(lhhttt.decode(frame), lhhttt.to_bytes(text))

    def test_lenient_and_malformed(self):
        self.assertEqual(lhhttt.decode(b"3005hello"), b"hello")
        self.assertEqual(lhhttt.decode(b"1BHello World"), b"Hello World")
        for frame in (b"", b"0", b"g", b"1", b"1x", b"15hell", b"15helloo", b"20"):
            with self.assertRaises(lhhttt.Malformed, msg=frame):
                lhhttt.decode(frame)

    def test_stream(self):
        decoder = lhhttt.Decoder(100)
        texts = []
        for byte in b"13GET10" + lhhttt.encode("x" * 40):
            texts += decoder.feed(bytes([byte]))
        self.assertEqual(texts, [b"GET", b"", b"x" * 40])
        self.assertEqual(decoder.feed(b"13GETffffffffffffffff13GET"), [b"GET"])
        self.assertIsInstance(decoder.fault, lhhttt.TooLarge)


class FunctionTest(unittest.TestCase):
    def test_simple_functions(self):
        cases = [("pong", "ping", [(0, "pong")]), ("pong", "pong", [(0, "ping")]),
                 ("double", " -21\n", [(0, "-42")]), ("double", "9" * 50,
                                                     [(0, "1" + "9" * 49 + "8")]),
                 ("inputdoubler", "x", [(0, "x"), (1, "x")])]
        for name, message, expected in cases:
            self.assertEqual(functions.make(name)[1](message), expected)
        for name, message in (("pong", "x"), ("double", "1_0"), ("double", "")):
            with self.assertRaises(functions.FunctionError):
                functions.make(name)[1](message)

    def test_route_of_the_document(self):
        self.assertEqual(functions.route("BTU") % 2, 0)
        self.assertEqual(functions.route("BTU") % 3, 2)

    def test_market_spread(self):
        _, function = functions.make("marketspread")
        texts, results = market.small_session()
        found = []
        for text in texts:
            found += [json.loads(output)["msg"]
                      for _, output in function(market.fed(text))]
        self.assertEqual(found, results)

    def test_market_spread_form(self):
        _, function = functions.make("marketspread")
        text = market.fed(market.order("1", "TSLA"), "1234")
        self.assertEqual(
            function(text),
            [(0, '{"msg": "New Order: (CLIENT35, TSLA, Rejected, 4000.0): '
                 'Rejected: Unknown symbol: TSLA", "feed_time": 1234.0}')])
        output = function(market.fix((35, "D"), (1, "A"), (37, "2"), (55, "\u00fc")))
        self.assertEqual(
            output[0][1],
            '{"msg": "New Order: (A, \\u00fc, Rejected, None): '
            'Rejected: Unknown symbol: \\u00fc", "feed_time": null}')


class QueueTest(unittest.TestCase):
    def test_commands(self):
        with Queue() as queue, UdpClient(queue.address) as client:
            self.assertEqual(client.get(), b"")
            self.assertEqual(client.put("a:b"), b"PUT 3 bytes")
            self.assertEqual(client.put("\u00fc"), b"PUT 2 bytes")
            self.assertEqual(client.size(), 2)
            client.send_raw(b"0rubbish")
            self.assertEqual(client.get(), b"a:b")
            self.assertEqual(client.get(), "\u00fc".encode())
            self.assertEqual(client.ask("put:x"), b"ERR unknown command")
            self.assertEqual(queue.malformed_count, 1)

    def test_faithful_to_the_prototype(self):
        with Queue(faithful=True) as queue, UdpClient(queue.address, 0.1) as client:
            self.assertEqual(client.put("\u00fc"), b"PUT 1 bytes")
            with self.assertRaises(NoAnswer):
                client.ask("HELLO")

    def test_tcp_and_restart(self):
        queue = Queue(tcp=True)
        with queue, TcpClient(queue.address) as client:
            client.send("PUT:1", "PUT:2", "SIZE", "GET", "GET", "GET")
            replies = [client.receive() for _ in range(6)]
            self.assertEqual(replies, [b"PUT 1 bytes"] * 2 + [b"2", b"1", b"2", b""])
            client.send_raw(b"0")
            self.assertTrue(client.receive().startswith(b"ERR "))
            self.assertIsNone(client.receive())
        address = queue.address
        with queue, UdpClient(address) as client:
            self.assertEqual(client.size(), 0)

    def test_leases(self):
        with Queue() as queue, UdpClient(queue.address) as client:
            self.assertEqual(client.ask("LEASE"), b"")
            client.put("a:b")
            client.put("c")
            first, second = client.ask("LEASE"), client.ask("LEASE:60")
            self.assertTrue(first.endswith(b":1:a:b") and second.endswith(b":1:c"))
            token, other = first.partition(b":")[0], second.partition(b":")[0]
            self.assertEqual(client.get(), b"")
            self.assertEqual(client.ask(b"NACK:" + other + b":not: now"), b"OK")
            self.assertEqual(client.ask(b"NACK:" + token), b"OK")
            self.assertEqual(client.ask(b"NACK:" + token), b"OK")
            self.assertEqual(client.ask(b"ACK:" + token), b"ERR lease is over")
            self.assertEqual(queue.nack_reasons, [b"not: now", b""])
            again = client.ask("LEASE")  # in its old place
            self.assertTrue(again.endswith(b":2:a:b"))
            token = again.partition(b":")[0]
            self.assertEqual(client.ask(b"EXTEND:" + token + b":0.001"), b"OK")
            while client.size() < 2:
                pass
            self.assertEqual(client.ask(b"EXTEND:" + token + b":9"), b"ERR lease is over")
            token = client.ask("LEASE").partition(b":")[0]
            for _ in range(2):  # an ACK whose answer was lost
                self.assertEqual(client.ask(b"ACK:" + token), b"OK")
            self.assertEqual(client.ask("ACK:none"), b"ERR unknown lease")
            for wrong in ("LEASE:", "LEASE:-1", "ACK", "EXTEND:x", "EXTEND:x:nan", "PUTID:x"):
                self.assertEqual(client.ask(wrong), b"ERR malformed command", wrong)
            stats = json.loads(client.ask("STATS"))
            self.assertEqual((stats["in"], stats["out"], stats["queued"], stats["in_flight"]),
                             (2, 1, 1, 0))

    def test_ids(self):
        with Queue(capacity=1) as queue, UdpClient(queue.address) as client:
            for _ in range(2):
                self.assertEqual(client.ask("PUTID:i:a:b"), b"PUT 3 bytes")
            self.assertEqual(client.ask("PUTID:k:x"), b"ERR queue full")
            self.assertEqual(client.get(), b"a:b")
            self.assertEqual(client.ask("PUTID:k:x"), b"PUT 1 bytes")
            self.assertEqual(client.ask(b"PUTID:" + b"k" * 65 + b":x"), b"ERR malformed command")
            self.assertEqual(client.ask("SEEN:0aF:l,k,i,m"), b"0aF:0110")
            for wrong in ("SEEN", "SEEN:1", "SEEN:1:", "SEEN::a", "SEEN:g:a", "SEEN:1:a,,b", "SEEN:1:a:b"):
                self.assertEqual(client.ask(wrong), b"ERR malformed command", wrong)
            self.assertEqual(queue.take_all(), [b"x"])

    def test_faithful_knows_no_leases(self):
        with Queue(faithful=True) as queue, UdpClient(queue.address, 0.1) as client:
            client.put("a")
            for command in ("LEASE", "STATS", "PUTID:i:x", "ACK:x", "SEEN:1:i"):
                with self.assertRaises(NoAnswer):
                    client.ask(command)
            self.assertEqual(client.get(), b"a")

    def test_large_message_needs_tcp(self):
        with Queue(tcp=True) as queue, TcpClient(queue.address) as stream, \
                UdpClient(queue.address) as client:
            stream.put(b"x" * 70000)
            self.assertEqual(client.get(), b"ERR message of 70000 bytes needs TCP")
            self.assertEqual(stream.get(), b"x" * 70000)


class PipelineTest(unittest.TestCase):
    def test_market_spread_with_metrics_to_the_hub(self):
        texts, results = market.small_session()
        with Hub() as hub, MetricsReceiver(uri=hub.uri) as receiver:
            report = {"metrics_address": receiver.address, "stats_period": 60}
            with Sink(vuid="SINK", **report) as sink, \
                    Queue(vuid="QUEUE", **report) as queue, \
                    Worker(queue.address, sink.address, "MarketSpread", "socket",
                           delay=0.001, vuid="WORKER", **report):
                with UdpClient(queue.address) as client:
                    for text in texts:
                        client.put(feeder.dress(text.encode(), 1458195070.25))
                self.assertTrue(sink.wait_for_count(len(results)))
                self.assertEqual(sink.results, results)
            for key, count in (("SINK", 4), ("QUEUE", 7), ("WORKER", 4)):
                self.assertTrue(hub.wait_for(lambda: hub.total(key) == count), key)
                for post in hub.of(key):
                    metrics_form.check_post(self, post)
            for datagram in receiver.datagrams:
                metrics_form.check_report(self, datagram)

    def test_worker_survives_lost_replies_and_errors(self):
        def drop(number, command, reply):
            return number in (1, 2) or reply == b"lost"

        with Queue(drop=drop) as queue, Queue() as output, \
                Worker(queue.address, output.address, "pong", answer_timeout=0.05,
                       delay=0.001) as worker:
            self.assertTrue(worker.wait_for(lambda: worker.timeout_count >= 2))
            for message in ("ping", "lost", "x", "pong"):
                queue.put(message)
            self.assertTrue(output.wait_for(lambda: output.size == 2))
            self.assertEqual(output.take_all(), [b"pong", b"ping"])
            self.assertEqual(queue.lost, [b"lost"])
            self.assertEqual(worker.errors, [("x", "Unknown input: 'x'")])

    def test_hub_modes(self):
        for mode in ("error", "hang", "close"):
            with Hub(mode=mode) as hub:
                receiver = MetricsReceiver(uri=hub.uri, post_timeout=0.1)
                with receiver, UdpClient(receiver.address) as client:
                    client.send_raw(b"not JSON")
                    client.send_raw(json.dumps(
                        {"t0": 1e9, "t1": 1e9 + 1, "func": "x", "VUID": "V",
                         "latency_time": None, "latency_count": None,
                         "throughput_in": None, "throughput_out": None}).encode())
                    self.assertTrue(hub.wait_for(lambda: hub.posts), mode)
                self.assertEqual(receiver.malformed_count, 1)
                self.assertEqual(receiver.failed_post_count, 1, mode)


class SmallPartsTest(unittest.TestCase):
    def test_feeder_line(self):
        line = feeder.dress(b' "8=FIX\x0135=D\x01"\r\n', 12.5)
        self.assertEqual(line, b'"8=FIX\x0135=D\x01999=12.5\x01"')
        self.assertTrue(re.fullmatch(rb'"a\x01999=\d+\.\d+\x01"',
                                     feeder.dress(b"a", 1458195070.3131151)))

    def test_idle_report_says_zero_for_each_second(self):
        post = post_of({"t0": 10.2, "t1": 12.5, "VUID": "V", "latency_count": None,
                        "throughput_out": None})
        self.assertEqual(post["topics"], {
            "latency_bins": {}, "throughput_out": {"10": 0, "11": 0, "12": 0}})


if __name__ == "__main__":
    unittest.main()
