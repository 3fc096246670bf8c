"""Stores that are in use, damaged, of another format, full or not to be written: said in words, and nothing made up.

A clock that steps back is a matter of the unit tests, which pass the time in.
"""

import contextlib
import glob
import os
import shutil
import signal
import sqlite3
import subprocess
import unittest

import context  # noqa: F401
from peer.client import NoAnswer, UdpClient
from support.conditions import wait_until
from support.launch import run_to_end
from support.ports import free_address
from support.scenario import Scenario

DISK_BYTES = 2 << 20
MESSAGE_BYTES = 2000
MESSAGE_COUNT = 300


def message(number):
    return b"%06d" % number + bytes((number * 7 + i) % 251 for i in range(MESSAGE_BYTES - 6))


class BadStoreTest(Scenario):
    def setUp(self):
        self.directory = self.temporary_directory()
        self.store = os.path.join(self.directory, "store")
        self.address = free_address()

    def arguments(self, address=None):
        return ["run", "--store", self.store, "--mq", "--address", address or self.address, "--durability", "sync"]

    def serve(self):
        return self.launch(*self.arguments(), listening=[self.address])

    def assert_refused(self, pattern):
        """A start ends with one line that names the store and says what it is."""
        result = run_to_end(*self.arguments(free_address()))
        self.assertIn(result.status, (1, 2), result)
        self.assertRegex("\n".join(result.stderr), "(?is)store.*" + pattern)
        return result

    def fill(self, count=MESSAGE_COUNT, compact=True):
        """A store that was killed with so many messages in it; its largest file."""
        program = self.serve()
        with UdpClient(self.address) as client:
            for number in range(count):
                self.assertEqual(client.put(message(number)), b"PUT %d bytes" % MESSAGE_BYTES)
        program.process.kill()
        program.wait()
        if compact:
            self.compact()
        return max(glob.glob(self.store + "/*"), key=os.path.getsize)

    def compact(self):
        """So that what is damaged next is the only copy."""
        self.assertEqual(run_to_end("store", "compact", self.store).status, 0)

    def take_all(self):
        taken = []
        with UdpClient(self.address) as client:
            while True:
                reply = client.get()
                if not reply:
                    return taken
                taken.append(reply)

    # ---- in use ----

    def test_a_second_launch_is_refused_and_the_first_goes_on(self):
        program = self.serve()
        self.client(self.address).put("one")
        self.assert_refused("(in use|another process|open)")
        self.assertEqual(self.client(self.address).get(), b"one")
        self.assert_clean_stop(program)

    def test_a_killed_launch_leaves_no_lock(self):
        self.fill(3)
        self.serve()
        self.assertEqual(self.take_all(), [message(number) for number in range(3)])

    # ---- not ours ----

    def test_a_file_is_no_store(self):
        with open(self.store, "wb") as file:
            file.write(b"hello")
        self.assert_refused("")
        with open(self.store, "rb") as file:
            self.assertEqual(file.read(), b"hello")

    def test_a_newer_format_is_refused_and_left_as_it_is(self):
        path = self.fill(3)
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 1000")
        database.close()
        with open(path, "rb") as file:
            before = file.read()
        self.assert_refused("format.*1000")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_an_older_format_is_refused_with_the_way_on(self):
        path = self.fill(3)
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 1")
        database.close()
        with open(path, "rb") as file:
            before = file.read()
        words = "format 1 of an earlier millrace: store export with that one, and store import with this one"
        self.assert_refused(words)
        for word in ("check", "export", "compact"):
            result = run_to_end("store", word, self.store)
            self.assertEqual(result.status, 2)
            self.assertIn(words, "\n".join(result.stderr))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    # ---- another program ----

    def test_a_killed_store_that_another_program_opened(self):
        """SQLite carries the log of the killed process over and removes it: all is there, and it is no damage."""
        self.fill(3, compact=False)
        with contextlib.closing(sqlite3.connect(self.store + "/store.db")) as database:
            self.assertEqual(database.execute("SELECT count(*) FROM queues").fetchone(), (1,))
        self.assertEqual(glob.glob(self.store + "/*-wal"), [])
        checked = run_to_end("store", "check", self.store)
        self.assertEqual(checked.status, 0, checked)
        self.serve()
        self.assertEqual(self.take_all(), [message(number) for number in range(3)])

    def test_a_log_that_was_removed_with_what_was_in_it(self):
        self.fill(3)  # the file is whole without it
        self.fill(3, compact=False)
        os.unlink(self.store + "/store.db-wal")
        self.assert_refused("wal.* is damaged.*not there")

    # ---- damaged ----

    def test_a_flipped_byte_is_found_and_never_served(self):
        path = self.fill()
        with open(path, "rb") as file:
            whole = file.read()
        refused_count = 0
        for part in range(1, 8):
            damaged = bytearray(whole)
            damaged[len(whole) * part // 8] ^= 0x10
            with open(path, "wb") as file:
                file.write(damaged)
            for name in glob.glob(self.store + "/*-[ws]*[lm]"):
                os.unlink(name)
            refused_count += self.look_at_damage()
        self.assertGreater(refused_count, 0, "no byte that matters was flipped")

    def test_a_file_that_was_cut_off_is_found(self):
        path = self.fill()
        os.truncate(path, os.path.getsize(path) // 2)
        self.assertTrue(self.look_at_damage())

    def look_at_damage(self):
        """Whether the damage is found: then by the check too. What is served all the same is right, and in order."""
        checked = run_to_end("store", "check", self.store)
        program = self.launch(*self.arguments())
        served = []
        wait_until(lambda: program.process.poll() is not None or self.answers(self.address), 10.0)
        try:
            served = self.take_all()
        except NoAnswer:
            pass
        expected = [message(number) for number in range(MESSAGE_COUNT)]
        self.assertEqual(served, expected[:len(served)], "what was served is not what was put")
        is_found = len(served) < MESSAGE_COUNT
        if is_found:
            self.assertNotEqual(program.wait(), 0, program.describe())
            self.assertRegex("\n".join(program.stderr), "store")
            self.assertNotEqual(checked.status, 0, checked)
        else:
            program.process.send_signal(signal.SIGKILL)
            program.process.wait()
        return is_found

    # ---- no room, no right ----

    def mount(self, *options):
        """Mounts a file system for the store; false where that is not possible."""
        os.makedirs(self.store, exist_ok=True)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return False
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "none", self.store], capture_output=True, timeout=10)
        if done.returncode == 0:
            self.addCleanup(subprocess.run, ["umount", "-l", self.store], timeout=10)
        return done.returncode == 0

    def test_a_directory_that_must_not_be_written_is_refused(self):
        if not self.mount("-o", "ro,size=1m"):
            os.chmod(self.store, 0o555)
            self.addCleanup(os.chmod, self.store, 0o755)
            if os.access(self.store, os.W_OK):
                self.skipTest("this user may write everything, and mount nothing")
        self.assert_refused("(read-only|permission|denied|cannot|unable)")

    def test_a_full_disk_refuses_and_goes_on_when_there_is_room(self):
        if not self.mount("-o", "size=%d" % DISK_BYTES):
            self.skipTest("no small disk can be mounted here")
        ballast = os.path.join(self.store, "ballast")
        with open(ballast, "wb") as file:
            file.write(b"x" * (DISK_BYTES // 2))
        program = self.serve()
        kept = self.put_until_full(0)
        self.assertGreater(len(kept), 0)
        os.unlink(ballast)
        self.assert_soon(self.takes_one, "nothing is taken although there is room again")
        kept += self.put_until_full(MESSAGE_COUNT * 10)
        program.process.kill()
        program.wait()
        # What is taken out must be written too.
        subprocess.run(["mount", "-o", "remount,size=%d" % (4 * DISK_BYTES), self.store], check=True, timeout=10)
        self.serve()
        taken = self.take_all()
        self.assertEqual([text for text in taken if text in set(kept)], kept, "what was acknowledged is lost")

    def fill_disk(self):
        """Leaves not a byte. The file that is in the way."""
        ballast = os.path.join(self.store, "ballast")
        with open(ballast, "wb", 0) as file, self.assertRaises(OSError):
            while True:
                file.write(b"x" * 4096)
        return ballast

    def serve_on_a_full_disk(self):
        """What is in the queue when the disk is full and GET, LEASE and ACK were answered all the same; the program,
        and what is in the way."""
        if not self.mount("-o", "size=%d" % (2 * DISK_BYTES)):
            self.skipTest("no small disk can be mounted here")
        program = self.serve()
        kept = [b"%d" % number for number in range(8)]
        with UdpClient(self.address) as client:
            for text in kept:
                self.assertEqual(client.put(text), b"PUT 1 bytes")
            ballast = self.fill_disk()
            kept += self.put_until_full(0)
            for text in kept[:3]:
                self.assertEqual(client.get(), text)
            lease = client.ask("LEASE:1000").split(b":")
            self.assertEqual(lease[1:], [b"1", kept[3]])
            self.assertEqual(client.ask(b"ACK:" + lease[0]), b"OK")
            self.assertEqual(client.put("more"), b"ERR queue full: disk")
        return kept[4:], program, ballast

    def test_a_full_disk_hands_out_and_goes_on(self):
        kept, program, ballast = self.serve_on_a_full_disk()
        os.unlink(ballast)
        self.assert_soon(self.takes_one, "nothing is taken although there is room again")
        self.assert_clean_stop(program)
        self.serve()
        self.assertEqual(self.take_all(), kept + [b"one"])

    def test_a_full_disk_and_a_kill_lose_nothing(self):
        kept, program, ballast = self.serve_on_a_full_disk()
        program.process.kill()
        program.wait()
        self.assert_refused("no room on the disk|disk is full")
        os.unlink(ballast)
        self.serve()
        self.assertEqual(self.take_all(), kept)

    def takes_one(self):
        with UdpClient(self.address) as client:
            return client.put("one").startswith(b"PUT ")

    def put_until_full(self, first):
        """The messages that were acknowledged until ERR queue full: disk was answered. Those that the queue took before
        it knew are answered when there is room."""
        kept = []
        unanswered_count = 0
        with UdpClient(self.address, 1.0) as client:
            for number in range(first, first + 2 * DISK_BYTES // MESSAGE_BYTES):
                try:
                    reply = client.put(message(number))
                except NoAnswer:
                    unanswered_count += 1
                    self.assertLess(unanswered_count, 10, "the disk is full, and nobody is told")
                    continue
                if reply == b"ERR queue full: disk":
                    return kept
                self.assertEqual(reply, b"PUT %d bytes" % MESSAGE_BYTES)
                kept.append(message(number))
        self.fail("the disk does not become full")


if __name__ == "__main__":
    unittest.main()
