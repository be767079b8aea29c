"""The documentation site builds without a warning and needs no network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

from benchmarks.cli import app

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def build(source, target):
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", source, target]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", folder)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """What a browser fetches when it shows a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        target = dict(attributes).get(LOADED.get(tag, ""), "")
        if target:
            self.found.append(target)


def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert {page.stem for page in pages} >= {file.stem for file in (ROOT / "docs").glob("*.md")}
    for page in pages:
        for target in Loads(page.read_text()).found:
            assert target.startswith("data:") or "//" not in target, f"{page.name} loads {target}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text()), style.name


def test_every_verb_is_in_the_reference(site):
    headings = re.findall(r"<h\d>(.*?)<a", (site / "commands.html").read_text())
    titles = {re.sub(r"<.*?>", "", heading) for heading in headings}
    commands = typer.main.get_command(app).commands
    verbs = {f"bench {name}" for name in commands}
    verbs |= {f"bench {name} {verb}" for name in ("data", "records", "suite") for verb in commands[name].commands}
    assert titles >= verbs


@pytest.mark.parametrize("wrong", ["[a](no-such-page.md)", "[a](#no-such-heading)", "[a](index.md#no-such-heading)"])
def test_broken_link_fails_the_build(tmp_path, wrong):
    (tmp_path / "conf.py").write_text((ROOT / "docs" / "conf.py").read_text())
    (tmp_path / "index.md").write_text(f"# Page\n\n{wrong}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "not found" in done.stderr or "xref" in done.stderr
