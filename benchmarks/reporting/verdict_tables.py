"""The tables of `bench verdict`: one for each family of claims on each data set."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from benchmarks.runs.record import Record
from benchmarks.suites.claims import (
    EXPLORATORY,
    FAMILIES,
    HYPOTHESIS,
    MIN_RUNS,
    PAPER,
    PLUG_IN,
    UNCORRECTED,
    all_claims,
    points,
)

from .grid import Grid, signed, span
from .noise_floor import noise_floor
from .pairing import NOT_RUN
from .provenance import pair_title
from .verdict import JudgedClaim, margin

HEAD = (
    "claim",
    "verdict",
    "effect",
    "95% interval",
    "p",
    "other people too",
    "paper",
    "inside",
    "runs",
    "seeds needed",
)
TITLES = {
    PAPER: "what the paper claims",
    HYPOTHESIS: "coherence against motion",
    EXPLORATORY: "exploratory",
    PLUG_IN: "claims of a plug-in, exploratory",
}


def grids(judged: Sequence[JudgedClaim], records: Sequence[Record] = ()) -> Iterator[Grid]:
    """A table for each family on each pair of data sets, without the families of which nothing has run.

    Args:
        records: all runs, to tell how far apart chance alone sets two methods that are one.
    """
    pairs = dict.fromkeys(each.datasets for each in judged)
    crossed_from = {pair.trained_on for pair in pairs if pair.trained_on != pair.tested_on}
    for pair, family in product(pairs, FAMILIES):
        here = [each for each in judged if each.datasets == pair and each.claim.family == family]
        shown = [each for each in here if not each.missing.startswith(NOT_RUN)]
        if not shown:
            continue
        not_run = [each.claim for each in here if each not in shown]
        if (
            pair.trained_on == pair.tested_on and pair.trained_on not in crossed_from
        ):  # else they have a table of their own
            not_run += [claim for claim in all_claims() if claim.transfer and claim.family == family]
        notes = [
            *_explanations(here),
            *dict.fromkeys(note for each in here for note in each.notes),
            *filter(None, [noise_floor([each for each in records if each.experiment.datasets == pair])]),
            *(f"protocol {protocol}" for protocol in dict.fromkeys(each.protocol for each in here) if protocol),
            *_by_reason((reason, each.claim.text) for each in shown for reason in each.reasons),
            *_by_reason((f"{NOT_RUN}, {claim.made_by}", claim.text) for claim in not_run),
        ]
        yield Grid(f"{pair_title(pair, notes)}: {TITLES[family]}", HEAD, [cells(each) for each in shown], notes)


def _explanations(judged: Sequence[JudgedClaim]) -> list[str]:
    """What the columns of a family's table mean."""
    family = judged[0].claim.family
    splits = ", or over other splits where each ran with one seed" * any(each.repeated == "splits" for each in judged)
    notes = [
        f"effects in {points(each.claim for each in judged)}; the interval and p are over other seeds on these people{splits}, "
        f"and decide; other people too: the interval over other seeds and other people, with fewer than {MIN_RUNS} seeds or "
        "splits over other people alone",
        f"negligible: shown to be nearer to 0 than {100 * margin():.1f}, the smallest effect that the paper prints",
    ]
    if family in UNCORRECTED:
        notes.append("exploratory: not corrected for their number; they suggest what to test, and confirm nothing")
    else:
        count = f"the {len(judged)} claims" if len(judged) > 1 else "the only claim"
        notes.append(f"verdicts after Holm's correction for {count} of this family, run or not; p before it")
    if family == PAPER and all(each.paper is None for each in judged):
        notes.append("paper: empty, because the paper prints no effect on these data")
    return notes


def _by_reason(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each reason, with all claims that it applies to."""
    claims: dict[str, list[str]] = {}
    for reason, claim in pairs:
        claims.setdefault(reason, []).append(claim)
    return [f"{reason}: {'; '.join(each)}" for reason, each in claims.items()]


def cells(judged: JudgedClaim) -> list[str]:
    """The cells of a row, in the order of HEAD."""
    effect = inner = p = people = inside = ""
    interval = judged.interval
    if interval is not None:
        effect = signed(100 * interval.estimate)
        others = judged.people or interval
        people = span(others.low, others.high)
    if interval is not None and interval.question == "training":
        inner, p = span(interval.low, interval.high), f"{judged.p:.4f}" if judged.p >= 0.0001 else "< 0.0001"
        if judged.paper is not None:
            inside = "yes" if interval.low <= judged.paper <= interval.high else "no"
    return [
        judged.claim.text,
        judged.verdict_text,
        *(effect, inner, p, people),
        "" if judged.paper is None else signed(100 * judged.paper),
        *(inside, str(judged.runs or ""), str(judged.needed or "")),
    ]
