"""Links, file names and commands in the documents lead somewhere."""

import re
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from benchmarks.cli import app

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```.*?^```$|<!--.*?-->", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
MADE_BY_USERS = {"results/runs", "slurm/site.toml"}
PATH = re.compile(r"(?:afa|baselines|benchmarks|docs|results|slurm|tests)/[\w./-]*")


def prose(document):
    return FENCED.sub("", document.read_text())


@cache
def anchors(document):
    """The names that MyST and GitHub give to headings."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links(document):
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", prose(document)):
        file = document.parent / target if target else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{document.name} links to {target}#{anchor}"


def test_file_names(document):
    for code in CODE.findall(prose(document)):
        if PATH.fullmatch(code) and code not in MADE_BY_USERS and "NAME" not in code:
            assert (ROOT / code).exists(), f"{document.name} names {code}"


def commands(document):
    """Every `bench ...` in the text and in the examples, as lists of words."""
    lines = [code for code in CODE.findall(prose(document)) if code.startswith("bench ")]
    for block in re.findall(r"^```sh\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL):
        lines += [part.strip() for line in block.replace("\\\n", " ").splitlines() for part in line.split("&&")]
    return [re.split(r"\s+", line.partition(" #")[0].strip()) for line in lines if line.startswith("bench ")]


def test_commands(document):
    for words in commands(document):
        command = typer.main.get_command(app)
        for word in words[1:]:
            if isinstance(command, TyperGroup):
                assert word in command.commands or word == "VERB" or word.startswith("--"), (
                    f"{document.name}: {' '.join(words)}"
                )
                command = command.commands.get(word, command)
        options = {option for parameter in command.params for option in parameter.opts} | {"--help", "--debug"}
        wrong = {word for word in words if word.startswith("--")} - options
        assert not wrong, f"{document.name}: {' '.join(words)}"


@pytest.mark.parametrize("code", ["bench tabel", "bench run --sed 1"])
def test_wrong_commands_are_detected(tmp_path, code):
    document = tmp_path / "page.md"
    document.write_text(f"Call `{code}`.")
    with pytest.raises(AssertionError, match=code):
        test_commands(document)
