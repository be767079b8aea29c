"""Experiments that the paper lacks and that a reader would ask for."""

from collections.abc import Sequence
from itertools import product

from baselines import BASELINES
from baselines.interface.registry import register
from benchmarks.data import registered_name
from benchmarks.experiments.methods import ATTACHMENTS

from .controls import APPEARANCE, DATASET
from .hypothesis import Cues
from .suite import Row, Suite


@register("matrix")
class Matrix(Suite):
    """Every baseline: plain, with AFA, and with AFA that distils the motion."""

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        methods = [f"{name}+{part}" if part else name for name, part in product(BASELINES.names(), ATTACHMENTS)]
        return [Row(method, method) for method in methods]


@register("factors")
class Factors(Suite):
    """Which part of "+AFA" helps: classification, noise (the paper's claim) or constraint; all combinations."""

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return [
            Row(
                f"{classification}, sigma {sigma:g}, lambda {weight:g}",
                "mean+afa",
                (f"classification={classification}", f"sigma={sigma}", f"lambda={weight}"),
            )
            if (classification, sigma, weight) != ("pooled", 0.0, 0.0)
            else Row("pooled, sigma 0, lambda 0", "mean")  # "+AFA" without its parts gives the same bits
            for classification, sigma, weight in product(("pooled", "consensus"), (0.0, 0.025), (0.0, 0.1))
        ]


@register("controls")
class Controls(Suite):
    """Every baseline, with any recipe, on data with a known answer: walkers-gait, also shuffled, and walkers-appearance."""

    datasets = (DATASET, APPEARANCE)

    def rows(self, dataset: str) -> Sequence[Row]:
        names = BASELINES.names()
        rows = [Row(name, name) for name in names]
        if registered_name(dataset) == DATASET:
            rows += [Row(f"{name}, frames shuffled", name, ("shuffle=both",)) for name in names]
        return rows


@register("repeats")
class Repeats(Suite):
    """Short runs on small worlds, with many seeds: what the verdict decides where nothing differs.

    Every baseline; in the worlds of `cues`, what that suite runs.
    """

    datasets = ("walkers:tiny", f"{DATASET}:tiny", f"{APPEARANCE}:tiny", *(f"{world}-tiny" for world in Cues.datasets))

    def rows(self, dataset: str) -> Sequence[Row]:
        in_cues = registered_name(dataset) == "cues"
        methods = [row.method for row in Cues().rows(dataset)] if in_cues else BASELINES.names()
        return [Row(method, method, ("epochs=6", "threads=1")) for method in methods]


# Each is another reading of the paper, or what related work does; docs/paper-notes.md explains them.
CHOICES = (
    ("granularity=clip",),
    ("granularity=frame",),
    ("sigma=0.158",),
    ("classification=pooled",),
    ("coherence_norm=mse", "lambda=120.0"),
    ("lambda=3.2",),
    ("margin=0.3",),
    ("label_smoothing=0.1",),
    ("last_stride=2",),
    ("neck=none",),
    ("classifier=default",),
    ("identities=16", "clips=2"),
    ("sampling=consecutive",),
    ("sampling=consecutive", "spacing=4"),
    ("sampling=even",),
    ("flip=0.0",),
    ("erase=0.0",),
    ("weight_decay=0.0",),
    ("test_chunk=7",),
    ("test_frames=8",),
    ("metric=cosine",),
)
# The backbones that have a setting, if not all do.
BACKBONES_WITH: dict[tuple[str, ...], tuple[str, ...]] = {
    ("last_stride=2",): ("resnet50", "resnet18", "resnet50-ibn-a", "resnet50-linear-stem")
}


@register("choices")
class Choices(Suite):
    """The choices that the paper leaves open: mean+afa as chosen here, and with each alternative that the backbone supports."""

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        alternatives = [
            Row(", ".join(changes), "mean+afa", changes, backbones=BACKBONES_WITH.get(changes, ()))
            for changes in CHOICES
        ]
        return [Row("as chosen", "mean+afa"), *alternatives]
