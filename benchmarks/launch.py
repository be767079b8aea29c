"""Which process this is, of those that train one experiment together: as torchrun or srun says in the environment.

torch is not imported here, so that `bench` knows whether it is the one who speaks before torch loads.
"""

import os
import subprocess
from typing import NamedTuple


class Place(NamedTuple):
    """Of one process.

    Attributes:
        rank: its number, from 0; the first one writes and speaks.
        world: how many there are.
        local: its number on its machine, which chooses the GPU.
        beside: how many share the processor's cores that this one may use.
        address: where they meet, as torch.distributed takes it.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    beside: int = 1
    address: str = "env://"


def place() -> Place:
    """The place of this process; alone unless torchrun, or srun with several tasks, started it."""
    said = os.environ
    if "RANK" in said and "WORLD_SIZE" in said:
        local, beside = said.get("LOCAL_RANK", 0), said.get("LOCAL_WORLD_SIZE", 1)
        return Place(int(said["RANK"]), int(said["WORLD_SIZE"]), int(local), int(beside))
    # Of the step and not of the job (SLURM_NTASKS): a batch script has the latter too, and is one process.
    world = int(said.get("SLURM_STEP_NUM_TASKS", 1))
    if world == 1:
        return Place()
    # srun gives each task cores of its own.
    return Place(int(said["SLURM_PROCID"]), world, int(said["SLURM_LOCALID"]), address=_slurm_address())


def spare_cores(threads: int) -> int:
    """Processes that decode ahead unless a user says otherwise: on the cores that `threads` leave over, 8 at most."""
    return max(0, min(8, len(os.sched_getaffinity(0)) // place().beside - threads))


def _slurm_address() -> str:
    """The step's first node, and a port that follows from the job and the step; MASTER_ADDR and MASTER_PORT go before."""
    said = os.environ
    host, port = said.get("MASTER_ADDR"), said.get("MASTER_PORT")
    if host is None:
        words = ["scontrol", "show", "hostnames", said["SLURM_STEP_NODELIST"]]
        host = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]
    if port is None:
        port = str(20_000 + (int(said["SLURM_JOB_ID"]) * 31 + int(said["SLURM_STEP_ID"])) % 10_000)
    return f"tcp://{host}:{port}"
