"""Addresses as the documents write them: HOST:PORT, [IPv6]:PORT, udp://, tcp://."""

import collections
import socket

Address = collections.namedtuple("Address", "scheme family host port")


def parse(text):
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "udp", text
    if scheme not in ("udp", "tcp"):
        raise ValueError("unknown scheme in address %r" % text)
    host, colon, port = rest.rpartition(":")
    if not colon:
        raise ValueError("no port in address %r" % text)
    if host.startswith("[") and host.endswith("]"):
        return Address(scheme, socket.AF_INET6, host[1:-1], int(port))
    return Address(scheme, socket.AF_INET, host, int(port))


def write(sockaddr):
    """HOST:PORT of a socket's own address tuple."""
    host, port = sockaddr[:2]
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


def udp_socket(text="127.0.0.1:0"):
    """A bound UDP socket with room for bursts."""
    address = parse(text)
    sock = socket.socket(address.family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def tcp_listener(text="127.0.0.1:0"):
    address = parse(text)
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock
