"""The temporal baselines under comparison and the matchers that compare tracklets: two registries, one file each.

`BASELINES` and `MATCHERS` list names without importing torch; `BASELINES.get(name)` imports the file.
"""

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

from baselines.interface.registry import Registry

BASELINES = Registry("baseline", Path(__file__).parent, __name__, base="baselines.interface.baseline:Baseline")
MATCHERS = Registry(
    "matcher", Path(__file__).parent / "matchers", f"{__name__}.matchers", base="baselines.interface.matcher:Matcher"
)
TEST_CLIPS = {"exact": "clips of T frames at test", "whole": "whole tracklets at test"}


def order_readers() -> tuple[str, ...]:
    """The baselines that set `reads_order`: their embeddings depend on the order of frames or on flow. Sorted by name."""
    return tuple(name for name, entry in sorted(BASELINES.entries.items()) if entry.reads_order)


class Facts(NamedTuple):
    """What a baseline is: its family and its source, empty where its docstring does not say; and what it needs."""

    family: str
    source: str
    needs: tuple[str, ...]


def facts_of(name: str) -> Facts:
    """From the lines `Family:`, `Source:` and `Needs:` of a baseline's docstring, and from its class attributes.

    Reads the file as a syntax tree and imports nothing.

    Raises:
        UserError: no such baseline.
    """
    entry = BASELINES.entry(name)
    said = said_in(entry.docstring)
    body = ast.parse(entry.file.read_text(encoding="utf-8")).body
    given = _attributes(entry.attribute, {node.name: node for node in body if isinstance(node, ast.ClassDef)})
    needs = ["optical flow"] * bool(given.get("flow_fields", 0))
    needs += ["attributes of the training people"] * entry.uses_attributes
    needs += [TEST_CLIPS[clips]] if (clips := given.get("test_clips")) in TEST_CLIPS else []
    needs += [said["Needs"]] if "Needs" in said else []
    return Facts(said.get("Family", ""), said.get("Source", ""), tuple(needs))


def said_in(docstring: str) -> dict[str, str]:
    """The lines `Family:`, `Source:` and `Needs:` of a docstring, by their first word."""
    return dict(re.findall(r"^(Family|Source|Needs): (.+)$", docstring, re.MULTILINE))


def _attributes(name: str, classes: dict[str, ast.ClassDef]) -> dict[str, Any]:
    """The constants among the class attributes of a class, and of its bases in the same file; True for other values."""
    if name not in classes:
        return {}
    found: dict[str, Any] = {}
    for base in reversed(classes[name].bases):
        found |= _attributes(getattr(base, "id", ""), classes)
    for statement in classes[name].body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            value = getattr(statement.value, "value", True)
            found |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return found
