"""Which versions of data, initial weights and attributes runs have read: runs that read two versions are no repetitions."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import baseline


class Versions(NamedTuple):
    """What a run has read; texts that are equal where the files are.

    Attributes:
        trained_on, tested_on: its data.
        weights: its initial weights. A record of a test on another data set does not tell which they were.
        attributes, flow_weights: files that only some baselines read.
    """

    trained_on: str
    tested_on: str
    weights: str
    attributes: str
    flow_weights: str


def data_versions(experiments: Iterable[Experiment]) -> Callable[[Experiment], Versions]:
    """A function that gives the versions that a run has read, among those that these runs have read.

    A setting names a file of weights by the last part of its path; two files may have one name.

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
        if experiment.external:  # made from files of its own, of the tracklets of the data set or of others
            ours = digests.get((experiment.test, experiment.test_split), set())
            same = {experiment.test_data} == ours and experiment.test not in several
            shown = "" if same else experiment.test_data
            return Versions(shown, shown, "", experiment.attributes, experiment.flow_weights)
        return Versions(*(digest if name in several else "" for name, _, digest in _read(experiment)))

    return versions


def _read(experiment: Experiment) -> list[tuple[str, int, str]]:
    """The name, the split and the digest of each."""
    name, settings = baseline(experiment.method), experiment.settings
    initial = f"weights {settings.get('weights')} of {settings.get('backbone')}"
    transfer = experiment.dataset != experiment.test  # `weights` are then those of the trained model
    return [
        *experiment.data_read,
        (initial, 0, "" if transfer else experiment.weights),
        (f"{name}'s attributes of {experiment.dataset}", experiment.split, experiment.attributes),
        (f"{name}'s flow weights {settings.get('flow_weights')}", 0, experiment.flow_weights),
    ]
