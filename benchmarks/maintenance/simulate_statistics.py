"""Simulate runs with a known true difference, for the coverage and power of intervals that could judge a claim, and of plans.

`python -m benchmarks.maintenance.simulate_statistics` simulates what results/measured/statistics.json lacks, and writes it there;
docs/statistics.md shows it. Without that file it simulates every world 4,000 times and every plan 2,000 times: about fifteen
minutes. The spreads of the worlds are rounded from those in the records of results/measured, which the file has as `measured`.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.experiments.methods import baseline
from benchmarks.reporting.power import MEASURED, measured_records, noise
from benchmarks.reporting.sample_size import MOST_SEEDS, seeds_needed, spread
from benchmarks.reporting.statistics import difference, difference_over_splits, over_seeds
from benchmarks.seeds import generator
from benchmarks.suites.claims import ALPHA

FILE = MEASURED / "statistics.json"
REPETITIONS, SEEDS, PEOPLE = 4000, (3, 5, 10, 20), 50
PLANS, PILOTS = 2000, (3, 5, 10)
PLANNED, LEVEL = 0.65, ALPHA / 7  # the effect, in standard deviations of the difference; by Holm for seven claims
BY_PERSON, LEFT = 5.0, 3.0  # points: how a method's figure varies by person, and how a seed's figure of a person does
OTHERS = (0.5, 0.7, 1.0, 1.0, 1.4, 2.0, 2.8, 4.0)  # points: the deviations of the suite's other methods
SPLITS = 10
Bounds = tuple[float, float]


@dataclass(frozen=True)
class World:
    """What is compared, and how the arms' figures vary.

    Attributes:
        baselines: of each arm; the first half of the arms has positive weights.
        deviations: over seeds, in points, of each arm.
        correlation: of the figures of two arms of one baseline by the same seed.
        tails: degrees of freedom of the noise; infinite: normal.
    """

    name: str
    baselines: tuple[int, ...]
    deviations: tuple[float, ...]
    correlation: float = 0.5
    tails: float = math.inf

    @property
    def weights(self) -> np.ndarray:
        half = len(self.baselines) // 2
        return np.repeat([1 / half, -1 / half], half)


WORLDS = (
    World("two settings of one baseline", (0, 0), (1.0, 1.0)),
    World("two settings of one baseline, much alike", (0, 0), (1.0, 1.0), 0.9),
    World("twelve settings of one baseline", (0,) * 12, (1.0,) * 12),
    World("two baselines", (0, 1), (1.0, 1.0)),
    World("two baselines, one of which varies more", (0, 1), (4.0, 1.0)),
    World("two baselines, heavy tails", (0, 1), (1.0, 1.0), tails=4),
)
PLANNED_WORLDS = (WORLDS[0], WORLDS[3], WORLDS[4])
SPLIT_WORLD = "two settings of one baseline, ten splits"


@dataclass(frozen=True)
class Drawn:
    """The runs of a suite: figures by arm, seed and person, (A, S, G), and those of its other methods, (M, S)."""

    values: np.ndarray
    others: np.ndarray

    @property
    def figures(self) -> np.ndarray:
        return np.asarray(self.values.mean(axis=2))


def draw(world: World, seeds: int, effect: float, random: np.random.Generator) -> tuple[Drawn, float]:
    """A suite's runs, and the difference on these people; on all people it is `effect`."""

    def noise(*shape: int) -> np.ndarray:
        if math.isinf(world.tails):
            return random.standard_normal(shape)
        return random.standard_t(world.tails, shape) / math.sqrt(world.tails / (world.tails - 2))

    arms, deviations = len(world.baselines), np.array(world.deviations)[:, None]
    shared = noise(max(world.baselines) + 1, seeds)[list(world.baselines)]
    by_seed = deviations * (
        math.sqrt(world.correlation) * shared + math.sqrt(1 - world.correlation) * noise(arms, seeds)
    )
    by_person = random.normal(0, BY_PERSON, (arms, 1, PEOPLE))
    mean = effect * (np.arange(arms) < arms // 2)[:, None, None]
    values = mean + by_seed[:, :, None] + by_person + random.normal(0, LEFT, (arms, seeds, PEOPLE))
    others = np.array(OTHERS)[:, None] * noise(len(OTHERS), seeds)
    return Drawn(values, others), float(effect + world.weights @ by_person.mean(axis=(1, 2)))


def chosen(world: World, drawn: Drawn) -> Bounds:
    """One weighted sum for each baseline."""
    found = over_seeds(_parts(world, drawn))
    return found.low, found.high


def _parts(world: World, drawn: Drawn) -> list[np.ndarray]:
    """(S,) of each baseline."""
    parts, names = world.weights[:, None] * drawn.figures, np.array(world.baselines)
    return [parts[names == name].sum(axis=0) for name in np.unique(names)]


def always_paired(world: World, drawn: Drawn) -> Bounds:
    found = over_seeds([world.weights @ drawn.figures])
    return found.low, found.high


def never_paired(world: World, drawn: Drawn) -> Bounds:
    found = over_seeds(list(world.weights[:, None] * drawn.figures))
    return found.low, found.high


def pooled(world: World, drawn: Drawn) -> Bounds:
    """One variance for all methods of the suite."""
    rows = np.vstack([drawn.figures, drawn.others])
    variance = rows.var(axis=1, ddof=1).mean()
    seeds = rows.shape[1]
    error = math.sqrt(np.square(world.weights).sum() * variance / seeds)
    return _around(float(world.weights @ drawn.figures.mean(axis=1)), error, len(rows) * (seeds - 1))


def crossed(world: World, drawn: Drawn) -> Bounds:
    """Seeds crossed with people, paired by seed: for other people too."""
    above = np.tensordot(world.weights, drawn.values, 1)
    found = difference(above, np.zeros_like(above), np.arange(PEOPLE), "methods")
    return found.low, found.high


CANDIDATES: dict[str, Callable[[World, Drawn], Bounds]] = {
    "paired within a baseline (chosen)": chosen,
    "always paired": always_paired,
    "never paired": never_paired,
    "pooled variance": pooled,
    "seeds x people (other people too)": crossed,
}


def _around(estimate: float, error: float, df: float) -> Bounds:
    half = float(stats.t.isf(0.025, df)) * error
    return estimate - half, estimate + half


def simulate(world: World, seeds: int, repetitions: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """A row for each candidate: how often its interval holds the truth on these people, and on all; and its power.

    The power is that for an effect on these people which a test that knew all spreads would find in 8 of 10 repetitions.
    """
    effect = 2.8 * _deviation(world) / math.sqrt(seeds)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for _ in range(repetitions):
        drawn, here = draw(world, seeds, 0.0, random)
        for name, candidate in CANDIDATES.items():
            low, high = candidate(world, drawn)
            counts[name]["these"] += low <= here <= high
            counts[name]["other"] += low <= 0 <= high
            counts[name]["power"] += low - here + effect > 0  # the same runs, moved
    return [
        {"world": world.name, "seeds": seeds, "interval": name, **{key: count[key] / repetitions for key in count}}
        for name, count in counts.items()
    ]


def simulate_plans(world: World, pilot: int, repetitions: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """The mean true power of plans for a power of 80%, and the median number of seeds that they ask for.

    `face` is the power of plans that take the variance of the pilot as the true one.

    Args:
        pilot: the number of seeds of a pilot. Each plan has its own.
    """
    effect = PLANNED * _deviation(world)
    found: dict[str, list[bool]] = {"power": [], "face": []}
    counts = []
    for _ in range(repetitions):
        variances, df = spread(_parts(world, draw(world, pilot, 0.0, random)[0]))
        for kind, known in (("power", df), ("face", math.inf)):
            seeds = seeds_needed(effect, variances, LEVEL, df=known) or MOST_SEEDS
            drawn, here = draw(world, seeds, 0.0, random)
            first, *others = _parts(world, drawn)
            result = over_seeds([first - here + effect, *others])
            found[kind].append(result.p < LEVEL and result.estimate > 0)
            counts += [seeds] * (kind == "power")
    shares = {kind: float(np.mean(each)) for kind, each in found.items()}
    return [{"world": world.name, "pilot": pilot, **shares, "seeds": float(np.median(counts))}]


def _deviation(world: World) -> float:
    """The standard deviation of the difference over seeds, in points."""
    variance = sum(_variance_of_part(world, name) for name in set(world.baselines))
    return math.sqrt(variance + float(np.square(world.weights).sum()) * LEFT**2 / PEOPLE)


def _variance_of_part(world: World, name: int) -> float:
    """The variance over seeds of the weighted sum of a baseline's arms."""
    parts = np.where(np.array(world.baselines) == name, world.weights * np.array(world.deviations), 0)
    return float(world.correlation * parts.sum() ** 2 + (1 - world.correlation) * np.square(parts).sum())


def simulate_splits(seeds: int, repetitions: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """As `simulate`, over ten splits that each test a random half of the people."""
    people = 3 * PEOPLE * 2
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    error = math.sqrt((1 + LEFT**2 / (people / 2)) / (SPLITS * seeds))
    for _ in range(repetitions):
        tested = np.stack([random.permutation(people) < people // 2 for _ in range(SPLITS)]).repeat(seeds, axis=0)
        by_person = random.normal(0, BY_PERSON * math.sqrt(2), people)
        values = by_person + random.standard_normal((SPLITS * seeds, 1)) + random.normal(0, LEFT, tested.shape)
        here = float(np.mean([by_person[row].mean() for row in tested]))
        values = np.where(tested, values, np.nan)
        figures = np.nanmean(values, axis=1).reshape(SPLITS, seeds)
        splits = np.arange(SPLITS).repeat(seeds)
        means = figures.mean(axis=1)
        one, two = (
            over_seeds([figures]),
            difference_over_splits(values, np.where(tested, 0.0, np.nan), np.arange(people), splits),
        )
        bounds = {
            "paired within a baseline (chosen)": (one.low, one.high),
            "splits x people (other people too)": (two.low, two.high),
            "Nadeau and Bengio": _around(
                float(means.mean()), float(means.std(ddof=1)) * math.sqrt(1 / SPLITS + 1), SPLITS - 1
            ),
        }
        for name, (low, high) in bounds.items():
            counts[name]["these"] += low <= here <= high
            counts[name]["other"] += low <= 0 <= high
            counts[name]["power"] += low - here + 2.8 * error > 0
    return [
        {"world": SPLIT_WORLD, "seeds": seeds, "interval": name, **{key: count[key] / repetitions for key in count}}
        for name, count in counts.items()
    ]


def measured() -> dict[str, Any]:
    """How runs vary over seeds in the records: deviations in points of mAP, and correlations by seed."""
    records = [each for each in measured_records() if not each.experiment.external]
    pairs = sorted({each.experiment.datasets for each in records})
    found = {pair.title: noise([each for each in records if each.experiment.datasets == pair]) for pair in pairs}
    return {
        "deviation of a run, points of mAP": {
            title: round(100 * math.sqrt(each.own[0]), 2) for title, each in found.items() if each.own[1]
        },
        "correlation of two settings of one baseline by seed": _correlation(records, same=True),
        "correlation of two baselines by seed": _correlation(records, same=False),
    }


def _correlation(records: Sequence[Any], *, same: bool) -> float:
    """Over all pairs of rows that share data, length of training and seeds: mean covariance over mean variance."""
    rows: dict[str, dict[int, float]] = {}
    for record in records:
        experiment, metrics = record.experiment, record.find_metrics(record.first_protocol, "before")
        if metrics is not None and metrics.mAP is not None:
            key = json.dumps([*experiment.datasets, experiment.method, experiment.settings], sort_keys=True)
            rows.setdefault(key, {})[experiment.seed] = 100 * metrics.mAP
    totals = np.zeros(2)
    for (one, first), (two, second) in combinations(rows.items(), 2):
        ours, theirs = json.loads(one), json.loads(two)
        alike = all(ours[3].get(key) == theirs[3].get(key) for key in ("epochs", "backbone", "precision"))
        seeds = sorted({*first} & {*second})
        if ours[:2] != theirs[:2] or not alike or len(seeds) < 3:
            continue
        if (baseline(ours[2]) == baseline(theirs[2])) == same:
            x, y = (np.array([row[seed] for seed in seeds]) for row in (first, second))
            totals += [np.cov(x, y)[0, 1], (x.var(ddof=1) + y.var(ddof=1)) / 2]
    return round(float(totals[0] / totals[1]), 2)


def table(file: Path = FILE) -> str:
    """The record as a table in Markdown: in percent, over these people, over other people too, and power."""
    record = json.loads(file.read_text(encoding="utf-8"))
    lines = [
        "| world | interval | " + " | ".join(f"{seeds} seeds" for seeds in SEEDS) + " |",
        "| --- " * (2 + len(SEEDS)) + "|",
    ]
    rows: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for row in record["rows"]:
        shares = " / ".join(f"{100 * row[key]:.1f}" for key in ("these", "other", "power"))
        rows[row["world"], row["interval"]][row["seeds"]] = shares
    lines += [
        f"| {world} | {name} | " + " | ".join(each.get(seeds, "") for seeds in SEEDS) + " |"
        for (world, name), each in rows.items()
        if world != SPLIT_WORLD
    ]
    lines += ["", "| ten splits | 1 seed each | 3 seeds each |", "| --- | --- | --- |"]
    lines += [f"| {name} | {each[1]} | {each[3]} |" for (world, name), each in rows.items() if world == SPLIT_WORLD]
    return "\n".join(lines)


def table_of_plans(file: Path = FILE) -> str:
    """The power of plans as a table in Markdown, in percent; in brackets, that of plans that take a pilot's variance as true."""
    lines = ["| world | " + " | ".join(f"pilot of {pilot} seeds" for pilot in PILOTS) + " |"]
    lines += ["| --- " * (1 + len(PILOTS)) + "|"]
    rows: dict[str, dict[int, str]] = defaultdict(dict)
    for row in json.loads(file.read_text(encoding="utf-8"))["plans"]:
        rows[row["world"]][row["pilot"]] = f"{100 * row['power']:.0f} ({100 * row['face']:.0f})"
    return "\n".join(
        [*lines, *(f"| {world} | " + " | ".join(each[n] for n in PILOTS) + " |" for world, each in rows.items())]
    )


def simulate_missing(file: Path = FILE) -> None:
    """Add to the file what it lacks, one world after the other. Each world has a random stream of its own."""
    record: dict[str, Any] = {"repetitions": REPETITIONS, "measured": {}, "rows": [], "plans": []}
    if file.exists():
        record |= json.loads(file.read_text(encoding="utf-8"))
    record["measured"] = measured()
    _write(file, record)
    splits = [(SPLIT_WORLD, seeds, partial(simulate_splits, seeds, REPETITIONS)) for seeds in (1, 3)]
    rows = [(each.name, seeds, partial(simulate, each, seeds, REPETITIONS)) for each in WORLDS for seeds in SEEDS]
    plans = [
        (each.name, pilot, partial(simulate_plans, each, pilot, PLANS)) for each in PLANNED_WORLDS for pilot in PILOTS
    ]
    for kind, key, cells in (("rows", "seeds", rows + splits), ("plans", "pilot", plans)):
        for world, number, simulation in cells:
            if not any((row["world"], row[key]) == (world, number) for row in record[kind]):
                record[kind] += simulation(generator("simulate statistics", kind, world, number))
                _write(file, record)


def _write(file: Path, record: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    simulate_missing()
