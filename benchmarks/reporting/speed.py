"""The measurements of `make speed` as one table: each step, its limit or alternative in the same run, and its target."""

import json
from pathlib import Path
from typing import Any

from baselines.interface.errors import UserError
from benchmarks.atomic import write_atomically
from benchmarks.parsing import parse_json

from .grid import Grid

BENCHMARK_FILES = Path(".benchmarks")  # pytest-benchmark writes a JSON file for each run here
HEAD = ("step, compared with", "measured", "ratio", "target", "")


def newest(folder: Path = BENCHMARK_FILES) -> Path:
    """The newest file in a folder of pytest-benchmark.

    Raises:
        UserError: the folder has no file.
    """
    files = sorted(folder.glob("*/*.json"), key=lambda file: file.stat().st_mtime_ns)
    if not files:
        raise UserError(f"no measurements in {folder.absolute()}; run `make speed`, or name a file with --from")
    return files[-1]


def read(file: Path) -> dict[str, Any]:
    """The rows, time and machine of a run, from pytest-benchmark's JSON or from a file that `write` made.

    Raises:
        UserError: no such file, or a file of another kind.
    """
    try:
        kept = parse_json(file.read_bytes(), file)
        rows = [each["extra_info"] for each in kept["benchmarks"] if "what" in each["extra_info"]]
        machine = {"bench": kept["machine_info"]["bench"]}
        return {
            "datetime": kept["datetime"],
            "machine_info": machine,
            "benchmarks": [{"extra_info": row} for row in rows],
        }
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    except (UserError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a file of `make speed` ({type(error).__name__}: {error})") from error


def write(measured: dict[str, Any], file: Path) -> None:
    """Write what `read` returned."""
    write_atomically(file, json.dumps(measured, indent=1) + "\n")


def grid(measured: dict[str, Any]) -> Grid:
    """The table, with notes on what limits each missed target, the machine, the date and the packages."""
    rows = [each["extra_info"] for each in measured["benchmarks"]]
    machine = measured["machine_info"]["bench"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    limits = [f"missed: {row['what']}: {row['note']}" for row in rows if row.get("note") and not _met(row)]
    where = f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores; {measured['datetime'][:10]}"
    return Grid(
        "Speed", HEAD, [_cells(row) for row in rows], [*limits, where, f"Python {machine['python']}, {packages}"]
    )


def _cells(row: dict[str, Any]) -> list[str]:
    unit, digits = (row["unit"], 2) if "unit" in row else ("x", 3 if row["ratio"] < 2 else 1)
    return [
        f"{row['what']}, compared with {row['limit']}" if row["limit"] else row["what"],
        row.get("measured", ""),
        f"{row['ratio']:.{digits}f} {unit}",
        f"{row['better']} {row['target']:g} {unit}",
        "met" if _met(row) else "missed",
    ]


def _met(row: dict[str, Any]) -> bool:
    ratio, target = row["ratio"], row["target"]
    return bool(ratio <= target if row["better"] == "at most" else ratio >= target)
