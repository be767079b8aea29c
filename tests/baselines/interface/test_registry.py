"""Names from source files: listed without imports, refused when taken, answered with the nearest right one."""

from pathlib import Path

import pytest

from baselines import BASELINES
from baselines.interface.errors import UserError
from baselines.interface.registry import Registry, import_plugin, nearest, plugin_at_fault

PLUGIN = '''
from baselines.interface.registry import register
from baselines.interface.baseline import Baseline

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
    for _ in range(2):  # the second time too, and not a half-made module
        with pytest.raises(RuntimeError, match="imported"):
            registry.get("first")


def test_an_entry_is_the_class_that_carries_its_name(registry, tmp_path):
    file = tmp_path / "good.py"
    file.write_text(PLUGIN)
    registry.add_file(file)
    assert registry.get("second").__name__ == "Thing"
    assert registry.get("second").names == ("first", "second")


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


def test_two_classes_of_one_file_cannot_share_a_name(registry, tmp_path):
    (tmp_path / "one.py").write_text(PLUGIN + PLUGIN.replace("Thing", "Other"))
    with pytest.raises(UserError, match=r"one\.py: baseline 'first' is taken"):
        registry.add_file(tmp_path / "one.py")


def test_plugins_of_one_file_name_in_two_folders_are_two(registry, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(PLUGIN.replace('"first", "second"', f'"{folder}"'))
        registry.add_file(tmp_path / folder / "mine.py")
    assert registry.get("a").names == ("a",)
    assert registry.get("b").names == ("b",)


@pytest.mark.parametrize("name", ["b8+afa", "two words", "x@2", "x:tiny", "", "-x", "a/b", "a\\n"])
def test_a_name_that_could_not_be_typed_as_a_method_is_refused(registry, tmp_path, name):
    file = tmp_path / "named.py"
    file.write_text(PLUGIN.replace('"first", "second"', f'"{name}"'))
    with pytest.raises(UserError, match=r"named\.py: baseline .*: a name is made of"):
        registry.add_file(file)
    assert not registry.entries


def test_each_of_several_names_may_have_a_sentence_of_its_own(registry, tmp_path):
    file = tmp_path / "many.py"
    file.write_text(PLUGIN.replace("More of it.", "`second`: the same, at 0.5 of\n    the width. `third`: none."))
    registry.add_file(file)
    assert registry.entries["first"].summary == "What it does."
    assert registry.entries["second"].summary == "the same, at 0.5 of the width"


def test_the_plugin_at_fault_is_the_one_whose_code_raised_or_whose_class_is_spoken_of(registry, tmp_path):
    file = tmp_path / "faulty.py"
    file.write_text("class Abstract:\n    def go(self):\n        return [][0]\n")
    kind = import_plugin(file).Abstract
    with pytest.raises(IndexError) as caught:
        kind().go()
    assert plugin_at_fault(caught.value) == f"{file}, line 3"
    with pytest.raises(TypeError) as caught:
        kind(1)
    assert plugin_at_fault(caught.value) == f"{file}, class Abstract"
    assert plugin_at_fault(ValueError("Abstractly wrong")) is None


def test_names_far_from_any_are_answered_with_all():
    assert nearest("smal", ["tiny", "demo", "mars"]) == "known: tiny, demo, mars"
    assert nearest("x", []) == "known: none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "line 1"),
        ("a = '\0'", "null bytes"),
        ("\udcff", "not a Python file"),
        (PLUGIN.replace('"first"', "NAME"), "line 5: the names in @register must be written out"),
        (None, "No such file"),
    ],
)
def test_an_unreadable_plugin_is_one_line_that_names_the_file(registry, tmp_path, text, message):
    file = tmp_path / "bad.py"
    if text is not None:
        file.write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=rf"bad\.py.*{message}"):
        registry.add_file(file)
