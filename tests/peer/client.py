"""Clients of a queue over UDP and TCP, and the command-line client."""

import socket
import struct
import sys

from peer import address as addresses
from peer import lhhttt


UDP_SEGMENT = 103  # <linux/udp.h>


class NoAnswer(Exception):
    """Nothing came back in time."""


class UdpClient:
    """One datagram, one reply.  Never repeats a command by itself."""

    def __init__(self, address, timeout=5.0):
        self.target = addresses.parse(address)
        self.sock = socket.socket(self.target.family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.settimeout(timeout)
        self.sock.connect((self.target.host, self.target.port))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.sock.close()

    def send_raw(self, data):
        self.sock.send(data)

    def send_run(self, data, datagram_bytes):
        """Hands `data` to the system as one, to be cut into datagrams (UDP_SEGMENT, udp(7))."""
        self.sock.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", datagram_bytes))])

    def receive_raw(self):
        try:
            return self.sock.recv(65536)
        except (socket.timeout, ConnectionError) as error:
            raise NoAnswer(str(error)) from error

    def ask(self, command):
        """The reply's text, as bytes."""
        try:
            self.send_raw(lhhttt.encode(command))
        except ConnectionError as error:
            raise NoAnswer(str(error)) from error
        return lhhttt.decode(self.receive_raw())

    def put(self, message):
        return self.ask(b"PUT:" + lhhttt.to_bytes(message))

    def get(self):
        return self.ask(b"GET")

    def size(self):
        return int(self.ask(b"SIZE"))


class TcpClient:
    """Frames back to back; replies come in the order of the commands."""

    def __init__(self, address, timeout=10.0):
        target = addresses.parse(address)
        self.sock = socket.create_connection((target.host, target.port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder = lhhttt.Decoder()
        self.replies = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.sock.close()

    def send_raw(self, data):
        self.sock.sendall(data)

    def send(self, *commands):
        self.send_raw(b"".join(map(lhhttt.encode, commands)))

    def receive(self):
        """The next reply; NoAnswer at a time-out, None at the stream's end."""
        while not self.replies:
            try:
                data = self.sock.recv(65536)
            except socket.timeout as error:
                raise NoAnswer("no reply in time") from error
            except ConnectionError:
                return None
            if not data:
                return None
            self.replies += self.decoder.feed(data)
            if self.decoder.fault and not self.replies:
                raise self.decoder.fault
        return self.replies.pop(0)

    def ask(self, command):
        self.send(command)
        return self.receive()

    def put(self, message):
        return self.ask(b"PUT:" + lhhttt.to_bytes(message))

    def get(self):
        return self.ask(b"GET")

    def size(self):
        return int(self.ask(b"SIZE"))


def main(arguments):
    if len(arguments) < 2:
        print("usage: python3 -m peer.client HOST:PORT COMMAND...", file=sys.stderr)
        return 2
    command = " ".join(arguments[1:])
    with UdpClient(arguments[0]) as client:
        print("Data sent: '%s'" % command)
        try:
            reply = client.ask(command)
        except NoAnswer as error:
            print("no answer from %s: %s" % (arguments[0], error), file=sys.stderr)
            return 1
        print("Data received: '%s'" % lhhttt.to_text(reply))
    print("Socket closed.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
