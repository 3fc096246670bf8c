"""millrace dead-letters: what it shows, what it moves, and that it does all or nothing."""

import fcntl
import os
import unittest

import context  # noqa: F401
from support import store_tools
from support.scenario import Scenario
from support.store_tools import export, letter, parse, record


def message(sequence, body):
    return record("message", body, sequence=sequence, time_us=1, deliveries=0)


class DeadLettersTest(Scenario):
    def setUp(self):
        self.directory = os.path.join(self.temporary_directory(), "store")
        records = [
            record("queue", b"orders", settled_below=3, next_sequence=4),
            message(3, b"waiting"),
            record("queue", b"dead", settled_below=1, next_sequence=8),
            message(1, letter("orders", b"one\n\0", reason="no price\n\x1b[31m")),
            message(2, b"no letter"),
            message(4, letter("orders", b"four", deliveries=7)),
            message(6, letter("gone", b"six")),
            message(7, letter("orders", b"")),
            record("queue", b"later", settled_below=1, next_sequence=5),
            message(4, letter("other", b"another four")),
            record("queue", b"other", settled_below=1, next_sequence=1),
        ]
        self.whole = export(*records)
        self.assertEqual(store_tools.run("store", "import", self.directory, stdin=self.whole).status, 0)

    def letters(self, *arguments):
        return store_tools.run("dead-letters", *arguments)

    def stored(self):
        """{queue: {sequence: body}}"""
        result = store_tools.run("store", "export", self.directory)
        self.assertEqual(result.status, 0, result.stderr)
        queues = {}
        for head, body in parse(result.stdout):
            if head["kind"] == "queue":
                queue = queues.setdefault(body.decode(), {})
            elif head["kind"] == "message":
                queue[head["sequence"]] = body
        return queues

    def rows(self, *arguments):
        result = self.letters("ls", self.directory, *arguments)
        self.assertEqual((result.status, result.stderr), (0, ""))
        return [line.split() for line in result.stdout.decode().splitlines()]

    def test_ls(self):
        rows = self.rows()
        self.assertEqual(rows[0][:4], ["NUMBER", "QUEUE", "SOURCE", "DELIVERIES"])
        self.assertEqual([row[:4] for row in rows[1:]],
                         [["1", "dead", "orders", "5"], ["4", "dead", "orders", "7"], ["6", "dead", "gone", "5"],
                          ["7", "dead", "orders", "5"], ["4", "later", "other", "5"]])
        self.assertEqual(rows[1][4:], ["2023-11-14", "22:13:20.500000", "2023-11-14", "22:13:29.250000", "5", "no",
                                       "price\\x0a\\x1b[31m"])
        self.assertEqual([row[0] for row in self.rows("--queue", "later")[1:]], ["4"])
        self.assertEqual(self.rows("--queue", "orders"), [])

    def test_show(self):
        result = self.letters("show", self.directory, "7", "6")
        self.assertEqual(result.status, 0)
        self.assertEqual(result.stdout, letter("orders", b"") + b"\n" + letter("gone", b"six") + b"\n")
        result = self.letters("show", "--queue=later", self.directory, "4")
        self.assertEqual(result.stdout, letter("other", b"another four") + b"\n")

    def test_replay_some(self):
        result = self.letters("replay", self.directory, "1", "7")
        self.assertEqual((result.status, result.stderr), (0, ""))
        self.assertEqual(result.stdout, b"2 dead letters put back\n")
        stored = self.stored()
        self.assertEqual(stored["orders"], {3: b"waiting", 4: b"one\n\0", 5: b""})
        self.assertEqual(sorted(stored["dead"]), [2, 4, 6])
        self.assertEqual(store_tools.run("store", "check", self.directory).status, 0)

    def test_replay_all(self):
        result = self.letters("replay", self.directory, "--all")
        self.assertEqual(result.status, 1, "one could not be put back")
        self.assertIn("6 stays: its queue 'gone'", result.stderr)
        self.assertEqual(result.stdout, b"4 dead letters put back\n")
        stored = self.stored()
        self.assertEqual(stored["orders"], {3: b"waiting", 4: b"one\n\0", 5: b"four", 6: b""})
        self.assertEqual(stored["other"], {1: b"another four"})
        self.assertEqual(sorted(stored["dead"]), [2, 6])
        self.assertEqual(stored["later"], {})

    def test_drop(self):
        self.assertEqual(self.letters("drop", self.directory, "--queue", "dead", "4", "6").status, 0)
        self.assertEqual(sorted(self.stored()["dead"]), [1, 2, 7])
        self.assertEqual(self.letters("drop", self.directory, "--all").status, 0)
        stored = self.stored()
        self.assertEqual((stored["dead"], stored["later"], stored["orders"]), ({2: b"no letter"}, {}, {3: b"waiting"}))

    def test_all_or_nothing(self):
        before = self.stored()
        for arguments in (("drop", "1", "99"), ("drop", "1", "1"), ("replay", "1", "2"), ("drop", "1", "4"),
                          ("drop", "1", "x"), ("drop", "1", "99999999999999999999999")):
            with self.subTest(arguments):
                result = self.letters(arguments[0], self.directory, *arguments[1:])
                self.assertEqual((result.status, result.stdout), (2, b""), result.stderr)
                self.assertEqual(self.stored(), before)

    def test_words(self):
        for arguments in ((), ("ls",), ("sl", self.directory), ("ls", self.directory, "1"),
                          ("show", self.directory), ("show", self.directory, "--all"), ("drop", self.directory),
                          ("drop", self.directory, "1", "--all"), ("ls", self.directory, "--queue", "nobody"),
                          ("ls", self.directory, "--queue"), ("ls", self.directory, "--color"),
                          ("ls", self.directory + "/absent"), ("drop", self.directory + "/absent", "--all")):
            with self.subTest(arguments):
                self.assertEqual(self.letters(*arguments).status, 2)
        self.assertFalse(os.path.exists(self.directory + "/absent"))

    def test_beside_a_launch(self):
        before = self.stored()
        with open(os.path.join(self.directory, "lock"), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as a launch does
            self.assertEqual(self.letters("ls", self.directory).status, 0)
            self.assertEqual(self.letters("show", self.directory, "1").status, 0)
            for word in ("replay", "drop"):
                result = self.letters(word, self.directory, "--all")
                self.assertEqual(result.status, 2)
                self.assertIn("in use", result.stderr)
        self.assertEqual(self.stored(), before)


if __name__ == "__main__":
    unittest.main()
