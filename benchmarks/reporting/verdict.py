"""The paper's claims, each judged by the measurements, as far as the data allow."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from benchmarks.data.loading import is_drawn
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import ATTACHED, split_method
from benchmarks.experiments.settings import resolve
from benchmarks.runs.finished import FinishedRun
from benchmarks.seeds import generator
from benchmarks.suites.claims import ALPHA, CLAIMS, MARGIN, METRIC, MIN_RUNS, Arm, Claim

from . import paper_numbers
from .grid import Grid
from .query_results import TEST_TO_TRAIN, fraction_matrix, repetition, split_means
from .statistics import Interval, Verdict, difference, holm, over_splits, permutation_test, verdict

TUNED = "tuning_trials"
NOT_RUN = "not run"
Controls: TypeAlias = Callable[[Sequence[str]], str]
# On drawn data, the generator decides which claims hold; a verdict says nothing about real people.
ON_DRAWN_DATA = {
    Verdict.SUPPORTED: "holds in this world",
    Verdict.CONTRADICTED: "does not hold in this world",
    Verdict.NEGLIGIBLE: "negligible in this world",
    Verdict.UNDECIDED: "undecided",
}


@dataclass(frozen=True)
class JudgedClaim:
    """A claim on one pair of data sets.

    Attributes:
        interval: of the effect, in fractions: for methods, or, with fewer than MIN_RUNS runs, for the given checkpoints.
        reasons: why it is undecided.
        paper: the paper's effect, a fraction.
        p: the p-value of no effect: from the interval, or for checkpoints from flipping whole identities.
        protocol: used for the judgement, with a warning if it is not the data set's first, which was fixed in advance.
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

    @property
    def missing(self) -> str:
        """What is needed before a verdict can be given; empty if nothing is."""
        return "; ".join(self.reasons)

    @property
    def verdict_text(self) -> str:
        """The verdict as tables show it."""
        drawn = is_drawn(self.datasets.trained_on)
        return ON_DRAWN_DATA[self.verdict] if drawn else str(self.verdict)


def judge(
    runs: Sequence[FinishedRun], protocol: str | None = None, controls: Controls = lambda _: ""
) -> list[JudgedClaim]:
    """Every claim on every pair of data sets of the runs.

    Args:
        protocol: None is each data set's first.
        controls: returns the failures of the controls of some baselines in this environment; "" if there are none.
    """
    ours = [run for run in runs if not run.experiment.external]
    judged = []
    for pair in sorted({run.experiment.datasets for run in ours}):
        here = [run for run in ours if run.experiment.datasets == pair]
        crossed = pair.trained_on != pair.tested_on
        claims = [claim for claim in CLAIMS if claim.transfer == crossed]
        judged += _correct([_judge(claim, pair, here, protocol, controls) for claim in claims])
    return judged


def _undecided(claim: Claim, pair: DatasetPair, reason: str, paper: float | None) -> JudgedClaim:
    return JudgedClaim(claim, pair, None, Verdict.UNDECIDED, (reason,), 0, paper)


def _judge(
    claim: Claim,
    pair: DatasetPair,
    runs: Sequence[FinishedRun],
    protocol: str | None,
    controls: Controls,
) -> JudgedClaim:
    paper = _paper_effect(claim, pair)
    arms = _most_tuned(claim, runs)
    if isinstance(arms, str):
        return _undecided(claim, pair, f"{arms} (suite {claim.suite})", paper)
    primary = arms[0][0].record.first_protocol
    protocol = protocol or primary
    tables = [fraction_matrix(each, METRIC, protocol) for each in arms]
    pids = tables[0][1]
    if not pids.size:
        return _undecided(claim, pair, f"the runs do not have protocol {protocol}", paper)
    if any(table.shape != tables[0][0].shape for table, _ in tables):
        return _undecided(claim, pair, "the runs have different queries", paper)
    above, below = (
        np.asarray(
            sum(
                sign * arm.weight * table
                for arm, (table, _) in zip(claim.arms, tables, strict=True)
                if sign * arm.weight > 0
            )
        )
        for sign in (1, -1)
    )
    interval = _interval(above, below, pids, arms[0])
    p = interval.p
    if interval.question == "checkpoints":
        p = permutation_test(above, below, pids, generator("permutation", claim.text, *pair))
    reasons = _missing(claim, arms, controls)
    word = Verdict.UNDECIDED if reasons else verdict(interval, MARGIN)
    shown = protocol if protocol == primary else f"{protocol}, NOT THE PRIMARY PROTOCOL ({primary})"
    return JudgedClaim(claim, pair, interval, word, reasons, len(arms[0]), paper, p, shown)


