"""What a job does: run one command as a process of its own, hand signals on to it, and start it again after a SIGKILL."""

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

DEATHS = 3  # by SIGKILL; what needs more memory than there is dies of it every time
STOPPED = (130, -signal.SIGTERM, -signal.SIGINT)
PATIENCE = 120.0  # seconds that a cluster may take to end a job after its processes got SIGTERM
PRCTL, PDEATHSIG = ctypes.CDLL(None).prctl, 1  # of <sys/prctl.h>


class Attempt:
    """A picklable call of `command`, which saves its state at SIGTERM and goes on from there when it is run again.

    Args:
        command, environment: the words, and what is added to the job's own environment. In the place of the Python
            of whoever submits runs the job's own: in a container there may be no other.
        lanes: where there is no scheduler: files of which one is locked while the command runs, so that no more run at once,
            and what the environment says besides in that one.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        lanes: Mapping[Path, Mapping[str, str]] | None = None,
    ) -> None:
        self.command = tuple("" if word == sys.executable else word for word in command)  # "": the job's Python
        self.environment, self.lanes = dict(environment), lanes
        self.child: int | None = None

    def __call__(self) -> None:
        """Run to the end.

        Raises:
            RuntimeError: the command failed, or was stopped and nobody ended this job.
        """
        with self._lane() as besides:
            beside = self.lanes is None and _beside()
            for _ in range(1 if beside else DEATHS):
                status = self._run(besides)
                if status != -signal.SIGKILL:
                    break
        if status == -signal.SIGKILL and beside:
            # The others wait for what this one was about to say: all begin anew. The batch script sees to it (resources.AGAIN).
            Path(os.environ["BENCH_KILLED"]).touch()
            os._exit(128 + signal.SIGKILL)  # without a result
        if status < 0:  # it could not say why itself
            times = f" {DEATHS} times" if status == -signal.SIGKILL else ""
            print(f"ended by {signal.Signals(-status).name}{times}", file=sys.stderr, flush=True)
        if status in STOPPED:
            # Whoever stopped the command is about to end this job too: preemption, a time limit, scontrol requeue. A job
            # that ends by itself meanwhile is not queued again.
            time.sleep(PATIENCE)
        if status:
            raise RuntimeError(f"exit status {status}")

    def checkpoint(self) -> DelayedSubmission:
        """For submitit, before a time limit or at preemption: have the command save its state; the job is queued again."""
        self._stop()
        self.child = None
        return DelayedSubmission(self)

    def _run(self, besides: Mapping[str, str]) -> int:
        def before() -> None:
            # A time limit's USR2 reaches every process of the job; the command must live to be asked to save its state.
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            # Not every cluster finds the child of a process that was killed, and nobody would watch it. Not SIGTERM, of which a
            # second one ends a run that is about to save its state.
            PRCTL(PDEATHSIG, signal.SIGINT)

        child = subprocess.Popen(
            [word or sys.executable for word in self.command],
            env={**os.environ, **self.environment, **besides},
            preexec_fn=before,
            process_group=0,
        )
        self.child = child.pid
        try:
            # Not child.wait(): a signal's handler that waits too would wait for its lock.
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        except KeyboardInterrupt:
            self._stop()
            raise
        with suppress(ProcessLookupError):
            # Workers outlive a process that was killed for a few seconds, and hold what it had locked.
            os.killpg(child.pid, signal.SIGKILL)
        return child.wait()

    def _stop(self) -> None:
        with suppress(ProcessLookupError, ChildProcessError):  # it has ended already
            if self.child is not None:
                os.kill(self.child, signal.SIGTERM)
                os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOWAIT)

    @contextmanager
    def _lane(self) -> Iterator[Mapping[str, str]]:
        """Wait for one of the lanes; the kernel frees that of a process that dies."""
        if self.lanes is None:
            yield {}
            return
        while True:
            for file, besides in self.lanes.items():
                with open(file, "a") as lane:
                    try:
                        fcntl.flock(lane, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    yield besides
                    return
            time.sleep(0.5)


def _beside() -> bool:
    """Whether other tasks of the job's step run the same command, and need this one."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1
