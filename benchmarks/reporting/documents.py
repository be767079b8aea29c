"""Figures in the documents come from records: between two marks stands what a command printed, rendered anew by this file.

    <!-- bench table --from results/measured/demo.parquet --format github -->
    ...
    <!-- end -->

`python -m benchmarks.reporting.documents README.md` renders in place. Whether a record is stale is not judged here: a document
says which code made its figures.
"""

import re
import shlex
import sys
from pathlib import Path

from benchmarks.records import exported

from .table import page, tables

BLOCK = re.compile(r"(<!-- bench table (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, root: Path) -> str:
    """`text` with every block rendered from the records that it names, paths relative to `root`."""

    def block(match: re.Match[str]) -> str:
        words = iter(shlex.split(match[2]))
        options = {word.removeprefix("--"): next(words) for word in words}
        found = [
            record
            for record in exported(root / options["from"])
            if options.get("dataset") in (None, record["experiment"]["test"])
        ]
        made = tables(found, options.get("protocol"), None)
        return match[1] + page(made, options["format"]) + "\n" + match[3]

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(rendered(file.read_text(), file.parent))
