"""How much the results of a run differ between machines: trainings with the kernels of other processors.

`python -m benchmarks.maintenance.machine_differences` runs short and whole ones and writes results/measured/machines.json.
torch, oneDNN and the BLAS choose their kernels by the processor. Environment variables make each library choose the kernels
for an older processor, so that one machine can imitate several.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.experiments.code_digest import REPOSITORY
from benchmarks.runs import environment

from .golden_runs import COMMON, golden_run

FILE = REPOSITORY / "results" / "measured" / "machines.json"
METHODS = ("mean", "mean+afa", "lstm")
WHOLE = ("mean", "cnn3d")  # trained to the end on walkers, with the settings of results/measured/sources.parquet
LIMITS = {"torch": "ATEN_CPU_CAPABILITY", "oneDNN": "ONEDNN_MAX_CPU_ISA", "MKL": "MKL_ENABLE_INSTRUCTIONS"}
OLDER = "AVX2"
CASES: dict[str, tuple[str, ...]] = {
    "the same again": (),
    **{f"{library} with {OLDER}": (library,) for library in LIMITS},
    f"all three with {OLDER}": tuple(LIMITS),
}


def short_runs() -> dict[str, Any]:
    """What `golden_run` says of each method, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return {method: golden_run(method, COMMON, Path(folder)) for method in METHODS}


def whole_runs() -> dict[str, Any]:
    """The mAP and R1 of each whole training, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            method: golden_run(method, ("threads=1",), Path(folder), dataset="walkers")["metrics"] for method in WHOLE
        }


def run_with(limited: tuple[str, ...], which: str) -> dict[str, Any]:
    """The short or whole runs in a process in which some libraries have the older processor's kernels."""
    variables = {name: value for name, value in os.environ.items() if name not in LIMITS.values()}
    variables |= {LIMITS[library]: OLDER.lower() if library == "torch" else OLDER for library in limited}
    words = [sys.executable, "-m", __spec__.name, which]
    found: dict[str, Any] = json.loads(subprocess.run(words, env=variables, check=True, stdout=subprocess.PIPE).stdout)
    return found


RUNS = {"--short": short_runs, "--whole": whole_runs}


def main() -> None:
    """Run all cases and write the file."""
    if sys.argv[1:]:
        print(json.dumps(RUNS[sys.argv[1]]()))
        return
    described = environment.describe()
    machine = {key: getattr(described, key) for key in ("cpu", "cpu_model", "instructions", "libraries")}
    cases = {"as it is": (), **CASES}
    measured = {which: {case: run_with(limited, which) for case, limited in cases.items()} for which in RUNS}
    elsewhere = json.loads(FILE.read_text())[
        "elsewhere"
    ]  # the same whole trainings on other processors, from their records
    content = {"machine": machine, "runs": measured["--short"], "whole": measured["--whole"], "elsewhere": elsewhere}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
