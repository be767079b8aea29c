"""Submit tasks as jobs: job arrays on Slurm, or background processes of this machine."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any, TypeVar

from . import JobError, queue
from .job_command import JobCommand
from .ledger import Ledger, LedgerEntry, Task, now
from .resources import Resources

T = TypeVar("T")
MAX_ARRAY_JOBS = 1000  # what Slurm accepts if a site does not set MaxArraySize
NO_TIME_LIMIT = 5_000_000  # minutes, on this machine: the time that a job waits for a slot would count too
MAX_TIMEOUTS = 1000  # a run may need the time of many limits; a run that fails by itself is never queued again


def submit(
    tasks: Sequence[Task],
    ledger: Ledger,
    resources: Resources,
    environment: Mapping[str, str],
    name: str,
    local: bool,
    after: Sequence[str] = (),
) -> list[LedgerEntry]:
    """Submit tasks as job arrays (or on this machine) and add them to the ledger. The caller holds the ledger's lock.

    Args:
        environment: variables that are added to each job's own.
        name: of the jobs.
        local: run them in the background of this machine, without Slurm.
        after: ids of Slurm jobs that must be over before these start.

    Raises:
        JobError: sbatch refused an array; nothing of that array remains, and arrays that were accepted before it stay.
        OSError: the ledger cannot be written to. The jobs that it lacks are cancelled.
    """
    slots = local_slots(ledger.folder, resources) if local else None
    commands = [JobCommand(task.command, environment, slots) for task in tasks]
    batches = ledger.folder / "batches"
    batches.mkdir(parents=True, exist_ok=True)
    cluster, host = ("local", socket.gethostname()) if local else ("slurm", "")
    entries: list[LedgerEntry] = []
    pairs = list(zip(tasks, commands, strict=True))
    for array in _arrays(pairs, MAX_ARRAY_JOBS if local else queue.max_array_size()):
        folder = Path(tempfile.mkdtemp(dir=batches, prefix=now().replace(":", "") + "-"))
        folder.chmod(batches.stat().st_mode)
        jobs = _submit_array([command for _, command in array], folder, resources, name, local, after)
        submitted = [
            LedgerEntry(task.key, task.title, job, cluster, str(folder.relative_to(ledger.folder)), now(), host)
            for (task, _), job in zip(array, jobs, strict=True)
        ]
        try:
            ledger.add(submitted)  # before the next array, which may be refused
        except OSError:
            queue.cancel(submitted)  # nobody would know of them
            raise
        entries += submitted
    return entries


def _submit_array(
    commands: Sequence[JobCommand], folder: Path, resources: Resources, name: str, local: bool, after: Sequence[str]
) -> list[str]:
    """Submit one array and return the ids of its jobs. `folder` is deleted if it is refused or cannot be written to."""
    import submitit
    from submitit.core.utils import FailedJobError

    on_hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the processes started here outlive the terminal
    try:
        executor: submitit.LocalExecutor | submitit.SlurmExecutor
        if local:
            executor = submitit.LocalExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
            executor.update_parameters(timeout_min=NO_TIME_LIMIT, tasks_per_node=1)
        else:
            executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS, python=resources.interpreter)
            executor.update_parameters(**resources.parameters(name, folder.absolute(), after))
        # The error contains what sbatch prints when it refuses.
        with redirect_stderr(io.StringIO()), _output_to_file(folder) if local else nullcontext():
            return [job.job_id for job in executor.submit_array(list(commands))]
    except (FailedJobError, RuntimeError, ValueError) as error:
        shutil.rmtree(folder)
        lines = str(error).splitlines()
        raise JobError(next((line for line in lines if "error" in line.lower()), lines[0]).strip()) from error
    except OSError as error:  # of submitit's files; that of a full disk names none
        shutil.rmtree(folder, ignore_errors=True)
        raise OSError(error.errno, error.strerror, error.filename or str(folder)) from error
    finally:
        signal.signal(signal.SIGHUP, on_hangup)


@contextmanager
def _output_to_file(folder: Path) -> Iterator[None]:
    """Processes started in the block write to a file: a pipe that they inherit would stay open as long as they run."""
    saved = [os.dup(number) for number in (1, 2)]
    file = os.open(folder / "controllers.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    sys.stdout.flush()
    try:
        for number in (1, 2):
            os.dup2(file, number)
        yield
    finally:
        for number, original in zip((1, 2), saved, strict=True):
            os.dup2(original, number)
        for each in (file, *saved):
            os.close(each)


def local_slots(ledger_folder: Path, resources: Resources) -> dict[Path, dict[str, str]]:
    """Slots for jobs on this machine: one for each GPU, or as many as the CPU cores allow. Each slot runs one job at a time.

    The jobs of a ledger on one machine share the slots.

    Returns:
        For each slot's lock file, the variables that the slot adds to the environment.

    Raises:
        JobError: no GPU is available, or a job wants more than one process.
    """
    if resources.processes * resources.nodes > 1:
        raise JobError("--local: a job has at most one GPU; torchrun uses several (docs/processes-and-gpus.md)")
    if resources.gpus:
        slots = {f"gpu{number}": {"CUDA_VISIBLE_DEVICES": number} for number in available_gpus()}
        if not slots:
            raise JobError("--local --gpus 1: nvidia-smi shows no GPU here; --gpus 0 runs on the CPU")
    else:
        slots = {f"cpu{number}": {} for number in range(max(len(os.sched_getaffinity(0)) // resources.cpus, 1))}
    folder = ledger_folder / "slots" / socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True)
    return {folder / name: environment for name, environment in list(slots.items())[: resources.max_parallel]}


def available_gpus() -> list[str]:
    """The GPUs of this machine that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    try:
        done = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except (FileNotFoundError, PermissionError):  # the second: this user may not read a folder in PATH
        return []
    return [str(number) for number, _ in enumerate(line for line in done.stdout.splitlines() if line[:4] == "GPU ")]


def sbatch_scripts(count: int, resources: Resources, name: str, after: Sequence[str] = ()) -> list[str]:
    """The sbatch scripts of `count` jobs as submitit will write them, one for each array.

    If no cluster answers, arrays are as long as on a cluster that does not set MaxArraySize.
    """
    try:
        longest = queue.max_array_size()
    except JobError:
        longest = MAX_ARRAY_JOBS
    return [_sbatch_script(len(array), resources, name, after) for array in _arrays(range(count), longest)]


def _arrays(jobs: Sequence[T], longest: int) -> Iterator[Sequence[T]]:
    """Consecutive parts of `jobs`, none longer than an array may be."""
    length = min(MAX_ARRAY_JOBS, longest)
    for first in range(0, len(jobs), length):
        yield jobs[first : first + length]


def _sbatch_script(count: int, resources: Resources, name: str, after: Sequence[str]) -> str:
    from submitit.slurm.slurm import _make_sbatch_string

    folder = Path("FOLDER")
    command = f"{resources.interpreter} -u -m submitit.core._submit {folder}"
    parameters: dict[str, Any] = resources.parameters(name, folder, after)
    return str(_make_sbatch_string(command, folder, map_count=count if count > 1 else None, **parameters))
