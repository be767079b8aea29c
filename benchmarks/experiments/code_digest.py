"""The digest of the code that decides a run's numbers; it shows whether a record is current or stale."""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from baselines import BASELINES, MATCHERS
from baselines.backbones import BACKBONES

from .experiment import Experiment
from .methods import split_method
from .settings import NO_MATCHER

REPOSITORY = Path(__file__).parents[2]
EVALUATION = ("benchmarks/evaluation", "benchmarks/runs/metrics.py")
# All code in these folders, how backbones are built, and how seeds are derived decide numbers. So do the files of the run's own
# model, backbone and matcher, with the layers that they import: a new model leaves the digests of the others alone. The code
# that reads or draws data is covered by the digest of the data.
DECIDING = (
    *("afa", "baselines/interface", "baselines/backbones/build.py", "baselines/backbones/weights.py"),
    *("benchmarks/clips", "benchmarks/engine", *EVALUATION, "benchmarks/seeds.py"),
)
GOLDEN = REPOSITORY / "results" / "measured" / "golden.json"  # written by benchmarks.maintenance.golden_runs
HALF = 32


def code_digest(experiment: Experiment) -> str | None:
    """The digest of the code that decides an experiment's numbers, of two halves: the shared code, and the model's own files.

    Each half is a sha256 over syntax trees, without comments and docstrings. The numbers of an external method are decided by
    the evaluation alone. None: the baseline, backbone or matcher is a plug-in that is not loaded.
    """
    if experiment.external:
        return _digest(EVALUATION) + _digest(())
    settings = experiment.settings
    entries = [BASELINES.entries.get(split_method(experiment.method)[0])]
    if "backbone" in settings:
        entries.append(BACKBONES.entries.get(settings["backbone"].partition(":")[0]))
    if settings.get("matcher", "none") not in NO_MATCHER:
        entries.append(MATCHERS.entries.get(settings["matcher"]))
    if None in entries:
        return None
    return shared_code() + _own_code(tuple(entry.file for entry in entries if entry))


@cache
def _own_code(models: tuple[Path, ...]) -> str:
    """The digest of the files of these models and of what they import."""
    files = [file for model in models for file in model_files(model)]
    return _digest((), tuple(file for file in files if not _is_deciding(file)))


def shared_code() -> str:
    """The digest of the code that decides the numbers of all models."""
    return _digest(DECIDING)


def same_numbers(code: str) -> str:
    """A code digest that is equal for codes that give the same bits: of shared codes with equal golden runs, the newest."""
    shared, own = code[:HALF], code[HALF:]
    equal = shared_codes()
    return (equal[-1] if shared in equal else shared) + own


@cache
def shared_codes() -> tuple[str, ...]:
    """The digests of the shared code whose golden runs had the bits in results/measured/golden.json, oldest first."""
    return tuple(json.loads(GOLDEN.read_text())["shared_codes"]) if GOLDEN.exists() else ()


@cache
def model_files(file: Path) -> tuple[Path, ...]:
    """A model's file and the files of baselines/ that it imports, directly or not, outside the DECIDING folders.

    Sorted by name and contents, so that the location of a plug-in does not change its digest.
    """
    found, waiting = set(), [file]
    while waiting:
        found.add(here := waiting.pop())
        waiting += [each for each in _imported(here) if each not in found and not _is_deciding(each)]
    return tuple(sorted(found, key=lambda file: (file.name, file.read_bytes())))


def _imported(file: Path) -> list[Path]:
    """The files that a file imports from baselines/, or relative to itself."""
    found = []
    for node in _statements(_tree(file)):
        if isinstance(node, ast.ImportFrom) and (node.level or f"{node.module}.".startswith("baselines.")):
            folder = (file.parents[node.level - 1] if node.level else REPOSITORY) / (node.module or "").replace(
                ".", "/"
            )
            found += [folder.with_suffix(".py"), *(folder / f"{alias.name}.py" for alias in node.names)]
    return [each for each in found if each.is_file()]


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements inside a node, which are far fewer than its nodes, and the handlers and cases that hold them."""
    for part in ("body", "orelse", "handlers", "finalbody", "cases"):
        for each in getattr(node, part, []):
            yield each
            yield from _statements(each)


def _is_deciding(file: Path) -> bool:
    return any(file.is_relative_to(REPOSITORY / part) for part in DECIDING)


@cache
def _digest(parts: tuple[str, ...], others: tuple[Path, ...] = ()) -> str:
    files = [file for part in parts for file in _python_files(REPOSITORY / part)]
    return hashlib.sha256(b"".join(_syntax(file) for file in (*files, *others))).hexdigest()[:HALF]


def _python_files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _syntax(file: Path) -> bytes:
    """The code of a file, as text that comments, docstrings and layout do not change."""
    return repr(_plain(_tree(file))).encode()


def _plain(node: Any) -> Any:
    """A syntax tree as plain lists, without docstrings and empty fields: Python versions differ in which of those they have."""
    if isinstance(node, ast.AST):
        fields = {key: getattr(node, key, None) for key in node._fields}
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, False) is not None:
            fields["body"] = node.body[1:]
        kept = ([key, _plain(value)] for key, value in fields.items() if value is not None and value != [])
        return [type(node).__name__, *kept]
    return [_plain(each) for each in node] if isinstance(node, list) else repr(node)
