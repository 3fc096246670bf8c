"""The message queue: PUT, GET and SIZE over UDP, and over TCP if asked."""

import argparse
import collections
import functools
import time

from peer import address as addresses
from peer import lhhttt
from peer.metrics import Metrics
from peer.service import Service, receive_all, run_until_signal


class Queue(Service):
    """A queue.

    faithful    behaves like the prototype: counts code points, is silent on
                unknown verbs, knows no capacity
    tcp         listens at the same port over TCP too
    drop        predicate of (number, command, reply): that UDP reply is lost;
                numbers count the replies from 1
    """

    def __init__(self, address="127.0.0.1:0", faithful=False, tcp=False,
                 drop=None, capacity=None, vuid=None, **options):
        super().__init__(address, Metrics("Messagequeue", vuid), **options)
        self.faithful = faithful
        self.tcp = tcp
        self.drop = drop
        self.capacity = capacity
        self.messages = collections.deque()
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
            return len(self.messages)

    def put(self, message):
        """Appends a message without any network."""
        with self.changed:
            self._append(lhhttt.to_bytes(message))

    def take_all(self):
        with self.changed:
            texts = [message for message, _ in self.messages]
            self.messages.clear()
            return texts

    def handle(self, command):
        """The reply's text, or None for no reply."""
        verb, _, rest = command.partition(b":")
        with self.changed:
            self.commands[lhhttt.to_text(verb)] += 1
            self.changed.notify_all()
            if verb == b"PUT":
                return self._put(rest)
            if verb == b"GET":
                return self._get()
            if verb == b"SIZE":
                return b"%d" % len(self.messages)
        return None if self.faithful else b"ERR unknown command"

    def _append(self, message):
        self.messages.append((message, time.monotonic()))
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
        message, since = self.messages.popleft()
        self.metrics.latency(time.monotonic() - since)
        self.metrics.count_out()
        return message

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
        if command.partition(b":")[0] == b"GET":
            with self.changed:
                head = self.messages[0][0] if self.messages else b""
                if len(lhhttt.encode(head)) > lhhttt.MAX_DATAGRAM_BYTES:
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
    run_until_signal(Queue(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
