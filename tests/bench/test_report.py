"""bench/report.py: rows of the benchmarks' lines, what they held, what has become worse, the picture."""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(os.environ.get("MILLRACE_ROOT") or pathlib.Path(__file__).parents[2]).resolve()
sys.path.insert(0, str(ROOT / "bench"))

import chart  # noqa: E402
import compare  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

NEAR, FAR = 90, 400


def line(ours=(10, 20, 30), limit=(20, 20, 20), trips=(NEAR, NEAR, NEAR), asked_ratio=0.0, asked_bound=0.0, lower=False,
         peers=(), unit="messages/s", **names):
    """A line as bench/measure.c writes it."""
    contestants = [{"name": "millrace", "role": "ours", "figures": list(ours)}]
    others = [("limit", "bare rings", limit)] if limit else []
    for role, name, figures in others + [("peer", name, figures) for name, figures in peers]:
        contestants.append({"name": name, "role": role, "figures": list(figures),
                            "ratios": [mine / theirs for mine, theirs in zip(ours, figures)]})
    return json.dumps({"benchmark": "edge", "workload": "one edge", "metric": "rate", "unit": unit,
                       "lower_is_better": lower, "asked_ratio": asked_ratio, "asked_bound": asked_bound, "seconds": 1,
                       "round_trip_ns": list(trips), "contestants": contestants, **names})


def row(**given):
    return rows.from_line(line(**given))


class Rows(unittest.TestCase):
    def test_figures(self):
        found = row(ours=(10, 30, 20), limit=(20, 20, 80))
        self.assertEqual((found.ours.median, found.ours.min, found.ours.max, found.ours.rounds), (20, 10, 30, 3))
        self.assertEqual(found.limit.figures.median, 20)
        # In each round: 0.5, 1.5, 0.25. The median of these, not the ratio of the medians.
        self.assertEqual(found.ratio().median, 0.5)

    def test_verdict(self):
        for given, verdict in (
                ({}, ""),
                ({"asked_ratio": 1.0}, "ok"),
                ({"asked_ratio": 1.01}, "below"),
                ({"asked_bound": 20}, "ok"),
                ({"asked_bound": 21}, "below"),
                ({"asked_ratio": 1.0, "asked_bound": 21}, "below"),
                ({"asked_ratio": 1.01, "limit": None}, ""),
                ({"asked_ratio": 1.0, "lower": True}, "ok"),
                ({"asked_ratio": 0.99, "lower": True}, "below"),
                ({"asked_bound": 20, "lower": True}, "ok"),
                ({"asked_bound": 19, "lower": True}, "below")):
            with self.subTest(given):
                self.assertEqual(row(**given).verdict(), verdict)

    def test_regime(self):
        self.assertEqual(row(trips=(NEAR,) * 3).regime, "near")
        self.assertEqual(row(trips=(FAR,) * 3).regime, "far")
        self.assertEqual(row(trips=(NEAR, FAR, FAR)).regime, "mixed")
        self.assertEqual(row(trips=(0,) * 3).regime, "one processor")

    def test_ratios_by_regime(self):
        found = row(ours=(10, 20, 30), trips=(NEAR, FAR, FAR)).ratios_by_regime()
        self.assertEqual(sorted(found), ["far", "near"])
        self.assertEqual((found["near"].median, found["near"].rounds), (0.5, 1))
        self.assertEqual((found["far"].median, found["far"].rounds), (1.25, 2))

    def test_best_peer(self):
        peers = (("slow", (5, 5, 5)), ("fast", (10, 10, 10)))
        self.assertEqual(row(peers=peers).best_peer.name, "fast")
        self.assertEqual(row(peers=peers, lower=True).best_peer.name, "slow")
        self.assertIsNone(row().best_peer)

    def test_rival(self):
        peers = (("fast", (10, 10, 10)),)
        self.assertEqual(row(peers=peers).rival.name, "bare rings")
        self.assertEqual(row(peers=peers, limit=None).rival.name, "fast")
        self.assertEqual(row(limit=None).ratios_by_regime(), {})

    def test_figure(self):
        for value, unit, words in ((22.14e6, "messages/s", "22.1 M"), (850, "messages/s", "850"), (420, "ns", "420 ns"),
                                   (9999, "ns", "9999 ns"), (15300, "ns", "15.3 us"), (2.5e7, "ns", "25.0 ms"),
                                   (0.0123, "%", "0.0123 %"), (4.5e10, "bytes/s", "45.0 G"),
                                   (16.05, "bytes", "16.1 bytes")):
            self.assertEqual(rows.figure(value, unit), words)


