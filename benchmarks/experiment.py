"""What one run IS, the identity that follows from it, and the code that decides its numbers."""

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from baselines import BASELINES

from .settings import FILES, LATER, split_method

EXTERNAL = "external"  # what stands in the place of a recipe
HOUSE = Path(__file__).parent.parent
# The files whose code decides a run's numbers, beside the baseline's own. What is drawn or read is under the data's digest.
DECISIVE = (
    *("afa/features.py", "afa/augmentation.py", "afa/losses.py", "baselines/baseline.py", "baselines/backbones.py"),
    *("benchmarks/model.py", "benchmarks/training.py", "benchmarks/extraction.py", "benchmarks/evaluation.py"),
    *("benchmarks/distributed.py", "benchmarks/precision.py"),
    *(
        "benchmarks/seeds.py",
        "benchmarks/data/clips.py",
        "benchmarks/data/decode.py",
        "benchmarks/data/subsets.py",
        "benchmarks/data/flow.py",
        "benchmarks/data/raft.py",
    ),
)

SETTLED = (*DECISIVE, "baselines/registry.py", "baselines/errors.py")  # the last two decide no number


@dataclass(frozen=True)
class Experiment:
    """One run, before it has run.

    Attributes:
        method: BASELINE[+afa|+afa-motion], or the name of an external method.
        dataset: trained on; `test`: evaluated on, the same unless the evaluation crosses data sets.
        settings: as `Settings.recorded` has them; those of LATER that change nothing are no part of the identity.
        seed, split: of the run and of the training set; test_split: of the test set.
        data, test_data, weights: digests of what was read; of an evaluation elsewhere, of the trained model's weights.
        flow_weights: the digest of RAFT's, where they were used.
        recipe: where the settings came from; a label, and no part of the identity.
    """

    method: str
    dataset: str
    test: str
    settings: dict[str, Any]
    seed: int
    split: int
    data: str
    test_data: str
    weights: str
    recipe: str = ""
    test_split: int = 0
    flow_weights: str = "none"

    @property
    def external(self) -> bool:
        """Whether someone else's features were scored."""
        return self.recipe == EXTERNAL

    @property
    def identity(self) -> str:
        """sha256 of everything that the run is."""
        settings = {key: value for key, value in self.settings.items() if key not in FILES}
        return _sha256({**vars(self), "settings": settings})

    @property
    def question(self) -> str:
        """sha256 of what is asked, before any data or weights are read: the name of the weights in place of digests."""
        return _sha256({**vars(self), "data": "", "test_data": "", "weights": "", "flow_weights": ""})

    @property
    def name(self) -> str:
        """The run's folder: what a reader wants to see first, then the identity."""
        place = self.dataset if self.test == self.dataset else f"{self.dataset}-to-{self.test}"
        split = f"-split{self.split}" if self.split else ""
        name = f"{place}-{self.method}-seed{self.seed}{split}-{self.identity[:10]}"
        return re.sub(r"[^\w.+@-]", "_", name)


def _sha256(parts: dict[str, Any]) -> str:
    settings = {key: value for key, value in parts["settings"].items() if key not in LATER or value != LATER[key]}
    parts = {key: value for key, value in parts.items() if key != "recipe"} | {"settings": settings}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_digest(experiment: Experiment) -> str | None:
    """sha256 of the code that decides an experiment's numbers: syntax trees, without comments and docstrings.

    An external method's numbers are decided by the evaluation alone. None: the baseline is a plug-in that is not loaded.
    """
    if experiment.external:
        return _digest(("benchmarks/evaluation.py",))
    baseline = BASELINES.entries.get(split_method(experiment.method)[0])
    return _digest((*DECISIVE, *_with_imports(baseline.file))) if baseline is not None else None


@cache
def _with_imports(file: Path) -> tuple[str, ...]:
    """A baseline's file and those of baselines/ that it imports, by way of others too, beside the decisive ones."""
    found, waiting = set(), [file]
    while waiting:
        found.add(waiting[-1])
        imported = re.findall(
            r"^\s*from (?:baselines)?\.(\w+) import", waiting.pop().read_text(encoding="utf-8"), re.MULTILINE
        )
        waiting += [HOUSE / "baselines" / f"{name}.py" for name in imported if f"baselines/{name}.py" not in SETTLED]
        waiting = [each for each in waiting if each not in found]
    # By name and contents: where a plug-in lies, and a copy of it, is not what it is.
    return tuple(str(each) for each in sorted(found, key=lambda file: (file.name, file.read_bytes())))


@cache
def _digest(files: tuple[str, ...]) -> str:
    return hashlib.sha256(b"".join(_code(file) for file in files)).hexdigest()


@cache
def _code(file: str) -> bytes:
    """The code of a file, as text that comments, docstrings and layout do not change."""
    tree = ast.parse((HOUSE / file).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return repr(_shape(tree)).encode()


def _shape(node: Any) -> Any:
    """A syntax tree as plain lists, without empty fields: Python versions differ in which of those they have."""
    if isinstance(node, ast.AST):
        fields = [(key, value) for key, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *([key, _shape(value)] for key, value in fields)]
    return [_shape(each) for each in node] if isinstance(node, list) else repr(node)
