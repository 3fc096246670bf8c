"""A round: a topology, a producer, a consumer, kills at random moments, and the verdict."""

import collections
import os
import random
import shutil
import tempfile
import time

from faults import topologies, verdict
from faults.clients import TcpConsumer, TcpProducer, UdpConsumer, UdpProducer
from faults.proxy import TcpProxy, UdpProxy
from faults.topologies import Failure
from faults.workloads import MarketOrders, Passthrough
from support.conditions import pass_time, wait_until

# level: what is promised; way: how the clients speak, over a proxy that damages the traffic.
Mode = collections.namedtuple("Mode", "name kind level workload producer consumer rate with_ids text")
MODES = {mode.name: mode for mode in (
    Mode("market", "launch-sync", "exactly-once", MarketOrders, "tcp", "tcp", 1500, True,
         "queue, marketspread exactly once, queue, sync; in order over connections that break: its state too"),
    Mode("lossy", "launch-sync", "exactly-once", Passthrough, "udp", "udp", 200, True,
         "the same with passthrough, over datagrams that are lost, doubled and reordered, both ways"),
    Mode("plain", "launch-sync", "at-least-once", Passthrough, "tcp", "tcp", 1500, False,
         "the same fed by PUT without ids: what was acknowledged comes out, repeats may come twice"),
    Mode("async", "launch-async", "async", Passthrough, "tcp", "tcp", 1500, True,
         "asynchronous queues: a kill loses the youngest at most"),
    Mode("apart", "processes-at-least-once", "at-least-once", Passthrough, "udp", "tcp", 200, True,
         "three processes, at least once, killed one by one"),
    Mode("apart-exact", "processes-exactly-once", "exactly-once", Passthrough, "udp", "tcp", 200, True,
         "three processes, exactly once, killed one by one"),
)}

STALL_S = 30.0
LIFE_S_MAX = 0.35  # between a start and the next kill
RECOVERY_S_MAX = 0.03
MUTE_SHARE = 0.5  # of the kills, after a while without answers: what was taken then is put again
MUTE_S_MAX = 0.1
RECOVERY_SHARE = 0.3  # of the kills, while it recovers


class Round:
    def __init__(self, mode, kill_count, seed, of_model=False, plant=None):
        self.mode, self.kill_count, self.seed = mode, kill_count, seed
        self.random = random.Random(seed)
        self.directory = tempfile.mkdtemp(prefix="millrace-crash-")
        self.workload = mode.workload(self.directory, seed)
        self.topology = topologies.build(mode.kind, of_model, self.directory, self.workload.function, seed, plant)
        self.kill_times = []
        self.clients = []
        self.looked_count = 0

    def run(self):
        """Raises Failure, with what to look at; else removes its directory and returns counts."""
        try:
            self._run()
        except Exception as fault:
            self._end()
            raise Failure("mode %s, seed %d, after kill %d of %d: %s\n  (stores and logs are in %s)" % (
                self.mode.name, self.seed, len(self.kill_times), self.kill_count, fault, self.directory)) from fault
        self._end()
        shutil.rmtree(self.directory, ignore_errors=True)
        return self._counts()

    def _run(self):
        for process in self.topology.processes:
            process.start()
        for process in self.topology.processes:
            process.wait_until_ready()
        self._start_clients()
        while len(self.kill_times) < self.kill_count:
            # A crash comes at any time: what is waited for is no condition.
            pass_time(self.random.random() * LIFE_S_MAX)
            self._kill_one()
            self._look()
        self._drain()
        found = verdict.faults(self.mode.level, self.workload, self.producer, self.consumer, self.kill_times)
        if found:
            raise Failure("; ".join(found))
        for process in self.topology.processes:
            process.stop()

    def _start_clients(self):
        seed, topology = self.seed, self.topology
        make_proxy = {"udp": UdpProxy, "tcp": TcpProxy}
        self.entry_proxy = make_proxy[self.mode.producer](topology.entry, seed + 100).start()
        self.exit_proxy = make_proxy[self.mode.consumer](topology.exit, seed + 200).start()
        topology.proxies += [self.entry_proxy, self.exit_proxy]
        producer = {"udp": UdpProducer, "tcp": TcpProducer}[self.mode.producer]
        consumer = {"udp": UdpConsumer, "tcp": TcpConsumer}[self.mode.consumer]
        self.producer = producer(self.entry_proxy.address, self.workload, b"%x." % seed, self.mode.rate,
                                 self.mode.with_ids)
        self.consumer = consumer(self.exit_proxy.address, self.workload)
        self.clients = [self.producer, self.consumer]
        for client in self.clients:
            client.start()

    def _kill_one(self):
        """Kills a process and starts it again; now and then once more while it recovers."""
        process = self.random.choice(self.topology.processes)
        if self.random.random() < MUTE_SHARE:
            self.entry_proxy.is_mute = True
            pass_time(self.random.random() * MUTE_S_MAX)
        self._kill(process)
        self.entry_proxy.is_mute = False
        while self.random.random() < RECOVERY_SHARE and len(self.kill_times) < self.kill_count:
            process.start()
            pass_time(self.random.random() * RECOVERY_S_MAX)
            self._kill(process)
        process.start()
        process.wait_until_ready()

    def _kill(self, process):
        self.kill_times.append(time.monotonic())
        process.kill()

    def _look(self):
        """Whether the ledger of each queue balances."""
        for address in self.topology.queues:
            stats = verdict.read_stats(address)
            fault = verdict.ledger_fault(stats) if stats else "STATS is not answered"
            if fault:
                raise Failure("the ledger of %s: %s" % (address, fault))
            self.looked_count += 1

    def _drain(self):
        """Waits until all that was put is acknowledged, and all that must come out has come."""
        if not self.producer.finish(STALL_S):
            raise Failure("only %d of %d messages were acknowledged; %r" % (
                len(self.producer.acknowledged), self.producer.sent_count, self.producer.failure))
        expected = self.workload.results(self.producer.sent_count).keys()
        # Between processes a worker may hold what no queue holds, and try again after a second.
        quiet_s = 1.0 if self.mode.kind.startswith("launch") else 5.0
        before = -1
        while before != (before := len(self.consumer.deliveries)) or not self._is_empty():
            if self.consumer.failure:
                raise self.consumer.failure
            wait_until(lambda: expected <= self.consumer.deliveries.keys() and self._is_empty(), quiet_s, 0.02)
            if time.monotonic() - self.kill_times[-1] > 4 * STALL_S:
                raise Failure("the queues do not become empty")
        self._look()

    def _is_empty(self):
        stats = [verdict.read_stats(address, 3) for address in self.topology.queues]
        return all(one and one["queued"] + one["in_flight"] == 0 for one in stats)

    def _end(self):
        for client in self.clients:
            client.close()
        self.topology.end()

    def _counts(self):
        counts = collections.Counter(
            kills=len(self.kill_times), messages=self.producer.sent_count, results=len(self.consumer.deliveries),
            resent=len(self.producer.resent), looks=self.looked_count,
            lost=len(self.workload.results(self.producer.sent_count).keys() - self.consumer.deliveries.keys()),
            doubled=len(verdict.doubled(self.consumer)))
        for proxy in self.topology.proxies:
            counts.update(proxy.counts)
        return counts
