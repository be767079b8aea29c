"""Which versions of a data set and of its people's attributes runs have read: runs on two versions are no repetitions."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import baseline


class Versions(NamedTuple):
    """What a run was trained on, tested on, and knew of the training people; texts that are equal where the data are."""

    trained_on: str
    tested_on: str
    attributes: str


def data_versions(experiments: Iterable[Experiment]) -> Callable[[Experiment], Versions]:
    """A function that gives the versions that a run has read, among those that these runs have read.

    Each split of a real data set has a digest of its own. So the digests count only where runs of one split have read several;
    which digests of two splits belong together is then not known, and the splits are kept apart.
    """
    digests: dict[tuple[str, int], set[str]] = {}
    for experiment in experiments:
        if experiment.external:
            continue
        for name, split, digest in _read(experiment):
            digests.setdefault((name, split), set()).add(digest)
    several = {name for (name, _), found in digests.items() if len(found) > 1}

    def versions(experiment: Experiment) -> Versions:
        if experiment.external:  # each was made from files of its own
            return Versions(experiment.data, experiment.test_data, experiment.attributes)
        return Versions(*(digest if name in several else "" for name, _, digest in _read(experiment)))

    return versions


def _read(experiment: Experiment) -> list[tuple[str, int, str]]:
    """The name, the split and the digest of each."""
    people = f"{baseline(experiment.method)}'s attributes of {experiment.dataset}"
    return [*experiment.data_read, (people, experiment.split, experiment.attributes)]
