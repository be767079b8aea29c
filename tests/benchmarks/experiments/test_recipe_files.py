"""Recipes of one's own: what they extend and change, and which mistakes are named."""

import pytest

from baselines.interface.errors import UserError
from benchmarks.experiments.recipe_files import flattened
from benchmarks.experiments.settings import resolve


def clip_frames_of(recipe) -> tuple[int, int]:
    """Of `mean`, which does not read order, and of `lstm`, which does."""
    return resolve(str(recipe), "mean").clip_frames, resolve(str(recipe), "lstm").clip_frames


def test_nearest_recipe_that_names_a_setting_decides(tmp_path):
    base, child, grandchild = (tmp_path / name for name in ("base.toml", "child.toml", "grandchild.toml"))
    base.write_text('extends = "small"\nclip_frames = 3\n[ordered]\nclip_frames = 5\nspacing = 2\n')
    assert clip_frames_of(base) == (3, 5)  # within one recipe, [ordered] comes first
    child.write_text(f'extends = "{base}"\nclip_frames = 4\n')
    assert clip_frames_of(child) == (4, 4)
    assert resolve(str(child), "lstm").spacing == 2  # what the child does not name stays
    grandchild.write_text(f'extends = "{child}"\n[ordered]\nclip_frames = 6\n')
    assert clip_frames_of(grandchild) == (4, 6)


def test_recipe_file_extends_a_recipe(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "small"\nepochs = 3\n')
    assert resolve(str(file), "mean").epochs == 3
    assert resolve(str(file), "mean").backbone == "small"


def test_flattened_recipe_resolves_alike(tmp_path):
    file = tmp_path / "flat.toml"
    for recipe in ("dukev", "control"):
        file.write_text(flattened(recipe))
        for method in ("mean+afa", "lstm"):
            assert resolve(str(file), method) == resolve(recipe, method)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends='smal'", "extends 'smal': no recipe 'smal'; did you mean 'small'"),
        (f"extends='{'a' * 300}'", "no recipe 'aaa"),
        ("extends='small'\nlr = nan", "lr must be from 0 to 1e"),
        ("epoch = 3\nextends='small'", "did you mean 'epochs'"),
        ("epochs = 3", "lacks backbone"),
        ("epochs = ", "not TOML"),
        ("extends = 3", "extends takes a recipe's name"),
        ("extends='small'\nordered = 3", "ordered is a table"),
        ("extends='small'\n[ordered]\nspacings = 3", "did you mean 'spacing'"),
    ],
)
def test_wrong_recipe_is_named(tmp_path, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"mine\.toml.*{message}"):
        resolve(str(file), "mean")


def test_recipe_that_extends_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(UserError, match=r"recipe a\.toml: extends itself, through a\.toml and b\.toml"):
        resolve("a.toml", "mean")


def test_binary_recipe_is_refused(tmp_path):
    (tmp_path / "image.toml").write_bytes(b"\xff\xd8")
    with pytest.raises(UserError, match=r"image\.toml: not TOML"):
        resolve(str(tmp_path / "image.toml"), "mean")
