"""Rows of the report: what the benchmarks' JSON lines (bench/measure.h) say, one row a metric."""

import dataclasses
import json
import statistics

# A cache line's round trip on this side of it is called near. A virtual machine's processors jump between some 80 to
# 170 and some 330 to 600 ns.
NEAR_BELOW_NS = 250


@dataclasses.dataclass(frozen=True)
class Spread:
    """The middle, the least and the most of some rounds."""

    median: float
    min: float
    max: float
    rounds: int

    @classmethod
    def of(cls, values):
        return cls(statistics.median(values), min(values), max(values), len(values))

    def noise(self):
        """How far the rounds lie apart, to each side, as a share of the middle."""
        return (self.max - self.min) / 2 / abs(self.median) if self.median else 0.0

    def as_json(self):
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Contestant:
    """Who else ran it, and how ours stands to that: ours by theirs, of each round."""

    name: str
    figures: Spread
    ratios: tuple


@dataclasses.dataclass(frozen=True)
class Row:
    """One metric of one workload."""

    benchmark: str
    workload: str
    metric: str
    unit: str
    lower_is_better: bool
    asked_ratio: float  # of the limit; 0: nothing
    asked_bound: float  # in the unit; 0: nothing
    round_trips_ns: tuple  # of each round; 0: one processor
    ours: Spread
    limit: Contestant | None
    peers: tuple

    @property
    def key(self):
        return self.benchmark, self.workload, self.metric

    @property
    def best_peer(self):
        """The peer that did best, or None."""
        choose = min if self.lower_is_better else max
        return choose(self.peers, key=lambda peer: peer.figures.median, default=None)

    @property
    def rival(self):
        """Whom a ratio is to: the limit; where there is none, the best peer; or None."""
        return self.limit or self.best_peer

    @property
    def regime(self):
        """near, far, mixed, or one processor."""
        regimes = {regime_of(round_trip_ns) for round_trip_ns in self.round_trips_ns}
        return regimes.pop() if len(regimes) == 1 else "mixed"

    def ratios_by_regime(self):
        """{"near": Spread, "far": Spread} of the ratios to the rival, for those regimes that a round met."""
        found = {}
        if self.rival:
            for round_trip_ns, ratio in zip(self.round_trips_ns, self.rival.ratios):
                found.setdefault(regime_of(round_trip_ns), []).append(ratio)
        return {regime: Spread.of(ratios) for regime, ratios in found.items()}

    def ratio(self):
        """The ratios to the limit, or None."""
        return Spread.of(self.limit.ratios) if self.limit else None

    def verdict(self):
        """ok, below, or nothing where nothing was asked."""
        held = []
        if self.asked_ratio and self.limit:
            held.append(self._holds(self.ratio().median, self.asked_ratio))
        if self.asked_bound:
            held.append(self._holds(self.ours.median, self.asked_bound))
        if not held:
            return ""
        return "ok" if all(held) else "below"

    def _holds(self, value, asked):
        return value <= asked if self.lower_is_better else value >= asked

    def as_json(self):
        ratio = self.ratio()
        return {
            "benchmark": self.benchmark, "workload": self.workload, "metric": self.metric, "unit": self.unit,
            "lower_is_better": self.lower_is_better,
            "median": self.ours.median, "min": self.ours.min, "max": self.ours.max, "rounds": self.ours.rounds,
            "limit": {"name": self.limit.name, **self.limit.figures.as_json()} if self.limit else None,
            "ratio_to_limit": ratio.as_json() if ratio else None,
            "peers": [{"name": peer.name, **peer.figures.as_json(), "ratio_to_peer": statistics.median(peer.ratios)}
                      for peer in self.peers],
            "asked_ratio": self.asked_ratio or None, "asked_bound": self.asked_bound or None,
            "verdict": self.verdict() or None,
            "round_trip_ns": statistics.median(self.round_trips_ns), "regime": self.regime,
            "ratios": {regime: spread.as_json() for regime, spread in self.ratios_by_regime().items()},
        }


def regime_of(round_trip_ns):
    if round_trip_ns <= 0:
        return "one processor"
    return "near" if round_trip_ns < NEAR_BELOW_NS else "far"


def from_line(line):
    """The row that one line of JSON describes."""
    data = json.loads(line)
    by_role = {"ours": [], "limit": [], "peer": []}
    for one in data["contestants"]:
        by_role[one["role"]].append(
            Contestant(one["name"], Spread.of(one["figures"]), tuple(one.get("ratios", ()))))
    return Row(
        benchmark=data["benchmark"], workload=data["workload"], metric=data["metric"], unit=data["unit"],
        lower_is_better=data["lower_is_better"], asked_ratio=data["asked_ratio"], asked_bound=data["asked_bound"],
        round_trips_ns=tuple(data["round_trip_ns"]), ours=by_role["ours"][0].figures,
        limit=by_role["limit"][0] if by_role["limit"] else None, peers=tuple(by_role["peer"]))


def read(paths):
    """The rows of the benchmarks' files, in order, and a text for each line that is none."""
    found, odd = [], []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    found.append(from_line(line))
                except (ValueError, KeyError, IndexError):
                    odd.append(f"{path}:{number} is no row: {line.strip()[:60]}")
    return found, odd


def figure(value, unit):
    """22.1 M, 480 ns, 15.3 us: the value without a unit where that is a rate, which the metric names."""
    if unit.endswith("/s"):
        for factor, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if abs(value) >= factor:
                return digits(value / factor) + letter
        return digits(value)
    if unit == "ns":
        for factor, name in ((1e6, "ms"), (1e3, "us")):
            if abs(value) >= 10 * factor:
                return f"{digits(value / factor)} {name}"
    return f"{digits(value)} {unit}"


def digits(value):
    """Three of them, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 1 or value == 0:
        return f"{value:.2f}"
    return f"{value:.3g}"
