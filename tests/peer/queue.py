"""The message queue over UDP, and over TCP if asked: PUT, GET and SIZE, and
those of leases and ids, written from their table and from nothing else."""

import argparse
import collections
import functools
import json
import re
import time

from peer import address as addresses
from peer import lhhttt
from peer.metrics import Metrics
from peer.service import Service, receive_all, run_until_signal


LEASE_HEAD_BYTES = 48  # a token, a count and two colons, at most


class Lease:
    """A message that is hidden until `until`."""

    def __init__(self, entry, until):
        self.entry = entry
        self.until = until


class Entry:
    """A message that leases may give out several times; `number` is its place."""

    def __init__(self, number, message):
        self.number = number
        self.message = message
        self.since = time.monotonic()
        self.deliveries = 0


class Queue(Service):
    """A queue.

    faithful    behaves like the prototype: counts code points, is silent on
                unknown verbs and on those of leases and ids, knows no capacity
    lease_time  how long a LEASE without a time hides a message, in seconds
    tcp         listens at the same port over TCP too
    drop        predicate of (number, command, reply): that UDP reply is lost;
                numbers count the replies from 1
    """

    def __init__(self, address="127.0.0.1:0", faithful=False, tcp=False,
                 drop=None, capacity=None, vuid=None, lease_time=30.0,
                 **options):
        super().__init__(address, Metrics("Messagequeue", vuid), **options)
        self.faithful = faithful
        self.tcp = tcp
        self.drop = drop
        self.capacity = capacity
        self.lease_time = lease_time
        self.messages = collections.deque()
        self.next_number = 1
        self.leases = {}
        self.ended = {}
        self.lease_count = 0
        self.ids = {}
        self.counts = collections.Counter()
        self.nack_reasons = []
        self.commands = collections.Counter()
        self.received = []
        self.lost = []
        self.reply_count = 0
        self.malformed_count = 0

    def open(self):
        for _ in range(20):
            udp = self.bind_udp(self._on_datagrams)
            if not self.tcp:
                return
            try:
                listener = addresses.tcp_listener(self.address)
            except OSError:
                self.unwatch(udp)
                self.address = "127.0.0.1:0"
                continue
            self.watch(listener, self._on_connection)
            return
        raise OSError("no port is free over both UDP and TCP")

    @property
    def size(self):
        with self.changed:
            self._end_leases()
            return len(self.messages)

    def put(self, message):
        """Appends a message without any network."""
        with self.changed:
            self._append(lhhttt.to_bytes(message))

    def take_all(self):
        with self.changed:
            self._end_leases()
            texts = [entry.message for entry in self.messages]
            self.messages.clear()
            return texts

    def handle(self, command):
        """The reply's text, or None for no reply."""
        verb, colon, rest = command.partition(b":")
        with self.changed:
            self._end_leases()
            self.commands[lhhttt.to_text(verb)] += 1
            self.changed.notify_all()
            if verb == b"PUT":
                return self._put(rest)
            if verb == b"GET":
                return self._get()
            if verb == b"SIZE":
                return b"%d" % len(self.messages)
            if self.faithful:
                return None
            if verb == b"STATS" and not colon:
                return self._stats()
            if verb == b"LEASE":
                return self._lease(rest if colon else None)
            named = {b"PUTID": self._put_id, b"SEEN": self._seen, b"ACK": self._ack,
                     b"NACK": self._nack, b"EXTEND": self._extend}.get(verb)
            if named:
                return named(*rest.partition(b":"))
        return b"ERR unknown command"

    # ---- leases and ids; the lock is held

    def _end_leases(self):
        """Those whose time is over: their messages go back to their places."""
        now = time.monotonic()
        for token in [token for token, lease in self.leases.items()
                      if lease.until <= now]:
            self._give_back(token, "over")
            self.counts["expired_leases"] += 1

    def _give_back(self, token, why):
        entry = self.leases.pop(token).entry
        self.ended[token] = why
        place = 0
        while place < len(self.messages) and \
                self.messages[place].number < entry.number:
            place += 1
        self.messages.insert(place, entry)
        self.changed.notify_all()

    @staticmethod
    def _seconds(text):
        """None if the text is no time."""
        if not re.fullmatch(rb"[0-9]+(\.[0-9]+)?", text):
            return None
        seconds = float(text)
        return seconds if 0 < seconds <= 86400 else None

    def _lease(self, seconds_text):
        seconds = self.lease_time
        if seconds_text is not None:
            seconds = self._seconds(seconds_text)
            if seconds is None:
                return b"ERR malformed command"
        if not self.messages:
            return b""
        entry = self.messages.popleft()
        entry.deliveries += 1
        self.lease_count += 1
        token = b"peer.%d" % self.lease_count
        self.leases[token] = Lease(entry, time.monotonic() + seconds)
        return b"%s:%d:%s" % (token, entry.deliveries, entry.message)

    def _answer_ended(self, token, wanted):
        if self.ended.get(token) == wanted:
            return b"OK"
        return b"ERR lease is over" if token in self.ended else b"ERR unknown lease"

    def _ack(self, token, colon, _rest):
        if colon or not token:
            return b"ERR malformed command"
        if token not in self.leases:
            return self._answer_ended(token, "acknowledged")
        entry = self.leases.pop(token).entry
        self.ended[token] = "acknowledged"
        self.counts["acknowledged"] += 1
        self.metrics.latency(time.monotonic() - entry.since)
        self.metrics.count_out()
        return b"OK"

    def _nack(self, token, _colon, reason):
        if not token:
            return b"ERR malformed command"
        if token not in self.leases:
            return self._answer_ended(token, "refused")
        self._give_back(token, "refused")
        self.nack_reasons.append(reason)
        return b"OK"

    def _extend(self, token, _colon, seconds_text):
        seconds = self._seconds(seconds_text)
        if seconds is None or not token:
            return b"ERR malformed command"
        if token not in self.leases:
            return self._answer_ended(token, None)
        self.leases[token].until = time.monotonic() + seconds
        return b"OK"

    def _put_id(self, name, colon, message):
        if not colon or not 1 <= len(name) <= 64:
            return b"ERR malformed command"
        if name in self.ids:
            self.counts["duplicates"] += 1
            return self.ids[name]
        reply = self._put(message)
        if not reply.startswith(b"ERR"):
            self.ids[name] = reply
        return reply

    def _seen(self, nonce, colon, ids):
        ids = ids.split(b",")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", nonce) or len(ids) > 64 or \
                not all(1 <= len(name) <= 64 and b":" not in name for name in ids):
            return b"ERR malformed command"
        return nonce + colon + b"".join(b"01"[name in self.ids:][:1] for name in ids)

    def _stats(self):
        return lhhttt.to_bytes(json.dumps({
            "in": len(self.received), "queued": len(self.messages),
            "in_flight": len(self.leases), **self.counts,
            "out": len(self.received) - len(self.messages) - len(self.leases)}))

    # ---- the prototype's

    def _append(self, message):
        self.messages.append(Entry(self.next_number, message))
        self.next_number += 1
        self.received.append(message)
        self.metrics.count_in()
        self.changed.notify_all()

    def _put(self, message):
        if self.capacity is not None and len(self.messages) >= self.capacity:
            return b"ERR queue full"
        self._append(message)
        count = len(message)
        if self.faithful:
            count = len(message.decode("utf-8", "replace"))
        return b"PUT %d bytes" % count

    def _get(self):
        if not self.messages:
            return b""
        entry = self.messages.popleft()
        self.metrics.latency(time.monotonic() - entry.since)
        self.metrics.count_out()
        return entry.message

    def _on_datagrams(self, sock):
        for data, sender in receive_all(sock):
            try:
                command = lhhttt.decode(data)
            except lhhttt.Malformed:
                with self.changed:
                    self.malformed_count += 1
                    self.changed.notify_all()
                continue
            reply = self._fitting_reply(command)
            if reply is not None:
                self._send_reply(sock, command, reply, sender)

    def _fitting_reply(self, command):
        verb = command.partition(b":")[0]
        if verb == b"GET" or (verb == b"LEASE" and not self.faithful):
            with self.changed:
                self._end_leases()
                head = self.messages[0].message if self.messages else b""
                extra = LEASE_HEAD_BYTES if verb == b"LEASE" else 0
                if extra + len(lhhttt.encode(head)) > lhhttt.MAX_DATAGRAM_BYTES:
                    return b"ERR message of %d bytes needs TCP" % len(head)
        return self.handle(command)

    def _send_reply(self, sock, command, reply, sender):
        with self.changed:
            self.reply_count += 1
            if self.drop and self.drop(self.reply_count, command, reply):
                if command == b"GET" and reply:
                    self.lost.append(reply)
                self.changed.notify_all()
                return
        try:
            sock.sendto(lhhttt.encode(reply), sender)
        except (BlockingIOError, ConnectionError):
            pass  # a reply may be lost, as any datagram

    def _on_connection(self, listener):
        connection, _ = listener.accept()
        connection.settimeout(10)
        decoder = lhhttt.Decoder()
        self.watch(connection, functools.partial(self._on_stream, decoder))

    def _on_stream(self, decoder, connection):
        try:
            data = connection.recv(65536)
            replies = [self.handle(text) for text in decoder.feed(data)]
            if decoder.fault:
                replies.append(b"ERR " + lhhttt.to_bytes(str(decoder.fault)))
                data = b""
            connection.sendall(b"".join(lhhttt.encode(reply) for reply in replies
                                        if reply is not None))
        except OSError:
            data = b""
        if not data:
            self.unwatch(connection)


def main():
    parser = argparse.ArgumentParser(prog="peer.queue")
    parser.add_argument("--address", default="127.0.0.1:10000")
    parser.add_argument("--metrics-address")
    parser.add_argument("--stats-period", type=float, default=60.0)
    parser.add_argument("--vuid")
    parser.add_argument("--faithful", action="store_true")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--capacity", type=int)
    parser.add_argument("--lease-time", type=float, default=30.0)
    run_until_signal(Queue(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
