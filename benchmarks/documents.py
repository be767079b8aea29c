"""Figures in the documents come from records: between two marks stands what a command printed, rendered anew by this file.

    <!-- bench table --from results/measured/demo.parquet --format github -->
    ...
    <!-- end -->

`python -m benchmarks.documents README.md` renders in place.
"""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[1]  # from where the commands are called
BLOCK = re.compile(r"(<!-- bench (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, root: Path) -> str:
    """`text` with every block as its command prints it now, called in the folder `root`."""
    from benchmarks.cli import app

    def block(match: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.chdir(root), contextlib.redirect_stdout(printed):
            app(shlex.split(match[2]), standalone_mode=False)
        return f"{match[1]}{printed.getvalue().strip()}\n{match[3]}"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(rendered(file.read_text(), HOUSE))
