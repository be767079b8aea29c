"""The verdict in words and, for terminals, as a picture made of characters. It says no more than the judged claims do."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from benchmarks.data.find import is_drawn
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.suites.claims import EXPLORATORY, UNCORRECTED, points
from benchmarks.wording import number_of

from .figures.figure import in_words
from .figures.forest import measured
from .grid import Grid
from .pairing import NOT_RUN
from .provenance import pair_title
from .sample_size import MOST_SEEDS
from .statistics import Verdict
from .verdict import CONTROLS, TUNING, JudgedClaim

PLOT = 41  # characters across the picture


# How a decided claim came out; and why a measured one is undecided, by what its reasons contain: the first that fits.
CAME_OUT = {Verdict.SUPPORTED: "hold", Verdict.CONTRADICTED: "do not hold", Verdict.NEGLIGIBLE: "negligible"}
TOO_FEW = "because too few seeds or splits ran"
WHY = {
    CONTROLS: "because a control fails or was not run",
    TUNING: "because the methods were not tuned alike",
    "would not tell": f"because {MOST_SEEDS} seeds would not decide",
    "vary": TOO_FEW,
    "more seed": TOO_FEW,
    "": "for another reason",
}


def headline(judged: Sequence[JudgedClaim]) -> list[str]:
    """How many claims of the two families are decided, how they came out, and why the others are not decided."""
    fixed = [each for each in judged if each.claim.family not in UNCORRECTED]
    known = [each for each in fixed if each.interval is not None]
    verdicts = Counter(each.verdict for each in known)
    came_out = "; ".join(f"{said}: {verdicts[word]}" for word, said in CAME_OUT.items() if verdicts[word])
    decided = len(known) - verdicts[Verdict.UNDECIDED]
    lines = [
        f"Claims of the two families, counted on each data set: {len(fixed)}; measured: {len(known)}; decided: {decided}"
        f"{f' ({came_out})' if came_out else ''}."
    ]
    undecided = [each for each in known if each.verdict == Verdict.UNDECIDED]
    why = Counter(next(WHY[key] for key in WHY if key in each.missing) for each in undecided)
    if undecided:
        said = ", ".join(f"{why[reason]} {reason}" for reason in dict.fromkeys(WHY.values()) if why[reason])
        lines.append(f"Undecided: {said}. The notes below the tables say what each takes.")
    return lines


def answer(judged: Sequence[JudgedClaim]) -> list[str]:
    """What was found, for each family on each pair of data sets, and what was not run."""
    lines = []
    for (name, pair), group in groupby(measured(judged), lambda each: (each.claim.family, each.datasets)):
        drawn = ", where people are drawn" if is_drawn(pair.trained_on) else ""
        here = list(group)
        lines.append(f"On {_title(pair, here)}{drawn} ({name}): {' '.join(_found(here))}")
    fixed = [each for each in judged if each.claim.family not in UNCORRECTED]
    return [*lines, *_not_measured(fixed)]


def _not_measured(fixed: Sequence[JudgedClaim]) -> list[str]:
    """How many claims of the two families have no runs, by suite, and the command that says what they cost."""
    suites = Counter(each.claim.suite for each in fixed if each.interval is None)
    counts = ", ".join(f"{number_of(count, 'claim')} of suite {name}" for name, count in suites.items())
    plan = "bench plan SUITE --dataset NAME --effect 1"
    return [f"Not run: {counts}. `{plan}` says how many seeds and hours a claim takes."] if suites else []


def _title(pair: DatasetPair, group: Sequence[JudgedClaim]) -> str:
    return pair_title(pair, (note for each in group for note in each.notes))


def _found(group: Sequence[JudgedClaim]) -> list[str]:
    """A sentence for each verdict: the claims and, where they are decided, their effects in points. Open exploratory claims are
    only counted.
    """
    made: list[str] = []
    for verdict in Verdict:
        found = [each for each in group if each.verdict == verdict]
        word = found[0].verdict_text.removeprefix(f"{EXPLORATORY}: ") if found else ""  # the line names the family
        word = word[:1].upper() + word[1:] if made else word  # it begins a sentence
        if found and verdict == Verdict.UNDECIDED and len(found) == len(group):
            return [f"none is decided (measured: {len(group)})."]
        if found and verdict == Verdict.UNDECIDED and found[0].claim.family in UNCORRECTED:
            made.append(f"{word}: {number_of(len(found), 'claim')}.")
        elif found:
            said = (
                each.claim.text if verdict == Verdict.UNDECIDED else f"{each.claim.text}, {in_words(each.interval)}"
                for each in found
                if each.interval is not None
            )
            made.append(f"{word}: {'; '.join(said)}.")
    return made


def picture(judged: Sequence[JudgedClaim]) -> str:
    """The forest plot in characters: `o` the effect, `-` its interval, `|` 0, `:` the margin, `x` the paper's on these data."""
    known = measured(judged)
    if not known:
        return ""
    widest = max(len(each.claim.text) for each in known)
    lines = []
    for (name, pair), group in groupby(known, lambda each: (each.claim.family, each.datasets)):
        here = list(group)
        ends = [part for each in here if each.interval for part in (each.interval.low, each.interval.high)]
        reach = max(*map(abs, ends), *(each.margin for each in here))
        lines += [
            f"{_title(pair, here)}: {name}; from {-100 * reach:+.1f} to {100 * reach:+.1f} {points(each.claim for each in here)}"
        ]
        lines += [f"  {each.claim.text:<{widest}}  {_bar(each, reach)}  {each.verdict_text}" for each in here]
    return "\n".join(lines)


def _bar(judged: JudgedClaim, reach: float) -> str:
    def place(value: float) -> int:
        return round((max(-1.0, min(value / reach, 1.0)) + 1) / 2 * (PLOT - 1))

    letters = [" "] * PLOT
    for value in (-judged.margin, judged.margin):
        letters[place(value)] = ":"
    letters[place(0.0)] = "|"
    assert judged.interval is not None
    low, high = place(judged.interval.low), place(judged.interval.high)
    letters[low : high + 1] = "-" * (high - low + 1)
    if judged.paper is not None:
        letters[place(judged.paper)] = "x"
    letters[place(judged.interval.estimate)] = "o"
    return "".join(letters)


def brief(grids: Sequence[Grid]) -> list[Grid]:
    """The tables of a verdict that have rows, without notes on claims that were not run: a line of the answer counts those."""
    return [
        replace(grid, notes=[note for note in grid.notes if not note.startswith(f"{NOT_RUN}, ")])
        for grid in grids
        if grid.rows
    ]
