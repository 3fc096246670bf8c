"""An accepted run's ratios (bench/baseline.json), and what has become worse since."""

import json

from rows import Spread

# Less than that is never called a change.
LEAST_CHANGE = 0.10

# A regime that fewer rounds than that met, in either run, is not compared.
LEAST_ROUNDS = 2


def load(path):
    """{(benchmark, workload, metric): {regime: Spread}}; empty where there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError:
        return {}
    return {(row["benchmark"], row["workload"], row["metric"]):
            {regime: Spread(**spread) for regime, spread in row["ratios"].items()} for row in data["rows"]}


def save(path, rows, about):
    """Accepts a run: its rows take the place of those of the same names; the others stay."""
    accepted = load(path)
    for row in rows:
        if row.rival:
            accepted[row.key] = {**accepted.get(row.key, {}), **row.ratios_by_regime()}
    data = {
        "about": about,
        "rows": [{"benchmark": benchmark, "workload": workload, "metric": metric,
                  "ratios": {regime: spread.as_json() for regime, spread in sorted(ratios.items())}}
                 for (benchmark, workload, metric), ratios in sorted(accepted.items())],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.write("\n")


def loss(old, new, lower_is_better):
    """What share of its ratio a metric has lost; negative: won."""
    return 1 - old.median / new.median if lower_is_better else 1 - new.median / old.median


def worse(rows, accepted):
    """A line of text for each metric that has lost more than the noise of both runs, in the same regime."""
    found = []
    for row in rows:
        for regime, new in row.ratios_by_regime().items():
            old = accepted.get(row.key, {}).get(regime)
            if not old or min(old.rounds, new.rounds) < LEAST_ROUNDS:
                continue
            lost = loss(old, new, row.lower_is_better)
            noise = max(LEAST_CHANGE, old.noise() + new.noise())
            if lost > noise:
                found.append(f"{row.benchmark}: {row.workload}, {row.metric}: {old.median:.3g} of "
                             f"{row.rival.name} before, {new.median:.3g} now ({regime}; {lost:.0%} worse, the noise "
                             f"is {noise:.0%})")
    return found


def uncompared(rows, accepted):
    """How many rows have a ratio and nothing in the accepted run to hold it against."""
    return sum(1 for row in rows if row.rival and not any(
        min(spread.rounds, accepted.get(row.key, {}).get(regime, Spread(0, 0, 0, 0)).rounds) >= LEAST_ROUNDS
        for regime, spread in row.ratios_by_regime().items()))
