"""Tables 1 to 5 of the paper, row by row. docs/paper-notes.md, part 7, explains the rows' names."""

from collections.abc import Sequence

from baselines.interface.registry import register
from benchmarks.data.drawn import DrawnDataset
from benchmarks.data.find import find_dataset
from benchmarks.experiments.experiment import DatasetPair

from . import PLANNED_REPETITIONS, SYSTEMS_REPETITIONS, published_systems
from .published_systems import NOT_BUILT, SYSTEMS
from .suite import Row, Suite


@register("table1")
class Table1(Suite):
    """The data sets: as counted by the loader, in the paper, and in the published files."""

    datasets = ("ilidsvid", "mars", "dukev")
    paper = "table1"

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002 - counted, not trained
        return ()


@register("table2")
class Table2(Suite):
    """AFA and 19 published systems on iLIDS-VID and MARS."""

    datasets = ("ilidsvid", "mars")
    metrics = ("R1", "R5", "R20", "mAP")
    paper = "table2"
    not_built = NOT_BUILT
    groups, after = published_systems.GROUPS, published_systems.AFTER
    notes = (*published_systems.notes(SYSTEMS), *published_systems.NOTES_OF_NOT_BUILT)
    repetitions = SYSTEMS_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:
        # "We only use the optical flows for iLIDS-VID" (section 3.3).
        ours = Row("AFA", "flow+afa" if dataset == "ilidsvid" else "mean+afa")
        return (*published_systems.rows(SYSTEMS, own_trainers=dataset in self.datasets), ours)


@register("table3")
class Table3(Suite):
    """AFA and four published systems on DukeMTMC-VideoReID."""

    datasets = ("dukev",)
    metrics = ("R1", "R5", "R10", "R20", "mAP")
    paper = "table3"
    systems = tuple(system for system in SYSTEMS if system.label in ("STA", "COSAM", "GLTR"))
    not_built = NOT_BUILT
    groups, after = published_systems.GROUPS, published_systems.AFTER
    notes = published_systems.notes(systems)
    repetitions = SYSTEMS_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:
        own = dataset in self.datasets
        return (*published_systems.rows(self.systems, own_trainers=own), Row("AFA", "mean+afa"))


@register("table4")
class Table4(Suite):
    """Two baselines with and without AFA, and the terms of the loss one by one."""

    datasets = ("mars", "dukev")
    paper = "table4"
    repetitions = PLANNED_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return (
            Row("ResNet-50", "mean"),
            Row("QAN*", "qan"),
            Row("ResNet-50 + AFA", "mean+afa"),
            Row("QAN* + AFA", "qan+afa"),
            Row("L_tri only", "mean", ("classification=none",)),
            Row("L_tri + L_cls", "mean+afa", ("lambda=0.0",)),
            Row("L_tri + L_cls + L_coh", "mean+afa"),
        )


@register("table5")
class Table5(Suite):
    """Trained on one data set, tested on the other, in both directions. For drawn data, the other is another world: walkers@2."""

    datasets = ("mars", "dukev")
    paper = "table5"
    repetitions = PLANNED_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return (Row("Baseline", "mean"), Row("QAN*", "qan"), Row("AFA", "mean+afa"))

    def pairs(self, datasets: Sequence[str]) -> list[DatasetPair]:
        dataset = find_dataset(datasets[0])
        if len(datasets) == 1 and isinstance(dataset, DrawnDataset):
            datasets = (dataset.name, dataset.another_world().name)
        return [DatasetPair(train, test) for train in datasets for test in datasets if train != test]
