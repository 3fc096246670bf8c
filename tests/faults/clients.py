"""A producer and a consumer that retry until they are answered, and know exactly what was answered.

Neither PUT's reply nor ACK's says what it answers, so over UDP, where replies come late, twice or not at all, one must
not be taken for another's:
  - Messages are padded so that all that are under way on one socket have lengths of their own, and the reply names the
    length. A length is used again only when QUIET_S has passed since it was sent last.
  - A socket that sent an ACK sends the next one only when QUIET_S has passed.
Over TCP replies come in the order of the commands; what a cut connection left unanswered is sent again in its order.
With ids a queue takes each message once, so it takes them in the order of the producer's numbers: whichever connection
a number comes from first, all below it came from the same one before.
"""

import collections
import socket
import threading
import time

from peer import lhhttt
from peer.client import NoAnswer, TcpClient, UdpClient

QUIET_S = 1.0  # many times a proxy's longest delay
RETRY_S = 0.15
TURN_S = 0.005
FLOW_COUNT = 32
LENGTH_COUNT = 64
WINDOW = 128
ACK_SOCKET_COUNT = 256


class _Client(threading.Thread):
    """Runs until close(). What it knows changes under `changed`; a failure of its own is in `failure`."""

    def __init__(self):
        super().__init__(daemon=True)
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self.failure = None
        self.counts = collections.Counter()

    def run(self):
        try:
            while not self.closing.is_set():
                self.turn()
        except Exception as failure:  # for the thread that waits
            with self.changed:
                self.failure = failure
                self.changed.notify_all()
            raise

    def close(self):
        self.closing.set()
        self.join(10)

    def wait_for(self, predicate, timeout):
        with self.changed:
            return self.changed.wait_for(lambda: self.failure or predicate(), timeout) and not self.failure


class Producer(_Client):
    """Puts messages 1, 2, 3 ... of a workload at `rate` a second at most, until finish()."""

    def __init__(self, workload, prefix, rate, with_ids=True):
        super().__init__()
        self.workload = workload
        self.prefix = prefix
        self.rate = rate
        self.with_ids = with_ids
        self.sent_count = 0
        self.resent = set()  # numbers that went out more than once
        self.acknowledged = {}  # number: when
        self.finishing = False
        self.started_at = time.monotonic()

    def finish(self, timeout):
        """No more new messages; true if all that were sent are acknowledged in time."""
        with self.changed:
            self.finishing = True
        return self.wait_for(lambda: len(self.acknowledged) == self.sent_count, timeout)

    def _may_send(self):
        return not self.finishing and self.sent_count < (time.monotonic() - self.started_at) * self.rate

    def _command(self, number, text):
        if self.with_ids:
            return b"PUTID:%s%d:%s" % (self.prefix, number, text)
        return b"PUT:" + text

    def _acknowledge(self, number):
        with self.changed:
            self.acknowledged.setdefault(number, time.monotonic())
            self.changed.notify_all()


