"""Closed, full and exhausted descriptors: of the terminal, of connections, of pipes."""

import collections
import fcntl
import os
import re
import select
import signal
import socket
import struct
import subprocess
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import NoAnswer, TcpClient, UdpClient
from peer.queue import Queue
from peer.sink import Sink
from support import launch
from support.conditions import wait_until
from support.ports import free_address
from support.scenario import Scenario

PIPE_BYTES = 4096
F_SETPIPE_SZ = 1031  # fcntl(2); the fcntl module of older Pythons lacks it


class TerminalTest(Scenario):
    def start_with(self, *arguments, **streams):
        process = subprocess.Popen([launch.binary(), *arguments],
                                   stdin=subprocess.DEVNULL, **streams)
        self.addCleanup(process.wait, launch.STOP_TIMEOUT_S)
        self.addCleanup(process.kill)
        return process

    def stopped_reader(self):
        """The writing end of a small pipe that nobody reads."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        fcntl.fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES)
        return writer

    def fill(self, pipe, address):
        """Has the nodes behind a queue log until nobody takes their lines."""
        client = self.client(address, 0.5)
        self.assert_soon(lambda: self.answers(address))
        for _ in range(200):
            client.put("x" * 300)
        self.assert_soon(lambda: not select.select([], [pipe], [], 0)[1])

    def full_terminal(self, *flags):
        address = free_address()
        pipe = self.stopped_reader()
        process = self.start_with(
            "run", *flags, "--console-log", "--log-level", "debug", "--mq", "--address",
            address, "--worker", "--input-address", address, "--output-address", "end",
            "--function", "passthrough", "--sink", "--address", "end",
            stdout=subprocess.DEVNULL, stderr=pipe)
        self.fill(pipe, address)
        return process

    def test_a_stop_ends_though_nobody_reads_the_log(self):
        process = self.full_terminal("--drain-timeout", "0.1")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(launch.STOP_TIMEOUT_S), 1)

    def test_a_second_signal_ends_though_nobody_reads_the_log(self):
        process = self.full_terminal("--drain-timeout", "600")
        process.send_signal(signal.SIGINT)
        self.assertFalse(wait_until(lambda: process.poll() is not None, 0.2))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(launch.STOP_TIMEOUT_S), 1)

    def is_at_its_summary(self, process):
        """Nobody looks at the signals any more."""
        with open("/proc/%d/status" % process.pid) as file:
            blocked = int(re.search(r"SigBlk:\s*([0-9a-f]+)", file.read())[1], 16)
        return blocked >> (signal.SIGINT - 1) & 1 == 0

    def test_a_signal_during_the_summary_ends_as_the_run_did(self):
        path = self.write_file("lines", b"line\n" * 10)
        address = free_address()
        for capacity, status in ("10", 0), ("1", 1):  # of ten lines nine have no place, and are left on the way
            pipe = self.stopped_reader()
            os.write(pipe, PIPE_BYTES * b"x")
            process = self.start_with(
                "run", "--drain-timeout", "0.1", "--feeder", "--address", address, "--path", path,
                "--mq", "--address", address, "--capacity", capacity, stdout=subprocess.DEVNULL, stderr=pipe)
            self.assert_soon(lambda: self.answers(address))
            self.assert_soon(lambda count=int(capacity): self.client(address).size() == count)
            process.send_signal(signal.SIGTERM)
            self.assert_soon(lambda process=process: self.is_at_its_summary(process))
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(launch.STOP_TIMEOUT_S), status)

    def test_closed_streams_do_not_print_into_sockets(self):
        """A socket must not get the number of stderr: lines would go to its peer."""
        queue = self.start(Queue())
        process = self.start_with(
            "worker", "--input-address", queue.address, "--output-address",
            queue.address, "--function", "pong", "--console-log", "--log-level", "debug",
            close_fds=True, preexec_fn=lambda: [os.close(fd) for fd in (0, 1, 2)])
        queue.put("neither ping nor pong")
        self.assertTrue(queue.wait_for(lambda: queue.commands["GET"] > 20))
        for fd in range(3):
            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (process.pid, fd)),
                             "/dev/null")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(launch.STOP_TIMEOUT_S), 0)
        self.assertEqual(queue.malformed_count, 0)


class ConnectionLimitTest(Scenario):
    def turn_away(self, kind, question, *flags):
        address = "tcp://" + free_address()
        program = self.launch(kind, "--address", address, "--max-connections", "3",
                              *flags, listening=[address])
        open_ones = [TcpClient(address) for _ in range(3)]
        for client in open_ones:
            self.addCleanup(client.close)
            client.send(question)
        # Served, so they are counted; what listened above may count too until then.
        turned_away = re.compile("turned away.*--max-connections")
        self.assert_soon(lambda: self.is_refused(address) and
                         any(map(turned_away.search, program.stderr)))
        self.assert_clean_stop(program)
        text = program.final_line(kind).text
        self.assertRegex(text, r"refused_connections [1-9]")
        self.assertEqual(program.count_lines("turned away"), 1, "said once")

    def is_refused(self, address):
        with TcpClient(address) as client:
            try:
                client.send("SIZE")
                return client.receive() is None
            except (NoAnswer, ConnectionError):
                return True

    def test_queue(self):
        self.turn_away("mq", "SIZE")

    def test_sink(self):
        self.turn_away("sink", "text")


class PipeTest(Scenario):
    def setUp(self):
        self.queue = self.start(Queue())
        self.path = os.path.join(self.temporary_directory(), "pipe")
        os.mkfifo(self.path)

    def test_feeder_waits_for_the_writer(self):
        feeder = self.launch("feeder", "--address", self.queue.address, "--path",
                             self.path)
        with open(self.path, "wb", 0) as pipe:
            pipe.write(b"one\ntw")
            self.assertTrue(self.queue.wait_for(lambda: len(self.queue.received) == 1))
            pipe.write(b"o\nthree")
            self.assertTrue(self.queue.wait_for(lambda: len(self.queue.received) == 2))
        self.assertEqual(feeder.wait(), 0)
        self.assertEqual([text[1:4] for text in self.queue.received],
                         [b"one", b"two", b"thr"])

    def test_feeder_without_a_writer_stops(self):
        feeder = self.launch("feeder", "--address", self.queue.address, "--path",
                             self.path, "--console-log")
        self.assert_soon(lambda: self.is_open(feeder))
        self.assert_clean_stop(feeder)

    def is_open(self, feeder):
        directory = "/proc/%d/fd" % feeder.pid
        try:
            return any(os.readlink(os.path.join(directory, fd)) == self.path
                       for fd in os.listdir(directory))
        except OSError:
            return False

    def test_check_does_not_wait(self):
        result = launch.run_to_end("check", "--feeder", "--address",
                                   self.queue.address, "--path", self.path)
        self.assertEqual(result.status, 0, result.stderr)


def kernel_bytes(connection):
    """What both ends' kernel buffers hold of what the other end has sent."""
    ports = connection.getpeername()[1], connection.getsockname()[1]
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    held = 0
    for row in rows:
        pair = tuple(int(address.rpartition(":")[2], 16) for address in row[1:3])
        sent, received = (int(part, 16) for part in row[4].split(":"))
        held += sent if pair == ports else received if pair == ports[::-1] else 0
    return held


