"""Our feeder: the lines it sends, the order of its files, bad files."""

import os
import re
import time
import unittest

import context  # noqa: F401
from peer.queue import Queue
from support import launch, market
from support.ports import free_address
from support.scenario import Scenario

DRESSED = re.compile(rb'"(.*)\x01999=(\d+\.\d+)\x01"', re.DOTALL)


class FeederTest(Scenario):
    def setUp(self):
        self.queue = self.start(Queue(faithful=True))

    def feed(self, *contents, flags=()):
        """Feeds files with these contents; the result of the program."""
        arguments = []
        for number, content in enumerate(contents):
            path = self.write_file("part%d.msg" % number, content)
            arguments += ["--path", path]
        return launch.run_to_end("feeder", "--address", self.queue.address,
                                 *arguments, *flags)

    def texts(self):
        """What was fed, without the frame of quotes and feed time."""
        found = []
        for message in self.queue.received:
            match = DRESSED.fullmatch(message)
            self.assertIsNotNone(match, message)
            found.append(match[1])
        return found

    def check(self, *contents, texts):
        result = self.feed(*contents)
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(self.texts(), texts)
        lines = result.stdout + result.stderr
        match = [re.search(launch.FED_LINE, line) for line in lines]
        counts = [int(found["count"]) for found in match if found]
        self.assertEqual(counts, [len(texts)], lines)

    def test_line_of_a_demo_file(self):
        begin = time.time()
        text = market.order("1", "TSLA").encode()
        self.check(b'"%s\x01"\n' % text, texts=[text])
        feed_time = float(DRESSED.fullmatch(self.queue.received[0])[2])
        self.assertGreaterEqual(feed_time, begin - 0.001)
        self.assertLessEqual(feed_time, time.time() + 0.001)

    def test_white_space_quotes_and_soh_are_stripped(self):
        self.check(b'  "8=FIX\x0135=D\x01"  \r\n' b'\t8=FIX\x0135=D\n'
                   b'"\x01\x018=FIX\x0135=D\x01\x01"\n' b'" inner "\n',
                   texts=[b"8=FIX\x0135=D"] * 3 + [b" inner "])

    def test_round_robin(self):
        self.check(b"a1\na2\na3\na4\n", b"b1\n", b"c1\nc2\n",
                   texts=[b"a1", b"b1", b"c1", b"a2", b"c2", b"a3", b"a4"])

    def test_blank_lines_are_skipped(self):
        self.check(b"\n\n  \na\n\r\n\t\nb\n\n", texts=[b"a", b"b"])

    def test_no_newline_at_the_end(self):
        self.check(b"a\nb", texts=[b"a", b"b"])

    def test_cut_off_line(self):
        self.check(b'"8=FIX\x0135=D\x01"\n"8=FIX\x0135',
                   texts=[b"8=FIX\x0135=D", b"8=FIX\x0135"])

    def test_empty_file(self):
        self.check(b"", b"a\n", texts=[b"a"])
        self.queue.received.clear()
        self.check(b"", texts=[])

    def test_any_bytes(self):
        self.check(b"\xff\xfe\n" + "\u00fc\n".encode() + b"nul\x00nul\n",
                   texts=[b"\xff\xfe", "\u00fc".encode(), b"nul\x00nul"])

    def test_long_lines(self):
        self.check(b"x" * 60000 + b"\nshort\n", texts=[b"x" * 60000, b"short"])

    def test_line_too_long_for_a_datagram_is_named_and_skipped(self):
        result = self.feed(b"before\n" + b"x" * 1000000 + b"\nafter\n")
        self.assertEqual(self.texts(), [b"before", b"after"])
        text = "\n".join(result.stderr + result.stdout)
        self.assertRegex(text, r"(?i)too (large|long)|exceeds|larger|longer|1000\d\d\d")

    def test_raw_lines_go_as_they_stand(self):
        result = launch.run_to_end("feeder", "--raw", "--address", self.queue.address, "--path",
                                   self.write_file("raw.msg", b"1\n  two \n\n\"3\"\n"))
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(self.queue.received, [b"1", b"  two ", b"\"3\""])

    def test_delay(self):
        begin = time.monotonic()
        result = self.feed(b"a\n" * 11, flags=["--delay", "0.03"])
        self.assertEqual(result.status, 0)
        self.assertEqual(len(self.queue.received), 11)
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)

    def test_many_lines_arrive_complete_and_in_order(self):
        lines = [b"line%d" % number for number in range(3000)]
        self.check(b"\n".join(lines), texts=lines)

    def test_interrupt(self):
        path = self.write_file("long.msg", b"a\n" * 100000)
        program = self.launch("feeder", "--address", self.queue.address, "--path", path,
                              "--delay", "0.01")
        self.assertTrue(self.queue.wait_for(lambda: self.queue.size >= 3))
        self.assert_clean_stop(program)
        match = program.wait_for_line(launch.FED_LINE)
        self.assertEqual(int(match["count"]), len(self.queue.received))


    def test_interrupt_before_a_full_queue(self):
        """What it had read and could not give away is told, and is no good end; unless nothing of it is left."""
        queue = self.start(Queue(capacity=5))
        path = os.path.join(self.temporary_directory(), "pipe")  # it has no end
        os.mkfifo(path)
        end = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, end)
        for count, status in (5, 0), (20, 1):
            program = self.launch("feeder", "--address", queue.address, "--path", path)
            os.write(end, b"a\n" * count)
            asked = queue.commands["PUT"] + count
            self.assertTrue(queue.wait_for(lambda asked=asked: queue.commands["PUT"] >= asked))
            self.assertEqual(program.stop(), status, program.describe())
            self.assertEqual(program.final_line("feeder").queued, 0 if status == 0 else count)
        program.wait_for_line(r"WARNING: %d messages that were read have not been taken" % count)


class OurQueueTest(Scenario):
    def test_over_udp_and_tcp(self):
        address = free_address()
        stream_address = "tcp://" + address
        self.launch("mq", "--address", address, "--address", stream_address,
                    listening=[address, stream_address])
        client = self.client(address)
        path = self.write_file("lines.msg", b"".join(b"%d\n" % n for n in range(500)))
        for target in (address, stream_address):
            result = launch.run_to_end("feeder", "--address", target, "--path", path)
            self.assertEqual(result.status, 0, result.stderr)
            found = [DRESSED.fullmatch(text)[1] for text in self.take(client, 500)]
            self.assertEqual(found, [b"%d" % n for n in range(500)])


class BadFileTest(Scenario):
    def refuse(self, *paths):
        flags = [part for path in paths for part in ("--path", path)]
        result = launch.run_to_end("feeder", "--address", free_address(), *flags)
        self.assertEqual(result.status, 2, result.stderr)
        self.assertIn(paths[-1], "\n".join(result.stderr))
        self.assertLessEqual(len([line for line in result.stderr if line]), 2)

    def test_missing_file(self):
        self.refuse("/no/such/file.msg")
        self.refuse(self.write_file("good.msg", b"a\n"), "missing.msg")

    def test_directory(self):
        self.refuse(self.temporary_directory())

    def test_path_through_a_file(self):
        path = self.write_file("some.msg", b"a\n")
        self.refuse(os.path.join(path, "below"))

    def test_line_that_does_not_end(self):
        """It holds up neither the nodes of its thread nor a stop."""
        address = free_address()
        program = self.launch("run", "--threads", "1", "--mq", "--address", address,
                              "--feeder", "--address", address, "--path", "/dev/zero",
                              listening=[address])
        self.assertEqual(self.client(address).size(), 0)
        self.assert_clean_stop(program)


if __name__ == "__main__":
    unittest.main()
