"""The paper's claims, judged one by one by what was measured; no more is said than the data do."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from benchmarks.data.loading import is_drawn
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import ATTACHED, split_method
from benchmarks.experiments.settings import resolve
from benchmarks.runs.finished import TEST_TO_TRAIN, Found, by_split, first_protocol, fractions, varied
from benchmarks.runs.records import Record
from benchmarks.seeds import generator
from benchmarks.suites.claims import ALPHA, CLAIMS, MARGIN, METRIC, MIN_RUNS, Arm, Claim

from . import paper_numbers
from .grid import Grid
from .statistics import Interval, Verdict, difference, holm, over_splits, permutation_test, verdict
from .table import processor

TUNED = "tuning_trials"
NOT_RUN = "not run"
Controls: TypeAlias = Callable[[Sequence[str]], str]
# On drawn data a generator decides, and nothing is said of people.
IN_THIS_WORLD = {
    Verdict.SUPPORTED: "holds in this world",
    Verdict.CONTRADICTED: "does not hold in this world",
    Verdict.NEGLIGIBLE: "negligible in this world",
    Verdict.UNDECIDED: "undecided",
}


@dataclass(frozen=True)
class Judged:
    """A claim at one place.

    Attributes:
        interval: of the effect, in fractions: for methods, or with fewer than MIN_RUNS seeds for the checkpoints at hand.
        reasons: why it is undecided.
        paper: the paper's effect.
        p: of there being no effect: the interval's, or for checkpoints that of flipping whole identities.
        protocol: by which it was judged, and whether that is another than the data set's first, which was fixed beforehand.
    """

    claim: Claim
    place: tuple[str, str]
    interval: Interval | None
    word: Verdict
    reasons: tuple[str, ...]
    runs: int
    paper: float | None
    p: float = 1.0
    protocol: str = ""

    @property
    def title(self) -> str:
        """The place, for readers."""
        train, test = self.place
        return train if train == test else f"{train} to {test}"

    @property
    def missing(self) -> str:
        """What must be there before a verdict may be given; empty if nothing is missing."""
        return "; ".join(self.reasons)

    @property
    def said(self) -> str:
        """The word for readers."""
        return IN_THIS_WORLD[self.word] if is_drawn(self.place[0]) else str(self.word)


def judge(found: Sequence[Found], protocol: str | None = None, controls: Controls = lambda _: "") -> list[Judged]:
    """Every claim at every place of the records.

    Args:
        protocol: in place of each data set's first.
        controls: gives what is wrong with the controls of some baselines in this environment; "": nothing.
    """
    ours = [run for run in found if not run.experiment.external]
    judged = []
    for place in sorted({_place(run) for run in ours}):
        here = [run for run in ours if _place(run) == place]
        claims = [claim for claim in CLAIMS if claim.transfer == (place[0] != place[1])]
        judged += _holm([_judge(claim, place, here, protocol, controls) for claim in claims])
    return judged


def _nothing(claim: Claim, place: tuple[str, str], why: str, printed: float | None = None) -> Judged:
    return Judged(claim, place, None, Verdict.UNDECIDED, (why,), 0, printed)


def _place(run: Found) -> tuple[str, str]:
    return run.experiment.dataset, run.experiment.test


def _judge(
    claim: Claim,
    place: tuple[str, str],
    found: Sequence[Found],
    protocol: str | None,
    controls: Controls,
) -> Judged:
    printed = _printed(claim, place)
    arms = _fullest(claim, found)
    if isinstance(arms, str):
        return _nothing(claim, place, f"{arms} (suite {claim.suite})", printed)
    primary = first_protocol(arms[0][0].record)
    protocol = protocol or primary
    tables = [fractions(runs, METRIC, protocol) for runs in arms]
    pids = tables[0][1]
    if not pids.size:
        return _nothing(claim, place, f"the runs have no protocol {protocol}", printed)
    if any(table.shape != tables[0][0].shape for table, _ in tables):
        return _nothing(claim, place, "the runs were not asked the same queries", printed)
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
        p = permutation_test(above, below, pids, generator("permutation", claim.text, *place))
    missing = _lacking(claim, arms, controls)
    word = Verdict.UNDECIDED if missing else verdict(interval, MARGIN)
    said = protocol if protocol == primary else f"{protocol}, WHICH IS NOT THE PRIMARY ONE ({primary})"
    return Judged(claim, place, interval, word, missing, len(arms[0]), printed, p, said)


def _interval(above: np.ndarray, below: np.ndarray, pids: np.ndarray, runs: Sequence[Found]) -> Interval:
    """Of the difference, for methods: over seeds and identities, or over splits that share people. Of one or two too
    little can be said for methods, and it is for these checkpoints: over identities."""
    word, count = varied(runs)
    if word == "split" and count >= MIN_RUNS:
        return over_splits(by_split(np.nanmean(above - below, axis=1), runs), TEST_TO_TRAIN)
    return difference(above, below, pids, "methods" if count >= MIN_RUNS else "checkpoints")


def _lacking(claim: Claim, arms: Sequence[Sequence[Found]], controls: Controls) -> tuple[str, ...]:
    """What is missing before a verdict may be given."""
    word, count = varied(arms[0])
    tuned = {run.experiment.settings.get(TUNED, 0) for runs in arms for run in runs}
    reasons = []
    if count < MIN_RUNS:
        reasons.append(f"{count} {word}{'s' * (count > 1)} cannot say how much {word}s vary: {MIN_RUNS} at least")
    wrong = controls(sorted({_baseline(arm.method) for arm in claim.arms})) if "controls" in claim.needs else ""
    if wrong:
        reasons.append(f"controls: {wrong}")
    if "tuning" in claim.needs and (len(tuned) > 1 or tuned == {0}):
        reasons.append("unequal tuning: `bench tune` each method with the same --trials")
    return tuple(reasons)


def _fullest(claim: Claim, found: Sequence[Found]) -> list[list[Found]] | str:
    """The runs of each arm, where tuning matters those of the most trials that all arms were tuned by; or what is missing."""
    trials = {run.experiment.settings.get(TUNED, 0) for run in found if "tuning" in claim.needs} - {0}
    for count in sorted(trials, reverse=True):
        arms = _paired(claim, [run for run in found if run.experiment.settings.get(TUNED) == count])
        if not isinstance(arms, str):
            return arms
    return _paired(claim, found)


def _paired(claim: Claim, found: Sequence[Found]) -> list[list[Found]] | str:
    """The runs of each arm, paired by seed and split, in the context that has most of them; or what is missing.

    A context is all that must be the same on both sides: data, processor, the settings that are not under test, and, of one
    baseline, the code (that of two differs by their own files).
    """
    one = len({_baseline(arm.method) for arm in claim.arms}) == 1
    contexts: dict[str, dict[int, dict[tuple[int, int], Found]]] = {}
    for run in found:
        experiment = run.experiment
        context = _context(run.record, experiment, "tuning" in claim.needs, one)
        for number, arm in enumerate(claim.arms):
            if _fits(arm, experiment):
                contexts.setdefault(context, {}).setdefault(number, {})[experiment.seed, experiment.split] = run
    best: list[list[Found]] = []
    lacking = {number for number in range(len(claim.arms)) if not any(number in arms for arms in contexts.values())}
    for arms in contexts.values():
        common = set.intersection(*(set(arms.get(number, {})) for number in range(len(claim.arms))))
        if (len(common), *_newest(arms)) > (len(best[0]) if best else 0, ""):
            best = [[arms[number][key] for key in sorted(common)] for number in range(len(claim.arms))]
    if best and best[0]:
        return best
    names = [" ".join((claim.arms[number].method, *claim.arms[number].changes)) for number in sorted(lacking)]
    return (
        f"{NOT_RUN}: {', '.join(names)}"
        if names
        else "no seed has run on all sides with the same settings, code and processor"
    )


def _newest(arms: dict[int, dict[tuple[int, int], Found]]) -> tuple[str]:
    return (max(str(run.record["finished"]) for runs in arms.values() for run in runs.values()),)


def _context(record: Record, experiment: Experiment, tuned: bool, one_baseline: bool) -> str:
    free = {*ATTACHED, *(("lr", "clip_frames", "spacing", "sampling", TUNED) if tuned else ())}
    settings = {key: value for key, value in experiment.settings.items() if key not in free}
    parts: list[Any] = [settings, experiment.data, experiment.test_data, one_baseline and record["code"]]
    return json.dumps([*parts, processor(record)], sort_keys=True)


def _fits(arm: Arm, experiment: Experiment) -> bool:
    if arm.method != experiment.method:
        return False
    said = resolve("paper", arm.method, arm.changes).as_dict()
    return all(said[key] == experiment.settings[key] for key in ATTACHED)


def _printed(claim: Claim, place: tuple[str, str]) -> float | None:
    """The paper's effect, in fractions, at this place or where `paper_numbers.at` looks in its stead."""
    if not claim.paper:
        return None
    name, better, worse = claim.paper
    rows = paper_numbers.at(name, place)
    figures = {row.method: row.value for row in rows.itertuples() if row.metric == METRIC}
    return float(figures[better] - figures[worse]) / 100


