"""Reads what the benchmarks wrote and says it: a table, JSON, a chart, and what has become worse.

    report.py [--json FILE] [--chart FILE] [--compare] [--accept] FILE.jsonl...

bench/run calls it. Exit status: 1 if --compare finds something worse, or a line is no row; else 0.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

import chart
import compare
import rows as rows_of
from rows import figure

ROOT = pathlib.Path(__file__).resolve().parents[1]
BASELINE = ROOT / "bench/baseline.json"

HEADINGS = ("benchmark", "workload", "metric", "millrace (least..most)", "limit", "ratio", "asked", "best peer", "")


def output_of(*command):
    """The first line that a command prints, or nothing."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    return done.stdout.split("\n", 1)[0] if done.returncode == 0 else ""


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def commit():
    name = output_of("git", "rev-parse", "--short", "HEAD")
    return name + "+changes" if name and output_of("git", "status", "--porcelain") else name


def compiler():
    """That of the release build."""
    try:
        cache = (ROOT / "build/release/CMakeCache.txt").read_text(encoding="utf-8")
    except OSError:
        return ""
    for line in cache.splitlines():
        if line.startswith("CMAKE_C_COMPILER:"):
            return output_of(line.split("=", 1)[1], "--version")
    return ""


def about_this_run():
    return {
        "machine": {"cpu": cpu_model(), "processors": len(os.sched_getaffinity(0)), "kernel": platform.release(),
                    "architecture": platform.machine()},
        "compiler": compiler(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def asked_text(row):
    """0.7 of the limit: ">= 0.7"; at most 200 us: "<= 200 us"."""
    sign = "<=" if row.lower_is_better else ">="
    words = []
    if row.asked_ratio and row.limit:
        words.append(f"{sign} {row.asked_ratio:g} x")
    if row.asked_bound:
        words.append(f"{sign} {figure(row.asked_bound, row.unit)}")
    return ", ".join(words)


def cells(row):
    ratio = row.ratio()
    peer = row.best_peer
    metric = f"{row.metric}, {row.unit}" if row.unit.endswith("/s") else row.metric
    return (
        row.benchmark, row.workload, metric,
        f"{figure(row.ours.median, row.unit)} "
        f"({figure(row.ours.min, row.unit)}..{figure(row.ours.max, row.unit)})",
        f"{figure(row.limit.figures.median, row.unit)} {row.limit.name}" if row.limit else "",
        f"{ratio.median:.2f}" if ratio else "",
        asked_text(row),
        f"{rows_of.Spread.of(peer.ratios).median:.3g} x {peer.name}" if peer else "",
        row.verdict(),
    )


def table(rows):
    """Text; a benchmark's and a workload's name stand where they begin."""
    lines = [HEADINGS] + [cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    printed, above = [], ("", "")
    for line in lines:
        shown = list(line)
        if line[0] == above[0]:
            shown[0] = ""
            shown[1] = "" if line[1] == above[1] else line[1]
        elif above[0]:
            printed.append("")
        above = line[:2]
        printed.append("  ".join(cell.ljust(width) for cell, width in zip(shown, widths)).rstrip())
    return "\n".join(printed)


def summary(rows, about):
    """The lines under the table."""
    trips = sorted(trip for row in rows for trip in row.round_trips_ns if trip > 0)
    asked = [row for row in rows if row.verdict()]
    below = [row for row in asked if row.verdict() == "below"]
    machine = about["machine"]
    words = [f"{machine['cpu']}, {machine['processors']} processors, Linux {machine['kernel']}; {about['compiler']}; "
             f"{about['commit'] or 'no commit'}; {about['date']}"]
    if trips:
        words.append(f"A cache line there and back: {trips[len(trips) // 2]:.0f} ns ({trips[0]:.0f}..{trips[-1]:.0f}).")
    words.append(f"ratio: ours by the limit, in the same round. {len(asked) - len(below)} of {len(asked)} rows hold "
                 "what is asked of them.")
    return "\n".join(words)


def say_worse(rows):
    """What --compare prints; returns the exit status."""
    accepted = compare.load(BASELINE)
    if not accepted:
        print(f"\nThere is nothing to compare with yet: {BASELINE.name} is written by --accept.")
        return 0
    found = compare.worse(rows, accepted)
    left = compare.uncompared(rows, accepted)
    print("\nWorse than the accepted run:" if found else "\nNothing is worse than in the accepted run.")
    for words in found:
        print("  " + words)
    if left:
        print(f"  ({left} rows have no accepted ratio in the same regime)")
    return 1 if found else 0


def main(arguments):
    parser = argparse.ArgumentParser(prog="report.py", description="The report of bench/run.")
    parser.add_argument("--json", help="write everything to this file")
    parser.add_argument("--chart", help="draw an SVG into this file")
    parser.add_argument("--compare", action="store_true", help="name what is worse than in bench/baseline.json")
    parser.add_argument("--accept", action="store_true", help="make this run bench/baseline.json")
    parser.add_argument("files", nargs="+", help="what the benchmarks wrote")
    options = parser.parse_args(arguments)

    rows, odd = rows_of.read(options.files)
    for words in odd:
        print(words, file=sys.stderr)
    if not rows:
        return 1
    about = about_this_run()
    print(table(rows))
    print("\n" + summary(rows, about))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**about, "rows": [row.as_json() for row in rows]}, file, indent=1)
            file.write("\n")
    if options.chart:
        title = f"millrace, {about['machine']['cpu']}, {about['machine']['processors']} processors, {about['date']}"
        with open(options.chart, "w", encoding="utf-8") as file:
            file.write(chart.draw(rows, title))
    status = say_worse(rows) if options.compare else 0
    if options.accept:
        compare.save(BASELINE, rows, about)
    return 1 if odd else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
