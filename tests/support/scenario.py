"""The base of the scenario tests: starts programs and peers, ends them all."""

import os
import tempfile
import unittest

from peer.client import NoAnswer, UdpClient
from support import launch
from support.conditions import wait_until


class Scenario(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        launch.binary()

    def start(self, service):
        """Starts a peer; it is stopped at the end of the test."""
        service.start()
        self.addCleanup(service.stop)
        return service

    def launch(self, *arguments, listening=(), directory=None):
        """Starts the program and waits until it listens at the addresses."""
        program = launch.Program(*arguments, directory=directory)
        self.addCleanup(program.close)
        if listening:
            program.wait_until_listening(*listening)
        return program

    def launch_queue(self, address, *flags):
        """Our queue, alone, at a UDP address."""
        return self.launch("mq", "--address", address, *flags, listening=[address])

    def client(self, address, timeout=5.0):
        client = UdpClient(address, timeout)
        self.addCleanup(client.close)
        return client

    def temporary_directory(self):
        directory = tempfile.TemporaryDirectory(prefix="millrace-test-")
        self.addCleanup(directory.cleanup)
        return directory.name

    def write_file(self, name, content, directory=None):
        """A file with the given bytes; its path."""
        path = os.path.join(directory or self.temporary_directory(), name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def assert_soon(self, predicate, message=None, timeout=10.0):
        self.assertTrue(wait_until(predicate, timeout), message)

    def assert_clean_stop(self, program, **options):
        """The program ends by SIGINT with status 0."""
        status = program.stop(**options)
        self.assertEqual(status, 0, program.describe())
        return program

    def take(self, client, count, timeout=10.0):
        """The next `count` messages of a queue that are not empty."""
        messages = []

        def enough():
            reply = client.get()
            if reply:
                messages.append(reply)
            return len(messages) >= count

        while len(messages) < count:
            if not wait_until(enough, timeout, 0.002) and len(messages) < count:
                self.fail("only %d of %d messages came: %r"
                          % (len(messages), count, messages[:5]))
        return messages

    def answers(self, address):
        """True if a queue answers at the address."""
        with UdpClient(address, 0.3) as client:
            try:
                client.size()
            except NoAnswer:
                return False
        return True
