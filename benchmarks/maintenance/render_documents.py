"""Figures in the documents come from records: between two marks stands what a command printed, rendered anew by this file.

    <!-- bench table --from results/measured/demo.parquet --format github -->
    ...
    <!-- end -->

What a program wrote down while it ran stands there word for word: `<!-- file results/measured/status.txt -->`.

`python -m benchmarks.maintenance.render_documents README.md` renders in place.
"""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[2]  # from where the commands are called
BLOCK = re.compile(r"(<!-- (bench|file) (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, root: Path) -> str:
    """`text` with every block as its command prints it now, or its file has it, called in the folder `root`."""
    from benchmarks.cli import app

    def block(match: re.Match[str]) -> str:
        if match[2] == "file":
            return f"{match[1]}```text\n{(root / match[3]).read_text().strip()}\n```\n{match[4]}"
        printed = io.StringIO()
        with contextlib.chdir(root), contextlib.redirect_stdout(printed):
            app(shlex.split(match[3]), standalone_mode=False)
        return f"{match[1]}{printed.getvalue().strip()}\n{match[4]}"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(rendered(file.read_text(), HOUSE))
