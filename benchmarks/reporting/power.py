"""Before a suite runs: how many seeds each of its claims needs, and the smallest difference that its test set can show."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.data.find import find_dataset
from benchmarks.data.loading import indexed
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import ATTACHED, baseline
from benchmarks.runs.exchange import exported_records
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.record import Record
from benchmarks.suites.claims import ALPHA, METRIC, MIN_RUNS, POWER, Claim, claims_about, family_size
from benchmarks.suites.suite import Choice, Planned, Suite, dataset_pairs

from .pairing import fits, most_tuned_runs
from .query_results import repetition, seed_blocks
from .sample_size import seeds_needed, spread
from .statistics import fewest_units
from .verdict import paper_effect

MEASURED = Path(__file__).parents[2] / "results" / "measured"
# Deviations, fractions: where a claim's is unknown, a plan says what it would take with each of these.
ASSUMED = (0.005, 0.01, 0.02)
ENOUGH = 10  # degrees of freedom; a baseline with fewer is planned from the runs of all baselines together
# How much seeds vary depends on these most: records that share them are preferred.
SCALE = ("backbone", "height", "width", "epochs", "schedule", "lr_step")
# Rows that differ only in these, and share a baseline and a seed, begin with the same weights and see the same people.
OF_A_ROW = {*ATTACHED, "granularity", "coherence_norm", "shuffle", "test_frames"}


@dataclass(frozen=True)
class Noise:
    """How much the figures of runs vary over seeds, pooled over the rows of several methods; variances of fractions.

    Attributes:
        own: the variance of single runs, and its degrees of freedom; for arms of different baselines.
        paired: the same, after subtracting what the rows of a baseline share at each seed; for arms of one baseline.
    """

    own: tuple[float, int]
    paired: tuple[float, int]


@dataclass(frozen=True)
class PlannedClaim:
    """What it takes to decide a claim with a power of POWER.

    Attributes:
        paper: the effect that the paper prints on these data, a fraction; None if it prints none.
        seeds: None if the noise is unknown, or no number of seeds would do.
        seeds_if: where the noise is unknown, the seeds for a deviation of each of ASSUMED; otherwise empty.
        runs: of all arms, seeds and splits together, including those that are done already.
        seconds: the time of these runs, one after the other; None if no similar runs are recorded.
        deviation: of the claim's difference, from seed to seed; a fraction; NaN if unknown.
        source: where the deviation comes from, with its degrees of freedom, or why it is unknown.
    """

    claim: Claim
    datasets: DatasetPair
    paper: float | None
    seeds: int | None
    runs: int
    seconds: float | None
    deviation: float
    source: str
    seeds_if: tuple[int | None, ...] = ()


def plan_claims(
    name: str,
    planned: Sequence[Planned],
    pilot: Sequence[Record],
    effect: float,
    seconds_of: Callable[[Sequence[Experiment]], list[float | None]],
) -> Iterator[PlannedClaim]:
    """What each claim that a suite's runs can decide needs on each pair of data sets.

    Args:
        name: of the suite.
        pilot: finished runs; if they do not show how much seeds vary, the records of this repository are used.
        effect: the true effect to be found, a fraction.
        seconds_of: about how long each of several runs will take, one after the other.
    """
    for pair in dict.fromkeys(each.experiment.datasets for each in planned):
        here = [each.experiment for each in planned if each.experiment.datasets == pair]
        for claim in claims_about(*pair):
            if claim.suite == name or all(any(fits(arm, claim, each) for each in here) for arm in claim.arms):
                yield _plan(claim, pair, here, pilot, effect, seconds_of)


def _plan(
    claim: Claim,
    pair: DatasetPair,
    planned: Sequence[Experiment],
    pilot: Sequence[Record],
    effect: float,
    seconds_of: Callable[[Sequence[Experiment]], list[float | None]],
) -> PlannedClaim:
    first = [next((each for each in planned if fits(arm, claim, each)), None) for arm in claim.arms]
    arms = [each for each in first if each is not None]
    found, paper = _variances(claim, pair, arms, pilot), paper_effect(claim, pair)
    splits = find_dataset(pair.trained_on).splits
    needed = partial(seeds_needed, effect, alpha=ALPHA / family_size(claim.family, *pair), power=POWER, splits=splits)
    if isinstance(found, str):
        parts = len({baseline(arm.method) for arm in claim.arms})  # each adds a variance of its own
        seeds_if = tuple(needed([each**2 / parts] * parts) for each in ASSUMED)
        return PlannedClaim(claim, pair, paper, None, 0, None, math.nan, found, seeds_if)
    variances, df, source = found
    seeds = needed(variances, df=df)
    times = seconds_of(arms)
    known = [time for time in times if time is not None]
    count = (seeds or 0) * splits
    return PlannedClaim(
        claim,
        pair,
        paper,
        seeds,
        count * len(arms),
        count * sum(known) if seeds and len(known) == len(times) else None,
        math.sqrt(sum(variances)),
        source,
    )


def _variances(
    claim: Claim, pair: DatasetPair, arms: Sequence[Experiment], pilot: Sequence[Record]
) -> tuple[Sequence[float], float, str] | str:
    """The variances of the claim's parts over seeds, one for each baseline, with the degrees of freedom of their sum and where
    they come from in words; or a text that says why they are unknown.

    The best source is the claim's own weighted sums, as `bench verdict` computes them. Runs of similar rows show how much one run
    varies, but not how the results of several arms rise and fall together.
    """
    scale = [arms[0].settings.get(key) for key in SCALE] if arms else []
    for source, records in (("pilot", pilot), ("results/measured", measured_records())):
        here = [each for each in records if each.experiment.datasets == pair and not each.experiment.external]
        alike = [each for each in here if [each.experiment.settings.get(key) for key in SCALE] == scale]
        for chosen, remark in ((alike, ""), (here, ", other settings")):
            for kind, estimate in (("runs of this claim", _own_spread), ("similar rows", _parts)):
                if (found := estimate(claim, chosen)) is not None:
                    return *found, f"{source}{remark}, {kind}, {found[1]:.0f} df"
    return "unknown: no two seeds of a method have run on these data; run 3 first"


def _own_spread(claim: Claim, records: Sequence[Record]) -> tuple[Sequence[float], float] | None:
    """As `spread`, of the runs that a verdict would use; None if the claim's arms have not run together often enough, or each
    split ran with one seed, which does not show how much seeds vary.
    """
    arms = most_tuned_runs(claim, [FinishedRun(record) for record in records])
    if isinstance(arms, str):
        return None
    word, count = repetition(arms[0])
    if count < MIN_RUNS or (word == "split" and count == len(arms[0])):
        return None
    tables = [np.array([[_figure(run.record, claim.metric)] for run in runs], float) for runs in arms]
    return None if np.isnan(tables).any() else spread(seed_blocks(claim, arms, tables))


def _parts(claim: Claim, records: Sequence[Record]) -> tuple[Sequence[float], float] | None:
    """As `_own_spread`, from all runs of the claim's baselines.

    A baseline with fewer than ENOUGH degrees of freedom is taken to vary as much as the baselines of all records together.
    """
    weights: dict[str, list[float]] = {}
    for arm in claim.arms:
        weights.setdefault(baseline(arm.method), []).append(arm.weight)
    everywhere, variances, smallest = noise(records, metric=claim.metric), [], math.inf
    for name, each in weights.items():
        found = [noise(records, name, claim.metric), everywhere]
        itself, everyone = (noise.paired if len(each) > 1 else noise.own for noise in found)
        variance, df = itself if itself[1] >= ENOUGH else everyone
        if not df:
            return None
        variances.append(float(np.square(each).sum()) * variance)
        smallest = min(smallest, df)
    return variances, smallest


def _figure(record: Record, metric: str) -> float | None:
    """A run's result under its first protocol, a fraction; None if it has none."""
    metrics = record.find_metrics(record.first_protocol, "before")
    return None if metrics is None else getattr(metrics, metric)


