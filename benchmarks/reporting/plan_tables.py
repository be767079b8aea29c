"""What `bench plan` prints: the experiments of a suite, and how many seeds each of its claims needs."""

from collections.abc import Sequence

from tabulate import tabulate

from benchmarks.scheduling.estimate import gpu_name
from benchmarks.scheduling.selection import title
from benchmarks.scheduling.suite_plan import SuitePlan
from benchmarks.wording import format_duration

from .grid import signed
from .power import ASSUMED, PlannedClaim
from .sample_size import MOST_SEEDS

WIDE = 60  # characters: a longer state is printed below the table, once for all experiments that have it


def experiments_table(plan: SuitePlan, memory: Sequence[str] = ()) -> str:
    """A row for each experiment: its state, and about how long it will take. Below it, a summary and notes.

    Args:
        memory: the GPU memory of a training step of each experiment, in words; empty: not shown.
    """
    texts = [str(state) for state in plan.states]
    times = [
        f"({elsewhere / 3600:.1f} h)" if elsewhere else "" if seconds is None else format_duration(seconds)
        for seconds, elsewhere in zip(plan.seconds, plan.measured, strict=True)
    ]
    rows = [
        [title(each), text if len(text) < WIDE else state.name, time]
        for each, state, text, time in zip(plan.planned, plan.states, texts, times, strict=True)
    ]
    head = ["experiment", "state", "time"]
    if memory:
        head.append("GPU memory")
        rows = [[*row, text] for row, text in zip(rows, memory, strict=True)]
    parts = [tabulate(rows, head, tablefmt="simple", disable_numparse=True)]
    if any(plan.measured):
        parts.append(
            f"in brackets: hours on one {gpu_name()}, from results/measured/gpu.json; no similar run has finished here"
        )
    long = dict.fromkeys(text for text in texts if len(text) >= WIDE)
    parts += [f"{texts.count(text)} of them: {text}" for text in long]
    return "\n\n".join([*parts, "\n".join([plan.summary, *plan.notes])])


def claims_table(claims: Sequence[PlannedClaim], effect: float) -> str:
    """A row for each claim: the seeds, runs and time that it takes to find a true effect, in points."""
    points = f"{effect:g} point{'' if effect == 1 else 's'} of mAP"
    head = ["data set", "claim", "paper", "seeds", "runs", "time", "deviation", "known from"]
    rows = [
        [
            each.datasets.title,
            each.claim.text,
            "" if each.paper is None else signed(100 * each.paper),
            "" if each.seeds is None else str(each.seeds),
            str(each.runs or ""),
            "" if each.seconds is None else format_duration(each.seconds),
            "" if each.deviation != each.deviation else f"{100 * each.deviation:.2f}",
            each.source,
        ]
        for each in claims
    ]
    table = tabulate(rows, head, tablefmt="simple", disable_numparse=True)
    lines = [
        f"To find a true effect of {points} in 4 of 5 repetitions, after Holm's correction (paper: the printed effect; "
        "deviation: of the claim's difference from seed to seed, in points):",
        table,
    ]
    unknown: dict[tuple[int | None, ...], list[str]] = {}
    for each in claims:
        if each.seeds_if:
            unknown.setdefault(each.seeds_if, []).append(each.claim.text)
    for seeds, texts in unknown.items():
        said = ", ".join(
            f"{100 * deviation:g}: {f'more than {MOST_SEEDS:,}' if number is None else number}"
            for deviation, number in zip(ASSUMED, seeds, strict=True)
        )
        lines.append(
            f"where the deviation is unknown, the seeds by deviation would be {said} ({'; '.join(dict.fromkeys(texts))})"
        )
    return "\n".join(lines)
