"""Recipes of public code with known results, which this harness must reproduce."""

from collections.abc import Sequence

from baselines.interface.registry import register
from benchmarks.data.find import find_dataset
from benchmarks.experiments.settings import resolve

from .suite import Row, Suite

# Settings of these recipes that are too large for drawn data; there they are as in the recipe `small`.
LARGE = ("backbone", "weights", "last_stride", "height", "width")


@register("calibration")
class Calibration(Suite):
    """Recipes of public code with known results on MARS. A result further off than seeds explain is an error here."""

    metrics = ("R1", "mAP")
    calibrates = True
    notes = (
        "Gao and Nevatia, pooling: the last complete test in the log of its code, which ends at 81.7 to 81.8 R1 and 75.8 to 75.9 "
        "mAP; the README's 83.1 R1 is nowhere in that log",
    )

    def rows(self, dataset: str) -> Sequence[Row]:
        small: tuple[str, ...] = ()
        if find_dataset(dataset).recipe == "small":
            values = resolve("small", "mean").as_dict()
            small = tuple(f"{key}={values[key]}" for key in LARGE)

        def gao_nevatia(label: str, method: str, expected: dict[str, float], why: str = "", *changes: str) -> Row:
            return Row(
                f"Gao and Nevatia, {label}",
                method,
                (*small, *changes),
                "gao-nevatia",
                "standard",
                "before",
                expected,
                not_reproducible=why,
            )

        return (
            gao_nevatia("pooling", "mean", {"R1": 81.8, "mAP": 75.9}),
            gao_nevatia("attention", "attention-map", {"R1": 83.3, "mAP": 76.7}, "its entry builds the pooling model"),
            gao_nevatia("RNN", "lstm", {"R1": 81.6, "mAP": 73.9}, "its class raises NameError", "lr=1e-4"),
            Row(
                "STE-NVAN, baseline", "mean", small, "ste-nvan-baseline", "official", "after", {"R1": 87.4, "mAP": 79.4}
            ),
        )
