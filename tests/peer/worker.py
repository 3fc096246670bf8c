"""The worker: GET from queues, a function, PUT to queues or bare datagrams."""

import argparse
import socket
import time

from peer import address as addresses
from peer import functions
from peer import lhhttt
from peer.client import NoAnswer, UdpClient
from peer.metrics import Metrics
from peer.service import Service, run_until_signal


class Worker(Service):
    """Asks its inputs in turn; a lost reply is asked for again."""

    def __init__(self, input_address, output_address, function,
                 output_type="queue", delay=0.000001, answer_timeout=0.3,
                 vuid=None, **options):
        name, self.function = functions.make(function)
        super().__init__("", Metrics(name, vuid), **options)
        self.inputs = as_list(input_address)
        self.outputs = [addresses.parse(text) for text in as_list(output_address)]
        self.output_type = output_type
        self.delay = delay
        self.answer_timeout = answer_timeout
        self.processed_count = 0
        self.timeout_count = 0
        self.errors = []

    def open(self):
        self.output = socket.socket(self.outputs[0].family, socket.SOCK_DGRAM)
        self.output.setblocking(False)

    def run(self):
        clients = [UdpClient(text, self.answer_timeout) for text in self.inputs]
        try:
            while not self.stopping:
                found = [self._turn(client) for client in clients]
                self.report_if_due()
                if not any(found):
                    self._stopping.wait(self.delay)
        finally:
            for client in clients:
                client.close()
            self.output.close()

    def _turn(self, client):
        """Asks one input once; True if a message came."""
        try:
            message = client.get()
        except (NoAnswer, lhhttt.Malformed):
            with self.changed:
                self.timeout_count += 1
                self.changed.notify_all()
            self._stopping.wait(0.02)
            return False
        if not message or message.startswith(b"ERR "):
            return False
        self._process(lhhttt.to_text(message))
        return True

    def _process(self, message):
        begin = time.monotonic()
        self.metrics.count_in()
        try:
            for choice, result in self.function(message):
                self._emit(choice, lhhttt.to_bytes(result))
        except functions.FunctionError as error:
            with self.changed:
                self.errors.append((message, str(error)))
        self.metrics.latency(time.monotonic() - begin)
        with self.changed:
            self.processed_count += 1
            self.changed.notify_all()

    def _emit(self, choice, result):
        target = self.outputs[choice % len(self.outputs)]
        self._drain_replies()
        if self.output_type == "queue":
            result = lhhttt.encode(b"PUT:" + result)
        self.output.sendto(result, (target.host, target.port))
        self.metrics.count_out()

    def _drain_replies(self):
        try:
            while True:
                self.output.recv(65536)
        except (BlockingIOError, ConnectionError):
            pass


def as_list(value):
    return [value] if isinstance(value, str) else list(value)


def main():
    parser = argparse.ArgumentParser(prog="peer.worker")
    parser.add_argument("--input-address", action="append", required=True)
    parser.add_argument("--output-address", action="append", required=True)
    parser.add_argument("--output-type", choices=("queue", "socket"), default="queue")
    parser.add_argument("--function", required=True)
    parser.add_argument("--delay", type=float, default=0.000001)
    parser.add_argument("--metrics-address")
    parser.add_argument("--stats-period", type=float, default=60.0)
    parser.add_argument("--vuid")
    run_until_signal(Worker(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