def _interval(above: np.ndarray, below: np.ndarray, pids: np.ndarray, runs: Sequence[FinishedRun]) -> Interval:
    """The interval of the difference between methods: over seeds and identities, or over splits that share people. With too few
    runs to judge methods, the interval for these checkpoints, over identities."""
    word, count = repetition(runs)
    if word == "split" and count >= MIN_RUNS:
        return over_splits(split_means(np.nanmean(above - below, axis=1), runs), TEST_TO_TRAIN)
    return difference(above, below, pids, "methods" if count >= MIN_RUNS else "checkpoints")


def _missing(claim: Claim, arms: Sequence[Sequence[FinishedRun]], controls: Controls) -> tuple[str, ...]:
    """What is needed before a verdict can be given."""
    word, count = repetition(arms[0])
    trials = {run.experiment.settings.get(TUNED, 0) for runs in arms for run in runs}
    reasons = []
    if count < MIN_RUNS:
        reasons.append(
            f"{count} {word}{'s' * (count > 1)} cannot show how much {word}s vary; at least {MIN_RUNS} are needed"
        )
    failures = controls(sorted({_baseline(arm.method) for arm in claim.arms})) if "controls" in claim.needs else ""
    if failures:
        reasons.append(f"controls: {failures}")
    if "tuning" in claim.needs and (len(trials) > 1 or trials == {0}):
        reasons.append("unequal tuning: `bench tune` each method with the same --trials")
    return tuple(reasons)


def _most_tuned(claim: Claim, runs: Sequence[FinishedRun]) -> list[list[FinishedRun]] | str:
    """The runs of each arm, or what is missing. If tuning matters, those with the highest number of trials that all arms have."""
    trials = {run.experiment.settings.get(TUNED, 0) for run in runs if "tuning" in claim.needs} - {0}
    for count in sorted(trials, reverse=True):
        arms = _pair_runs(claim, [run for run in runs if run.experiment.settings.get(TUNED) == count])
        if not isinstance(arms, str):
            return arms
    return _pair_runs(claim, runs)


def _pair_runs(claim: Claim, runs: Sequence[FinishedRun]) -> list[list[FinishedRun]] | str:
    """The runs of each arm, paired by seed and split, in the context with the most pairs; or what is missing.

    A context is everything that both sides must share: data, processor, the settings that are not under test, and, within one
    baseline, the code (two baselines differ in their own files).
    """
    one_baseline = len({_baseline(arm.method) for arm in claim.arms}) == 1
    contexts: dict[str, dict[int, dict[tuple[int, int], FinishedRun]]] = {}
    for run in runs:
        experiment = run.experiment
        context = _context(run, "tuning" in claim.needs, one_baseline)
        for number, arm in enumerate(claim.arms):
            if _fits(arm, experiment):
                contexts.setdefault(context, {}).setdefault(number, {})[experiment.seed, experiment.split] = run
    best: list[list[FinishedRun]] = []
    numbers = range(len(claim.arms))
    for arms in contexts.values():
        common = set.intersection(*(set(arms.get(number, {})) for number in numbers))
        if (len(common), _newest(arms)) > (len(best[0]) if best else 0, ""):
            best = [[arms[number][key] for key in sorted(common)] for number in numbers]
    if best and best[0]:
        return best
    missing = [claim.arms[number] for number in numbers if not any(number in arms for arms in contexts.values())]
    if missing:
        return f"{NOT_RUN}: {', '.join(' '.join((arm.method, *arm.changes)) for arm in missing)}"
    return "no seed has runs on all sides with the same settings, code and processor"


def _newest(arms: dict[int, dict[tuple[int, int], FinishedRun]]) -> str:
    return max(run.record.finished.isoformat() for runs in arms.values() for run in runs.values())


def _context(run: FinishedRun, tuned: bool, one_baseline: bool) -> str:
    experiment = run.experiment
    free = {*ATTACHED, *(("lr", "clip_frames", "spacing", "sampling", "test_chunk", TUNED) if tuned else ())}
    settings = {key: value for key, value in experiment.settings.items() if key not in free}
    parts: list[Any] = [settings, experiment.data, experiment.test_data, one_baseline and run.record.code]
    return json.dumps([*parts, run.record.environment.processor], sort_keys=True)


def _fits(arm: Arm, experiment: Experiment) -> bool:
    if arm.method != experiment.method:
        return False
    wanted = resolve("paper", arm.method, arm.changes).as_dict()
    return all(wanted[key] == experiment.settings.get(key) for key in ATTACHED)


