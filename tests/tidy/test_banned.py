"""Calls that overflow, hide an error, or wait on time; volatile where atomics belong."""

import unittest

import tree

CALLS = r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|sleep|usleep|nanosleep|clock_nanosleep)\s*\("
# volatile stays for an assembler statement that must not move, and for what a signal handler sets.
VOLATILE = r"(?<!asm )(?<!__asm__ )\b(?:volatile|__volatile__)\b(?!\s+sig_atomic_t)"
PYTHON_SLEEP = r"(?m)\btime\.sleep\s*\(|^\s*from time import .*\bsleep\b"


class Banned(tree.TidyCase):
    def test_calls(self):
        found = []
        for path in tree.files(tree.FOLDERS, ".c", ".h"):
            found += tree.find(path, CALLS, tree.code(path))
        self.none(found, "Banned calls (use snprintf, memcpy, strtol; wait on a condition):")

    def test_volatile(self):
        found = []
        for path in tree.files(tree.FOLDERS, ".c", ".h"):
            found += tree.find(path, VOLATILE, tree.code(path))
        self.none(found, "volatile orders nothing between threads; use <stdatomic.h>:")

    def test_python_waits_on_conditions(self):
        found = []
        for path in tree.files(tree.FOLDERS, ".py"):
            found += tree.find(path, PYTHON_SLEEP, tree.text(path))
        self.none(found, "A test waits on a condition, never on time:")


if __name__ == "__main__":
    unittest.main()
