"""Statistics of a node and the datagram that reports them."""

import base64
import json
import math
import random
import threading
import time


def bin_bound(seconds):
    """The power of ten that bounds a latency from above."""
    if seconds <= 1e-9:
        return 1e-9
    return float("1e%d" % math.ceil(math.log10(seconds) - 1e-12))


def random_vuid():
    number = "%06d" % random.randrange(1000000)
    return base64.urlsafe_b64encode(number.encode()).decode()


class Metrics:
    """Counts of one period; report() ends the period and begins the next."""

    def __init__(self, func, vuid=None):
        self.func = func
        self.vuid = vuid or random_vuid()
        self._lock = threading.Lock()
        self.begin()

    def begin(self, now=None):
        self.t0 = time.time() if now is None else now
        self.latency_time = {}
        self.latency_count = {}
        self.throughput_in = {}
        self.throughput_out = {}

    def count_in(self):
        self._count(self.throughput_in)

    def count_out(self):
        self._count(self.throughput_out)

    def latency(self, seconds):
        key = "%.09f s" % bin_bound(seconds)
        with self._lock:
            self.latency_time[key] = self.latency_time.get(key, 0.0) + seconds
            self.latency_count[key] = self.latency_count.get(key, 0) + 1

    def report(self):
        with self._lock:
            now = time.time()
            data = {"t0": self.t0, "t1": now, "func": self.func,
                    "VUID": self.vuid,
                    "latency_time": self.latency_time or None,
                    "latency_count": self.latency_count or None,
                    "throughput_in": self.throughput_in or None,
                    "throughput_out": self.throughput_out or None}
            self.begin(now)
        return json.dumps(data).encode()

    def _count(self, counts):
        key = str(int(time.time()))
        with self._lock:
            counts[key] = counts.get(key, 0) + 1
