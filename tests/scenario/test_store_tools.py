"""millrace store: what goes in comes out, what is damaged is found and told, and nothing is made or lost by accident."""

import fcntl
import os
import unittest

import context  # noqa: F401
from support import store_tools
from support.scenario import Scenario
from support.store_tools import export, parse, record


def message(sequence, body, time_us=1700000000000000, deliveries=0):
    return record("message", body, sequence=sequence, time_us=time_us, deliveries=deliveries)


def messages_of(data):
    return {head["sequence"]: body for head, body in parse(data) if head["kind"] == "message"}


# Everything that a store can hold, in the order and with the counts in which an export has it.
FULL = [
    record("queue", b"orders", settled_below=7, next_sequence=20),
    message(7, b"", deliveries=3),
    message(8, b"two\nlines {\"kind\": \"end\"}\n"),
    message(9, bytes(range(256)), time_us=1700000000000001),
    message(12, b"x" * 400000, deliveries=4294967295),
    record("id", b"abc", time_us=17, answered_bytes=3),
    record("id", b"\n" * 64, time_us=18, answered_bytes=4294967295),
    record("queue", "g\u00fcter \"7\"".encode(), settled_below=1, next_sequence=1),
    record("queue", b"drained", settled_below=900, next_sequence=900),
    record("state", b"worker"),
    record("pair", b"\0", key_bytes=1),
    record("pair", b"keyvalue\n", key_bytes=3),
    record("state", b"empty"),
]


