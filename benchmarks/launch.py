"""Several processes that train one experiment: which one this is, and how they connect through mmengine's launchers.

What connecting needs is imported only then: `bench` asks which process prints before anything else.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

TIMEOUT_SECONDS = 3600  # for a collective operation: the first process may be reading a large data set meanwhile


class ProcessInfo(NamedTuple):
    """One of the processes that train an experiment together.

    Attributes:
        rank: its number, from 0; the process of rank 0 writes files and prints.
        world_size: the number of processes.
        local_world_size: the number of processes that share this process's CPU cores.
        launcher: the program that started them, as mmengine names it.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    launcher: str = "none"


def process_info() -> ProcessInfo:
    """This process: the only one, unless torchrun, or srun with several tasks, started it."""
    env = os.environ
    # Only torchrun sets LOCAL_WORLD_SIZE. mmengine's launcher for Slurm sets RANK too.
    if "LOCAL_WORLD_SIZE" in env:
        return ProcessInfo(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_WORLD_SIZE"]), "pytorch")
    # The step's number of tasks, not the job's (SLURM_NTASKS): a batch script has that one too, and is one process.
    world_size = int(env.get("SLURM_STEP_NUM_TASKS", 1))
    if world_size == 1:
        return ProcessInfo()
    return ProcessInfo(int(env["SLURM_PROCID"]), world_size, 1, "slurm")  # srun gives each task its own cores


def spare_cores(threads: int) -> int:
    """The default number of decoding processes: one for each core that `threads` threads leave free, at most 8."""
    return max(0, min(8, len(os.sched_getaffinity(0)) // process_info().local_world_size - threads))


@contextmanager
def process_group() -> Iterator[None]:
    """Connect to the other processes that torchrun or srun started, for the duration of the block.

    Does nothing for a single process. NCCL connects GPUs; gloo connects CPUs and carries Python objects.
    """
    from unittest.mock import patch  # which imports asyncio

    import torch
    from mmengine.dist import init_dist

    process = process_info()
    if process.world_size == 1 or torch.distributed.is_initialized():
        yield
        return
    if process.launcher == "slurm":
        os.environ |= slurm_rendezvous()
    torch.multiprocessing.get_start_method()  # fixes the default; the launcher would set another
    gpus = torch.cuda.is_available()
    # The launchers select a GPU for each process. Without GPUs this one step has to be left out.
    with nullcontext() if gpus else patch("torch.cuda.set_device"):
        init_dist(process.launcher, backend="cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT_SECONDS)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def slurm_rendezvous() -> dict[str, str]:
    """The address at which the processes of a Slurm step connect: its first node, and a port derived from job and step.

    mmengine's launcher would use the job's first node, and the same port for all jobs of a node. MASTER_ADDR and MASTER_PORT
    in the environment take precedence.
    """
    env = os.environ
    host, port = env.get("MASTER_ADDR"), env.get("MASTER_PORT")
    if host is None:
        words = ["scontrol", "show", "hostnames", env["SLURM_STEP_NODELIST"]]
        host = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]
    if port is None:
        port = str(20_000 + (int(env["SLURM_JOB_ID"]) * 31 + int(env["SLURM_STEP_ID"])) % 10_000)
    return {"MASTER_ADDR": host, "MASTER_PORT": port}
