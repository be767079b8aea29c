"""Plug-in files: each registered class goes to the registry of its base class, and every fault is one line with the file."""

import sys
from pathlib import Path
from typing import Any

import pytest

from baselines.interface import Registry, UserError
from baselines.interface.plugins import add_plugin, import_plugin, plugin_at_fault

PLUGIN = '''
from baselines.interface import Baseline, register

@register("first", "second")
class Thing(Baseline):
    """What it does."""
'''


@pytest.fixture
def registries(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    bases = {
        "baseline": "baselines.interface.baseline:Baseline",
        "data set": "benchmarks.data.dataset:Dataset",
        "suite": "benchmarks.suites.suite:Suite",
    }
    yield {kind: Registry(kind, tmp_path / "empty", "empty", base) for kind, base in bases.items()}
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


@pytest.fixture
def add(registries, tmp_path):
    """`add(text)` writes and adds a plug-in; returns the names in each registry."""

    def call(text: str, name: str = "mine.py") -> dict[str, list[str]]:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, errors="surrogateescape")
        add_plugin(file, registries.values())
        return {kind: registry.names() for kind, registry in registries.items() if registry.names()}

    return call


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("baseline", "import baselines.interface as bi\n@bi.register('x')\nclass X(bi.Baseline): ..."),
        ("baseline", "from baselines.interface import Baseline as B, register as r\n@r('x')\nclass X(B): ..."),
        (
            "baseline",
            "from baselines.mean import *\nfrom baselines import mean\n@register('x')\nclass X(mean.Mean): ...",
        ),
        (
            "suite",
            "from baselines.interface import register\nfrom benchmarks.suites.suite import Suite\n"
            "class Middle(Suite): ...\n@register('x')\nclass X(Middle): ...",
        ),
        (
            "data set",
            "from dataclasses import dataclass\nfrom baselines.interface import register\n"
            "from benchmarks.data.dataset import Dataset\n"
            "@dataclass(frozen=True, slots=True)\n@register('x')\nclass X(Dataset): ...",
        ),
        (
            "suite",
            "from baselines.interface import register\nfrom benchmarks.suites.suite import Suite\n"
            "def make():\n    class Inner(Suite): ...\n    return Inner\nX = Y = register('x')(make())",
        ),
    ],
)
def test_base_class_decides_the_registry(add, registries, kind, text):
    assert add(text) == {kind: ["x"]}
    assert registries[kind].get("x").registered_names == ("x",)


def test_one_file_with_all_kinds(add):
    text = PLUGIN + (
        "from benchmarks.data.dataset import Dataset\nfrom benchmarks.suites.suite import Suite\n"
        "@register('people')\nclass People(Dataset): ...\n@register('table9')\nclass Table9(Suite): ...\n"
    )
    assert add(text) == {"baseline": ["first", "second"], "data set": ["people"], "suite": ["table9"]}


def test_undecorated_and_imported_classes_are_ignored(add):
    text = PLUGIN + "from baselines.mean import Mean\nclass Part(Thing): ...\nclass Other(Mean): ...\n"
    assert add(text) == {"baseline": ["first", "second"]}


@pytest.mark.parametrize("text", ["class Odd: ...", "class Odd(dict): ...", "def Odd(): ..."])
def test_registered_class_of_no_kind_is_refused(add, text):
    with pytest.raises(UserError, match=r"mine\.py: Odd has @register but is not a subclass of Baseline, Dataset or S"):
        add(f"{PLUGIN}\n@register('odd')\n{text}")


def test_plugin_that_registers_nothing_is_refused(add):
    with pytest.raises(UserError, match=r"mine\.py: registers no baseline, data set or suite; put @register\("):
        add("from baselines.mean import Mean\n")


def test_summary_is_read(add, registries):
    add(PLUGIN)
    assert registries["baseline"].entry("first").summary == "What it does."


def test_same_file_name_in_two_folders(add, registries):
    for folder in "ab":
        add(PLUGIN.replace('"first", "second"', f'"{folder}"'), f"{folder}/mine.py")
    assert registries["baseline"].get("a").registered_names == ("a",)
    assert registries["baseline"].get("b").registered_names == ("b",)


def test_plugin_added_twice(add):
    assert add(PLUGIN) == add(PLUGIN)


def test_taken_name_is_refused(add):
    add(PLUGIN, "one.py")
    with pytest.raises(UserError, match=r"two\.py: baseline 'first' is taken by .*one\.py"):
        add(PLUGIN, "two.py")


def test_bad_name_is_refused(add, registries):
    with pytest.raises(UserError, match=r"mine\.py: baseline 'x\+afa': a name begins with"):
        add(PLUGIN.replace("second", "x+afa"))
    assert registries["baseline"].names() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", ", line 1: SyntaxError: "),
        ("a = '\0'", ".*: (SyntaxError|ValueError): .*null bytes"),
        ("\udcff", ".*: SyntaxError: .*utf-8"),
        ("\nimport no_such_module", ", line 2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f():\n    return {}['key']\n\nf()", ", line 2: KeyError: 'key'"),
        ("import sys\n\nsys.exit(3)", r", line 3: exits when it is imported \(status 3\)"),
        ("raise BaseException('two\\nlines')", ", line 1: BaseException: two$"),
        ("from baselines import BASELINES\nBASELINES.get('x')", ", line 2: no baseline 'x'"),
        ("from baselines.interface import register\n@register\nclass A: ...", ", line 2: TypeError: register takes"),
        ("from baselines.interface import register\n@register()\nclass A: ...", ", line 2: TypeError: register takes"),
    ],
)
def test_failed_import_is_one_line(add, text, message):
    for _ in range(2):  # the second time too: no half-imported module is found again
        with pytest.raises(UserError, match=rf"mine\.py{message}") as error:
            add(text)
        assert "\n" not in str(error.value)


def test_interrupt_is_not_swallowed(add):
    with pytest.raises(KeyboardInterrupt):
        add("raise KeyboardInterrupt")


@pytest.mark.parametrize(("name", "problem"), [("gone.py", "no such file"), ("", "not a"), ("notes.txt", "must end")])
def test_file_that_is_no_plugin(registries, tmp_path, name, problem):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=rf"--plugin {tmp_path / name}: .*{problem}"):
        add_plugin(tmp_path / name, registries.values())


@pytest.mark.usefixtures("registries")
def test_plugin_at_fault(tmp_path):
    file = tmp_path / "faulty.py"
    file.write_text("class Abstract:\n    def go(self):\n        return [][0]\n")
    kind: Any = import_plugin(file).Abstract
    with pytest.raises(IndexError) as caught:
        kind().go()
    assert plugin_at_fault(caught.value) == f"{file}, line 3"
    with pytest.raises(TypeError) as caught:
        kind(1)
    assert plugin_at_fault(caught.value) == f"{file}, class Abstract"
    assert plugin_at_fault(ValueError("Abstractly wrong")) is None
