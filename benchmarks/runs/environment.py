"""Where a number came from: machine, packages, state of the code. No user names, no absolute paths."""

import json
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

PACKAGES = (
    "torch",
    "torchvision",
    "mmengine-lite",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "pandas",
    "pyarrow",
)


def describe() -> dict[str, Any]:
    """Python, package versions, processor, GPU, processes that worked together, system and git state."""
    import torch

    from benchmarks.engine.distributed import world

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "processes": world(),
        "system": f"{platform.system()} {platform.machine()}",
        "git": git(),
    }


def peak_memory() -> dict[str, int]:
    """Bytes: the process's largest resident size, and the GPU's largest allocation where there is one."""
    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


COMMIT = "commit.json"  # in a snapshot of the code, beside the packages


@cache
def git() -> dict[str, Any] | None:
    """Commit, and whether tracked files differ from it; None outside a checkout. A snapshot of the code brings its own."""
    house = Path(__file__).parents[2]
    brought = house / COMMIT
    if brought.exists():
        return cast("dict[str, Any]", json.loads(brought.read_text()))

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=house, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None
