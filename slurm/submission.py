"""Tasks into jobs: one array on Slurm, or processes in the background of this machine."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import JobError
from .attempt import Attempt
from .ledger import Entry, Ledger, Task, now
from .resources import Resources

ARRAY = 1000  # jobs: what Slurm takes where a site leaves MaxArraySize alone
MAX_TIMEOUTS = 1000  # a run that needs many limits' time is no fault; one that fails by itself is never queued again


def submit(
    tasks: Sequence[Task],
    ledger: Ledger,
    resources: Resources,
    environment: Mapping[str, str],
    name: str,
    local: bool,
    after: Sequence[str] = (),
) -> list[Entry]:
    """Submit tasks as job arrays (or on this machine) and note them in the ledger, whose lock the caller holds.

    after: jobs on the cluster that must be over first.

    Raises:
        JobError: what sbatch said where it refused; nothing is left behind then.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    if len(tasks) > ARRAY:
        parts = (tasks[:ARRAY], tasks[ARRAY:])
        return [entry for part in parts for entry in submit(part, ledger, resources, environment, name, local, after)]
    batches = ledger.place / "batches"
    batches.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=batches, prefix=now().replace(":", "") + "-"))
    folder.chmod(batches.stat().st_mode)
    lanes = folder if local else None
    attempts = [Attempt(task.command, environment, lanes, resources.max_parallel) for task in tasks]
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is started here outlives the terminal
    try:
        executor: submitit.LocalExecutor | submitit.SlurmExecutor
        if local:
            executor = submitit.LocalExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
            executor.update_parameters(
                timeout_min=resources.minutes, gpus_per_node=resources.gpus, tasks_per_node=1, nodes=resources.nodes
            )
        else:
            executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
            executor.update_parameters(**resources.parameters(name, after))
        jobs = executor.submit_array(attempts)  # a job each; an array where there are several
    except (FailedJobError, RuntimeError, ValueError) as error:
        shutil.rmtree(folder)
        said = [line for line in str(error).splitlines() if "error" in line.lower()] or str(error).splitlines()
        raise JobError(said[0].strip()) from error
    finally:
        signal.signal(signal.SIGHUP, hung_up)
    cluster, place = "local" if local else "slurm", str(folder.relative_to(ledger.place))
    entries = [
        Entry(task.key, task.title, job.job_id, cluster, place, now()) for task, job in zip(tasks, jobs, strict=True)
    ]
    ledger.add(entries)
    return entries


def script(count: int, resources: Resources, name: str) -> str:
    """The sbatch script of an array of `count` jobs, as submitit will write it."""
    from submitit.slurm.slurm import _make_sbatch_string

    command = f"{sys.executable} -u -m submitit.core._submit FOLDER"
    array = count if count > 1 else None
    return str(_make_sbatch_string(command, Path("FOLDER"), map_count=array, **resources.parameters(name)))
