"""The documentation site: Sphinx reads the Markdown pages of this folder. `make docs` builds it into build/docs."""

import sys
from pathlib import Path

import typer
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click
from typer.core import TyperGroup

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "AFA bench"
author = "The AFA bench authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_title = "AFA bench"
html_show_sphinx = False
html_copy_source = False
smartquotes = False  # they would turn the -- of options into dashes
myst_heading_anchors = 3
default_role = "code"  # docstrings mark code by single backticks
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Class attributes", "params_style")]
suppress_warnings = ["myst.header"]  # the generated command reference begins at the third level


def commands() -> str:
    """The reference of `bench`, verb by verb, from the program's own help."""
    from benchmarks.cli import app

    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    context = typer.Context(program, info_name="bench")
    return get_docs_for_click(obj=program, ctx=context, name="bench", indent=1, title="bench")


def settings() -> str:
    """A table of all settings: what each is, and its value in the recipes `paper` and `small`.

    In brackets stands the value for baselines that read order, where it is another.
    """
    from benchmarks.experiments.recipe_files import Recipe, read_recipe
    from benchmarks.experiments.settings import meanings

    def value(recipe: Recipe, name: str) -> str:
        plain = recipe.settings[name]
        ordered = recipe.ordered.get(name, plain)
        return f"{plain}" if ordered == plain else f"{plain} ({ordered})"

    recipes = read_recipe("paper"), read_recipe("small")
    lines = ["| setting | paper | small | meaning |", "| --- | --- | --- | --- |"]
    for name, meaning in meanings().items():
        meaning = meaning.replace("|", "\\|")
        paper, small = (value(recipe, name) for recipe in recipes)
        lines.append(f"| `{name}` | {paper} | {small} | {meaning} |")
    return "\n".join(lines)


GENERATED = {"commands": commands, "settings": settings}


def add_generated(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx calls it so
    """Append what the program says of itself to the pages that consist of it."""
    if name in GENERATED:
        source[0] += "\n" + GENERATED[name]()


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_generated)
