"""What is in a store's redo log only, by the words at the top of engine/store/redo.c."""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import struct
import tempfile

# Of a record, in front of its bytes: checksum, magic, bytes with this head, launch, number.
HEAD = struct.Struct("=QIIQQ")
MAGIC = 0x6f646572


@contextlib.contextmanager
def store_held_back(store):
    """Until the end of it nothing comes into the store's file: this has the lock of SQLite's writers, which is on one
    byte of store.db-shm (https://www.sqlite.org/walformat.html#wal_locks)."""
    with open(os.path.join(store, "store.db-shm"), "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 120)
        yield


def place(store):
    """(launch, number, offset) of what is in the store's file. It is read in a copy, so that nothing is changed."""
    with tempfile.TemporaryDirectory(prefix="millrace-test-") as directory:
        for name in ("store.db", "store.db-wal"):
            if os.path.exists(os.path.join(store, name)):
                shutil.copy(os.path.join(store, name), directory)
        with contextlib.closing(sqlite3.connect(os.path.join(directory, "store.db"))) as database:
            return database.execute("SELECT redo_launch, redo_number, redo_offset FROM meta").fetchone()


def needed(store):
    """[(offset, bytes)] of the records that are not in the store's file, by their heads."""
    launch, number, offset = place(store)
    try:
        with open(os.path.join(store, "redo.log"), "rb") as file:
            log = file.read()
    except FileNotFoundError:
        return []
    records = []
    while True:
        for at in (offset, 0):
            head = HEAD.unpack_from(log, at) if at + HEAD.size <= len(log) else (0, 0, 0, 0, 0)
            if (head[1], head[3], head[4]) == (MAGIC, launch, number + 1):
                break
        else:
            return records
        records.append((at, head[2]))
        number += 1
        offset = at + head[2]
