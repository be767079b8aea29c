"""The resources that a job requests from the cluster, and the site's defaults."""

import dataclasses
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from . import JobError, paths
from .job_command import MAX_KILLS

MINIMUM = {"gpus": 0, "cpus": 1, "nodes": 1, "max_parallel": 1, "memory": 0.001}
MAXIMUM = 1_000_000  # of each of them
# The types of the values in a site's file; all others are strings.
TYPES: dict[str, type | UnionType] = {
    **dict.fromkeys(("gpus", "cpus", "nodes", "max_parallel"), int),
    **dict.fromkeys(("sbatch", "setup"), list),
    "memory": int | float,
}
# Shell lines of the batch script, before the site's own: queue the job again when its command was killed, at most MAX_KILLS
# times. If the process that watches the command is killed as well, only the script can do that. With several processes, one
# that finds its command killed leaves a marker file, because all of them must restart. A kill does not count if one of the
# processes ended by itself (srun then kills the others), or if the job was cancelled, preempted or reached its time limit.
REQUEUE_SCRIPT = f"""bench_job=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
bench_kills=FOLDER/kills-$bench_job
export BENCH_KILLED=FOLDER/killed-$bench_job
bench_requeue() {{
    [ -e "$BENCH_KILLED" ] || {{ [ "$1" = 137 ] && ! ls FOLDER/"$bench_job"_*_result.pkl; }} >/dev/null 2>&1 || return 0
    rm -f "$BENCH_KILLED"
    [ "$(squeue --noheader --job=$bench_job --format=%T)" = RUNNING ] || return 0
    if echo >> "$bench_kills" && [ "$(wc -l < "$bench_kills")" -lt {MAX_KILLS} ]; then scontrol requeue $bench_job
    else echo "ended by SIGKILL {MAX_KILLS} times" >&2; fi
}}
trap 'bench_requeue $?' EXIT"""


@dataclass(frozen=True)
class Resources:
    """The resources of one job.

    Attributes:
        partition, account, qos, constraint: as sbatch takes them; None: the cluster's default.
        gpus: GPUs per node; one process per GPU.
        cpus: CPU cores per process.
        memory: gigabytes per node.
        nodes: the number of nodes.
        time: the time limit: "H:MM:SS", "D-HH:MM:SS" or minutes.
        max_parallel: how many jobs of an array run at once.
        sbatch: more options of sbatch, each "name=value", without the dashes.
        setup: shell lines before the command: modules, variables.
        python: the command that starts Python in a job, for example in a container; None: this process's Python.
        scratch: a folder on the node's own disk; the job replaces variables in it.
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
        """Processes per node: one per GPU."""
        return max(self.gpus, 1)

    @property
    def interpreter(self) -> str:
        """The shell command that starts Python in a job."""
        return self.python or shlex.quote(sys.executable)

    @property
    def minutes(self) -> int:
        """The time limit in whole minutes, as Slurm counts it.

        Raises:
            JobError: `time` is not a time.
        """
        matched = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)|(\d+)", self.time)
        if matched is None:
            raise JobError(f"--time {self.time}: not a time; write H:MM:SS, D-HH:MM:SS or minutes")
        days, hours, minutes, seconds, minutes_alone = (int(part or 0) for part in matched.groups())
        limit = minutes_alone or (days * 24 + hours) * 60 + minutes + (seconds + 59) // 60
        if not limit:
            raise JobError(f"--time {self.time}: a job needs a time limit; give at most that of the partition")
        return limit

    def parameters(self, name: str, folder: Path, after: Sequence[str] = ()) -> dict[str, Any]:
        """The parameters for submitit's Slurm executor.

        Args:
            name, folder: of the jobs.
            after: ids of jobs that must be over before these start.
        """
        options = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus_per_node": self.gpus or None,
            "mem": f"{round(self.memory * 1024)}MB" if self.memory else None,
            "setup": [REQUEUE_SCRIPT.replace("FOLDER", shlex.quote(str(folder))), *self.setup],
            # Whatever the site's defaults are, a job may be queued again, and a process that fails ends all others.
            "additional_parameters": {"requeue": True}
            | dict(_name_and_value(text) for text in self.sbatch)
            | ({"dependency": ":".join(("afterany", *after))} if after else {}),
            "srun_args": ["--kill-on-bad-exit=1"],
        }
        return {key: value for key, value in options.items() if value is not None} | {
            "job_name": name,
            "time": self.minutes,
            "nodes": self.nodes,
            "ntasks_per_node": self.processes,
            "cpus_per_task": self.cpus,
            "array_parallelism": self.max_parallel,
            # Enough time to save the state, but never more than a third of the limit.
            "signal_delay_s": min(90, self.minutes * 20),
        }


def _name_and_value(text: str) -> tuple[str, Any]:
    name, equals, value = text.lstrip("-").partition("=")
    if not name.strip():
        raise JobError(f"--sbatch {text!r}: give NAME=VALUE, or the NAME of an option without a value")
    return name, value if equals else True


def resolve(options: Mapping[str, Any]) -> Resources:
    """The resources: the options where they are given, otherwise the site's file (BENCH_SITE, or slurm/site.toml if it exists).

    Raises:
        JobError: the file is missing or not TOML, has an unknown key or a value of the wrong type, or a number is too small.
    """
    file = paths.site_file() or paths.DEFAULT_SITE_FILE
    site = _read_site_file(file)
    given = {key: value for key, value in options.items() if value not in (None, (), [])}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in {**site, **given}.items()
    }
    sources = {key: f"--{key.replace('_', '-')}" if key in given else f"{file}: {key}" for key in values}
    for key, value in values.items():
        if key in MINIMUM and value is not None and not MINIMUM[key] <= value <= MAXIMUM:
            raise JobError(f"{sources[key]}: give a number from {MINIMUM[key]} to {MAXIMUM}")
        for text in value if isinstance(value, tuple) and key != "setup" else (value,):
            if isinstance(text, str) and not text.isprintable():  # a second line would be another option of sbatch
                raise JobError(f"{sources[key]} {text!r}: write it on one line")
    return Resources(**values)


def _read_site_file(file: Path) -> dict[str, Any]:
    """The checked values of a site's file. Only the default file may be missing."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file == paths.DEFAULT_SITE_FILE:
            return {}
        raise JobError(f"BENCH_SITE={file}: no such file") from None
    except (ValueError, RecursionError) as error:  # the second: nested too deeply
        raise JobError(f"{file}: not TOML: {error}") from None
    keys = [field.name for field in dataclasses.fields(Resources)]
    for key, value in values.items():
        if key not in keys:
            raise JobError(f"{file}: unknown key {key!r}; the keys are {', '.join(keys)}")
        if (
            not isinstance(value, TYPES.get(key, str))
            or isinstance(value, bool)
            or (isinstance(value, list) and not all(isinstance(each, str) for each in value))
        ):
            raise JobError(f"{file}: {key} has the wrong type, {type(value).__name__}; see slurm/site.example.toml")
    return values
