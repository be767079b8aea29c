"""The job: run one command as a child process, forward signals to it, and restart it after a SIGKILL."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from submitit.helpers import DelayedSubmission

from . import paths

MAX_KILLS = 3  # by SIGKILL; a command that needs more memory than the machine has is killed every time
STOPPED = (130, -signal.SIGTERM, -signal.SIGINT)  # exit statuses of a command that was asked to stop
SECONDS_UNTIL_ENDED = 120.0  # that a cluster may take to end a job after its processes got SIGTERM
PRCTL, PDEATHSIG = ctypes.CDLL(None).prctl, 1  # of <sys/prctl.h>


class JobCommand:
    """A picklable call of a command that saves its state at SIGTERM and resumes when it is run again.

    Args:
        command: the words. Where this process's own Python stands, the job's Python is used instead: in a container there may
            be no other.
        environment: variables that are added to the job's own.
        slots: without a scheduler: lock files, one of which is locked while the command runs, so that no more commands run at
            once, with the variables that the slot adds to the environment.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        slots: Mapping[Path, Mapping[str, str]] | None = None,
    ) -> None:
        self.command = tuple("" if word == sys.executable else word for word in command)  # "": the job's Python
        self.environment, self.slots = dict(environment), slots
        self.child: int | None = None

    def __call__(self) -> None:
        """Run the command to its end.

        Raises:
            RuntimeError: the command failed, or was stopped and nobody ended this job.
        """
        with self._slot() as slot_environment:
            has_peers = self.slots is None and _has_peers()
            for _ in range(1 if has_peers else MAX_KILLS):
                status = self._run(slot_environment)
                if status != -signal.SIGKILL:
                    break
        if status == -signal.SIGKILL and has_peers:
            # The other processes wait for this one: all must restart. The batch script does that (resources.REQUEUE_SCRIPT).
            paths.killed_marker().touch()
            os._exit(128 + signal.SIGKILL)  # without a result
        if status < 0:  # the command could not report why
            times = f" {MAX_KILLS} times" if status == -signal.SIGKILL else ""
            print(f"ended by {signal.Signals(-status).name}{times}", file=sys.stderr, flush=True)
        if status in STOPPED:
            # Whoever stopped the command is about to end this job too: preemption, a time limit, or scontrol requeue. A job
            # that ends by itself before that is not queued again.
            time.sleep(SECONDS_UNTIL_ENDED)
        if status:
            raise RuntimeError(f"exit status {status}")

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit before a time limit or at preemption: the command saves its state; the job is queued again."""
        self._stop()
        self.child = None
        return DelayedSubmission(self)

    def _run(self, slot_environment: Mapping[str, str]) -> int:
        def before_exec() -> None:
            # At a time limit every process of the job gets USR2; the command must survive it to be asked to save its state.
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            # If this process is killed, not every cluster finds its child, and nobody would watch it. Not SIGTERM: a second
            # SIGTERM ends a run that is saving its state.
            PRCTL(PDEATHSIG, signal.SIGINT)

        child = subprocess.Popen(
            [word or sys.executable for word in self.command],
            env={**os.environ, **self.environment, **slot_environment},
            preexec_fn=before_exec,
            process_group=0,
        )
        self.child = child.pid
        try:
            # Not child.wait(): a signal handler that waits as well would wait for its lock.
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        except KeyboardInterrupt:
            self._stop()
            raise
        with suppress(ProcessLookupError):
            # The workers of a killed process live on for a few seconds and keep its locks.
            os.killpg(child.pid, signal.SIGKILL)
        return child.wait()

    def _stop(self) -> None:
        with suppress(ProcessLookupError, ChildProcessError):  # it has already ended
            if self.child is not None:
                os.kill(self.child, signal.SIGTERM)
                os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOWAIT)

    @contextmanager
    def _slot(self) -> Iterator[Mapping[str, str]]:
        """Wait for a free slot; gives the variables that it adds. The kernel frees the slot of a process that dies."""
        if self.slots is None:
            yield {}
            return
        while True:
            for file, environment in self.slots.items():
                with open(file, "a") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    yield environment
                    return
            time.sleep(0.5)


def _has_peers() -> bool:
    """Whether other tasks of this job step run the same command and depend on this one."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1
