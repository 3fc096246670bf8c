"""The program is killed at random moments and keeps its promises; tests/crash does the same as often as you like.

That the harness sees what it should is tried with its own model, broken on purpose.
"""

import shutil
import unittest

import context  # noqa: F401
from faults import model
from faults.rounds import MODES, Round
from faults.topologies import Failure

KILLS = {"market": 14, "lossy": 8, "plain": 8, "async": 10, "apart": 10, "apart-exact": 10}
SEED = 20151204


class CrashTest(unittest.TestCase):
    """60 kills."""

    def kill(self, name):
        counts = Round(MODES[name], KILLS[name], SEED).run()
        self.assertEqual(counts["kills"], KILLS[name])

    def test_market_spread_and_its_state_exactly_once(self):
        self.kill("market")

    def test_exactly_once_over_datagrams_that_are_lost_doubled_and_reordered(self):
        self.kill("lossy")

    def test_what_was_acknowledged_without_an_id_is_not_lost(self):
        self.kill("plain")

    def test_asynchronous_queues_lose_the_youngest_at_most(self):
        self.kill("async")

    def test_processes_at_least_once(self):
        self.kill("apart")

    def test_processes_exactly_once(self):
        self.kill("apart-exact")


class HarnessTest(unittest.TestCase):
    ATTEMPTS = 24  # a crash must meet the mistake

    def test_a_model_that_keeps_its_promises_passes(self):
        for name in ("market", "apart"):
            Round(MODES[name], 4, SEED, of_model=True).run()

    def test_every_mistake_planted_in_the_model_is_found(self):
        for plant in model.PLANTS:
            with self.subTest(plant=plant):
                for attempt in range(self.ATTEMPTS):
                    harness = Round(MODES["market"], 6, SEED + attempt, of_model=True, plant=plant)
                    try:
                        harness.run()
                    except Failure:
                        shutil.rmtree(harness.directory, ignore_errors=True)
                        break
                else:
                    self.fail("not found")


if __name__ == "__main__":
    unittest.main()
