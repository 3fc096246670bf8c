"""What was lost, doubled or wrong, and whether a ledger balances."""

import json

from peer.client import NoAnswer, UdpClient

SHOWN_COUNT = 10
# An asynchronous queue writes within its sync interval (10 ms) when the processors and the disk keep up; this is what
# is granted to a loaded machine. That nothing younger than a lost message was kept is checked without any clock.
# An answer that was sent before a kill is read behind it.
ACK_TRAVEL_S = 1.0
ASYNC_LOSS_S = 2.0
LEFT = ("out", "dropped_oldest", "dropped_newest", "undeliverable", "expired", "dead_lettered", "queued",
        "in_flight")


def ledger_fault(stats):
    """What is wrong with the ledger of a queue (STATS, parsed), or None."""
    if "in" not in stats:
        return "no member in: %r" % stats
    left = sum(stats.get(name, 0) for name in LEFT)
    if stats["in"] != left:
        return "in %d is not %d, the sum of %s: %r" % (stats["in"], left, ", ".join(LEFT), stats)
    return None


def read_stats(address, attempts=50):
    """STATS of a queue, asked directly; None if it does not answer."""
    with UdpClient(address, 0.2) as client:
        for _ in range(attempts):
            try:
                return json.loads(client.ask(b"STATS"))
            except NoAnswer:
                continue
    return None


def faults(level, workload, producer, consumer, kill_times):
    """All that is wrong after everything was drained, a line each. `level`: exactly-once, at-least-once or async."""
    found = []
    if consumer.strange:
        found.append("%d texts are none of ours: %r" % (len(consumer.strange), consumer.strange[:3]))
    expected = workload.results(producer.sent_count)
    lost = sorted(expected.keys() - consumer.deliveries.keys())
    unasked = sorted(consumer.deliveries.keys() - expected.keys())
    found += _some("came out that should not", unasked)
    if level == "async":
        found += _async_faults(lost, producer.acknowledged, consumer.came_at, kill_times)
    else:
        found += _some("lost", [number for number in lost if number in producer.acknowledged])
    if level == "exactly-once":
        found += _some("doubled", doubled(consumer))
    found += _text_faults(expected, consumer.texts)
    return found


def doubled(consumer):
    """Numbers that are two messages: acknowledged under two tokens.

    That one came again after its ACK was answered says nothing yet: a lease of the life before may come late. It is
    acknowledged too, and the queue knows.
    """
    return sorted(number for number, tokens in consumer.deliveries.items() if sum(map(bool, tokens.values())) > 1)


def _text_faults(expected, texts):
    wrong = [number for number in sorted(expected.keys() & texts.keys())
             if {expected[number].rstrip(b"x")} != {text.rstrip(b"x") for text in texts[number]}]
    if not wrong:
        return []
    first = wrong[0]
    return ["%d results differ from the model's, first %d: %r, not %r" % (len(wrong), first, sorted(texts[first]),
                                                                        expected[first])]


def _async_faults(lost, acknowledged, came_at, kill_times):
    """Lost are only messages that a kill caught unwritten: the youngest of those acknowledged before it."""
    found = []
    for number in lost:
        when = acknowledged.get(number)
        if when is None:
            continue
        kill = next((moment for moment in kill_times if moment >= when - ACK_TRAVEL_S), None)
        if kill is None:
            found.append("%d was lost although nothing was killed after its acknowledgement" % number)
        elif kill - when > ASYNC_LOSS_S:
            found.append("%d was lost %.3f s after its acknowledgement" % (number, kill - when))
        else:
            found += ["%d was lost, %d behind it was kept" % (number, later) for later in [number + 1]
                      if came_at.get(later, 0.0) > kill and acknowledged.get(later, kill) < kill]
    return found[:SHOWN_COUNT]


def _some(what, numbers):
    if not numbers:
        return []
    return ["%d %s: %s%s" % (len(numbers), what, ", ".join(map(str, numbers[:SHOWN_COUNT])),
                             " ..." if len(numbers) > SHOWN_COUNT else "")]
