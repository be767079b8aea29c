"""The environment of a run: machine, packages and state of the code, without user names or absolute paths."""

import json
import os
import platform
import re
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


CPUINFO = Path("/proc/cpuinfo")
CPU_MODEL = {"family": "cpu family", "model": "model", "stepping": "stepping"}  # as CPUINFO names them
LIBRARIES = {
    "BLAS": r"BLAS_INFO=(\w+)",
    "MKL": r"Math Kernel Library Version ([\w.]+)",
    "oneDNN": r"MKL-DNN v([\w.]+)",
}


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
        cpu_model=_cpu_model(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        libraries=_libraries(torch.__config__.show()),
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
    facts = _cpu_facts()
    return facts.get("model name", platform.machine()) if facts else platform.processor() or platform.machine()


def _cpu_model() -> str | None:
    """Such as `GenuineIntel family 6 model 106 stepping 6`: a hypervisor may give processors of several models one name."""
    facts = _cpu_facts()
    known = [f"{word} {facts[key]}" for word, key in CPU_MODEL.items() if key in facts]
    return " ".join([facts["vendor_id"], *known]) if known and "vendor_id" in facts else None


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor; empty on other systems."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines if value.strip()}


def _libraries(config: str) -> dict[str, str]:
    """The BLAS and oneDNN in the text of `torch.__config__.show()`; what it does not name is left out."""
    found = {name: re.search(pattern, config) for name, pattern in LIBRARIES.items()}
    return {name: match[1] for name, match in found.items() if match}


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
