"""`bench` in a process of its own, as a user on a cluster calls it."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def bench() -> Callable[..., subprocess.CompletedProcess]:
    def call(*words: object) -> subprocess.CompletedProcess:
        program = [sys.executable, "-m", "benchmarks.cli", *map(str, words)]
        return subprocess.run(program, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until a function returns True; fail after so many seconds, and show what it returned."""

    def wait(holds: Callable[[], object], seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        seen: list[object] = []

        while time.monotonic() < end:
            result = holds()
            if result is True:
                return
            if result and result not in seen:
                seen.append(result)
            time.sleep(0.5)
        pytest.fail(f"not within {seconds} s; seen: {seen}")

    return wait


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a program, such as `squeue`, that is found before the real one."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    return write
