"""The tracepoints of engine/probe.h are in the program, each a no-operation instruction until somebody watches it."""

import os
import re
import subprocess
import unittest

import context  # noqa: F401

PROBES = {"enqueue", "dequeue", "park", "wake", "drop"}


class Probes(unittest.TestCase):
    def setUp(self):
        self.program = os.environ["MILLRACE"]
        notes = subprocess.run(["readelf", "--notes", "--wide", self.program],
                               capture_output=True, text=True, check=True).stdout
        self.places = re.findall(
            r"Provider: millrace\s+Name: (\w+)\s+Location: 0x([0-9a-f]+)", notes)

    def test_all_are_there(self):
        self.assertEqual({name for name, _ in self.places}, PROBES)

    def test_each_is_one_instruction_that_does_nothing(self):
        for name, place in self.places:
            start = int(place, 16)
            text = subprocess.run(
                ["objdump", "--disassemble", "--no-show-raw-insn",
                 "--start-address=%d" % start, "--stop-address=%d" % (start + 1), self.program],
                capture_output=True, text=True, check=True).stdout
            self.assertRegex(text, r"%x:\s+nop\b" % start, name)


if __name__ == "__main__":
    unittest.main()
