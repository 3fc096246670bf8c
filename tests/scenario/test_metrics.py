"""Metrics: our nodes' datagrams, our receiver's posts, and a hub that fails."""

import base64
import json
import math
import re
import time
import unittest

import context  # noqa: F401
from peer.client import TcpClient, UdpClient
from peer.hub import Hub
from peer.metrics_receiver import MetricsReceiver
from peer.queue import Queue
from support import metrics_form
from support.conditions import pass_time
from support.ports import free_address, free_addresses
from support.scenario import Scenario

EXAMPLE = {
    "t0": 1458195068.309974, "t1": 1458195070.3131151, "func": "Marketspread",
    "VUID": "NODE_2",
    "latency_time": {"0.000100000 s": 0.131, "0.000010000 s": 0.0001,
                     "10.000000000 s": 4.5, "1.000000000 s": 0.5,
                     "0.000000100 s": 1e-7},
    "latency_count": {"0.000100000 s": 2449, "0.000010000 s": 12,
                      "10.000000000 s": 1, "1.000000000 s": 1, "0.000000100 s": 1},
    "throughput_in": {"1458195068": 1, "1458195069": 1507, "1458195070": 2},
    "throughput_out": {"1458195068": 1, "1458195069": 1507, "1458195070": 2}}


class DatagramTest(Scenario):
    def setUp(self):
        self.receiver = self.start(MetricsReceiver())
        self.flags = ["--metrics-address", self.receiver.address, "--stats-period", "1"]

    def reports(self):
        with self.receiver.changed:
            datagrams = list(self.receiver.datagrams)
        return [metrics_form.check_report(self, datagram) for datagram in datagrams]

    def wait_for_flow(self, vuid, member, count):
        self.assertTrue(self.receiver.wait_for(
            lambda: self.receiver.total(vuid, member) >= count), vuid)

    def test_queue(self):
        address = free_address()
        queue = self.launch_queue(address, *self.flags, "--vuid", "NODE_1")
        client = self.client(address)
        for _ in range(20):
            client.put("x")
        pass_time(0.15)  # the latency that is measured
        for _ in range(20):
            client.get()
        client.get()
        self.wait_for_flow("NODE_1", "throughput_out", 20)
        self.assert_clean_stop(queue)
        reports = self.reports()
        self.assertEqual({(report["func"], report["VUID"]) for report in reports},
                         {("Messagequeue", "NODE_1")})
        counts, times = {}, {}
        for report in reports:
            for key, count in (report["latency_count"] or {}).items():
                counts[key] = counts.get(key, 0) + count
                times[key] = times.get(key, 0) + report["latency_time"][key]
        self.assertEqual(sum(counts.values()), 20)
        slow = [key for key in counts if float(key.split()[0]) >= 1]
        self.assertEqual(sum(counts[key] for key in slow), 20, counts)
        self.assertGreaterEqual(sum(times.values()), 20 * 0.15)
        for member in ("throughput_in", "throughput_out"):
            self.assertEqual(self.receiver.total("NODE_1", member), 20)

    def test_queue_over_tcp(self):
        """One message, put and taken by commands that are read one at a time."""
        address = "tcp://" + free_address()
        queue = self.launch("mq", "--address", address, *self.flags, "--vuid", "NODE_1", listening=[address])
        with TcpClient(address) as client:
            client.put("x")
            pass_time(0.15)
            self.assertEqual(client.get(), b"x")
        self.wait_for_flow("NODE_1", "throughput_out", 1)
        self.assert_clean_stop(queue)
        seconds = [sum(report["latency_time"].values()) for report in self.reports() if report["latency_time"]]
        self.assertEqual(len(seconds), 1)
        self.assertGreaterEqual(seconds[0], 0.15)

    def test_worker_and_sink(self):
        source = self.start(Queue())
        sink = free_address()
        nodes = [self.launch("sink", "--address", sink, *self.flags, "--vuid", "S",
                             listening=[sink]),
                 self.launch("worker", "--input-address", source.address,
                             "--output-address", sink, "--output-type", "socket",
                             "--function", "INPUTDOUBLER", "--delay", "0.001",
                             *self.flags, "--vuid", "W")]
        for _ in range(30):
            source.put('{"msg": "x", "feed_time": %r}' % (time.time() - 0.5))
        self.wait_for_flow("S", "throughput_in", 60)
        for node in reversed(nodes):
            self.assert_clean_stop(node)
        reports = self.reports()
        self.assertEqual({(report["func"], report["VUID"]) for report in reports},
                         {("Sink", "S"), ("InputDoubler", "W")})
        self.assertEqual(self.receiver.total("W", "throughput_in"), 30)
        self.assertEqual(self.receiver.total("W", "throughput_out"), 60)
        self.assertEqual(self.receiver.total("S", "throughput_out"), 60)
        latencies = {"W": 0, "S": 0}
        for report in reports:
            for key, count in (report["latency_count"] or {}).items():
                latencies[report["VUID"]] += count
                if report["VUID"] == "S":
                    self.assertGreaterEqual(float(key.split()[0]), 1.0)
        self.assertEqual(latencies, {"W": 30, "S": 60})

    def test_function_names(self):
        source = self.start(Queue())
        names = ["Pong", "Passthrough", "Double", "InputDoubler", "Fixrouter",
                 "Marketspread"]
        workers = [self.launch("worker", "--input-address", source.address,
                               "--output-address", source.address, "--function",
                               name.upper(), "--delay", "0.01", *self.flags)
                   for name in names]
        self.assertTrue(self.receiver.wait_for(
            lambda: len({report["VUID"] for report in self.receiver.reports}) >= 6))
        for worker in workers:
            self.assert_clean_stop(worker)
        self.assertEqual({report["func"] for report in self.reports()}, set(names))

    def test_default_vuid_and_nothing_to_say(self):
        address = free_address()
        queue = self.launch_queue(address, *self.flags)
        self.assertTrue(self.receiver.wait_for(lambda: len(self.receiver.reports) >= 3))
        self.assert_clean_stop(queue)
        reports = self.reports()
        vuid, = {report["VUID"] for report in reports}
        self.assertTrue(re.fullmatch(rb"\d{6}", base64.urlsafe_b64decode(vuid)), vuid)
        for report in reports:
            for member in ("latency_time", "latency_count", "throughput_in",
                           "throughput_out"):
                self.assertIsNone(report[member])

    def test_on_the_second_without_drift(self):
        address = free_address()
        self.launch_queue(address, *self.flags)
        self.assertTrue(self.receiver.wait_for(lambda: len(self.receiver.reports) >= 4))
        reports = self.reports()
        for one, two in zip(reports, reports[1:]):
            self.assertAlmostEqual(one["t1"], two["t0"], delta=0.001)
            self.assertAlmostEqual(two["t1"] - one["t1"], 1.0, delta=0.2)

    def test_nobody_at_the_metrics_address(self):
        self.receiver.stop()
        address = free_address()
        queue = self.launch_queue(address, *self.flags)
        client = self.client(address)
        begin = time.monotonic()
        while time.monotonic() - begin < 1.5:
            client.put("x")
            self.assertEqual(client.get(), b"x")
        self.receiver.start()
        self.assertTrue(self.receiver.wait_for(lambda: self.receiver.reports))
        self.assert_clean_stop(queue)


