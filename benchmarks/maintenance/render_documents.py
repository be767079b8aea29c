"""Render the results in the documents from records. A document marks each place by a comment:

    <!-- bench table --from results/measured/table4.parquet --format github -->
    what the command prints
    <!-- end -->

`<!-- file results/measured/status.txt -->` quotes a file, and `<!-- python CODE -->` prints what the code prints.

`python -m benchmarks.maintenance.render_documents README.md docs/*.md` renders documents in place.
"""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- (bench|file|python)\s(.*?)\s?-->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str, root: Path = ROOT) -> str:
    """The document with every block printed anew; commands run in the folder `root`."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}{PRINTED[match[2]](match[3]).strip()}\n{match[4]}"

    with contextlib.chdir(root):
        return BLOCK.sub(block, text)


def _bench(words: str) -> str:
    from benchmarks.cli import app

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        app(shlex.split(words), standalone_mode=False)
    return printed.getvalue()


def _file(name: str) -> str:
    return f"```text\n{Path(name).read_text().strip()}\n```"


def _python(code: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    return printed.getvalue()


PRINTED = {"bench": _bench, "file": _file, "python": _python}

if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(render(file.read_text()))
