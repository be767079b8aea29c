"""Which process this is, of those that train one experiment together, and how they meet: by mmengine's launchers.

torch is imported only where they meet, so that `bench` knows whether it is the one who speaks before torch loads.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple
from unittest.mock import patch

PATIENCE = 3600  # seconds, for the others, of whom the first may be reading a large data set


class Place(NamedTuple):
    """Of one process.

    Attributes:
        rank: its number, from 0; the first one writes and speaks.
        world: how many there are.
        beside: how many share the processor's cores that this one may use.
        launcher: who started them, as mmengine names it.
    """

    rank: int = 0
    world: int = 1
    beside: int = 1
    launcher: str = "none"


def place() -> Place:
    """The place of this process; alone unless torchrun, or srun with several tasks, started it."""
    said = os.environ
    if "LOCAL_WORLD_SIZE" in said:  # by torchrun alone; RANK is also what mmengine's launcher for Slurm leaves behind
        return Place(int(said["RANK"]), int(said["WORLD_SIZE"]), int(said["LOCAL_WORLD_SIZE"]), "pytorch")
    # Of the step and not of the job (SLURM_NTASKS): a batch script has the latter too, and is one process.
    world = int(said.get("SLURM_STEP_NUM_TASKS", 1))
    if world == 1:
        return Place()
    return Place(int(said["SLURM_PROCID"]), world, 1, "slurm")  # srun gives each task cores of its own


def spare_cores(threads: int) -> int:
    """Processes that decode ahead unless a user says otherwise: on the cores that `threads` leave over, 8 at most."""
    return max(0, min(8, len(os.sched_getaffinity(0)) // place().beside - threads))


@contextmanager
def group() -> Iterator[None]:
    """Be one of the processes that torchrun or srun started, for the time of the block; nothing where there is one alone.

    NCCL between GPUs, gloo between CPUs and for what is said in Python.
    """
    import torch
    from mmengine.dist import init_dist

    me = place()
    if me.world == 1 or torch.distributed.is_initialized():
        yield
        return
    if me.launcher == "slurm":
        os.environ |= meeting()
    torch.multiprocessing.get_start_method()  # asked for, the default stays; the launcher would set another
    gpus = torch.cuda.is_available()
    # The launchers put each process on a GPU of its own. Between CPUs that is the one step to leave out.
    with nullcontext() if gpus else patch("torch.cuda.set_device"):
        init_dist(me.launcher, backend="cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def meeting() -> dict[str, str]:
    """Where the processes of a Slurm step meet: its first node, and a port that follows from job and step.

    mmengine's launcher alone would take one port for every job of a node, and the job's first node. What stands in the
    environment goes before.
    """
    said = os.environ
    host, port = said.get("MASTER_ADDR"), said.get("MASTER_PORT")
    if host is None:
        words = ["scontrol", "show", "hostnames", said["SLURM_STEP_NODELIST"]]
        host = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]
    if port is None:
        port = str(20_000 + (int(said["SLURM_JOB_ID"]) * 31 + int(said["SLURM_STEP_ID"])) % 10_000)
    return {"MASTER_ADDR": host, "MASTER_PORT": port}
