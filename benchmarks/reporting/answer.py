"""The verdict in words and, for terminals, as a picture of letters. It says no more than the judged claims do."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from benchmarks.data.loading import is_drawn
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.suites.claims import METRIC

from .figures.figure import in_words
from .figures.forest import family, margin, measured, paper_effect
from .grid import Grid
from .statistics import Verdict
from .verdict import NOT_RUN, JudgedClaim

# What a decided claim is called, and whether its effect is named.
WORDS = {
    Verdict.SUPPORTED: "Holds",
    Verdict.CONTRADICTED: "Does not hold; the opposite does",
    Verdict.NEGLIGIBLE: "Makes no difference that matters",
}
PLOT = 41  # letters of a picture


def answer(judged: Sequence[JudgedClaim]) -> list[str]:
    """A sentence that counts, and for each family and pair of data sets those that say what was decided."""
    decided = [each for each in judged if each.verdict in WORDS]
    known = measured(judged)
    lines = [
        f"Of {len(judged)} claims, counted on each data set, {len(known)} {_were(known)} measured and {len(decided)} "
        f"{_are(decided)} decided."
    ]
    for (name, pair), group in groupby(known, lambda each: (family(each), each.datasets)):
        lines += [f"{name}, {_place(pair)}: {' '.join(_sentences(list(group)))}"]
    absent = [each for each in judged if each.interval is None]
    suites = dict.fromkeys(each.claim.suite for each in absent)
    if absent:
        lines.append(f"Not measured: {len(absent)} (suites {', '.join(suites)}).")
    return lines


def _were(claims: Sequence[JudgedClaim]) -> str:
    return "was" if len(claims) == 1 else "were"


def _are(claims: Sequence[JudgedClaim]) -> str:
    return "is" if len(claims) == 1 else "are"


def _place(pair: DatasetPair) -> str:
    drawn = ", where people are drawn" if is_drawn(pair.trained_on) else ""
    return f"on {pair.title}{drawn}"


def _sentences(group: Sequence[JudgedClaim]) -> list[str]:
    """What holds, what does not, what is negligible, with effects in points; and how many claims are undecided."""
    made = []
    for verdict, word in WORDS.items():
        found = [each for each in group if each.verdict == verdict]
        if found:
            said = "; ".join(f"{each.claim.text}, {in_words(each.interval)}" for each in found if each.interval)
            made.append(f"{word}: {said}.")
    undecided = [each.claim.text for each in group if each.verdict == Verdict.UNDECIDED]
    if undecided:
        made.append(
            f"Undecided: {'; '.join(undecided)}." if made else f"Nothing is decided, of {len(undecided)} measured."
        )
    return made


def picture(judged: Sequence[JudgedClaim]) -> str:
    """The forest plot in letters: `o` the effect, `-` its interval, `|` 0, `:` the margin, `x` the paper's on these data."""
    known = measured(judged)
    if not known:
        return ""
    widest = max(len(each.claim.text) for each in known)
    lines = []
    for (name, pair), group in groupby(known, lambda each: (family(each), each.datasets)):
        here = list(group)
        ends = [part for each in here if each.interval for part in (each.interval.low, each.interval.high)]
        reach = max(*map(abs, ends), max(map(margin, here)))
        lines += [f"{name}: {pair.title}; from {-100 * reach:+.1f} to {100 * reach:+.1f} points of {METRIC}"]
        lines += [f"  {each.claim.text:<{widest}}  {_bar(each, reach)}  {each.verdict_text}" for each in here]
    return "\n".join(lines)


def _bar(judged: JudgedClaim, reach: float) -> str:
    def place(value: float) -> int:
        return round((max(-1.0, min(value / reach, 1.0)) + 1) / 2 * (PLOT - 1))

    letters = [" "] * PLOT
    for value in (-margin(judged), margin(judged)):
        letters[place(value)] = ":"
    letters[place(0.0)] = "|"
    assert judged.interval is not None
    low, high = place(judged.interval.low), place(judged.interval.high)
    letters[low : high + 1] = "-" * (high - low + 1)
    paper = paper_effect(judged)
    if paper is not None:
        letters[place(paper)] = "x"
    letters[place(judged.interval.estimate)] = "o"
    return "".join(letters)


def brief(grids: Sequence[Grid]) -> list[Grid]:
    """The tables of a verdict that have rows, without notes on claims that were not run: a line of the answer counts those."""
    return [
        replace(grid, notes=[note for note in grid.notes if not note.startswith(f"{NOT_RUN}, suite ")])
        for grid in grids
        if grid.rows
    ]
