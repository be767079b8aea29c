"""Record what commands print, for the documents.

    python -m benchmarks.maintenance.record_transcripts results/measured/suite.txt
    python -m benchmarks.maintenance.record_transcripts results/measured/status.txt

The first runs a suite and plans more of it: 18 short trainings. The second shows the states of a suite as they change, on a
Slurm of this machine, and needs root (slurm/local_cluster).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from slurm.local_cluster.__main__ import NODES, down, up

SUITE = "table4 --dataset walkers:tiny --quick --seeds 1"
SUBMISSION = f"bench submit {SUITE} --cpus 1 --max-parallel 2"
STATUS = f"bench status {SUITE}"
PREEMPTION = f"sbatch --quiet --partition=high --nodes={NODES} --exclusive --output=/dev/null --wrap='sleep 10'"
QUICK = "table4 --dataset walkers --quick"
# By the name of the file: the commands, each with the texts that it must print. It is repeated until it prints them.
COMMANDS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "suite": ((f"bench suite run {QUICK} --seeds 3", ()), (f"bench plan {QUICK} --seeds 4", ())),
    "status": (
        (SUBMISSION, ()),
        (STATUS, ("2 running", "epoch")),
        (PREEMPTION, ()),
        (STATUS, ("2 preempted",)),
        (STATUS, ("6 done",)),
    ),
}
TIMEOUT_SECONDS = 600


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """A cluster on this machine, whose nodes share its cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        up(folder)
        yield
    finally:
        down(folder)


def main(file: Path) -> None:
    """Run the commands of a transcript, and write them to the file with what they print."""
    if file.stem not in COMMANDS:
        sys.exit(f"{file}: choose {' or '.join(f'{name}.txt' for name in COMMANDS)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.environ |= {"BENCH_RESULTS": "runs", "BENCH_CACHE": str(folder / "cache")}
        with slurm(folder) if file.stem == "status" else nullcontext():
            outputs = [(command, _output(command, texts, folder)) for command, texts in COMMANDS[file.stem]]
    file.write_text("\n\n".join(f"$ {command}\n{output}".strip() for command, output in outputs) + "\n")


def _output(command: str, texts: tuple[str, ...], folder: Path) -> str:
    """What a command prints in `folder`, once it contains all `texts`."""
    words = command.replace("bench", f"{sys.executable} -m benchmarks.cli") if command.startswith("bench") else command
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        output = subprocess.run(words, shell=True, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout
        if all(text in output for text in texts):
            return output.strip()
    sys.exit(f"{command}: did not print {' and '.join(texts)} within {TIMEOUT_SECONDS} s:\n{output}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
