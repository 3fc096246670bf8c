"""Leases, ids, dead letters, ages and what a full queue does, over the wire."""

import json
import unittest

import context  # noqa: F401
from peer.client import TcpClient, UdpClient
from support.conditions import wait_until
from support.launch import run_to_end
from support.ports import free_address
from support.scenario import Scenario


class QueueLeasesTest(Scenario):
    def start(self, *flags):
        self.address = free_address()
        stream_address = "tcp://" + self.address
        return self.launch(
            "mq", "--address", self.address, "--address", stream_address, *flags,
            listening=[self.address, stream_address])

    def stream(self):
        client = TcpClient(self.address)
        self.addCleanup(client.close)
        return client

    def ask(self, command):
        with UdpClient(self.address) as client:
            return client.ask(command)

    def stats(self):
        stats = json.loads(self.ask("STATS"))
        self.assertTrue(stats["balanced"], stats)
        return stats

    def lease(self, client, command="LEASE"):
        token, deliveries, message = client.ask(command).split(b":", 2)
        return token, int(deliveries), message

    def test_a_lease_hides_and_its_end_shows_again_in_the_old_place(self):
        self.start()
        client = self.stream()
        for message in ("a", "b", "c"):
            client.put(message)
        first, deliveries, message = self.lease(client)
        self.assertEqual((deliveries, message), (1, b"a"))
        second, _, message = self.lease(client)
        self.assertEqual(message, b"b")
        self.assertEqual(client.size(), 1)
        self.assertEqual(client.ask(b"NACK:" + second + b":no: thanks"), b"OK")
        self.assertEqual(client.ask(b"NACK:" + first), b"OK")
        self.assertEqual(client.size(), 3)
        self.assertEqual(self.lease(client)[1:], (2, b"a"))
        self.assertEqual(client.ask(b"ACK:" + first), b"ERR lease is over")
        self.assertEqual(client.get(), b"b")
        self.assertEqual(client.get(), b"c")
        self.assertEqual(self.stats()["in_flight"], 1)

    def test_a_lease_runs_out_and_can_be_extended(self):
        self.start()
        client = self.stream()
        client.put("short")
        client.put("long")
        self.lease(client, "LEASE:0.05")
        token, _, _ = self.lease(client, "LEASE:0.05")
        self.assertEqual(client.ask(b"EXTEND:" + token + b":1000"), b"OK")
        self.assertTrue(wait_until(lambda: client.size() == 1, 10.0))
        self.assertEqual(self.lease(client)[1:], (2, b"short"))
        self.assertEqual(client.ask("LEASE"), b"")
        self.assertEqual(client.ask(b"ACK:" + token), b"OK")
        self.assertEqual(client.ask(b"ACK:" + token), b"OK")
        self.assertEqual(self.stats()["acknowledged"], 1)

    def test_an_id_is_put_once(self):
        self.start("--dedup-window", "2")
        for _ in range(3):
            self.assertEqual(self.ask("PUTID:one:mess:age"), b"PUT 8 bytes")
        self.assertEqual(self.ask("PUTID:two:"), b"PUT 0 bytes")
        self.assertEqual(self.ask("SIZE"), b"2")
        self.assertEqual(self.ask("PUTID:three:x"), b"PUT 1 bytes")
        self.assertEqual(self.ask("PUTID:one:again"), b"PUT 5 bytes", "beyond the window")
        self.assertEqual(self.stats()["duplicates"], 2)
        for command in ("PUTID", "PUTID:", "PUTID:x", "PUTID::x", "PUTID:" + 65 * "i" + ":x",
                        "LEASE:", "LEASE:-1", "LEASE:1e3", "ACK", "NACK:", "EXTEND:1.1.1"):
            self.assertEqual(self.ask(command), b"ERR malformed command", command)

    def test_a_queue_says_which_ids_it_has_seen(self):
        self.start("--dedup-window", "2", "--capacity", "3")
        self.assertEqual(self.ask("SEEN:1:a,b"), b"1:00")
        for name in "abcd":
            self.ask("PUTID:%s:x" % name)
        for ask in (self.ask, self.stream().ask):
            self.assertEqual(ask("SEEN:00Af:d,c,b,a"), b"00Af:0110", "d was refused, a is beyond the window")
            for command in ("SEEN", "SEEN:1", "SEEN:1:", "SEEN::a", "SEEN:1:a,", "SEEN:1:a:b", "SEEN:x:a"):
                self.assertEqual(ask(command), b"ERR malformed command", command)

    def test_a_stream_takes_the_longest_seen_whatever_its_longest_message(self):
        self.start("--max-message", "10")
        ids = ",".join("%064d" % i for i in range(64))
        client = self.stream()
        client.ask("PUTID:%064d:x" % 1)
        self.assertEqual(client.ask("SEEN:%016x:%s" % (1, ids)), b"%016x:01" % 1 + 62 * b"0")

    def test_a_long_message_is_leased_over_tcp_only(self):
        self.start()
        client = self.stream()
        client.put(100000 * "x")
        self.assertEqual(self.ask("LEASE"), b"ERR message of 100000 bytes needs TCP")
        self.assertEqual(len(self.lease(client)[2]), 100000)

    def test_a_message_that_fails_too_often_is_a_dead_letter(self):
        dead_address = "tcp://" + free_address()
        self.launch("mq", "--address", dead_address, "--capacity", "1", listening=[dead_address])
        self.start("--dead-letter", dead_address, "--max-deliveries", "2")
        client = self.stream()
        for message in ("a", "b"):
            client.put(message)
        for deliveries in (1, 1, 2, 2):
            token, seen, _ = self.lease(client)
            client.ask(b"NACK:" + token + b":bad \"thing\"")
        self.assertEqual(client.ask("LEASE"), b"")
        dead = TcpClient(dead_address)
        self.addCleanup(dead.close)
        for expected in (b"a", b"b"):  # the second waits until there is room for it
            letter = []
            self.assertTrue(wait_until(lambda: letter.append(dead.get()) or letter[-1], 10.0))
            head, message = letter[-1].split(b"\n", 1)
            head = json.loads(head)
            self.assertEqual(message, expected)
            self.assertEqual((head["reason"], head["deliveries"], head["bytes"]), ('bad "thing"', 2, 1))
        self.assertEqual(self.stats()["dead_lettered"], 2)

    def test_a_queue_is_not_its_own_dead_letter(self):
        result = run_to_end("mq", "--address", "127.0.0.1:19999", "--dead-letter", "127.0.0.1:19999")
        self.assertEqual(result.status, 2)
        self.assertIn("itself", " ".join(result.stderr))

    def test_messages_grow_too_old(self):
        self.start("--max-age", "0.05")
        self.ask("PUT:a")
        self.assertTrue(wait_until(lambda: self.stats()["expired"] == 1, 10.0))
        self.assertEqual(self.ask("GET"), b"")

    def test_a_full_queue_drops_what_it_is_told_to(self):
        for overflow, left in (("drop-oldest", [b"b", b"c"]), ("drop-newest", [b"a", b"b"])):
            program = self.start("--capacity", "2", "--overflow", overflow)
            for message in "abc":
                self.assertEqual(self.ask("PUT:" + message), b"PUT 1 bytes")
            self.assertEqual(self.stats()["dropped_" + overflow[5:]], 1)
            self.assertEqual([self.ask("GET"), self.ask("GET")], left)
            self.assertEqual(program.stop(), 0)

    def test_a_put_waits_for_room_and_what_is_behind_it_too(self):
        self.start("--capacity", "1", "--overflow", "block")
        client, other = self.stream(), self.stream()
        self.assertEqual(client.put("a"), b"PUT 1 bytes")
        client.send("PUT:bb", "SIZE", "GET")
        self.assertTrue(wait_until(lambda: self.stats()["puts_waiting"] == 3, 10.0))
        self.assertEqual(other.get(), b"a")
        self.assertEqual([client.receive() for _ in range(3)], [b"PUT 2 bytes", b"1", b"bb"])
        self.assertEqual(self.stats()["puts_waiting"], 0)

    def test_one_that_has_gone_waits_no_more(self):
        self.start("--capacity", "1", "--overflow", "block")
        client, other = self.stream(), self.stream()
        other.put("a")
        client.send("PUT:b", "PUT:c")
        self.assertTrue(wait_until(lambda: self.stats()["puts_waiting"] == 2, 10.0))
        client.close()
        self.assertTrue(wait_until(lambda: self.stats()["puts_waiting"] == 0, 10.0))
        self.assertEqual(other.get(), b"a")
        self.assertEqual(other.get(), b"")


if __name__ == "__main__":
    unittest.main()
