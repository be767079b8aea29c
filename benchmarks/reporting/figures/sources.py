"""Where accuracy comes from: one frame, more frames, or their order (sources); what a shuffled order costs at test (order)."""

from collections.abc import Callable, Collection, Sequence

from benchmarks.reporting.statistics import Interval
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites.claims import METRIC, MOTION
from benchmarks.suites.hypothesis import Order, Sources, order_of
from benchmarks.wording import number_of

from .figure import LEVEL, Figure, Line, Panel, in_words, line
from .series import (
    Series,
    choose,
    counted,
    difference,
    doubts,
    in_common,
    left_out,
    negligible,
    notes_on_data,
    of_tested,
    result,
    row_of,
    varied_by,
)

FRAME, FRAMES = "one frame", "mean"  # the labels of the suite's rows


def sources(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """A panel for each motion baseline: steps from one frame to more frames, to the baseline on shuffled and on ordered ones."""
    series, others = _by_rows(Sources, runs, dataset, _steps_covered)
    panels: list[Panel] = []
    orders: dict[str, Interval] = {}
    first: list[Interval] = []
    shown: list[list[FinishedRun]] = []
    unused: dict[str, int] = {}
    doubtful: list[str] = []
    for name in [name for name in MOTION if set(_labels(name)) <= series.keys()] or [FRAMES]:
        labels = _labels(name)
        several = [series[label] for label in labels if label in series]
        common = in_common(several)
        if len(several) == len(labels) and (steps := _steps(common, protocol)):
            if left := sum(map(len, several)) - sum(map(len, common)):
                unused[name] = left
            shown += common
            doubtful += doubts(runs, name, common[-1]) if name in MOTION else []
            words = ["one\nframe", "more\nframes", f"{name},\nshuffled", f"{name},\nin order"][: len(labels)]
            panels.append(_waterfall(name, words, steps))
            first = first or steps
            orders |= {name: steps[3]} if len(steps) > 3 else {}
    if not first:
        return Figure("sources", "Where accuracy comes from", [_missing("sources")], left_out(others))
    where = shown[0][0].experiment.test
    notes = [
        sentence(first[0], first[1], orders),
        f"In % of {METRIC}; steps are differences on the same seeds and queries. One frame is the first of a tracklet, seen by "
        f"the model of mean. Bars: {LEVEL}; {counted(shown, protocol)}.",
        *(
            f"{name}: only the seeds and splits that all its steps have; {number_of(left, 'further run')} left out, so these "
            "steps can differ from the verdict's effects."
            for name, left in unused.items()
        ),
        *doubtful,
        *notes_on_data(shown),
    ]
    return Figure("sources", f"Where accuracy comes from, on {where}", panels, [*notes, *left_out(others)])


def _labels(name: str) -> list[str]:
    """The rows of a panel: of a motion baseline, or of `mean` alone."""
    return [FRAME, FRAMES] if name == FRAMES else [FRAME, FRAMES, *(row.label for row in reversed(order_of(name)))]


def _steps_covered(labels: Collection[str]) -> int:
    """How many panels these rows fill; the one of `mean` is part of the others."""
    return sum(set(_labels(name)) <= set(labels) for name in (FRAMES, *MOTION))


def sentence(frame: Interval, more: Interval, orders: dict[str, Interval]) -> str:
    """`From one frame 31.0 (...), from more of them +12.0 (...), from their order +0.4 (...; cnn3d).`"""
    parts = [f"From one frame {in_words(frame, '{:.1f}'.format)}", f"from more of them {in_words(more)}"]
    if orders:
        parts.append("from their order " + ", ".join(f"{in_words(order)} by {name}" for name, order in orders.items()))
    return f"{', '.join(parts)}."


def _steps(common: Sequence[list[FinishedRun]], protocol: str | None) -> list[Interval]:
    """The first result, and each further one less the one before it, of runs of the same seeds; empty if there are none."""
    if not common[0]:
        return []
    pairs = zip(common[1:], common, strict=False)
    made = [result(common[0], METRIC, protocol), *(difference(one, before, METRIC, protocol) for one, before in pairs)]
    known = [each for each in made if each is not None]
    return known if len(known) == len(made) else []


def _waterfall(title: str, words: Sequence[str], steps: Sequence[Interval]) -> Panel:
    height, y, low, high = 0.0, [], [], []
    for step in steps:
        low.append(100 * (height + step.low))
        high.append(100 * (height + step.high))
        height += step.estimate
        y.append(100 * height)
    places = [float(number) for number in range(len(steps))]
    steps_line = Line("each bar: what the step adds", places, y, low, high)
    return Panel(title, "step", f"{METRIC}, %", [steps_line], list(zip(places, words, strict=True)), form="steps")


def order(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """What each motion baseline loses when the frames of test tracklets are shuffled: a line for each data set."""
    tested = of_tested(runs, dataset)
    lines: list[Line] = []
    notes: list[str] = []
    shown: list[list[FinishedRun]] = []
    doubtful: list[str] = []
    others = 0
    for name in sorted({run.experiment.test for run in tested}):
        series, more = _by_rows(Order, tested, name, _losses_covered)
        losses: dict[str, Interval] = {}
        for baseline in MOTION:
            ordered, shuffled = _pair(baseline)
            if {ordered, shuffled} <= series.keys():
                loss = difference(series[ordered], series[shuffled], METRIC, protocol)
                losses |= {baseline: loss} if loss else {}
                doubtful += doubts(runs, baseline, series[ordered]) if loss else []
        if losses:
            places = [float(MOTION.index(baseline)) for baseline in losses]
            lines.append(line(name, places, list(losses.values())))
            said = ", ".join(f"{baseline} {in_words(loss)}" for baseline, loss in losses.items())
            notes.append(f"{name}: {said}.")
            compared = [in_common([series[label] for label in _pair(baseline)]) for baseline in losses]
            others, shown = others + more, [*shown, *(runs for pair in compared for runs in pair)]
    title = "What shuffled test frames cost"
    if not lines:
        return Figure("order", title, [_missing("order")], [])
    ticks = [(float(number), baseline) for number, baseline in enumerate(MOTION)]
    panel = Panel("", "baseline", f"{METRIC} lost, points", lines, ticks, form="rows", margin=negligible())
    notes.append(
        f"Ordered less shuffled frames, on the same seeds and queries. Bars: {LEVEL}; {counted(shown, protocol)}."
    )
    notes += [*doubtful, *notes_on_data(shown)]
    return Figure("order", title, [panel], [*notes, *left_out(others)])


def _pair(baseline: str) -> list[str]:
    """The labels of a motion baseline on frames in order and on shuffled test frames."""
    return [row.label for row in order_of(baseline, "test")]


def _losses_covered(labels: Collection[str]) -> int:
    """For how many baselines these rows have both sides."""
    return sum(set(_pair(baseline)) <= set(labels) for baseline in MOTION)


def _by_rows(
    suite: type[Sources | Order],
    runs: Sequence[FinishedRun],
    dataset: str | None,
    covered: Callable[[Collection[str]], int],
) -> tuple[Series[str], int]:
    rows = suite().rows(dataset or suite.datasets[0])
    return choose(of_tested(runs, dataset), row_of(rows), varied_by(rows), covered=covered)


def _missing(suite: str) -> Panel:
    return Panel("", "", f"{METRIC}, %", empty=f"no finished runs of all that it compares: `bench suite run {suite}`")
