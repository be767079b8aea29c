"""The packages keep their layers: imports run one way, and nothing heavy loads early."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
MAY_IMPORT = {
    "afa": {"afa"},
    "baselines": {"afa", "baselines"},
    "benchmarks": {"afa", "baselines", "benchmarks", "slurm"},
    "slurm": {"slurm"},
}


def imported_packages(code: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package):
    for file in (REPOSITORY / package).rglob("*.py"):
        forbidden = imported_packages(file.read_text()) & (set(MAY_IMPORT) - MAY_IMPORT[package])
        assert not forbidden, f"{file.relative_to(REPOSITORY)} imports {forbidden}"


def test_afa_imports_only_torch():
    for file in (REPOSITORY / "afa").glob("*.py"):
        outside = imported_packages(file.read_text()) - {"", "afa"} - sys.stdlib_module_names
        assert outside <= {"torch"}, file.name


def test_reporting_imports_no_model():
    for file in (REPOSITORY / "benchmarks" / "reporting").rglob("*.py"):
        code = file.read_text().replace("from baselines.interface.errors import UserError\n", "")  # no model
        assert not imported_packages(code) & {"torch", "mmengine", "baselines"}, file.name


@pytest.mark.parametrize("words", [["--help"], ["list"]])
def test_help_and_list_are_light(words):
    program = (
        "import sys; sys.argv = ['bench', *sys.argv[1:]]; from benchmarks.cli import app; app(standalone_mode=False);"
        "heavy = {'torch', 'pandas', 'mmengine', 'cv2'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
