"""Where each experiment of a suite stands, from what lies on disk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.loading import known_digests, why_unavailable
from benchmarks.runs import records
from benchmarks.runs.records import Record, experiment_of
from benchmarks.runs.unfinished import Begun, unfinished
from benchmarks.suites.suite import Planned

from .estimate import like_the_last, seconds, spelled

DONE = "done"


@dataclass(frozen=True)
class State:
    """word: done, stale, running, failed, stopped, data set absent or not run; detail: how far it came, or why.

    record: of a run that is done or stale.
    """

    word: str
    detail: str = ""
    record: Record | None = None

    def __str__(self) -> str:
        return f"{self.word}: {self.detail}" if self.detail else self.word


Look = Callable[[Sequence[Planned]], list[State]]  # gives the states of planned experiments


def states(planned: Sequence[Planned], known: Mapping[str, State], absent: Mapping[str, str]) -> list[State]:
    """The state of each planned experiment, from the `known` ones; `absent`: why a data set cannot be read here, by its name."""
    return [known.get(each.experiment.request_hash) or _nothing(each, absent) for each in planned]


def known_states(found: Sequence[Record], begun: Sequence[Begun], digests: Mapping[str, set[str]]) -> dict[str, State]:
    """The state of each experiment of which something lies on disk, by its request hash.

    Args:
        found, begun: what `records.finished` and `unfinished` gave.
        digests: of the data at hand, as `records.stale` takes them.
    """
    known: dict[str, State] = {}
    alike, _ = like_the_last(found)
    for each in begun:
        known[each.experiment.request_hash] = State(each.state, each.detail + _time_left(each, alike))
    for record in sorted(found, key=lambda record: str(record["finished"])):
        reasons = records.stale(record, dict(digests))
        request = experiment_of(record).request_hash
        state = State("stale", "; ".join(reasons), record) if reasons else State(DONE, record=record)
        if state.word == DONE or request not in known or known[request].word == "stale":
            known[request] = state
    return known


def _time_left(begun: Begun, found: Sequence[Record]) -> str:
    if begun.state != "running":
        return ""
    span = seconds(begun.experiment, found)
    left = begun.left if span is None else span * (1 - begun.share)  # the first of its kind is judged by itself
    return "" if left is None else f", about {spelled(left)} left"


def by_request(place: Path) -> dict[str, State]:
    """The state of each experiment of which something lies below `place`, by its request hash, whatever data is at hand."""
    return known_states(records.finished(place), unfinished(place), {})


def _nothing(planned: Planned, absent: Mapping[str, str]) -> State:
    for name in (planned.experiment.dataset, planned.experiment.test):
        if name in absent:
            return State("data set absent", absent[name])
    return State("not run")


def from_records(found: Sequence[Record]) -> Look:
    """A function that gives the states of planned experiments by records alone, whatever code made them."""
    known = {experiment_of(record).request_hash: State(DONE, record=record) for record in found}
    return lambda planned: [known.get(each.experiment.request_hash, State("not run")) for each in planned]


def here(place: Path, root: Path | None = None) -> Look:
    """A function that gives the states of planned experiments in the results below `place`, which is read once."""
    found, begun = records.finished(place), unfinished(place)
    digests: dict[str, set[str]] = {}
    reasons: dict[str, str | None] = {}
    known: dict[str, State] = {}

    def look(planned: Sequence[Planned]) -> list[State]:
        nonlocal known
        asked_before = len(digests)
        for asked in (each.experiment for each in planned):
            for name, split in ((asked.dataset, asked.split), (asked.test, asked.test_split)):
                if f"{name}/{split}" not in digests:
                    digests[f"{name}/{split}"] = known_digests(name, split)
                    reasons[name] = why_unavailable(name, root)
        if len(digests) > asked_before:
            known = known_states(found, begun, {key: value for key, value in digests.items() if value})
        absent = {name: why for name, why in reasons.items() if why}
        return states(planned, known, absent)

    return look