class Compare(unittest.TestCase):
    """Rows against an accepted one: what is worse by more than 10 % and by more than the noise, like with like."""

    def worse(self, before, after):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "baseline.json"
            compare.save(path, [before], {"date": "then"})
            return compare.worse([after], compare.load(path))

    def test_worse_is_named(self):
        found = self.worse(row(ours=(20, 20, 20)), row(ours=(17, 17, 17)))
        self.assertEqual(len(found), 1)
        self.assertIn("edge: one edge, rate: 1 of bare rings before, 0.85 now (near; 15% worse", found[0])

    def test_lower_is_better(self):
        self.assertEqual(len(self.worse(row(ours=(20, 20, 20), lower=True), row(ours=(24, 24, 24), lower=True))), 1)
        self.assertEqual(self.worse(row(ours=(20, 20, 20), lower=True), row(ours=(10, 10, 10), lower=True)), [])

    def test_better_is_not(self):
        self.assertEqual(self.worse(row(ours=(20, 20, 20)), row(ours=(40, 40, 40))), [])

    def test_little_is_not(self):
        self.assertEqual(self.worse(row(ours=(20, 20, 20)), row(ours=(18.1, 18.1, 18.1))), [])

    def test_noise_of_either_run_is_not(self):
        self.assertEqual(self.worse(row(ours=(16, 20, 24)), row(ours=(17, 17, 17))), [])
        self.assertEqual(self.worse(row(ours=(20, 20, 20)), row(ours=(14, 17, 20))), [])

    def test_other_regime_is_not(self):
        self.assertEqual(self.worse(row(ours=(20, 20, 20)), row(ours=(5, 5, 5), trips=(FAR,) * 3)), [])

    def test_one_round_of_a_regime_is_not_enough(self):
        after = row(ours=(5, 20, 20), trips=(NEAR, FAR, FAR))
        self.assertEqual(self.worse(row(ours=(20, 20, 20)), after), [])

    def test_each_regime_is_compared(self):
        before = row(ours=(20, 20, 20, 20), limit=(20,) * 4, trips=(NEAR, NEAR, FAR, FAR))
        after = row(ours=(20, 20, 5, 5), limit=(20,) * 4, trips=(NEAR, NEAR, FAR, FAR))
        self.assertEqual(["(far;" in words for words in self.worse(before, after)], [True])

    def test_unknown_rows_are_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "baseline.json"
            compare.save(path, [row()], {})
            self.assertEqual(compare.uncompared([row(), row(workload="two edges")], compare.load(path)), 1)

    def test_accepting_keeps_other_rows_and_regimes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "baseline.json"
            compare.save(path, [row(workload="two edges"), row(ours=(20, 20, 20))], {})
            compare.save(path, [row(ours=(40, 40, 40)), row(ours=(5, 5, 5), trips=(FAR,) * 3)], {})
            accepted = compare.load(path)
            self.assertEqual(accepted["edge", "one edge", "rate"]["near"].median, 2)
            self.assertEqual(accepted["edge", "one edge", "rate"]["far"].median, 0.25)
            self.assertIn(("edge", "two edges", "rate"), accepted)


class Table(unittest.TestCase):
    def test_one_line_a_row(self):
        found = report.table([row(ours=(10e6, 20e6, 30e6), limit=(40e6,) * 3, asked_ratio=0.7,
                                  peers=(("ZeroMQ", (2e6,) * 3),)),
                              row(metric="p99", unit="ns", lower=True, asked_bound=200, limit=None)])
        lines = found.split("\n")
        self.assertEqual(len(lines), 4)  # a blank one behind the headings
        for words in ("one edge", "rate, messages/s", "20.0 M (10.0 M..30.0 M)", "40.0 M bare rings", "0.50",
                      ">= 0.7 x", "10 x ZeroMQ", "below"):
            self.assertIn(words, lines[2])
        self.assertNotIn("one edge", lines[3])
        self.assertIn("<= 200 ns", lines[3])
        self.assertTrue(lines[3].endswith("ok"))


