"""The examples in the documents run: each page's from top to bottom, in an empty folder.

A `python` block whose first line is a file's name in a comment, such as `# softmax_pool.py`, is saved under that name; so is a
`toml` block. Other `python` blocks run, and so does each line of an `sh` block: `bench ...` or `python FILE ...`. A block below
a comment `<!-- not executed: REASON -->` is passed over. The notebook's cells run in the same way.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from baselines import BASELINES, MATCHERS
from baselines.backbones import BACKBONES
from benchmarks import cli
from benchmarks.data import DATASETS
from benchmarks.suites import COMPARISONS, SUITES

NOTEBOOK = Path(__file__).parents[2] / "docs" / "from-records-to-a-figure.ipynb"
BLOCK = re.compile(r"(<!-- not executed: [^\n]+ -->\n)?^```(python|sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w-]+\.\w+)\n")


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "runs"))
    for registry in (BASELINES, MATCHERS, BACKBONES, DATASETS, SUITES, COMPARISONS):
        monkeypatch.setattr(registry, "entries", dict(registry.entries))


def examples(document):
    """Language and text of each block that runs."""
    return [(language, text) for skip, language, text in BLOCK.findall(document.read_text()) if not skip]


def run(language, text, names):
    named = NAME.match(text)
    if named:
        Path(named[1]).write_text(text)
    elif language == "python":
        exec(compile(text, "<example>", "exec"), names)
    else:
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["python"]:
                subprocess.run([sys.executable, *words[1:]], check=True)
            elif words:
                assert words[0] == "bench", line
                cli.app(words[1:], standalone_mode=False)


@pytest.mark.usefixtures("_own_folder")
def test_examples(document):
    names = {"__name__": "__main__"}
    for language, text in examples(document):
        run(language, text, names)


@pytest.mark.usefixtures("_own_folder")
def test_notebook():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            run("python", "".join(cell["source"]), names)
    assert set(names["difference"].world) >= {"clean", "hard"}
    assert Path("gait.svg").stat().st_size > 5_000
