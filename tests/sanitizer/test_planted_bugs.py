"""The sanitizers are on: each planted bug is reported and ends the program; the same program without it is not."""

import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop()


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)


class PlantedBugs(unittest.TestCase):
    def reported(self, arguments, report):
        done = run(*arguments)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(report, done.stderr)

    def test_sound_program_passes(self):
        for arguments in (("heap", "8"), ("int", "1")):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_heap_overflow(self):
        self.reported(("heap", "9"), "AddressSanitizer: heap-buffer-overflow")

    def test_integer_overflow(self):
        self.reported(("int", "2"), "runtime error: signed integer overflow")

    def test_leak(self):
        self.reported(("leak", "16"), "LeakSanitizer: detected memory leaks")


if __name__ == "__main__":
    unittest.main()
