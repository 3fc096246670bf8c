"""What all peers share: a thread with sockets, a way to stop, a condition."""

import selectors
import signal
import socket
import threading
import time

from peer import address as addresses


class Service:
    """A peer in a thread of its own.

    start() opens the sockets in the caller's thread, so that `address` is
    known when it returns.  Results change under `changed`; wait_for() waits
    for a predicate on them.  A stopped service may be started again: it then
    listens at the same address.
    """

    def __init__(self, address="127.0.0.1:0", metrics=None, metrics_address=None,
                 stats_period=1.0):
        self.address = address
        self.changed = threading.Condition()
        self.metrics = metrics
        self.metrics_address = metrics_address
        self.stats_period = stats_period
        self.failure = None
        self._thread = None
        self._stopping = threading.Event()

    def start(self):
        self._stopping.clear()
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._watched = []
        self.watch(self._wake_reader, lambda _: None)
        try:
            self.open()
        except OSError:
            self._close_all()
            raise
        if self.metrics is not None:
            self.metrics.begin()
        self._next_report = time.time() + self.stats_period
        self._thread = threading.Thread(target=self._run_guarded, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        if self._thread is None:
            return
        self._stopping.set()
        self._wake_writer.send(b"x")
        self._thread.join(10)
        if self._thread.is_alive():
            raise RuntimeError("%s does not stop" % type(self).__name__)
        self._thread = None
        self._close_all()
        if self.failure is not None:
            raise self.failure

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.stop()

    def wait_for(self, predicate, timeout=10.0):
        """True as soon as predicate() is true, False after the time-out."""
        with self.changed:
            done = self.changed.wait_for(
                lambda: self.failure is not None or predicate(), timeout)
        if self.failure is not None:
            raise self.failure
        return bool(done)

    def open(self):
        """Opens the service's sockets and sets `address`."""

    def bind_udp(self, callback):
        sock = addresses.udp_socket(self.address)
        sock.setblocking(False)
        self.address = addresses.write(sock.getsockname())
        self.watch(sock, callback)
        return sock

    def watch(self, sock, callback):
        self._watched.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, callback)

    def unwatch(self, sock):
        self._watched.remove(sock)
        self._selector.unregister(sock)
        sock.close()

    @property
    def stopping(self):
        return self._stopping.is_set()

    def run(self):
        while not self.stopping:
            timeout = None
            if self.metrics_address:
                timeout = max(0.0, self._next_report - time.time())
            for key, _ in self._selector.select(timeout):
                key.data(key.fileobj)
            self.report_if_due()

    def report_if_due(self, last=False):
        if not self.metrics_address:
            return
        if not last and time.time() < self._next_report:
            return
        self._next_report += self.stats_period
        target = addresses.parse(self.metrics_address)
        with socket.socket(target.family, socket.SOCK_DGRAM) as sock:
            sock.sendto(self.metrics.report(), (target.host, target.port))

    def _run_guarded(self):
        try:
            self.run()
            self.report_if_due(last=True)
        except Exception as failure:  # handed to the thread that waits or stops
            with self.changed:
                self.failure = failure
                self.changed.notify_all()

    def _close_all(self):
        self._selector.close()
        for sock in self._watched:
            sock.close()
        self._watched = []
        self._wake_writer.close()


def receive_all(sock, limit=256):
    """The datagrams that have arrived, as (bytes, sender)."""
    for _ in range(limit):
        try:
            yield sock.recvfrom(65536)
        except (BlockingIOError, ConnectionError):
            return


def run_until_signal(service):
    """Runs a service as a program, until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with service:
        print("listening at %s" % service.address, flush=True)
        stop.wait()
