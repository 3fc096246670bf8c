"""Our queue over TCP: frames back to back, and connections that misbehave."""

import json
import socket
import struct
import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient
from support.ports import free_address
from support.scenario import Scenario

SHORT_CONNECTION_COUNT = 2000


class QueueTcpTest(Scenario):
    def setUp(self):
        self.address = free_address()
        stream_address = "tcp://" + self.address
        self.program = self.launch(
            "mq", "--address", self.address, "--address", stream_address,
            listening=[self.address, stream_address])

    def stream(self, timeout=10.0):
        client = TcpClient(self.address, timeout)
        self.addCleanup(client.close)
        return client

    def assert_refused(self, client):
        """An ERR frame that says why, then the end of the stream."""
        reply = client.receive()
        self.assertIsNotNone(reply, "closed without a word")
        self.assertTrue(reply.startswith(b"ERR "), reply[:80])
        self.assertGreater(len(reply), len(b"ERR "))
        self.assertIsNone(client.receive())

    def test_commands(self):
        client = self.stream()
        exchanges = [
            ("GET", b""), ("SIZE", b"0"), ("PUT:ping", b"PUT 4 bytes"),
            ("PUT:a:b", b"PUT 3 bytes"), ("PUT", b"PUT 0 bytes"),
            ("PUT:\u00fc", b"PUT 2 bytes"), (b"PUT:\x00\xff", b"PUT 2 bytes"),
            ("SIZE:x", b"5"), ("GET:x", b"ping"), ("GET", b"a:b"), ("GET", b""),
            ("GET", "\u00fc".encode()), ("GET", b"\x00\xff"),
            ("get", b"ERR unknown command"), ("HELLO", b"ERR unknown command"),
            ("", b"ERR unknown command"), ("SIZE", b"0")]
        for command, reply in exchanges:
            self.assertEqual(client.ask(command), reply, command)

    def test_lenient_frames_in_shortest_frames_out(self):
        client = self.stream()
        client.send_raw(b"1BPUT:1234567203GETf000000000000004SIZE")
        replies = b""
        while len(replies) < len(b"1bPUT 7 bytes171234567110"):
            replies += client.sock.recv(100)
        self.assertEqual(replies, b"1bPUT 7 bytes171234567110")

    def test_pipelining_keeps_the_order(self):
        client = self.stream()
        count = 3000
        commands, expected = [], []
        for number in range(count):
            message = "%d" % number + "." * (number % 50)
            commands += ["PUT:" + message, "GET", "SIZE"]
            expected += [b"PUT %d bytes" % len(message), message.encode(), b"0"]
        for start in range(0, len(commands), 500):
            client.send(*commands[start:start + 500])
        self.assertEqual([client.receive() for _ in expected], expected)

    def test_a_byte_at_a_time(self):
        client = self.stream()
        for byte in lhhttt.encode("PUT:slow") + lhhttt.encode("GET"):
            client.send_raw(bytes([byte]))
        self.assertEqual(client.receive(), b"PUT 4 bytes")
        self.assertEqual(client.receive(), b"slow")

    def test_half_a_frame_disturbs_nobody(self):
        halves = [self.stream() for _ in range(20)]
        for half in halves:
            half.send_raw(b"3fffPUT:half")
        self.assertEqual(self.stream().put("whole"), b"PUT 5 bytes")
        for half in halves:
            half.close()
        self.assertEqual(self.stream().size(), 1)

    def test_large_messages(self):
        client = self.stream()
        for size in (70000, 1000000):
            message = bytes(range(256)) * (size // 256 + 1)
            self.assertEqual(client.put(message), b"PUT %d bytes" % len(message))
            self.assertEqual(client.get(), message)

    def test_malformed_streams_are_told_why_and_closed(self):
        other = self.stream()
        other.put("kept")
        for data in (b"0", b"03GET", b"g", b"GET", b"1xGET", b"\x00", b"2 3GET",
                     b"-3GET", b"GET / HTTP/1.1\r\n\r\n"):
            client = self.stream()
            client.send_raw(data)
            self.assert_refused(client)
            self.assertEqual(other.size(), 1, data)
        self.assertEqual(other.get(), b"kept")

    def test_commands_before_the_fault_are_answered(self):
        client = self.stream()
        client.send_raw(lhhttt.encode("PUT:good") + lhhttt.encode("SIZE") + b"0bad")
        self.assertEqual(client.receive(), b"PUT 4 bytes")
        self.assertEqual(client.receive(), b"1")
        self.assert_refused(client)
        self.assertEqual(self.stream().get(), b"good")

    def test_absurd_lengths_are_refused_by_the_header(self):
        other = self.stream()
        for header in (b"f" + b"f" * 15, b"f" + b"1" + b"0" * 14, b"c" + b"f" * 12):
            client = self.stream()
            client.send_raw(header)
            self.assert_refused(client)
            self.assertEqual(other.size(), 0)

    def test_many_short_connections(self):
        for number in range(SHORT_CONNECTION_COUNT):
            client = TcpClient(self.address)
            if number % 4 == 0:
                self.assertEqual(client.put("x"), b"PUT 1 bytes")
            elif number % 4 == 1:
                self.assertEqual(client.get(), b"x")
            elif number % 4 == 2:
                client.send_raw(b"1")
            client.close()
        self.assertEqual(self.stream().size(), 0)

    def test_peer_that_never_reads(self):
        deaf = self.stream()
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        other = self.stream()
        other.put(b"m" * 60000)
        deaf.sock.settimeout(0.3)
        commands = lhhttt.encode("HELLO") * 10000
        sent = 0
        try:
            while sent < 64 << 20:
                sent += deaf.sock.send(commands)
        except (socket.timeout, ConnectionError):
            pass  # it pushes back, or it gave up on us: both are bounded
        self.assertLess(sent, 64 << 20, "nothing bounds what a deaf peer piles up")
        self.assertEqual(other.size(), 1)
        self.assertEqual(other.get(), b"m" * 60000)

    def test_a_reset_before_the_answers_is_no_malformed_stream(self):
        """What came was well formed; that the peer let its connection break is something else."""
        deaf = self.stream()
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        count = 100
        for _ in range(count):
            self.assertEqual(deaf.put(b"m" * 200000), b"PUT 200000 bytes")
        deaf.send_raw(lhhttt.encode("GET") * count)
        other = self.stream()
        self.assert_soon(lambda: json.loads(other.ask("STATS"))["out"] > 0)
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        deaf.close()
        self.assert_soon(lambda: json.loads(other.ask("STATS"))["cut_connections"] == 1)
        self.assertEqual(json.loads(other.ask("STATS"))["malformed"], 0)

    def test_close_without_reading_the_reply(self):
        for _ in range(100):
            client = TcpClient(self.address)
            client.send("SIZE", "SIZE", "HELLO")
            client.close()
        self.assertEqual(self.stream().size(), 0)

    def test_half_closed_connection_still_gets_its_replies(self):
        client = self.stream()
        client.send("PUT:1", "SIZE")
        client.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(client.receive(), b"PUT 1 bytes")
        self.assertEqual(client.receive(), b"1")
        self.assertIsNone(client.receive())

    def test_udp_and_tcp_share_one_queue(self):
        stream, datagrams = self.stream(), self.client(self.address)
        for number in range(10):
            (stream if number % 2 else datagrams).put(str(number))
        found = [(datagrams if number % 2 else stream).get() for number in range(10)]
        self.assertEqual(found, [b"%d" % number for number in range(10)])

    def test_clean_stop_with_open_connections(self):
        clients = [self.stream() for _ in range(10)]
        clients[0].put("left")
        self.assert_clean_stop(self.program)
        for client in clients:
            self.assertIsNone(client.receive())
        line = self.program.final_line("mq")
        self.assertEqual((line.received, line.queued), (1, 1), line.text)


    def test_stop_sends_the_messages_that_were_taken(self):
        """The answers to GETs wait for a slow reader; what was not taken stays."""
        count, message = 1200, b"m" * 10000
        client = self.stream()
        place = client.sock.getpeername()
        client.sock.close()
        client.sock = socket.socket()
        client.sock.settimeout(10.0)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.connect(place)
        datagrams = self.client(self.address)
        for _ in range(count):
            client.put(message)
        client.send(*["GET"] * count)
        sizes = [count, count]

        def stands_still():
            sizes.append(datagrams.size())
            return sizes[-1] == sizes[-2] < count

        self.assert_soon(stands_still)
        self.program.send_signal()
        received = 0
        while client.receive() is not None:
            received += 1
        self.assertEqual(self.program.wait(), 0, self.program.describe())
        line = self.program.final_line("mq")
        self.assertEqual(line.sent, received, line.text)
        self.assertEqual(line.queued, count - received, line.text)


class QueueMaxMessageTest(Scenario):
    def test_max_message_is_refused_by_the_header(self):
        address = "tcp://" + free_address()
        self.launch("mq", "--address", address, "--max-message", "100000",
                    listening=[address])
        with TcpClient(address) as client:
            self.assertEqual(client.put(b"x" * 90000), b"PUT 90000 bytes")
            self.assertEqual(client.put(b"x" * 100001), b"ERR message of 100001 bytes is above the limit of 100000")
            # One more than the longest PUTID of such a message; none of these bytes follow.
            client.send_raw(b"5%x" % (100000 + len("PUTID::") + 64 + 1))
            reply = client.receive()
            self.assertTrue(reply.startswith(b"ERR "), reply)
            self.assertIsNone(client.receive())
        with TcpClient(address) as client:
            self.assertEqual(client.size(), 1)


if __name__ == "__main__":
    unittest.main()
