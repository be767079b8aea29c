"""What verbs print, written down for the README.

    python -m benchmarks.maintenance.record_transcripts results/measured/suite.txt
    python -m benchmarks.maintenance.record_transcripts results/measured/status.txt

The first runs a suite and plans more of it: 18 short trainings. The second shows a suite's states as they change, on a Slurm
of this machine, and needs root (slurm/local_cluster).
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
# By the name of the file: what is typed, again and again until it prints this.
MOMENTS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "suite": ((f"bench suite run {QUICK} --seeds 3", ()), (f"bench plan {QUICK} --seeds 4", ())),
    "status": (
        (SUBMISSION, ()),
        (STATUS, ("2 running", "epoch")),
        (PREEMPTION, ()),
        (STATUS, ("2 preempted",)),
        (STATUS, ("6 done",)),
    ),
}
PATIENCE = 600  # seconds


@contextmanager
def slurm(place: Path) -> Iterator[None]:
    """A cluster of this machine, whose nodes share its cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        up(place)
        yield
    finally:
        down(place)


def main(file: Path) -> None:
    """Do so, and write down what was typed and what it printed."""
    if file.stem not in MOMENTS:
        sys.exit(f"{file}: there is {' and '.join(f'{name}.txt' for name in MOMENTS)}")
    bench = f"{sys.executable} -m benchmarks.cli"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        os.environ |= {"BENCH_RESULTS": "runs", "BENCH_CACHE": str(place / "cache")}

        def printed(line: str, awaited: tuple[str, ...]) -> str:
            words, end = line.replace("bench", bench) if line.startswith("bench") else line, time.monotonic() + PATIENCE
            while time.monotonic() < end:
                text = subprocess.run(
                    words, shell=True, check=True, stdout=subprocess.PIPE, text=True, cwd=place
                ).stdout
                if all(each in text for each in awaited):
                    return text
            sys.exit(f"{line}: no {' and '.join(awaited)} within {PATIENCE} s:\n{text}")

        with slurm(place) if file.stem == "status" else nullcontext():
            said = [f"$ {line}\n{printed(line, awaited).strip()}".strip() for line, awaited in MOMENTS[file.stem]]
    file.write_text("\n\n".join(said) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