class StoreToolsTest(Scenario):
    def make(self, *records):
        directory = os.path.join(self.temporary_directory(), "store")
        self.assertEqual(self.store("import", directory, stdin=export(*records)).status, 0)
        return directory

    def store(self, *arguments, stdin=b""):
        return store_tools.run("store", *arguments, stdin=stdin)

    def test_there_and_back(self):
        directory = self.make(*FULL)
        result = self.store("export", directory)
        self.assertEqual((result.status, result.stderr), (0, ""))
        self.assertEqual(parse(result.stdout)[1:], parse(export(*FULL))[1:])
        again = os.path.join(self.temporary_directory(), "again")
        self.assertEqual(self.store("import", again, stdin=result.stdout).status, 0)
        self.assertEqual(parse(self.store("export", again).stdout)[1:], parse(result.stdout)[1:])
        self.assertNotEqual(parse(self.store("export", again).stdout)[0], parse(result.stdout)[0],
                            "each store has an identity of its own")
        self.assertEqual(self.store("check", again).status, 0)

    def test_many_messages(self):
        count = 20000
        records = [message(i + 1, b"%d" % i, time_us=i // 7) for i in range(count) if i % 5]
        directory = self.make(record("queue", b"q", settled_below=1, next_sequence=count + 1), *records)
        found = messages_of(self.store("export", directory).stdout)
        self.assertEqual(found, {i + 1: b"%d" % i for i in range(count) if i % 5})
        self.assertEqual(self.store("compact", directory).status, 0)
        self.assertEqual(messages_of(self.store("export", directory).stdout), found)

    def test_what_is_no_export(self):
        queue = record("queue", b"q", settled_below=5, next_sequence=9)
        good = export(queue, message(5, b"text"))
        bad = {
            "empty": b"",
            "text": b"hello\n",
            "newer": good.replace(b'"format": 1', b'"format": 2'),
            "other": good.replace(b'"store"', b'"shop"'),
            "unknown": export(record("hat")),
            "deep": b"[" * 200 + b"\n",
            "long line": b"{\"kind\": \"store\", \"x\": \"" + b"x" * 300 + b"\"}\n",
            "no queue": export(message(5, b"text")),
            "too early": export(queue, message(4, b"text")),
            "too late": export(queue, message(9, b"text")),
            "twice": export(queue, message(5, b"text"), message(5, b"text")),
            "queue twice": export(queue, queue),
            "no sequence": export(queue, record("message", b"", time_us=1, deliveries=0)),
            "negative": export(queue, message(-5, b"text")),
            "fraction": export(queue, message(5.5, b"text")),
            "deliveries": export(queue, message(5, b"text", deliveries=4294967296)),
            "no name": export(record("queue", b"", settled_below=1, next_sequence=1)),
            "long name": export(record("queue", b"q" * 201, settled_below=1, next_sequence=1)),
            "queue of 0": export(record("queue", b"q", settled_below=0, next_sequence=1)),
            "queue backwards": export(record("queue", b"q", settled_below=2, next_sequence=1)),
            "queue too far": export(record("queue", b"q", settled_below=2**52, next_sequence=2**52)),
            "id": export(queue, record("id", b"", time_us=1, answered_bytes=1)),
            "long id": export(queue, record("id", b"i" * 65, time_us=1, answered_bytes=1)),
            "pair": export(record("pair", b"k", key_bytes=1)),
            "long key": export(record("state", b"s"), record("pair", b"k", key_bytes=2)),
            "huge": export(queue).replace(b'"bytes": 1}', b'"bytes": 9007199254740991}'),
            "record lost": export(queue, message(5, b"text"), message(6, b"text")).replace(message(6, b"text"), b""),
        }
        bad.update((f"cut at {length}", good[:length]) for length in range(len(good)))
        parent = self.temporary_directory()
        for name, data in bad.items():
            with self.subTest(name):
                result = self.store("import", os.path.join(parent, "store"), stdin=data)
                self.assertEqual(result.status, 1, result.stderr)
                self.assertRegex(result.stderr, "line [0-9]+|sequences|format")
                self.assertEqual(os.listdir(parent), [], "a failed import leaves nothing")

    def test_makes_no_store_by_accident(self):
        parent = self.temporary_directory()
        absent = os.path.join(parent, "absent")
        for word in ("check", "export", "compact"):
            result = self.store(word, absent)
            self.assertEqual(result.status, 2, result.stderr)
            self.assertIn(absent, result.stderr)
        self.assertEqual(os.listdir(parent), [])
        full = self.make(*FULL)
        result = self.store("import", full, stdin=export())
        self.assertEqual(result.status, 1)
        self.assertIn("in the way", result.stderr)
        self.assertEqual(parse(self.store("export", full).stdout)[1:], parse(export(*FULL))[1:])
        os.mkdir(absent)
        self.assertEqual(self.store("import", absent + "/", stdin=export()).status, 0, "an empty directory is no store")

    def test_words(self):
        for arguments in ((), ("check",), ("chekc", "d"), ("check", "a", "b")):
            result = self.store(*arguments)
            self.assertEqual(result.status, 2)
            self.assertIn("usage: millrace store", result.stderr)

    def test_damage_is_told_and_passed_over(self):
        # Four rows, by their times; the second and the last will be damaged.
        records = [message(i, b"message %03d" % i, time_us=1700000000000000 + i // 10) for i in range(10, 50)]
        directory = self.make(record("queue", b"orders", settled_below=10, next_sequence=50), *records,
                              record("queue", b"other", settled_below=1, next_sequence=2), message(1, b"sound"))
        path = os.path.join(directory, "store.db")
        with open(path, "r+b") as file:
            data = file.read()
            for text in (b"message 025", b"message 049"):
                self.assertEqual(data.count(text), 1)
                file.seek(data.index(text))
                file.write(b"M")
        result = self.store("check", directory)
        self.assertEqual(result.status, 1, result.stdout)
        self.assertIn(b"orders", result.stdout)
        result = self.store("export", directory)
        self.assertEqual(result.status, 1)
        self.assertIn("from 20 to 29", result.stderr)
        self.assertIn("from 40 to 49", result.stderr)
        records = parse(result.stdout)
        self.assertEqual(records[-1][0]["complete"], False)
        self.assertEqual([head["sequence"] for head, _ in records if head["kind"] == "message"],
                         [*range(10, 20), *range(30, 40), 1])
        again = os.path.join(self.temporary_directory(), "again")
        imported = self.store("import", again, stdin=result.stdout)
        self.assertEqual(imported.status, 0, imported.stderr)
        self.assertIn(b"not complete", imported.stdout)
        self.assertEqual(self.store("check", again).status, 0)
        self.assertEqual(messages_of(self.store("export", again).stdout), messages_of(result.stdout))

    def test_no_store_at_all(self):
        directory = self.temporary_directory()
        with open(os.path.join(directory, "store.db"), "wb") as file:
            file.write(b"no database" * 1000)
        for word in ("check", "export", "compact"):
            result = self.store(word, directory)
            self.assertIn(result.status, (1, 2))
            self.assertIn("store.db", result.stderr)

    def test_beside_a_launch(self):
        directory = self.make(*FULL)
        with open(os.path.join(directory, "lock"), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as a launch does
            self.assertEqual(self.store("check", directory).status, 0)
            self.assertEqual(self.store("export", directory).status, 0)
            result = self.store("compact", directory)
            self.assertEqual(result.status, 2)
            self.assertIn("in use", result.stderr)

    def test_output_that_cannot_be_written(self):
        directory = self.make(*FULL)
        with open("/dev/full", "wb") as full:
            done = store_tools.run_to_file(full, "store", "export", directory)
        self.assertEqual(done.status, 1)
        self.assertIn("cannot be written", done.stderr)


if __name__ == "__main__":
    unittest.main()
