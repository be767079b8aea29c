"""Recipes: the files that give the settings of a run their values.

A recipe is a TOML file with every setting, or with `extends = "NAME"` and the settings that differ. Its table [ordered] has the
settings of baselines that read the order of frames, where they differ from the others'; a table [BASELINE] has those that this
baseline declares. Copy one from recipes/ and name it by `--recipe FILE`; change single settings by `--set key=value`. Nothing
here checks the values: `resolve` in settings.py does.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.parsing import parse_toml

from .methods import reads_order

RECIPES = Path(__file__).parent / "recipes"
_parse_once = cache(parse_toml)  # by the text itself, so that a changed file is parsed again


class Recipe(NamedTuple):
    """The settings of a recipe, and those that differ for baselines that read order; not yet checked."""

    settings: dict[str, Any]
    ordered: dict[str, Any]

    def of(self, method: str) -> dict[str, Any]:
        """The settings for a method."""
        return {**self.settings, **(self.ordered if reads_order(method) else {})}


def read_recipe(recipe: str, extended_by: tuple[str, ...] = ()) -> Recipe:
    """A recipe (a name or a TOML file) with the recipes that it extends.

    The nearest recipe that names a setting decides: a plain setting replaces that of the extended recipe and of its [ordered].

    Raises:
        UserError: an unknown recipe, a file that does not exist or is not TOML, or a recipe that extends itself.
    """
    file = Path(recipe)
    if file.suffix != ".toml":
        file = RECIPES / f"{recipe}.toml"
        if recipe not in recipe_names():
            where = f"recipe {extended_by[-1]}: extends {recipe!r}: " if extended_by else ""
            raise UserError(
                f"{where}no recipe {recipe!r:.100}; {nearest(recipe, list(recipe_names()))}, or name a .toml file"
            )
    if str(file) in extended_by:
        raise UserError(f"recipe {file}: extends itself, through {' and '.join(extended_by)}")
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--recipe {file}: {error.strerror}") from error
    except ValueError as error:  # not text
        raise UserError(f"recipe {file}: not TOML: {error}") from error
    values = dict(_parse_once(text, f"recipe {file}"))
    base, ordered = values.pop("extends", None), values.pop("ordered", {})
    if not isinstance(ordered, dict):
        raise UserError(
            f"recipe {file}: ordered is a table, [ordered] with settings below it, not a {type(ordered).__name__}"
        )
    values, ordered = _by_full_name(values), _by_full_name(ordered)
    if base is None:
        return Recipe(values, ordered)
    if not isinstance(base, str):
        raise UserError(
            f"recipe {file}: extends takes a recipe's name or a TOML file in quotes, not a {type(base).__name__}"
        )
    below = read_recipe(base, (*extended_by, str(file)))
    kept = {key: value for key, value in below.ordered.items() if key not in values}
    return Recipe({**below.settings, **values}, {**kept, **ordered})


def _by_full_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables as names with dots: `depth` in the table [transformer] is `transformer.depth`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        within = _by_full_name(value) if isinstance(value, dict) else {}
        flat |= {f"{key}.{name}": inner for name, inner in within.items()} or {key: value}
    return flat


@cache
def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the project."""
    return tuple(sorted(file.stem for file in RECIPES.glob("*.toml")))


def recipe_summaries() -> dict[str, str]:
    """For each recipe, by name: the comment in its first line, and the settings that differ for baselines that read order."""
    summaries = {}
    for name in recipe_names():
        text, recipe = (RECIPES / f"{name}.toml").read_text(), read_recipe(name)
        differing = [f"{key}={value}" for key, value in recipe.ordered.items() if value != recipe.settings.get(key)]
        ordered = f" Baselines that read order: {', '.join(differing)}." if differing else ""
        summaries[name] = text.partition("\n")[0].lstrip("# ") + ordered
    return summaries


def ordered_settings(recipe: str, method: str) -> dict[str, Any]:
    """A recipe's table [ordered] if the method's baseline reads order; empty otherwise, or if the project has no such recipe."""
    return read_recipe(recipe).ordered if recipe in recipe_names() and reads_order(method) else {}


def recipe_for(recipe: str, method: str) -> str:
    """The recipe for a method: `recipe` itself, or its file METHOD.toml if it is a folder.

    Raises:
        UserError: the folder has no file for the method.
    """
    if recipe in recipe_names() or not Path(recipe).is_dir():
        return recipe
    file = Path(recipe) / f"{method}.toml"
    if not file.exists():
        raise UserError(f"--recipe {recipe}: no {file.name} in it; `bench tune` writes it")
    return str(file)


def flattened(recipe: str) -> str:
    """A recipe, including the recipes it extends, as the text of one TOML file."""
    settings, ordered = map(as_toml, read_recipe(recipe))
    return "\n".join([*settings, "", "[ordered]", *ordered, ""])


def as_toml(values: Mapping[str, Any]) -> list[str]:
    """Settings as lines of a recipe."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]