def _elsewhere(judged: Sequence[Judged]) -> list[str]:
    """Where the paper's effects were measured, if not here."""
    places = {(each.claim.paper[0], each.place) for each in judged if each.claim.paper}
    rows = [paper_numbers.at(name, place).iloc[0] for name, place in sorted(places)]
    found = dict.fromkeys((row.train, row.test) for row in rows if (row.train, row.test) != judged[0].place)
    return [f"paper: its effect on {' to '.join(dict.fromkeys(where))}" for where in found]


def _baseline(method: str) -> str:
    return split_method(method)[0]


def _holm(judged: list[Judged]) -> list[Judged]:
    """What a single test would call significant must also be so among all claims of the place, which are fixed beforehand.

    One that cannot be tested yet counts as one that shows nothing, so that no verdict changes when it is.
    """
    tested = [number for number, each in enumerate(judged) if each.interval is not None and not each.missing]
    known = [judged[number].p for number in tested]
    adjusted = holm([*known, *[1.0] * (len(judged) - len(tested))])
    for number, p in zip(tested, adjusted, strict=False):
        if judged[number].word in (Verdict.SUPPORTED, Verdict.CONTRADICTED) and p >= ALPHA:
            reason = f"p {p:.2f} among {len(judged)} claims (Holm)"
            judged[number] = replace(judged[number], word=Verdict.UNDECIDED, reasons=(reason,))
    return judged


