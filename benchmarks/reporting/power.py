"""Before a suite runs: the smallest difference that its data and its seeds can detect."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from benchmarks.data.loading import find_dataset
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.paths import results_dir
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.folder import RunFolder
from benchmarks.scheduling.states import DONE, State
from benchmarks.suites.claims import MIN_RUNS
from benchmarks.suites.suite import Choice, Planned, Suite, dataset_pairs, experiments_of_row, rows_for

from .query_results import TEST_TO_TRAIN, fraction_matrix, split_means
from .statistics import fewest_units, smallest_difference, smallest_difference_over_splits

Pilot = list[tuple[FinishedRun, FinishedRun]]  # two rows' runs of the same seeds and splits


def detectable(suite: Suite, choice: Choice, states: Sequence[State], planned: Sequence[Planned]) -> Iterator[str]:
    """Lines of text: the smallest detectable difference of two checkpoints, and of two methods, on each pair of data sets."""
    done = {
        each.experiment.request_hash: FinishedRun(state.record, RunFolder(results_dir() / state.record.name))
        for each, state in zip(planned, states, strict=True)
        if state.name == DONE and state.record is not None
    }
    for pair in dataset_pairs(suite, choice):
        test = pair[1]
        protocol = find_dataset(test).protocols[0]
        queries = _count_queries(test, protocol, list(done.values()))
        if queries:
            needed = fewest_units()
            yield (
                f"{test}: {queries:,} queries; two checkpoints differ in R1 (p < 0.05) when one wins at least {needed} "
                f"queries of {needed} people and loses none: {100 * needed / queries:.2f} points of R1"
            )
        splits = find_dataset(pair[0]).splits
        word, count = ("split", splits) if splits > 1 else ("seed", choice.seeds)
        if count < MIN_RUNS:
            yield f"{test}: fewer than {MIN_RUNS} {word}s cannot show how much methods differ"
            continue
        pilot = _pilot(suite, choice, pair, done, word)
        if pilot is None:
            yield f"{test}: the smallest detectable difference is known once two rows have two {word}s in common"
            continue
        for metric in ("mAP", "R1"):
            least, people = _least_difference(pilot, metric, protocol, word, count)
            if least * people < 1:  # two rows that do not differ do not show how much others vary
                yield f"{test}: these runs do not tell which difference in {metric} {count} {word}s could detect"
                continue
            yield (
                f"{test}: with {count} {word}s a true difference of {100 * least:.1f} points of {metric} shows "
                "in 4 of 5 repetitions"
            )


def _pilot(suite: Suite, choice: Choice, pair: DatasetPair, done: dict[str, FinishedRun], word: str) -> Pilot | None:
    """The first two rows with several seeds (or splits) in common; None if there are none."""
    rows = [
        [done.get(each.experiment.request_hash) for each in experiments_of_row(row, pair, choice)]
        for row in rows_for(suite, pair, choice)
    ]
    for first, second in combinations(rows, 2):
        common = [(one, other) for one, other in zip(first, second, strict=True) if one and other]
        if first != second and len({getattr(one.experiment, word) for one, _ in common}) > 1:
            return common
    return None


def _least_difference(pilot: Pilot, metric: str, protocol: str, word: str, count: int) -> tuple[float, int]:
    """The smallest detectable difference, a fraction, and the number of queries."""
    (ours, pids), (others, _) = (fraction_matrix(runs, metric, protocol) for runs in zip(*pilot, strict=True))
    if word == "split":
        differences = split_means(np.nanmean(ours - others, axis=1), [run for run, _ in pilot])
        return smallest_difference_over_splits(differences, count, TEST_TO_TRAIN), len(pids)
    return smallest_difference(ours, others, pids, "methods", count), len(pids)


def _count_queries(dataset: str, protocol: str, runs: Sequence[FinishedRun]) -> int:
    """The number of queries, from a finished run or the published numbers; 0 if neither is known."""
    for run in runs:
        metrics = run.record.find_metrics(protocol, "before")
        if run.experiment.test == dataset and metrics:
            return metrics.queries
    return find_dataset(dataset).published.get("query", {}).get("tracklets", 0)
