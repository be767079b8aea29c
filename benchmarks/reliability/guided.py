"""Damaged files for the readers, guided by the coverage of their Python code (atheris, libFuzzer)."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from .fuzz import WAYS
from .outcome import Outcome
from .reader import Reader


def search(reader: Reader, seconds: int, folder: Path, keep: Path) -> Outcome:
    """Search for so many seconds for a file that a reader takes wrongly. A fault is what `fuzz` calls one."""
    outcome = Outcome(reader.name)
    folder.mkdir(parents=True)
    keep.mkdir(parents=True, exist_ok=True)
    child = [sys.executable, "-m", f"{__package__}.guided_child", reader.name, str(seconds), str(folder), str(keep)]
    done = subprocess.run(child, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    answers = folder / "answers.jsonl"
    lines = answers.read_text().splitlines() if answers.exists() else []
    found = Counter(str(json.loads(line)) for line in lines)
    outcome.tried = found.total()
    outcome.counts = {way: found.pop(way, 0) for way in WAYS}
    outcome.counts["fault"] = found.total()
    outcome.faults = [f"{times} x {fault}" for fault, times in found.most_common()]
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "Error" in line or "ERROR" in line), "")
        outcome.faults.append(f"the process ends with {done.returncode}: {said}")
    return outcome
