"""The feeder: lines of files, one of each in turn, PUT to a queue."""

import argparse
import sys
import threading
import time

from peer import lhhttt
from peer.client import UdpClient

SOH = b"\x01"


def dress(line, now):
    """A line of a file as it goes out."""
    text = line.strip().strip(b'"').strip(SOH)
    return b'"%s%s999=%s%s"' % (text, SOH, repr(now).encode(), SOH)


def round_robin(paths):
    """The lines of the files in turn; a file leaves the round at its end."""
    files = [open(path, "rb") for path in paths]
    try:
        while files:
            for file in list(files):
                line = file.readline()
                if not line:
                    files.remove(file)
                    file.close()
                elif line.strip():
                    yield line
    finally:
        for file in files:
            file.close()


def feed(address, paths, delay=0.0, stop=None, timeout=5.0):
    """Feeds everything; (messages, seconds).  Waits for each reply."""
    stop = stop or threading.Event()
    begin = time.monotonic()
    count = 0
    with UdpClient(address, timeout) as client:
        for line in round_robin(paths):
            if stop.is_set():
                break
            message = dress(line, time.time())
            reply = client.put(message)
            if not reply.startswith(b"PUT "):
                raise RuntimeError("the queue answered %s" % lhhttt.to_text(reply))
            count += 1
            if delay:
                stop.wait(delay)
    return count, time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(prog="peer.feeder")
    parser.add_argument("--address", default="127.0.0.1:10000")
    parser.add_argument("--path", action="append", required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    count, seconds = feed(options.address, options.path, options.delay)
    print("fed %d messages in %.3f s, %.0f a second"
          % (count, seconds, count / max(seconds, 1e-9)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
