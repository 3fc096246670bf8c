"""The promises in Python: durable queues and workers, for trying the harness without the product.

    python3 -m faults.model launch --store DIR --entry HOST:PORT --exit HOST:PORT --function NAME
    python3 -m faults.model queue --store DIR --entry HOST:PORT
    python3 -m faults.model worker --entry HOST:PORT --exit HOST:PORT --function NAME

A launch is queue -> exactly-once worker -> queue: everything of one turn goes into one record of one file, which is
whole or not there, and what the outside sees waits for it. A worker alone leases, puts with ids and acknowledges.
--plant breaks it in one of the ways of PLANTS: the harness must find each.
"""

import argparse
import collections
import heapq
import json
import os
import secrets
import signal
import threading
import time
import zlib

from faults.clients import TcpConsumer, TcpProducer
from peer import functions
from peer import lhhttt
from peer.queue import Queue
from peer.service import Service

PLANTS = ("answer-before-write", "forget-ids", "forget-settled", "state-apart", "outputs-late", "settle-late",
          "count-repeats")
TAKE_COUNT = 16
LATE_TURNS = 3


class Journal:
    """One file of records, each a turn: a checksum and JSON. A torn record at the end was never there."""

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.file = open(os.path.join(directory, "model.journal"), "a+b", buffering=0)
        self.open_batch = []

    def records(self):
        self.file.seek(0)
        position = 0
        for line in self.file.read().split(b"\n")[:-1]:
            checksum, _, body = line.partition(b" ")
            if checksum != b"%08x" % zlib.crc32(body):
                break
            position += len(line) + 1
            yield from json.loads(body)
        self.file.truncate(position)

    def write(self):
        if self.open_batch:
            body = json.dumps(self.open_batch).encode()
            self.file.write(b"%08x %s\n" % (zlib.crc32(body), body))
            self.open_batch = []


class DurableQueue:
    """A queue's messages, leases, ids and ledger; what must survive goes to journal.open_batch."""

    def __init__(self, name, journal, plant, lease_s):
        self.name, self.journal, self.plant, self.lease_s = name, journal, plant, lease_s
        self.epoch = secrets.token_hex(4).encode()
        self.texts = {}
        self.waiting = []  # a heap of numbers
        self.leases = {}  # number: (token, deadline)
        self.deliveries = collections.Counter()
        self.ended = {}  # token of an acknowledged message
        self.ids = {}
        self.next_number = 1
        self.counts = collections.Counter(dropped=0, expired=0, dead_lettered=0, duplicates=0, recovered=0, out=0)
        self.counts["in"] = 0

    def recover(self, record):
        kind, number, *rest = record
        if kind == "append":
            self.texts[number] = rest[0].encode("latin-1")
            self.next_number = number + 1
            if rest[1] is not None and self.plant != "forget-ids":
                self.ids[rest[1]] = len(self.texts[number])
        elif kind == "settle":
            self.texts.pop(number, None)

    def recovered(self):
        self.waiting = sorted(self.texts)
        self.counts["in"] = self.counts["recovered"] = len(self.texts)

    def append(self, text, identity=None):
        number = self.next_number
        self.next_number += 1
        self.texts[number] = text
        heapq.heappush(self.waiting, number)
        self.counts["in"] += 1
        self._note("append", number, text.decode("latin-1"), identity)

    def settle(self, number):
        del self.texts[number]
        self.counts["out"] += 1
        if not (self.plant == "forget-settled" and number % 8 == 0):
            self._note("settle", number)

    def pop(self):
        return heapq.heappop(self.waiting)

    def _note(self, *record):
        self.journal.open_batch.append([self.name, *record])

    def expire(self):
        now = time.monotonic()
        for number, (_, deadline) in list(self.leases.items()):
            if deadline <= now:
                del self.leases[number]
                heapq.heappush(self.waiting, number)

    def handle(self, command):
        verb, _, rest = command.partition(b":")
        if verb == b"PUT":
            self.append(rest)
            return b"PUT %d bytes" % len(rest)
        if verb == b"PUTID":
            return self._put_id(rest)
        if verb == b"LEASE":
            return self._lease()
        if verb == b"ACK":
            return self._acknowledge(rest)
        if verb == b"STATS":
            return json.dumps(dict(self.counts, queued=len(self.waiting), in_flight=len(self.leases))).encode()
        return b"ERR unknown command"

    def _put_id(self, rest):
        identity, _, text = rest.partition(b":")
        identity = identity.decode("latin-1")
        if identity in self.ids:
            self.counts["duplicates"] += 1
            self.counts["in"] += self.plant == "count-repeats"
            return b"PUT %d bytes" % self.ids[identity]
        self.ids[identity] = len(text)
        self.append(text, identity)
        return b"PUT %d bytes" % len(text)

    def _lease(self):
        if not self.waiting:
            return b""
        number = self.pop()
        self.deliveries[number] += 1
        token = b"%s.%d.%d" % (self.epoch, number, self.deliveries[number])
        self.leases[number] = token, time.monotonic() + self.lease_s
        return b"%s:%d:%s" % (token, self.deliveries[number], self.texts[number])

    def _acknowledge(self, token):
        if token in self.ended:
            return b"OK"
        fields = token.split(b".")
        number = int(fields[1]) if len(fields) == 3 else 0
        if self.leases.get(number, (None,))[0] != token:
            return b"ERR no such lease"
        del self.leases[number]
        self.settle(number)
        self.ended[token] = True
        return b"OK"


