"""How much the results of a run differ between machines, as tables of docs/processes-and-gpus.md."""

import json
from pathlib import Path
from typing import Any

from tabulate import tabulate

FILE = Path("results/measured/machines.json")  # written by benchmarks.maintenance.machine_differences


def table() -> str:
    """For each method and set of kernels: how the last loss, mAP and R1 differ from those of the machine as it is."""
    reference, *others = (dict(json.loads(FILE.read_text())["runs"])).items()
    rows = [
        [method, case, *_differences(found, reference[1][method])]
        for method in reference[1]
        for case, runs in others
        for found in [runs[method]]
    ]
    head = ("method", "kernels", "weights", "loss, first step", "loss, fifth step", "mAP", "R1")
    return tabulate(rows, head, "github", disable_numparse=True)


def whole_table() -> str:
    """R1 and mAP of whole trainings, for each method and set of kernels, and of the same run on other processors."""
    measured = json.loads(FILE.read_text())
    whole, here = measured["whole"], measured["machine"]["cpu"]
    rows: list[list[str]] = []
    for method in whole["as it is"]:
        for case, runs in whole.items():
            metrics = next(iter(runs[method].values()))
            rows.append([method, f"{here}, {case}", *(f"{100 * metrics[name]:.1f}" for name in ("R1", "mAP"))])
        for processor, runs in measured["elsewhere"].items():
            rows.append([method, processor, *(f"{100 * runs[method][name]:.1f}" for name in ("R1", "mAP"))])
    return tabulate(rows, ("method", "kernels", "R1", "mAP"), "github", disable_numparse=True)


def machine() -> str:
    """The machine that was measured."""
    facts: dict[str, Any] = json.loads(FILE.read_text())["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    return f"Measured on {facts['cpu']} ({facts['cpu_model']}), {facts['instructions']}; {libraries}."


def _differences(found: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """Losses relative to the reference's, metrics in points; of the data set's default protocol before batch normalisation."""
    view = next(iter(reference["metrics"]))
    losses = [abs(found["losses"][step] / reference["losses"][step] - 1) for step in (0, -1)]
    points = [100 * (found["metrics"][view][metric] - reference["metrics"][view][metric]) for metric in ("mAP", "R1")]
    weights = "same bits" if found["weights"] == reference["weights"] else "other bits"
    return [weights, *(f"{loss:.0e}" if loss else "0" for loss in losses), *(f"{each:+z.2f}" for each in points)]
