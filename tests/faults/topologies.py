"""What is started, killed and started again: of the product, or of its model."""

import os
import signal
import subprocess
import sys

from faults.proxy import UdpProxy
from support.conditions import wait_until
from support.launch import ROOT, binary
from support.ports import free_address, is_listening

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
LEASE_S = 1.0
# Lost replies and kills count as deliveries; nothing here is to be given up.
QUEUE_FLAGS = ["--lease-time", str(LEASE_S), "--max-deliveries", "1000000"]


class Failure(AssertionError):
    """A promise that was not kept, or a process that did not do as it should."""


class Process:
    """A process that can be started again with the same arguments; all its lives write to one log."""

    def __init__(self, name, command, listening, directory):
        self.name, self.command, self.listening = name, [str(word) for word in command], listening
        self.log_path = os.path.join(directory, name + ".log")
        self.directory = directory
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            log.write(b"--- start\n")
            log.flush()
            self.process = subprocess.Popen(self.command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=dict(os.environ, PYTHONPATH=str(ROOT / "tests")))

    def wait_until_ready(self):
        def is_ready():
            return self.process.poll() is not None or all(map(is_listening, self.listening))
        if not wait_until(is_ready, START_TIMEOUT_S, 0.002) or self.process.poll() is not None:
            raise Failure("%s does not start (status %s): %s" % (self.name, self.process.poll(), self.tail()))

    def kill(self):
        """SIGKILL; it must not have ended by itself before."""
        status = self.process.poll()
        self.process.kill()
        self.process.wait()
        if status is not None:
            raise Failure("%s ended by itself (status %s): %s" % (self.name, status, self.tail()))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Failure("%s does not stop: %s" % (self.name, self.tail())) from None
        if status != 0:
            raise Failure("%s stopped with status %d: %s" % (self.name, status, self.tail()))

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tail(self):
        with open(self.log_path, "rb") as log:
            return log.read()[-1500:].decode("utf-8", "replace")


class Topology:
    """entry and exit are UDP addresses, with TCP at the same ports; queues are those whose ledger is looked at."""

    def __init__(self, directory, plant=None):
        self.directory, self.plant = directory, plant
        self.entry, self.exit = free_address(), free_address()
        self.queues = [self.entry, self.exit]
        self.processes, self.proxies = [], []

    def add(self, name, command, *listening):
        self.processes.append(Process(name, command, listening, self.directory))

    def model(self, name, *arguments, listening):
        plant = ["--plant", self.plant] if self.plant else []
        self.add(name, [sys.executable, "-m", "faults.model", *arguments, "--lease-time", LEASE_S, *plant], *listening)

    def product(self, name, *arguments, listening=()):
        self.add(name, [binary(), *arguments], *listening)

    def end(self):
        for process in self.processes:
            process.end()
        for proxy in self.proxies:
            proxy.stop()


def _product_launch(topology, function, durability):
    queue = ["--durability", durability, *QUEUE_FLAGS]
    topology.product(
        "launch", "run", "--store", "store", "--console-log",
        "--mq", "--address", topology.entry, "--address", "tcp://" + topology.entry, *queue,
        "--worker", "--input-address", topology.entry, "--output-address", topology.exit, "--function", function,
        "--guarantee", "exactly-once",
        "--mq", "--address", topology.exit, "--address", "tcp://" + topology.exit, *queue,
        listening=topology.queues)


def _product_processes(topology, function, guarantee, seed):
    for name, address in (("entry", topology.entry), ("exit", topology.exit)):
        topology.product(name, "run", "--store", name + ".store", "--console-log", "--mq", "--address", address,
                         "--address", "tcp://" + address, "--durability", "sync", *QUEUE_FLAGS, listening=[address])
        topology.proxies.append(UdpProxy(address, seed + len(topology.proxies)).start())
    store = ["--store", "worker.store"] if guarantee == "exactly-once" else []
    # That the queues elsewhere keep what they take cannot be seen from the worker's side.
    topology.product("worker", "run", *store, "--allow-weaker", "--console-log",
                     "--worker", "--input-address", topology.proxies[0].address, "--output-address",
                     topology.proxies[1].address, "--output-type", "queue", "--function", function,
                     "--guarantee", guarantee, "--vuid", "worker", "--delay", "0.001")


def build(kind, of_model, directory, function, seed, plant=None):
    """The topology of a kind: launch-sync, launch-async, processes-at-least-once or processes-exactly-once."""
    topology = Topology(directory, plant)
    if of_model and kind.startswith("launch"):
        topology.model("launch", "launch", "--store", "store", "--entry", topology.entry, "--exit", topology.exit,
                       "--function", function, listening=topology.queues)
    elif of_model:
        for name in ("entry", "exit"):
            address = getattr(topology, name)
            topology.model(name, "queue", "--store", name + ".store", "--entry", address, listening=[address])
        topology.model("worker", "worker", "--entry", topology.entry, "--exit", topology.exit, "--function", function,
                       listening=())
    elif kind.startswith("launch"):
        _product_launch(topology, function, kind.rpartition("-")[2])
    else:
        _product_processes(topology, function, kind.partition("-")[2], seed)
    return topology
