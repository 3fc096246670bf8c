"""Waiting for conditions, always with a bound and never for a fixed time."""

import threading


def wait_until(predicate, timeout=10.0, interval=0.005):
    """Asks until predicate() is true; its value, or False after the time-out."""
    pause = threading.Event()
    rounds = max(1, round(timeout / interval))
    for _ in range(rounds):
        value = predicate()
        if value:
            return value
        pause.wait(interval)
    return predicate()


def pass_time(seconds):
    """Lets a measured interval pass, where the interval is what is tested."""
    threading.Event().wait(seconds)