class ReceiverTest(Scenario):
    def setUp(self):
        self.hub = self.start(Hub())
        self.address = free_address()
        self.program = self.launch("metrics-receiver", "--address", self.address,
                                   "--uri", self.hub.uri, "--console-log",
                                   listening=[self.address])
        self.sender = UdpClient(self.address)
        self.addCleanup(self.sender.close)

    def send(self, **changes):
        report = dict(EXAMPLE, **changes)
        self.sender.send_raw(json.dumps(report).encode())

    def next_post(self, number=1):
        self.assertTrue(self.hub.wait_for(lambda: len(self.hub.posts) >= number),
                        self.program.describe())
        return metrics_form.check_post(self, self.hub.posts[number - 1])

    def test_post_of_the_documented_datagram(self):
        self.send()
        self.assertEqual(self.next_post(), {
            "pipeline_key": "NODE_2", "t1": 1458195070.3131151,
            "t0": 1458195068.309974,
            "topics": {"latency_bins": {"0.0001": 2449, "1e-05": 12, "10.0": 1,
                                        "1.0": 1, "1e-07": 1},
                       "throughput_out": EXAMPLE["throughput_out"]}})

    def test_table_names_node_and_function(self):
        self.send()
        self.program.wait_for_line("NODE_2")
        self.program.wait_for_line("Marketspread")

    def test_nothing_flowed(self):
        self.send(t0=1458195068.25, t1=1458195070.5, latency_time=None,
                  latency_count=None, throughput_in=None, throughput_out=None)
        self.assertEqual(self.next_post()["topics"], {
            "latency_bins": {},
            "throughput_out": {"1458195068": 0, "1458195069": 0, "1458195070": 0}})

    def test_some_seconds_without_data(self):
        self.send(throughput_out={"1458195069": 7})
        counts = self.next_post()["topics"]["throughput_out"]
        self.assertEqual(counts.pop("1458195069"), 7)
        self.assertEqual(set(counts.values()) - {0}, set())

    def test_escapes_in_the_key(self):
        self.send(VUID='quote " back \\ \u00fc \U0001d407')
        self.assertEqual(self.next_post()["pipeline_key"],
                         'quote " back \\ \u00fc \U0001d407')

    def test_bad_datagrams_are_named_and_the_next_is_posted(self):
        hostile = [b"", b"not JSON", b"{", b"[]", b"null", b"1e999", b"{}", b"\xff\xfe",
                   b"\x00" * 100, b"[" * 60000, b'{"t0": 1}', b'"' + b"x" * 60000]
        for data in hostile:
            self.sender.send_raw(data)
        for changes in ({"t0": "x"}, {"t0": None}, {"t1": [], "VUID": 7},
                        {"latency_count": []}, {"latency_count": {"x": 1}},
                        {"latency_count": {"0.1 s": "many"}}, {"throughput_out": 5},
                        {"throughput_out": {"1458195069": {}}}, {"t1": 1e300},
                        {"t0": -1e300}, {"t0": 0.0, "throughput_out": None}):
            self.send(**changes)
        self.send(VUID="GOOD")
        self.assertTrue(self.hub.wait_for(lambda: self.hub.of("GOOD")),
                        self.program.describe())
        self.program.wait_for_line("(?i)json")
        self.assert_clean_stop(self.program)

    def test_many_nodes_at_once(self):
        for number in range(200):
            self.send(VUID="KEY%d" % number)
        self.assertTrue(self.hub.wait_for(lambda: len(self.hub.posts) >= 200))
        keys = [post.message["pipeline_key"] for post in self.hub.posts]
        self.assertEqual(sorted(keys), sorted("KEY%d" % n for n in range(200)))

    def test_hub_that_recovers(self):
        self.hub.mode = "error"
        self.send(VUID="LOST")
        self.assertTrue(self.hub.wait_for(lambda: self.hub.of("LOST")))
        self.hub.mode = "ok"
        self.send(VUID="FOUND")
        self.assertTrue(self.hub.wait_for(lambda: self.hub.of("FOUND")))
        self.assert_clean_stop(self.program)


