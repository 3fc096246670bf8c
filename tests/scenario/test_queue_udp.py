"""Our queue over UDP: every row of the protocol's table of commands."""

import unittest

import context  # noqa: F401
from peer import lhhttt
from peer.client import TcpClient
from support.ports import free_address
from support.scenario import Scenario

LARGEST_PUT_BYTES = 65507 - 5 - len("PUT:")


class QueueUdpTest(Scenario):
    def setUp(self):
        self.address = free_address()
        self.stream_address = "tcp://" + self.address

    def serve(self, *flags):
        self.program = self.launch(
            "mq", "--address", self.address, "--address", self.stream_address, *flags,
            listening=[self.address, self.stream_address])
        return self.client(self.address)

    def test_put_answers_the_bytes_of_the_message(self):
        client = self.serve()
        for message, count in [("ping", 4), ("", 0), ("a:b:c", 5), (":", 1),
                               ("\u00fc", 2), ("\U0001d407\U0001d41e", 8),
                               (b"\x00\xff\x01", 3), ("x" * 5000, 5000)]:
            self.assertEqual(client.put(message), b"PUT %d bytes" % count)

    def test_get_returns_what_was_put_oldest_first(self):
        client = self.serve()
        messages = [b"ping", b"a:b:c", b":", bytes(range(256)), b"\x00", b"\xff\xfe",
                    b"PUT:GET", b"ERR queue full", "\u00fc".encode(), b"x" * 5000]
        for message in messages:
            client.put(message)
        self.assertEqual(client.size(), len(messages))
        self.assertEqual([client.get() for _ in messages], messages)
        self.assertEqual(client.get(), b"")
        self.assertEqual(client.size(), 0)

    def test_empty_message_counts(self):
        client = self.serve()
        self.assertEqual(client.ask("PUT"), b"PUT 0 bytes")
        self.assertEqual(client.ask("PUT:"), b"PUT 0 bytes")
        client.put("after")
        self.assertEqual(client.size(), 3)
        self.assertEqual([client.get() for _ in range(3)], [b"", b"", b"after"])

    def test_verb_ends_at_the_first_colon(self):
        client = self.serve()
        client.put("1")
        client.put("2")
        self.assertEqual(client.ask("SIZE:x"), b"2")
        self.assertEqual(client.ask("GET:x"), b"1")
        self.assertEqual(client.ask("GET:"), b"2")

    def test_unknown_commands_are_answered(self):
        client = self.serve()
        client.put("kept")
        for command in ("get", "Put:x", "size", "HELLO", "HELLO:x", "", ":", "GETX",
                        "GE", "SIZE ", " GET", "PUTS:x", b"\x00", b"\xff\xff"):
            self.assertEqual(client.ask(command), b"ERR unknown command", command)
        self.assertEqual(client.size(), 1)

    def test_malformed_datagrams_get_no_reply(self):
        client = self.serve()
        for data in (b"", b"0", b"03GET", b"g3GET", b"1", b"2", b"13GE", b"13GETX",
                     b"1gGET", b"GET", b"\x00\x00", b"\xff" * 300, b"f" * 16,
                     b"1" * 65507, b"-3GET", b"1 GET", b"f000000000000003GE"):
            client.send_raw(data)
            # The next reply to come is the one to the next command.
            self.assertEqual(client.size(), 0, data[:20])

    def test_lenient_frames_in_shortest_frames_out(self):
        client = self.serve()
        for frame in (b"1BPUT:1234567", b"20bPUT:1234567", b"300BPUT:1234567"):
            client.send_raw(frame)
            self.assertEqual(client.receive_raw(), b"1bPUT 7 bytes", frame)
        for frame in (b"13GET", b"203GET", b"f000000000000003GET"):
            client.send_raw(frame)
            self.assertEqual(client.receive_raw(), b"171234567", frame)

    def test_reply_frames_byte_for_byte(self):
        client = self.serve()
        for text, reply in [(b"13GET", b"10"), (b"14SIZE", b"110"),
                            (b"18PUT:ping", b"1bPUT 4 bytes"), (b"14SIZE", b"111"),
                            (b"13GET", b"14ping"),
                            (b"224PUT:" + b"y" * 32, b"1cPUT 32 bytes"),
                            (b"13GET", b"220" + b"y" * 32)]:
            client.send_raw(text)
            self.assertEqual(client.receive_raw(), reply)

    def test_largest_datagrams(self):
        client = self.serve()
        message = b"m" * LARGEST_PUT_BYTES
        self.assertEqual(client.put(message), b"PUT %d bytes" % len(message))
        self.assertEqual(client.get(), message)

    def test_message_too_large_for_a_datagram_stays_at_the_head(self):
        client = self.serve()
        with TcpClient(self.address) as stream:
            self.assertEqual(stream.put(b"a" * 65502), b"PUT 65502 bytes")
            self.assertEqual(stream.put(b"b" * 65503), b"PUT 65503 bytes")
            self.assertEqual(stream.put(b"c" * 70000), b"PUT 70000 bytes")
            stream.put("last")
            self.assertEqual(client.get(), b"a" * 65502)
            for _ in range(2):
                self.assertEqual(client.get(), b"ERR message of 65503 bytes needs TCP")
            self.assertEqual(client.size(), 3)
            self.assertEqual(stream.get(), b"b" * 65503)
            self.assertEqual(client.get(), b"ERR message of 70000 bytes needs TCP")
            self.assertEqual(stream.get(), b"c" * 70000)
            self.assertEqual(client.get(), b"last")

    def test_capacity_in_messages(self):
        client = self.serve("--capacity", "3")
        for number in range(3):
            self.assertEqual(client.put(str(number)), b"PUT 1 bytes")
        self.assertEqual(client.put("3"), b"ERR queue full")
        self.assertEqual(client.size(), 3)
        self.assertEqual(client.get(), b"0")
        self.assertEqual(client.put("4"), b"PUT 1 bytes")
        self.assertEqual([client.get() for _ in range(4)], [b"1", b"2", b"4", b""])
        self.assert_clean_stop(self.program)
        line = self.program.final_line("mq")
        self.assertEqual((line.received, line.sent, line.queued), (4, 4, 0), line.text)

    def test_capacity_in_bytes(self):
        client = self.serve("--capacity-bytes", "100000")
        message = b"z" * 40000
        answers = [client.put(message) for _ in range(4)]
        self.assertEqual(answers[0], b"PUT 40000 bytes")
        self.assertEqual(answers[-1], b"ERR queue full")
        size = client.size()
        self.assertEqual(size, answers.count(b"PUT 40000 bytes"))
        client.get()
        self.assertEqual(client.put(message), b"PUT 40000 bytes")
        self.assertEqual(client.size(), size)

    def test_order_over_all_producers_and_consumers(self):
        self.serve()
        clients = [self.client(self.address) for _ in range(4)]
        for number in range(400):
            clients[number % 4].put("%d" % number)
        found = [int(clients[(number // 3) % 4].get()) for number in range(400)]
        self.assertEqual(found, list(range(400)))

    def test_burst_of_datagrams_is_answered_in_order(self):
        client = self.serve()
        for number in range(100):
            client.send_raw(lhhttt.encode("PUT:" + "x" * number))
        for number in range(100):
            self.assertEqual(client.receive_raw(),
                             lhhttt.encode("PUT %d bytes" % number))
        self.assertEqual([len(client.get()) for _ in range(100)], list(range(100)))

    def test_runs_of_commands(self):
        """Commands that arrive as one are commands each, also beside another client's."""
        client = self.serve()
        other = self.client(self.address)
        messages = [b"%04d" % number for number in range(40)]
        puts = [lhhttt.encode(b"PUT:" + message) for message in messages]
        client.send_run(b"".join(puts), len(puts[0]))
        for _ in messages:
            self.assertEqual(client.receive_raw(), b"1bPUT 4 bytes")
        # The last of a run may be shorter; then one that is no frame, which gets no answer.
        other.send_run(lhhttt.encode("PUT:end") + lhhttt.encode("SIZE"), len(lhhttt.encode("PUT:end")))
        self.assertEqual(other.receive_raw(), b"1bPUT 3 bytes")
        self.assertEqual(other.receive_raw(), lhhttt.encode("41"))
        client.send_run(b"13GET" * 10 + b"g3GET" + b"13GET" * 31, 5)
        self.assertEqual([client.receive_raw() for _ in range(41)],
                         [lhhttt.encode(message) for message in messages + [b"end"]])
        self.assertEqual(client.size(), 0)

    def test_answers_of_all_lengths_in_order(self):
        """Many unanswered commands of two clients; the answers differ in length and come to whom they belong."""
        clients = [self.serve(), self.client(self.address)]
        lengths = [7, 7, 7, 3, 9, 9, 0, 9, 9, 300, 300, 20]
        for round_number in range(5):
            for length in lengths:
                for number, client in enumerate(clients):
                    client.send_raw(lhhttt.encode("PUT:" + str(number) * length))
            for length in lengths:
                for client in clients:
                    self.assertEqual(client.receive_raw(), lhhttt.encode("PUT %d bytes" % length))
            for _ in lengths:
                clients[0].send_raw(b"13GET")
                clients[0].send_raw(b"13GET")
            for length in lengths:
                for number in range(2):
                    self.assertEqual(clients[0].receive_raw(), lhhttt.encode(str(number) * length), round_number)

    def test_final_line_says_what_is_left(self):
        client = self.serve("--console-log")
        for number in range(5):
            client.put(str(number))
        client.get()
        self.assert_clean_stop(self.program)
        line = self.program.final_line("mq")
        self.assertEqual((line.received, line.sent, line.dropped, line.queued),
                         (5, 1, 0, 4), line.text)


class QueueAddressTest(Scenario):
    def test_udp_scheme_and_localhost(self):
        address = free_address()
        self.launch("mq", "--address", "udp://localhost:" + address.split(":")[1],
                    listening=[address])
        self.assertEqual(self.client(address).size(), 0)

    def test_ipv6(self):
        port = free_address().split(":")[1]
        address = "[::1]:" + port
        self.launch("mq", "--address", address, listening=[address])
        client = self.client(address)
        self.assertEqual(client.put("six"), b"PUT 3 bytes")
        self.assertEqual(client.get(), b"six")


if __name__ == "__main__":
    unittest.main()