class UdpProducer(Producer):
    def __init__(self, address, *arguments, **options):
        super().__init__(*arguments, **options)
        self.flows = [UdpClient(address) for _ in range(FLOW_COUNT)]
        for flow in self.flows:
            flow.sock.setblocking(False)
        self.free = collections.deque((0.0, flow, length) for length in range(LENGTH_COUNT)
                                      for flow in range(FLOW_COUNT))
        self.waiting = {}  # (flow, length): [number, command, sent at, bytes]

    def turn(self):
        self._send_new()
        self._send_again()
        for flow in range(FLOW_COUNT):
            self._receive(flow)
        self.closing.wait(TURN_S)

    def _send_new(self):
        while self._may_send() and len(self.waiting) < WINDOW and self.free[0][0] < time.monotonic() - QUIET_S:
            _, flow, length = self.free.popleft()
            with self.changed:
                self.sent_count += 1
                number = self.sent_count
            text = _padded(self.workload, number, length)
            self.waiting[flow, length] = [number, self._command(number, text), time.monotonic(), len(text)]
            self._send(flow, self.waiting[flow, length][1])

    def _send_again(self):
        now = time.monotonic()
        for (flow, _), entry in self.waiting.items():
            if entry[2] < now - RETRY_S:
                entry[2] = now
                self.resent.add(entry[0])
                self.counts["resent"] += 1
                self._send(flow, entry[1])

    def _send(self, flow, command):
        try:
            self.flows[flow].send_raw(lhhttt.encode(command))
        except OSError:
            self.counts["refused"] += 1

    def _receive(self, flow):
        for reply in _replies(self.flows[flow].sock):
            words = reply.split()
            if len(words) != 3 or words[0] != b"PUT":
                self.counts["errors"] += 1  # queue full, say: it is sent again
                continue
            key = flow, int(words[1]) % LENGTH_COUNT
            entry = self.waiting.get(key)
            if entry is None or entry[3] != int(words[1]):
                self.counts["repeated replies"] += 1
                continue
            del self.waiting[key]
            self.free.append((entry[2], *key))
            self._acknowledge(entry[0])

    def close(self):
        super().close()
        for flow in self.flows:
            flow.close()


class TcpProducer(Producer):
    def __init__(self, address, *arguments, **options):
        super().__init__(*arguments, **options)
        self.address = address
        self.unanswered = collections.deque()  # (number, command)
        self.client = None

    def turn(self):
        if self.client is None and not self._connect():
            self.closing.wait(TURN_S * 4)
            return
        commands = []
        while self._may_send() and len(self.unanswered) < WINDOW:
            with self.changed:
                self.sent_count += 1
            self.unanswered.append((self.sent_count, self._command(self.sent_count,
                                                                   self.workload.message(self.sent_count))))
            commands.append(self.unanswered[-1][1])
        try:
            if commands:
                self.client.send(*commands)
            self._receive()
        except OSError:
            self._disconnect()

    def _connect(self):
        try:
            self.client = TcpClient(self.address, TURN_S)
            self.client.sock.settimeout(2.0)
            self.client.send(*[command for _, command in self.unanswered])
        except OSError:
            self._disconnect()
            return False
        self.resent.update(number for number, _ in self.unanswered)
        self.counts["connections"] += 1
        self.client.sock.settimeout(TURN_S)
        return True

    def _disconnect(self):
        if self.client:
            self.client.close()
        self.client = None

    def _receive(self):
        try:
            reply = self.client.receive()
            while True:
                if reply is None:
                    self._disconnect()
                    return
                if not reply.startswith(b"PUT "):
                    raise AssertionError("a PUT was answered with %r" % reply)
                self._acknowledge(self.unanswered.popleft()[0])
                if not self.client.replies:
                    return
                reply = self.client.receive()
        except NoAnswer:
            return

    def close(self):
        super().close()
        self._disconnect()


class Consumer(_Client):
    """Takes with LEASE and ACK.

    deliveries: number -> {token: when ACK was answered OK, or None}; texts: number -> the set of texts that came.
    """

    def __init__(self, workload):
        super().__init__()
        self.workload = workload
        self.deliveries = {}
        self.texts = {}
        self.came_at = {}  # number: when it came first
        self.strange = []

    def _take(self, reply):
        """The (number, token) of a LEASE's reply; None for one that is none, or came before."""
        parts = reply.split(b":", 2)
        if len(parts) != 3:
            return None
        token, text = parts[0], parts[2]
        number = self.workload.number(text)
        with self.changed:
            if number is None:
                self.strange.append(text)
                return None
            tokens = self.deliveries.setdefault(number, {})
            self.came_at.setdefault(number, time.monotonic())
            if token in tokens:
                return None
            tokens[token] = None
            self.texts.setdefault(number, set()).add(self.workload.stripped(text))
            self.changed.notify_all()
        return number, token

    def _confirm(self, number, token):
        with self.changed:
            self.deliveries[number][token] = time.monotonic()
            self.changed.notify_all()


