"""The measurement of `python -m benchmarks.speed.gpu` as tables."""

from pathlib import Path
from typing import Any

from benchmarks.parsing import parse_json

from .grid import Grid, page

NOT_MEASURED = "Not measured yet: no GPU was available."
HEAD = (
    "method", "precision", "bare step", "harness", "of bare", "extraction", "of forward", "peak GB", "hours of the MARS recipe"
)  # fmt: skip
UNITS = "frames a second; bare step: data in memory; harness: loading and decoding too; of forward: of the network's pass alone"
SPREAD = "±: half the range of a figure's windows, as a share of their median"
# On one H100, of mean+afa in bf16: frames a second, share of the bare step, minutes of the paper's recipe for MARS.
HEADLINE, FRAMES, SHARE, MINUTES = ("mean+afa", "bf16"), 2900.0, 0.9, 20.0
PAPER = "the paper took 2.4 h on two GTX 1080 Ti"


def text(file: Path, style: str) -> str:
    """The tables of a measurement in one of `grid.STYLES`, or a line that says that there is none."""
    if not file.exists():
        return NOT_MEASURED
    return page(grids(parse_json(file.read_bytes(), file)), style)


def grids(record: dict[str, Any]) -> list[Grid]:
    """The targets, every method, and the GPU against the CPU."""
    environment = record["environment"]
    processor, torch = environment["gpu"] or environment["cpu"], environment["packages"]["torch"]
    machine = f"{processor}, {environment['cores']} cores, torch {torch}"
    return [
        Grid(machine, ("what", "measured", "target", "met"), _targets(record), _notes(record)),
        Grid(
            "Training and extraction",
            HEAD,
            [_row(row, record) for row in record["methods"]],
            (UNITS, SPREAD, PAPER) if _has_spreads(record) else (UNITS, PAPER),
        ),
        Grid(
            "One batch, compared with the CPU in float32",
            ("what", "precision", "difference", "tolerance"),
            [
                [row["what"], row["precision"], f"{row['difference']:.1e}", f"{row['tolerance']:.0e}"]
                for row in record.get("agreement", [])
            ],
            ("largest share by which losses and features may differ",),
        ),
    ]


def _targets(record: dict[str, Any]) -> list[list[str]]:
    """For the row that has targets; "-" where the time limit ended the measurement first."""
    found = [row for row in record["methods"] if (row["method"], row["precision"]) == HEADLINE and "harness" in row]
    frames = found[0]["harness"] if found else None
    share = frames / found[0]["bare"] if frames else None
    minutes = 60 * _hours(frames, record) if frames else None
    name = " in ".join(HEADLINE)
    rows = [
        (f"{name}, frames a second", "{:,.0f}", frames, FRAMES, "at least"),
        (f"{name}, the harness compared with the bare step", "{:.2f}", share, SHARE, "at least"),
        (f"{name}, minutes of the MARS recipe", "{:.1f}", minutes, MINUTES, "at most"),
    ]
    return [
        [what, form.format(value) if value else "-", f"{better} {form.format(target)}", _met(value, target, better)]
        for what, form, value, target, better in rows
    ]


def _met(value: float | None, target: float, better: str) -> str:
    if value is None:
        return "-"
    return "yes" if (value >= target if better == "at least" else value <= target) else "no"


def _row(row: dict[str, Any], record: dict[str, Any]) -> list[str]:
    bare, harness, memory = row.get("bare"), row.get("harness"), row.get("memory")
    extraction, forward = row.get("extraction"), row.get("forward")
    failed = [f"{row['precision']}: {row['failed']}"] if "failed" in row else [row["precision"]]
    return [
        row["method"],
        *failed,
        _number(bare, row.get("bare_spread")),
        _number(harness, row.get("harness_spread")),
        _share(harness, bare),
        _number(extraction, row.get("extraction_spread")),
        _share(extraction, forward),
        f"{memory / 1e9:.1f}" if memory else "-",
        f"{_hours(harness, record):.2f}" if harness else "-",
    ]


def _hours(frames_a_second: float, record: dict[str, Any]) -> float:
    return float(record["recipe_frames"] / frames_a_second / 3600)


def _has_spreads(record: dict[str, Any]) -> bool:
    """Records of before have single windows."""
    return any("bare_spread" in row for row in record["methods"])


def _number(value: float | None, spread: float | None) -> str:
    if not value:
        return "-"
    return f"{value:,.0f}" if spread is None else f"{value:,.0f} ± {spread / 2:.0%}"


def _share(part: float | None, whole: float | None) -> str:
    return f"{part / whole:.0%}" if part and whole else "-"


def _notes(record: dict[str, Any]) -> list[str]:
    """The drawn frames, the evaluation, what compiling gained, and whether the time limit ended the measurement."""
    notes = []
    if drawn := record.get("drawn"):
        notes.append(
            f"{drawn['name']}: {drawn['frames']:,} of {drawn['of_frames']:,} frames drawn, in {drawn['seconds']:.0f} s"
        )
    if evaluation := record.get("evaluation"):
        notes.append(
            f"evaluation of {evaluation['queries']:,} x {evaluation['gallery'] + evaluation['queries']:,} x "
            f"{evaluation['channels']:,} by the {'GPU' if evaluation.get('device') == 'cuda' else 'CPU'}: "
            f"{evaluation['seconds']:.2g} s, the product alone {evaluation['product']:.2g} s"
        )
    for row in record["methods"]:
        if row.get("eager") and row.get("bare"):
            notes.append(
                f"{row['method']} in {row['precision']}: {row['bare'] / row['eager']:.2f} times as fast when compiled, "
                f"which took {row['compile_seconds']:.0f} s"
            )
    if not record["complete"]:
        notes.append("the time limit ended the measurement before all methods were measured")
    return notes
