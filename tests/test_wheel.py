"""The wheel holds all that the program needs, without the repository around it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = (
    "afa",
    "baselines",
    "benchmarks",
    "slurm",
    "results/paper",
    "results/measured",
    "pyproject.toml",
    "README.md",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a program of a new virtual environment in which only the wheel and its dependencies are installed."""
    place = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:  # setuptools writes beside the sources
        source, copy = REPOSITORY / name, place / "sources" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", place, place / "sources"]
    subprocess.run(build, check=True, capture_output=True)
    environment = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run(
        [*pip, "--python", environment, "install", "-q", "--no-deps", wheel], check=True, capture_output=True
    )
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(
        sysconfig.get_path("purelib")
    )  # all that is installed here, but its .pth files
    (place / "empty").mkdir()

    def call(program, *words):
        command = [environment / "bin" / program, *words]
        alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(command, cwd=place / "empty", env=alone, capture_output=True, text=True)

    return call


def test_afa_is_imported_from_the_wheel(run):
    found = run(
        "python", "-c", "import afa, torch; print(afa.__file__, afa.disentangle(torch.ones(2, 3, 4)).coherence.shape)"
    )
    assert "/environment/lib/" in found.stdout, found.stderr
    assert "torch.Size([2, 4])" in found.stdout


def test_program_runs_from_the_wheel(run):
    trained = run("bench", "run", "--method", "mean+afa", "--dataset", "walkers:tiny", "--epochs", "0")
    assert trained.returncode == 0, trained.stderr  # with a recipe from the wheel
    table = run("bench", "table", "table4", "--dataset", "mars", "--format", "csv")
    assert "82.9" in table.stdout, table.stderr  # Table 4, MARS, mAP of AFA: what the paper prints
    assert run("bench", "report", "--to", "site").returncode == 0  # with its style sheet
