"""Proxies between a client and a server that do to the traffic what networks do, from a seed."""

import collections
import heapq
import random
import selectors
import socket
import threading
import time

from peer import address as addresses

FAULT_SHARE = 0.3  # of the datagrams, in each direction
DELAY_S_MAX = 0.05  # a delayed datagram is overtaken by those of this time
PENDING_COUNT_MAX = 4096  # delayed datagrams; what is beyond is lost
FLOW_COUNT_MAX = 512  # clients at a time; the oldest is forgotten


class _Proxy:
    """A thread around a selector; counts what it did in `counts`."""

    def __init__(self):
        self.counts = collections.Counter()
        self.is_mute = False  # set by others: what the server says is lost
        self.selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self.selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stopping.set()
        self._wake_writer.send(b"x")
        self._thread.join(10)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        self._wake_writer.close()

    def _run(self):
        while not self._stopping.is_set():
            for key, events in self.selector.select(self._timeout()):
                if key.data is not None:
                    key.data(key.fileobj, events)
            self._turn()

    def _timeout(self):
        return None

    def _turn(self):
        pass


class UdpProxy(_Proxy):
    """Forwards datagrams from `address` to `target` and back; each client has a socket of its own towards the target.

    FAULT_SHARE of the datagrams of each direction are lost, doubled or delayed, a third each; what is delayed comes
    after younger ones. The seed gives the sequence of the faults; which datagram meets which is up to the clock.
    """

    def __init__(self, target, seed, share=FAULT_SHARE):
        super().__init__()
        self.target = addresses.parse(target)
        self.random = random.Random(seed)
        self.share = share
        self.pending = []
        self.number = 0
        self.flows = collections.OrderedDict()
        self.front = addresses.udp_socket()
        self.front.setblocking(False)
        self.address = addresses.write(self.front.getsockname())
        self.selector.register(self.front, selectors.EVENT_READ, self._on_front)

    def _on_front(self, front, _):
        for data, client in _receive(front):
            flow = self.flows.get(client)
            if flow is None:
                flow = self._open_flow(client)
            self._meet("there", data, flow, None)

    def _open_flow(self, client):
        if len(self.flows) >= FLOW_COUNT_MAX:
            self._close_flow(*self.flows.popitem(last=False))
        flow = socket.socket(self.target.family, socket.SOCK_DGRAM)
        flow.setblocking(False)
        flow.connect((self.target.host, self.target.port))
        self.flows[client] = flow
        self.selector.register(flow, selectors.EVENT_READ, lambda sock, _: self._on_flow(sock, client))
        return flow

    def _close_flow(self, _, flow):
        self.selector.unregister(flow)
        flow.close()

    def _on_flow(self, flow, client):
        for data, _ in _receive(flow):
            if self.is_mute:
                self.counts["datagrams unheard"] += 1
            else:
                self._meet("back", data, self.front, client)

    def _meet(self, direction, data, sock, client):
        """One datagram meets its fate."""
        self.counts["datagrams " + direction] += 1
        chance = self.random.random()
        if chance < self.share / 3:
            self.counts["datagrams lost"] += 1
        elif chance < self.share * 2 / 3:
            self.counts["datagrams doubled"] += 1
            self._send(data, sock, client)
            self._delay(data, sock, client)
        elif chance < self.share:
            self.counts["datagrams delayed"] += 1
            self._delay(data, sock, client)
        else:
            self._send(data, sock, client)

    def _delay(self, data, sock, client):
        if len(self.pending) >= PENDING_COUNT_MAX:
            self.counts["datagrams overrun"] += 1
            return
        self.number += 1
        due = time.monotonic() + self.random.random() * DELAY_S_MAX
        heapq.heappush(self.pending, (due, self.number, data, sock, client))

    def _timeout(self):
        return max(0.0, self.pending[0][0] - time.monotonic()) if self.pending else None

    def _turn(self):
        now = time.monotonic()
        while self.pending and self.pending[0][0] <= now:
            self._send(*heapq.heappop(self.pending)[2:])

    def _send(self, data, sock, client):
        try:
            sock.send(data) if client is None else sock.sendto(data, client)
        except OSError:  # the server is down, a buffer is full, or the flow was closed: lost, as on any network
            self.counts["refused"] += 1


class TcpProxy(_Proxy):
    """Forwards connections, and cuts each after a random number of bytes in both directions together.

    A connection whose server spoke while the proxy was mute is cut afterwards, since a stream has no gaps.
    """

    def __init__(self, target, seed, bytes_mean=200_000):
        super().__init__()
        self.target = addresses.parse(target)
        self.random = random.Random(seed)
        self.bytes_mean = bytes_mean
        self.links = []
        listener = addresses.tcp_listener()
        self.address = "tcp://" + addresses.write(listener.getsockname())
        self.selector.register(listener, selectors.EVENT_READ, self._on_listener)

    def _on_listener(self, listener, _):
        client, _ = listener.accept()
        try:
            server = socket.create_connection((self.target.host, self.target.port), 5)
        except OSError:
            client.close()
            self.counts["refused"] += 1
            return
        self.counts["connections"] += 1
        link = _Link(client, server, self.random.expovariate(1 / self.bytes_mean))
        self.links.append(link)
        for one, other in ((client, server), (server, client)):
            one.settimeout(5)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(one, selectors.EVENT_READ,
                                   lambda sock, _, other=other, link=link: self._forward(sock, other, link))

    def _forward(self, sock, other, link):
        if sock.fileno() < 0:
            return  # cut by its other end in the same round
        try:
            data = sock.recv(65536)
            if not data:
                self._close(link)
            elif self.is_mute and sock is link.server:
                link.has_gap = True
            else:
                other.sendall(data[:max(0, int(link.bytes_left))])
                link.bytes_left -= len(data)
        except OSError:
            self._close(link)

    def _timeout(self):
        return 0.02 if any(link.has_gap for link in self.links) else None

    def _turn(self):
        for link in list(self.links):
            if link.bytes_left < 0 or (link.has_gap and not self.is_mute):
                self.counts["connections cut"] += 1
                self._close(link)

    def _close(self, link):
        if link in self.links:
            self.links.remove(link)
            for end in (link.client, link.server):
                self.selector.unregister(end)
                end.close()


class _Link:
    def __init__(self, client, server, bytes_left):
        self.client, self.server, self.bytes_left = client, server, bytes_left
        self.has_gap = False


def _receive(sock, limit=64):
    for _ in range(limit):
        try:
            yield sock.recvfrom(65536)
        except BlockingIOError:
            return
        except OSError:
            continue
