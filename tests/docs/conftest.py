"""The documents that the tests of this folder read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def pytest_generate_tests(metafunc):
    """A test with the argument `document` runs once for each of them."""
    if "document" in metafunc.fixturenames:
        metafunc.parametrize("document", DOCUMENTS, ids=lambda file: file.stem)
