"""What `bench status` says as a suite's states change, on a Slurm of this machine, written down for the README.

python -m benchmarks.transcript results/measured/status.txt      # as root; see slurm/local_cluster
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slurm.local_cluster.__main__ import NODES, down, up

SUITE = "table4 --dataset walkers:tiny --quick --seeds 1"
SUBMISSION = f"bench submit {SUITE} --cpus 1 --max-parallel 2"
STATUS = f"bench status {SUITE}"
PREEMPTION = f"sbatch --quiet --partition=high --nodes={NODES} --exclusive --output=/dev/null --wrap='sleep 10'"
# What is typed, again and again until it prints this.
MOMENTS = (
    (SUBMISSION, ()),
    (STATUS, ("2 running", "epoch")),
    (PREEMPTION, ()),
    (STATUS, ("2 preempted",)),
    (STATUS, ("6 done",)),
)
PATIENCE = 600  # seconds


def main(file: Path) -> None:
    """Do so, and write down what was typed and what it printed."""
    bench = f"{sys.executable} -m benchmarks.cli"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        os.environ |= {"BENCH_RESULTS": "runs", "BENCH_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}

        def printed(line: str, awaited: tuple[str, ...]) -> str:
            words, end = line.replace("bench", bench) if line.startswith("bench") else line, time.monotonic() + PATIENCE
            while time.monotonic() < end:
                text = subprocess.run(
                    words, shell=True, check=True, stdout=subprocess.PIPE, text=True, cwd=place
                ).stdout
                if all(each in text for each in awaited):
                    return text
            sys.exit(f"{line}: no {' and '.join(awaited)} within {PATIENCE} s:\n{text}")

        try:
            up(place)
            text = "\n".join(f"$ {line}\n{printed(line, awaited)}" for line, awaited in MOMENTS)
        finally:
            down(place)
    file.write_text(text.strip() + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
