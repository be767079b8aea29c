"""Names from source files: listed without imports, refused when taken, answered with the nearest right one."""

import sys
from pathlib import Path

import pytest

from baselines import BASELINES
from baselines.errors import UserError
from baselines.registry import Registry

PLUGIN = '''
from baselines.registry import register
from baselines.baseline import Baseline

@register("first", "second")
class Thing(Baseline):
    """What it does.

    More of it.
    """
    def forward(self, clips): ...
'''


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "package").mkdir()
    return Registry("baseline", tmp_path / "package", "package", base="Baseline")


def test_a_file_is_read_and_not_run(registry, tmp_path):
    file = tmp_path / "loud.py"
    file.write_text(PLUGIN + "\nraise RuntimeError('imported')\n")
    assert [entry.name for entry in registry.add_file(file)] == ["first", "second"]
    assert registry.entries["second"].summary == "What it does."
    with pytest.raises(RuntimeError, match="imported"):
        registry.get("first")


def test_an_entry_is_the_class_that_carries_its_name(registry, tmp_path):
    file = tmp_path / "good.py"
    file.write_text(PLUGIN)
    registry.add_file(file)
    assert registry.get("second").__name__ == "Thing"
    assert registry.get("second").names == ("first", "second")
    sys.modules.pop("plugin_good")


def test_every_name_of_ours_loads_the_class_that_registers_it():
    for name in BASELINES.names():
        assert name in BASELINES.get(name).names


def test_a_wrong_name_is_answered_with_the_nearest_right_one():
    with pytest.raises(UserError, match="no baseline 'quan'; did you mean 'qan'"):
        BASELINES.get("quan")


def test_a_taken_name_is_refused_and_both_files_are_named(registry, tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(PLUGIN)
    registry.add_file(tmp_path / "one.py")
    with pytest.raises(UserError, match=r"two\.py: baseline 'first' is taken by .*one\.py"):
        registry.add_file(tmp_path / "two.py")


@pytest.mark.parametrize(("text", "message"), [("def (", "line 1"), (None, "No such file")])
def test_an_unreadable_plugin_is_one_line_that_names_the_file(registry, tmp_path, text, message):
    file = tmp_path / "bad.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=rf"bad\.py.*{message}"):
        registry.add_file(file)