class TcpConsumer(Consumer):
    def __init__(self, address, workload, window=32):
        super().__init__(workload)
        self.address = address
        self.window = window
        self.client = None
        self.expected = collections.deque()  # None for a LEASE, (number, token) for an ACK

    def turn(self):
        try:
            if self.client is None:
                self.client = TcpClient(self.address, 2.0)
                self.expected.clear()
            leases = self.window - len(self.expected)
            if leases > 0:
                self._ask([b"LEASE"] * leases, [None] * leases)
            if not self._receive():
                self.closing.wait(TURN_S)
        except (OSError, NoAnswer, lhhttt.Malformed):
            if self.client:
                self.client.close()
            self.client = None
            self.closing.wait(TURN_S)

    def _ask(self, commands, expected):
        self.client.send(*commands)
        self.expected += expected

    def _receive(self):
        """Takes the replies to all that was asked; false if nothing came."""
        taken = []
        for _ in range(len(self.expected)):
            reply = self.client.receive()
            if reply is None:
                raise ConnectionError("cut")
            asked = self.expected.popleft()
            if asked is None:
                delivery = self._take(reply)
                taken += [delivery] if delivery else []
            elif reply == b"OK":
                self._confirm(*asked)
            else:
                self.counts["ACK refused"] += 1
        if taken:
            self._ask([b"ACK:" + token for _, token in taken], taken)
        return bool(taken)

    def close(self):
        super().close()
        if self.client:
            self.client.close()


class UdpConsumer(Consumer):
    def __init__(self, address, workload):
        super().__init__(workload)
        self.socks = [UdpClient(address) for _ in range(ACK_SOCKET_COUNT)]
        for client in self.socks:
            client.sock.setblocking(False)
        self.free = collections.deque((0.0, index) for index in range(ACK_SOCKET_COUNT))
        self.acks = collections.deque()  # (number, token) that no socket has yet
        self.waiting = {}  # index: [number, token, sent at]
        self.leases_at = 0.0

    def turn(self):
        now = time.monotonic()
        if len(self.acks) < ACK_SOCKET_COUNT and self.leases_at < now - TURN_S:
            self.leases_at = now
            for client in self.socks[:8]:
                self._send(client, b"LEASE")
        while self.acks and self.free and self.free[0][0] < now - QUIET_S:
            index = self.free.popleft()[1]
            self.waiting[index] = [*self.acks.popleft(), 0.0]
        for index, entry in self.waiting.items():
            if entry[2] < now - RETRY_S:
                entry[2] = now
                self._send(self.socks[index], b"ACK:" + entry[1])
        for index in range(ACK_SOCKET_COUNT):
            for reply in _replies(self.socks[index].sock):
                self._on_reply(index, reply)
        self.closing.wait(TURN_S)

    def _send(self, client, command):
        try:
            client.send_raw(lhhttt.encode(command))
        except OSError:
            self.counts["refused"] += 1

    def _on_reply(self, index, reply):
        delivery = self._take(reply)
        if delivery:
            self.acks.append(delivery)
        elif index in self.waiting and (reply == b"OK" or reply.startswith(b"ERR ")):
            number, token, sent_at = self.waiting.pop(index)
            self.free.append((sent_at, index))
            if reply == b"OK":
                self._confirm(number, token)
            else:
                self.counts["ACK refused"] += 1

    def close(self):
        super().close()
        for client in self.socks:
            client.close()


def _padded(workload, number, length):
    """The message's text, with a length of its own modulo LENGTH_COUNT."""
    bare = len(workload.message(number))
    return workload.message(number, bare + (length - bare) % LENGTH_COUNT)


def _replies(sock):
    while True:
        try:
            yield lhhttt.decode(sock.recv(65536))
        except (BlockingIOError, socket.timeout):
            return
        except ConnectionError:
            continue
