"""Tasks into jobs: one array on Slurm, or processes in the background of this machine."""

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
from typing import Any

from . import JobError, queue
from .attempt import Attempt
from .ledger import Entry, Ledger, Task, now
from .resources import Resources

ARRAY = 1000  # jobs, at most: what Slurm takes where a site leaves MaxArraySize alone
FOREVER = 5_000_000  # minutes: a limit is for those who wait in a queue, and here waiting for a lane would count
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
        JobError: what sbatch said of an array that it refused, which leaves nothing behind; those that it took before stay.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    lanes = lanes_here(ledger.place, resources) if local else None
    attempts = [Attempt(task.command, environment, lanes) for task in tasks]
    longest = ARRAY if local else queue.longest_array()
    batches = ledger.place / "batches"
    batches.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    cluster, host = ("local", socket.gethostname()) if local else ("slurm", "")
    for part in _parts(list(zip(tasks, attempts, strict=True)), longest):
        folder = Path(tempfile.mkdtemp(dir=batches, prefix=now().replace(":", "") + "-"))
        folder.chmod(batches.stat().st_mode)
        hung_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is started here outlives the terminal
        try:
            executor: submitit.LocalExecutor | submitit.SlurmExecutor
            if local:
                executor = submitit.LocalExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
                executor.update_parameters(timeout_min=FOREVER, tasks_per_node=1)
            else:
                executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS, python=resources.interpreter)
                executor.update_parameters(**resources.parameters(name, folder.absolute(), after))
            # What sbatch says of a refusal is in the error as well.
            with redirect_stderr(io.StringIO()), _detached(folder) if local else nullcontext():
                # A job each; an array where there are several.
                jobs = executor.submit_array([attempt for _, attempt in part])
        except (FailedJobError, RuntimeError, ValueError) as error:
            shutil.rmtree(folder)
            said = [line for line in str(error).splitlines() if "error" in line.lower()] or str(error).splitlines()
            raise JobError(said[0].strip()) from error
        finally:
            signal.signal(signal.SIGHUP, hung_up)
        place = str(folder.relative_to(ledger.place))
        made = [
            Entry(task.key, task.title, job.job_id, cluster, place, now(), host)
            for (task, _), job in zip(part, jobs, strict=True)
        ]
        ledger.add(made)  # before the next part, which may be refused
        entries += made
    return entries


@contextmanager
def _detached(folder: Path) -> Iterator[None]:
    """What is started in the block speaks into a file: a pipe that it held would not end while it runs."""
    kept = [os.dup(number) for number in (1, 2)]
    file = os.open(folder / "controllers.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    sys.stdout.flush()
    try:
        for number in (1, 2):
            os.dup2(file, number)
        yield
    finally:
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
        for each in (file, *kept):
            os.close(each)


def lanes_here(place: Path, resources: Resources) -> dict[Path, dict[str, str]]:
    """Where jobs may run on this machine, each alone: one lane a GPU, or as many as there are cores for.

    All that is submitted on this machine to the ledger below `place` shares them.

    Raises:
        JobError: more than this machine has, or than a job without a scheduler can use.
    """
    if resources.processes * resources.nodes > 1:
        raise JobError("--local: a job has one GPU at most; torchrun trains one experiment with several (README)")
    if resources.gpus:
        lanes = {f"gpu{number}": {"CUDA_VISIBLE_DEVICES": number} for number in gpus_here()}
        if not lanes:
            raise JobError("--local --gpus 1: nvidia-smi shows no GPU here; --gpus 0 runs on the processor")
    else:
        lanes = {f"cpu{number}": {} for number in range(max(len(os.sched_getaffinity(0)) // resources.cpus, 1))}
    folder = place / "lanes" / socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True)
    return {folder / name: besides for name, besides in list(lanes.items())[: resources.max_parallel]}


def gpus_here() -> list[str]:
    """The GPUs of this machine that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except (FileNotFoundError, PermissionError):  # the second: PATH has a folder that this user may not read
        return []
    return [str(number) for number, _ in enumerate(line for line in listed.stdout.splitlines() if line[:4] == "GPU ")]


def scripts(count: int, resources: Resources, name: str, after: Sequence[str] = ()) -> list[str]:
    """The sbatch scripts of `count` jobs, an array each, as submitit will write them.

    Where no cluster answers, arrays are as long as on one that was left as it comes.
    """
    try:
        longest = queue.longest_array()
    except JobError:
        longest = ARRAY
    return [_script(len(part), resources, name, after) for part in _parts(range(count), longest)]


def _parts(whole: Sequence[Any], longest: int) -> Iterator[Sequence[Any]]:
    """Of the length of arrays."""
    length = min(ARRAY, longest)
    for first in range(0, len(whole), length):
        yield whole[first : first + length]


def _script(count: int, resources: Resources, name: str, after: Sequence[str]) -> str:
    from submitit.slurm.slurm import _make_sbatch_string

    folder = Path("FOLDER")
    command = f"{resources.interpreter} -u -m submitit.core._submit {folder}"
    array = count if count > 1 else None
    return str(_make_sbatch_string(command, folder, map_count=array, **resources.parameters(name, folder, after)))
