"""What a suite could show at all: the smallest difference that its data and its seeds tell from none."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from benchmarks.data.loading import find_dataset
from benchmarks.paths import results_dir
from benchmarks.runs import records
from benchmarks.runs.finished import TEST_TO_TRAIN, Found, by_split, fractions
from benchmarks.scheduling.states import DONE, State
from benchmarks.suites.claims import MIN_RUNS
from benchmarks.suites.suite import Choice, Planned, Suite, dataset_pairs, experiments_of_row, rows_for

from .statistics import fewest_units, smallest_difference, smallest_difference_over_splits


def detectable(suite: Suite, choice: Choice, states: Sequence[State], planned: Sequence[Planned]) -> Iterator[str]:
    """Lines of text, one a place and metric."""
    done = {
        each.experiment.request_hash: Found(state.record, records.RunFolder(results_dir() / state.record["name"]))
        for each, state in zip(planned, states, strict=True)
        if state.name == DONE and state.record is not None
    }
    for place in dataset_pairs(suite, choice):
        found = find_dataset(place[1])
        protocol = found.protocols[0]
        queries = _queries(place[1], protocol, [run.record for run in done.values()])
        if queries:
            needed = fewest_units()
            yield (
                f"{place[1]}: {queries:,} queries; two checkpoints differ in R1 (p < 0.05) when one wins at least {needed} "
                f"queries of {needed} people and loses none: {100 * needed / queries:.2f} points of R1"
            )
        splits = find_dataset(place[0]).splits
        word, count = ("split", splits) if splits > 1 else ("seed", choice.seeds)
        if count < MIN_RUNS:
            yield f"{place[1]}: fewer than {MIN_RUNS} {word}s do not decide what methods differ by"
            continue
        rows = [
            [done.get(each.experiment.request_hash) for each in experiments_of_row(row, place, choice)]
            for row in rows_for(suite, place, choice)
        ]
        # Two rows by the runs that both have.
        pairs = ([(x, y) for x, y in zip(a, b, strict=True) if x and y] for a, b in combinations(rows, 2) if a != b)
        pair = next((each for each in pairs if len({getattr(x.experiment, word) for x, _ in each}) > 1), None)
        if pair is None:
            yield f"{place[1]}: what more {word}s could show is known once two rows have two {word}s in common"
            continue
        for metric in ("mAP", "R1"):
            (ours, pids), (others, _) = (fractions(runs, metric, protocol) for runs in zip(*pair, strict=True))
            if splits > 1:
                differences = by_split(np.nanmean(ours - others, axis=1), [run for run, _ in pair])
                least = smallest_difference_over_splits(differences, splits, TEST_TO_TRAIN)
            else:
                least = smallest_difference(ours, others, pids, "methods", choice.seeds)
            if least * len(pids) < 1:  # two rows that do not differ tell nothing of how much others vary
                yield f"{place[1]}: what {count} {word}s could show of {metric} cannot be said from these runs"
                continue
            yield (
                f"{place[1]}: with {count} {word}s a true difference of {100 * least:.1f} points of {metric} shows "
                "in 4 of 5 repetitions"
            )


def _queries(dataset: str, protocol: str, found: Sequence[records.Record]) -> int:
    for record in found:
        if record["experiment"]["test"] == dataset:
            return int(next(row["queries"] for row in record["metrics"] if row["protocol"] == protocol))
    return find_dataset(dataset).published.get("query", {}).get("tracklets", 0)