def _paper_effect(claim: Claim, pair: DatasetPair) -> float | None:
    """The paper's effect, a fraction, on these data sets or on those that `paper_numbers.at` uses instead."""
    if not claim.paper:
        return None
    name, better, worse = claim.paper
    rows = paper_numbers.at(name, pair)
    figures = {row.method: row.value for row in rows.itertuples() if row.metric == METRIC}
    return float(figures[better] - figures[worse]) / 100


def _elsewhere(judged: Sequence[JudgedClaim]) -> list[str]:
    """A note on the data sets of the paper's effects, if they are others."""
    pairs = {(each.claim.paper[0], each.datasets) for each in judged if each.claim.paper}
    rows = [paper_numbers.at(name, pair).iloc[0] for name, pair in sorted(pairs)]
    found = dict.fromkeys(DatasetPair(row.train, row.test) for row in rows)
    return [f"paper: its effect on {pair.title}" for pair in found if pair != judged[0].datasets]


def _baseline(method: str) -> str:
    return split_method(method)[0]


def _correct(judged: list[JudgedClaim]) -> list[JudgedClaim]:
    """Holm's correction: a claim must be significant among all claims on these data sets, which were fixed in advance.

    A claim that cannot be tested yet counts as one without effect, so that no verdict changes when it is tested.
    """
    tested = [number for number, each in enumerate(judged) if each.interval is not None and not each.missing]
    known = [judged[number].p for number in tested]
    adjusted = holm([*known, *[1.0] * (len(judged) - len(tested))])
    for number, p in zip(tested, adjusted, strict=False):
        if judged[number].verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED) and p >= ALPHA:
            reason = f"p {p:.2f} among {len(judged)} claims (Holm)"
            judged[number] = replace(judged[number], verdict=Verdict.UNDECIDED, reasons=(reason,))
    return judged


HEAD = ("claim", "verdict", "effect", "95% interval", "of", "p", "paper", "inside", "runs")


def grids(judged: Sequence[JudgedClaim]) -> Iterator[Grid]:
    """A table for each pair of data sets."""
    pairs = dict.fromkeys(each.datasets for each in judged)
    crossed_from = {pair.trained_on for pair in pairs if pair.trained_on != pair.tested_on}
    for pair in pairs:
        here = [each for each in judged if each.datasets == pair]
        count = f"{len(here)} claim{'s' * (len(here) != 1)}"
        notes = [
            f"effects in points of {METRIC}; intervals of methods: for other seeds and people; of checkpoints: for these weights "
            f"on other people, p by flipping whole identities; a difference within ±{100 * MARGIN:g} is negligible; p is "
            f"conservative, and not yet corrected (Holm) for the {count} on these data sets, run or not"
        ]
        notes += [f"protocol {protocol}" for protocol in dict.fromkeys(each.protocol for each in here) if protocol]
        notes += _elsewhere(here)
        shown = [each for each in here if not each.missing.startswith(NOT_RUN)]
        notes += _by_reason((reason, each.claim.text) for each in shown for reason in each.reasons)
        not_run = [each.claim for each in here if each not in shown]
        if (
            pair.trained_on == pair.tested_on and pair.trained_on not in crossed_from
        ):  # else they have a table of their own
            not_run += [claim for claim in CLAIMS if claim.transfer]
        notes += _by_reason((f"{NOT_RUN}, suite {claim.suite}", claim.text) for claim in not_run)
        yield Grid(pair.title, HEAD, [cells(each) for each in shown], notes)


def _by_reason(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each reason, with all claims that it applies to."""
    claims: dict[str, list[str]] = {}
    for reason, claim in pairs:
        claims.setdefault(reason, []).append(claim)
    return [f"{reason}: {'; '.join(each)}" for reason, each in claims.items()]


def cells(judged: JudgedClaim) -> list[str]:
    """The cells of a row, in the order of HEAD."""
    effect = span = question = p = inside = ""
    if judged.interval is not None:
        low, high = 100 * judged.interval.low, 100 * judged.interval.high
        effect, question = f"{100 * judged.interval.estimate:+.1f}", judged.interval.question
        span = f"{low:+.1f} to {high:+.1f}"
        p = f"{judged.p:.4f}" if judged.p >= 0.0001 else "< 0.0001"
        if judged.paper is not None and question == "methods":  # the paper's effect is one of methods
            inside = "yes" if low <= 100 * judged.paper <= high else "no"
    paper = "" if judged.paper is None else f"{100 * judged.paper:+.1f}"
    return [
        judged.claim.text,
        judged.verdict_text,
        *(effect, span, question, p, paper, inside),
        str(judged.runs or ""),
    ]
