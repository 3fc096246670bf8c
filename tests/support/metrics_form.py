"""Strict checks of the metrics datagram and of the hub's POST."""

import json
import math
import re

REPORT_KEYS = {"t0", "t1", "func", "VUID", "latency_time", "latency_count",
               "throughput_in", "throughput_out"}
POST_KEYS = {"pipeline_key", "t0", "t1", "topics"}


def is_power_of_ten(value):
    return value > 0 and value == float("1e%d" % round(math.log10(value)))


def check_report(test, datagram):
    """Checks a node's datagram (bytes); the parsed report."""
    report = json.loads(datagram.decode("utf-8"))
    test.assertEqual(set(report), REPORT_KEYS)
    _check_period(test, report)
    test.assertIsInstance(report["func"], str)
    test.assertIsInstance(report["VUID"], str)
    _check_latencies(test, report["latency_time"], report["latency_count"])
    for member in ("throughput_in", "throughput_out"):
        if report[member] is not None:
            test.assertTrue(report[member], "no data is null, not {}")
            _check_throughput(test, report, report[member], least=1)
    return report


def check_post(test, post):
    """Checks a POST (peer.hub.Post); its message."""
    test.assertEqual(post.path, "/post")
    test.assertEqual(post.content_type.split(";")[0].strip(), "application/json")
    message = json.loads(post.body.decode("utf-8"))
    test.assertEqual(set(message), POST_KEYS)
    test.assertIsInstance(message["pipeline_key"], str)
    _check_period(test, message)
    topics = message["topics"]
    test.assertEqual(set(topics), {"latency_bins", "throughput_out"})
    for key, count in topics["latency_bins"].items():
        test.assertEqual(key, repr(float(key)), "not as Python prints it")
        test.assertTrue(is_power_of_ten(float(key)), key)
        test.assertIs(type(count), int)
        test.assertGreater(count, 0)
    test.assertTrue(topics["throughput_out"], "each second is to be said")
    _check_throughput(test, message, topics["throughput_out"], least=0)
    return message


def check_every_second(test, posts, first=None, last=None):
    """One post a second without a gap; the counts by second.

    The last post may be the one of the stop, and come early.
    """
    messages = [check_post(test, post) for post in posts]
    counts = {}
    for message in messages:
        for second, count in message["topics"]["throughput_out"].items():
            counts[int(second)] = counts.get(int(second), 0) + count
    for one, two in zip(messages, messages[1:]):
        test.assertAlmostEqual(one["t1"], two["t0"], delta=0.05,
                               msg="the periods do not follow one another")
    for one, two in list(zip(messages, messages[1:]))[:-1]:
        test.assertAlmostEqual(two["t1"] - one["t1"], 1.0, delta=0.4,
                               msg="not one post a second")
    seconds = sorted(counts)
    test.assertEqual(seconds, list(range(seconds[0], seconds[-1] + 1)),
                     "a second is missing")
    if first is not None:
        test.assertLessEqual(seconds[0], first, "the first seconds are missing")
    if last is not None:
        test.assertGreaterEqual(seconds[-1], last, "the last seconds are missing")
    return counts


def _check_period(test, message):
    for member in ("t0", "t1"):
        test.assertIs(type(message[member]), float, member)
        test.assertGreater(message[member], 1e9, member)
    test.assertLess(message["t0"], message["t1"])


def _check_latencies(test, times, counts):
    if times is None or counts is None:
        test.assertIsNone(times)
        test.assertIsNone(counts)
        return
    test.assertTrue(counts, "no data is null, not {}")
    test.assertEqual(set(times), set(counts))
    for key, count in counts.items():
        test.assertTrue(re.fullmatch(r"\d+\.\d{9} s", key), key)
        bound = float(key.split()[0])
        test.assertTrue(is_power_of_ten(bound), key)
        test.assertIs(type(count), int)
        test.assertGreater(count, 0)
        test.assertIn(type(times[key]), (int, float))
        test.assertLessEqual(times[key], count * bound * 1.001)


def _check_throughput(test, period, counts, least):
    for second, count in counts.items():
        test.assertTrue(re.fullmatch(r"\d+", second), second)
        test.assertGreaterEqual(int(second), math.floor(period["t0"]) - 1)
        test.assertLessEqual(int(second), math.ceil(period["t1"]))
        test.assertIs(type(count), int)
        test.assertGreaterEqual(count, least)
