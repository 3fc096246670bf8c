"""The sink: collects bare datagrams and measures how old they are."""

import argparse
import json
import math
import time

from peer.metrics import Metrics
from peer.service import Service, receive_all, run_until_signal


def parse_result(data):
    """(msg, feed time) of a result, or None for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(value, dict) or "msg" not in value:
        return None
    return value["msg"], value.get("feed_time")


def is_time(value):
    return isinstance(value, float) and math.isfinite(value)


class Sink(Service):
    def __init__(self, address="127.0.0.1:0", vuid=None, verbose=False, **options):
        super().__init__(address, Metrics("Sink", vuid), **options)
        self.verbose = verbose
        self.datagrams = []
        self.other_count = 0

    def open(self):
        self.bind_udp(self._on_datagrams)

    @property
    def count(self):
        return len(self.datagrams)

    @property
    def results(self):
        """The msg members, in the order of arrival."""
        with self.changed:
            parsed = map(parse_result, self.datagrams)
            return [result[0] for result in parsed if result]

    def wait_for_count(self, count, timeout=10.0):
        return self.wait_for(lambda: self.count >= count, timeout)

    def _on_datagrams(self, sock):
        for data, _ in receive_all(sock):
            result = parse_result(data)
            self.metrics.count_in()
            self.metrics.count_out()
            if result is not None and is_time(result[1]):
                self.metrics.latency(max(0.0, time.time() - result[1]))
            if self.verbose:
                print(result[0] if result else data, flush=True)
            with self.changed:
                self.datagrams.append(data)
                self.other_count += result is None
                self.changed.notify_all()


def main():
    parser = argparse.ArgumentParser(prog="peer.sink")
    parser.add_argument("--address", default="127.0.0.1:10000")
    parser.add_argument("--metrics-address")
    parser.add_argument("--stats-period", type=float, default=60.0)
    parser.add_argument("--vuid")
    run_until_signal(Sink(verbose=True, **vars(parser.parse_args())))


if __name__ == "__main__":
    main()
