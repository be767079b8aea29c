"""`make demo`: the main job on the embedded data set, as a user would type it."""

import subprocess
import sys

METHODS = ("mean", "mean+afa", "qan", "qan+afa")


def main() -> int:
    """Run the four methods of the paper's Table 4 on walkers, then print the table."""
    verbs = [["run", "--method", method, "--dataset", "walkers"] for method in METHODS]
    for verb in [*verbs, ["table", "--dataset", "walkers"]]:
        print(f"\n$ bench {' '.join(verb)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "benchmarks.cli", *verb]).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
