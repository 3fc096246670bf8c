"""What was acknowledged and is in the redo log only, when its launch is killed: everything that opens the store brings
it in, or says that it cannot."""

import json
import os
import shutil
import signal
import subprocess
import unittest

import context  # noqa: F401
from peer.client import TcpClient
from support import redo_log, store_tools
from support.launch import run_to_end
from support.ports import free_address
from support.scenario import Scenario
from support.store_tools import parse

EARLIER = [b"earlier %d" % i for i in range(5)]
LAST = [b"last %d" % i for i in range(6)]
ALL = EARLIER + LAST


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


class RedoLogTest(Scenario):
    def setUp(self):
        self.parent = self.temporary_directory()
        self.store = os.path.join(self.parent, "store")
        self.program = None

    # ---- launches ----

    def start(self, store):
        """A queue that sends what fails once to another one; a client of each."""
        addresses = ["tcp://" + free_address() for _ in range(2)]
        self.program = self.launch(
            "run", "--store", store, "--durability", "sync",
            "--mq", "--address", "orders", "--address", addresses[0], "--max-deliveries", "1", "--dead-letter", "dead",
            "--mq", "--address", "dead", "--address", addresses[1], listening=addresses)
        clients = [TcpClient(address) for address in addresses]
        for client in clients:
            self.addCleanup(client.close)
        return clients

    def put(self, client, messages):
        for message in messages:
            self.assertEqual(client.put(message), b"PUT %d bytes" % len(message))

    def kill(self):
        """By SIGKILL, with something in the log that is not in the store."""
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()
        self.assertTrue(redo_log.needed(self.store), "all is in the store")

    def fill_and_kill(self):
        """A killed store with ALL, of which LAST is in the log only."""
        orders, _ = self.start(self.store)
        self.put(orders, EARLIER)
        self.assert_soon(lambda: not redo_log.needed(self.store), "what is in the log does not come into the store")
        with redo_log.store_held_back(self.store):
            self.put(orders, LAST)
            self.kill()

    def fill_with_letters_and_kill(self):
        """The same, but LAST are dead letters."""
        orders, dead = self.start(self.store)
        self.put(orders, EARLIER)
        leases = [orders.ask("LEASE:1000").split(b":")[0] for _ in EARLIER]
        self.assert_soon(lambda: not redo_log.needed(self.store), "what is in the log does not come into the store")
        with redo_log.store_held_back(self.store):
            for lease in leases:
                self.assertEqual(orders.ask(b"NACK:" + lease + b":bad"), b"OK")
            self.assert_soon(lambda: json.loads(dead.ask("STATS"))["queued"] == len(EARLIER))
            self.put(orders, [b"behind them"])  # what was before it is on the disk
            self.kill()

    def copies(self, *cases):
        """Of the killed store, one for each case."""
        for number, case in enumerate(cases):
            directory = os.path.join(self.parent, "copy %d" % number)
            shutil.copytree(self.store, directory, ignore=shutil.ignore_patterns("control"))
            yield case, directory

    # ---- looking ----

    def take_all(self, client):
        return list(iter(client.get, b""))

    def exported(self, store, status=0):
        """The messages of `orders`, what was complained of, and whether the export says that it is whole."""
        result = store_tools.run("store", "export", store)
        self.assertEqual(result.status, status, result.stderr)
        messages = {}
        for head, body in parse(result.stdout):
            if head["kind"] == "queue":
                found = messages.setdefault(body, [])
            elif head["kind"] == "message":
                found.append(body)
        return messages[b"orders"], result, parse(result.stdout)[-1][0]["complete"]

    def assert_no_log(self, store):
        self.assertFalse(os.path.exists(os.path.join(store, "redo.log")), "the log is left")

    # ---- whole ----

    def test_a_killed_launch_s_last_messages_are_everywhere(self):
        self.fill_and_kill()
        for case, store in self.copies("check", "export", "compact", "launch"):
            with self.subTest(case):
                if case == "launch":
                    orders, _ = self.start(store)
                    self.assertEqual(self.take_all(orders), ALL)
                    self.assert_clean_stop(self.program)
                else:
                    result = store_tools.run("store", case, store)
                    self.assertEqual((result.status, result.stderr), (0, ""), result.stdout)
                    self.assert_no_log(store)
                    messages, result, is_whole = self.exported(store)
                    self.assertEqual((messages, result.stderr, is_whole), (ALL, "", True))
                self.assert_no_log(store)

    def test_a_killed_launch_s_last_dead_letters_are_everywhere(self):
        self.fill_with_letters_and_kill()
        numbers = [str(i + 1) for i in range(len(EARLIER))]
        for case, store in self.copies("ls", "show", "replay", "drop"):
            with self.subTest(case):
                if case == "ls":
                    result = store_tools.run("dead-letters", "ls", store)
                    rows = result.stdout.decode().splitlines()[1:]
                    self.assertEqual([row.split()[:3] for row in rows], [[number, "dead", "orders"] for number in numbers])
                else:
                    result = store_tools.run("dead-letters", case, store, *numbers)
                self.assertEqual((result.status, result.stderr), (0, ""))
                if case == "show":
                    self.assertEqual(result.stdout.splitlines()[1::2], EARLIER)
                expected = [b"behind them"] + (EARLIER if case == "replay" else [])
                self.assertEqual(self.exported(store)[0], expected)
                self.assert_no_log(store)

    def test_what_is_whole_is_left_alone(self):
        """A killed store that has all that was in the log is only read."""
        orders, _ = self.start(self.store)
        self.put(orders, ALL)
        self.assert_soon(lambda: not redo_log.needed(self.store), "what is in the log does not come into the store")
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()
        log = os.path.join(self.store, "redo.log")
        before = os.stat(log)
        self.assertEqual(store_tools.run("store", "check", self.store).status, 0)
        self.assertEqual(self.exported(self.store)[0], ALL)
        self.assertEqual(os.stat(log), before)

    def test_a_launch_that_runs_has_its_log_for_itself(self):
        orders, _ = self.start(self.store)
        self.put(orders, EARLIER)
        self.assert_soon(lambda: not redo_log.needed(self.store), "what is in the log does not come into the store")
        with redo_log.store_held_back(self.store):
            self.put(orders, LAST)
            self.assertTrue(redo_log.needed(self.store))
            self.assertEqual(store_tools.run("store", "check", self.store).status, 0)
            messages, result, is_whole = self.exported(self.store)
            self.assertEqual((messages, result.stderr, is_whole), (EARLIER, "", True))
            self.assertEqual(store_tools.run("dead-letters", "ls", self.store), (0, b"", ""))
        self.assertEqual(self.take_all(orders), ALL)
        self.assert_clean_stop(self.program)

    def test_a_clean_end_leaves_no_log(self):
        orders, _ = self.start(self.store)
        self.put(orders, ALL)
        self.assertTrue(os.path.exists(os.path.join(self.store, "redo.log")))
        self.assert_clean_stop(self.program)
        self.assert_no_log(self.store)
        self.assertEqual(self.exported(self.store)[0], ALL)
        self.assert_no_log(self.store)

    # ---- damaged ----

    def damage(self, how, store):
        path = os.path.join(store, "redo.log")
        records = redo_log.needed(store)
        if how == "flipped":
            offset, length = records[0]
            flip(path, offset + length - 1)
        elif how == "flipped in the midst":
            offset, length = records[3]
            flip(path, offset + length - 1)
        elif how == "cut to half":
            os.truncate(path, (records[0][0] + sum(records[-1])) // 2)
        else:
            os.unlink(path)

    def assert_refused(self, store):
        """By a start, and by all that writes: with the log's name, and the remedy."""
        address = free_address()
        start = run_to_end("run", "--store", store, "--durability", "sync", "--mq", "--address", address)
        compact = store_tools.run("store", "compact", store)
        replay = store_tools.run("dead-letters", "replay", store, "--all")
        self.assertEqual((start.status, compact.status, replay.status), (2, 1, 1))
        for text in ("\n".join(start.stderr), compact.stderr, replay.stderr):
            self.assertRegex(text, "redo.log is damaged: .*missing; millrace store export saves the rest")

    def test_a_damaged_log_is_told_by_all(self):
        """Nothing that was acknowledged is lost without a word; what comes in front of the damage is there."""
        self.fill_and_kill()
        half = len(LAST) // 2
        left = {"flipped": 0, "flipped in the midst": 3, "cut to half": half, "removed": 0}
        for how, store in self.copies(*left):
            with self.subTest(how):
                self.damage(how, store)
                self.look_at_damage(store, EARLIER + LAST[:left[how]])

    def look_at_damage(self, store, expected):
        check = store_tools.run("store", "check", store)
        self.assertEqual(check.status, 1, check.stdout)
        self.assertRegex(check.stdout.decode(), "not all of its redo log .*redo.log is damaged")
        self.assertIn("1 faults", check.stderr)
        for _ in range(2):
            self.assert_refused(store)
            messages, result, is_whole = self.exported(store, status=1)
            self.assertEqual((messages, is_whole), (expected, False))
            self.assertRegex(result.stderr, "redo.log is damaged(.|\n)*is not in the export")
        for arguments in (["ls", store], ["show", store, "1"]):
            letters = store_tools.run("dead-letters", *arguments)
            self.assertRegex(letters.stderr, "dead-letters: .*redo.log is damaged")
        # The remedy.
        again = store + " again"
        self.assertEqual(store_tools.run("store", "import", again, stdin=result.stdout).status, 0)
        orders, _ = self.start(again)
        self.assertEqual(self.take_all(orders), expected)
        self.assert_clean_stop(self.program)

    def test_damage_in_what_the_store_has_is_none(self):
        self.fill_and_kill()
        first = redo_log.needed(self.store)[0][0]
        self.assertGreater(first, 0)
        flip(os.path.join(self.store, "redo.log"), first - 1)
        self.assertEqual(store_tools.run("store", "check", self.store).status, 0)
        self.assertEqual(self.exported(self.store)[0], ALL)

    # ---- not to be written ----

    def mount(self):
        """Mounts a file system for the store, which can be made read-only."""
        os.mkdir(self.store)
        if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=16m", "none", self.store], capture_output=True, timeout=10,
                check=False).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.store], timeout=10, check=False)

    def remount(self, option):
        subprocess.run(["mount", "-o", "remount," + option, self.store], check=True, timeout=10)

    def test_a_log_that_cannot_be_brought_in_is_told(self):
        self.mount()
        self.fill_and_kill()
        self.remount("ro")
        check = store_tools.run("store", "check", self.store)
        self.assertEqual(check.status, 1, check.stdout)
        self.assertRegex(check.stdout.decode(), "(?s)not all of its redo log could be brought in: .*Read-only")
        messages, result, is_whole = self.exported(self.store, status=1)
        self.assertEqual((messages, is_whole), (EARLIER, False))
        self.assertRegex(result.stderr, "not all of its redo log could be brought in: .*Read-only")
        self.assertRegex(store_tools.run("dead-letters", "ls", self.store).stderr, "not all of its redo log")
        self.remount("rw")
        self.assertEqual(self.exported(self.store)[0], ALL)

    def test_without_anything_in_the_log_a_store_need_not_be_written(self):
        self.mount()
        orders, _ = self.start(self.store)
        self.put(orders, ALL)
        self.assert_soon(lambda: not redo_log.needed(self.store), "what is in the log does not come into the store")
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()
        self.remount("ro")
        self.assertEqual(store_tools.run("store", "check", self.store).status, 0)
        self.assertEqual(self.exported(self.store)[0], ALL)


if __name__ == "__main__":
    unittest.main()
