"""The question of the paper's title, asked in several suites, each with a figure."""

from collections.abc import Sequence

from baselines.interface.registry import register
from benchmarks.data.datasets.cues import SHARES

from . import PLANNED_REPETITIONS
from .claims import COHERENCE, MOTION, ON_THE_DIAL, SIGMAS
from .suite import Row, Suite

DISTILLED = {"coherence": "mean+afa", "motion": "mean+afa-motion"}


def order_of(baseline: str, where: str = "both") -> tuple[Row, Row]:
    """Two rows: a baseline on frames in order, and on shuffled frames.

    where: "both": frames are shuffled in training and at test; "test": only at test.
    """
    return Row(baseline, baseline), Row(f"{baseline}, frames shuffled", baseline, (f"shuffle={where}",))


@register("sources")
class Sources(Suite):
    """Where accuracy comes from: one frame, more frames in any order, or their order. "One frame" tests the same model."""

    datasets = ("walkers",)
    repetitions = PLANNED_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        ordered = (row for name in MOTION for row in order_of(name))
        return [Row("one frame", "mean", ("test_frames=1",)), Row("mean", "mean"), *ordered]


@register("order")
class Order(Suite):
    """What a motion baseline loses when only the frames of test tracklets are shuffled."""

    datasets = ("walkers",)

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return [row for name in MOTION for row in order_of(name, "test")]


@register("distill")
class Distill(Suite):
    """Coherence or motion as the distilled part, with noise per clip or frame; with noise per batch both are one method."""

    datasets = ("walkers",)
    repetitions = PLANNED_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        noisy = [
            Row(f"{part}, a {granularity}, sigma {sigma:g}", method, (f"sigma={sigma}", f"granularity={granularity}"))
            for granularity in ("clip", "frame", "batch")
            for sigma in SIGMAS
            for part, method in DISTILLED.items()
        ]
        return [Row("no noise", "mean+afa", ("sigma=0.0",)), *noisy]  # without noise both are one method


@register("families")
class Families(Suite):
    """Coherence baselines against motion baselines; to be fair, tune each with `bench tune` first (--recipe FOLDER)."""

    datasets = ("walkers",)
    repetitions = PLANNED_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return [Row(name, name) for name in (*COHERENCE, *MOTION)]


@register("cues")
class Cues(Suite):
    """When motion wins: worlds in which a share of the people, from none to all, differ only in gait; clean and hard."""

    datasets = tuple(f"cues:{share}{world}" for world in ("", "-hard") for share in SHARES)
    repetitions = PLANNED_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return [Row(method, method) for method in ON_THE_DIAL]
