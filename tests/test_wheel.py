"""The wheel holds all that the program needs, and the containers install it.

The containers are not built. But the wheel is made of the files that the one for Apptainer copies, and their line of pip installs
it, without a network, in a virtual environment that has only the dependencies.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = (REPOSITORY / "containers/Dockerfile").read_text()
DEFINITION = (REPOSITORY / "containers/bench.def").read_text()
PLACE = "/opt/afa-bench"  # in both containers


def section(name):
    """The lines of a section of the definition for Apptainer."""
    (found,) = re.findall(rf"^%{name}\n((?:    .*\n)*)", DEFINITION, re.MULTILINE)
    return [line.strip() for line in found.splitlines() if not line.lstrip().startswith("#")]


def instructions(name):
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def test_both_containers_have_the_same_base_and_run_the_same_commands():
    assert instructions("FROM") == re.findall(r"^From: (.*)$", DEFINITION, re.MULTILINE)
    assert instructions("RUN") == section("post")
    assert instructions("COPY") == [f". {PLACE}"]
    assert (instructions("ENTRYPOINT"), section("runscript")) == (['["bench"]'], ['exec bench "$@"'])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a program of a new virtual environment in which a container's line of pip has installed the wheel."""
    place = tmp_path_factory.mktemp("wheel")
    for line in section("files"):  # a copy, because setuptools writes beside the sources
        name, to = line.split()
        source, copy = REPOSITORY / name, place / "sources" / Path(to).relative_to(PLACE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", place, place / "sources"]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")

    dependencies = place / "dependencies"  # what is installed here, except this project
    dependencies.mkdir()
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        if not installed.name.startswith(("afa_bench", "__editable__")) and installed.suffix != ".pth":
            (dependencies / installed.name).symlink_to(installed)
    environment = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(str(dependencies))

    program, *options, project = shlex.split(section("post")[-1])
    assert (program, project) == ("pip", PLACE)
    options = [option.replace(PLACE, str(place / "sources")) for option in options]
    install = [*pip, "--python", environment, *options, "--no-index", wheel]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
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
    trained = run("bench", "run", "--method", "mean+afa", "--dataset", "walkers:tiny", "--epochs", "1")
    assert trained.returncode == 0, trained.stderr  # with a recipe from the wheel
    plan = run("bench", "plan", "table4", "--dataset", "mars", "--seeds", "1")
    assert re.search(r"AFA helps mean +\+2\.8 ", plan.stdout), plan.stderr  # from the paper's Table 4
    assert "from results/measured/gpu.json" in plan.stdout
    assert run("bench", "report", "--to", "site").returncode == 0  # with its style sheet
