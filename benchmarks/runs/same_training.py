"""The finished run whose training another run would repeat bit for bit, because they differ in the test alone."""

from dataclasses import replace
from pathlib import Path

from baselines.interface.errors import UserError
from benchmarks.experiments.code_digest import code_digest, same_numbers
from benchmarks.experiments.experiment import Experiment

from .checksums import check_file
from .environment import describe
from .folder import RunFolder, run_folders
from .store import leave_out, readable_record


def trained_alike(experiment: Experiment, folder: RunFolder) -> Path | None:
    """The final weights of a run beside `folder` with the same training, code and environment; None if there is none."""
    begin = experiment.name.removesuffix(experiment.run_hash[:10])
    here, code = replace(describe(), git=None), same_numbers(code_digest(experiment) or "")
    for other in run_folders(folder.path.parent):
        if other == folder or not other.path.name.startswith(begin) or not other.weights.exists():
            continue
        record = readable_record(other)
        if (
            record is not None
            and record.experiment.training_hash == experiment.training_hash
            and same_numbers(record.code) == code
            and replace(record.environment, git=None) == here
        ):
            try:
                check_file(other.weights)
            except UserError as error:
                leave_out(error)  # another run's damage costs this one a training, no more
                continue
            return other.weights
    return None
