"""Run the controls that take minutes on two cores, for `bench doctor --controls`."""

from pathlib import Path

from benchmarks.engine.run import Machine, plan, run
from benchmarks.progress import ReportProgress
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.staleness import stale_reasons
from benchmarks.runs.store import read_record
from benchmarks.suites import controls


def run_quick_controls(results_dir: Path, report: ReportProgress) -> None:
    """Run those of `controls.QUICK` that are not finished, or that other code has run."""
    for method, changes in controls.QUICK:
        experiment, settings, data = plan(
            method, controls.DATASET, recipe=controls.RECIPE, changes=changes, seed=0, split=0, root=None, report=report
        )
        folder = RunFolder(results_dir / experiment.name)
        record = read_record(folder)
        if record is None or stale_reasons(record, {}):
            run(experiment, settings, data, folder, Machine(0, 10.0, report), fresh=record is not None)
