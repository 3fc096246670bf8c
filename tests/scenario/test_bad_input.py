"""Hostile input of whole launches, and logs on a disk that is full."""

import glob
import os
import random
import resource
import shutil
import subprocess
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient, UdpClient
from peer.sink import Sink
from support import market
from support.ports import free_address, free_addresses
from support.scenario import Scenario

LOG_LIMIT_BYTES = 65536
DISK_BYTES = 65536


class HostileTextTest(Scenario):
    def setUp(self):
        self.sink = self.start(Sink())
        self.address = free_address()
        stream_address = "tcp://" + self.address
        self.program = self.launch(
            "run", "--console-log", "--log-level", "error",
            "--mq", "--address", self.address, "--address", stream_address,
            "--worker", "--function", "marketspread", "--input-address", self.address,
            "--output-address", self.sink.address, "--output-type", "socket",
            listening=[self.address, stream_address])
        self.stream = TcpClient(self.address)
        self.addCleanup(self.stream.close)

    def assert_goes_on(self):
        """An order that comes after is answered."""
        before = self.sink.count
        self.stream.put(market.fed(market.order("last%d" % before, "GOOD")))
        self.assertTrue(self.sink.wait_for(
            lambda: market.rejected("GOOD", "Unknown symbol: GOOD")
            in self.sink.results[before:]), self.program.describe())

    def test_absurd_numbers(self):
        numbers = ["1e400", "-1e400", "nan", "inf", "-inf", "1" * 5000,
                   "0." + "0" * 5000, "1e-400", "1e99999999999", "", " ", "+", "-", ".",
                   "e", "1e", "0x10", "1_0", "\x00", "\u0661", "1.2.3"]
        for number in numbers:
            self.stream.put(market.fed(market.quote("N", number, "1.0")))
            self.stream.put(market.fed(market.quote("N", "1.0", number)))
            self.stream.put(market.fed(market.quote("N", number, number)))
            self.stream.put(market.fed(market.order("n", "N", number)))
            self.stream.put(market.fed(market.order("t", "N"), number))
        self.stream.put(market.fed(market.quote("N", "0", "0")))
        self.stream.put(market.fed(market.quote("N", "-1", "1")))
        self.assert_goes_on()

    def test_no_fields(self):
        for text in (b"", b'""', b"=", b"\x01", b"\x01" * 60000, b"=" * 60000,
                     b"35=D", b"35", b"35=", b"=D", b'"35=D\x01"', b"\xff\xfe\x80",
                     b"35=S\x01132=\xff\x01133=\xff\x0155=\xff", b"999=1\x0135=D",
                     b"\x00" * 1000, b"35=D\x00\x0111=1\x0155=A"):
            self.stream.put(text)
        self.assert_goes_on()

    def test_names_that_are_not_utf8(self):
        self.stream.put(b'"35=D\x011=\xff\xfe\x0111=\x80\x0155=\xc3\x28'
                        b'\x01999=1.0\x01"')
        self.assert_goes_on()

    def test_a_megabyte_long(self):
        long = "x" * 1000000
        self.stream.put(market.fed(market.order("m", "S", account=long)))
        self.stream.put(market.fed(market.order(long, "S")))
        self.stream.put(market.fed(market.order("m", long)))
        self.stream.put(market.fed(market.quote(long, "1", "2")))
        self.stream.put(("35=D\x01" + "7=x\x01" * 250000).encode())
        self.stream.put(long)
        self.assert_goes_on()

    def test_random_bytes_everywhere(self):
        source = random.Random(20151204)
        with UdpClient(self.address) as datagrams:
            for _ in range(500):
                data = source.randbytes(source.randrange(300))
                datagrams.send_raw(data)
                self.stream.put(data)
                datagrams.send_raw(lhhttt.encode(data))
        for _ in range(50):
            with TcpClient(self.address) as hostile:
                hostile.sock.settimeout(2)
                try:
                    hostile.send_raw(source.randbytes(source.randrange(1, 2000)))
                except ConnectionError:
                    pass  # refused by the first bytes
        self.assert_goes_on()
        self.assert_clean_stop(self.program)


class HostileWorldOfAWorkerTest(Scenario):
    def test_queue_that_answers_rubbish(self):
        replies = [b"", b"0", b"13GE", b"xyz", b"\x00" * 100, b"f" * 16, b"f" * 60000]
        rubbish = self.start(RubbishQueue(replies))
        sink = self.start(Sink())
        worker = self.launch("worker", "--function", "passthrough", "--input-address",
                             rubbish.address, "--output-address", sink.address,
                             "--output-type", "socket", "--delay", "0.001")
        self.assertTrue(sink.wait_for_count(1, 30), worker.describe())
        self.assertEqual(sink.datagrams[0], b"good")
        self.assert_clean_stop(worker)


