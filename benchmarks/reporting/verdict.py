"""The claims, each judged by the measurements, as far as the data allow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from benchmarks.data.find import is_drawn
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.experiments.methods import baseline
from benchmarks.runs.finished import FinishedRun
from benchmarks.seeds import generator
from benchmarks.suites import controls
from benchmarks.suites.claims import (
    ALPHA,
    CLAIMS,
    FAMILIES,
    METRIC,
    MIN_RUNS,
    MIN_TRIALS,
    UNCORRECTED,
    Claim,
    claims_about,
)
from benchmarks.wording import format_duration, number_of

from . import paper_numbers
from .grid import signed
from .pairing import most_tuned_runs
from .provenance import data_notes, tuning_trials
from .query_results import fraction_matrix, repetition, seed_blocks
from .sample_size import MOST_SEEDS, seeds_needed, spread
from .statistics import (
    Interval,
    Verdict,
    difference,
    difference_over_splits,
    holm,
    over_seeds,
    permutation_test,
    verdict,
)

CONTROLS_DATA = (controls.DATASET, controls.APPEARANCE)  # in any size, such as :tiny
CONTROLS, TUNING = "controls", "not tuned alike"  # the first words of reasons
# On drawn data, the generator decides which claims hold; a verdict says nothing about real people.
ON_DRAWN_DATA = {
    Verdict.SUPPORTED: "holds in this world",
    Verdict.CONTRADICTED: "does not hold in this world",
    Verdict.NEGLIGIBLE: "negligible in this world",
    Verdict.UNDECIDED: "undecided",
}
# Claims outside the two families were not fixed beforehand; they confirm nothing.
EXPLORED = {
    Verdict.SUPPORTED: "exploratory: above 0",
    Verdict.CONTRADICTED: "exploratory: below 0",
    Verdict.NEGLIGIBLE: "exploratory: near 0",
    Verdict.UNDECIDED: "exploratory: open",
}


@dataclass(frozen=True)
class JudgedClaim:
    """A claim on one pair of data sets.

    Attributes:
        interval: of the effect, in fractions, over other seeds on these people, by which it is judged; or, with fewer than
            MIN_RUNS seeds or splits, over other people by these checkpoints.
        reasons: why it is undecided.
        runs: of each arm.
        paper: the effect that the paper prints for these data sets, a fraction; None if it prints none.
        p: the p-value of no effect: from the interval, or for checkpoints from flipping whole identities. Not yet corrected.
        protocol: by which it is judged, with a warning if it is not the data set's first, which was fixed in advance.
        people: as `interval`, over other seeds and other test people; None with fewer than MIN_RUNS seeds or splits.
        margin: effects nearer to 0 than this are negligible; a fraction.
        p_negligible: the p-value of an effect of the margin or more. Not yet corrected.
        variances: of the difference over seeds, a part for each baseline; empty where they are unknown.
        df: degrees of freedom of their sum.
        splits: the number of splits on which each seed ran.
        seconds: how long the runs of one seed took on average, of all arms and splits together.
        machine: the machine of the runs, in words; "" if none ran.
        needed: how many seeds would decide an undecided claim if the true effect is the measured one; None if MOST_SEEDS would
            not, or nothing was measured.
        notes: the cautions about the data.
    """

    claim: Claim
    datasets: DatasetPair
    interval: Interval | None
    verdict: Verdict
    reasons: tuple[str, ...]
    runs: int
    paper: float | None
    p: float = 1.0
    protocol: str = ""
    people: Interval | None = None
    margin: float = 0.0
    p_negligible: float = 1.0
    variances: tuple[float, ...] = ()
    df: float = math.inf
    splits: int = 1
    seconds: float = 0.0
    machine: str = ""
    needed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def repeated(self) -> str:
        """What the runs are repeated over: "seeds", or "splits" where each of several splits ran with one seed."""
        return "splits" if self.runs == self.splits > 1 else "seeds"

    @property
    def missing(self) -> str:
        """What is needed before a verdict can be given; empty if nothing is."""
        return "; ".join(self.reasons)

    @property
    def verdict_text(self) -> str:
        """The verdict as tables show it."""
        if self.claim.family in UNCORRECTED:
            return EXPLORED[self.verdict]
        drawn = is_drawn(self.datasets.trained_on)
        return ON_DRAWN_DATA[self.verdict] if drawn else str(self.verdict)


def judge(
    runs: Sequence[FinishedRun],
    protocol: str | None = None,
    dataset: str | None = None,
    controls_among: Sequence[FinishedRun] = (),
) -> list[JudgedClaim]:
    """Every claim on every pair of data sets of the runs, by family; those of drawn people come last.

    The data sets of controls have no claims, because the right result there is known beforehand.

    Args:
        protocol: None is each data set's first.
        dataset: judge only runs that were trained or tested on it.
        controls_among: the runs among which controls are looked for. Empty: the judged ones.
    """
    ours, possible_controls = (
        [run for run in each if not run.experiment.external] for each in (runs, controls_among or runs)
    )
    judged = []
    pairs = {run.experiment.datasets for run in ours if dataset in (None, *run.experiment.datasets)}
    of_claims = [each for each in pairs if each.trained_on.partition(":")[0] not in CONTROLS_DATA]
    for pair in sorted(of_claims, key=lambda each: (is_drawn(each.trained_on), each)):
        here = [run for run in ours if run.experiment.datasets == pair]
        found = [_judge(claim, pair, here, protocol, possible_controls) for claim in claims_about(*pair)]
        for family in FAMILIES:
            judged += _decide([each for each in found if each.claim.family == family])
    return judged


def seeds_from(first_seed: int, runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """The runs with this seed or a larger one: new ones, where the smaller seeds were a pilot."""
    return [run for run in runs if run.experiment.seed >= first_seed]


@cache
def margin() -> float:
    """The equivalence margin, a fraction: the smallest improvement in mAP that the paper prints for one of its claims.

    A claim is called NEGLIGIBLE only if an effect of the margin or more can be refuted. So a replication of even the smallest
    effect that the paper prints is called that in at most 5 of 100 repetitions.
    """
    effects = [paper_effect(claim, DatasetPair(*pair)) for claim in CLAIMS for pair in _paper_pairs(claim)]
    return min(effect for effect in effects if effect)


def _undecided(claim: Claim, pair: DatasetPair, reason: str) -> JudgedClaim:
    return JudgedClaim(claim, pair, None, Verdict.UNDECIDED, (reason,), 0, paper_effect(claim, pair), margin=margin())


def _judge(
    claim: Claim, pair: DatasetPair, runs: Sequence[FinishedRun], protocol: str | None, all_runs: Sequence[FinishedRun]
) -> JudgedClaim:
    """A claim before Holm's correction, still UNDECIDED."""
    arms = most_tuned_runs(claim, runs)
    if isinstance(arms, str):
        return _undecided(claim, pair, f"{arms} ({claim.made_by})")
    return measure(claim, pair, arms, protocol, _missing(claim, arms, all_runs))


