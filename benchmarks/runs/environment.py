"""The environment of a run: machine, packages and state of the code, without user names or absolute paths."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from .record import Environment, Git

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


def describe() -> Environment:
    """This process's environment: Python, package versions, processor, GPU, processes, system and git state."""
    import torch

    from benchmarks.engine.distributed import world

    return Environment(
        cores=os.cpu_count(),
        cpu=_cpu(),
        git=git_state(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        packages={name: _version(name) for name in PACKAGES},
        processes=world(),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
    )


def peak_memory(earlier: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """In bytes: the process's largest resident size, and the largest allocation on the GPU where there is one.

    earlier: of the processes that this one resumes; the larger one counts.
    """
    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return {kind: max(peak.get(kind, 0), earlier.get(kind, 0)) for kind in {**earlier, **peak}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


COMMIT = "commit.json"  # in a copy of the code, next to the packages: the git state of the original


@cache
def git_state() -> Git | None:
    """The commit, and whether tracked files differ from it; None outside a checkout. A copy of the code brings its own."""
    root = Path(__file__).parents[2]
    copied = root / COMMIT
    if copied.exists():
        values = json.loads(copied.read_text())
        return None if values is None else Git(**values)

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return Git(git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.CalledProcessError):
        return None