class RubbishQueue(Sink):
    """Answers each datagram with the next of some bytes, then sensibly."""

    def __init__(self, replies):
        super().__init__()
        self.replies = list(replies) + [lhhttt.encode("good")]

    def _on_datagrams(self, sock):
        try:
            _, sender = sock.recvfrom(65536)
        except OSError:
            return
        sock.sendto(self.replies.pop(0) if self.replies else b"10", sender)


class LogTest(Scenario):
    def run_sink(self, *flags):
        self.directory = self.temporary_directory()
        self.address = free_address()
        self.program = self.launch(
            "sink", "--address", self.address, "--address", "tcp://" + self.address,
            "--file-log", *flags, directory=self.directory,
            listening=[self.address, "tcp://" + self.address])

    def send(self, first, last):
        with TcpClient(self.address) as client:
            for number in range(first, last):
                client.send("%06d %s" % (number, "x" * 100))
            client.sock.shutdown(1)
            while client.receive() is not None:
                pass

    def log_files(self, directory=None):
        return glob.glob(os.path.join(directory or self.directory, "logs", "*"))

    def test_name_and_form_of_the_log(self):
        self.run_sink()
        self.send(0, 3)
        with UdpClient(self.address) as client:
            client.send_raw(b'{"msg": "result", "feed_time": 1458195070.25}')
        self.assert_clean_stop(self.program)
        path, = self.log_files()
        port = self.address.rpartition(":")[2]
        self.assertRegex(os.path.basename(path),
                         r"(?i)^sink\.127\.0\.0\.1[:_.-]%s\.[0-9a-f-]+\.log$" % port)
        with open(path) as file:
            lines = file.read().splitlines()
        for line in lines:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} ")
        for number in range(3):
            self.assertTrue([line for line in lines if "%06d x" % number in line])
        self.assertTrue([line for line in lines if "latency" in line.lower()])

    def test_logs_rotate(self):
        self.run_sink("--log-max-bytes", str(LOG_LIMIT_BYTES))
        self.send(0, 5000)
        self.assert_clean_stop(self.program)
        sizes = {path: os.path.getsize(path) for path in self.log_files()}
        self.assertGreater(len(sizes), 1, sizes)
        for path, size in sizes.items():
            self.assertLessEqual(size, LOG_LIMIT_BYTES + 4096, path)
        self.assertLess(sum(sizes.values()), 5000 * 100, "nothing is ever dropped")
        self.assertTrue(self.is_logged("%06d x" % 4999))

    def is_logged(self, text):
        for path in self.log_files():
            with open(path, "rb") as file:
                if text.encode() in file.read():
                    return True
        return False

    def test_log_line_breaks_cannot_be_forged(self):
        self.run_sink()
        with UdpClient(self.address) as client:
            client.send_raw(b"one\n2016-04-08 14:30:00.123456 forged")
        self.send(0, 1)
        self.assert_clean_stop(self.program)
        for path in self.log_files():
            with open(path) as file:
                self.assertFalse([line for line in file
                                  if line.startswith("2016-04-08 14:30")])


class FullDiskTest(Scenario):
    def setUp(self):
        self.directory = self.temporary_directory()
        self.is_mounted = self.mount_small_disk()

    def mount_small_disk(self):
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return False
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=%d" % DISK_BYTES, "none",
             self.directory], stderr=subprocess.DEVNULL, timeout=10)
        if done.returncode != 0:
            return False
        self.addCleanup(subprocess.run, ["umount", "-l", self.directory], timeout=10)
        return True

    def test_a_full_disk_costs_no_message(self):
        address, sink_address = free_addresses(2)
        program = self.launch(
            "run", "--file-log", "--console-log", "--log-level", "debug",
            "--mq", "--address", address, "--worker", "--function", "passthrough",
            "--input-address", address, "--output-address", sink_address,
            "--output-type", "socket", "--sink", "--address", sink_address,
            directory=self.directory, listening=[address, sink_address])
        if not self.is_mounted:
            resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (20000, 20000))
        client = self.client(address)
        for number in range(1000):
            client.put("%06d %s" % (number, "y" * 200))
        program.wait_for_line("%06d y" % 999)
        program.wait_for_line("(?i)no space|too large|full")
        self.assert_clean_stop(program)
        self.assertEqual(program.final_line("sink").received, 1000)
        self.assertLess(program.count_lines("(?i)no space|too large"), 20,
                        "the trouble is said once, not for every line")


if __name__ == "__main__":
    unittest.main()
