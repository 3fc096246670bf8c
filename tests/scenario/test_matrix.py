"""Every mixture of our nodes and the peer's delivers the same messages."""

import contextlib
import itertools
import re
import unittest

import context  # noqa: F401
from peer import feeder as peer_feeder
from peer.client import UdpClient
from peer.hub import Hub
from peer.metrics_receiver import MetricsReceiver
from peer.queue import Queue
from peer.sink import Sink
from peer.worker import Worker
from support import launch, market, metrics_form
from support.conditions import wait_until
from support.ports import free_address
from support.scenario import Scenario

OURS, PEER, CLIENT = "ours", "peer", "client"
QUEUE_KEY, WORKER_KEY, SINK_KEY = "NODE_1", "NODE_2", "MARKET_SPREAD"


class Cell:
    """One mixture: five nodes, each ours or the peer's, and the hub."""

    def __init__(self, test, queue, worker, feeder, sink, receiver, path):
        self.test = test
        self.kinds = {"queue": queue, "worker": worker, "feeder": feeder,
                      "sink": sink, "receiver": receiver}
        self.path = path
        self.texts, self.results = market.small_session()
        self.nodes = contextlib.ExitStack()

    def run(self):
        with self.nodes, Hub() as hub:
            self.hub = hub
            self.report_to = self.start_receiver()
            self.sink_address = self.start_sink()
            self.queue_address = self.start_queue()
            self.start_worker()
            self.feed()
            self.check_results()
            self.stop_nodes()
            self.check_posts()
            self.stop(self.receiver)

    def report_flags(self, vuid):
        return ["--metrics-address", self.report_to, "--stats-period", "60",
                "--vuid", vuid]

    def report_options(self, vuid):
        return {"metrics_address": self.report_to, "stats_period": 60, "vuid": vuid}

    def ours(self, *arguments, listening=()):
        program = launch.Program(*arguments)
        self.nodes.callback(program.close)
        return program.wait_until_listening(*listening) if listening else program

    def peer(self, service):
        self.nodes.callback(service.stop)
        return service.start()

    def start_receiver(self):
        if self.kinds["receiver"] == PEER:
            self.receiver = self.peer(MetricsReceiver(uri=self.hub.uri))
            return self.receiver.address
        address = free_address()
        self.receiver = self.ours("metrics-receiver", "--address", address,
                                  "--uri", self.hub.uri, listening=[address])
        return address

    def start_sink(self):
        if self.kinds["sink"] == PEER:
            self.sink = self.peer(Sink(**self.report_options(SINK_KEY)))
            return self.sink.address
        address = free_address()
        self.sink = self.ours("sink", "--address", address, "--console-log",
                              *self.report_flags(SINK_KEY), listening=[address])
        return address

    def start_queue(self):
        if self.kinds["queue"] == PEER:
            self.queue = self.peer(
                Queue(faithful=True, **self.report_options(QUEUE_KEY)))
            return self.queue.address
        address = free_address()
        self.queue = self.ours("mq", "--address", address,
                               *self.report_flags(QUEUE_KEY), listening=[address])
        return address

    def start_worker(self):
        if self.kinds["worker"] == PEER:
            self.worker = self.peer(Worker(
                self.queue_address, self.sink_address, "marketspread", "socket",
                delay=0.001, **self.report_options(WORKER_KEY)))
            return
        self.worker = self.ours(
            "worker", "--input-address", self.queue_address, "--output-address",
            self.sink_address, "--output-type", "socket", "--function", "marketspread",
            "--delay", "0.001", *self.report_flags(WORKER_KEY))

    def feed(self):
        kind = self.kinds["feeder"]
        if kind == PEER:
            peer_feeder.feed(self.queue_address, [self.path])
        elif kind == OURS:
            result = launch.run_to_end("feeder", "--address", self.queue_address,
                                       "--path", self.path)
            self.test.assertEqual(result.status, 0, result.stderr)
        else:
            for text in self.texts:
                message = market.fed(text)
                result = launch.run_to_end("client", self.queue_address,
                                           "PUT:" + message)
                self.test.assertIn("Data received: 'PUT %d bytes'" % len(message),
                                   result.stdout)

    def check_results(self):
        if self.kinds["sink"] == OURS:
            for message in self.results:
                self.sink.wait_for_line(launch.LOG_TIME + ".*" + re.escape(message))
        else:
            self.test.assertTrue(self.sink.wait_for_count(len(self.results)))
            self.test.assertEqual(self.sink.results, self.results)
            for datagram, message in zip(self.sink.datagrams, self.results):
                self.test.assertRegex(datagram.decode("ascii"),
                                      market.result_pattern(message))
        with UdpClient(self.queue_address) as client:
            self.test.assertTrue(wait_until(lambda: client.size() == 0))

    def stop(self, node):
        status = node.stop()
        if isinstance(node, launch.Program):
            self.test.assertEqual(status, 0, node.describe())

    def stop_nodes(self):
        for node in (self.worker, self.queue, self.sink):
            self.stop(node)
        if self.kinds["sink"] == OURS:
            found = self.sink.count_lines("New Order: ")
            self.test.assertEqual(found, len(self.results), self.sink.describe())

    def check_posts(self):
        expected = {QUEUE_KEY: len(self.texts), WORKER_KEY: len(self.results),
                    SINK_KEY: len(self.results)}
        for key, count in expected.items():
            self.test.assertTrue(
                self.hub.wait_for(lambda: self.hub.total(key) >= count), key)
            self.test.assertEqual(self.hub.total(key), count, key)
        for post in list(self.hub.posts):
            metrics_form.check_post(self.test, post)


class MatrixTest(Scenario):
    def run_cells(self, queue):
        texts, _ = market.small_session()
        path = self.write_file("session.msg",
                               "".join(map(market.file_line, texts)).encode())
        both = (OURS, PEER)
        for worker, feeder, sink, receiver in itertools.product(
                both, (OURS, CLIENT, PEER), both, both):
            with self.subTest(queue=queue, worker=worker, feeder=feeder, sink=sink,
                              receiver=receiver):
                Cell(self, queue, worker, feeder, sink, receiver, path).run()

    def test_around_our_queue(self):
        self.run_cells(OURS)

    def test_around_the_peer_queue(self):
        self.run_cells(PEER)


if __name__ == "__main__":
    unittest.main()