def noise(records: Sequence[Record], name: str | None = None, metric: str = METRIC) -> Noise:
    """How much the figures of runs on one pair of data sets vary over seeds; of all baselines, or of the named one.

    Args:
        metric: the figure, one of METRICS.
    """
    contexts: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        experiment, figure = record.experiment, _figure(record, metric)
        if figure is None or name not in (None, baseline(experiment.method)):
            continue
        same = {key: value for key, value in experiment.settings.items() if key not in OF_A_ROW}
        context = json.dumps([baseline(experiment.method), experiment.split, same], sort_keys=True)
        row = json.dumps([experiment.method, {key: experiment.settings.get(key) for key in sorted(OF_A_ROW)}])
        contexts.setdefault(context, {}).setdefault(row, {})[experiment.seed] = figure
    sums, degrees = np.zeros(2), np.zeros(2, int)
    for rows in contexts.values():
        for seeds in {tuple(sorted(row)) for row in rows.values()}:
            table = np.array([[row[seed] for seed in seeds] for row in rows.values() if tuple(sorted(row)) == seeds])
            own = table - table.mean(axis=1, keepdims=True)
            sums += [np.square(own).sum(), np.square(own - own.mean(axis=0)).sum()]
            degrees += [len(table) * (len(seeds) - 1), (len(table) - 1) * (len(seeds) - 1)]
    own, paired = ((total / max(df, 1), int(df)) for total, df in zip(sums.tolist(), degrees.tolist(), strict=True))
    return Noise(own, paired)


@cache
def measured_records() -> list[Record]:
    """The records that this repository holds."""
    return [record for file in sorted(MEASURED.glob("*.parquet")) for record in exported_records(file)]


def fewest_queries(suite: Suite, choice: Choice, records: Sequence[Record], root: Path | None = None) -> Iterator[str]:
    """Lines that say by how much two checkpoints must differ on each test set. Real ones are read from `root` or BENCH_DATA."""
    for pair in dataset_pairs(suite, choice):
        queries = _count_queries(pair.tested_on, records, root)
        if queries:
            needed = fewest_units()
            yield (
                f"{pair.tested_on}: {queries:,} queries; two checkpoints differ in R1 (p < 0.05) when one wins at least {needed} "
                f"queries of {needed} people and loses none: {100 * needed / queries:.2f} points of R1"
            )


def _count_queries(dataset: str, records: Sequence[Record], root: Path | None) -> int:
    """The number of queries: from a finished run, from the data set's folder, or as published; 0 if unknown."""
    known = find_dataset(dataset)
    for record in records:
        metrics = record.find_metrics(known.protocols[0], "before")
        if record.experiment.test == dataset and metrics:
            return metrics.queries
    table = indexed(dataset, root)
    return (
        known.published.get("query", {}).get("tracklets", 0) if table is None else int((table.subset == "query").sum())
    )