class FailingHubTest(Scenario):
    def exchange(self, address, seconds=1.3):
        """PUT and GET for longer than a period: none waits, none is lost."""
        client = self.client(address)
        begin = time.monotonic()
        slowest, count = 0.0, 0
        while time.monotonic() - begin < seconds:
            before = time.monotonic()
            client.put("x%d" % count)
            self.assertEqual(client.get(), b"x%d" % count)
            slowest = max(slowest, time.monotonic() - before)
            count += 1
        self.assertLess(slowest, 0.7, "the hub's trouble reached the queue")
        self.assertGreater(count, 200)
        return count

    def hub_in(self, mode):
        if mode == "refuse":
            return "http://%s/post" % free_address()
        return self.start(Hub(mode=mode, delay=3.0)).uri

    def test_receiver(self):
        for mode in ("error", "hang", "close", "slow", "refuse"):
            with self.subTest(mode=mode):
                metrics, queue = free_addresses(2)
                receiver = self.launch("metrics-receiver", "--address", metrics,
                                       "--uri", self.hub_in(mode), listening=[metrics])
                program = self.launch_queue(queue, "--metrics-address", metrics,
                                            "--stats-period", "1")
                count = self.exchange(queue)
                self.assert_clean_stop(program)
                line = program.final_line("mq")
                self.assertEqual((line.received, line.sent), (count, count))
                self.assert_clean_stop(receiver)

    def test_straight_from_a_launch(self):
        for mode in ("hang", "error", "refuse"):
            with self.subTest(mode=mode):
                queue = free_address()
                program = self.launch(
                    "run", "--metrics-uri", self.hub_in(mode), "--stats-period", "1",
                    "--mq", "--address", queue, listening=[queue])
                self.exchange(queue)
                self.assert_clean_stop(program)


class IdleTest(Scenario):
    def test_a_post_a_second_for_each_key_while_idle(self):
        hub = self.start(Hub())
        queue, sink = free_addresses(2)
        keys = ("NODE_1", "NODE_2", "MARKET_SPREAD")
        program = self.launch(
            "run", "--metrics-uri", hub.uri, "--stats-period", "1",
            "--mq", "--address", queue, "--vuid", keys[0],
            "--worker", "--input-address", queue, "--output-address", sink,
            "--output-type", "socket", "--function", "marketspread", "--vuid", keys[1],
            "--sink", "--address", sink, "--vuid", keys[2], listening=[queue, sink])
        begin = time.time()
        self.assertTrue(hub.wait_for(
            lambda: all(len(hub.of(key)) >= 4 for key in keys)))
        end = time.time()
        self.assert_clean_stop(program)
        self.assertLess(end - begin, 5.5)
        for key in keys:
            posts = hub.of(key)
            counts = metrics_form.check_every_second(
                self, posts, first=math.floor(begin) + 1, last=math.floor(end) - 1)
            self.assertEqual(set(counts.values()), {0})
            for post in posts:
                self.assertEqual(post.message["topics"]["latency_bins"], {})


if __name__ == "__main__":
    unittest.main()
