"""Which of several processes this one is, and where they meet."""

import os
from unittest import mock

import pytest
import torch

from benchmarks import launch

STEP = {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_ID": "2",
    "SLURM_NODELIST": "node-[a-b]",
    "SLURM_STEP_NODELIST": "node-b",
}


@pytest.fixture
def said(monkeypatch):
    """Set the environment that a launcher leaves, and no other's."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "MASTER_")) or name in TORCHRUN]:
        monkeypatch.delenv(name)
    return lambda environment: [monkeypatch.setenv(name, value) for name, value in environment.items()]


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1, 1, "none")),
        (TORCHRUN, (3, 4, 2, "pytorch")),
        (STEP, (1, 2, 1, "slurm")),
        # A batch script of a job of four tasks is one process.
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, (0, 1, 1, "none")),
    ],
)
def test_launcher_sets_rank(said, environment, expected):
    said(environment)
    assert tuple(launch.process_info()) == expected


@pytest.mark.parametrize(
    ("gpus", "given"), [(True, {"gpu": 0, "backend": "cpu:gloo,cuda:nccl"}), (False, {"backend": "gloo"})]
)
def test_slurm_rendezvous(said, monkeypatch, tmp_path, gpus, given):
    said(STEP)
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho "$3"\n')  # as `scontrol show hostnames LIST`, of one node
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    asked = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: asked.update(gpu=number))

    def join(backend, **_):
        names = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
        asked.update(backend=backend, environment=[os.environ[name] for name in names])

    monkeypatch.setattr(torch.distributed, "init_process_group", join)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with mock.patch.dict(os.environ), launch.process_group():
        assert asked == {**given, "environment": ["node-b", str(20_000 + 7 * 31 + 2), "1", "2"]}