class Listener(Queue):
    """The peers' queue with a DurableQueue's commands; answers wait in `held` until the turn is written."""

    def __init__(self, queue, held, address):
        super().__init__(address, tcp=True)
        self.queue, self.held = queue, held

    def _fitting_reply(self, command):
        return self.queue.handle(command)

    def _send_reply(self, sock, command, reply, sender):
        self.held.append(lambda: _quietly(sock.sendto, lhhttt.encode(reply), sender))

    def _on_stream(self, decoder, connection):
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        replies = [lhhttt.encode(self.queue.handle(text)) for text in decoder.feed(data)]
        self.held.append(lambda: _quietly(connection.sendall, b"".join(replies)))
        if not data:
            self.unwatch(connection)


def _quietly(send, *arguments):
    try:
        send(*arguments)
    except OSError:
        pass


class KeptState:
    """What a function knows, as pairs, so that a difference can be written."""

    def __init__(self, function):
        self.function = function
        self.known = {}

    def changes(self):
        pairs = {}
        if hasattr(self.function, "accepted"):
            pairs = {"s" + symbol: stopped for symbol, stopped in self.function.stopped.items()}
            pairs.update(("o" + identity, True) for identity in self.function.accepted)
        changed = [(key, value) for key, value in pairs.items() if self.known.get(key) != value]
        self.known = pairs
        return changed

    def recover(self, key, value):
        self.known[key] = value
        if key[0] == "s":
            self.function.stopped[key[1:]] = value
        else:
            self.function.accepted.add(key[1:])


class Launch(Service):
    """One or two queues and perhaps a worker between them, on one thread."""

    def __init__(self, options):
        super().__init__("")
        self.options = options
        self.journal = Journal(options.store)
        self.held = []
        self.turn_number = 0
        self.late = collections.deque()  # what a plant does some turns too late
        self.function = self.state = None
        names = ["entry"] + (["exit"] if options.exit else [])
        self.queues = {name: DurableQueue(name, self.journal, options.plant, options.lease_time) for name in names}
        if options.function:
            self.function = functions.make(options.function)[1]
            self.state = KeptState(self.function)
        for owner, *record in self.journal.records():
            self.state.recover(*record) if owner == "state" else self.queues[owner].recover(record)
        for queue in self.queues.values():
            queue.recovered()

    def open(self):
        for name, queue in self.queues.items():
            listener = Listener(queue, self.held, getattr(self.options, name))
            listener.watch, listener.unwatch = self.watch, self.unwatch
            listener.open()

    def run(self):
        while not self.stopping:
            idle = not (self.function and self.queues["entry"].waiting) and not self.late
            for key, _ in self._selector.select(0.05 if idle else 0):
                key.data(key.fileobj)
            for queue in self.queues.values():
                queue.expire()
            if self.function:
                self._work()
            self._end_turn()

    def _work(self):
        entry, target = self.queues["entry"], self.queues["exit"]
        for _ in range(min(TAKE_COUNT, len(entry.waiting))):
            number = entry.pop()
            for _, text in self._call(entry.texts[number].decode("latin-1")):
                self._apart("outputs-late", lambda text=text: target.append(text.encode("latin-1")))
            self._apart("settle-late", lambda number=number: entry.settle(number))
        for key, value in self.state.changes():
            if self.options.plant != "state-apart":
                self.journal.open_batch.append(["state", key, value])

    def _call(self, text):
        try:
            return self.function(text)
        except functions.FunctionError:
            return []

    def _apart(self, plant, action):
        if self.options.plant == plant:
            self.late.append((self.turn_number + LATE_TURNS, action))
        else:
            action()

    def _end_turn(self):
        self.turn_number += 1
        while self.late and self.late[0][0] <= self.turn_number:
            self.late.popleft()[1]()
        if self.options.plant != "answer-before-write" or self.turn_number % 16 == 0:
            self.journal.write()
        for send in self.held:
            send()
        self.held.clear()


class _Work:
    """A leased message is put with an id of its own, and acknowledged when that was answered."""

    def __init__(self, function):
        self.function = functions.make(function)[1]
        self.outputs = []
        self.numbers = {}

    def message(self, number):
        return self.outputs[number - 1]

    def number(self, text):
        return zlib.crc32(text)

    def stripped(self, text):
        return text


class Worker(TcpConsumer):
    """passthrough only: a message's id is made of its text, so that a repeat of it is none."""

    def __init__(self, options):
        super().__init__("tcp://" + options.entry, _Work(options.function))
        self.target = "tcp://" + options.exit
        self.put = None

    def _ask(self, commands, expected):
        if expected and expected[0] is not None:
            texts = [max(self.texts[number]) for number, _ in expected]
            if self.put is None:
                self.put = TcpProducer(self.target, None, b"", 0)
                if not self.put._connect():
                    self.put = None
                    raise ConnectionError("no output")
                self.put.client.sock.settimeout(2.0)
            try:
                self.put.client.send(*[b"PUTID:w%d:%s" % (zlib.crc32(text), text) for text in texts])
                for _ in texts:
                    if self.put.client.receive() is None:
                        raise ConnectionError("cut")
            except OSError:
                self.put = None
                raise
        super()._ask(commands, expected)


def main():
    parser = argparse.ArgumentParser(prog="faults.model")
    parser.add_argument("kind", choices=("launch", "queue", "worker"))
    parser.add_argument("--store")
    parser.add_argument("--entry", required=True)
    parser.add_argument("--exit")
    parser.add_argument("--function")
    parser.add_argument("--lease-time", type=float, default=1.0)
    parser.add_argument("--plant", choices=PLANTS)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    service = Worker(options) if options.kind == "worker" else Launch(options)
    service.start()
    stop.wait()
    (service.close if options.kind == "worker" else service.stop)()


if __name__ == "__main__":
    main()
