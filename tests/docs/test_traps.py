"""Each fault that no error reveals has the test that docs/reliability.md names."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_named_tests_exist():
    section = (ROOT / "docs/reliability.md").read_text().partition("## Wrong in silence")[2].partition("\n## ")[0]
    named = re.findall(r"^\| .* \| `(\S+)::(\S+)` \|$", section, re.MULTILINE)
    assert len(named) == section.count("\n| ") - 2
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text())
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, f"{file}::{name}"
