"""The metrics receiver: datagrams of nodes in, POSTs to the hub out."""

import argparse
import json
import math
import urllib.error
import urllib.request

from peer.service import Service, receive_all, run_until_signal


LONGEST_PERIOD_S = 86400


def post_of(report):
    """The hub's message for one report of a node; ValueError for nonsense."""
    if not 0 <= report["t1"] - report["t0"] <= LONGEST_PERIOD_S:
        raise ValueError("no period: from %r to %r" % (report["t0"], report["t1"]))
    bins = {}
    for bound, count in (report["latency_count"] or {}).items():
        bins[repr(float(bound.split()[0]))] = count
    out = report["throughput_out"]
    if not out:
        seconds = range(math.floor(report["t0"]), math.ceil(report["t1"]))
        out = {str(second): 0 for second in seconds}
    return {"pipeline_key": report["VUID"], "t1": report["t1"], "t0": report["t0"],
            "topics": {"latency_bins": bins, "throughput_out": out}}


class MetricsReceiver(Service):
    """Collects reports; without a URI it posts nothing."""

    def __init__(self, address="127.0.0.1:0", uri=None, post_timeout=2.0,
                 verbose=False):
        super().__init__(address)
        self.uri = uri
        self.post_timeout = post_timeout
        self.verbose = verbose
        self.datagrams = []
        self.reports = []
        self.malformed_count = 0
        self.failed_post_count = 0

    def open(self):
        self.bind_udp(self._on_datagrams)

    def of(self, vuid):
        """The reports of one node so far."""
        with self.changed:
            return [report for report in self.reports if report["VUID"] == vuid]

    def total(self, vuid, member):
        """The sum of a throughput of one node so far."""
        return sum(sum((report[member] or {}).values()) for report in self.of(vuid))

    def _on_datagrams(self, sock):
        for data, _ in receive_all(sock):
            try:
                report = json.loads(data)
                post = post_of(report)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                with self.changed:
                    self.malformed_count += 1
                    self.changed.notify_all()
                continue
            with self.changed:
                self.datagrams.append(data)
                self.reports.append(report)
                self.changed.notify_all()
            if self.verbose:
                print(json.dumps(report, indent=2), flush=True)
            if self.uri:
                self._post(post)

    def _post(self, post):
        request = urllib.request.Request(
            self.uri, json.dumps(post).encode(), {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=self.post_timeout).close()
        except (urllib.error.URLError, OSError):
            self.failed_post_count += 1


def main():
    parser = argparse.ArgumentParser(prog="peer.metrics_receiver")
    parser.add_argument("--address", default="127.0.0.1:10000")
    parser.add_argument("--uri", required=True)
    run_until_signal(MetricsReceiver(verbose=True, **vars(parser.parse_args())))


if __name__ == "__main__":
    main()
