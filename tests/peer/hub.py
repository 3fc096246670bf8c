"""A stand-in for the monitoring hub that can also misbehave."""

import argparse
import collections
import http.server
import json
import socketserver
import threading
import time

from peer.service import run_until_signal

Post = collections.namedtuple("Post", "time path content_type body message")

MODES = ("ok", "error", "hang", "close", "slow")


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        hub = self.server.hub
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        mode = hub.mode
        hub.record(self.path, self.headers.get("Content-Type"), body)
        if mode == "hang":
            hub.released.wait()
        if mode == "slow":
            hub.released.wait(hub.delay)
        if mode in ("close", "hang"):
            self.close_connection = True
            return
        self.send_response(500 if mode == "error" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *unused):
        pass


class Hub:
    """Records POSTs; `mode` (see MODES) may be changed at any time."""

    def __init__(self, address="127.0.0.1:0", mode="ok", delay=1.0, verbose=False):
        self.address = address
        self.mode = mode
        self.delay = delay
        self.verbose = verbose
        self.posts = []
        self.changed = threading.Condition()
        self.released = threading.Event()

    @property
    def uri(self):
        return "http://%s/post" % self.address

    def start(self):
        host, port = self.address.rsplit(":", 1)
        self.released.clear()
        self._server = _Server((host, int(port)), _Handler)
        self._server.hub = self
        self.address = "%s:%d" % self._server.server_address[:2]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.stop()

    def wait_for(self, predicate, timeout=10.0):
        with self.changed:
            return self.changed.wait_for(predicate, timeout)

    def record(self, path, content_type, body):
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        with self.changed:
            self.posts.append(Post(time.time(), path, content_type, body, message))
            self.changed.notify_all()
        if self.verbose:
            print(body.decode("utf-8", "replace"), flush=True)

    def of(self, key):
        """The posts of one pipeline key."""
        with self.changed:
            return [post for post in self.posts
                    if isinstance(post.message, dict)
                    and post.message.get("pipeline_key") == key]

    def total(self, key):
        """What flowed out of one node, over all its posts."""
        return sum(sum(post.message["topics"]["throughput_out"].values())
                   for post in self.of(key))


def main():
    parser = argparse.ArgumentParser(prog="peer.hub")
    parser.add_argument("--address", default="127.0.0.1:5555")
    parser.add_argument("--mode", choices=MODES, default="ok")
    run_until_signal(Hub(verbose=True, **vars(parser.parse_args())))


if __name__ == "__main__":
    main()
