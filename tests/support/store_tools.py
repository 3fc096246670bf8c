"""The commands that look after a store, and their exports, read and written by the text of `millrace help store`."""

import collections
import json
import subprocess

from support import launch

Result = collections.namedtuple("Result", "status stdout stderr")


def run(*arguments, stdin=b"", timeout=30.0):
    """Runs a command that ends by itself; what it reads and writes on standard input and output are bytes."""
    done = subprocess.run([launch.binary(), *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
                          check=False)
    return Result(done.returncode, done.stdout, done.stderr.decode())


def record(kind, body=None, **members):
    head = {"kind": kind, **members}
    if body is None:
        return json.dumps(head).encode() + b"\n"
    return json.dumps({**head, "bytes": len(body)}).encode() + b"\n" + body + b"\n"


def export(*records, complete=True):
    """The whole: `records` stand between the first and the last."""
    first = record("store", format=1, identity="0123456789abcdef")
    return b"".join([first, *records, record("end", records=1 + len(records), complete=complete)])


def parse(data):
    """[(head, body)], the body None where there is none."""
    records = []
    while data:
        line, _, data = data.partition(b"\n")
        head = json.loads(line)
        body = None
        if "bytes" in head:
            body, newline, data = data[:head["bytes"]], data[head["bytes"]:][:1], data[head["bytes"] + 1:]
            assert newline == b"\n", head
        records.append((head, body))
    return records


def letter(source, message, reason="why", deliveries=5):
    """A dead letter, as a queue writes it."""
    head = {"reason": reason, "source": source, "deliveries": deliveries, "first_time": 1700000000.5,
            "last_time": 1700000009.25, "bytes": len(message)}
    return json.dumps(head).encode() + b"\n" + message


def run_to_file(file, *arguments, timeout=30.0):
    """The same, with its output in a file."""
    done = subprocess.run([launch.binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=file,
                          stderr=subprocess.PIPE, timeout=timeout, check=False)
    return Result(done.returncode, None, done.stderr.decode())