class BrokenStreamTest(Scenario):
    def test_what_did_not_leave_goes_again(self):
        """A receiver over TCP that breaks off costs only what the kernel had."""
        count, text = 1000, b"%06d" + b"x" * 8000
        frame_bytes = len(lhhttt.encode(text % 0))
        queue = self.start(Queue())
        for number in range(count):
            queue.put(text % number)
        listener = self.listen()
        worker = self.launch("worker", "--input-address", queue.address,
                             "--output-address",
                             "tcp://127.0.0.1:%d" % listener.getsockname()[1],
                             "--output-type", "socket", "--function", "passthrough")
        stalled, _ = listener.accept()
        self.assert_soon(lambda: queue.size == 0)
        looks = collections.deque(maxlen=10)

        def kernel_is_full():
            looks.append(kernel_bytes(stalled))
            return len(looks) == looks.maxlen and len(set(looks)) == 1
        self.assert_soon(lambda: wait_until(kernel_is_full, 10.0, 0.01))
        self.assertGreater(count * frame_bytes, looks[0] + 1000000, "nothing is left")
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stalled.close()  # a reset
        numbers = self.receive_to(listener, text % (count - 1), frame_bytes)
        self.assertEqual(numbers, list(range(numbers[0], count)))
        self.assertLessEqual(numbers[0], looks[0] // frame_bytes + 1)
        self.assert_clean_stop(worker)

    def receive_to(self, listener, last, frame_bytes):
        """The numbers of the texts of the next connection, up to that of `last`."""
        connection, _ = listener.accept()
        self.addCleanup(connection.close)
        connection.settimeout(10)
        data = bytearray()
        while not data.endswith(last):
            part = connection.recv(1 << 20)
            self.assertTrue(part)
            data += part
        head = frame_bytes - len(last)
        return [int(data[at + head:at + head + 6])
                for at in range(0, len(data), frame_bytes)]

    def listen(self):
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        listener.settimeout(10)
        return listener


class CountsTest(Scenario):
    def test_what_is_held_or_lost_is_not_out(self):
        path = self.write_file("long.msg", b"x" * 70000 + b"\nshort\n")
        queue = self.start(Queue())
        feeder = self.launch("feeder", "--address", queue.address, "--path", path)
        self.assertEqual(feeder.wait(), 0)
        line = feeder.final_line("feeder")
        self.assertEqual((line.received, line.sent, line.dropped, line.queued),
                         (2, 1, 1, 0), line.text)

    def test_what_a_full_queue_does_not_take(self):
        queue = self.start(Queue(capacity=3))
        path = self.write_file("some.msg", b"".join(b"%d\n" % n for n in range(10)))
        feeder = self.launch("feeder", "--address", queue.address, "--path", path,
                             "--drain-timeout", "0.2")
        self.assertTrue(queue.wait_for(lambda: len(queue.received) == 3))
        feeder.stop()
        line = feeder.final_line("feeder")
        self.assertEqual((line.received, line.sent, line.queued), (10, 3, 7), line.text)

    def test_a_metrics_receiver_without_a_hub(self):
        address = free_address()
        receiver = self.launch("metrics-receiver", "--address", address,
                               listening=[address])
        with UdpClient(address) as client:
            client.send_raw(b'{"t0": 1, "t1": 2, "func": "F", "VUID": "V", '
                            b'"latency_time": null, "latency_count": null, '
                            b'"throughput_in": null, "throughput_out": null}')
            client.send_raw(b"rubbish")
        receiver.wait_for_line("rubbish")
        self.assert_clean_stop(receiver)
        line = receiver.final_line("metrics-receiver")
        self.assertEqual((line.received, line.sent, line.dropped), (2, 1, 1), line.text)

    def test_latency_of_what_came_over_a_socket_and_left_by_a_ring(self):
        address = free_address()
        sink = self.start(Sink())
        program = self.launch(
            "run", "--mq", "--address", address, "--worker", "--input-address", address,
            "--output-address", sink.address, "--output-type", "socket", "--function",
            "passthrough", listening=[address])
        client = self.client(address)
        for _ in range(100):
            client.put("text")
        self.assertTrue(sink.wait_for_count(100))
        self.assert_clean_stop(program)
        text = program.final_line("mq").text
        self.assertIn("latency of 100", text)
        self.assertNotIn("p50 1 ns", text, "no message is handed on in no time")


if __name__ == "__main__":
    unittest.main()