HEAD = ("claim", "verdict", "effect", "95% interval", "of", "p", "paper", "inside", "runs")


def grids(judged: Sequence[Judged]) -> Iterator[Grid]:
    """A table a place."""
    places = dict.fromkeys(each.place for each in judged)
    elsewhere = {train for train, test in places if train != test}
    for place in places:
        here = [each for each in judged if each.place == place]
        count = f"{len(here)} claim{'s' * (len(here) != 1)}"
        notes = [
            f"effects in points of {METRIC}; intervals of methods: other seeds, other people; of checkpoints: these weights on "
            f"other people, p by flipping whole identities; a difference within ±{100 * MARGIN:g} is negligible; p errs on "
            f"the safe side of the interval, and is before Holm's correction over {count} of the place, run or not"
        ]
        notes += [f"protocol {said}" for said in dict.fromkeys(each.protocol for each in here) if said]
        notes += _elsewhere(here)
        asked = [each for each in here if not each.missing.startswith(NOT_RUN)]
        notes += _together((reason, each.claim.text) for each in asked for reason in each.reasons)
        unrun = [each.claim for each in here if each not in asked]
        if place[0] == place[1] and place[0] not in elsewhere:  # there the claim would have a place of its own
            unrun += [claim for claim in CLAIMS if claim.transfer]
        notes += _together((f"{NOT_RUN}, suite {claim.suite}", claim.text) for claim in unrun)
        yield Grid(here[0].title, HEAD, [row(each) for each in asked], notes)


def _together(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line a reason, with all the claims that it holds for."""
    claims: dict[str, list[str]] = {}
    for reason, claim in pairs:
        claims.setdefault(reason, []).append(claim)
    return [f"{reason}: {'; '.join(each)}" for reason, each in claims.items()]


def row(each: Judged) -> list[str]:
    """The cells below HEAD."""
    effect = span = question = p = inside = ""
    if each.interval is not None:
        low, high = 100 * each.interval.low, 100 * each.interval.high
        effect, question = f"{100 * each.interval.estimate:+.1f}", each.interval.question
        span = f"{low:+.1f} to {high:+.1f}"
        p = f"{each.p:.4f}" if each.p >= 0.0001 else "< 0.0001"
        if each.paper is not None and question == "methods":  # as the paper's effect is
            inside = "yes" if low <= 100 * each.paper <= high else "no"
    told = "" if each.paper is None else f"{100 * each.paper:+.1f}"
    return [each.claim.text, each.said, effect, span, question, p, told, inside, str(each.runs or "")]
