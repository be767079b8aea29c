"""Recipes of public code with known results, which this harness must reproduce."""

from collections.abc import Sequence

from baselines.interface.registry import register
from benchmarks.data.loading import find_dataset
from benchmarks.experiments.settings import resolve

from .suite import Row, Suite

# Settings of these recipes that are too large for drawn data; there they are as in the recipe `small`.
LARGE = ("backbone", "weights", "last_stride", "height", "width")


@register("calibration")
class Calibration(Suite):
    """Recipes of public code with known results on MARS. A result that differs by more than 0.5 means the harness is wrong."""

    metrics = ("R1", "mAP")
    tolerance = 0.5

    def rows(self, dataset: str) -> Sequence[Row]:
        small: tuple[str, ...] = ()
        if find_dataset(dataset).recipe == "small":
            values = resolve("small", "mean").as_dict()
            small = tuple(f"{key}={values[key]}" for key in LARGE)

        def gao_nevatia(label: str, method: str, changes: tuple[str, ...], expected: dict[str, float]) -> Row:
            return Row(
                f"Gao and Nevatia, {label}", method, (*small, *changes), "gao-nevatia", "standard", "before", expected
            )

        return (
            gao_nevatia("pooling", "mean", (), {"R1": 83.1, "mAP": 75.8}),
            gao_nevatia("attention", "attention", (), {"R1": 83.3, "mAP": 76.7}),
            gao_nevatia("RNN", "lstm", ("lr=1e-4",), {"R1": 81.6, "mAP": 73.9}),
            Row("STE-NVAN, baseline", "mean", small, "ste-nvan", "official", "after", {"R1": 87.4, "mAP": 79.4}),
        )
