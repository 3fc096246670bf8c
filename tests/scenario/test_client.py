"""The command-line client: what it prints and how it leaves."""

import unittest

import context  # noqa: F401
from peer.queue import Queue
from support import launch
from support.ports import free_address
from support.scenario import Scenario


class ClientTest(Scenario):
    def ask(self, address, *words):
        return launch.run_to_end("client", address, *words, timeout=30)

    def check(self, address, words, sent, received):
        result = self.ask(address, *words)
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(result.stdout, ["Data sent: '%s'" % sent,
                                         "Data received: '%s'" % received,
                                         "Socket closed."])

    def converse(self, address):
        self.check(address, ["PUT:ping"], "PUT:ping", "PUT 4 bytes")
        self.check(address, ["PUT:two", "words", "and more"], "PUT:two words and more",
                   "PUT 18 bytes")
        self.check(address, ["SIZE"], "SIZE", "2")
        self.check(address, ["GET"], "GET", "ping")
        self.check(address, ["GET"], "GET", "two words and more")
        self.check(address, ["GET"], "GET", "")

    def test_with_our_queue(self):
        address = free_address()
        self.launch_queue(address)
        self.converse(address)
        self.check(address, ["HELLO"], "HELLO", "ERR unknown command")

    def test_with_the_peer_queue(self):
        queue = self.start(Queue(faithful=True))
        self.converse(queue.address)

    def test_text_beyond_ascii(self):
        queue = self.start(Queue())
        self.check(queue.address, ["PUT:\u00fc"], "PUT:\u00fc", "PUT 2 bytes")
        self.assertEqual(queue.take_all(), ["\u00fc".encode()])

    def test_no_answer_in_time(self):
        silent = self.start(Queue(drop=lambda *unused: True))
        result = self.ask(silent.address, "PUT:ping")
        self.assertNotEqual(result.status, 0)
        self.assertRegex("\n".join(result.stderr), launch.UNREACHABLE_LINE)
        self.assertEqual(len([line for line in result.stderr if line]), 1)

    def test_nobody_there(self):
        result = self.ask(free_address(), "SIZE")
        self.assertNotEqual(result.status, 0)
        self.assertRegex("\n".join(result.stderr), launch.UNREACHABLE_LINE)

    def test_wrong_arguments(self):
        for arguments in ([], ["127.0.0.1:12000"], ["127.0.0.1", "SIZE"],
                          ["127.0.0.1:99999", "SIZE"], ["127.0.0.1:x", "SIZE"]):
            result = launch.run_to_end("client", *arguments)
            self.assertEqual(result.status, 2, (arguments, result.stderr))
            self.assertTrue(result.stderr)


if __name__ == "__main__":
    unittest.main()
