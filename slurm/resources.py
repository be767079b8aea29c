"""What a job asks of the cluster, and the site's defaults."""

import dataclasses
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from . import JobError
from .attempt import DEATHS

LEAST = {"gpus": 0, "cpus": 1, "nodes": 1, "max_parallel": 1, "memory": 0.001}
# Of values in a site's file; the others are text.
KINDS: dict[str, type | UnionType] = {
    **dict.fromkeys(("gpus", "cpus", "nodes", "max_parallel"), int),
    **dict.fromkeys(("sbatch", "setup"), list),
    "memory": int | float,
}
# Of the batch script, before the site's own lines. Where a process that watches the command is killed, by whoever, only the
# script is left to say so; where it leaves a mark, its command was killed, and all of several must begin anew. It is no death
# where one of them ended by itself, for which srun kills the others, nor in a job that is cancelled, preempted or at its limit.
AGAIN = f"""bench_job=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
bench_deaths=FOLDER/deaths-$bench_job
export BENCH_KILLED=FOLDER/killed-$bench_job
bench_again() {{
    [ -e "$BENCH_KILLED" ] || {{ [ "$1" = 137 ] && ! ls FOLDER/"$bench_job"_*_result.pkl; }} >/dev/null 2>&1 || return 0
    rm -f "$BENCH_KILLED"
    [ "$(squeue --noheader --job=$bench_job --format=%T)" = RUNNING ] || return 0
    if echo >> "$bench_deaths" && [ "$(wc -l < "$bench_deaths")" -lt {DEATHS} ]; then scontrol requeue $bench_job
    else echo "ended by SIGKILL {DEATHS} times" >&2; fi
}}
trap 'bench_again $?' EXIT"""
SITE = Path(__file__).parent / "site.toml"  # the user's own, beside site.example.toml


@dataclass(frozen=True)
class Resources:
    """Of one job.

    Attributes:
        partition, account, qos, constraint: as sbatch has them; None leaves it to the cluster.
        gpus: a node; a process each. cpus: a process. memory: gigabytes a node. nodes: how many.
        time: the limit: "H:MM:SS", "D-HH:MM:SS" or minutes.
        max_parallel: how many jobs of an array run at once.
        sbatch: further options, each "name=value", without the dashes.
        setup: lines of shell before the command: modules, variables.
        python: the words that start Python in a job, a container's before its own; None: this process's Python.
        scratch: a folder on a node's own disk; variables in it are the job's.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: int = 0
    cpus: int = 2
    memory: float | None = None
    nodes: int = 1
    time: str = "4:00:00"
    max_parallel: int = 64
    sbatch: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    python: str | None = None
    scratch: str | None = None

    @property
    def processes(self) -> int:
        """A node's: one a GPU."""
        return max(self.gpus, 1)

    @property
    def interpreter(self) -> str:
        """What starts Python in a job, as words of shell."""
        return self.python or shlex.quote(sys.executable)

    @property
    def minutes(self) -> int:
        """The time limit, which Slurm counts in whole minutes.

        Raises:
            JobError: not a time.
        """
        matched = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)|(\d+)", self.time)
        if matched is None:
            raise JobError(f"--time {self.time}: not a time; write H:MM:SS, D-HH:MM:SS or minutes")
        days, hours, minutes, seconds, alone = (int(part or 0) for part in matched.groups())
        limit = alone or (days * 24 + hours) * 60 + minutes + (seconds + 59) // 60
        if not limit:
            raise JobError(f"--time {self.time}: a job has a limit; give what the partition allows at most")
        return limit

    def parameters(self, name: str, folder: Path, after: Sequence[str] = ()) -> dict[str, Any]:
        """As submitit's Slurm executor takes them.

        Args:
            name, folder: the jobs'.
            after: jobs that must be over first.
        """
        known = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus_per_node": self.gpus or None,
            "mem": f"{round(self.memory * 1024)}MB" if self.memory else None,
            "setup": [AGAIN.replace("FOLDER", shlex.quote(str(folder))), *self.setup],
            # Whatever a site's default is, a job may be queued again, and one process that ends badly ends them all.
            "additional_parameters": {"requeue": True}
            | dict(_pair(text) for text in self.sbatch)
            | ({"dependency": ":".join(("afterany", *after))} if after else {}),
            "srun_args": ["--kill-on-bad-exit=1"],
        }
        return {key: value for key, value in known.items() if value is not None} | {
            "job_name": name,
            "time": self.minutes,
            "nodes": self.nodes,
            "ntasks_per_node": self.processes,
            "cpus_per_task": self.cpus,
            "array_parallelism": self.max_parallel,
            # Time enough to save a state, and never more than a third of the limit.
            "signal_delay_s": min(90, self.minutes * 20),
        }


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.lstrip("-").partition("=")
    if not name.strip():
        raise JobError(f"--sbatch {text!r}: give NAME=VALUE, or the NAME of a switch")
    return name, value if equals else True


def resolve(options: Mapping[str, Any]) -> Resources:
    """Resources from the site's file (BENCH_SITE, or slurm/site.toml where there is one) and, before it, the options.

    Raises:
        JobError: a file that is not TOML, or an unknown key or wrong kind of value in it.
    """
    named = os.environ.get("BENCH_SITE")
    file = Path(named or SITE)
    said: dict[str, Any] = {}
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise JobError(f"BENCH_SITE={file}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobError(f"{file}: not TOML: {error}") from None
    fields = {field.name: field for field in dataclasses.fields(Resources)}
    for key, value in said.items():
        if key not in fields:
            raise JobError(f"{file}: unknown key {key!r}; there are {', '.join(fields)}")
        if (
            not isinstance(value, KINDS.get(key, str))
            or isinstance(value, bool)
            or (isinstance(value, list) and not all(isinstance(each, str) for each in value))
        ):
            raise JobError(f"{file}: {key} = {value!r} is of the wrong kind; slurm/site.example.toml shows it")
    chosen = {key: value for key, value in options.items() if value not in (None, (), [])}
    both: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in {**said, **chosen}.items()
    }
    for key, least in LEAST.items():
        if both.get(key) is not None and not both[key] >= least:
            raise JobError(f"{f'--{key}' if key in chosen else f'{file}: {key}'} {both[key]}: give {least} or more")
    return Resources(**both)