class Picture(unittest.TestCase):
    def test_is_xml_with_each_contestant(self):
        drawn = chart.draw([row(peers=(("<peer>", (5, 6, 7)),), asked_ratio=0.7), row(unit="ns", metric="p50")],
                           "title & more")
        picture = xml.etree.ElementTree.fromstring(drawn)
        texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
        for words in ("title & more", "one edge", "messages/s", "6.00  <peer>", "20.0  millrace", "20.0  bare rings"):
            self.assertIn(words, texts)

    def test_bars_stay_in_the_picture(self):
        drawn = chart.draw([row(ours=(1.0001,) * 3, limit=(1e9,) * 3)], "")
        for element in xml.etree.ElementTree.fromstring(drawn).iter():
            if element.tag.endswith("rect"):
                self.assertGreater(float(element.get("width")), 1)
                self.assertLessEqual(float(element.get("x")) + float(element.get("width")), chart.WIDTH)

    def test_nothing_has_a_bar_too(self):
        self.assertIn("0.00 %  millrace", chart.draw([row(ours=(0, 0, 0), limit=None, unit="%")], ""))

    def test_shows_what_leads_and_what_is_asked(self):
        found = chart.shown([row(metric="p50"), row(metric="p90"), row(metric="p99", asked_ratio=3)])
        self.assertEqual([one.metric for one in found], ["p50", "p99"])


class Whole(unittest.TestCase):
    """The program, with a baseline of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.addCleanup(setattr, report, "BASELINE", report.BASELINE)
        report.BASELINE = self.folder / "baseline.json"

    def run_report(self, ours, *flags):
        (self.folder / "edge.jsonl").write_text(line(ours=ours) + "\n", encoding="utf-8")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = report.main([*flags, str(self.folder / "edge.jsonl")])
        return status, output.getvalue()

    def test_compare_and_accept(self):
        status, output = self.run_report((20, 20, 20), "--compare")
        self.assertEqual(status, 0)
        self.assertIn("nothing to compare with yet", output)
        self.assertEqual(self.run_report((20, 20, 20), "--accept")[0], 0)
        self.assertIn("Nothing is worse", self.run_report((20, 20, 20), "--compare")[1])
        status, output = self.run_report((10, 10, 10), "--compare")
        self.assertEqual(status, 1)
        self.assertIn("one edge, rate: 1 of bare rings before, 0.5 now", output)

    def test_other_lines_are_said(self):
        for other in ("done\n", "{}\n"):
            path = self.folder / "edge.jsonl"
            path.write_text(other + line() + "\n", encoding="utf-8")
            errors = io.StringIO()
            with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(errors):
                self.assertEqual(report.main([str(path)]), 1)
            self.assertIn("edge.jsonl:1 is no row: " + other.strip(), errors.getvalue())
            self.assertIn("one edge", output.getvalue())

    def test_files(self):
        status, _ = self.run_report((10, 20, 30), "--json", str(self.folder / "all.json"), "--chart",
                                    str(self.folder / "all.svg"))
        self.assertEqual(status, 0)
        data = json.loads((self.folder / "all.json").read_text(encoding="utf-8"))
        self.assertLessEqual({"machine", "compiler", "commit", "date", "rows"}, set(data))
        found = data["rows"][0]
        self.assertEqual((found["median"], found["min"], found["max"]), (20, 10, 30))
        self.assertEqual((found["limit"]["median"], found["ratio_to_limit"]["median"], found["regime"]),
                         (20, 1, "near"))
        self.assertTrue((self.folder / "all.svg").read_text(encoding="utf-8").startswith("<svg"))


if __name__ == "__main__":
    unittest.main()
