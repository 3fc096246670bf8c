"""Each mutation of tests/mutations still has its place in the code, and its test is there."""

import sys
import unittest

import tree

sys.path.insert(0, str(tree.ROOT / "tests/mutations"))
from mutations import MUTATIONS  # noqa: E402


class Mutations(tree.TidyCase):
    def test_are_in_the_code(self):
        stale = []
        for mutation in MUTATIONS:
            if tree.text(mutation.file).count(mutation.old) != 1:
                stale.append(f"{mutation.file}: {mutation.name}")
        self.none(stale, "Mutations whose text is not in its file exactly once (tests/mutations/mutations.py):")

    def test_have_tests(self):
        missing = []
        for mutation in MUTATIONS:
            kind, _, subject = mutation.test.split()[0].partition(".")
            name = f"tests/{kind}/test_{subject}." + ("c" if kind == "unit" else "py")
            if not (tree.ROOT / name).is_file():
                missing.append(f"{name}: {mutation.name}")
        self.none(missing, "Tests that mutations name and that are not there:")

    def test_are_ten_at_least(self):
        self.assertGreaterEqual(len(MUTATIONS), 10)


if __name__ == "__main__":
    unittest.main()
