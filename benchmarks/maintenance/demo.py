"""`make demo`: train and compare four methods on the built-in data set, with the commands that a user would type."""

import subprocess
import sys

METHODS = ("mean", "mean+afa", "qan", "qan+afa")


def main() -> int:
    """Run the four methods of the paper's Table 4 on walkers, then print the table. Returns the exit status."""
    runs = [["run", "--method", method, "--dataset", "walkers"] for method in METHODS]
    for words in [*runs, ["table", "--dataset", "walkers"]]:
        print(f"\n$ bench {' '.join(words)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "benchmarks.cli", *words]).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