def measure(
    claim: Claim,
    pair: DatasetPair,
    arms: Sequence[Sequence[FinishedRun]],
    protocol: str | None = None,
    reasons: tuple[str, ...] = (),
) -> JudgedClaim:
    """The effect of a claim with its interval and p-value, still UNDECIDED.

    Args:
        arms: the runs of each arm, paired by seed and split.
        protocol: None is the data set's first.
        reasons: why the claim cannot be decided, if it cannot.
    """
    primary = arms[0][0].record.first_protocol
    protocol = protocol or primary
    tables, pids = [], np.empty(0)
    for each in arms:
        table, pids = fraction_matrix(each, claim.metric, protocol)
        tables.append(table)
    if not pids.size:
        return _undecided(claim, pair, f"the runs do not have protocol {protocol}")
    if any(table.shape != tables[0].shape for table in tables):
        return _undecided(claim, pair, "the runs have different queries")
    shown = protocol if protocol == primary else f"{protocol}, NOT THE PRIMARY PROTOCOL ({primary})"
    start = JudgedClaim(
        claim,
        pair,
        None,
        Verdict.UNDECIDED,
        reasons,
        len(arms[0]),
        paper_effect(claim, pair),
        protocol=shown,
        notes=tuple(data_notes(run.record for run in arms[0])),
        margin=margin(),
    )
    above, below = (
        np.asarray(
            sum(
                sign * arm.weight * table
                for arm, table in zip(claim.arms, tables, strict=True)
                if sign * arm.weight > 0
            )
        )
        for sign in (1, -1)
    )
    word, count = repetition(arms[0])
    if count < MIN_RUNS:
        interval = difference(above, below, pids, "checkpoints")
        p = permutation_test(above, below, pids, generator("permutation", claim.text, *pair))
        return replace(start, interval=interval, p=p)
    blocks = seed_blocks(claim, arms, tables)
    interval = over_seeds(blocks)
    splits = np.array([run.experiment.split for run in arms[0]])
    people = (
        difference_over_splits(above, below, pids, splits)
        if word == "split"
        else difference(above, below, pids, "methods")
    )
    variances, df = spread(blocks)
    return replace(
        start,
        interval=interval,
        people=people,
        p=interval.p,
        p_negligible=interval.p_negligible(margin()),
        variances=variances,
        df=df,
        splits=len(blocks[0]),
        seconds=len(blocks[0]) * sum(float(np.mean([_seconds(run) for run in each])) for each in arms),
        machine=_machine(arms[0][0]),
    )


