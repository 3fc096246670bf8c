"""Our sink: results, other text, over UDP and TCP."""

import re
import time
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient, UdpClient
from peer.metrics_receiver import MetricsReceiver
from support import launch, market
from support.ports import free_address
from support.scenario import Scenario


class SinkTest(Scenario):
    def setUp(self):
        self.receiver = self.start(MetricsReceiver())
        self.address = free_address()
        stream_address = "tcp://" + self.address
        self.sink = self.launch(
            "sink", "--address", self.address, "--address", stream_address,
            "--console-log", "--vuid", "S", "--metrics-address", self.receiver.address,
            "--stats-period", "60", listening=[self.address, stream_address])
        self.datagrams = UdpClient(self.address)
        self.stream = TcpClient(self.address)
        self.addCleanup(self.datagrams.close)
        self.addCleanup(self.stream.close)

    def wait_logged(self, text):
        self.sink.wait_for_line(launch.LOG_TIME + ".*" + re.escape(text))

    def latencies(self):
        """The latency bins, after the stop."""
        self.assert_clean_stop(self.sink)
        self.assertTrue(self.receiver.wait_for(lambda: self.receiver.of("S")))
        counts = {}
        for report in self.receiver.of("S"):
            for key, count in (report["latency_count"] or {}).items():
                counts[key] = counts.get(key, 0) + count
        return counts

    def test_results_over_udp_and_tcp(self):
        old = '{"msg": "udp result", "feed_time": %r}' % (time.time() - 5)
        new = '{"msg": "tcp result", "feed_time": %r}' % (time.time() - 0.05)
        self.datagrams.send_raw(old.encode())
        self.wait_logged("udp result")
        self.stream.send_raw(lhhttt.encode(new))
        self.wait_logged("tcp result")
        counts = self.latencies()
        self.assertEqual(counts.pop("10.000000000 s"), 1)
        self.assertEqual(sum(counts.values()), 1)
        self.assertIn(list(counts)[0], ("0.100000000 s", "1.000000000 s"))
        self.assertEqual(self.sink.final_line("sink").received, 2)

    def test_only_the_message_of_a_result_is_logged(self):
        message = market.accepted("TSLA")
        self.datagrams.send_raw(
            ('{"msg": "%s", "feed_time": %r}' % (message, time.time())).encode())
        self.wait_logged(message)
        self.assertEqual(self.sink.count_lines("feed_time"), 0)

    def test_escapes_in_the_message(self):
        self.datagrams.send_raw(
            b'{"msg": "quote \\" slash \\\\ \\u00fc", "feed_time": 1234.0}')
        self.wait_logged('quote " slash \\ \u00fc')

    def test_other_text_is_logged_as_it_came_without_latency(self):
        others = [b"plain text", b"ping", b"{not JSON}", b'{"other": 1}', b"[1, 2]",
                  b"7", b'{"msg": ']
        for text in others:
            self.datagrams.send_raw(text)
            self.wait_logged(text.decode())
        self.stream.send("framed text")
        self.wait_logged("framed text")
        self.assertEqual(self.latencies(), {})
        self.assertEqual(self.sink.final_line("sink").received, len(others) + 1)
        self.assertEqual(self.receiver.total("S", "throughput_in"), len(others) + 1)

    def test_result_without_a_feed_time_has_no_latency(self):
        self.datagrams.send_raw(b'{"msg": "without", "feed_time": null}')
        self.wait_logged("without")
        self.assertEqual(self.latencies(), {})

    def test_hostile_datagrams(self):
        for data in (b"", b"\x00" * 1000, b"\xff\xfe\x80", b"[" * 60000, b"{" * 60000,
                     b'{"msg": ' + b"9" * 60000 + b"}", b'{"msg": "\\ud800"}',
                     b'{"msg": {"a": []}, "feed_time": "x"}', b"x" * 65507,
                     b'{"msg": "a", "feed_time": 1e999}',
                     b'{"msg": "a", "feed_time": -1e300}',
                     b'{"msg": "line\\nbreak", "feed_time": 1.0}',
                     b'{"msg": "a", "feed_time": 1e300}'):
            self.datagrams.send_raw(data)
        self.datagrams.send_raw(b'{"msg": "still there", "feed_time": 1.0}')
        self.wait_logged("still there")
        self.assert_clean_stop(self.sink)

    def test_broken_stream_is_closed_and_others_live(self):
        for data in (b"0", b"GET", b"f" * 16):
            with TcpClient(self.address) as bad:
                bad.send_raw(data)
                while bad.receive() is not None:
                    pass
            self.stream.send("after %r" % data)
            self.wait_logged("after %r" % data)
        self.assert_clean_stop(self.sink)

    def test_burst(self):
        for number in range(500):
            self.stream.send('{"msg": "m%d", "feed_time": %r}' % (number, time.time()))
        self.wait_logged("m499")
        lines = [re.search(r"\bm(\d+)\b", line) for line in self.sink.stderr]
        numbers = [int(match[1]) for match in lines if match]
        self.assertEqual(numbers, list(range(500)))


class LogTest(Scenario):
    def test_levels(self):
        address = free_address()
        sink = self.launch("sink", "--address", address, "--console-log",
                           "--log-level", "error", listening=[address])
        with UdpClient(address) as client:
            client.send_raw(b'{"msg": "quiet", "feed_time": 1.0}')
        self.assert_clean_stop(sink)
        self.assertEqual(sink.final_line("sink").received, 1)
        self.assertEqual(sink.count_lines("quiet"), 0)


if __name__ == "__main__":
    unittest.main()
