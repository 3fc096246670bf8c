"""Starts the real program, reads what it prints, and ends it; all bounded."""

import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from support.conditions import wait_until
from support.ports import is_listening

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 15.0

# How lines look: a change of the program's texts is followed here, once.
LOG_TIME = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} "
FED_LINE = r"(?i)\bfed (?P<count>\d+) .*(/s\b|per second|a second)"
UNREACHABLE_LINE = r"(?i)nobody listens|no answer|not answer|unreachable|refused|no reply"


class FinalLine(collections.namedtuple("FinalLine", "kind name received sent dropped queued text")):
    def counter(self, name):
        """One of those that are shown where they are not zero."""
        match = re.search(r"[;,] %s (\d+)" % re.escape(name), self.text)
        return int(match[1]) if match else 0


Result = collections.namedtuple("Result", "status stdout stderr")


def parse_final_line(line):
    """The line that a node prints at a clean stop, or None for another line.

    `kind` is the node's type, with which its name begins.
    """
    match = re.search(r"(?P<name>\S.*?): in (\d+), out (\d+), dropped (\d+), "
                      r"queued (\d+), .*\d ?s\b", line)
    if match is None:
        return None
    name = re.sub(LOG_TIME + r"(\w+ )?", "", match["name"])
    kind = re.match(r"[a-z-]*", name.lower())[0]
    return FinalLine(kind, name, *map(int, match.groups()[1:]), text=line)


def binary():
    """The absolute path of the program under test."""
    path = pathlib.Path(os.environ.get("MILLRACE", "./build/release/millrace"))
    for candidate in (path.absolute(), ROOT / path):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise AssertionError("the program %s does not exist: build it, or name it in "
                         "the environment variable MILLRACE" % path)


class _Output:
    """The lines of one stream, read by a thread."""

    def __init__(self, stream, changed):
        self.stream = stream
        self.changed = changed
        self.lines = []
        self.ended = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.stream:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class Program:
    """One process of the program, in a directory of its own."""

    def __init__(self, *arguments, directory=None):
        self.arguments = [str(argument) for argument in arguments]
        self.own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="millrace-test-")
        self.process = subprocess.Popen(
            [binary()] + self.arguments, cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.changed = threading.Condition()
        self._stdout = _Output(self.process.stdout, self.changed)
        self._stderr = _Output(self.process.stderr, self.changed)

    @property
    def pid(self):
        return self.process.pid

    @property
    def stdout(self):
        with self.changed:
            return list(self._stdout.lines)

    @property
    def stderr(self):
        with self.changed:
            return list(self._stderr.lines)

    @property
    def output(self):
        return self.stdout + self.stderr

    def wait_for_line(self, pattern, timeout=10.0):
        """The match of the first line of either stream that fits."""
        expression = re.compile(pattern)
        position = {self._stdout: 0, self._stderr: 0}
        found = []

        def look():
            for output in position:
                for line in output.lines[position[output]:]:
                    position[output] += 1
                    match = expression.search(line)
                    if match:
                        found.append(match)
                        return True
            return self._stdout.ended and self._stderr.ended

        with self.changed:
            self.changed.wait_for(look, timeout)
        if not found:
            raise AssertionError("no line fits %r\n%s" % (pattern, self.describe()))
        return found[0]

    def count_lines(self, pattern):
        return sum(1 for line in self.output if re.search(pattern, line))

    def wait_until_listening(self, *addresses):
        """Waits until the program's sockets are bound; fails if it ends first."""
        def ready():
            return self.process.poll() is not None or all(
                map(is_listening, addresses))
        if not wait_until(ready, START_TIMEOUT_S) or self.process.poll() is not None:
            raise AssertionError("nothing listens at %s\n%s"
                                 % (", ".join(addresses), self.describe()))
        return self

    def wait(self, timeout=STOP_TIMEOUT_S):
        """The exit status; fails if the program does not end in time."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the program does not end within %.0f s\n%s"
                                 % (timeout, self.describe())) from None
        self._join()
        return status

    def send_signal(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGINT, timeout=STOP_TIMEOUT_S):
        """Asks the program to end; its exit status."""
        if self.process.poll() is None:
            self.send_signal(number)
        return self.wait(timeout)

    def final_lines(self, kind=None):
        """The final lines of the nodes of one type, in the order printed."""
        lines = [parse_final_line(line) for line in self.output]
        return [line for line in lines if line and kind in (None, line.kind)]

    def final_line(self, kind):
        """The final line of the only node of its type."""
        lines = self.final_lines(kind)
        if len(lines) != 1:
            raise AssertionError("%d final lines of a %s\n%s"
                                 % (len(lines), kind, self.describe()))
        return lines[0]

    def cpu_seconds(self):
        """Processor time used so far."""
        with open("/proc/%d/stat" % self.pid) as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def describe(self):
        tail = "\n".join("  " + line[:160] for line in self.output[-25:])
        return "millrace %s (status %s)\n%s" % (
            " ".join(self.arguments), self.process.poll(), tail)

    def close(self):
        """Ends the process if it still runs, and removes its directory."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)
        self._join()
        self.process.stdout.close()
        self.process.stderr.close()
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _join(self):
        for output in (self._stdout, self._stderr):
            output.thread.join(STOP_TIMEOUT_S)


def run_to_end(*arguments, timeout=20.0, directory=None):
    """Runs a command that ends by itself."""
    program = Program(*arguments, directory=directory)
    try:
        status = program.wait(timeout)
        return Result(status, program.stdout, program.stderr)
    finally:
        program.close()