def _seconds(run: FinishedRun) -> float:
    """How long all phases of a run took."""
    return sum(phase.seconds for phase in run.record.phases.values())


def _machine(run: FinishedRun) -> str:
    """The GPUs of a run, or its cores and their processor."""
    environment = run.record.environment
    if environment.gpu:
        return f"{environment.processes} x {environment.gpu}"
    return f"{number_of(run.experiment.settings.get('threads', 1), 'core')} of {environment.cpu}"


def _missing(claim: Claim, arms: Sequence[Sequence[FinishedRun]], all_runs: Sequence[FinishedRun]) -> tuple[str, ...]:
    """What is needed before a verdict can be given."""
    word, count = repetition(arms[0])
    trials = {tuning_trials(run.experiment.settings) for runs in arms for run in runs}
    reasons = []
    if count < MIN_RUNS:
        reasons.append(
            f"{count} {word}{'s' * (count > 1)} cannot show how much {word}s vary; at least {MIN_RUNS} are needed"
        )
    if "controls" in claim.needs:
        judged = {baseline(arm.method): runs[0].experiment.settings for arm, runs in zip(claim.arms, arms, strict=True)}
        failures = controls.problems([run.record for run in all_runs], judged)
        reasons += [f"{CONTROLS}: {failures}"] if failures else []
    if "tuning" in claim.needs and (len(trials) > 1 or min(trials) < MIN_TRIALS):
        reasons.append(f"{TUNING}: `bench tune` each method with the same --trials, at least {MIN_TRIALS}")
    return tuple(reasons)


def _paper_pairs(claim: Claim) -> set[tuple[str, str]]:
    """The data sets on which the paper prints the effect."""
    if not claim.paper:
        return set()
    rows = paper_numbers.read(claim.paper[0])
    return set(zip(rows.train, rows.test, strict=True))


def paper_effect(claim: Claim, pair: DatasetPair) -> float | None:
    """The effect that the paper prints on these data sets, a fraction; None if it prints none."""
    if not claim.paper:
        return None
    name, better, worse = claim.paper
    rows = paper_numbers.at(name, pair)
    if rows.empty:
        return None
    figures = {row.method: row.value for row in rows.itertuples() if row.metric == METRIC}
    return round(float(figures[better] - figures[worse]), 6) / 100


def _decide(judged: Sequence[JudgedClaim]) -> list[JudgedClaim]:
    """The verdicts of one family on one pair of data sets.

    Holm's correction covers all claims of the family, which were fixed in advance: once the tests that there is an effect, and
    once the tests that it is negligible. So each of the two errors is made in at most 5 of 100 families. A claim that cannot be
    tested yet counts as not significant, so that no verdict is withdrawn when it is tested. Exploratory claims are not corrected.
    """
    tested = [number for number, each in enumerate(judged) if each.interval is not None and not each.missing]
    corrected = bool(judged) and judged[0].claim.family not in UNCORRECTED
    kinds = [[judged[number].p for number in tested], [judged[number].p_negligible for number in tested]]
    if corrected:
        kinds = [list(holm([*known, *[1.0] * (len(judged) - len(tested))])[: len(tested)]) for known in kinds]
    decided = list(judged)
    for number, p, p_negligible in zip(tested, *kinds, strict=True):
        each = judged[number]
        assert each.interval is not None
        word = verdict(each.interval.estimate, p, p_negligible, ALPHA)
        decided[number] = replace(each, verdict=word)
        if word is Verdict.UNDECIDED:
            decided[number] = _too_few(decided[number], len(judged) if corrected else 1)
    return decided


def _too_few(judged: JudgedClaim, size: int) -> JudgedClaim:
    """An undecided claim, with the number of seeds that would decide it if the true effect is the measured one."""
    assert judged.interval is not None
    if judged.repeated == "splits":
        return replace(judged, reasons=("run a second seed on each split, to see how much seeds vary",))
    effect = judged.interval.estimate
    counts = [
        seeds_needed(effect, judged.variances, ALPHA / size, limit, splits=judged.splits, df=judged.df)
        for limit in (None, judged.margin)
    ]
    needed = min((count for count in counts if count), default=None)
    if needed is None:
        reason = f"{MOST_SEEDS} seeds would not tell the effect from 0, nor from the margin of ±{100 * judged.margin:g}"
    else:
        more = max(needed - judged.runs // judged.splits, 1)
        runs = more * judged.splits * len(judged.claim.arms)
        reason = (
            f"about {number_of(more, 'more seed')} ({number_of(runs, 'run')}, {format_duration(more * judged.seconds)} on "
            f"{judged.machine}) decide it in 4 of 5 repetitions, if the true effect is {signed(100 * effect)}"
        )
    return replace(judged, needed=needed, reasons=(reason,))
