"""One record, and one data set's counts, for a reader at a terminal."""

import pandas as pd
from tabulate import tabulate

from benchmarks.data.table import statistics
from benchmarks.runs.records import RANKS, Record

from .table import cell, percent


def describe(record: Record, stale: list[str]) -> str:
    """What the run is, what came out, what it cost, and where it was made."""
    experiment, environment = record["experiment"], record["environment"]
    place = (
        experiment["dataset"]
        if experiment["dataset"] == experiment["test"]
        else (f"{experiment['dataset']}, evaluated on {experiment['test']}")
    )
    lines = [
        record["name"],
        f"{experiment['method']} on {place}, seed {experiment['seed']}, split {experiment['split']}, "
        f"recipe {experiment['recipe']}",
    ]
    lines += [f"STALE: {reason}" for reason in stale]
    heads = ["mAP", *(f"R{rank}" for rank in RANKS)]
    rows = [
        [
            row["protocol"],
            row["feature"],
            *(cell([percent(row[head])]) for head in heads),
            row["queries"],
            row["unmatched"],
        ]
        for row in record["metrics"]
    ]
    head = ["protocol", "batch norm", *heads, "queries", "unmatched"]
    lines += ["", tabulate(rows, head, disable_numparse=True), ""]
    lines += _pairs("settings", experiment["settings"])
    if record["cost"]:
        cost = record["cost"]
        lines.append(
            f"cost: {cost['parameters'] / 1e6:.2f} M parameters, {cost['multiply_adds'] / 1e9:.3f} G multiply-adds a frame"
        )
    for phase, lap in record["phases"].items():
        unit = "tracklets" if phase == "evaluate" else "frames"
        lines.append(f"{phase}: {lap['seconds']:.1f} s, {lap['per_second']:.0f} {unit}/s")
    lines.append(
        "peak memory: " + ", ".join(f"{key} {value / 2**30:.2f} GiB" for key, value in record["peak_memory"].items())
    )
    lines += [f"{key}: {experiment[key][:16]}" for key in ("data", "test_data", "weights")] + [
        f"code: {record['code'][:16]}"
    ]
    git = environment["git"]
    state = f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git else "not a checkout"
    lines.append(f"made {record['finished']} by {state}")
    lines += _pairs("on", {key: value for key, value in environment.items() if key not in ("git", "packages")})
    lines += _pairs("packages", environment["packages"])
    return "\n".join(lines)


def counts(table: pd.DataFrame) -> str:
    """The counts of each subset, as text."""
    counted = statistics(table)
    keys = list(next(iter(counted.values())))
    rows = [[subset, *(values[key] for key in keys)] for subset, values in counted.items()]
    return tabulate(rows, ["subset", *keys])


def _pairs(title: str, values: dict[str, object]) -> list[str]:
    return [f"{title}: " + ", ".join(f"{key} {value}" for key, value in values.items())]
