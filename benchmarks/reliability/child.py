"""`bench` in a forked process that reports its phase, so that it can be killed in a chosen phase.

All modules are imported before the fork, so that a killed run costs no import time.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import benchmarks.engine.run
import benchmarks.engine.training
import benchmarks.reporting.table
import benchmarks.runs.find
import benchmarks.scheduling.single_runs
from benchmarks import cli

DRAWING, TRAINING, SAVING, EXTRACTING, WRITING = PHASES = (
    "drawing the data",
    "training",
    "saving a checkpoint or weights",
    "extracting",
    "writing the record",
)
FUNCTIONS = {
    (benchmarks.scheduling.single_runs, "plan"): DRAWING,
    (benchmarks.engine.run, "train"): TRAINING,
    (benchmarks.engine.run, "score"): EXTRACTING,
    (benchmarks.engine.run, "write_record"): WRITING,
}
BETWEEN = "between"
PATIENCE = 600.0  # seconds, after which a process counts as stuck


class Folders(NamedTuple):
    """Where a run writes."""

    results: Path
    cache: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that name them."""
        return {"BENCH_RESULTS": str(self.results), "BENCH_CACHE": str(self.cache)}


@dataclass
class Child:
    """A running process and the phases that it has announced, with their times."""

    pid: int
    output: Path
    pipe: int
    phases: list[tuple[str, float]] = field(default_factory=list)
    status: int | None = None

    def wait_for(self, phase: str) -> bool:
        """Wait until the process announces a phase; False if it ends without."""
        while self._read():
            if self.phases[-1][0] == phase:
                return True
        return False

    def _read(self) -> bool:
        """Read the next announcement; False at the end of the process."""
        if not select.select([self.pipe], [], [], PATIENCE)[0]:
            self.kill()
            return False
        number = os.read(self.pipe, 1)
        if number:
            self.phases.append(((*PHASES, BETWEEN)[number[0]], time.monotonic()))
        return bool(number)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self) -> None:
        """End the process by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def finish(self) -> int:
        """Wait for the end; the exit status, negative after a signal."""
        if self.status is None:
            while self._read():
                pass
            os.close(self.pipe)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    @property
    def last_phase(self) -> str:
        """The phase that was announced last."""
        return self.phases[-1][0] if self.phases else BETWEEN

    @property
    def durations(self) -> dict[str, float]:
        """The seconds of the first occurrence of each phase."""
        ends = [at for _, at in self.phases[1:]]
        pairs = [(name, end - at) for (name, at), end in zip(self.phases, ends, strict=False)]
        return dict(reversed(pairs))

    @property
    def lines(self) -> list[str]:
        """What the process printed."""
        return self.output.read_text(errors="replace").splitlines()

    @property
    def last_line(self) -> str:
        """The last line, which is the message of a run that failed."""
        return self.lines[-1] if self.lines else ""


def start(
    words: tuple[str, ...], folders: Folders, prepare: Callable[[], object] = int, output: Path | None = None
) -> Child:
    """Start `bench WORDS` in a forked process.

    Args:
        prepare: called in that process first.
        output: the file for what it prints; by default one beside the results.
    """
    read, write = os.pipe()
    folders.results.parent.mkdir(parents=True, exist_ok=True)
    output = output or folders.results.parent / f"output-{time.monotonic_ns()}.txt"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            with open(output, "w") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            os.environ |= folders.variables
            _announce_phases(write)
            prepare()
            sys.argv = ["bench", *words]
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(write)
    return Child(pid, output, read)


def _announce_phases(pipe: int) -> None:
    """Make this process write the number of each phase into the pipe as the phase begins."""
    current = [BETWEEN]

    @contextmanager
    def announced(phase: str) -> Iterator[None]:
        before, current[0] = current[0], phase
        os.write(pipe, bytes([(*PHASES, BETWEEN).index(phase)]))
        yield
        current[0] = before
        os.write(pipe, bytes([(*PHASES, BETWEEN).index(before)]))

    def wrapped(function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with announced(phase):
                return function(*arguments, **options)

        return call

    def saving(function: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def block(file: Path) -> Iterator[Path]:
            with announced(SAVING), function(file) as half:
                yield half

        return block

    for (module, name), phase in FUNCTIONS.items():
        setattr(module, name, wrapped(getattr(module, name), phase))
    for module in (benchmarks.engine.run, benchmarks.engine.training):
        module.checked_file = saving(module.checked_file)  # type: ignore[attr-defined]
