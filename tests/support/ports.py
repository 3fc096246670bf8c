"""Ports for the program under test, and whether something listens there.

Ports come from below the system's ephemeral range, so that no client socket of
a test that runs at the same time can take one between the look and the bind.
Each process has a slice of its own of that range.
"""

import os
import random
import socket

LOWEST_PORT = 12000
SLICE_COUNT = 64
TCP_LISTEN = "0A"


class _Slice:
    def __init__(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
            highest = int(file.read().split()[0])
        if highest < LOWEST_PORT + 64 * SLICE_COUNT:
            highest = 32768
        self.length = (highest - LOWEST_PORT) // SLICE_COUNT
        self.first = LOWEST_PORT + self.length * (os.getpid() % SLICE_COUNT)
        self.position = random.randrange(self.length)

    def next(self):
        self.position = (self.position + 1) % self.length
        return self.first + self.position


_slice = _Slice()


def _is_free(port):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def free_port():
    """A port of 127.0.0.1 that is free over UDP and TCP."""
    for _ in range(_slice.length):
        port = _slice.next()
        if _is_free(port):
            return port
    raise RuntimeError("no free port")


def free_address():
    return "127.0.0.1:%d" % free_port()


def free_addresses(count):
    return [free_address() for _ in range(count)]


def is_listening(address):
    """True if a socket is bound (UDP) or listens (TCP) at the address's port."""
    scheme, _, rest = address.rpartition("://")
    port = int(rest.rpartition(":")[2])
    protocol = scheme or "udp"
    for name in (protocol, protocol + "6"):
        for local_port, state in _local_sockets(name):
            if local_port == port and (protocol == "udp" or state == TCP_LISTEN):
                return True
    return False


def _local_sockets(name):
    try:
        with open("/proc/net/" + name) as file:
            lines = file.readlines()[1:]
    except FileNotFoundError:
        return
    for line in lines:
        fields = line.split()
        yield int(fields[1].rpartition(":")[2], 16), fields[3]
