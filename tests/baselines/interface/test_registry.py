"""The registry: lists names from source files without importing them, and refuses bad or taken names."""

import sys
from pathlib import Path

import pytest

from baselines import BASELINES, order_readers
from baselines.interface import UserError
from baselines.interface.plugins import add_plugin
from baselines.interface.registry import Registry, nearest, register

SOURCE = '''
from baselines.interface import Baseline, register

@register("first", "second")
class Thing(Baseline):
    """What it does.

    `second`: the same, at 0.5 of
    the width. `third`: none.

    Longer names:
        first@SIZE: of another size,
            in pixels
        first:KIND: of another kind

    Attributes:
        depth: no part of a name.
    """
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`folder(**sources)`: a registry over a package with these modules."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**sources: str) -> Registry:
        (tmp_path / "package").mkdir()
        for name, source in sources.items():
            (tmp_path / "package" / f"{name}.py").write_text(source)
        return Registry("baseline", tmp_path / "package", "package", "baselines.interface.baseline:Baseline")

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == "package"]:
        del sys.modules[name]


def test_listing_imports_nothing(folder):
    registry = folder(loud=SOURCE + "\nraise RuntimeError('imported')\n")
    assert registry.names() == ["first", "second"]
    for _ in range(2):  # a failed import leaves no half of a module behind
        with pytest.raises(RuntimeError, match="imported"):
            registry.get("first")


def test_get_returns_the_registered_class(folder):
    thing = folder(good=SOURCE).get("second")
    assert thing.__name__ == "Thing"
    assert thing.registered_names == ("first", "second")


def test_every_baseline_loads():
    for name in BASELINES.names():
        assert name in BASELINES.get(name).registered_names


def test_summary_is_per_name(folder):
    entries = folder(good=SOURCE).entries
    assert entries["first"].summary == "What it does."
    assert entries["second"].summary == "the same, at 0.5 of the width"


def test_reads_order_is_read_from_the_source_and_from_the_class(folder, tmp_path):
    source = """
from typing import ClassVar
from baselines.interface import Baseline, register

class Base(Baseline):
    reads_order: ClassVar[bool] = True

@register("inherits")
class Inherits(Base, Baseline):
    "."

@register("denies")
class Denies(Base):
    reads_order = False

@register("sets")
class Sets(Baseline):
    reads_order = True

@register("silent")
class Silent(Baseline):
    "."
"""
    registry = folder(some=source)
    expected = {"inherits": True, "denies": False, "sets": True, "silent": False}
    assert {name: entry.reads_order for name, entry in registry.entries.items()} == expected
    (tmp_path / "mine.py").write_text(source)
    plugins = Registry("baseline", tmp_path / "none", "none", "baselines.interface.baseline:Baseline")
    add_plugin(tmp_path / "mine.py", [plugins])
    assert {name: entry.reads_order for name, entry in plugins.entries.items()} == expected


def test_source_and_class_agree_on_reading_order():
    found = {name: entry.reads_order for name, entry in BASELINES.entries.items()}
    assert found == {name: BASELINES.get(name).reads_order for name in BASELINES.names()}
    assert order_readers() == tuple(name for name in sorted(found) if found[name])


def test_settings_are_the_keyword_only_parameters_in_source_and_class(folder, tmp_path):
    source = """
from baselines.interface import Baseline, register

class Base(Baseline):
    def __init__(self, backbone, other=1, *, depth: int = 2, rate=-0.5, name="a"):
        super().__init__(backbone)

@register("inherits")
class Inherits(Base, Baseline):
    "."

@register("replaces")
class Replaces(Base):
    def __init__(self, backbone, *, width=True):
        super().__init__(backbone)

@register("none")
class NoSettings(Baseline):
    "."
"""
    expected = {"inherits": {"depth": 2, "rate": -0.5, "name": "a"}, "replaces": {"width": True}, "none": {}}
    assert {name: entry.settings for name, entry in folder(some=source).entries.items()} == expected
    (tmp_path / "mine.py").write_text(source)
    plugins = Registry("baseline", tmp_path / "none", "none", "baselines.interface.baseline:Baseline")
    add_plugin(tmp_path / "mine.py", [plugins])
    assert {name: entry.settings for name, entry in plugins.entries.items()} == expected


def test_longer_names(folder):
    entry = folder(good=SOURCE).entry("first")
    assert entry.longer_names == {"first@SIZE": "of another size, in pixels", "first:KIND": "of another kind"}
    assert BASELINES.entry("mean").longer_names == {}


def test_class_outside_the_base_is_refused(folder):
    registry = folder(odd=SOURCE.replace("(Baseline)", ""))
    with pytest.raises(UserError, match=r"odd\.py: class Thing is registered as the baseline 'first' but is not a sub"):
        registry.get("first")


def test_unknown_name_suggests_the_closest():
    with pytest.raises(UserError, match=r"no baseline 'quan'; did you mean 'qan'\? \(add one with --plugin FILE\.py\)"):
        BASELINES.get("quan")


def test_suggestion_lists_all_when_none_is_close():
    assert nearest("smal", ["tiny", "demo", "mars"]) == "known: tiny, demo, mars"
    assert nearest("x", []) == "known: none"


def test_taken_name_is_refused(folder):
    with pytest.raises(UserError, match=r"two\.py: baseline 'first' is taken by .*one\.py; register another name"):
        folder(one=SOURCE, two=SOURCE).names()


def test_two_classes_cannot_share_a_name(folder):
    with pytest.raises(UserError, match=r"one\.py: baseline 'first' is taken"):
        folder(one=SOURCE + SOURCE.replace("Thing", "Other")).names()


@pytest.mark.parametrize("name", ["b8+afa", "two words", "x@2", "x:tiny", "", "-x", "a/b", "a\\n"])
def test_bad_name_is_refused(folder, name):
    with pytest.raises(UserError, match=r"named\.py: baseline .*: a name begins with"):
        folder(named=SOURCE.replace('"first", "second"', f'"{name}"')).names()


def test_names_must_be_literals(folder):
    with pytest.raises(UserError, match=r"bad\.py, line 4: write the names in @register as string literals"):
        folder(bad=SOURCE.replace('"first"', "NAME")).names()


@pytest.mark.parametrize("names", [(), (1,)])
def test_register_takes_strings(names):
    with pytest.raises(TypeError, match="one or more names"):
        register(*names)
